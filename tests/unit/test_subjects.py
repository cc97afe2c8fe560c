"""A row a subject and session: the same whatever the order in which the volumes come."""

import numpy as np
import pyarrow as pa
import pytest

from mriqa.config import RatingSection
from mriqa.rating.score import diffusion_class
from mriqa.rating.subjects import summarise_subjects
from mriqa.tables.schemas import PERSON_COLUMNS

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("subject", "session", "series_id")),
        pa.field("volume", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("status", "rating", "flag_reason")),
        pa.field("quality_score", pa.float64()),
        pa.field("flag", pa.bool_()),
        *(
            pa.field(column.name, pa.float64() if column.kind == "float64" else pa.string())
            for column in PERSON_COLUMNS
        ),
    ]
)


def series(name, **values):
    return {"subject": "01", "series_id": name, "status": "ok", "volume": 0, **values}


def summary(rows):
    table = pa.Table.from_pylist(
        [{name: row.get(name) for name in SCHEMA.names} for row in rows], schema=SCHEMA
    )
    return summarise_subjects(table, RatingSection()).to_pylist()


def test_demographics_are_those_of_the_first_series_that_has_them():
    rows = [
        series("a", site="Bremen", flag=False),
        series("b", scanner="A", site="Ulm", age=61.0, flag=False),
        series("c", scanner="B", age=60.0, flag=False),
    ]
    orders = [np.random.default_rng(seed).permutation(3) for seed in range(5)]
    (first, *others) = [summary([rows[i] for i in order]) for order in orders]
    assert (first[0]["site"], first[0]["scanner"], first[0]["age"]) == ("Bremen", "A", 61.0)
    assert all(other == first for other in others)


def test_of_flagged_volumes_without_a_score_the_failed_one_gives_the_reason():
    rows = [
        series("a", status="no_reference", flag=True, flag_reason="nonfinite"),
        series("b", status="failed", volume=None, flag=True, flag_reason="failed"),
        series("c", quality_score=0.1, rating="fail", flag=True, flag_reason="blur"),
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        assert summary([rows[i] for i in order])[0]["flag_reason"] == "failed"


@pytest.mark.parametrize(
    ("b_value", "shell"),
    [(0, "b0"), (49.9, "b0"), (50, "b100"), (149, "b100"), (150, "b200"), (250, "b300")],
)
def test_shells_are_rounded_halves_up(b_value, shell):
    assert diffusion_class("dwi", (float(b_value),), 0, 1) == (b_value, shell)


@pytest.mark.parametrize(
    ("contrast", "bvals", "n_volumes", "shell"),
    [
        ("T1w", None, 1, "none"),
        ("bold", None, 200, "none"),
        ("dwi", None, 1, "none"),
        ("dwi", None, 13, "unknown"),  # weighted and not: which is which cannot be told
        ("dwi", (0.0, 1000.0), 13, "unknown"),
    ],
)
def test_shells_without_b_values(contrast, bvals, n_volumes, shell):
    assert diffusion_class(contrast, bvals, 0, n_volumes) == (None, shell)


def test_one_questionable_volume_of_many_does_not_flag_a_session():
    good = [series("a", volume=i, quality_score=0.9, rating="pass", flag=False) for i in range(9)]
    doubt = series(
        "a", volume=9, quality_score=0.7, rating="questionable", flag=True, flag_reason="blur"
    )
    assert summary([*good, doubt])[0]["flag"] is False
    assert summary([doubt])[0]["flag"] is True
    failed = {**doubt, "quality_score": 0.1, "rating": "fail"}
    (row,) = summary([*good, failed])
    assert (row["flag"], row["rating"], row["flag_reason"]) == (True, "pass", "blur")
    broken = series("b", volume=None, status="failed", flag=True, flag_reason="failed")
    assert summary([*good, broken])[0]["flag"] is True


def test_a_session_that_was_never_judged_has_no_flag():
    (row,) = summary([series("a", status="no_reference")])
    assert row["flag"] is None
    assert row["rating"] is None
