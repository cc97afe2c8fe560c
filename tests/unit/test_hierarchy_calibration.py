"""Temperature, calibration error and the subject rule, against what they should find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mriqa.evaluation.calibration_error import calibration_error, corrected_ece, ece
from mriqa.methods.hierarchy.calibration import (
    USUAL_WRONG_SHARE,
    at_temperature,
    fit_labels,
    fit_temperature,
)
from mriqa.methods.hierarchy.subjects import (
    DEFAULT,
    FAILS_FROM,
    SubjectRule,
    balanced_accuracy,
    fit_rule,
    shares_of,
)


def drawn(n, temperature, seed=0):
    """Probabilities that are wrong by `temperature`, and classes drawn by the right ones."""
    rng = np.random.default_rng(seed)
    right = at_temperature(rng.dirichlet([0.7, 0.7, 0.7], n), 1.0)
    classes = (right.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return at_temperature(right, temperature), classes


@pytest.mark.parametrize("wrong_by", [0.4, 1.0, 2.5])
def test_the_fitted_temperature_undoes_what_was_wrong(wrong_by):
    stated, classes = drawn(20_000, wrong_by)
    assert fit_temperature(stated, classes) == pytest.approx(1 / wrong_by, rel=0.05)
    scaled = at_temperature(stated, fit_temperature(stated, classes))
    right = scaled.argmax(axis=1) == classes
    assert ece(scaled.max(axis=1), right) < 0.02


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_a_temperature_changes_no_class_and_keeps_probabilities(seed, temperature):
    stated, _ = drawn(20, 1.0, seed)
    found = at_temperature(stated, temperature)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found.argmax(axis=1), stated.argmax(axis=1))


def test_certainty_that_is_wrong_can_be_scaled_and_nothing_needs_no_scale():
    stated = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    assert np.isfinite(fit_temperature(stated, np.array([1, 1, 1])))
    assert fit_temperature(stated[:0], np.array([], np.int64)) == 1.0
    with pytest.raises(ValueError, match="0 to 2"):
        fit_temperature(stated, np.array([0, 1, -1]))


def slow_ece(sure, right):
    total = 0.0
    for low in range(15):
        inside = [low / 15 <= one < (low + 1) / 15 or (low == 14 and one == 1) for one in sure]
        if any(inside):
            total += abs(np.sum(right[inside]) - np.sum(sure[inside]))
    return total / len(sure)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60))
def test_the_error_is_that_of_its_definition(seed, n):
    rng = np.random.default_rng(seed)
    sure, right = rng.random(n), rng.random(n) < 0.5
    assert ece(sure, right) == pytest.approx(slow_ece(sure, right))
    assert corrected_ece(sure, right) <= ece(sure, right) + 1e-12


def test_the_correction_takes_away_what_chance_alone_gives():
    """Perfect probabilities of 150 items: some 0.1 by chance, much less when corrected."""
    found = []
    for seed in range(40):
        stated, classes = drawn(150, 1.0, seed)
        sure, right = stated.max(axis=1), stated.argmax(axis=1) == classes
        found.append((ece(sure, right), corrected_ece(sure, right)))
    plain, corrected = np.mean(found, axis=0)
    assert plain > 0.07
    assert corrected < 0.6 * plain


def test_the_interval_is_by_subjects_and_by_the_seed():
    stated, classes = drawn(300, 0.5)
    subjects = np.array([f"s{number // 10}" for number in range(300)])
    one, same = (calibration_error(stated, classes, subjects, 50, 3) for _ in range(2))
    assert one == same
    assert 0 < one.low <= one.corrected <= one.high < 1
    alone = np.array([f"s{number}" for number in range(300)])
    assert calibration_error(stated, classes, alone, 50, 3).low != one.low


def test_shares_are_of_a_sessions_own_volumes():
    found = shares_of([np.array([0, 0, 2, 2]), np.array([1])])
    np.testing.assert_array_equal(found, [[0.5, 0, 0.5], [0, 1, 0]])
    assert shares_of([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("shares", "rating"),
    [((0.8, 0.1, 0.1), 0), ((0.7, 0.3, 0), 1), ((0.65, 0, 0.35), 2), ((0, 1, 0), 1)],
)
def test_the_default_rule_rates_sessions(shares, rating):
    assert DEFAULT.rate(np.array([shares])).tolist() == [rating]


def test_a_fitted_rule_is_what_made_the_truth_as_far_as_can_be_told():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([2, 1, 1], 400)
    made = SubjectRule(0.2, 0.55)
    found = fit_rule(shares, made.rate(shares))
    assert found == made
    assert balanced_accuracy(found.rate(shares), made.rate(shares)) == 1


def test_few_or_no_sessions_decide_little():
    assert fit_rule(np.zeros((0, 3)), np.array([], np.int64)) == DEFAULT
    assert fit_rule(np.array([[1.0, 0, 0]]), np.array([0])) == DEFAULT


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_whatever_is_fitted_a_session_with_many_failed_volumes_is_found(seed):
    rng = np.random.default_rng(seed)
    rule = fit_rule(rng.dirichlet([1, 1, 1], 12), rng.integers(0, 3, 12))
    bad = rng.dirichlet([1, 1, 1], 50)
    bad = bad[bad[:, 2] >= FAILS_FROM]
    assert (rule.rate(bad) == 2).all()


def timid_networks(n: int, wrong_share: float) -> tuple[NDArray, NDArray]:
    """Probabilities (n, 3) at 2.5 times the true temperature, labels (n), some of them wrong."""
    stated, truth = drawn(n, 2.5)
    rng = np.random.default_rng(1)
    labels = np.where(rng.random(n) < wrong_share, (truth + rng.integers(1, 3, n)) % 3, truth)
    return stated, labels


def test_labels_some_of_which_are_wrong_give_the_temperature_of_what_is_true():
    timid, labels = timid_networks(20_000, 0.2)
    assert fit_temperature(timid, labels, 0.2) == pytest.approx(1 / 2.5, rel=0.1)
    assert fit_temperature(timid, labels) > 0.6


@pytest.mark.parametrize("wrong_share", [0.02, 0.1, 0.2, 0.4])
def test_how_many_labels_are_wrong_shows_in_what_networks_say_that_have_not_seen_them(wrong_share):
    timid, labels = timid_networks(8000, wrong_share)
    found = fit_labels(timid, labels)
    assert found.wrong_share == pytest.approx(wrong_share, abs=0.031)
    assert found.temperature == pytest.approx(1 / 2.5, rel=0.15)


def test_a_handful_of_labels_cannot_say_how_many_are_wrong():
    timid, labels = timid_networks(20_000, 0.0)
    few, many = (fit_labels(timid[:n], labels[:n]).wrong_share for n in (3, 3000))
    assert few == pytest.approx(USUAL_WRONG_SHARE, abs=0.06)
    assert many < 0.05
    assert fit_labels(timid[:0], labels[:0]) == (1.0, USUAL_WRONG_SHARE)


def test_a_share_that_is_given_is_not_fitted():
    timid, labels = timid_networks(500, 0.4)
    assert fit_labels(timid, labels, 0.1) == (fit_temperature(timid, labels, 0.1), 0.1)


def test_the_fitted_share_is_the_best_of_a_grid_searched_by_brute_force():
    timid, labels = timid_networks(300, 0.3)

    def log_posterior(temperature: float, share: float) -> float:
        p = timid ** (1 / temperature)
        p /= p.sum(axis=1, keepdims=True)
        total = 2 * np.log(share) + 8 * np.log(1 - share)  # ten labels, two of them wrong
        for row, label in zip(p, labels, strict=True):
            right = 1 - share
            total += np.log(sum(row[c] * (right if c == label else share / 2) for c in range(3)))
        return total

    grid = [(t, s) for t in np.linspace(0.2, 1.5, 27) for s in np.linspace(0.02, 0.5, 25)]
    best = max(log_posterior(*one) for one in grid)
    assert log_posterior(*fit_labels(timid, labels)) >= best
