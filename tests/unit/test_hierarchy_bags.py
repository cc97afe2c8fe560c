"""Bags of slices, against plain lists of arrays."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.methods.hierarchy.bags import Bags


@st.composite
def items(draw):
    """Some items of one or more slices each, with the same number of features."""
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    length = draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([np.float16, np.float32]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    return [rng.normal(0, 3, (count, length)).astype(dtype) for count in counts]


@st.composite
def chosen(draw):
    made = draw(items())
    rows = draw(st.lists(st.integers(0, len(made) - 1), min_size=1, max_size=8))
    return made, draw(st.sampled_from([rows, np.array(rows)]))


def apart(bags):
    """The items of bags, one by one."""
    ends = np.cumsum(bags.counts)
    starts = ends - bags.counts
    return [bags.values[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@settings(deadline=None)
@given(items())
def test_bags_hold_the_items_one_after_the_other(made):
    bags = Bags.of(made)
    assert_same(apart(bags), made)
    assert (len(bags), bags.length) == (len(made), made[0].shape[1])
    first, owner = [], []
    for number, one in enumerate(made):
        first.append(len(owner))
        owner += [number] * len(one)
    assert (bags.first.tolist(), bags.owner.tolist()) == (first, owner)


@settings(deadline=None)
@given(chosen())
def test_items_are_taken_in_any_order_and_repeatedly(case):
    made, rows = case
    assert_same(apart(Bags.of(made).take(rows)), [made[row] for row in rows])


def test_nothing_can_be_taken():
    taken = Bags.of([np.ones((2, 3), np.float16)]).take([])
    assert (len(taken), taken.length) == (0, 3)


@settings(deadline=None)
@given(items())
def test_a_single_slice_is_an_item_of_its_own(made):
    slices = [one[number : number + 1] for one in made for number in range(len(one))]
    assert_same(apart(Bags.of(made).single), slices)


@settings(deadline=None)
@given(items(), st.integers(1, 3))
def test_columns_are_added_to_every_slice(made, k):
    n_slices = sum(map(len, made))
    added = np.arange(n_slices * k, dtype=np.float64).reshape(n_slices, k)
    found = apart(Bags.of(made).with_columns(added))
    start = 0
    for one, whole in zip(made, found, strict=True):
        np.testing.assert_array_equal(whole[:, : one.shape[1]], one)
        np.testing.assert_array_equal(whole[:, one.shape[1] :], added[start : start + len(one)])
        assert whole.dtype == one.dtype
        start += len(one)


@settings(deadline=None)
@given(chosen())
def test_padded_items_are_followed_by_zeros_to_the_deepest(case):
    made, rows = case
    slices, is_there = Bags.of(made).padded(rows)
    deepest = max(len(made[row]) for row in rows)
    assert slices.shape == (len(rows), deepest, made[0].shape[1])
    assert (slices.dtype, is_there.dtype) == (torch.float32, torch.bool)
    for place, row in enumerate(rows):
        own = made[row]
        for number in range(deepest):
            expected = own[number] if number < len(own) else np.zeros(own.shape[1])
            assert slices[place, number].tolist() == expected.astype(np.float32).tolist()
            assert bool(is_there[place, number]) == (number < len(own))


def test_padding_never_writes_into_the_bags():
    bags = Bags.of([np.ones((1, 2), np.float32), np.full((3, 2), 2, np.float32)])
    slices, _ = bags.padded([0, 1])
    slices += 5
    np.testing.assert_array_equal(bags.values, [[1, 1], [2, 2], [2, 2], [2, 2]])


def test_added_columns_must_be_of_every_slice():
    with pytest.raises(ValueError, match="dimension"):
        Bags.of([np.ones((2, 3), np.float16)]).with_columns(np.ones((3, 1)))
