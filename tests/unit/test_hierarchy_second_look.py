"""Labels worth a second look, against looking at one label after the other."""

import numpy as np
import pytest
from hierarchy_pieces import item, label
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.config import RoundsSection
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.items import slices_given, volumes_given
from mriqa.methods.hierarchy.rounds import decide
from mriqa.methods.hierarchy.second_look import SCHEMA, contested
from mriqa.methods.hierarchy.self_training import Round

SURE_PASS, SURE_FAIL, UNSURE = [0.97, 0.02, 0.01], [0.01, 0.02, 0.97], [0.3, 0.4, 0.3]


def looked_at(level, given, probabilities, labels):
    p = np.array(probabilities, dtype=float)
    decisions = decide(p, given.classes, given.classes, RoundsSection(), given.sure)
    return contested(level, given, Round(1, p, decisions), labels).to_pylist()


def volumes(items, probabilities, labels):
    return looked_at("volume", volumes_given(items, labels, 0.5), probabilities, labels)


def test_a_contested_label_is_told_with_all_that_speaks_for_and_against_it():
    labels = [label("a", 0, None, "fail"), label("b", 0, None, "fail", "bob")]
    found = volumes([item("a"), item("b")], [SURE_PASS, SURE_FAIL], labels)
    assert found == [
        {
            "level": "volume", "series_id": "a", "volume": 0, "slice": None, "given": "fail",
            "raters": "ann: fail", "likelier": "pass", "action": "relabelled",
            "doubt": pytest.approx(0.96), "p_pass": 0.97, "p_questionable": 0.02, "p_fail": 0.01,
        }
    ]  # fmt: skip


def test_the_most_doubtful_come_first():
    names = ["a", "b", "c", "d"]
    labels = [label(name, None, None, "pass") for name in names]
    probabilities = [UNSURE, SURE_FAIL, SURE_PASS, SURE_FAIL]
    found = volumes([item(name) for name in names], probabilities, labels)
    assert [row["series_id"] for row in found] == ["b", "d", "a"]
    assert [row["action"] for row in found] == ["relabelled", "relabelled", "dropped"]


def test_all_raters_are_named_in_order_each_with_the_nearest_label():
    labels = [
        label("a", None, None, "pass", "cleo"),
        label("a", None, None, "pass", "ann"),
        label("a", 0, None, "fail", "ann"),
        label("a", 0, None, "fail", "bob"),
    ]
    (row,) = volumes([item("a")], [SURE_PASS], labels)
    assert row["raters"] == "ann: fail, bob: fail, cleo: pass"
    assert row["given"] == "fail"


def test_a_series_label_is_one_of_each_of_its_volumes_but_of_no_slice():
    labels = [label("a", None, None, "fail")]
    items = [item("a", 0), item("a", 1), item("a", 2)]
    found = volumes(items, [SURE_PASS, SURE_FAIL, SURE_PASS], labels)
    assert [row["volume"] for row in found] == [0, 2]
    labels += [label("a", 1, 4, "fail"), label("a", 2, None, "fail")]
    given = slices_given(items, [np.array([4])] * 3, labels, 0.5)
    found = looked_at("slice", given, [SURE_PASS] * 3, labels)
    assert [(row["volume"], row["slice"]) for row in found] == [(1, 4)]


def test_neither_copies_nor_trusted_volumes_are_listed():
    """Nobody has said anything of them."""
    items = [item("a", rating="pass"), item("a", copy=0, rating="pass", affected=(True,))]
    assert volumes(items, [SURE_FAIL] * 2, []) == []
    found = volumes(items, [SURE_FAIL] * 2, [label("a", 0, None, "pass")])
    assert len(found) == 1
    slices = slices_given(items, [np.array([3])] * 2, [label("a", 0, 3, "pass")], 0.5)
    found = looked_at("slice", slices, [SURE_FAIL] * 2, [label("a", 0, 3, "pass")])
    assert len(found) == 1


def test_nothing_to_look_at_is_an_empty_table():
    given = volumes_given([item("a")], [], 0.5)
    p = np.array([SURE_PASS])
    last = Round(1, p, decide(p, given.classes, given.classes, RoundsSection()))
    assert contested("volume", given, last, []).equals(SCHEMA.empty_table())


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from([None, 0, 1]), st.sampled_from("xy")),
        st.sampled_from(RATINGS),
        max_size=8,
    ),
)
def test_contested_are_those_of_one_volume_after_the_other(seed, said):
    labels = [
        label(name, number, None, rating, rater) for (name, number, rater), rating in said.items()
    ]
    items = [item(name, number) for name in "abc" for number in range(2)]
    items += [item("a", 0, copy=0, rating="fail")]
    p = np.random.default_rng(seed).dirichlet([0.5, 0.5, 0.5], len(items))
    expected = {}
    for one, row in zip(items[:-1], p, strict=False):
        nearest = {}
        for rater in "xy":
            for number in (None, one.volume):
                if (one.series_id, number, rater) in said:
                    nearest[rater] = said[one.series_id, number, rater]
        votes = [list(nearest.values()).count(rating) for rating in RATINGS]
        worst = max(range(3), key=lambda c: (votes[c], c))
        if nearest and row.argmax() != worst:
            expected[one.series_id, one.volume] = row.max() - row[worst]
    found = volumes(items, p, labels)
    assert {(row["series_id"], row["volume"]): row["doubt"] for row in found} == expected
    doubts = [row["doubt"] for row in found]
    assert doubts == sorted(doubts, reverse=True)
    assert all(row["p_" + row["likelier"]] >= row["p_" + row["given"]] for row in found)
