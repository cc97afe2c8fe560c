"""What is learned from which labels, and what raters say together."""

import numpy as np
import pytest
from hierarchy_volumes import volumes
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from mriqa.labels.consensus import consensus
from mriqa.labels.model import RATINGS, Label, Target
from mriqa.methods.hierarchy.lesson import Given, first_lesson, next_lesson, out_of_fold
from mriqa.methods.hierarchy.rounds import UNLABELLED


def votes(*ratings):
    target = Target("a", 0, None)
    return [
        Label(target, f"r{number}", rating, None, None, "f", None)
        for number, rating in enumerate(ratings)
    ]


@pytest.mark.parametrize(
    ("ratings", "rating", "shares"),
    [
        (("pass",), "pass", (1, 0, 0)),
        (("pass", "fail", "fail"), "fail", (1 / 3, 0, 2 / 3)),
        (("pass", "fail"), None, (0.5, 0, 0.5)),
        (("pass", "questionable", "fail"), None, (1 / 3, 1 / 3, 1 / 3)),
    ],
)
def test_the_majority_decides_and_a_tie_does_not(ratings, rating, shares):
    (one,) = consensus(votes(*ratings))
    assert (one.rating, one.shares, one.n_raters) == (rating, shares, len(ratings))


def test_each_target_has_its_own_consensus():
    other = Label(Target("a", 1, None), "r0", "fail", None, None, "f", None)
    found = consensus([*votes("pass"), other])
    assert [(one.target.volume, one.rating) for one in found] == [(0, "pass"), (1, "fail")]


def given_of(shares, weights=None, subjects=None, copies=()):
    n = len(shares)
    return Given(
        [Target(f"a{number}", 0, None) for number in range(n)],
        np.array(subjects or [f"s{number}" for number in range(n)]),
        np.array(shares, float),
        np.array(weights or [1.0] * n),
        copies,
    )


def test_of_a_tie_the_worse_class_is_the_given_one():
    found = given_of([[0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 0], [0.4, 0.3, 0.3]]).classes
    assert found.tolist() == [2, 1, UNLABELLED, 0]


def test_shares_that_are_none_are_refused():
    with pytest.raises(ValueError, match="add up to 1"):
        given_of([[0.5, 0.1, 0]])
    with pytest.raises(ValueError, match="other numbers"):
        given_of([[1, 0, 0]], weights=[1.0, 2.0])


def test_labels_of_copies_are_sure_and_of_scans_are_not():
    shares = [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]]
    found = given_of(shares, copies=(None, 0, 1, 7))
    assert found.sure.tolist() == [False, True, False, True]  # copy 1 has no label
    assert list(found.copy_numbers) == [None, 0, 1, 7]
    scans = given_of(shares)
    assert (scans.sure.tolist(), list(scans.copy_numbers)) == ([False] * 4, [None] * 4)


def test_numbers_of_copies_are_those_of_all_items():
    with pytest.raises(ValueError, match="numbers of copies"):
        given_of([[1, 0, 0], [0, 0, 1]], copies=(None,))


def test_a_copy_is_judged_by_the_network_that_has_not_seen_its_source():
    """A copy of an unlabelled scan makes its subject a labelled one."""
    given = given_of([[0, 0, 0], [0, 0, 1], [0, 0, 0]], subjects=["s0", "s0", "s1"],
                     copies=(None, 0, None))  # fmt: skip
    lesson = first_lesson(given, 2, 0)
    assert lesson.folds[0] == lesson.folds[1]
    probabilities = np.random.default_rng(0).random((2, 3, 3))
    found = out_of_fold(probabilities, lesson, given)
    for row in (0, 1):
        np.testing.assert_array_equal(found[row], probabilities[lesson.folds[row], row])
    np.testing.assert_allclose(found[2], probabilities[:, 2].mean(axis=0))


def test_the_first_lesson_is_all_that_was_given():
    given = given_of([[1, 0, 0], [0, 0, 0], [0.5, 0.5, 0]], weights=[2.0, 3.0, 1.0])
    lesson = first_lesson(given, 2, 0)
    assert lesson.weights.tolist() == [2, 0, 1]
    assert lesson.used.tolist() == [0, 2]
    np.testing.assert_array_equal(lesson.targets, given.shares)


def test_what_is_used_has_what_is_believed_of_it():
    given = given_of(
        [[0.7, 0.3, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], weights=[3.0, 1, 2, 9, 9]
    )
    first = first_lesson(given, 2, 0)
    thought = np.random.default_rng(0).dirichlet([1, 1, 1], 5)
    lesson = next_lesson(given, np.array([0, 2, UNLABELLED, 1, UNLABELLED]), thought, first)
    np.testing.assert_array_equal(lesson.targets[[0, 1, 3]], thought[[0, 1, 3]])
    assert not lesson.targets[[2, 4]].any()
    assert lesson.weights.tolist() == [3, 1, 0, 2, 0]  # an added one: as given ones on average
    assert (lesson.folds == first.folds).all()


@settings(deadline=None)
@drawn(st.integers(0, 100))
def test_who_has_labels_is_never_judged_by_a_network_that_has_seen_them(seed):
    made = volumes(n=30, seed=seed)
    lesson = first_lesson(made.given, 3, seed)
    probabilities = np.random.default_rng(seed).random((3, 30, 3))
    found = out_of_fold(probabilities, lesson, made.given)
    labelled = set(made.given.subjects[made.given.classes != UNLABELLED].tolist())
    for row in range(30):
        expected = probabilities[:, row].mean(axis=0)
        if made.given.subjects[row] in labelled:
            expected = probabilities[lesson.folds[row], row]
        np.testing.assert_allclose(found[row], expected)


def test_the_digest_tells_lessons_apart():
    given = given_of([[1, 0, 0], [0, 0, 0]])
    first = first_lesson(given, 2, 0)
    other = next_lesson(given, np.array([0, 1]), np.eye(3)[:2], first)
    assert first.digest == first_lesson(given, 2, 0).digest != other.digest
    assert len(RATINGS) == first.targets.shape[1]
