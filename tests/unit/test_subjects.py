"""A row a subject and session: the same whatever the order in which the volumes come."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mriqa.config import RatingSection
from mriqa.rating.published import METHOD_SUBJECT_COLUMNS, SUBJECTS
from mriqa.rating.score import diffusion_class
from mriqa.rating.subjects import summarise_subjects
from mriqa.tables.schemas import PERSON_COLUMNS

SIMCLR = {"simclr": Path("no-model-is-read")}
SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("subject", "session", "series_id")),
        pa.field("volume", pa.int32()),
        *(
            pa.field(name, pa.string())
            for name in ("status", "rating", "rating_source", "flag_reason", "model_id")
        ),
        *(pa.field(name, pa.float64()) for name in ("quality_score", "metrics_score")),
        *(
            pa.field(f"simclr_{name}", pa.float64())
            for name in ("s_hq", "s_lq", "margin", "margin_whitened")
        ),
        *(pa.field(name, pa.string()) for name in ("hierarchy_rating", "b_class")),
        *(pa.field(f"hierarchy_p_{name}", pa.float64()) for name in ("pass", "fail")),
        *(
            pa.field(name, pa.int32())
            for name in ("hierarchy_worst_slice", "dwi_n_outlier_slices", "n_slices")
        ),
        pa.field("flag", pa.bool_()),
        *(
            pa.field(column.name, pa.float64() if column.kind == "float64" else pa.string())
            for column in PERSON_COLUMNS
        ),
    ]
)


def series(name, **values):
    return {"subject": "01", "series_id": name, "status": "ok", "volume": 0, **values}


def summary(rows, models=SIMCLR):
    table = pa.Table.from_pylist(
        [{name: row.get(name) for name in SCHEMA.names} for row in rows], schema=SCHEMA
    )
    return summarise_subjects(table, RatingSection(), models).to_pylist()


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
    assert row["rating_source"] is row["simclr_class"] is row["simclr_sim"] is None


def similar(name, s_hq, s_lq, **values):
    usual = {
        "quality_score": 0.9, "rating": "pass", "rating_source": "simclr", "model_id": "simclr-1",
        "flag": False, "simclr_s_hq": s_hq, "simclr_s_lq": s_lq, "simclr_margin": s_hq - s_lq,
        "simclr_margin_whitened": s_hq,
    }  # fmt: skip
    return series(name, **(usual | values))


def test_similarities_of_a_session_are_the_means_of_its_rated_volumes():
    odd = similar("c", 0.0, 1.0, status="failed", quality_score=None, rating=None)
    (row,) = summary([similar("a", 0.9, 0.5), similar("b", 0.3, 0.5), odd])
    assert row["simclr_s_hq"] == pytest.approx(0.6)
    assert row["simclr_s_lq"] == pytest.approx(0.5)
    assert row["simclr_margin"] == pytest.approx(0.1)
    assert (row["simclr_class"], row["simclr_sim"]) == ("HQ", pytest.approx(0.6))
    (row,) = summary([similar("a", 0.2, 0.5)])
    assert (row["simclr_class"], row["simclr_sim"]) == ("LQ", pytest.approx(0.5))


def test_a_session_says_what_rated_it_and_by_which_model():
    metrics = similar("b", 0.9, 0.5, rating_source="metrics", model_id=None)
    (row,) = summary([similar("a", 0.9, 0.5)])
    assert (row["rating_source"], row["model_id"]) == ("simclr", "simclr-1")
    (row,) = summary([similar("a", 0.9, 0.5), metrics])
    assert (row["rating_source"], row["model_id"]) == ("mixed", "simclr-1")
    (row,) = summary([metrics])
    assert (row["rating_source"], row["model_id"]) == ("metrics", None)


def test_a_failed_check_of_the_metrics_flags_the_session_whatever_the_rating():
    many = [similar("a", 0.9, 0.5, volume=i) for i in range(9)]
    doubt = {"rating": "questionable", "flag": True, "flag_reason": "ghosting"}
    questionable = similar("a", 0.9, 0.5, volume=9, metrics_score=0.5, **doubt)
    assert summary([*many, questionable])[0]["flag"] is False
    broken = similar("a", 0.9, 0.5, volume=9, metrics_score=0.1, **doubt)
    (row,) = summary([*many, broken])
    assert (row["flag"], row["flag_reason"], row["rating"]) == (True, "ghosting", "pass")


SCORE = {"pass": 0.9, "questionable": 0.6, "fail": 0.2}


@pytest.fixture
def models(tmp_path):
    """SimCLR and a hierarchy whose sessions fail from 30% failed volumes on."""
    fitted = {"rule": {"fail_from": 0.3, "pass_from": 0.8}}
    (tmp_path / "config.json").write_text(json.dumps({"fitted": fitted}))
    return {**SIMCLR, "hierarchy": tmp_path}


def networks(volume, rating, **values):
    """A volume that the hierarchy has rated."""
    usual = {
        "volume": volume, "hierarchy_rating": rating, "rating": rating, "flag": rating != "pass",
        "rating_source": "hierarchy", "model_id": "hierarchy-1", "quality_score": SCORE[rating],
        "hierarchy_p_pass": float(rating == "pass"), "hierarchy_p_fail": float(rating == "fail"),
        "hierarchy_worst_slice": 3, "b_class": "none",
    }  # fmt: skip
    return series("h", **(usual | values))


def metrics(volume, score):
    """One that only the metrics have rated."""
    rating = "pass" if score >= 0.8 else "questionable" if score >= 0.4 else "fail"
    return series("m", volume=volume, rating=rating, rating_source="metrics", quality_score=score,
                  flag=rating != "pass", b_class="none")  # fmt: skip


def test_where_the_hierarchy_rates_alone_its_rule_does(models):
    """By the median score such a session would pass."""
    rows = [networks(number, "fail" if number < 3 else "pass") for number in range(10)]
    (row,) = summary(rows, models)
    assert (row["rating"], row["hierarchy_rating"]) == ("fail", "fail")
    assert (row["rating_source"], row["quality_score"], row["flag"]) == ("hierarchy", 0.9, True)
    assert row["hierarchy_share_fail"] == pytest.approx(0.3)
    assert row["hierarchy_usable"] == "none 7/10"
    assert row["hierarchy_blamed"] == "h 0 (slice 3), h 1 (slice 3), h 2 (slice 3)"


def test_where_the_hierarchy_rates_alone_it_may_be_milder_than_the_score(models):
    """The median of scores of .75 is no pass, but all volumes of the session do."""
    rows = [networks(number, "pass", quality_score=0.75) for number in range(4)]
    (row,) = summary(rows, models)
    assert (row["rating"], row["flag"]) == ("pass", False)


@pytest.mark.parametrize(
    ("own", "scores", "rating"),
    [
        (["fail"], [0.9, 0.9, 0.9], "fail"),  # the hierarchy's is the worse one
        (["questionable"], [0.9, 0.9, 0.9], "questionable"),
        (["pass"], [0.1, 0.1, 0.1], "fail"),  # the score's is
        (["pass"], [0.9, 0.9, 0.9], "pass"),
    ],
)
def test_of_a_mixed_session_the_worse_rating_counts(models, own, scores, rating):
    rows = [networks(number, one) for number, one in enumerate(own)]
    rows += [metrics(number, score) for number, score in enumerate(scores)]
    (row,) = summary(rows, models)
    assert (row["rating"], row["rating_source"]) == (rating, "mixed")
    assert row["hierarchy_rating"] == own[0]
    assert row["flag"] is (rating != "pass")


def test_columns_of_a_method_that_did_not_rate_are_null(models):
    declared = [one.name for own in METHOD_SUBJECT_COLUMNS.values() for one in own]
    (row,) = summary([metrics(0, 0.9)], {})
    assert row["rating"] == "pass"
    assert [row[name] for name in declared] == [None] * len(declared)
    (row,) = summary([metrics(0, 0.9)], models)
    assert [row[name] for name in declared if name.startswith("hierarchy")] == [None] * 5
    (row,) = summary([networks(0, "fail")], SIMCLR)
    assert (row["hierarchy_rating"], row["rating"]) == (None, "fail")


def test_each_session_has_its_own_columns_whether_it_has_a_name_or_none(models):
    rows = [networks(0, "fail"), networks(0, "pass", session="2"), networks(0, "pass", subject="2")]
    found = {(row["subject"], row["session"]): row for row in summary(rows, models)}
    assert {key: row["hierarchy_rating"] for key, row in found.items()} == {
        ("01", None): "fail", ("01", "2"): "pass", ("2", None): "pass",
    }  # fmt: skip
    assert [row["rating"] for row in found.values()] == ["fail", "pass", "pass"]
    assert found["01", "2"]["hierarchy_blamed"] is None


def test_the_columns_are_the_published_ones(models):
    (row,) = summary([networks(0, "pass"), similar("a", 0.9, 0.5)], models)
    written = {"schema_version", "run_id"}
    assert {column.name for column in SUBJECTS} - written <= set(row)
    assert (row["simclr_class"], row["model_id"]) == ("HQ", "hierarchy-1 simclr-1")


def test_a_hierarchy_that_does_not_count_rates_no_session(models):
    """Its volumes have ratings of its own, but others' scores."""
    others = {"rating": "pass", "rating_source": "simclr", "quality_score": 0.9, "flag": False}
    rows = [{**networks(number, "fail"), **others} for number in range(3)]
    (row,) = summary(rows, models)
    assert (row["hierarchy_rating"], row["rating"]) == ("fail", "pass")
    assert row["rating_source"] == "simclr"


def test_outlier_slices_are_counted_by_shell_the_lowest_first():
    def volume(place, shell, n_outliers, session="a"):
        return series(
            "d", volume=place, b_class=shell, dwi_n_outlier_slices=n_outliers, n_slices=60,
            flag=False, session=session,
        )  # fmt: skip

    rows = [volume(0, "b0", None), volume(1, "b1000", 2), volume(2, "b700", 0)]
    rows += [volume(3, "b1000", 1), volume(0, "b1000", 5, session=None), series("t", flag=False)]
    found = {row["session"]: row["dwi_outlier_slices"] for row in summary(rows, {})}
    assert found == {"a": "b700 0/60, b1000 3/120", None: "b1000 5/60"}
    assert summary([series("t", flag=False)], {})[0]["dwi_outlier_slices"] is None
