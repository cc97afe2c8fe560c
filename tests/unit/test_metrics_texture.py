"""Sharpness and noise residual against what their definitions promise."""

import numpy as np
import pytest
from scipy import ndimage

from mriqa.metrics import texture

EVERYWHERE = np.ones((96, 96), np.bool_)


def blocks(size=96, period=24):
    """Squares with steep edges along both axes."""
    wave = (np.arange(size) // (period // 2)) % 2
    return np.add.outer(wave, wave).astype(np.float32)


def sharpness(plane, lags=texture.COARSE):
    edges = texture.edge_energy(np.ascontiguousarray(plane, np.float32), EVERYWHERE)
    return texture.sharpness(edges.sum(0), lags)


def slow_energy(plane, counted, axis, lag):
    """Products of differences of adjacent lines, summed voxel by voxel."""
    plane, counted = (plane, counted) if axis == 1 else (plane.T, counted.T)
    widest, total = (3 if lag in texture.FINE else 4), 0.0
    start = (widest - lag) // 2
    for row in range(plane.shape[0] - 1):
        for left in range(start, start + plane.shape[1] - widest):
            middle = left - start + widest // 2
            last = left - start + (widest + 1) // 2
            if not counted[row : row + 2, middle : last + 1].all():
                continue
            here = float(plane[row, left + lag]) - float(plane[row, left])
            below = float(plane[row + 1, left + lag]) - float(plane[row + 1, left])
            total += here * below
    return total


@pytest.mark.parametrize("share", [1.0, 0.9, 0.7])
@pytest.mark.parametrize("shape", [(14, 11), (5, 30), (30, 6), (6, 5)])
def test_edge_energy_agrees_with_the_slow_one(shape, share):
    rng = np.random.default_rng(0)
    plane, counted = rng.normal(size=shape).astype(np.float32), rng.random(shape) < share
    edges = texture.edge_energy(plane, counted)
    for axis in (0, 1):
        for number, lag in enumerate(texture.LAGS):
            slow = slow_energy(plane, counted, axis, lag)
            assert edges[axis, number] == pytest.approx(slow, rel=1e-4, abs=1e-5)


def test_steps_have_the_ratio_of_the_lags_and_wide_edges_its_square():
    assert sharpness(blocks()) == pytest.approx(1 / 2, rel=0.1)
    assert sharpness(blocks(), texture.FINE) == pytest.approx(1 / 3, rel=0.1)
    ramp = np.add.outer(np.arange(96.0), np.arange(96.0))
    assert sharpness(ramp) == pytest.approx(1 / 4, rel=1e-3)
    assert sharpness(ramp, texture.FINE) == pytest.approx(1 / 9, rel=1e-3)


def test_more_blur_is_always_less_sharp():
    values = [sharpness(ndimage.gaussian_filter(blocks(), s)) for s in (0, 0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.5 * values[-1]


def test_blur_along_one_axis_is_seen_along_this_axis_alone():
    blurred = ndimage.gaussian_filter1d(blocks(), 1.5, axis=0)
    before = texture.edge_energy(blocks(), EVERYWHERE)
    after = texture.edge_energy(np.ascontiguousarray(blurred), EVERYWHERE)
    for axis, lost in ((0, True), (1, False)):
        ratio = texture.sharpness(after[axis], texture.FINE) / texture.sharpness(
            before[axis], texture.FINE
        )
        assert ratio < 0.6 if lost else ratio == pytest.approx(1, rel=0.02)


def test_noise_hardly_changes_sharpness():
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(blocks(), 1.5)
    noisy = [sharpness(smooth + rng.normal(0, 0.1, smooth.shape)) for _ in range(20)]
    assert np.mean(noisy) == pytest.approx(sharpness(smooth), rel=0.05)
    # The same noise more than doubles what a plain quotient of squares says.
    loud = smooth + rng.normal(0, 0.1, smooth.shape)

    def plain(plane):
        return (np.diff(plane) ** 2).mean() / ((plane[:, 3:] - plane[:, :-3]) ** 2).mean()

    assert plain(loud) > 1.5 * plain(smooth)


def test_edges_outside_what_is_counted_do_not_count():
    plane = blocks()
    counted = EVERYWHERE.copy()
    counted[:, 48:] = False
    plane[:, 54:] = np.random.default_rng(2).normal(size=(96, 42))
    expected = texture.edge_energy(blocks(), counted)
    changed = texture.edge_energy(plane, counted)
    np.testing.assert_allclose(changed[1], expected[1], rtol=1e-4)


def test_too_narrow_a_plane_has_no_edges():
    edges = texture.edge_energy(np.ones((3, 3), np.float32), np.ones((3, 3), np.bool_))
    assert np.isnan(texture.sharpness(edges.sum(0), texture.FINE))


def test_residual_of_noise_has_six_times_its_deviation():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 5, (300, 300)).astype(np.float32)
    assert texture.noise_residual(noise).std() == pytest.approx(30, rel=0.02)


def test_residual_agrees_with_a_convolution():
    plane = np.random.default_rng(4).normal(size=(9, 13)).astype(np.float32)
    mask = np.outer([1, -2, 1], [1, -2, 1])
    expected = ndimage.convolve(plane, mask)[1:-1, 1:-1]
    np.testing.assert_allclose(texture.noise_residual(plane), expected, atol=1e-5)


def test_residual_ignores_smooth_shading_and_straight_edges():
    plane = np.add.outer(np.arange(40.0) ** 2, 3 * np.arange(50.0)).astype(np.float32)
    plane[:, 25:] += 100
    np.testing.assert_allclose(texture.noise_residual(plane), 0, atol=1e-2)
