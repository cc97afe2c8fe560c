"""Motion between slices: poses, their order in time, what the moved slices show."""

from itertools import pairwise

import numpy as np
import pytest
from artifact_phantoms import SPACING_MM, noisy_body, smooth_object
from hypothesis import example, given
from hypothesis import strategies as st

from mriqa.artifacts import Family, apply, draw
from mriqa.artifacts.background import measure_background
from mriqa.artifacts.model import Interslice, Pose
from mriqa.artifacts.patterns import excitation_order
from mriqa.artifacts.posing import noise_kept, pose_map, posed, rotation_matrix, spline_of
from mriqa.metrics.neighbours import compare_neighbours
from mriqa.metrics.regions import find_regions

REST = Pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def interslice(shape: tuple[int, int, int], poses: list[Pose]) -> Interslice:
    return Interslice(
        family=Family.INTERSLICE, severity=1.0, seed=0, shape=shape, interleave=2,
        poses=tuple(poses), noise_seed=5,
    )  # fmt: skip


def drawn(severity: float, slices: int, seed: int) -> Interslice:
    artifact = draw(Family.INTERSLICE, severity, (slices, 64, 48), SPACING_MM, seed)
    assert isinstance(artifact, Interslice)
    return artifact


def test_each_slice_shows_the_object_in_its_own_pose() -> None:
    shape, spacing = (24, 64, 48), (3.0, 2.0, 2.5)
    turn, shift = (4.0, -3.0, 5.0), (3.0, 5.0, -4.0)
    volume = smooth_object(shape, spacing)
    moved = smooth_object(shape, spacing, rotation_matrix(turn), shift)
    poses = [Pose(turn, shift) if z % 2 else REST for z in range(24)]
    result = apply(volume, spacing, interslice(shape, poses))
    np.testing.assert_array_equal(result[::2], volume[::2])
    assert np.abs(moved[1::2] - volume[1::2]).max() > 60
    np.testing.assert_allclose(result[1::2], moved[1::2], atol=2.0)


def test_slices_are_excited_comb_after_comb() -> None:
    assert excitation_order(7, 2).tolist() == [0, 2, 4, 6, 1, 3, 5]
    assert excitation_order(7, 3).tolist() == [0, 3, 6, 1, 4, 2, 5]


@given(st.integers(3, 60), st.integers(0, 2**40), st.sampled_from([0.25, 0.5, 1.0]))
@example(slices=3, seed=113, severity=1.0)
def test_poses_are_stays_in_time_of_which_the_longest_is_rest(
    slices: int, seed: int, severity: float
) -> None:
    artifact = drawn(severity, slices, seed)
    assert len(artifact.poses) == slices
    order = excitation_order(slices, artifact.interleave)
    in_time = [artifact.poses[z] for z in order.tolist()]
    changes = sum(one != two for one, two in pairwise(in_time))
    assert 1 <= changes <= 3
    counts = {pose: in_time.count(pose) for pose in in_time}
    assert counts[REST] == max(counts.values()) or slices == 3
    size = {0.25: 1.5, 0.5: 3.0, 1.0: 6.0}[severity]
    moved = [pose for pose in in_time if not pose.is_rest]
    for values in ([p.rotation_deg for p in moved], [p.translation_mm for p in moved]):
        lengths = np.linalg.norm(values, axis=1)
        assert lengths.min() >= size / 2 - 1e-9
        assert lengths.max() <= size + 1e-9


def test_severity_makes_the_same_motion_larger() -> None:
    mild, strong = drawn(0.25, 30, 7), drawn(1.0, 30, 7)
    assert mild.interleave == strong.interleave
    for one, two in zip(mild.poses, strong.poses, strict=True):
        np.testing.assert_allclose(4 * np.array(one.translation_mm), two.translation_mm)
        np.testing.assert_allclose(4 * np.array(one.rotation_deg), two.rotation_deg)


@pytest.mark.parametrize("seed", range(6))
def test_it_tears_the_volume_the_more_the_stronger_it_is(seed: int) -> None:
    volume = smooth_object((30, 64, 48), SPACING_MM) + noisy_body((30, 64, 48)) * 0.02
    torn = []
    for severity in (0.0, 0.5, 1.0):
        artifact = draw(Family.INTERSLICE, severity, volume.shape, SPACING_MM, seed)
        near = compare_neighbours(find_regions(apply(volume, SPACING_MM, artifact)))
        torn.append(float(np.nanmax(near.tearing)))
    assert torn[0] < torn[1] < torn[2]


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.0, 0.4)])
def test_the_noise_that_is_lost_between_voxels_is_as_stated(
    shift: tuple[float, float, float],
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((9, 160, 160)).astype(np.float32)
    pose = pose_map(noise.shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), shift)
    variance = posed(spline_of(noise), pose, 4).var()
    assert variance == pytest.approx(noise_kept(noise.shape, pose, 4), rel=0.03)


@pytest.mark.parametrize("masked", [False, True])
def test_moved_slices_are_no_cleaner_than_the_others(*, masked: bool) -> None:
    shape = (12, 128, 128)
    rng = np.random.default_rng(1)
    body = np.zeros(shape, np.float32)
    body[:, 40:88, 40:88] = 200
    volume = np.hypot(body + rng.normal(0, 6, shape), rng.normal(0, 6, shape)).astype(np.float32)
    if masked:
        volume[body == 0] = 0
    assert measure_background(volume).source == ("tissue" if masked else "air")
    pose = Pose((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
    poses = [pose if z % 2 else REST for z in range(12)]
    result = apply(volume, (1.0, 1.0, 1.0), interslice(shape, poses))
    inside = result[:, 50:78, 50:78].std(axis=(1, 2))
    assert inside[1::2].mean() == pytest.approx(inside[::2].mean(), rel=0.06)
    level = result[:, 50:78, 50:78].mean(axis=(1, 2))
    assert level[1::2].mean() == pytest.approx(level[::2].mean(), rel=0.01)
    if not masked:
        air = result[:, :30, :30]
        for how in (np.median, np.std):
            moved, rest = (how(air[start::2]) for start in (1, 0))
            assert moved == pytest.approx(rest, rel=0.06)


def test_it_needs_slices_that_are_excited_one_by_one() -> None:
    with pytest.raises(ValueError, match="acquisition 2d and 3 slices or more, not 3d and 8"):
        draw(Family.INTERSLICE, 0.5, (8, 64, 48), SPACING_MM, 0, acquisition="3d")
    with pytest.raises(ValueError, match="not 2d and 2: take another family"):
        draw(Family.INTERSLICE, 0.5, (2, 64, 48), SPACING_MM, 0)
