"""The raters of the demo: who looks at what, and how often they err."""

import csv
import io

import pytest

from mriqa.artifacts.demo_labels import COLUMNS, LOOKED, RATED, RATERS, labels_tsv
from mriqa.artifacts.demo_plan import plan_demo
from mriqa.artifacts.demo_tables import truth_rows
from mriqa.artifacts.severity import rating_of


def labels(seed, subjects):
    text = labels_tsv(plan_demo(seed, subjects), "demo")
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def truth(seed, subjects):
    return {
        (row["series_id"], int(row.get("volume") or 0)): rating_of(float(row["severity"]))
        for row in truth_rows(plan_demo(seed, subjects))
        if row["family"] != "bad_input"
    }


@pytest.mark.parametrize(
    ("severity", "rating"),
    [(0, "pass"), (0.19, "pass"), (0.2, "questionable"), (0.6, "questionable"), (0.61, "fail")],
)
def test_a_severity_is_a_rating(severity, rating):
    assert rating_of(severity) == rating


def test_each_rater_errs_as_often_as_is_said():
    right = truth(0, 2000)
    rows = labels(0, 2000)
    assert set(rows[0]) == set(COLUMNS)
    for rater, error in RATERS.items():
        own = [row for row in rows if row["rater"] == rater]
        wrong = [row["rating"] != right[row["series_id"], int(row["volume"])] for row in own]
        assert sum(wrong) / len(own) == pytest.approx(error, abs=0.03)
    rated = {row["series_id"] for row in rows}
    series = {name for name, _ in right}
    assert len(rated) / len(series) == pytest.approx(RATED * (1 - (1 - LOOKED) ** 3), abs=0.03)


def test_a_bigger_cohort_keeps_what_was_said_of_a_smaller_one():
    few = {tuple(row.values()) for row in labels(3, 40)}
    assert few <= {tuple(row.values()) for row in labels(3, 80)}
    assert few != {tuple(row.values()) for row in labels(4, 40)}


def test_a_diffusion_series_is_rated_volume_by_volume():
    volumes = {}
    for row in labels(0, 300):
        volumes.setdefault((row["series_id"], row["rater"]), []).append(int(row["volume"]))
    dwi = [found for (name, _), found in volumes.items() if name.endswith("dwi")]
    assert dwi
    assert all(found == list(range(len(found))) and len(found) > 1 for found in dwi)
