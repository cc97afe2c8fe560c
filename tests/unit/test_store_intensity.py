"""Foreground percentiles, non-finite voxels and the zeroed background of one volume."""

import numpy as np
import pytest

from mriqa.images.intensity import (
    MAX_SAMPLE,
    PERCENTILES,
    IntensityCollector,
    foreground_threshold,
    scaled,
)


def collect(volume, slope=1.0, inter=0.0, pieces=1):
    collector = IntensityCollector(volume.size, slope, inter)
    for piece in np.array_split(volume, pieces):
        collector.add(np.ascontiguousarray(piece))
    return collector.result()


def head(shape=(20, 60, 60), noise=8.0, level=300.0, seed=0):
    """A bright ball of several tissues in Rician air."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    clean = np.where(radius < 0.8, level * (1.3 - radius), 0)
    return np.hypot(clean + rng.normal(0, noise, shape), rng.normal(0, noise, shape)), radius < 0.8


def test_percentiles_are_those_of_the_foreground():
    volume, inside = head()
    found = collect(volume.astype(np.int16))
    expected = np.percentile(volume[inside], PERCENTILES)
    assert found.percentiles == pytest.approx(expected, rel=0.06)
    assert found.percentiles == tuple(sorted(found.percentiles))


def test_percentiles_of_a_large_volume_hardly_differ_from_those_of_all_its_voxels():
    volume, _ = head(shape=(44, 168, 224))
    assert volume.size > 10 * MAX_SAMPLE
    threshold = foreground_threshold(np.sort(volume.ravel().astype(np.float32)))
    expected = np.percentile(volume[volume > threshold], PERCENTILES)
    assert collect(volume.astype(np.float32)).percentiles == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize(("slope", "inter"), [(1.0, 0.0), (0.5, 10.0), (-2.0, 700.0)])
def test_every_dtype_and_slope_give_the_percentiles_of_the_scaled_values(dtype, slope, inter):
    stored = np.minimum(head(level=180)[0], 255).astype(dtype)
    found = collect(stored, slope, inter)
    values = scaled(stored, slope, inter)
    assert (found.lowest, found.highest) == (values.min(), values.max())
    in_floats = collect(values)
    assert found.percentiles == pytest.approx(in_floats.percentiles, abs=abs(slope))


def test_pieces_of_a_volume_give_what_the_whole_gives():
    volume, _ = head(shape=(30, 100, 101))
    volume[3, :5] = np.nan
    whole = collect(volume)
    assert collect(volume, pieces=7) == whole


def test_nonfinite_voxels_are_counted_and_left_out():
    volume, _ = head()
    volume = volume.astype(np.float32)
    clean = collect(volume)
    spoilt = volume.copy()
    spoilt[0, 0, :3] = np.nan, np.inf, -np.inf
    found = collect(spoilt)
    assert found.n_nonfinite == 3
    assert found.percentiles == pytest.approx(clean.percentiles, rel=1e-3)
    assert np.isfinite([found.lowest, found.highest]).all()


def test_a_scaled_value_beyond_float32_counts_as_nonfinite():
    volume = np.full((4, 8, 8), 1.0)
    volume[0] = 1e300
    found = collect(volume)
    assert found.n_nonfinite == 64
    assert found.highest == 1.0


def test_nothing_finite_gives_nothing():
    found = collect(np.full((4, 8, 8), np.nan, np.float32))
    assert (found.lowest, found.highest, found.percentiles) == (None, None, None)
    assert found.n_nonfinite == 256


def test_a_constant_volume_has_no_foreground():
    found = collect(np.full((4, 8, 8), 7, np.int16))
    assert (found.lowest, found.highest, found.percentiles) == (7, 7, None)
    assert not found.background_zeroed


def test_two_values_are_background_and_foreground():
    volume = np.zeros((4, 8, 8), np.uint8)
    volume[1, 2:6, 2:6] = 1
    found = collect(volume)
    assert set(found.percentiles) == {1.0}
    assert found.background_zeroed


def test_one_bright_voxel_does_not_hide_the_rest():
    volume, _ = head()
    volume[5, 5, 5] = 1e6
    assert collect(volume).percentiles[0] < 300


@pytest.mark.parametrize("noise", [1.0, 3.0, 10.0, 30.0])
def test_recorded_air_is_not_zeroed(noise):
    assert not collect(head(noise=noise)[0].astype(np.int16)).background_zeroed


@pytest.mark.parametrize("kept", [0.0, 0.1])
@pytest.mark.parametrize("level", [0, -1024])
def test_blanked_air_is_zeroed_even_where_a_rim_of_it_is_left(kept, level):
    volume, inside = head()
    volume[~inside & (np.random.default_rng(1).random(volume.shape) >= kept)] = 0
    assert collect((volume + level).astype(np.int16)).background_zeroed


def test_a_body_that_fills_the_field_of_view_is_not_zeroed():
    volume, _ = head()
    volume = volume[5:15, 20:40, 20:40]
    volume[0, 0, :5] = 0
    assert not collect(volume.astype(np.int16)).background_zeroed
