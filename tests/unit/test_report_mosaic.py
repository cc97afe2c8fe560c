"""Slices are hung as radiologists hang them, in true proportions."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mriqa.report.mosaic import (
    GAP,
    GAP_GREY,
    below,
    data_uri,
    grey,
    hung,
    mosaic,
    slices_shown,
)

OPPOSITE = dict(zip("LRPAIS", "RLAPSI", strict=True))


def marked(directions, mark, shape=(6, 8)):
    """A slice whose growth along y and x is `directions`, bright at the side called `mark`."""
    image = np.zeros((1, *shape), dtype=np.float32)
    for axis, direction in enumerate(directions):
        if mark in (direction, OPPOSITE[direction]):
            at = -1 if mark == direction else 0
            image[(0, *(at if axis == other else slice(None) for other in (0, 1)))] = 1
    return image


PLANES = {"axial": ("AP", "LR"), "coronal": ("SI", "LR"), "sagittal": ("SI", "AP")}
EXPECTED = {  # side of the picture: what must lie there
    "axial": {"top": "A", "bottom": "P", "left": "R", "right": "L"},
    "coronal": {"top": "S", "bottom": "I", "left": "R", "right": "L"},
    "sagittal": {"top": "S", "bottom": "I", "left": "A", "right": "P"},
}
SIDES = {"top": (0, slice(None)), "bottom": (-1, slice(None)),
         "left": (slice(None), 0), "right": (slice(None), -1)}  # fmt: skip


def stored_directions(plane):
    rows, columns = PLANES[plane]
    for first in rows:
        for second in columns:
            yield first + second
            yield second + first


@pytest.mark.parametrize(
    ("plane", "directions"), [(plane, d) for plane in PLANES for d in stored_directions(plane)]
)
def test_every_orientation_is_hung_alike(plane, directions):
    for side, mark in EXPECTED[plane].items():
        turned, _ = hung(marked(directions, mark), directions, (1.0, 1.0))
        assert turned[0][SIDES[side]].min() == 1, (directions, side)


def test_spacing_turns_with_the_slices():
    slices, spacing = hung(np.zeros((1, 6, 8), np.float32), "LP", (1.0, 3.0))
    assert slices.shape == (1, 8, 6)
    assert spacing == (3.0, 1.0)


def test_unknown_directions_leave_slices_as_they_are():
    image = np.random.default_rng(0).random((1, 4, 5)).astype(np.float32)
    assert np.array_equal(hung(image, "", (1, 2))[0], image)
    assert np.array_equal(hung(image, "??", (1, 2))[0], image)


def test_voxels_are_square_in_the_picture():
    image = mosaic(np.zeros((8, 100, 50), np.uint8), (1.0, 4.0), tile=200)
    width, height = (image.width - 3 * GAP) / 4, (image.height - GAP) / 2
    assert (width, height) == (200, 100)


def test_slices_are_not_enlarged_beyond_their_voxels_but_tiny_ones_are():
    assert mosaic(np.zeros((1, 120, 110), np.uint8), (1, 1), tile=224).size == (110, 120)
    assert max(mosaic(np.zeros((1, 10, 10), np.uint8), (1, 1), tile=224).size) == 96


def test_slices_stand_in_reading_order():
    slices = np.arange(8, dtype=np.uint8)[:, None, None] * np.full((1, 96, 96), 30, np.uint8)
    image = np.asarray(mosaic(slices, (1, 1), tile=96))
    step = 96 + GAP
    found = [image[row * step + 48, column * step + 48] for row in (0, 1) for column in range(4)]
    assert found == [0, 30, 60, 90, 120, 150, 180, 210]


@pytest.mark.parametrize(("n_slices", "n_shown"), [(2, 2), (8, 8), (9, 8), (44, 8), (400, 8)])
def test_slices_shown_rise_and_leave_out_the_ends(n_slices, n_shown):
    shown = slices_shown(n_slices)
    assert len(shown) == n_shown
    assert list(shown) == sorted(set(shown))
    assert shown[0] >= 0
    assert shown[-1] < n_slices
    if n_slices > 20:
        assert shown[0] > 0
        assert shown[-1] < n_slices - 1


@pytest.mark.parametrize("wanted", range(44))
def test_a_wanted_slice_is_among_those_shown(wanted):
    shown = slices_shown(44, with_slice=wanted)
    assert wanted in shown
    assert list(shown) == sorted(set(shown))
    assert len(set(shown) - set(slices_shown(44))) <= 1


def test_a_slice_that_is_not_there_is_not_shown():
    assert slices_shown(44, with_slice=44) == slices_shown(44) == slices_shown(44, with_slice=-1)


def test_grey_levels_clip_at_the_window_and_nonfinite_is_black():
    values = np.array([[[-5, 0, 50, 100, 1e9, np.nan, np.inf, -np.inf]]], dtype=np.float32)
    assert grey(values, 0.0, 100.0).ravel().tolist() == [0, 0, 128, 255, 255, 0, 255, 0]


@pytest.mark.parametrize("window", [(0.0, 0.0), (0.0, float("nan")), (5.0, 1.0)])
def test_an_impossible_window_falls_back_to_the_range(window):
    values = np.array([[[2.0, 4.0, np.nan]]], dtype=np.float32)
    assert grey(values, *window).ravel().tolist() == [0, 255, 0]


def test_slices_without_any_number_are_black():
    assert not grey(np.full((1, 2, 2), np.nan, np.float32), float("nan"), float("nan")).any()


def test_the_data_uri_is_the_picture():
    image = Image.fromarray(np.tile(np.arange(96, dtype=np.uint8), (96, 1)))
    head, payload = data_uri(image).split(",")
    back = Image.open(io.BytesIO(base64.b64decode(payload)))
    assert head == "data:image/webp;base64"
    assert back.size == (96, 96)
    assert np.abs(np.asarray(back.convert("L"), int) - np.asarray(image, int)).max() < 12


def test_planes_lie_beneath_side_by_side():
    upper, one, two = (Image.new("L", size, grey) for size, grey in
                       (((100, 40), 10), ((48, 20), 90), ((48, 12), 160)))  # fmt: skip
    made = below(upper, [one, two])
    assert made.size == (100, 40 + GAP + 20)
    pixels = np.asarray(made)
    assert (pixels[:40] == 10).all()
    assert (pixels[40 + GAP :, :48] == 90).all()
    assert (pixels[40 + GAP : 40 + GAP + 12, 48 + GAP : 96 + GAP] == 160).all()
    assert (pixels[40 : 40 + GAP] == GAP_GREY).all()


def test_a_plane_of_few_voxels_is_enlarged():
    plane = np.zeros((1, 10, 20), np.uint8)
    assert mosaic(plane, (4.0, 2.0), 200, 1, least=200).size == (200, 200)
    assert mosaic(plane, (2.0, 2.0), 200, 1, least=200).size == (200, 100)
