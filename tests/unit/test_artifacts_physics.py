"""What each family does, checked against Fourier theory rather than against the code."""

import math

import numpy as np
import pytest
from artifact_phantoms import SPACING_MM, noisy_body, smooth_object
from numpy.typing import NDArray

from mriqa.artifacts import Family, apply, draw
from mriqa.artifacts.background import measure_background
from mriqa.artifacts.fields import bias_field, object_extent
from mriqa.artifacts.kspace import modulated
from mriqa.artifacts.model import (
    Breathing,
    Dropout,
    Ghosting,
    LowPass,
    Motion,
    Move,
    Noise,
    Spike,
    Spikes,
    Wrap,
)
from mriqa.artifacts.posing import rotation_matrix

SHAPES = [(5, 64, 48), (4, 61, 47)]


def centred_fft(volume: NDArray[np.float32], axes: tuple[int, ...]) -> NDArray[np.complex128]:
    """Orthonormal k-space with its centre at n // 2 of every axis."""
    transformed = np.fft.fftn(volume.astype(np.float64), axes=axes, norm="ortho")
    return np.fft.fftshift(transformed, axes=axes)


def energy(values: NDArray[np.generic]) -> float:
    return float(np.sum(np.abs(values.astype(np.complex128)) ** 2))


# --- lines of k-space ---------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_unit_modulation_preserves_energy(shape: tuple[int, int, int], axis: int) -> None:
    volume = noisy_body(shape)
    factor = np.exp(1j * np.random.default_rng(1).uniform(0, 2 * np.pi, shape[axis]))
    assert energy(modulated(volume, factor, axis)) == pytest.approx(energy(volume), rel=1e-5)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_shift_is_a_phase_ramp(axis: int) -> None:
    volume = noisy_body((5, 64, 48))
    cycles = np.fft.fftfreq(volume.shape[axis])
    moved = modulated(volume, np.exp(-2j * np.pi * cycles * 3), axis)
    np.testing.assert_allclose(moved, np.roll(volume, 3, axis), atol=1e-3)


# --- breathing ----------------------------------------------------------------------------------


def breathing(volume: NDArray[np.float32], **changes: object) -> Breathing:
    values = {
        "family": Family.BREATHING,
        "severity": 1.0,
        "seed": 0,
        "shape": volume.shape,
        "peak_to_peak_mm": 8.0,
        "period_lines": 1e12,
        "phases_rad": (math.pi / 2,),
    }
    return Breathing(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("phase_axis", "axis"), [("y", 1), ("x", 2)])
def test_a_held_breath_only_moves_the_object_by_millimetres(phase_axis: str, axis: int) -> None:
    spacing = (3.0, 2.0, 4.0)
    volume = smooth_object((6, 64, 48), spacing)
    result = apply(volume, spacing, breathing(volume, phase_axis=phase_axis))
    translation = [0.0, 0.0, 0.0]
    translation[axis] = 4.0  # half of peak to peak: the sine stands at its crest
    moved = smooth_object((6, 64, 48), spacing, translation_mm=tuple(translation))
    np.testing.assert_allclose(result, moved, atol=0.05)


def test_breathing_makes_ghosts_as_bessel_functions_say() -> None:
    volume = np.zeros((2, 64, 8), np.float32)
    volume[:, 32] = 100
    artifact = breathing(volume, period_lines=8.0, peak_to_peak_mm=4.0, phases_rad=(0.0,))
    result = apply(volume, (1.0, 1.0, 1.0), artifact)
    lines = np.arange(-32, 32)
    shift = 2 * np.sin(2 * np.pi * np.fft.ifftshift(np.arange(64)) / 8)
    kspace = np.exp(-2j * np.pi * np.fft.ifftshift(lines) / 64 * (32 + shift))
    np.testing.assert_allclose(result[0, :, 0], 100 * np.abs(np.fft.ifft(kspace)), atol=1e-3)
    assert energy(result) == pytest.approx(energy(volume), rel=1e-5)


def test_slices_breathe_at_their_own_time_only_when_asked() -> None:
    volume = np.repeat(noisy_body((1, 64, 48)), 4, axis=0)
    shared = draw(Family.BREATHING, 0.5, volume.shape, SPACING_MM, 3)
    own = draw(Family.BREATHING, 0.5, volume.shape, SPACING_MM, 3, timing="per_slice")
    together, apart = (apply(volume, SPACING_MM, artifact) for artifact in (shared, own))
    np.testing.assert_array_equal(together[0], together[3])
    assert np.abs(apart[0] - apart[3]).max() > 5


# --- rigid motion -------------------------------------------------------------------------------


def motion(volume: NDArray[np.float32], moves: tuple[Move, ...], **changes: object) -> Motion:
    values = {
        "family": Family.JUMPS,
        "severity": 0.5,
        "seed": 0,
        "shape": volume.shape,
        "acquisition": "2d",
        "tracks": (moves,),
    }
    return Motion(**(values | changes))  # type: ignore[arg-type]


def composed(
    still: NDArray[np.float32], poses: list[tuple[Move, NDArray[np.float32]]], axis: int
) -> NDArray[np.float64]:
    """The slow way: full 2-D k-space of every pose, lines copied one by one, full inverse."""
    kspace = centred_fft(still, (1, 2))
    for move, image in poses:
        moved = centred_fft(image, (1, 2))
        for line in range(move.start, move.stop):
            at = (slice(None), line) if axis == 1 else (slice(None), slice(None), line)
            kspace[at] = moved[at]
    return np.abs(np.fft.ifftn(np.fft.ifftshift(kspace, axes=(1, 2)), axes=(1, 2), norm="ortho"))


def all_lines(volume: NDArray[np.float32], move: Move, axis: int) -> NDArray[np.float32]:
    """The object in one pose: every line acquired there."""
    whole = Move(0, volume.shape[axis], move.rotation_deg, move.translation_mm)
    changes = {"phase_axis": "y" if axis == 1 else "x"}
    return apply(volume, SPACING_MM, motion(volume, (whole,), **changes))


TURN = Move(3, 20, (5.0, 0.0, 0.0), (0.0, 2.0, -3.0))
BACK = Move(20, 41, (-3.0, 0.0, 0.0), (0.0, -1.0, 2.5))


@pytest.mark.parametrize(("phase_axis", "axis"), [("y", 1), ("x", 2)])
@pytest.mark.parametrize("shape", SHAPES)
def test_fast_composition_equals_the_slow_one(
    shape: tuple[int, int, int], phase_axis: str, axis: int
) -> None:
    volume = smooth_object(shape, SPACING_MM)
    fast = apply(volume, SPACING_MM, motion(volume, (TURN, BACK), phase_axis=phase_axis))
    poses = [(move, all_lines(volume, move, axis)) for move in (TURN, BACK)]
    np.testing.assert_allclose(fast, composed(volume, poses, axis), atol=2e-3)
    assert np.abs(fast - volume).max() > 20  # the comparison is not of two identities


def test_composition_is_close_to_one_of_analytically_moved_objects() -> None:
    shape = (5, 64, 48)
    volume = smooth_object(shape, SPACING_MM)
    poses = [
        (
            move,
            smooth_object(
                shape, SPACING_MM, rotation_matrix(move.rotation_deg), move.translation_mm
            ),
        )
        for move in (TURN, BACK)
    ]
    fast = apply(volume, SPACING_MM, motion(volume, (TURN, BACK)))
    np.testing.assert_allclose(fast, composed(volume, poses, 1), atol=1.0)


@pytest.mark.parametrize("acquisition", ["2d", "3d"])
def test_a_pose_is_what_its_degrees_and_millimetres_say(acquisition: str) -> None:
    shape, spacing = (24, 64, 48), (3.0, 2.0, 2.5)
    turn = (6.0, 0.0, 0.0) if acquisition == "2d" else (4.0, -3.0, 5.0)
    shift = (0.0, 5.0, -4.0) if acquisition == "2d" else (3.0, 5.0, -4.0)
    volume = smooth_object(shape, spacing)
    whole = (Move(0, shape[1], turn, shift),)
    result = apply(volume, spacing, motion(volume, whole, acquisition=acquisition))
    truth = smooth_object(shape, spacing, rotation_matrix(turn), shift)
    assert np.abs(truth - volume).max() > 60
    np.testing.assert_allclose(result, truth, atol=2.0)


def test_a_positive_turn_about_z_takes_x_towards_y() -> None:
    turned = rotation_matrix((90.0, 0.0, 0.0)) @ [0.0, 0.0, 1.0]
    np.testing.assert_allclose(turned, [0.0, 1.0, 0.0], atol=1e-12)


def test_what_moves_out_at_one_side_does_not_come_in_at_the_other() -> None:
    volume = np.full((2, 64, 48), 10, np.float32)
    volume[:, :, :6] = 200
    left = (Move(0, 64, (0.0, 0.0, 0.0), (0.0, 0.0, -8 * SPACING_MM[2])),)
    result = apply(volume, SPACING_MM, motion(volume, left))
    assert result[:, :, 24:].max() < 20


def test_slices_of_one_track_move_together_and_of_many_apart() -> None:
    volume = np.repeat(noisy_body((1, 64, 48)), 4, axis=0)
    shared = draw(Family.JUMPS, 0.5, volume.shape, SPACING_MM, 3)
    own = draw(Family.JUMPS, 0.5, volume.shape, SPACING_MM, 3, timing="per_slice")
    together, apart = (apply(volume, SPACING_MM, artifact) for artifact in (shared, own))
    np.testing.assert_array_equal(together[0], together[3])
    assert np.abs(apart[0] - apart[3]).max() > 5


def test_blocks_of_slices_give_what_single_slices_give(monkeypatch: pytest.MonkeyPatch) -> None:
    volume = noisy_body((7, 64, 48))
    artifact = draw(Family.JUMPS, 1.0, volume.shape, SPACING_MM, 5)
    whole = apply(volume, SPACING_MM, artifact)
    monkeypatch.setattr("mriqa.artifacts.motion.BLOCK_VOXELS", 2 * 64 * 48)
    np.testing.assert_allclose(apply(volume, SPACING_MM, artifact), whole, atol=1e-3)


# --- ghosting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [2, 3, 4, 6])
@pytest.mark.parametrize(("severity", "amplitude"), [(0.25, 0.1), (0.5, 0.2), (1.0, 0.4)])
def test_ghosts_lie_fov_over_period_away_with_the_anchored_amplitude(
    period: int, severity: float, amplitude: float
) -> None:
    volume = np.zeros((2, 96, 8), np.float32)
    volume[:, 40] = 100
    artifact = draw(Family.GHOSTING, severity, volume.shape, SPACING_MM, 4)
    assert isinstance(artifact, Ghosting)
    values = vars(artifact) | {"period_lines": float(period)}
    line = apply(volume, SPACING_MM, Ghosting(**values))[0, :, 0]
    ghosts = {(40 + 96 // period) % 96, (40 - 96 // period) % 96}
    np.testing.assert_allclose(line[sorted(ghosts)], 100 * amplitude, rtol=1e-4)
    rest = np.delete(line, [40, *ghosts])
    assert rest.max() < 1e-3
    assert line[40] == pytest.approx(100, rel=1e-5)


# --- low-pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase_axis", "axis"), [("y", 1), ("x", 2)])
@pytest.mark.parametrize(("severity", "kept"), [(0.25, 0.80), (0.5, 0.65), (1.0, 0.50)])
def test_low_pass_keeps_the_stated_share_of_lines(
    severity: float, kept: float, phase_axis: str, axis: int
) -> None:
    point = np.zeros((1, 100, 60), np.float32)
    point[0, 50, 30] = 1  # its k-space is flat; the magnitude of the result keeps its energy
    artifact = draw(Family.LOW_PASS, severity, point.shape, SPACING_MM, 0, phase_axis=phase_axis)
    result = apply(point, SPACING_MM, artifact)
    assert energy(result) == pytest.approx(
        round(kept * point.shape[axis]) / point.shape[axis], rel=1e-5
    )


@pytest.mark.parametrize("count", [60, 61])
def test_low_pass_keeps_the_central_lines(count: int) -> None:
    from mriqa.artifacts.lines import kept_lines

    artifact = draw(Family.LOW_PASS, 1.0, (1, count, 8), SPACING_MM, 0)
    assert isinstance(artifact, LowPass)
    kept = np.flatnonzero(np.fft.fftshift(kept_lines(artifact, count)))
    assert kept.mean() - count // 2 == (0 if len(kept) % 2 else -0.5)
    assert np.ptp(kept) + 1 == len(kept)


def test_low_pass_rings_beside_an_edge() -> None:
    step = np.zeros((1, 128, 8), np.float32)
    step[:, 40:88] = 100
    result = apply(step, SPACING_MM, draw(Family.LOW_PASS, 1.0, step.shape, SPACING_MM, 0))
    assert 105 < result.max() < 112  # Gibbs: 9% of the step


# --- noise --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "factor"), [(0.25, 1.5), (0.5, 2.5), (1.0, 4.0)])
def test_noise_multiplies_the_background_sigma_and_stays_rician(
    severity: float, factor: float
) -> None:
    sigma = 3.0
    volume = noisy_body((20, 128, 96), sigma=sigma)
    result = apply(volume, SPACING_MM, draw(Family.NOISE, severity, volume.shape, SPACING_MM, 1))
    air = result[:, :14, :12]
    assert air.mean() == pytest.approx(factor * sigma * math.sqrt(math.pi / 2), rel=0.03)
    assert air.std() == pytest.approx(factor * sigma * math.sqrt(2 - math.pi / 2), rel=0.03)
    body = volume > 80
    assert (result - volume)[body].std() == pytest.approx(
        sigma * math.sqrt(factor**2 - 1), rel=0.05
    )


def test_background_is_measured_in_air() -> None:
    background = measure_background(noisy_body((12, 96, 72), sigma=2.5))
    assert background.source == "air"
    assert background.sigma == pytest.approx(2.5, rel=0.05)
    assert not background.masked


def test_masked_air_sends_the_measurement_into_tissue() -> None:
    volume = noisy_body((12, 96, 72), sigma=2.5)
    volume[volume < 25] = 0
    background = measure_background(volume)
    assert (background.source, background.masked) == ("tissue", True)
    assert background.sigma == pytest.approx(2.5, rel=0.25)


def test_filtered_air_is_not_believed() -> None:
    volume = noisy_body((12, 96, 72), sigma=2.5)
    volume[volume < 15] *= 0.02
    background = measure_background(volume)
    assert background.source == "tissue"
    assert background.sigma == pytest.approx(2.5, rel=0.25)


def test_corners_full_of_tissue_are_not_air() -> None:
    rng = np.random.default_rng(2)
    volume = np.hypot(150 + rng.normal(0, 2, (8, 64, 48)), rng.normal(0, 2, (8, 64, 48)))
    background = measure_background(volume.astype(np.float32))
    assert background.source == "tissue"
    assert background.sigma == pytest.approx(2, rel=0.2)


def test_noise_is_assumed_where_there_is_none() -> None:
    volume = np.full((4, 32, 32), 50, np.float32)
    background = measure_background(volume)
    assert background.source == "assumed"
    assert background.sigma == pytest.approx(1.0)
    artifact = draw(Family.NOISE, 1.0, volume.shape, SPACING_MM, 0)
    assert isinstance(artifact, Noise)
    changed = apply(volume, SPACING_MM, artifact) - volume
    assert changed.std() == pytest.approx(math.sqrt(15), rel=0.05)


# --- spikes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "amplitude"), [(0.25, 0.1), (0.5, 0.3), (1.0, 1.0)])
def test_a_spike_is_a_point_of_the_anchored_height_beside_the_peak(
    severity: float, amplitude: float
) -> None:
    volume = 1000 + noisy_body((3, 64, 48))  # so bright that the wave never turns the sign
    artifact = Spikes(
        family=Family.SPIKES,
        severity=severity,
        seed=0,
        shape=volume.shape,
        acquisition="2d",
        amplitude=amplitude,
        spikes=(Spike(1, 11, -7, 0.0),),
    )
    from mriqa.artifacts.fields import _wave

    before = centred_fft(volume[1:2], (1, 2))
    wave = amplitude * volume[1].mean() * _wave((1, 64, 48), artifact.spikes[0])
    added = np.fft.fftshift(np.fft.fftn(wave, axes=(1, 2), norm="ortho"), axes=(1, 2))
    assert np.unravel_index(np.abs(added).argmax(), added.shape) == (0, 32 + 11, 24 - 7)
    assert np.abs(added).max() == pytest.approx(amplitude * np.abs(before).max(), rel=1e-4)
    result = apply(volume, SPACING_MM, artifact)
    np.testing.assert_allclose(result[1], np.abs(volume[1] + wave[0]), rtol=1e-5)
    np.testing.assert_array_equal(result[[0, 2]], volume[[0, 2]])


@pytest.mark.parametrize("acquisition", ["2d", "3d"])
def test_spikes_are_drawn_outside_the_centre_at_the_anchored_height(acquisition: str) -> None:
    for seed in range(50):
        artifact = draw(Family.SPIKES, 0.5, (6, 64, 48), SPACING_MM, seed, acquisition=acquisition)
        assert isinstance(artifact, Spikes)
        assert artifact.amplitude == pytest.approx(0.3)
        assert artifact.spikes
        for spike in artifact.spikes:
            radius = math.hypot(spike.frequency_y / 32, spike.frequency_x / 24)
            assert 0.15 <= radius <= 0.97
            assert 0 <= spike.slice < 6


def test_a_spike_of_a_3d_acquisition_hits_every_slice() -> None:
    volume = noisy_body((6, 64, 48))
    artifact = draw(Family.SPIKES, 0.5, volume.shape, SPACING_MM, 1, acquisition="3d")
    change = np.abs(apply(volume, SPACING_MM, artifact) - volume).mean(axis=(1, 2))
    assert change.min() > 0.2 * change.max()


# --- wrap, bias, dropout ------------------------------------------------------------------------


@pytest.mark.parametrize(("severity", "share"), [(0.25, 0.05), (0.5, 0.10), (1.0, 0.20)])
@pytest.mark.parametrize(("phase_axis", "axis"), [("y", 1), ("x", 2)])
def test_wrap_folds_the_stated_share_of_the_field_of_view(
    severity: float, share: float, phase_axis: str, axis: int
) -> None:
    volume = np.zeros((3, 100, 80), np.float32)
    volume[:, 20:80, 15:65] = 100
    for seed in range(6):
        artifact = draw(
            Family.WRAP, severity, volume.shape, SPACING_MM, seed, phase_axis=phase_axis
        )
        assert isinstance(artifact, Wrap)
        changed = (apply(volume, SPACING_MM, artifact) != volume).any(
            axis=tuple({0, 1, 2} - {axis})
        )
        assert changed.sum() == round(share * volume.shape[axis])
        ends = {"low": changed[0], "high": changed[-1], "both": changed[0] and changed[-1]}
        assert ends[artifact.side]


def test_wrap_brings_the_far_end_of_the_object_in() -> None:
    volume = np.zeros((1, 50, 8), np.float32)
    volume[0, 5:45] = np.arange(100, 140)[:, None]
    artifact = Wrap(
        family=Family.WRAP, severity=1.0, seed=0, shape=volume.shape,
        share=0.1, side="low", phase_rad=0.0,
    )  # fmt: skip
    column = apply(volume, SPACING_MM, artifact)[0, :, 0]
    np.testing.assert_allclose(column[:5], np.arange(135, 140), rtol=1e-6)
    np.testing.assert_allclose(column[5:], volume[0, 5:, 0], rtol=1e-6)


def test_the_object_is_found_between_air() -> None:
    volume = np.zeros((40, 4, 4), np.float32)
    volume[7:31] = 9
    assert object_extent(volume) == (7, 31)
    assert object_extent(np.full((40, 4, 4), 3, np.float32)) == (0, 40)


@pytest.mark.parametrize(("severity", "amplitude"), [(0.25, 0.2), (0.5, 0.4), (1.0, 0.7)])
def test_bias_spans_exactly_its_anchor_and_is_smooth(severity: float, amplitude: float) -> None:
    volume = np.full((9, 64, 48), 100, np.float32)
    ratio = (
        apply(volume, SPACING_MM, draw(Family.BIAS, severity, volume.shape, SPACING_MM, 2)) / 100
    )
    assert ratio.min() == pytest.approx(1 - amplitude, rel=1e-5)
    assert ratio.max() == pytest.approx(1 + amplitude, rel=1e-5)
    steps = [np.abs(np.diff(ratio, axis=axis)).max() for axis in (1, 2)]
    assert max(steps) < 0.15 * amplitude


def test_bias_of_one_voxel_is_flat() -> None:
    assert bias_field((1, 1, 1), (1.0,) * 17, 0.5) == 1.0


@pytest.mark.parametrize(
    ("severity", "slices", "factor"), [(0.25, 2, 0.7), (0.5, 4, 0.5), (1.0, 8, 0.2)]
)
def test_dropout_darkens_so_many_slices_in_ten_by_the_factor(
    severity: float, slices: int, factor: float
) -> None:
    volume = np.full((20, 32, 32), 100, np.float32)
    volume[:, :8] = 0
    result = apply(volume, SPACING_MM, draw(Family.DROPOUT, severity, volume.shape, SPACING_MM, 5))
    ratio = result[:, 8:] / 100
    dark = ratio[:, 0, 0] != 1
    assert dark.sum() == slices
    np.testing.assert_allclose(ratio[dark], factor, rtol=1e-6)
    np.testing.assert_array_equal(result[~dark], volume[~dark])


def test_dropout_takes_signal_but_not_the_noise_of_the_air() -> None:
    volume = noisy_body((20, 128, 96), sigma=3.0)
    artifact = draw(Family.DROPOUT, 1.0, volume.shape, SPACING_MM, 5)
    assert isinstance(artifact, Dropout)
    result = apply(volume, SPACING_MM, artifact)
    dark = list(artifact.slices)
    before, after = (np.mean(v[dark, :14, :12] ** 2) for v in (volume, result))
    assert after == pytest.approx(before, rel=0.05)
    body = (volume[dark] > 80) & (volume[dark] < 130)
    assert np.median(result[dark][body] / volume[dark][body]) == pytest.approx(0.2, abs=0.02)
