"""Principal components of generated weights, against the eigenvectors of their covariance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.methods.hysnet.weights_plane import weights_plane


def rows(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * np.linspace(3, 1, d)


def test_points_and_shares_are_those_of_the_covariances_eigenvectors():
    weights = rows(40, 6)
    found = weights_plane(weights.astype(np.float32))
    values, vectors = np.linalg.eigh(np.cov(weights.T))
    expected = (weights - weights.mean(0)) @ vectors[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(found.explained, values[[-1, -2]] / values.sum(), atol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_signs_do_not_depend_on_the_order_of_images_and_nothing_is_nan(n, d, seed):
    weights = rows(n, d, seed)
    found, turned = weights_plane(weights), weights_plane(weights[::-1].copy())
    assert found.points.shape == (n, 2)
    assert np.isfinite(found.points).all()
    np.testing.assert_allclose(turned.points[::-1], found.points, atol=1e-9)
    assert 0 <= found.explained[1] <= found.explained[0] <= 1 + 1e-12
    assert found.explained.sum() <= 1 + 1e-12


@pytest.mark.parametrize("weights", [np.ones((5, 7)) * 1e3 + 0.1, rows(1, 7), np.zeros((3, 2))])
def test_what_does_not_differ_lies_at_zero(weights):
    found = weights_plane(weights)
    assert not found.points.any()
    assert found.explained.tolist() == [0, 0]


def test_two_images_lie_on_a_line():
    found = weights_plane(rows(2, 50))
    assert found.explained.tolist() == pytest.approx([1, 0], abs=1e-12)
    assert not found.points[:, 1].any()


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.nan]])])
def test_what_is_no_table_of_numbers_is_refused(bad):
    with pytest.raises(ValueError, match="weights must be"):
        weights_plane(bad)
