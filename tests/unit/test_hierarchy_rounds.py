"""What a round of self-training decides, against deciding item by item; folds of subjects."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.config import RoundsSection
from mriqa.methods.hierarchy.rounds import (
    ACTIONS,
    UNLABELLED,
    Action,
    Decisions,
    believed,
    decide,
    fold_of,
)

RULES = RoundsSection(keep_from=0.7, change_from=0.9, cap=2.0, stop_share=0.01, most=5)


def slowly(probabilities, labels, rules):
    """(action, class) of every item, one after the other; the cap by sorting the candidates."""
    found, candidates = [], []
    for number, (p, label) in enumerate(zip(probabilities, labels, strict=True)):
        best = max(range(len(p)), key=lambda c: (p[c], -c))
        if label == UNLABELLED:
            found.append((Action.LEFT, UNLABELLED))
            if p[best] >= rules.add_from:
                candidates.append((-p[best], number, best))
        elif best == label and p[best] >= rules.keep_from:
            found.append((Action.KEPT, label))
        elif best != label and p[best] >= rules.change_from:
            found.append((Action.RELABELLED, best))
        else:
            found.append((Action.DROPPED, UNLABELLED))
    labelled = [c for action, c in found if action in (Action.KEPT, Action.RELABELLED)]
    taken = dict.fromkeys(range(probabilities.shape[1]), 0)
    for _, number, best in sorted(candidates):
        if taken[best] < int(rules.cap * labelled.count(best)):
            found[number] = (Action.ADDED, best)
            taken[best] += 1
    return found


def items(seed, n=30, sharpness=6.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, sharpness, (n, 3))
    p = np.exp(logits - logits.max(1, keepdims=True))
    labels = rng.integers(-1, 3, n)
    return p / p.sum(1, keepdims=True), labels


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 4), st.floats(0.34, 0.99))
def test_decisions_are_those_of_one_item_after_the_other(seed, cap, keep_from):
    probabilities, labels = items(seed)
    rules = RoundsSection(keep_from=keep_from, change_from=max(keep_from, 0.9), cap=cap)
    found = decide(probabilities, labels, labels, rules)
    actions = [ACTIONS[number] for number in found.actions]
    assert list(zip(actions, found.classes.tolist(), strict=True)) == slowly(
        probabilities, labels, rules
    )


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_the_order_of_items_changes_nothing(seed):
    probabilities, labels = items(seed)
    order = np.random.default_rng(seed + 1).permutation(len(labels))
    one = decide(probabilities, labels, labels, RULES)
    two = decide(probabilities[order], labels[order], labels[order], RULES)
    np.testing.assert_array_equal(one.actions[order], two.actions)
    assert one.changed == pytest.approx(two.changed)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 4))
def test_sure_labels_are_kept_and_the_others_decided_as_if_these_were_certain(seed, cap):
    probabilities, labels = items(seed)
    sure = (labels != UNLABELLED) & (np.random.default_rng(seed + 1).random(len(labels)) < 0.4)
    rules = RoundsSection(cap=cap)
    certain = [
        np.eye(3)[label] if own else p
        for p, label, own in zip(probabilities, labels, sure, strict=True)
    ]
    found = decide(probabilities, labels, labels, rules, sure)
    actions = [ACTIONS[number] for number in found.actions]
    expected = slowly(np.array(certain), labels, rules)
    assert list(zip(actions, found.classes.tolist(), strict=True)) == expected
    assert {actions[row] for row in np.flatnonzero(sure)} <= {Action.KEPT}
    np.testing.assert_array_equal(found.classes[sure], labels[sure])


def test_without_sure_labels_none_is():
    probabilities, labels = items(3)
    one = decide(probabilities, labels, labels, RULES)
    two = decide(probabilities, labels, labels, RULES, np.zeros(len(labels), dtype=bool))
    np.testing.assert_array_equal(one.actions, two.actions)


def test_a_class_of_sure_labels_alone_is_never_lost():
    """Whatever the networks think of simulated copies, no class of theirs can end the rounds."""
    wrong = np.array([[0.01, 0.98, 0.01]] * 3)
    labels = np.array([0, 1, 2])
    found = decide(wrong, labels, labels, RULES, np.array([True, True, True]))
    assert found.lost(labels) == []
    assert decide(wrong, labels, labels, RULES).lost(labels) == [0, 2]


def test_a_contradicted_label_is_changed_only_by_a_sure_prediction():
    probabilities = np.array([[0.95, 0.05, 0], [0.8, 0.2, 0], [0.2, 0.8, 0], [0.4, 0.6, 0]])
    found = decide(probabilities, np.array([1, 1, 1, 1]), np.array([1, 1, 1, 1]), RULES)
    assert [ACTIONS[one] for one in found.actions] == [
        Action.RELABELLED, Action.DROPPED, Action.KEPT, Action.DROPPED,
    ]  # fmt: skip
    assert found.classes.tolist() == [0, UNLABELLED, 1, UNLABELLED]
    assert found.changed == 0.75


def test_a_class_that_nobody_has_any_more_gets_no_pseudo_labels():
    """Without the cap the surest class would grow at every round until it is all there is."""
    probabilities = np.array([[0.99, 0.01], [0.98, 0.02], [0.03, 0.97], [0.05, 0.95]])
    labels = np.array([0, UNLABELLED, UNLABELLED, UNLABELLED])
    assert decide(probabilities, labels, labels, RULES).classes.tolist() == [0, 0, -1, -1]


@pytest.mark.parametrize(
    ("number", "changed", "ends"), [(1, 0.5, False), (5, 0.5, True), (1, 0.009, True)]
)
def test_rounds_end_when_little_changes_or_after_the_most(number, changed, ends):
    found = Decisions(np.zeros(1, np.int8), np.zeros(1, np.int64), changed)
    assert found.ends(number, RULES) is ends


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(2, 6), st.lists(st.integers(1, 9), min_size=6, max_size=20))
def test_folds_hold_whole_subjects_and_are_as_even_as_can_be(seed, n_folds, counts):
    subjects = np.repeat([f"s{number}" for number in range(len(counts))], counts)
    folds = fold_of(subjects, n_folds, seed)
    assert all(len(set(folds[subjects == one])) == 1 for one in set(subjects.tolist()))
    sizes = np.bincount(folds, minlength=n_folds)
    assert sizes.max() - sizes.min() <= max(counts)
    assert (folds == fold_of(subjects, n_folds, seed)).all()


def test_another_seed_deals_otherwise():
    subjects = np.array([f"s{number}" for number in range(40)])
    assert (fold_of(subjects, 5, 0) != fold_of(subjects, 5, 1)).any()


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 0.59))
def test_a_label_and_networks_are_put_together_by_bayes_rule(seed, wrong_share):
    probabilities, labels = items(seed, sharpness=2.0)
    shares = np.eye(3)[np.maximum(labels, 0)] * (labels != UNLABELLED)[:, None]
    found = believed(probabilities, shares, wrong_share)
    for p, label, own in zip(probabilities, labels, found, strict=True):
        if label == UNLABELLED:
            np.testing.assert_allclose(own, p)
            continue
        joint = [p[c] * (1 - wrong_share if c == label else wrong_share / 2) for c in range(3)]
        np.testing.assert_allclose(own, np.array(joint) / sum(joint))


def test_what_raters_dispute_counts_by_their_votes():
    even = np.full((1, 3), 1 / 3)
    (own,) = believed(even, np.array([[0.5, 0.5, 0.0]]), 0.2)
    np.testing.assert_allclose(own, [0.45, 0.45, 0.1])


def test_the_fewer_labels_are_wrong_the_surer_networks_must_be():
    p, label = np.array([[0.06, 0.88, 0.06]]), np.array([[1.0, 0.0, 0.0]])
    assert believed(p, label, 0.3).argmax() == 1
    assert believed(p, label, 0.1).argmax() == 0
