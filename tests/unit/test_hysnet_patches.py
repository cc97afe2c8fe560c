"""Parts of volumes: where they are, what is in them, by slow references."""

from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.config.hysnet import HysnetLearningSection, HysnetNetSection, HysnetPatchSection
from mriqa.methods.hysnet.patches import (
    Cubes,
    Place,
    Planes,
    make_parts,
    normalised,
    parts_from_json,
)

PAPER = HysnetPatchSection()
axis = st.integers(1, 14)
shapes = st.tuples(axis, axis, axis)


@st.composite
def cubes(draw):
    sides = draw(st.tuples(*[st.integers(1, 8)] * 3))
    return Cubes(sides, tuple(draw(st.integers(1, side)) for side in sides))


def numbered(shape):
    """A volume in which every voxel has its own number, from 1."""
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


def cut(parts, volume, place):
    return parts.framed(volume[parts.box(place, volume.shape)], place)


def slow_cube(volume, place, sides):
    """Voxel by voxel: zero where there is none."""
    out = np.zeros(sides, np.float32)
    for zyx in product(*map(range, sides)):
        source = tuple(a + b for a, b in zip(place, zyx, strict=True))
        if all(0 <= a < size for a, size in zip(source, volume.shape, strict=True)):
            out[zyx] = volume[source]
    return out


@settings(deadline=None)
@given(st.tuples(*[st.integers(1, 7)] * 3), st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 9))
def test_a_cube_is_cut_voxel_by_voxel(shape, sides, seed):
    parts, volume = Cubes(sides, sides), numbered(shape)
    place = parts.draw(np.random.default_rng(seed), shape)
    assert np.array_equal(cut(parts, volume, place), slow_cube(volume, place, sides))


@settings(deadline=None)
@given(cubes(), shapes)
def test_a_grid_shows_every_voxel_and_nothing_that_is_not_there(parts, shape):
    volume = numbered(shape)
    seen = [cut(parts, volume, place) for place in parts.grid(shape)]
    assert set(np.unique(seen)) - {0} == set(range(1, volume.size + 1))


@settings(deadline=None)
@given(cubes(), shapes, st.integers(0, 2**31))
def test_cubes_lie_inside_or_around_and_the_same_seed_gives_the_same(parts, shape, seed):
    first, second = (np.random.default_rng(seed) for _ in range(2))
    drawn = [parts.draw(first, shape) for _ in range(4)]
    assert drawn == [parts.draw(second, shape) for _ in range(4)]
    for place in [*drawn, *parts.grid(shape)]:
        for start, size, side in zip(place, shape, parts.sides, strict=True):
            if size >= side:
                assert 0 <= start <= size - side
            else:  # in the middle: as much before as after, but for one voxel
                before, after = -start, side - size + start
                assert 0 <= before <= after <= before + 1


@settings(deadline=None)
@given(cubes(), shapes)
def test_neighbours_of_a_grid_are_at_most_a_step_apart(parts, shape):
    places = np.array(parts.grid(shape))
    assert len(np.unique(places, axis=0)) == len(places)
    for number, step in enumerate(parts.steps):
        starts = np.unique(places[:, number])
        assert np.all(np.diff(starts) <= step)
        last = max(shape[number] - parts.sides[number], 0)
        assert starts[-1] == last or (len(starts) == 1 and starts[0] <= 0)


@settings(deadline=None)
@given(shapes)
def test_padding_moves_no_content(shape):
    """A volume that is smaller than the cube along all axes is in it, whole, once."""
    parts, volume = Cubes((18, 16, 14), (9, 8, 7)), numbered(shape)
    (place,) = parts.grid(shape)
    part = cut(parts, volume, place)
    inside = tuple(slice(-start, -start + size) for start, size in zip(place, shape, strict=True))
    assert np.array_equal(part[inside], volume)
    assert part.sum(dtype=np.float64) == volume.sum(dtype=np.float64)


def test_the_papers_grid_of_a_head():
    parts = Cubes.fitted(PAPER, [(176, 256, 240)])
    assert parts == Cubes((96, 96, 96), (48, 48, 48))
    places = parts.grid((176, 256, 240))
    assert sorted({place.z for place in places}) == [0, 48, 80]
    assert sorted({place.y for place in places}) == [0, 48, 96, 144, 160]
    assert sorted({place.x for place in places}) == [0, 48, 96, 144]
    assert len(places) == 3 * 5 * 4


def test_random_cubes_are_uniform():
    parts, rng = Cubes((4, 4, 4), (2, 2, 2)), np.random.default_rng(0)
    drawn = np.array([parts.draw(rng, (8, 4, 6)) for _ in range(3000)])
    assert np.bincount(drawn[:, 0]).tolist() == pytest.approx([600] * 5, rel=0.15)
    assert set(drawn[:, 1]) == {0}
    assert np.bincount(drawn[:, 2]).tolist() == pytest.approx([1000] * 3, rel=0.15)


def test_cubes_of_thin_stacks_are_thin():
    """44 slices of the abdomen: no voxel is lost, and little is padding."""
    parts = Cubes.fitted(PAPER, [(44, 168, 224)] * 5 + [(44, 174, 224), (72, 168, 224)])
    assert parts == Cubes((48, 96, 96), (24, 48, 48))
    assert {place.z for place in parts.grid((44, 168, 224))} == {-2}
    assert {place.z for place in parts.grid((72, 168, 224))} == {0, 24}
    assert parts.shape == (48, 96, 96)


def test_without_volumes_cubes_are_the_sections():
    assert Cubes.fitted(PAPER, []) == Cubes(PAPER.sides, PAPER.steps)


@settings(deadline=None)
@given(st.lists(shapes, min_size=1, max_size=5))
def test_fitted_cubes_leave_no_gaps_and_are_never_longer(given_shapes):
    parts = Cubes.fitted(PAPER, given_shapes)
    for side, step, most in zip(parts.sides, parts.steps, PAPER.sides, strict=True):
        assert 1 <= step <= side <= most


@pytest.mark.parametrize("shape", [(5, 7), (8, 8), (1, 8), (7, 8)])
def test_a_slice_that_fits_is_padded_around_at_its_own_resolution(shape):
    parts, volume = Planes(8), numbered((3, *shape))
    assert parts.grid(volume.shape) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    part = cut(parts, volume, Place(1, 0, 0))
    assert part.shape == parts.shape == (8, 8)
    y, x = ((8 - size) // 2 for size in shape)
    assert np.array_equal(part[y : y + shape[0], x : x + shape[1]], volume[1])
    assert part.sum() == volume[1].sum()


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (31, 17), (64, 9)])
def test_a_larger_slice_is_resized_as_a_whole(shape):
    image = np.random.default_rng(0).random((1, *shape)).astype(np.float32)
    part = cut(Planes(16), image, Place(0, 0, 0))
    inner = [max(1, round(size * 16 / max(shape))) for size in shape]
    y, x = ((16 - size) // 2 for size in inner)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None], inner, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose(part[y : y + inner[0], x : x + inner[1]], expected, atol=1e-6)
    assert np.count_nonzero(part) == expected.size


def test_random_slices_are_uniform():
    rng = np.random.default_rng(0)
    drawn = [Planes(8).draw(rng, (4, 9, 9)) for _ in range(2000)]
    assert np.bincount([place.z for place in drawn]).tolist() == pytest.approx([500] * 4, rel=0.15)
    assert {(place.y, place.x) for place in drawn} == {(0, 0)}


def test_only_what_is_needed_is_read():
    parts = Cubes((4, 4, 4), (2, 2, 2))
    assert parts.box(Place(3, 0, -1), (9, 4, 2)) == (slice(3, 7), slice(0, 4), slice(0, 2))
    box = Planes(8).box(Place(3, 0, 0), (9, 20, 30))
    assert box == (slice(3, 4), slice(0, 20), slice(0, 30))


def test_intensities_end_at_one_and_what_is_no_air_is_above_zero():
    image = np.array([[-5, 0, 1e-3, 50, 100, 1e6, np.nan, np.inf]], np.float32)
    found = normalised(image, 100.0, 1.0)
    np.testing.assert_allclose(found[0], [0, 0, 1e-5, 0.5, 1, 1, 0, 0], rtol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(normalised(image, 100.0, 0.5)[0, 3], 0.5**0.5, rtol=1e-5)
    with pytest.raises(ValueError, match="must be positive"):
        normalised(image, 0.0, 1.0)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_parts_are_written_down_and_read_again(dimensions):
    section = HysnetLearningSection(net=HysnetNetSection(dimensions=dimensions))
    parts = make_parts(section, [(44, 168, 224)])
    assert parts == (Planes(384) if dimensions == 2 else Cubes((48, 96, 96), (24, 48, 48)))
    assert parts_from_json(asdict(parts)) == parts
