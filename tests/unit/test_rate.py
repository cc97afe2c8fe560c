"""The analyst's columns: rating, flag and reason say what the score and the checks say."""

import numpy as np
import pyarrow as pa
import pytest

from mriqa.config import RatingSection
from mriqa.rating.rate import RATED_METRICS, rate_volumes
from mriqa.tables.strata import add_strata

N = 30
FAILED, ODD, HOLES = 3, 7, 11


def rated(simclr=None):
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
    if simclr is not None:
        scores = pa.array(simclr, pa.float64())
        volumes = volumes.append_column("simclr_quality_score", scores)
    section = RatingSection(stratum=("contrast",), fail_below=0.2, pass_from=0.4)
    return rate_volumes(add_strata(volumes, section.stratum), section).to_pylist()


@pytest.fixture(scope="module")
def rows():
    """As the metrics alone rate them."""
    return rated()


def test_simclr_rates_where_it_can_and_the_metrics_elsewhere():
    own = [0.9] * N
    own[FAILED] = own[5] = None
    found = rated(own)
    assert (found[5]["rating_source"], found[5]["quality_score"]) == (
        "metrics",
        found[5]["metrics_score"],
    )
    assert (found[6]["rating_source"], found[6]["quality_score"]) == ("simclr", 0.9)
    assert found[6]["metrics_score"] not in (None, 0.9)
    assert found[FAILED]["rating_source"] is found[FAILED]["quality_score"] is None
    assert (found[HOLES]["rating"], found[HOLES]["flag_reason"]) == ("questionable", "nonfinite")


def test_what_simclr_finds_has_the_metrics_reason_or_its_own():
    own = [0.9] * N
    own[6], own[7] = 0.1, 0.1
    found = rated(own)
    assert (found[6]["rating"], found[6]["flag_reason"]) == ("fail", "unlike_references")
    assert ODD == 7
    assert (found[7]["rating"], found[7]["flag_reason"]) == ("fail", "low_snr")


def test_a_failed_check_flags_a_volume_that_simclr_passes():
    row = rated([0.9] * N)[ODD]
    assert (row["rating"], row["flag"], row["flag_reason"]) == ("pass", True, "low_snr")


def test_simclr_judges_what_the_metrics_cannot():
    """A stratum of too few sessions for the metrics is not `no_reference` if it has a bank."""
    volumes = pa.table(
        {
            "subject": ["01", "02"],
            "session": pa.nulls(2, pa.string()),
            "status": ["ok", "ok"],
            "contrast": ["T1w"] * 2,
            "scanner": pa.nulls(2, pa.string()),
            "nonfinite_fraction": [0.0] * 2,
            "simclr_quality_score": pa.array([0.9, None], pa.float64()),
            **{f"spacing_{axis}_mm": [2.0] * 2 for axis in "zyx"},
            **{metric.name: [1.0, 2.0] for metric in RATED_METRICS},
        }
    )
    section = RatingSection(stratum=("contrast",))
    found = rate_volumes(add_strata(volumes, section.stratum), section).to_pylist()
    assert [row["status"] for row in found] == ["ok", "no_reference"]
    assert [row["flag"] for row in found] == [False, None]
    assert found[0]["metrics_score"] is None


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
