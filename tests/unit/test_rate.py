"""The analyst's columns: rating, flag and reason say what the score and the checks say."""

import numpy as np
import pyarrow as pa
import pytest

from mriqa.config import RatingSection
from mriqa.rating.rate import RATED_METRICS, rate_volumes
from mriqa.tables.strata import add_strata

N = 30
FAILED, ODD, HOLES = 3, 7, 11
SCORE = {"pass": 0.3, "questionable": 0.9, "fail": 0.5}
"""Not what the thresholds make of a score: who rates himself is not rated by them."""


def rated(simclr=None, hierarchy=None):
    """Thirty alike volumes: one failed, one without signal, one with holes.

    `simclr` has their scores, `hierarchy` their ratings: scores follow from these.
    """
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
    if hierarchy is not None:
        scores = pa.array([SCORE.get(one) for one in hierarchy], pa.float64())
        volumes = volumes.append_column("hierarchy_quality_score", scores)
        volumes = volumes.append_column("hierarchy_rating", pa.array(hierarchy, pa.string()))
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


def by_networks(rating="pass", **others):
    """Ratings of all volumes but the failed one."""
    found = [rating] * N
    for row, other in others.items():
        found[int(row[1:])] = other
    found[FAILED] = None
    return found


def test_the_hierarchy_rates_before_simclr_and_the_metrics():
    own = by_networks(_5=None, _6="fail", _8="questionable")
    found = rated([0.9] * FAILED + [None] + [0.9] * (N - FAILED - 1), own)
    assert (found[4]["rating"], found[4]["rating_source"]) == ("pass", "hierarchy")
    assert found[4]["quality_score"] == SCORE["pass"]
    assert (found[6]["rating"], found[8]["rating"]) == ("fail", "questionable")
    assert found[6]["quality_score"] == SCORE["fail"]
    assert (found[5]["rating_source"], found[5]["quality_score"]) == ("simclr", 0.9)
    failed = found[FAILED]
    assert failed["rating"] is failed["rating_source"] is failed["quality_score"] is None
    assert (failed["flag"], failed["flag_reason"]) == (True, "failed")


def test_where_neither_network_rates_the_metrics_do():
    found = rated([None] * N, by_networks(_5=None))
    assert (found[5]["rating_source"], found[5]["quality_score"]) == (
        "metrics",
        found[5]["metrics_score"],
    )
    assert {row["rating_source"] for row in found} == {"hierarchy", "metrics", None}


def test_what_the_networks_find_has_the_metrics_reason_or_their_own():
    found = rated(hierarchy=by_networks(_6="fail", _7="questionable", _8="questionable"))
    assert (found[6]["flag"], found[6]["flag_reason"]) == (True, "networks")
    assert found[8]["flag_reason"] == "networks"
    assert ODD == 7
    assert (found[7]["rating"], found[7]["flag_reason"]) == ("questionable", "low_snr")


def test_reasons_are_those_of_who_rated():
    """SimCLR sees what is unlike its references where the hierarchy did not rate."""
    scores = [0.1] * N
    scores[FAILED] = None
    found = rated(scores, by_networks(_5=None, _6="fail"))
    assert (found[5]["rating"], found[5]["flag_reason"]) == ("fail", "unlike_references")
    assert (found[6]["rating"], found[6]["flag_reason"]) == ("fail", "networks")
    assert (found[8]["rating"], found[8]["flag"], found[8]["flag_reason"]) == ("pass", False, None)


def test_a_failed_check_flags_a_volume_that_the_networks_pass():
    row = rated(hierarchy=by_networks())[ODD]
    assert (row["rating"], row["flag"], row["flag_reason"]) == ("pass", True, "low_snr")


@pytest.mark.parametrize(
    ("own", "rating"),
    [("pass", "questionable"), ("questionable", "questionable"), ("fail", "fail")],
)
def test_a_volume_with_holes_is_never_passed_by_networks_either(own, rating):
    row = rated(hierarchy=by_networks(_11=own))[HOLES]
    assert HOLES == 11
    assert (row["rating"], row["flag"], row["flag_reason"]) == (rating, True, "nonfinite")
    assert (row["rating_source"], row["quality_score"]) == ("hierarchy", SCORE[own])


def test_a_method_that_has_rated_nothing_changes_nothing():
    alone = rated()
    both = rated([None] * N, [None] * N)
    added = {"simclr_quality_score", "hierarchy_quality_score", "hierarchy_rating"}
    assert [{k: v for k, v in row.items() if k not in added} for row in both] == alone


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
