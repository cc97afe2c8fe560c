"""`mriqa evaluate` on tables whose answers are known."""

import json

import numpy as np
import pandas as pd
import pytest
import synthetic_tables as synthetic
from PIL import Image
from scipy.stats import spearmanr

from mriqa.config import EvaluationSection
from mriqa.errors import UserError
from mriqa.evaluation.artifacts import compare, evaluate
from mriqa.evaluation.findings import Design, Measure, breath_hold, severity_class, spearman

SEVERITIES = (0.25, 0.5, 1.0)


def volume(number, family, severity, score, *, contrast="T2w", held=None, **more):
    """A row of the volumes table with its truth beside it."""
    rating = "pass" if score >= 0.8 else "fail" if score < 0.4 else "questionable"
    row = {
        "series_id": f"s{number:04d}", "subject": f"p{number:04d}", "contrast": contrast,
        "volume": 0, "status": "ok", "quality_score": score, "rating": rating,
        "stratum": contrast, "body_snr": 10 * score, "body_efc": 1 - score, "body_entropy": 0.5,
        "shard": 0, "schema_version": 1, "run_id": "run-1", "source_path": "x", "split": "test",
        "family": family, "severity": severity, "breath_hold": held,
    }  # fmt: skip
    return row | more


def known_cohort():
    """Noise is always found, ghosting never seen, blur ranked the wrong way round; 60 clean."""
    rng = np.random.default_rng(0)
    rows = [volume(n, "none", 0.0, float(rng.uniform(0.5, 0.9))) for n in range(60)]
    families = {
        "noise": lambda severity: 0.4 - 0.3 * severity,
        "ghosting": lambda severity: float(rng.uniform(0.5, 0.9)),
        "blur": lambda severity: 0.92 + 0.05 * severity,
    }
    for family, score in families.items():
        for severity in SEVERITIES:
            rows += [volume(len(rows) + n, family, severity, score(severity)) for n in range(8)]
    return rows


def run(folder, rows, truth=None, **section):
    tables = [{k: v for k, v in row.items() if k not in ("family", "severity")} for row in rows]
    synthetic.write_tables(folder, tables)
    if truth is None:
        columns = ["series_id", "volume", "subject", "family", "severity", "breath_hold"]
        truth = pd.DataFrame(rows)[columns]
    truth.to_csv(folder / "truth.tsv", sep="\t", index=False)
    content, _ = compare(folder, EvaluationSection(truth=folder / "truth.tsv", **section))
    return json.loads(json.dumps(content, allow_nan=False))


def run_and_write(folder, rows, truth=None):
    """As `run`, but by `evaluate`, and read back from what it wrote."""
    content = run(folder, rows, truth)
    evaluate(folder, EvaluationSection(truth=folder / "truth.tsv"))
    assert json.loads((folder / "evaluation/artifacts.json").read_text()) == content
    return content


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def content(folder):
    return run_and_write(folder, known_cohort())


def cell(content, measure, family, severity):
    (found,) = [
        one
        for one in content["auc"]
        if (one["measure"], one["family"], one["severity"]) == (measure, family, severity)
    ]
    return found


@pytest.mark.parametrize("measure", ["quality_score", "body_snr", "body_efc"])
def test_what_is_found_has_auc_1_what_is_reversed_0(content, measure):
    for level in ("mild", "medium", "strong", "all"):
        assert cell(content, measure, "noise", level)["auc"] == 1
        assert cell(content, measure, "blur", level)["auc"] == 0
    unseen = cell(content, measure, "ghosting", "all")
    assert 0.3 < unseen["auc"] < 0.7
    assert unseen["low"] < unseen["auc"] < unseen["high"]


def test_numbers_of_positives_and_negatives(content):
    one = cell(content, "quality_score", "noise", "medium")
    assert (one["n_positive"], one["n_positive_subjects"], one["n_negative"]) == (8, 8, 60)
    everything = cell(content, "quality_score", "all", "all")
    assert (everything["n_positive"], everything["n_without_value"]) == (72, 0)


def test_a_metric_without_a_good_direction_is_not_evaluated(content):
    assert not [one for one in content["auc"] if one["measure"] == "body_entropy"]


def test_spearman_has_the_sign_of_the_family(content):
    found = {one["family"]: one for one in content["spearman"]}
    assert found["noise"]["degraded"] == pytest.approx(-1)
    assert found["blur"]["degraded"] == pytest.approx(1)
    assert found["noise"]["n_degraded"] == 24
    assert found["noise"]["with_clean"] < -0.6
    assert found["noise"]["n_with_clean"] == 84


def test_the_confusion_counts_every_volume_once(content):
    assert sum(sum(row.values()) for row in content["confusion"].values()) == 132
    assert content["confusion"]["fail"]["fail"] == 8  # noise at severity 1
    assert content["confusion"]["pass"]["fail"] == 0


def test_the_files_are_whole(folder, content):
    text = (folder / "evaluation/artifacts.md").read_text()
    for family in ("noise", "ghosting", "blur"):
        assert f"| {family}" in text
    for name in ("auc.png", "metrics.png", "severity.png"):
        with Image.open(folder / "evaluation" / name) as picture:
            assert min(picture.size) > 250
            assert len(picture.convert("RGB").getcolors(2**24)) > 20
    assert "NaN" not in (folder / "evaluation/artifacts.json").read_text()
    assert str(folder) not in text


def test_the_same_seed_gives_the_same_intervals(tmp_path, content):
    assert run(tmp_path, known_cohort())["auc"] == content["auc"]
    other = run(tmp_path, known_cohort(), seed=1)["auc"]
    assert [one["auc"] for one in other] == [one["auc"] for one in content["auc"]]
    assert other != content["auc"]


def test_without_bootstraps_there_are_no_intervals(tmp_path):
    found = run(tmp_path, known_cohort(), bootstraps=0)["auc"]
    assert {one["low"] for one in found} == {None}


def test_null_scores_failures_and_lonely_strata_are_counted_not_judged(tmp_path):
    rows = known_cohort()
    noisy = [row for row in rows if row["family"] == "noise" and row["severity"] == 1.0]
    noisy[0] |= {"quality_score": None, "rating": None, "status": "no_reference"}
    noisy[1] |= {"quality_score": None, "rating": None, "status": "failed", "volume": None,
                 "stratum": None, "error_code": "truncated", "error_message": "m",
                 "body_snr": None, "body_efc": None}  # fmt: skip
    noisy[2] |= {"stratum": "of its own"}
    truth = pd.DataFrame(rows)[["series_id", "family", "severity"]]
    content = run(tmp_path, rows, truth)
    one = cell(content, "quality_score", "noise", "strong")
    assert (one["auc"], one["n_positive"], one["n_without_value"]) == (1, 5, 3)
    assert cell(content, "body_snr", "noise", "strong")["n_without_value"] == 2
    assert content["counts"]["n_failed"] == content["counts"]["n_no_reference"] == 1
    assert content["confusion"]["fail"]["failed"] == 1
    assert content["confusion"]["fail"]["no_reference"] == 1


def test_breath_held_and_free_breathing_are_compared_apart(tmp_path):
    rows = known_cohort()
    rng = np.random.default_rng(5)
    for number in range(20):
        good, bad = 0.8 + 0.01 * number, 0.75 + 0.01 * number
        subject = {"subject": f"pair{number}", "contrast": "x", "stratum": "second"}
        rows.append(volume(900 + 2 * number, "none", 0.0, good, held=True, **subject))
        severity = float(rng.uniform(0.4, 1))
        rows.append(volume(901 + 2 * number, "breathing", severity, bad, held=False, **subject))
    content = run(tmp_path, rows)
    (one,) = [row for row in content["breath_hold"] if row["measure"] == "quality_score"]
    assert one["paired"] == 1
    assert one["n_pairs"] == one["n_positive"] == one["n_negative"] == 20
    wins = [
        (h > f) + 0.5 * (h == f)
        for h in np.round(0.8 + 0.01 * np.arange(20), 9)
        for f in np.round(0.75 + 0.01 * np.arange(20), 9)
    ]
    assert one["auc"] == pytest.approx(np.mean(wins), abs=0.02)
    assert not [row for row in content["auc"] if row["family"] == "breathing"]


def test_without_pairs_there_is_no_such_part(content, folder):
    assert content["breath_hold"] == []
    assert "breath" not in (folder / "evaluation/artifacts.md").read_text()


def test_bad_inputs_are_compared_with_the_code_they_must_get(tmp_path):
    rows = known_cohort()
    for name, code in (("right", "truncated"), ("wrong", "corrupt_gzip")):
        failed = {"status": "failed", "error_code": code, "error_message": "m", "volume": None}
        failed |= {"quality_score": None, "rating": None, "stratum": None, "series_id": name}
        rows.append(volume(0, "bad_input", None, 0.5) | failed)
    rows.append(volume(0, "bad_input", None, 0.9) | {"series_id": "accepted"})
    truth = pd.DataFrame(rows)[["series_id", "family", "severity"]]
    gone = pd.DataFrame({"series_id": ["gone"], "family": ["bad_input"]})
    truth = pd.concat([truth, gone])
    truth["error_code"] = [None] * (len(rows) - 3) + ["truncated"] * 4
    found = {one["series_id"]: one for one in run(tmp_path, rows, truth)["bad_input"]}
    assert {name: one["actual"] for name, one in found.items()} == {
        "right": "truncated", "wrong": "corrupt_gzip", "accepted": "ok",
        "gone": "(not in the tables)",
    }  # fmt: skip
    assert [name for name, one in found.items() if one["agrees"]] == ["right"]


def test_truth_that_the_tables_lack_is_warned_of_and_listed(tmp_path, capsys):
    rows = known_cohort()
    truth = pd.DataFrame(rows)[["series_id", "family", "severity"]]
    truth.loc[len(truth)] = ["nobody", "noise", 1.0]
    content = run_and_write(tmp_path, rows, truth)
    assert content["missing"] == ["nobody"]
    assert "1 rows of" in capsys.readouterr().err
    assert "- `nobody`" in (tmp_path / "evaluation/artifacts.md").read_text()


def test_a_truth_of_another_cohort_is_refused(tmp_path):
    truth = pd.DataFrame({"series_id": ["other_1"], "family": ["noise"], "severity": [1.0]})
    with pytest.raises(UserError, match="none of its series is in the tables"):
        run_and_write(tmp_path, known_cohort(), truth)
    assert not (tmp_path / "evaluation").exists()


def test_no_degraded_volume_at_all(tmp_path):
    rows = [row for row in known_cohort() if row["family"] == "none"]
    content = run_and_write(tmp_path, rows)
    assert content["auc"] == []
    assert content["counts"]["n_clean"] == 60


def test_unset_truth_and_missing_tables_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"evaluation\.truth: not set"):
        evaluate(tmp_path, EvaluationSection())
    with pytest.raises(UserError, match=r"volumes\.parquet: no such table; run `mriqa merge`"):
        evaluate(tmp_path, EvaluationSection(truth=tmp_path / "truth.tsv"))


def test_classes_of_severity_at_their_borders():
    found = severity_class(np.array([0.0, 0.19, 0.2, 0.6, 0.61, 1.0]))
    assert found.tolist() == ["pass", "pass", *["questionable"] * 2, "fail", "fail"]


def test_spearman_equals_scipys_with_ties():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 40).astype(float), rng.integers(0, 5, 40).astype(float)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert spearman(np.ones(10), first[:10]) is None
    assert spearman(first[:2], second[:2]) is None


def test_pairs_of_one_kind_only_are_no_pairs():
    rows = pd.DataFrame([volume(n, "none", 0.0, 0.9, held=True) for n in range(4)])
    rows = rows.rename(columns={"family": "true_family", "severity": "true_severity"})
    assert breath_hold(Design(rows, 0, 0), [Measure("quality_score", True)]) == []
