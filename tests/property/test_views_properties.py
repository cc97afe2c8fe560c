"""Views for any slice: inside or around it, the source's own pixels, equal for equal draws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from mriqa.config import PretrainingSection
from mriqa.training.views import View, apply_view, draw_views, prepare

shapes = st.tuples(st.integers(8, 150), st.integers(8, 150))
sides = st.integers(32, 100)
seeds = st.integers(0, 2**32)
KINDS = ("native_patch", "resized_crop")


def drawn(kind, seed, shape, side):
    section = PretrainingSection(views=kind, view_px=side)
    return draw_views(np.random.default_rng(seed), shape, section)


def unflipped(pixels, view):
    return pixels[:: -1 if view.flip_y else 1, :: -1 if view.flip_x else 1]


@given(st.sampled_from(KINDS), seeds, shapes, sides)
def test_equal_draws_give_equal_views_and_the_two_are_independent(kind, seed, shape, side):
    assert drawn(kind, seed, shape, side) == drawn(kind, seed, shape, side)
    image = np.random.default_rng(seed).random(shape, dtype=np.float32)
    for view in drawn(kind, seed, shape, side):
        pixels = apply_view(image, view)
        assert pixels.shape == (side, side)
        assert pixels.dtype == np.float32
        assert pixels.min() >= 0
        assert pixels.max() <= image.max() + 1e-6


@given(seeds, shapes, sides)
def test_a_native_patch_holds_the_source_pixels_and_nothing_else(seed, shape, side):
    # Every pixel another value, none 0: what is shown can be found again.
    image = np.arange(1, shape[0] * shape[1] + 1, dtype=np.float32).reshape(shape)
    for view in drawn("native_patch", seed, shape, side):
        pixels = unflipped(apply_view(image, view), view)
        assert (view.height, view.width) == (side, side)
        expected = np.zeros((side, side), np.float32)
        for y in range(side):
            row = view.y0 + y
            if 0 <= row < shape[0]:
                columns = np.arange(side) + view.x0
                inside = (columns >= 0) & (columns < shape[1])
                expected[y, inside] = image[row, columns[inside]]
        assert np.array_equal(pixels, expected)
        # As many of the slice's pixels as fit: inside where it is larger, all where it is smaller.
        assert np.count_nonzero(pixels) == min(side, shape[0]) * min(side, shape[1])


@given(seeds, shapes, sides)
def test_a_resized_crop_lies_inside_and_covers_a_fifth_at_least(seed, shape, side):
    for view in drawn("resized_crop", seed, shape, side):
        assert 0 <= view.y0 <= view.y0 + view.height <= shape[0]
        assert 0 <= view.x0 <= view.x0 + view.width <= shape[1]
        assert view.height * view.width >= 0.2 * shape[0] * shape[1]
        # One pixel of rounding on either side.
        assert (view.height - 1) / (view.width + 1) < 4 / 3 or view.width == shape[1]
        assert (view.width - 1) / (view.height + 1) < 4 / 3 or view.height == shape[0]


@given(seeds, shapes, sides)
def test_a_resized_crop_is_bilinear_without_antialiasing(seed, shape, side):
    image = np.random.default_rng(seed).random(shape, dtype=np.float32)
    view = drawn("resized_crop", seed, shape, side)[0]
    part = image[view.y0 : view.y0 + view.height, view.x0 : view.x0 + view.width]
    expected = interpolate(
        torch.tensor(part[None, None], dtype=torch.float64),
        (side, side),
        mode="bilinear",
        antialias=False,
    )[0, 0]
    assert np.allclose(unflipped(apply_view(image, view), view), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_places_and_flips_are_uniform(kind):
    shape, side = (60, 50), 40
    views = [view for seed in range(1500) for view in drawn(kind, seed, shape, side)]
    for name in ("flip_y", "flip_x"):
        assert np.mean([getattr(view, name) for view in views]) == pytest.approx(0.5, abs=0.04)
    if kind == "native_patch":
        counts = np.bincount([view.y0 for view in views], minlength=21)
        assert len(counts) == 21
        assert counts.min() > 0.6 * counts.mean()
    else:
        areas = np.array([view.height * view.width for view in views]) / (60 * 50)
        assert areas.min() < 0.25
        assert areas.mean() == pytest.approx(0.6, abs=0.04)
        assert areas.max() > 0.95


def test_the_two_views_of_a_slice_are_placed_each_for_itself():
    pairs = [drawn("native_patch", seed, (200, 200), 40) for seed in range(300)]
    first, second = np.array([[(view.y0, view.x0) for view in pair] for pair in pairs]).swapaxes(
        0, 1
    )
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.2
    assert np.mean([a.flip_y == b.flip_y for a, b in pairs]) == pytest.approx(0.5, abs=0.12)


def test_flips_mirror_the_axes_that_they_name():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    whole = View(0, 0, 3, 3, 3, flip_y=False, flip_x=False)
    assert np.array_equal(apply_view(image, whole), image[:, :3])
    mirrored = View(0, 0, 3, 3, 3, flip_y=True, flip_x=False)
    assert np.array_equal(apply_view(image, mirrored), image[::-1, :3])
    mirrored = View(0, 1, 3, 3, 3, flip_y=False, flip_x=True)
    assert np.array_equal(apply_view(image, mirrored), image[:, :0:-1])


@settings(deadline=None)
@given(seeds, st.floats(1e-3, 1e6), st.sampled_from([0.1, 0.3, 0.5, 1.0, 2.0]))
def test_intensities_are_scaled_cut_and_raised(seed, upper, gamma):
    image = np.random.default_rng(seed).normal(1, 2, (9, 7)).astype(np.float32) * np.float32(upper)
    before = image.copy()
    expected = np.clip(image.astype(np.float64) / upper, 0, 4) ** gamma
    assert np.allclose(prepare(image, upper, gamma), expected, rtol=2e-6, atol=1e-30)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_what_is_not_finite_or_negative_is_zero(gamma):
    image = np.array([[np.nan, np.inf, -np.inf, -1, 0, -0.0, 1e30, 2]], np.float32)
    expected = np.array([[0, 0, 0, 0, 0, 0, 4**gamma, 1]], np.float32)
    assert np.allclose(prepare(image, 2.0, gamma), expected, rtol=1e-6, atol=0)
    assert prepare(image.astype(np.float64), 2.0, gamma).dtype == np.float32


@pytest.mark.parametrize("upper", [0.0, -1.0, np.nan])
def test_a_scale_that_is_not_positive_is_refused(upper):
    with pytest.raises(ValueError, match="must be positive"):
        prepare(np.ones((2, 2), np.float32), upper, 0.3)
