"""Whose labels are learned: people's before simulated ones, and copies are nobody's."""

import numpy as np
import pytest
from hierarchy_pieces import item, label
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.items import slices_given, volumes_given
from mriqa.methods.hierarchy.rounds import UNLABELLED

PASS, QUESTIONABLE, FAIL = np.eye(3)
WEIGHT = 0.25
TRUSTED = item("trusted", rating="pass")
COPY = item("trusted", copy=0, rating="fail", affected=(False, True, True))


def test_simulated_labels_count_where_people_said_nothing():
    items = [TRUSTED, COPY, item("a"), item("b")]
    found = volumes_given(items, [label("a", None, None, "questionable")], WEIGHT)
    np.testing.assert_array_equal(found.shares, [PASS, FAIL, QUESTIONABLE, np.zeros(3)])
    assert found.weights.tolist() == [WEIGHT, WEIGHT, 1, 0]
    assert list(found.copy_numbers) == [None, 0, None, None]
    assert found.sure.tolist() == [False, True, False, False]


def test_people_are_believed_before_a_list_of_trusted_volumes():
    found = volumes_given([TRUSTED], [label("trusted", 0, None, "fail")], WEIGHT)
    assert (found.classes.tolist(), found.weights.tolist()) == ([2], [1])


@pytest.mark.parametrize("said", [("trusted", None, None), ("trusted", 0, None), ("trusted", 0, 1)])
def test_what_people_said_of_a_scan_they_did_not_say_of_its_copies(said):
    labels = [label(*said, "questionable")]
    found = volumes_given([COPY], labels, WEIGHT)
    assert (found.classes.tolist(), found.weights.tolist()) == ([2], [WEIGHT])
    found = slices_given([COPY], [np.arange(3)], labels, WEIGHT)
    np.testing.assert_array_equal(found.shares, [PASS, FAIL, FAIL])
    assert found.weights.tolist() == [WEIGHT] * 3


def test_several_raters_share_the_vote():
    labels = [
        label("a", 0, None, "pass", "ann"),
        label("a", 0, None, "fail", "bob"),
        label("a", None, None, "fail", "cleo"),
    ]
    (shares,) = volumes_given([item("a")], labels, WEIGHT).shares
    np.testing.assert_allclose(shares, [1 / 3, 0, 2 / 3])
    (weight,) = volumes_given([item("a")], labels, WEIGHT).weights
    assert weight == 1


def test_slices_are_numbered_as_in_their_volume():
    """Of body slices 4 to 6 the middle one is rated, of another volume none."""
    labels = [label("a", 0, 5, "fail"), label("a", 0, 1, "questionable")]
    items = [item("a"), item("b")]
    found = slices_given(items, [np.array([4, 5, 6]), np.array([5])], labels, WEIGHT)
    assert found.classes.tolist() == [UNLABELLED, 2, UNLABELLED, UNLABELLED]
    assert [one.slice for one in found.targets] == [4, 5, 6, 5]
    assert [one.series_id for one in found.targets] == ["a", "a", "a", "b"]


def test_a_slice_has_its_own_label_before_its_volumes_and_its_series():
    labels = [
        label("a", 0, 1, "pass"),
        label("a", 0, None, "fail"),
        label("a", None, None, "questionable"),
    ]
    items = [item("a", 0), item("a", 1)]
    found = slices_given(items, [np.arange(2)] * 2, labels, WEIGHT)
    assert found.classes.tolist() == [2, 0, 1, 1]


def test_slices_that_a_copys_artifact_left_alone_pass():
    items = [COPY, item("trusted", copy=1, rating="questionable", affected=(True,))]
    found = slices_given(items, [np.array([2, 3, 4]), np.array([2])], [], WEIGHT)
    assert found.classes.tolist() == [0, 2, 2, 1]
    assert found.sure.all()


def test_all_slices_of_a_trusted_volume_pass_but_can_be_doubted():
    found = slices_given([TRUSTED], [np.arange(3)], [label("trusted", 0, 1, "fail")], WEIGHT)
    assert found.classes.tolist() == [0, 2, 0]
    assert found.weights.tolist() == [WEIGHT, 1, WEIGHT]
    assert not found.sure.any()


def test_nothing_to_label():
    assert len(volumes_given([], [], WEIGHT).targets) == 0
    assert len(slices_given([], [], [], WEIGHT).targets) == 0


RATERS = ("ann", "bob")
SAID = st.dictionaries(
    st.tuples(
        st.sampled_from(RATERS),
        st.sampled_from([(None, None), (0, None), (1, None), (0, 0), (0, 1), (1, 1)]),
    ),
    st.sampled_from(RATINGS),
    max_size=8,
)


def slowly(said, volume, number):
    """Of each rater the nearest label of this slice; shares of the votes."""
    votes = []
    for rater in RATERS:
        for target in ((volume, number), (volume, None), (None, None)):
            if (rater, target) in said:
                votes.append(said[rater, target])
                break
    return [votes.count(rating) / len(votes) if votes else 0 for rating in RATINGS]


@settings(deadline=None)
@given(SAID)
def test_labels_are_passed_down_one_slice_after_the_other(said):
    labels = [label("a", *target, rating, rater) for (rater, target), rating in said.items()]
    items = [item("a", 0), item("a", 1)]
    of_slices = slices_given(items, [np.arange(2)] * 2, labels, WEIGHT)
    expected = [slowly(said, volume, number) for volume in range(2) for number in range(2)]
    np.testing.assert_allclose(of_slices.shares, expected)
    of_volumes = volumes_given(items, labels, WEIGHT)
    np.testing.assert_allclose(of_volumes.shares, [slowly(said, one, None) for one in range(2)])
    assert of_volumes.weights.tolist() == [float(sum(row) > 0) for row in of_volumes.shares]
