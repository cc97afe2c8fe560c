"""One slice moved by itself, and as a slice of a volume: the same pixels."""

import numpy as np
import pytest

from mriqa.artifacts import Family, apply, draw
from mriqa.artifacts.model import Move
from mriqa.artifacts.motion import _slice_operators
from mriqa.artifacts.resampling import moved_slice

FAMILIES = (Family.JUMP, Family.JUMPS, Family.DRIFT)


@pytest.mark.parametrize("shape", [(40, 64), (65, 33), (8, 9)])
def test_a_slice_moves_as_the_slices_of_a_volume_do(shape):
    rng = np.random.default_rng(0)
    for _ in range(20):
        image = rng.random(shape, dtype=np.float32)
        turn, *shift = rng.uniform(-9, 9, 3).tolist()
        move, spacing_mm = Move(0, 4, (turn, 0.0, 0.0), (0.0, *shift)), (1.0, 2.5)
        along_x, along_y = _slice_operators(shape, spacing_mm, move)
        expected = (along_y @ (along_x @ image.ravel())).reshape(shape)
        assert np.allclose(moved_slice(image, spacing_mm, move), expected, atol=3e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("phase_axis", ["y", "x"])
def test_motion_of_one_slice_is_that_of_two_equal_ones(family, phase_axis):
    image = np.random.default_rng(1).random((1, 48, 40), dtype=np.float32) * 300
    spacing_mm = (4.0, 2.0, 1.5)
    one = draw(family, 0.7, (1, 48, 40), spacing_mm, 5, phase_axis=phase_axis)
    two = draw(family, 0.7, (2, 48, 40), spacing_mm, 5, phase_axis=phase_axis)
    alone = apply(image, spacing_mm, one)
    both = apply(np.repeat(image, 2, axis=0), spacing_mm, two)
    assert np.abs(alone - image).max() > 10
    assert np.allclose(alone[0], both[0], atol=0.02)
    assert alone.dtype == np.float32


def test_a_whole_shift_moves_pixels_and_mirrors_the_edge():
    image = np.arange(80, dtype=np.float32).reshape(8, 10)
    moved = moved_slice(image, (1.0, 2.0), Move(0, 4, (0.0, 0.0, 0.0), (0.0, 1.0, -4.0)))
    assert np.allclose(moved[1:, :8], image[:-1, 2:], atol=1e-4)
    assert np.allclose(moved[0, :8], image[1, 2:], atol=1e-4)
    assert np.allclose(moved[1:, 8:], image[:-1, 8:6:-1], atol=1e-4)
