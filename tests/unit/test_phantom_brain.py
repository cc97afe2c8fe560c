import numpy as np
import pytest

from mriqa.artifacts.phantom.brain import (
    N_B0,
    N_DIRECTIONS,
    acquire_diffusion,
    brain_grid,
    build_head,
    diffusion_signal,
    draw_diffusion_scan,
    gradient_table,
)
from mriqa.artifacts.phantom.canvas import generator

HEAD = build_head(brain_grid(), 3)


def test_gradients_are_unit_vectors_and_cover_the_half_sphere():
    bvals, bvecs = gradient_table(1)
    assert bvals.shape == (N_B0 + N_DIRECTIONS,)
    assert bvecs.shape == (3, N_B0 + N_DIRECTIONS)
    assert (bvals[:N_B0] == 0).all()
    assert not bvecs[:, :N_B0].any()
    weighted = bvecs[:, N_B0:]
    np.testing.assert_allclose(np.linalg.norm(weighted, axis=0), 1)
    between = np.abs(weighted.T @ weighted) - np.eye(N_DIRECTIONS)
    assert np.rad2deg(np.arccos(between.max())) > 20


def test_tissue_shares_fill_the_brain_without_overlap():
    total = HEAD.fluid + HEAD.grey + HEAD.white
    assert total.min() >= 0
    assert total.max() <= 1 + 1e-5
    litres = {name: float(getattr(HEAD, name).sum()) * 10e-6 for name in ("grey", "white", "fluid")}
    assert all(0.05 < volume < 1.0 for volume in litres.values()), litres


def test_fluid_loses_most_and_fibres_lose_along_their_direction():
    x = np.array([1.0, 0.0, 0.0])
    plain, weighted = diffusion_signal(HEAD, 0, x * 0), diffusion_signal(HEAD, 1000, x)
    loss = np.log(plain[plain > 0.01] / weighted[plain > 0.01])
    fluid = (HEAD.fluid > 0.99)[plain > 0.01]
    white = (HEAD.white > 0.99)[plain > 0.01]
    along = np.abs(HEAD.fibre[0])[plain > 0.01]
    assert np.median(loss[fluid]) == pytest.approx(3.0, rel=0.01)
    assert np.median(loss[white & (along > 0.9)]) > 3 * np.median(loss[white & (along < 0.3)])


def test_a_volume_is_the_same_again_and_its_noise_is_its_own():
    scan = draw_diffusion_scan(generator(2))
    bvals, bvecs = gradient_table(3)
    one, again = (acquire_diffusion(HEAD, bvals[0], bvecs[:, 0], 0, scan) for _ in range(2))
    other = acquire_diffusion(HEAD, bvals[1], bvecs[:, 1], 1, scan)
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.99
    assert one.dtype == np.float32
