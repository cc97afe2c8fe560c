"""Who decides what probabilities are worth, and the rule of sessions: people, else copies too."""

from dataclasses import replace

import numpy as np
import pytest
from hierarchy_pieces import item, label

from mriqa.methods.hierarchy.assess import ENOUGH, Fitted, _sessions, figures, fit, judged_by
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.calibration import at_temperature, fit_temperature
from mriqa.methods.hierarchy.items import volumes_given
from mriqa.methods.hierarchy.material import Material
from mriqa.methods.hierarchy.subjects import DEFAULT, SubjectRule

SEVERITIES = ("pass", "questionable", "fail")


def copies(n):
    return [item(f"c{number}", copy=0, rating=SEVERITIES[number % 3]) for number in range(n)]


@pytest.mark.parametrize(("n_said", "alone"), [(ENOUGH, True), (ENOUGH - 1, False), (0, False)])
def test_people_judge_alone_where_they_said_enough(n_said, alone):
    scans = [item(f"a{number}") for number in range(ENOUGH + 5)]
    labels = [label(f"a{number}", 0, None, "fail") for number in range(n_said)]
    items = [*scans, *copies(9)]
    rows = judged_by(volumes_given(items, labels, 0.5)).tolist()
    simulated = [] if alone else list(range(len(scans), len(items)))
    assert rows == [*range(n_said), *simulated]


def test_nothing_is_judged_by_what_nobody_said():
    assert judged_by(volumes_given([item("a"), item("b")], [], 0.5)).tolist() == []


class Told:
    """Networks whose probabilities of slices and items are what the features say."""

    def rate(self, bags):
        said = bags.values.astype(np.float64)
        first = np.cumsum(bags.counts) - bags.counts
        return said, said[first]


def material(rows, split="validation"):
    """Items of one slice each: (subject, session, copy, true rating, probabilities)."""
    items = tuple(
        item(f"a{number}", subject=subject, session=session, copy=copy, split=split,
             rating=truth if copy is not None else None,
             affected=(True,) if copy is not None else ())
        for number, (subject, session, copy, truth, _) in enumerate(rows)
    )  # fmt: skip
    bags = Bags.of([np.array([p], dtype=np.float32) for *_, p in rows])
    labels = tuple(
        label(f"a{number}", 0, None, truth)
        for number, (_, _, copy, truth, _) in enumerate(rows)
        if copy is None
    )
    return Material(items, bags, np.zeros(len(rows), np.int32), labels, 0.5)


def said(rating, p=0.8):
    return [p if one == rating else (1 - p) / 2 for one in SEVERITIES]


def test_temperatures_are_those_of_validation_subjects():
    rng = np.random.default_rng(0)
    rows = [
        (f"s{number}", None, None, SEVERITIES[rng.integers(3)], said(SEVERITIES[rng.integers(3)]))
        for number in range(60)
    ]
    found = fit(Told(), material(rows))
    classes = np.array([SEVERITIES.index(truth) for *_, truth, _ in rows])
    expected = fit_temperature(np.array([p for *_, p in rows]), classes)
    assert found.volumes == pytest.approx(expected, rel=1e-3)
    assert found.slices == pytest.approx(expected, rel=1e-3)
    assert expected > 2  # they know nothing, and are made to say so


@pytest.mark.parametrize("split", ["train", "test"])
def test_whoever_is_not_of_validation_decides_nothing(split):
    rows = [(f"s{number}", None, None, "fail", said("pass")) for number in range(60)]
    assert fit(Told(), material(rows, split)) == Fitted(1.0, 1.0, DEFAULT)


def test_the_rule_finds_the_sessions_that_fail():
    """Networks find one in ten volumes to fail where four do, and none where none does."""
    rows = []
    for number in range(20):
        bad = number % 2 == 0
        for one in range(10):
            truth = "fail" if bad and one < 4 else "pass"
            found = "fail" if bad and one < 1 else "pass"
            rows.append((f"s{number}", "1", None, truth, said(found)))
    fitted = fit(Told(), material(rows))
    told = at_temperature(np.array([said("fail"), said("pass")]), fitted.volumes)
    shares = np.array([0.1 * told[0] + 0.9 * told[1], told[1]])
    assert fitted.rule.rate(shares).tolist() == [2, 0]
    assert 2 not in DEFAULT.rate(shares).tolist()


def test_sessions_of_a_subject_and_its_copies_are_apart():
    rows = [
        ("s", "1", None, "pass", said("pass")),
        ("s", "2", None, "fail", said("fail")),
        ("s", "1", 0, "fail", said("questionable")),
        ("s", "1", 1, "fail", said("fail")),
    ]
    held, rated = material(rows).held("validation"), np.array([p for *_, p in rows])
    shares, truth = _sessions(held.items, rated, held, np.arange(4))
    np.testing.assert_allclose(shares, [rated[0], rated[1], rated[2:].mean(axis=0)])
    assert truth.tolist() == [0, 2, 2]


def test_figures_are_of_validation_and_test_subjects():
    rows = [("s", None, None, "pass", said("pass")), ("t", None, None, "fail", said("pass"))]
    both = material(rows)
    items = (both.items[0], replace(both.items[1], split="test"))
    found = figures(Told(), replace(both, items=items))
    assert found == {
        "validation_volumes": 1, "validation_balanced_accuracy": 1.0,
        "test_volumes": 1, "test_balanced_accuracy": 0.0,
    }  # fmt: skip


def test_what_was_fitted_survives_json():
    fitted = Fitted(0.7, 1.9, SubjectRule(0.1, 0.65))
    assert Fitted.from_json(fitted.to_json()) == fitted
