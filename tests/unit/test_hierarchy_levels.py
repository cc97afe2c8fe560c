"""Features levelled by their stratum: a median, a spread, and what neither may do."""

from dataclasses import replace
from statistics import median

import numpy as np
import pytest
from hierarchy_pieces import embedding
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.embedding.volumes import SLICE_METRICS
from mriqa.methods.hierarchy.levels import LEAST_SPREAD, LIMIT, fit_levels


def volumes(seed, n=6, length=3, scale=1, shift=0):
    """Volumes of whole numbers, which a half-precision float holds whatever is done to them."""
    rng = np.random.default_rng(seed)
    return [
        embedding(scale * rng.integers(-20, 21, (rng.integers(1, 7), length)) + shift)
        for _ in range(n)
    ]


def slowly(made):
    """Median and 1.4826 times the median distance from it, of each feature of all body slices."""
    centre, spread = [], []
    slices = [
        row for one in made for row, body in zip(one.slices, one.is_body, strict=True) if body
    ]
    for feature in zip(*(row.tolist() for row in slices), strict=True):
        middle = median(feature)
        centre.append(middle)
        spread.append(1.4826 * median(abs(value - middle) for value in feature))
    return centre, spread


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_levels_are_median_and_median_distance(seed):
    made = volumes(seed)
    levels = fit_levels({"T1w": made})
    centre, spread = slowly(made)
    np.testing.assert_allclose(levels.centre[0, :3], centre, rtol=1e-6)
    usual = np.array(spread) > 0
    np.testing.assert_allclose(levels.spread[0, :3][usual], np.array(spread)[usual], rtol=1e-6)


def test_a_few_bad_volumes_move_the_level_little():
    made = [*volumes(0, n=60), *(embedding(np.full((1, 3), 1000.0)) for _ in range(6))]
    levels = fit_levels({"T1w": made})
    assert np.abs(levels.centre).max() <= 4
    assert levels.spread[0, :3].max() < 25


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 4, 8]), st.sampled_from([-64, 0, 256]))
def test_what_a_contrast_does_to_all_its_features_cancels(seed, scale, shift):
    """Another unit, another offset: good and bad volumes look the same, levelled."""
    plain = {name: volumes(seed + n, n=12) for n, name in enumerate(("b0", "b1000", "T2w"))}
    other = plain | {"b1000": volumes(seed + 1, n=12, scale=scale, shift=shift)}
    one, two = fit_levels(plain), fit_levels(other)
    for name in plain:
        for first, second in zip(plain[name], other[name], strict=True):
            np.testing.assert_allclose(one.bag(first, name), two.bag(second, name), atol=2e-3)


def test_a_feature_that_is_constant_in_a_small_stratum_decides_nothing_there():
    many = [embedding(np.random.default_rng(n).normal(5, 1, (9, 1))) for n in range(20)]
    alike = [embedding(np.full((9, 1), 5.0))]
    levels = fit_levels({"a": many, "b": many, "small": alike})
    row = levels.strata.index("small")
    assert levels.spread[row, 0] == pytest.approx(LEAST_SPREAD * levels.spread[0, 0])
    usual = levels.bag(embedding([[5.0 + levels.spread[0, 0]]]), "small")[0, 0]
    assert usual == pytest.approx(1 / LEAST_SPREAD, rel=0.02)  # far off, but no more than that


def test_what_is_levelled_is_finite_and_within_the_limit():
    constant = [embedding(np.full((4, 2), 3.0)) for _ in range(3)]
    levels = fit_levels({"T1w": constant})
    bag = levels.bag(embedding([[3.0, 3.0], [3.5, -60_000.0]]), "T1w")
    assert bag[0, :2].tolist() == [0, 0]
    assert bag[1, :2].tolist() == [LIMIT, -LIMIT]


def test_places_run_from_the_first_slice_of_the_body_to_its_last():
    levels = fit_levels({"T1w": volumes(0)})
    body = [False, True, True, True, True, True, False]
    bag = levels.bag(embedding(np.zeros((7, 3)), body), "T1w")
    assert bag[:, -1].tolist() == [-1, -0.5, 0, 0.5, 1]
    one = levels.bag(embedding(np.zeros((2, 3)), [False, True]), "T1w")
    assert one.shape == (1, 4 + len(SLICE_METRICS))


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_only_slices_of_the_body_count(seed):
    rng = np.random.default_rng(seed)
    values, body = rng.integers(-20, 21, (8, 3)), np.array([0, 0, 1, 1, 1, 1, 0, 0], dtype=bool)
    noise = values.copy()
    noise[~body] = 2000
    one, two = embedding(values, body), embedding(noise, body)
    first, second = fit_levels({"T1w": [one]}), fit_levels({"T1w": [two]})
    np.testing.assert_array_equal(first.centre, second.centre)
    np.testing.assert_array_equal(first.spread, second.spread)
    found = first.bag(one, "T1w")
    np.testing.assert_array_equal(found, second.bag(two, "T1w"))
    assert len(found) == 4


def test_the_strata_are_levelled_apart_in_the_order_of_their_names():
    levels = fit_levels({"b": volumes(0, shift=100), "a": volumes(0)})
    assert levels.strata == ("a", "b")
    np.testing.assert_allclose((levels.centre[1] - levels.centre[0])[:3], 100)


def test_an_unknown_stratum_cannot_be_levelled():
    levels = fit_levels({"T1w": volumes(0)})
    assert (levels.knows("T1w"), levels.knows("T2w"), levels.knows(None)) == (True, False, False)
    with pytest.raises(ValueError, match="not in tuple"):
        levels.bag(volumes(1)[0], "T2w")
    with pytest.raises(ValueError, match="no stratum"):
        fit_levels({})


def test_metrics_are_levelled_and_what_is_unknown_is_usual():
    rng = np.random.default_rng(0)
    made = [
        replace(embedding(np.ones((9, 2))), metrics=rng.normal(-0.3, 0.02, (9, 3)))
        for _ in range(20)
    ]
    for one in made:
        one.metrics[[0, -1], 1:] = np.nan
    levels = fit_levels({"T1w": made})
    np.testing.assert_allclose(levels.centre[0, 2:], -0.3, atol=0.01)
    np.testing.assert_allclose(levels.spread[0, 2:], 0.02, rtol=0.2)
    torn = replace(made[0], metrics=made[0].metrics.copy())
    torn.metrics[4] = (-0.5, 0.3, -0.3)
    bag = levels.bag(torn, "T1w").astype(float)
    assert bag.shape == (9, 2 + 3 + 1)
    assert bag[4, 2] < -5
    assert bag[4, 3] == LIMIT
    assert np.abs(bag[4, 4]) < 1
    assert not bag[[0, -1], 3:5].any()


def test_where_nothing_was_known_of_a_metric_it_says_nothing():
    """Learned from volumes of two slices; the next one has more."""
    known = [
        replace(one, metrics=np.random.default_rng(0).normal(0, 1, one.metrics.shape))
        for one in volumes(1, n=12)
    ]
    levels = fit_levels({"T1w": volumes(0), "T2w": known})
    more = replace(volumes(0)[0], metrics=np.full_like(volumes(0)[0].metrics, -0.05))
    for one in (volumes(0)[0], more):
        bag = levels.bag(one, "T1w")
        assert np.isfinite(bag).all()
        assert not bag[:, 3:-1].any()
    alone = fit_levels({"T2w": known})
    np.testing.assert_allclose(levels.spread[1], alone.spread[0], rtol=1e-6)
