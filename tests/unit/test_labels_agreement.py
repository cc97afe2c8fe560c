"""How far raters agree, against published values and against counting every pair."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.labels.agreement import agreement, agreements, cohen_kappa, fleiss_kappa
from mriqa.labels.model import RATINGS, Label, Target

FLEISS_1971 = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
"""Ten targets, fourteen raters, five categories; the usual worked example, κ = .210."""

given_ratings = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), min_size=1),
    min_size=1,
    max_size=12,
)


def targets(ratings):
    return {Target(f"s{number}", None, None): one for number, one in enumerate(ratings)}


def test_fleiss_kappa_of_the_usual_example():
    observed, kappa = fleiss_kappa(np.array(FLEISS_1971, float))
    assert observed == pytest.approx(0.378, abs=5e-4)
    assert kappa == pytest.approx(0.210, abs=5e-4)


def test_cohen_kappa_of_the_usual_examples():
    table = np.array([[20.0, 5.0], [10.0, 15.0]])
    assert cohen_kappa(table, 1 - np.eye(2)) == pytest.approx(0.4)
    grades = np.array([[20.0, 5, 0], [5, 20, 5], [0, 5, 20]])
    apart = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    # by hand: disagreement 20/80; by chance 2·(25·30·1 + 25·25·2 + 30·25·1)/80²
    assert cohen_kappa(grades, apart) == pytest.approx(1 - 0.25 / (2 * 2750 / 6400))


@settings(deadline=None)
@given(given_ratings)
def test_every_number_is_that_of_counting_all_pairs(ratings):
    found = agreement("volume", targets(ratings))
    twice = [list(one.values()) for one in ratings if len(one) > 1]
    assert found.n_twice == len(twice)
    assert found.n_disputed == sum(len(set(one)) > 1 for one in twice)
    if not twice:
        assert (found.observed, found.fleiss_kappa, found.pairs) == (None, None, ())
        return
    shares = [np.mean([a == b for a, b in combinations(one, 2)]) for one in twice]
    assert found.observed == pytest.approx(np.mean(shares))
    everything = [rating for one in twice for rating in one]
    chance = sum((everything.count(rating) / len(everything)) ** 2 for rating in range(3))
    if chance == 1:
        assert found.fleiss_kappa is None
    else:
        assert found.fleiss_kappa == pytest.approx((np.mean(shares) - chance) / (1 - chance))
    for pair in found.pairs:
        both = [
            (a[pair.first], a[pair.second]) for a in ratings if {pair.first, pair.second} <= {*a}
        ]
        assert pair.n == len(both)
        assert pair.observed == pytest.approx(np.mean([a == b for a, b in both]))


@settings(deadline=None)
@given(given_ratings)
def test_who_is_called_what_changes_nothing(ratings):
    names = dict(zip("abcd", "dbca", strict=True))
    first = agreement("slice", targets(ratings))
    second = agreement("slice", targets([{names[k]: v for k, v in one.items()} for one in ratings]))
    assert first.fleiss_kappa == second.fleiss_kappa

    def kappas(found):
        return sorted(
            (one.n, -9 if (k := one.cohen_kappa) is None else round(k, 9)) for one in found
        )

    assert kappas(first.pairs) == kappas(second.pairs)


def test_who_always_agrees_has_kappa_one_and_who_takes_turns_less_than_chance():
    same = agreement("volume", targets([{"a": n % 3, "b": n % 3} for n in range(9)]))
    assert (same.fleiss_kappa, same.pairs[0].cohen_kappa) == (1, 1)
    turns = agreement("volume", targets([{"a": n % 2, "b": 1 - n % 2} for n in range(8)]))
    assert (turns.fleiss_kappa, turns.pairs[0].cohen_kappa) == (-1, -1)


def test_pass_against_fail_weighs_more_than_pass_against_questionable():
    mild = agreement(
        "volume", targets([{"a": n % 3, "b": n % 3} for n in range(9)] + [{"a": 0, "b": 1}])
    )
    grave = agreement(
        "volume", targets([{"a": n % 3, "b": n % 3} for n in range(9)] + [{"a": 0, "b": 2}])
    )
    assert mild.pairs[0].cohen_kappa == pytest.approx(grave.pairs[0].cohen_kappa, abs=0.01)
    assert mild.pairs[0].weighted_kappa > grave.pairs[0].weighted_kappa + 0.05


def test_levels_are_told_apart():
    def label(volume, number, rater):
        return Label(Target("s", volume, number), rater, RATINGS[0], None, None, "f", None)

    found = agreements([label(None, None, "a"), label(0, 3, "a"), label(0, 3, "b")])
    assert [(one.level, one.n_targets, one.n_twice) for one in found] == [
        ("series", 1, 0), ("slice", 1, 1),
    ]  # fmt: skip
    assert found[1].fleiss_kappa is None  # they have said one and the same
