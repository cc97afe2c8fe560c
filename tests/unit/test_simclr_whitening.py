"""Whitening: what varies within the classes varies equally; only artifacts' directions count."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.methods.simclr.whitening import HQ, margin_of, unit, whitening


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


def means_of(values, labels):
    """Mean of each class, HQ first."""
    names = sorted(set(labels), key=lambda name: (name != HQ, name))
    return [values[[one == name for one in labels]].mean(axis=0) for name in names]


def slow_distance(row, values, labels, shrinkage):
    """Mahalanobis distance from the HQ mean of what the families' directions explain of `row`."""
    covariance = within(values, labels)
    size = len(covariance)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size)
    root = np.linalg.inv(np.linalg.cholesky(shrunk))
    hq, *families = means_of(values, labels)
    directions = np.stack([root @ (mean - hq) for mean in families]).T
    target = root @ (row - hq)
    explained = directions @ np.linalg.lstsq(directions, target, rcond=None)[0]
    return np.sqrt((explained**2).sum())


@pytest.mark.parametrize("shrinkage", [0.01, 0.1, 1.0])
def test_lengths_are_distances_from_hq_in_what_the_families_directions_explain(shrinkage):
    values, labels = references()
    found = whitening(values, labels, shrinkage).apply(values[:20])
    expected = [slow_distance(row, values, labels, shrinkage) for row in values[:20]]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), expected, rtol=1e-4)


def test_references_vary_by_one_along_every_direction_within_their_classes():
    values, labels = references()
    found = whitening(values, labels, 0.0).apply(values)
    np.testing.assert_allclose(within(found, labels), np.eye(found.shape[1]), atol=1e-3)


def test_there_are_as_many_directions_as_families_move_in():
    values, labels = references(shifts=(0.0, 4.0, 8.0))  # both along one axis
    assert whitening(values, labels, 0.1).matrix.shape == (2, 6)  # the rest is chance
    one = [name for name in labels if name != "ghosting"]
    kept = [name != "ghosting" for name in labels]
    assert whitening(values[kept], one, 0.1).matrix.shape == (1, 6)


def test_the_mean_of_hq_is_at_zero_and_that_of_a_family_is_not():
    values, labels = references(shifts=(0.0, 4.0, 8.0))
    hq, ghosting, noise = means_of(whitening(values, labels, 0.1).apply(values), labels)
    assert np.linalg.norm(hq) < 1e-4
    assert np.linalg.norm(ghosting) > np.linalg.norm(noise) > 1


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 4), st.floats(0.01, 100))
def test_the_margin_is_the_gain_in_distance_over_the_greatest_there_is(seed, n_families, size):
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, size, (5, 3)).astype(np.float32)
    hq, *families = rng.normal(0, 1, (1 + n_families, 1, 3)).astype(np.float32)
    found = margin_of(rows, hq, families)
    for row, margin in zip(rows, found, strict=True):
        gains = [math.dist(row, one[0]) - math.dist(row, hq[0]) for one in families]
        greatest = sum(math.dist(one[0], hq[0]) for one in families)
        assert margin == pytest.approx(sum(gains) / greatest, abs=1e-4)
        assert -1 - 1e-6 <= margin <= 1 + 1e-6
    np.testing.assert_allclose(margin_of(hq, hq, families), [1])
    if n_families == 1:
        np.testing.assert_allclose(margin_of(families[0], hq, families), [-1])
        np.testing.assert_allclose(margin_of((hq + families[0]) / 2, hq, families), [0], atol=1e-5)


def test_without_families_there_is_no_margin():
    with pytest.raises(ValueError, match="family"):
        margin_of(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32), [])


def test_what_is_no_number_stays_none():
    hq, other = np.full((1, 2), np.nan, np.float32), np.ones((1, 2), np.float32)
    assert np.isnan(margin_of(np.zeros((2, 2), np.float32), hq, [other])).all()


def test_where_nothing_can_be_told_apart_the_margin_is_zero():
    same = np.ones((1, 2), np.float32)
    np.testing.assert_array_equal(margin_of(np.zeros((2, 2), np.float32), same, [same]), [0, 0])


def test_fewer_references_than_dimensions_are_enough():
    values, labels = references(n=9, size=40)
    for shrinkage in (0.0, 0.1):
        found = whitening(values, labels, shrinkage).apply(values)
        assert np.isfinite(found).all()


def test_references_without_any_variation_are_left_as_they_are():
    values = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 2.0]])
    found = whitening(values, [HQ, HQ, "noise"], 0.1).apply(values)
    np.testing.assert_allclose(np.abs(found), [[0], [0], [2]])


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
    first, second = (np.linalg.norm(some.apply(values), axis=1) for some in (one, two))
    np.testing.assert_allclose(first, second, rtol=1e-4)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_distances_do_not_depend_on_the_axes_of_the_embedding(seed):
    """Rotating all embeddings rotates what is whitened: lengths stay."""
    values, labels = references(n=30)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    first, second = (
        np.linalg.norm(whitening(one, labels, 0.1).apply(one), axis=1)
        for one in (values, values @ rotation)
    )
    np.testing.assert_allclose(first, second, rtol=1e-4)


def test_unit_rows_have_length_one_and_zeros_stay():
    found = unit(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
