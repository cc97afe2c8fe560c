"""Figures of metrics and classifiers, against slow and obvious references."""

from dataclasses import replace

import numpy as np
import pytest
from graded_tables import QUICK, drawn_scans, scans_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import (
    balanced_accuracy_score,
    brier_score_loss,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from mriqa.evaluation.calibration_error import ece
from mriqa.evaluation.metrics.figures import (
    against_grades,
    at_specificities,
    classifier_record,
    of_raters,
    of_sites,
    over_sites,
)
from mriqa.evaluation.metrics.predictions import Predicted
from mriqa.evaluation.metrics.single import metric_records, rank_correlation
from mriqa.evaluation.metrics.tested import with_resamples
from mriqa.evaluation.metrics.verdicts import OPEN, Verdicts


def slow_auc(badness, bad, good, same=None):
    """Every pair by itself; `same`: only pairs of one of these groups."""
    wins = pairs = 0.0
    for i in np.flatnonzero(bad):
        for j in np.flatnonzero(good):
            if same is not None and same[i] != same[j]:
                continue
            if np.isnan(badness[i]) or np.isnan(badness[j]):
                continue
            pairs += 1
            wins += float(badness[i] > badness[j]) + 0.5 * float(badness[i] == badness[j])
    return wins / pairs if pairs else None


def predicted(n, seed=0, share=0.4):
    rng = np.random.default_rng(seed)
    thresholds = np.tile([[0.7], [0.8]], (1, n))
    return Predicted(rng.random(n).round(2), np.full(n, share), thresholds)


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_auc_of_each_metric_is_that_of_all_pairs(seed):
    scans, verdicts = drawn_scans(seed=seed)
    scans = replace(scans, values=scans.values.round(1))
    rng = np.random.default_rng(seed)
    verdicts = replace(verdicts, said=np.where(rng.random(len(scans)) < 0.1, OPEN, verdicts.said))
    signs = np.tile([1.0, -1, 1, -1], (len(scans), 1))
    records = metric_records(with_resamples("out of site", scans, verdicts, QUICK), signs)
    bad, good = verdicts.bad, verdicts.known & ~verdicts.bad
    for at, record in enumerate(records):
        badness = signs[:, at] * scans.values[:, at]
        assert record["auc"] == pytest.approx(slow_auc(badness, bad, good))
        within = slow_auc(badness, bad, good, scans.sites)
        assert record["within_site"]["value"] == pytest.approx(within)
        there = np.isfinite(badness)
        rho = spearmanr(badness[there], verdicts.place[there]).statistic
        assert record["spearman"] == pytest.approx(rho)
        assert record["better"] == ("lower" if signs[0, at] > 0 else "higher")
        assert record["n_missing"] == np.isnan(badness[verdicts.known]).sum()


def test_folds_that_see_a_metric_otherwise_make_no_pairs():
    scans, verdicts = drawn_scans(missing=0)
    signs = np.ones_like(scans.values)
    away = scans.sites == "site1"
    signs[away, 0] = -1
    record = metric_records(with_resamples("out of site", scans, verdicts, QUICK), signs)[0]
    badness, bad = signs[:, 0] * scans.values[:, 0], verdicts.bad
    assert record["auc"] == pytest.approx(slow_auc(badness, bad, ~bad, away))
    assert record["better"] is None
    assert record["spearman"] is None
    assert record["direction_from"] == "training"


def test_a_metric_is_not_flipped_by_what_is_tested():
    """One that points the wrong way has an AUC below 0.5."""
    scans, verdicts = drawn_scans(missing=0)
    signs = -np.ones_like(scans.values)
    record = metric_records(with_resamples("out of site", scans, verdicts, QUICK), signs)[0]
    assert record["auc"] < 0.3


def test_an_interval_draws_whole_subjects():
    """Rows that are copied make no interval narrower, if they are of the same subjects."""
    scans, verdicts = drawn_scans(n_subjects=20, missing=0)
    signs = np.ones_like(scans.values)
    once = metric_records(with_resamples("x", scans, verdicts, QUICK), signs)[0]
    rows = np.repeat(np.arange(len(scans)), 5)
    many, said = scans.only(rows), verdicts.only(rows)
    copied = metric_records(with_resamples("x", many, said, QUICK), signs[rows])[0]
    for name in ("auc", "low", "high"):
        assert copied[name] == pytest.approx(once[name])


@given(st.integers(0, 10_000))
@settings(max_examples=20)
def test_figures_of_a_classifier_are_those_of_scikit_learn(seed):
    scans, verdicts = drawn_scans(seed=seed)
    test, found = with_resamples("out of site", scans, verdicts, QUICK), predicted(len(scans), seed)
    record = classifier_record(test, "logistic", "as it is", found)
    p, bad = found.probability, verdicts.bad
    assert record["auc"]["value"] == pytest.approx(roc_auc_score(bad, p))
    within = slow_auc(p, bad, ~bad, scans.sites)
    assert record["within_site"]["value"] == pytest.approx(within)
    assert record["accuracy"]["value"] == pytest.approx(np.mean((p > 0.5) == bad))
    balanced = balanced_accuracy_score(bad, p > 0.4)
    assert record["balanced_accuracy"]["value"] == pytest.approx(balanced)
    assert record["brier"]["value"] == pytest.approx(brier_score_loss(bad, p))
    sure = np.maximum(p, 1 - p)
    assert record["ece"]["ece"] == pytest.approx(ece(sure, (p > 0.5) == bad))
    assert record["spearman"] == pytest.approx(spearmanr(p, verdicts.place).statistic)
    assert (record["n"], record["n_bad"]) == (len(scans), bad.sum())


@given(st.integers(0, 10_000))
@example(4565)
@settings(max_examples=20)
def test_sensitivity_at_a_specificity(seed):
    scans, verdicts = drawn_scans(seed=seed)
    test, found = with_resamples("x", scans, verdicts, QUICK), predicted(len(scans), seed)
    p, bad = found.probability, verdicts.bad
    records = at_specificities(test, found)
    false_alarms, hits, _ = roc_curve(bad, p, drop_intermediate=False)
    for record, asked, threshold in zip(records, (0.9, 0.95), (0.7, 0.8), strict=True):
        called = p > threshold
        assert record["asked"] == asked
        assert record["sensitivity"]["value"] == pytest.approx(recall_score(bad, called))
        assert record["specificity"]["value"] == pytest.approx(recall_score(~bad, ~called))
        best = hits[1 - false_alarms >= asked - 1e-12].max()
        assert record["roc"] == pytest.approx(best)


def test_open_scans_count_nowhere():
    scans, verdicts = drawn_scans(n_subjects=20)
    said = verdicts.said.copy()
    said[::5] = OPEN
    kept = said != OPEN
    found = predicted(len(scans))
    rows = np.flatnonzero(kept)
    part, less = scans.only(rows), replace(verdicts, said=said).only(rows)
    fewer = Predicted(found.probability[kept], found.share[kept], found.thresholds[:, kept])
    whole = with_resamples("x", scans, replace(verdicts, said=said), QUICK)
    a = classifier_record(whole, "forest", "as it is", found)
    b = classifier_record(with_resamples("x", part, less, QUICK), "forest", "as it is", fewer)
    for name in ("n", "n_bad", "auc", "within_site", "accuracy", "balanced_accuracy", "brier",
                 "ece", "at_specificity", "sites"):  # fmt: skip
        assert a[name] == b[name], name


def test_the_majority_has_no_auc_but_an_accuracy():
    scans, verdicts = drawn_scans()
    found = Predicted(np.full(len(scans), 0.3), np.full(len(scans), 0.3), np.zeros((2, len(scans))))
    record = classifier_record(
        with_resamples("x", scans, verdicts, QUICK), "majority", "as it is", found
    )
    assert record["auc"] is None
    assert record["accuracy"]["value"] == pytest.approx(1 - verdicts.bad.mean())
    assert record["balanced_accuracy"]["value"] == 0.5
    assert record["at_specificity"] == record["sites"] == []


def test_each_site_by_itself():
    scans, verdicts = drawn_scans(n_subjects=18)
    said = np.where(scans.sites == "site2", 0, verdicts.said)
    test = with_resamples("x", scans, replace(verdicts, said=said), QUICK)
    found = predicted(len(scans))
    records = of_sites(test, found)
    assert [one["site"] for one in records] == ["site0", "site1", "site2"]
    for one in records:
        rows = scans.sites == one["site"]
        p, bad = found.probability[rows], said[rows] == 1
        assert (one["n"], one["n_bad"]) == (rows.sum(), bad.sum())
        assert one["accuracy"] == pytest.approx(np.mean((p > 0.5) == bad))
        assert one["majority"] == pytest.approx(1 - bad.mean())
        if one["site"] == "site2":
            assert one["auc"] is one["balanced_accuracy"] is None
        else:
            assert one["auc"] == pytest.approx(roc_auc_score(bad, p))
            balanced = balanced_accuracy_score(bad, p > 0.4)
            assert one["balanced_accuracy"] == pytest.approx(balanced)
    aucs = [one["auc"] for one in records[:2]]
    assert over_sites(records, "auc") == pytest.approx((np.mean(aucs), np.std(aucs, ddof=1), 2))
    assert over_sites(records[2:], "auc") is None


def test_against_each_rater_and_grade_alone():
    grades = [(0, 2), (2, None), (1, 2), (0, 0), (2, 2), (None, 1)] * 3
    scans = scans_of(grades)
    place = np.array([np.median([one for one in row if one is not None]) for row in grades])
    verdicts = Verdicts((place == 2).astype(int), np.zeros(len(grades), dtype=bool), place)
    test, found = with_resamples("x", scans, verdicts, QUICK), predicted(len(grades))
    for at, record in enumerate(of_raters(test, found)):
        own = scans.grades[:, at]
        there = own >= 0
        assert record["n"] == there.sum()
        auc = roc_auc_score(own[there] == 2, found.probability[there])
        assert record["auc"]["value"] == pytest.approx(auc)
    for record in against_grades(test, found.probability):
        rows = (verdicts.said == 1) | (place == int(record["grade"]) - 1)
        auc = roc_auc_score(verdicts.bad[rows], found.probability[rows])
        assert record["value"] == pytest.approx(auc)
        assert record["n"] == (place == int(record["grade"]) - 1).sum()


def test_no_rank_correlation_of_what_does_not_vary():
    assert rank_correlation(np.ones(4), np.arange(4.0)) is None
    assert rank_correlation(np.array([1, np.nan, 2]), np.array([0.0, 1, 2])) == pytest.approx(1)
