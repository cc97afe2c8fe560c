"""AUC within strata against counting every pair, and the bootstrap against doing it by hand."""

import numpy as np
import pytest

from mriqa.evaluation.auc import Sampling, auc_of, pair_up, resample


def count_pairs(badness, positive, negative, stratum, times):
    """AUC by looking at every pair; `times` says how often each row was drawn."""
    wins = pairs = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(negative):
            if stratum[i] != stratum[j] or stratum[i] < 0:
                continue
            if np.isnan(badness[i]) or np.isnan(badness[j]):
                continue
            n = times[i] * times[j]
            pairs += n
            wins += n * (1.0 if badness[i] > badness[j] else 0.5 if badness[i] == badness[j] else 0)
    return wins / pairs if pairs else None


def made_up(seed, n=120, n_subjects=25):
    rng = np.random.default_rng(seed)
    badness = np.round(rng.normal(size=n), 1)  # many ties
    badness[rng.random(n) < 0.1] = np.nan
    positive = rng.random(n) < 0.3
    badness[positive] += 0.5
    return badness, positive, rng.integers(-1, 3, n), rng.integers(0, n_subjects, n)


@pytest.mark.parametrize("seed", range(5))
def test_equals_counting_every_pair(seed):
    badness, positive, stratum, subject = made_up(seed)
    sampling = Sampling(subject, stratum, resample(25, 0, 0))
    found = auc_of(pair_up(badness, positive, ~positive, sampling), positive, sampling)
    expected = count_pairs(badness, positive, ~positive, stratum, np.ones(len(badness)))
    assert found.auc == pytest.approx(expected, abs=1e-12)


def test_every_resample_equals_counting_pairs_of_the_drawn_subjects():
    badness, positive, stratum, subject = made_up(1, n=60, n_subjects=12)
    drawn = resample(12, 30, seed=7)
    sampling = Sampling(subject, stratum, drawn)
    pairs = pair_up(badness, positive, ~positive, sampling)
    for row, times in enumerate(drawn):
        expected = count_pairs(badness, positive, ~positive, stratum, times[subject])
        total = pairs.pairs[row].sum()
        assert pairs.wins[row].sum() / total == pytest.approx(expected, abs=1e-12)


def test_interval_holds_the_middle_of_the_resamples():
    badness, positive, stratum, subject = made_up(2)
    drawn = resample(25, 300, seed=3)
    sampling = Sampling(subject, stratum, drawn)
    pairs = pair_up(badness, positive, ~positive, sampling)
    found = auc_of(pairs, positive, sampling)
    by_hand = pairs.wins[1:].sum(axis=1) / pairs.pairs[1:].sum(axis=1)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(by_hand, [2.5, 97.5])))
    assert found.low < found.auc < found.high


def test_a_resample_draws_as_many_subjects_as_there_are_and_row_0_is_the_data():
    drawn = resample(10, 50, seed=1)
    assert drawn.shape == (51, 10)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(axis=1) == 10).all()
    assert np.array_equal(drawn, resample(10, 50, seed=1))
    assert not np.array_equal(drawn, resample(10, 50, seed=2))


def test_a_difference_between_strata_is_not_taken_for_quality():
    stratum = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    badness = np.array([0, 1, 0, 1, 10, 11, 10, 11.0])  # stratum 1 looks worse throughout
    positive = np.array([0, 0, 0, 1, 1, 1, 1, 0], dtype=bool)
    sampling = Sampling(np.arange(8), stratum, resample(8, 0, 0))
    found = auc_of(pair_up(badness, positive, ~positive, sampling), positive, sampling)
    expected = count_pairs(badness, positive, ~positive, stratum, np.ones(8))
    assert found.auc == pytest.approx(expected)
    assert found.auc < 0.6  # all pairs together would give 0.75


def test_without_a_negative_in_the_stratum_there_is_no_auc():
    sampling = Sampling(np.arange(3), np.array([0, 1, 1]), resample(3, 10, 0))
    positive = np.array([True, False, False])
    found = auc_of(pair_up(np.arange(3.0), positive, ~positive, sampling), positive, sampling)
    assert (found.auc, found.low, found.n_positive, found.n_negative) == (None, None, 0, 0)


def test_positives_of_two_subjects_get_no_interval():
    subject = np.array([0, 0, 0, 1, 2, 3, 4])
    positive = np.array([1, 1, 1, 1, 0, 0, 0], dtype=bool)
    sampling = Sampling(subject, np.zeros(7, dtype=int), resample(5, 100, 0))
    found = auc_of(pair_up(-np.arange(7.0), positive, ~positive, sampling), positive, sampling)
    assert (found.auc, found.low, found.high) == (1.0, None, None)
    assert (found.n_positive, found.n_positive_subjects, found.n_negative) == (4, 2, 3)


def test_negatives_are_counted_only_in_the_strata_of_the_chosen_positives():
    stratum = np.array([0, 0, 0, 1, 1, 1, 1])
    positive = np.array([1, 0, 0, 1, 0, 0, 0], dtype=bool)
    sampling = Sampling(np.arange(7), stratum, resample(7, 0, 0))
    pairs = pair_up(np.arange(7.0), positive, ~positive, sampling)
    first = np.array([1, 0, 0, 0, 0, 0, 0], dtype=bool)
    assert auc_of(pairs, first, sampling).n_negative == 2
    assert auc_of(pairs, positive, sampling).n_negative == 5
