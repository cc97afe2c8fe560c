"""What rounds do with people's labels where nothing is set, given what networks say."""

import re

import numpy as np
import pytest

from mriqa.config import RoundsSection
from mriqa.labels.model import Target
from mriqa.methods.hierarchy.lesson import Given
from mriqa.methods.hierarchy.rounds import UNLABELLED
from mriqa.methods.hierarchy.self_training import self_train

N, LABELLED = 2000, 800
RULES = RoundsSection(folds=3, most=1)


class Said:
    """Networks that always say the same of an item, whatever they are taught."""

    def __init__(self, probabilities):
        self.probabilities = probabilities

    def fit(self, lesson, folder):
        return np.stack([self.probabilities] * RULES.folds)


def taught(folder, wrong_share, n_copies=0):
    """Outcome of a round, what was given, and which labels are wrong; networks know how sure they
    can be. The first `n_copies` of the labelled are simulated copies, whose labels are true."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet([0.3, 0.3, 0.3], N)
    truth = (probabilities.cumsum(axis=1) > rng.random((N, 1))).argmax(axis=1)
    is_wrong = (np.arange(N) < LABELLED) & (np.arange(N) >= n_copies)
    is_wrong &= rng.random(N) < wrong_share
    labels = np.where(is_wrong, (truth + rng.integers(1, 3, N)) % 3, truth)
    is_labelled = np.arange(N) < LABELLED
    given = Given(
        [Target(f"s{number}", 0, None) for number in range(N)],
        np.array([f"s{number}" for number in range(N)]),
        np.eye(3)[labels] * is_labelled[:, None],
        np.ones(N),
        copies=[number if number < n_copies else None for number in range(N)],
    )
    return self_train(Said(probabilities), given, RULES, 0, folder), given, is_wrong


def share_told(capsys) -> float:
    found = re.search(r"([\d.]+)% thought wrong", capsys.readouterr().err)
    assert found is not None
    return float(found[1]) / 100


def test_no_unlabelled_item_enters(tmp_path):
    outcome, *_ = taught(tmp_path, 0.2)
    assert (outcome.rounds[0].decisions.classes[LABELLED:] == UNLABELLED).all()
    assert (outcome.lesson.weights[LABELLED:] == 0).all()
    assert (outcome.lesson.weights[:LABELLED] > 0).mean() > 0.8


@pytest.mark.parametrize("wrong_share", [0.05, 0.2, 0.4])
def test_the_log_says_how_many_labels_are_thought_wrong(tmp_path, capsys, wrong_share):
    taught(tmp_path, wrong_share)
    assert share_told(capsys) == pytest.approx(wrong_share, abs=0.06)


def test_true_labels_of_copies_do_not_make_people_seem_right(tmp_path, capsys):
    taught(tmp_path, 0.4, n_copies=LABELLED * 3 // 4)
    assert share_told(capsys) == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(("wrong_share", "fewest", "most"), [(0.0, 0.0, 0.03), (0.4, 0.3, 0.6)])
def test_labels_are_doubted_where_many_are_wrong(tmp_path, wrong_share, fewest, most):
    outcome, given, is_wrong = taught(tmp_path, wrong_share)
    is_doubted = (outcome.rounds[0].decisions.classes != given.classes)[:LABELLED]
    assert fewest <= is_doubted.mean() <= most
    if is_wrong.any():
        assert is_doubted[is_wrong[:LABELLED]].mean() > 0.6
