"""What `measure` says of volumes whose flaw is known."""

import threading

import numpy as np
import pytest
from metric_phantoms import SPACING_MM, add_ghost, add_noise, body_in_noise, ellipse_body
from scipy import ndimage

from mriqa.errors import ErrorCode, SeriesError
from mriqa.metrics import measure
from mriqa.metrics.columns import BODY_SLICE_COLUMNS, BODY_VOLUME_COLUMNS
from mriqa.metrics.measure import percentile
from mriqa.metrics.regions import block_mean, find_regions, grow

AIR = ("body_snr", "body_fber", "body_ghosting_y", "body_ghosting_x")


def of(volume):
    return measure(volume, SPACING_MM, upper=99.0)


def test_columns_are_exactly_the_declared_ones():
    measured = of(body_in_noise())
    assert list(measured.volume) == [column.name for column in BODY_VOLUME_COLUMNS]
    assert list(measured.slices) == [column.name for column in BODY_SLICE_COLUMNS]
    for values in measured.slices.values():
        assert values.shape == (12,)
        assert values.dtype == np.float64
    assert measured.background == "air"
    assert measured.volume["body_air_null_reason"] is None
    assert None not in [v for k, v in measured.volume.items() if k != "body_air_null_reason"]


def test_foreground_is_the_body():
    signal = ellipse_body()
    measured = of(add_noise(signal, 2.0))
    share = (signal > 20).mean()
    assert measured.volume["body_foreground_fraction"] == pytest.approx(share, abs=0.03)


def test_snr_is_the_known_one_and_falls_as_noise_rises():
    signal = ellipse_body()
    median = float(np.median(signal[signal > 20]))
    for sigma in (1.0, 2.0, 4.0, 8.0):
        value = of(add_noise(signal, sigma)).volume["body_snr"]
        assert value == pytest.approx(median / sigma, rel=0.06)


def test_snr_tissue_is_the_known_one_without_any_air():
    signal = np.where(ellipse_body() > 20, np.float32(100), np.float32(0))
    for sigma in (1.0, 2.0, 4.0):
        noisy = add_noise(signal, sigma)
        noisy[signal == 0] = 0
        measured = of(noisy)
        assert measured.background == "zeroed"
        assert measured.volume["body_snr_tissue"] == pytest.approx(100 / sigma, rel=0.15)


@pytest.mark.parametrize(("axis", "name", "other"), [(1, "y", "x"), (2, "x", "y")])
def test_a_ghost_shows_its_amplitude_along_its_axis_alone(axis, name, other):
    signal = ellipse_body()
    amplitudes = (0.0, 0.05, 0.1, 0.2, 0.35)
    found = [of(add_noise(add_ghost(signal, a, axis), 1.0)).volume for a in amplitudes]
    along = [volume[f"body_ghosting_{name}"] for volume in found]
    assert along == sorted(along)
    assert along[0] == pytest.approx(0, abs=0.01)
    # Not all of the air beside the body is under the ghost.
    for amplitude, value in zip(amplitudes[1:], along[1:], strict=True):
        assert 0.4 * amplitude < value < 1.3 * amplitude
    across = [volume[f"body_ghosting_{other}"] for volume in found]
    assert max(map(abs, across)) < 0.02


def test_ghosts_lower_fber():
    signal = ellipse_body()
    values = [
        of(add_noise(add_ghost(signal, a, 1), 1.0)).volume["body_fber"] for a in (0, 0.1, 0.3)
    ]
    assert values[0] > 2 * values[1] > 2 * values[2]


def test_blur_lowers_sharpness():
    signal = ellipse_body()
    values = [
        of(add_noise(ndimage.gaussian_filter(signal, (0, s, s)), 1.0)).volume["body_sharpness"]
        for s in (0, 0.7, 1.5, 3)
    ]
    assert values == sorted(values, reverse=True)


def test_missing_k_space_lines_along_y_lower_the_sharpness_along_y_alone():
    signal = ellipse_body()
    fine = ndimage.gaussian_filter(
        np.random.default_rng(8).normal(size=signal.shape), (0, 0.6, 0.6)
    )
    signal = signal * np.exp(0.5 * fine).astype(np.float32)
    lines = np.fft.fftshift(np.fft.fft(signal, axis=1), axes=1)
    keep = np.abs(np.arange(96) - 48) < 24
    cut = np.abs(np.fft.ifft(np.fft.ifftshift(lines * keep[:, None], axes=1), axis=1))
    before, after = (of(add_noise(v, 1.0)).volume for v in (signal, cut.astype(np.float32)))
    assert after["body_sharpness_y"] < 0.9 * before["body_sharpness_y"]
    assert after["body_sharpness_x"] > 0.97 * before["body_sharpness_x"]


@pytest.mark.parametrize("kept", [0.7, 0.4, 0.1, 0.02])
def test_a_dropped_slice_is_the_outlier_and_shows_what_it_lacks(kept):
    volume = ellipse_body()
    volume[5] *= kept
    measured = of(add_noise(volume, 1.0))
    dropout = measured.slices["body_slice_dropout"]
    assert int(np.nanargmax(dropout)) == 5
    assert measured.volume["body_slice_dropout"] == pytest.approx(1 - kept, abs=0.06)
    assert np.nanmax(np.delete(dropout, 5)) < 0.1


def test_two_dropped_neighbours_are_both_seen():
    volume = ellipse_body()
    volume[5:7] *= 0.3
    dropout = of(add_noise(volume, 1.0)).slices["body_slice_dropout"]
    assert set(np.argsort(np.nan_to_num(dropout))[-2:]) == {5, 6}


def test_a_shifted_slice_fits_its_neighbours_worst():
    volume = ellipse_body()
    volume[6] = np.roll(volume[6], 5, axis=1)
    clean, moved = of(add_noise(ellipse_body(), 1.0)), of(add_noise(volume, 1.0))
    assert int(np.argmin(moved.slices["body_slice_consistency"])) == 6
    drop = "body_slice_consistency_drop"
    assert moved.volume[drop] > clean.volume[drop] + 0.1


def test_motion_between_the_turns_tears_a_volume():
    """Every second slice is acquired first; then somebody moves."""
    intact, moved = ellipse_body(), ellipse_body()
    moved[1::2] = np.roll(moved[1::2], 4, axis=2)
    before, after = (of(add_noise(one, 1.0)) for one in (intact, moved))
    assert before.volume["body_slice_tearing"] < 0
    assert after.volume["body_slice_tearing"] > before.volume["body_slice_tearing"] + 0.02
    torn, whole = (one.slices["body_slice_tearing"] for one in (after, before))
    assert np.isnan(torn[[0, -1]]).all()
    assert (torn[1:-1] > whole[1:-1]).all()
    half = ellipse_body()
    half[6:] = np.roll(half[6:], 4, axis=2)  # moved once, and no slice lies between two of a turn
    assert of(add_noise(half, 1.0)).volume["body_slice_tearing"] < 0


def test_tearing_is_what_correlation_coefficients_say():
    volume = add_noise(ellipse_body(), 4.0)
    volume[7] = np.roll(volume[7], 6, axis=1)
    regions = find_regions(volume)
    mean, body = regions.mean, regions.body.copy()
    for z in range(len(body)):  # what has lost its signal is body, if slices around it are
        body[z] |= regions.body[max(z - 3, 0) : z].any(0) & regions.body[z + 1 : z + 4].any(0)

    def correlation(one, two):
        shared = body[one] & body[two]
        return np.corrcoef(mean[one][shared], mean[two][shared])[0, 1]

    found = of(volume).slices["body_slice_tearing"]
    for z in range(1, len(volume) - 1):
        beside = (correlation(z - 1, z) + correlation(z, z + 1)) / 2
        assert found[z] == pytest.approx(correlation(z - 1, z + 1) - beside, abs=1e-4)


def test_a_spike_in_one_slice_is_found_in_this_slice():
    volume = add_noise(ellipse_body(), 1.0)
    row, column = np.mgrid[:96, :128]
    volume[3] += 20 * (1 + np.cos(2 * np.pi * (row * 0.3 + column * 0.2))).astype(np.float32)
    measured = of(volume)
    excess = measured.slices["body_slice_noise_excess"]
    assert int(np.argmax(excess)) == 3
    assert measured.volume["body_slice_noise_excess"] == excess[3] > 0.5
    assert np.abs(np.delete(excess, 3)).max() < 0.1


def test_wrap_around_along_y_shows_at_the_border_across_y():
    signal = ellipse_body(radii=(0.45, 0.32))
    folded = signal[:, 8:-8].copy()
    folded[:, -8:] += signal[:, :8]
    folded[:, :8] += signal[:, -8:]
    before, after = (of(add_noise(v, 1.0)).volume for v in (signal, np.roll(folded, 0, 1)))
    assert after["body_border_y"] > 2 * before["body_border_y"]
    assert after["body_border_x"] == pytest.approx(before["body_border_x"], abs=0.03)


def test_a_zeroed_background_gives_null_with_a_reason():
    signal = ellipse_body()
    masked = add_noise(signal, 2.0)
    masked[signal < 20] = 0
    measured = of(masked)
    assert measured.background == "zeroed"
    assert measured.volume["body_air_null_reason"] == "zeroed_background"
    assert [measured.volume[name] for name in AIR] == [None] * 4
    for name in AIR:
        assert np.isnan(measured.slices[name]).all()
    assert measured.volume["body_snr_tissue"] > 5
    assert measured.volume["body_efc"] is not None


def test_a_zeroed_strip_is_no_zeroed_background():
    volume = body_in_noise()
    whole = of(volume).volume["body_snr"]
    volume[:, :, :10] = 0
    measured = of(volume)
    assert measured.background == "air"
    assert measured.volume["body_snr"] == pytest.approx(whole, rel=0.03)


def test_a_body_that_fills_the_view_has_too_little_air():
    volume = add_noise(np.full((6, 64, 64), 100, np.float32), 3.0)
    volume[:, :, :3] = 2
    measured = of(volume)
    assert measured.volume["body_air_null_reason"] == "too_little_background"
    assert measured.volume["body_snr"] is None
    assert measured.background == "air"


def test_non_finite_voxels_are_left_out():
    volume = body_in_noise()
    whole = of(volume).volume
    rng = np.random.default_rng(7)
    holes = volume.copy()
    holes[rng.random(volume.shape) < 0.001] = np.nan
    holes[2, 40:44, 60:66] = np.inf
    holes[4, 10, 10] = -np.inf
    for name, value in of(holes).volume.items():
        if isinstance(value, float):
            assert value == pytest.approx(whole[name], rel=0.1, abs=0.05), name


def test_a_slice_of_nans_spoils_no_other_number():
    volume = body_in_noise()
    whole = of(volume).volume
    volume[4] = np.nan
    measured = of(volume)
    for name in ("body_snr", "body_efc", "body_fber", "body_sharpness"):
        assert measured.volume[name] == pytest.approx(whole[name], rel=0.05)
        assert np.isnan(measured.slices[name][4])


@pytest.mark.parametrize(
    ("volume", "code"),
    [
        (np.full((4, 16, 16), np.nan, np.float32), ErrorCode.ALL_NONFINITE),
        (np.full((4, 16, 16), 7, np.float32), ErrorCode.CONSTANT),
        (np.zeros((4, 16, 16), np.float32), ErrorCode.CONSTANT),
        (np.where(np.arange(1024) % 3, -5, np.nan).reshape(4, 16, 16), ErrorCode.CONSTANT),
        (-np.arange(1024).reshape(4, 16, 16), ErrorCode.NO_FOREGROUND),
        (np.arange(1024).reshape(4, 16, 16) == 500, ErrorCode.NO_FOREGROUND),
        (1e-45 * (np.arange(1024).reshape(4, 16, 16) == 0), ErrorCode.NO_FOREGROUND),
        (5.0 + (np.arange(1024).reshape(4, 16, 16) == 500), ErrorCode.NO_FOREGROUND),
    ],
)
def test_what_cannot_be_measured_has_its_code(volume, code):
    with pytest.raises(SeriesError) as caught:
        of(volume.astype(np.float32))
    assert caught.value.code == code


def test_the_volume_handed_in_is_not_changed():
    volume = body_in_noise()
    volume[0, 0, 0] = np.nan
    before = volume.copy()
    of(volume)
    np.testing.assert_array_equal(volume, before)


def test_threads_measure_the_same():
    volumes = [body_in_noise(seed=seed) for seed in range(4)]
    alone = [of(volume) for volume in volumes]
    together = [None] * 4

    def work(index):
        together[index] = of(volumes[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, two in zip(alone, together, strict=True):
        assert one.volume == two.volume
        for name, values in one.slices.items():
            np.testing.assert_array_equal(values, two.slices[name])


def test_dark_tissue_in_a_noisy_volume_is_body_and_not_air():
    signal = ellipse_body()
    sigma = 4.0
    inside = signal > 20
    signal[:, :, 64:] = np.where(inside[:, :, 64:], 6 * sigma, 0)
    measured = of(add_noise(signal, sigma))
    assert measured.volume["body_foreground_fraction"] == pytest.approx(inside.mean(), abs=0.04)
    assert measured.volume["body_fber"] > 20


@pytest.mark.parametrize("percent", [0, 1, 50.5, 95, 98, 99, 99.9, 100])
@pytest.mark.parametrize("size", [1, 2, 33, 500, 40_000])
@pytest.mark.parametrize("order", ["random", "rising", "falling", "equal"])
def test_the_percentile_is_numpys_to_the_last_bit(percent, size, order):
    values = np.random.default_rng(size).gamma(2.0, 50.0, size).astype(np.float32)
    if order != "random":
        values = np.sort(values)[:: -1 if order == "falling" else 1].copy()
    if order == "equal":
        values[:] = 3.7
    before = values.copy()
    assert percentile(values, percent) == float(np.percentile(values, percent))
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("shape", [(3, 9, 14), (2, 1, 7), (2, 7, 1), (1, 2, 2)])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_growing_is_a_dilation_within_the_plane(shape, steps):
    square = np.ones((1, 2 * steps + 1, 2 * steps + 1), bool)
    for share in (0.0, 0.05, 0.3, 1.0):
        mask = np.random.default_rng(1).random(shape) < share
        np.testing.assert_array_equal(grow(mask, steps), ndimage.binary_dilation(mask, square))


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_blocks_have_the_mean_of_their_voxels(block):
    volume = np.random.default_rng(2).random((2, 13, 18)).astype(np.float32)
    rows, columns = 13 // block, 18 // block
    whole = volume[:, : rows * block, : columns * block]
    expected = whole.reshape(2, rows, block, columns, block).mean((2, 4))
    np.testing.assert_allclose(block_mean(volume, block), expected, rtol=1e-6)


def test_a_plane_too_narrow_for_a_noise_residual_has_a_code():
    volume = np.random.default_rng(3).random((10, 4, 1)).astype(np.float32)
    volume[:, 1:3] += 100
    with pytest.raises(SeriesError) as caught:
        of(volume)
    assert caught.value.code == ErrorCode.NO_FOREGROUND
