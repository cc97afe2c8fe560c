"""Whitening: what varies within the classes varies equally afterwards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.methods.simclr.whitening import HQ, unit, whitening


def references(n=400, size=6, seed=0, shifts=(0.0, 3.0, -2.0)):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0, 1, (size, size)) * np.logspace(0, -1, size)
    labels = np.array([HQ, "noise", "ghosting"])[np.arange(n) % 3]
    shift = {HQ: shifts[0], "noise": shifts[1], "ghosting": shifts[2]}
    values = 10 + rng.normal(0, 1, (n, size)) @ mixing
    values[:, 0] += [shift[one] for one in labels]
    return values, labels.tolist()


def within(values, labels):
    """Pooled within-class covariance, by loops over the classes."""
    total = np.zeros((values.shape[1],) * 2)
    for name in set(labels):
        rows = values[[one == name for one in labels]].astype(float)
        centred = rows - rows.mean(axis=0)
        for row in centred:
            total += np.outer(row, row)
    return total / (len(values) - len(set(labels)))


def test_whitened_references_have_the_identity_as_covariance_within_classes():
    values, labels = references()
    found = whitening(values, labels, 0.0).apply(values)
    np.testing.assert_allclose(within(found, labels), np.eye(6), atol=1e-3)


def test_shrinkage_moves_the_covariance_towards_its_mean_diagonal():
    values, labels = references()
    covariance = within(values, labels)
    level = np.trace(covariance) / 6
    for shrinkage in (0.1, 0.5, 1.0):
        found = whitening(values, labels, shrinkage)
        expected = (1 - shrinkage) * covariance + shrinkage * level * np.eye(6)
        inverse = np.linalg.inv(found.matrix.T @ found.matrix)
        np.testing.assert_allclose(inverse, expected, rtol=1e-6, atol=1e-9)


def test_the_centre_lies_between_hq_and_the_mean_of_the_families():
    """Whatever the numbers of references: neither class is favoured."""
    values, labels = references(shifts=(0.0, 4.0, 8.0))
    hq, noise, ghosting = (
        values[[one == name for one in labels]].mean(axis=0) for name in (HQ, "noise", "ghosting")
    )
    expected = (hq + (noise + ghosting) / 2) / 2
    np.testing.assert_allclose(whitening(values, labels, 0.1).centre, expected, rtol=1e-9)
    many = [row for row, one in enumerate(labels) for _ in range(5 if one == "noise" else 1)]
    again = whitening(values[many], [labels[row] for row in many], 0.1)
    np.testing.assert_allclose(again.centre, expected, rtol=1e-9)


def test_fewer_references_than_dimensions_are_enough():
    values, labels = references(n=9, size=40)
    for shrinkage in (0.0, 0.1):
        found = whitening(values, labels, shrinkage).apply(values)
        assert np.isfinite(found).all()


def test_references_without_any_variation_are_left_as_they_are():
    values = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 2.0]])
    found = whitening(values, [HQ, HQ, "noise"], 0.1)
    np.testing.assert_array_equal(found.matrix, np.eye(2))


@pytest.mark.parametrize("labels", [[HQ, HQ], ["noise", "bias"]])
def test_one_class_alone_cannot_be_whitened(labels):
    with pytest.raises(ValueError, match="HQ and LQ"):
        whitening(np.zeros((2, 3)), labels, 0.1)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 1.0))
def test_the_order_of_references_changes_nothing(seed, shrinkage):
    values, labels = references(n=30)
    order = np.random.default_rng(seed).permutation(30)
    one = whitening(values, labels, shrinkage)
    two = whitening(values[order], [labels[i] for i in order], shrinkage)
    np.testing.assert_allclose(one.matrix, two.matrix, rtol=1e-6, atol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_cosines_do_not_depend_on_the_axes_of_the_embedding(seed):
    """Rotating all embeddings rotates the whitened ones: their cosines stay."""
    values, labels = references(n=30)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    cosines = []
    for one in (values, values @ rotation):
        whitened = unit(whitening(one, labels, 0.1).apply(one))
        cosines.append(whitened @ whitened.T)
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-4)


def test_unit_rows_have_length_one_and_zeros_stay():
    found = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
