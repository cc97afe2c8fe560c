"""Which labels a volume or a slice has: its own, else those of what it is part of."""

import numpy as np
import pytest

from mriqa.labels.model import Label, Target
from mriqa.methods.hierarchy.passing import given_to
from mriqa.methods.hierarchy.rounds import UNLABELLED

SLICE, OTHER = Target("a", 0, 3), Target("a", 1, 3)


def label(target, rating, rater="ann"):
    return Label(target, rater, rating, None, None, "labels.tsv", 2)


@pytest.mark.parametrize(
    ("labels", "of_slice", "of_other"),
    [
        ([], -1, -1),
        ([label(Target("a", None, None), "fail")], 2, 2),
        ([label(Target("a", 0, None), "fail")], 2, -1),
        ([label(SLICE, "pass"), label(Target("a", 0, None), "fail")], 0, -1),
        (
            [label(Target("a", None, None), "pass"), label(Target("a", 1, None), "questionable")],
            0,
            1,
        ),
        ([label(Target("b", None, None), "fail")], -1, -1),
        ([label(Target("a", 0, 4), "fail")], -1, -1),
    ],
)
def test_the_nearest_label_counts(labels, of_slice, of_other):
    found = given_to([SLICE, OTHER], ["s1", "s1"], labels)
    assert found.classes.tolist() == [of_slice, of_other]
    assert found.weights.tolist() == [float(of_slice != UNLABELLED), float(of_other != UNLABELLED)]


def test_every_rater_has_one_vote_the_nearest():
    labels = [
        label(Target("a", None, None), "pass", "ann"), label(Target("a", 0, None), "fail", "ann"),
        label(Target("a", None, None), "pass", "bob"), label(SLICE, "questionable", "cleo"),
    ]  # fmt: skip
    found = given_to([SLICE], ["s1"], labels)
    np.testing.assert_allclose(found.shares, [[1 / 3, 1 / 3, 1 / 3]])


def test_slices_labels_are_not_passed_up():
    assert given_to([Target("a", 0, None)], ["s1"], [label(SLICE, "fail")]).classes.tolist() == [-1]
