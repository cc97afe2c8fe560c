"""Who is learned from: never who is tested, and nothing of the site that is left out."""

from dataclasses import replace

import numpy as np
import pytest
from graded_tables import QUICK, drawn_scans
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mriqa.evaluation.metrics import predictions as module
from mriqa.evaluation.metrics.classifiers import KINDS, fit, prepare, scaled_by_site
from mriqa.evaluation.metrics.folds import deal, leave_sites_out
from mriqa.evaluation.metrics.predictions import (
    Ground,
    joined,
    predict_fold,
    predict_others,
)
from mriqa.evaluation.metrics.settings import ForestSection
from mriqa.evaluation.metrics.single import learned_sign, signs_of, signs_of_folds, stated_sign


@st.composite
def cohorts(draw):
    n = draw(st.integers(4, 40))
    ids = st.lists(st.integers(0, n // 2), min_size=n, max_size=n)
    flags = st.lists(st.booleans(), min_size=n, max_size=n)
    subjects, sites = (np.array(draw(ids)).astype(str) for _ in range(2))
    bad, known = (np.array(draw(flags)) for _ in range(2))
    return subjects, sites, bad, known


def check_folds(folds, units, subjects, known):
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(subjects)))
    for fold in folds:
        assert not set(subjects[fold.test]) & set(subjects[fold.train])
        assert not set(units[fold.test]) & set(units[fold.train])
        assert known[fold.train].all()
        # nobody is left out who could be learned from
        apart = known & ~np.isin(subjects, subjects[fold.test])
        assert set(fold.train) == set(np.flatnonzero(apart))


@given(cohorts())
def test_a_site_is_tested_by_others_and_a_subject_never_on_both_sides(cohort):
    subjects, sites, _, known = cohort
    folds = leave_sites_out(sites, subjects, known)
    assert [set(sites[fold.test]) for fold in folds] == [{name} for name in np.unique(sites)]
    check_folds(folds, sites, subjects, known)


@given(cohorts(), st.integers(2, 8), st.integers(0, 99))
def test_dealt_folds_hold_whole_subjects(cohort, n_folds, seed):
    subjects, _, bad, known = cohort
    folds = deal(subjects, subjects, bad, known, n_folds, seed)
    assert len(folds) == min(n_folds, len(set(subjects)))
    check_folds(folds, subjects, subjects, known)
    again = deal(subjects, subjects, bad, known, n_folds, seed)
    assert all((a.test == b.test).all() for a, b in zip(folds, again, strict=True))


@given(cohorts(), st.integers(2, 5), st.integers(0, 9))
def test_sites_are_dealt_without_splitting_them_or_subjects(cohort, n_folds, seed):
    subjects, sites, bad, known = cohort
    check_folds(deal(sites, subjects, bad, known, n_folds, seed), sites, subjects, known)


def test_dealt_folds_have_alike_many_bad_scans():
    subjects = np.arange(60).astype(str)
    bad = np.arange(60) % 4 == 0
    folds = deal(subjects, subjects, bad, np.ones(60, dtype=bool), 5, 0)
    assert [int(bad[fold.test].sum()) for fold in folds] == [3] * 5
    assert [len(fold.test) for fold in folds] == [12] * 5


def ground_of(scans, verdicts, by_site=False):
    values = scaled_by_site(scans.values, scans.sites) if by_site else scans.values
    return Ground(scans, verdicts, values, QUICK, 1)


def spoiled(scans, verdicts, rows, seed=1):
    """Other metrics, half of them missing, and other grades, in `rows` alone."""
    rng = np.random.default_rng(seed)
    values, said = scans.values.copy(), verdicts.said.copy()
    values[rows] = 1e3 * rng.normal(size=values[rows].shape) - 500
    values[rows] = np.where(rng.random(values[rows].shape) < 0.5, np.nan, values[rows])
    said[rows] = 1 - said[rows]
    return replace(scans, values=values), replace(verdicts, said=said)


@pytest.mark.parametrize("by_site", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_site_left_out_influences_nothing(kind, by_site, monkeypatch):
    """Medians, scales, coefficients, thresholds and directions are the same whatever it holds."""
    made = []
    monkeypatch.setattr(module, "fit", lambda *all: made.append(fit(*all)) or made[-1])
    scans, verdicts = drawn_scans(n_subjects=18)
    for fold in leave_sites_out(scans.sites, scans.subjects, verdicts.known):
        other = spoiled(scans, verdicts, fold.test)
        made.clear()
        one = predict_fold(kind, ground_of(scans, verdicts, by_site), fold)
        first = list(made)
        made.clear()
        two = predict_fold(kind, ground_of(*other, by_site), fold)
        assert len(first) == len(made) > 0
        probe = np.random.default_rng(0).normal(size=(30, scans.values.shape[1]))
        for a, b in zip(first, made, strict=True):
            for name in ("medians", "means", "scales"):
                mine, theirs = (getattr(x.preparation, name) for x in (a, b))
                np.testing.assert_array_equal(mine, theirs)
            np.testing.assert_array_equal(a(probe), b(probe))
        np.testing.assert_array_equal(one.thresholds, two.thresholds)
        np.testing.assert_array_equal(one.share, two.share)
        np.testing.assert_array_equal(
            signs_of(ground_of(scans, verdicts), fold.train),
            signs_of(ground_of(*other), fold.train),
        )


def test_a_subject_at_two_sites_teaches_neither():
    scans, verdicts = drawn_scans()
    sites = scans.sites.copy()
    sites[0] = scans.sites[2]
    for fold in leave_sites_out(sites, scans.subjects, verdicts.known):
        if {sites[0], sites[1]} & set(sites[fold.test]):
            assert not {0, 1} & set(fold.train)


def test_what_a_scan_of_the_training_side_says_does_matter():
    """The test above would pass if nothing mattered at all."""
    scans, verdicts = drawn_scans(n_subjects=18)
    fold = leave_sites_out(scans.sites, scans.subjects, verdicts.known)[0]
    one = predict_fold("logistic", ground_of(scans, verdicts), fold)
    other = predict_fold("logistic", ground_of(*spoiled(scans, verdicts, fold.train[:6])), fold)
    assert not np.allclose(one.probability, other.probability)


def test_thresholds_keep_their_specificity_out_of_fold_on_the_training_side():
    scans, verdicts = drawn_scans(n_subjects=30)
    ground = ground_of(scans, verdicts)
    train = np.flatnonzero(verdicts.known)
    inner = module._inner("logistic", ground, train, "logistic all")
    found = predict_others("logistic", ground, train, scans.values[:3], "all")
    good = inner[~verdicts.bad]
    for asked, thresholds in zip(QUICK.specificities, found.thresholds, strict=True):
        assert (thresholds == thresholds[0]).all()
        assert np.mean(good <= thresholds[0]) >= asked
        lower = good[good < thresholds[0]]
        assert np.mean(good <= lower.max()) < asked + 1 / len(good)


def test_logistic_regression_is_that_of_a_plain_pipeline():
    scans, verdicts = drawn_scans(n_subjects=30, missing=0)
    folds = leave_sites_out(scans.sites, scans.subjects, verdicts.known)
    ground = ground_of(scans, verdicts)
    found = joined([predict_fold("logistic", ground, fold) for fold in folds], folds, len(scans))
    slow = np.full(len(scans), np.nan)
    for site in set(scans.sites):
        away = scans.sites != site
        plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        plain.fit(scans.values[away], verdicts.bad[away])
        slow[~away] = plain.predict_proba(scans.values[~away])[:, 1]
    np.testing.assert_allclose(found.probability, slow, atol=1e-5)
    shares = [verdicts.bad[scans.sites != site].mean() for site in scans.sites]
    np.testing.assert_allclose(found.share, shares)


def test_missing_values_become_the_median_of_the_training_side():
    train = np.array([[1.0, np.nan], [2.0, np.nan], [9.0, np.nan]])
    made = prepare(train)
    assert made.medians.tolist() == [2, 0]
    np.testing.assert_allclose(made(np.array([[np.nan, 5.0]])), made(np.array([[2.0, 5.0]])))


def test_a_metric_that_is_constant_says_nothing():
    made = prepare(np.full((5, 1), 0.1))
    assert abs(made(np.array([[0.1]]))[0, 0]) < 1e-9


def test_of_one_class_there_is_nothing_to_learn():
    one = fit("forest", np.zeros((4, 2)), np.ones(4, dtype=bool), QUICK, "x", 1)
    assert one(np.zeros((2, 2))).tolist() == [1, 1]


def test_a_forest_says_the_same_on_any_number_of_threads():
    """To the last bit: sums of many trees must not depend on which thread is done first."""
    scans, verdicts = drawn_scans(n_subjects=60, missing=0)
    section = QUICK.model_copy(update={"forest": ForestSection(trees=60, depth=4, leaf=2)})
    one, many = (fit("forest", scans.values, verdicts.bad, section, "x", n) for n in (1, 4))
    for _ in range(5):
        np.testing.assert_array_equal(one(scans.values), many(scans.values))


@given(st.integers(0, 1000), st.floats(0.1, 50), st.floats(-100, 100))
@settings(max_examples=25)
def test_what_a_scanner_multiplies_and_adds_is_gone_by_site(seed, scale, shift):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(20, 2))
    values[0, 0] = np.nan
    sites = np.array(["a"] * 12 + ["b"] * 8)
    changed = values.copy()
    changed[:12] = scale * changed[:12] + shift
    one, two = scaled_by_site(values, sites), scaled_by_site(changed, sites)
    np.testing.assert_allclose(one, two, atol=1e-6)
    assert np.nanmedian(one[:12], axis=0) == pytest.approx([0, 0], abs=1e-6)
    low, high = np.nanpercentile(one[:12], [25, 75], axis=0)
    assert high - low == pytest.approx([1.349, 1.349], abs=1e-6)


def test_a_metric_without_spread_at_a_site_is_not_divided_by_zero():
    values = np.array([[1.0], [1.0], [1.0], [np.nan], [np.nan]])
    scaled = scaled_by_site(values, np.array(["a"] * 3 + ["b"] * 2))
    assert scaled[:3, 0].tolist() == [0, 0, 0]
    assert np.isnan(scaled[3:, 0]).all()


def test_a_direction_is_learned_only_where_none_is_stated():
    assert stated_sign("snr_total", QUICK) == (-1, "published")
    assert stated_sign("noise", QUICK) == (None, "training")
    told = QUICK.model_copy(update={"directions": {"snr_total": "lower"}})
    assert stated_sign("snr_total", told) == (1, "settings")
    bad = np.array([True, True, False, False])
    assert learned_sign(np.array([3.0, 2, 1, np.nan]), bad) == 1
    assert learned_sign(np.array([1.0, 2, 3, 4]), bad) == -1
    assert learned_sign(np.full(4, np.nan), bad) == 1


def test_a_direction_is_not_taken_from_the_tested_side():
    """A site whose metric points the other way is not put right."""
    scans, verdicts = drawn_scans(n_subjects=18, missing=0)
    values = scans.values.copy()
    away = scans.sites == "site0"
    values[:, 0] = np.where(away, -1, 1) * verdicts.bad
    scans = replace(scans, values=values)
    folds = leave_sites_out(scans.sites, scans.subjects, verdicts.known)
    signs = signs_of_folds(ground_of(scans, verdicts), folds)
    assert (signs[away, 0] == 1).all()
