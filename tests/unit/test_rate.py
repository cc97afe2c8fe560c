"""The analyst's columns: rating, flag and reason say what the score and the checks say."""

import numpy as np
import pyarrow as pa
import pytest

from mriqa.config import RatingSection
from mriqa.rating.rate import RATED_METRICS, rate_volumes
from mriqa.tables.strata import add_strata

N = 30
FAILED, ODD, HOLES = 3, 7, 11


@pytest.fixture(scope="module")
def rows():
    """Thirty alike volumes: one failed, one without signal, one with holes."""
    metrics = {
        metric.name: np.random.default_rng(seed).uniform(1, 1.2, N)
        for seed, metric in enumerate(RATED_METRICS)
    }
    metrics["body_snr"][ODD] = 0.01
    status = ["ok"] * N
    status[FAILED] = "failed"
    for values in metrics.values():
        values[FAILED] = np.nan
    holes = np.zeros(N)
    holes[HOLES] = 0.02
    volumes = pa.table(
        {
            "subject": [f"{row:02d}" for row in range(N)],
            "session": pa.nulls(N, pa.string()),
            "status": status,
            "contrast": ["T1w"] * N,
            "scanner": pa.nulls(N, pa.string()),
            "nonfinite_fraction": holes,
            **{f"spacing_{axis}_mm": [2.0] * N for axis in "zyx"},
            **{name: pa.array(values, from_pandas=True) for name, values in metrics.items()},
        }
    )
    section = RatingSection(stratum=("contrast",), fail_below=0.2, pass_from=0.4)
    return rate_volumes(add_strata(volumes, section.stratum), section).to_pylist()


def test_usual_volumes_pass_without_a_flag(rows):
    for number, row in enumerate(rows):
        if number not in {FAILED, ODD, HOLES}:
            assert (row["rating"], row["flag"], row["flag_reason"]) == ("pass", False, None)
            assert row["rating_source"] == "metrics"
            assert row["quality_score"] >= 0.4


def test_an_unusual_volume_is_flagged_by_its_worst_metric(rows):
    row = rows[ODD]
    assert (row["rating"], row["flag"], row["flag_reason"]) == ("fail", True, "low_snr")
    assert row["quality_score"] < 0.2


def test_a_volume_with_holes_never_passes(rows):
    row = rows[HOLES]
    assert (row["rating"], row["flag"], row["flag_reason"]) == ("questionable", True, "nonfinite")


def test_a_failed_volume_has_no_score_and_no_stratum(rows):
    row = rows[FAILED]
    assert (row["status"], row["flag"], row["flag_reason"]) == ("failed", True, "failed")
    assert row["quality_score"] is row["rating"] is row["rating_source"] is row["stratum"] is None


def test_too_few_of_a_kind_are_never_judged():
    volumes = pa.table(
        {
            "subject": ["01"] * 40 + ["02"],  # many volumes, but of two sessions
            "session": pa.nulls(41, pa.string()),
            "status": ["ok"] * 41,
            "contrast": ["T1w"] * 41,
            "scanner": pa.nulls(41, pa.string()),
            "nonfinite_fraction": [0.0] * 40 + [0.5],
            **{f"spacing_{axis}_mm": [2.0] * 41 for axis in "zyx"},
            **{metric.name: np.linspace(1, 2, 41) for metric in RATED_METRICS},
        }
    )
    section = RatingSection(stratum=("contrast",), min_stratum=3)
    found = rate_volumes(add_strata(volumes, section.stratum), section).to_pylist()
    assert {row["status"] for row in found} == {"no_reference"}
    assert {row["rating"] for row in found} == {None}
    assert [row["flag"] for row in found] == [None] * 40 + [True]  # a check failed all the same
    assert found[-1]["flag_reason"] == "nonfinite"
