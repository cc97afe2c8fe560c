"""`mriqa experiment metrics`: from tables to figures, made up and real."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from graded_tables import QUICK, graded_rows, write_table
from sklearn.metrics import roc_auc_score

from mriqa.cli import main
from mriqa.evaluation.metrics.settings import ABIDE, MRART

FILES = {"metrics.json", "metrics.md", "metrics.png", "metrics_predictions.parquet"}


@pytest.fixture
def settings_file(tmp_path):
    def write(section=QUICK, **changes):
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump(section.model_dump(mode="json") | changes))
        return path

    return write


def run(*arguments):
    return main(["experiment", "metrics", *map(str, arguments), "--threads", "1"])


def result(folder):
    return json.loads((folder / "metrics.json").read_text())


def found(content, **wanted):
    return [
        one for part in ("classifiers", "metrics") for one in content[part]
        if all(one.get(name) == value for name, value in wanted.items())
    ]  # fmt: skip


def test_sites_are_left_out_and_a_second_table_is_tested(tmp_path, settings_file, capsys):
    table = write_table(tmp_path / "t.tsv", graded_rows())
    others = [
        {**row, "person": f"x{row['person']}", "scan": f"x{row['scan']}"}
        for row in graded_rows(n_subjects=12, seed=5)
    ]
    test = write_table(tmp_path / "u.tsv", others)
    out = tmp_path / "out"
    settings = settings_file()
    assert run(table, out, "--experiments", settings, "--test", test) == 0
    assert {path.name for path in out.iterdir()} == FILES
    content = result(out)
    assert list(content["counts"]) == ["out of site", "second table"]
    assert content["counts"]["out of site"]["n"] == 48
    assert content["counts"]["second table"]["n_bad"] == 8
    for where in content["counts"]:
        for kind, scaled in (("logistic", "as it is"), ("forest", "by site")):
            (one,) = found(content, where=where, classifier=kind, scaled=scaled)
            assert one["auc"]["value"] > 0.8
        (noise,) = found(content, where=where, metric="noise")
        assert noise["direction_from"] == "training"
        (signal,) = found(content, where=where, metric="signal")
        assert signal["better"] == "lower"
    rows = pq.read_table(out / "metrics_predictions.parquet").to_pandas()
    own = rows.query("where == 'out of site' and classifier == 'forest' and scaled == 'as it is'")
    (one,) = found(content, where="out of site", classifier="forest", scaled="as it is")
    assert one["auc"]["value"] == pytest.approx(roc_auc_score(own["said"], own["probability"]))
    said = capsys.readouterr().out
    assert said.endswith(f"{out / 'metrics.json'}\n")
    assert (out / "metrics.md").read_text() in said


def test_the_same_seed_gives_the_same(tmp_path, settings_file):
    table = write_table(tmp_path / "t.csv", graded_rows())
    shuffled = write_table(tmp_path / "u.csv", graded_rows()[::-1])
    contents = []
    for name, path in (("one", table), ("two", table), ("three", shuffled)):
        assert run(path, tmp_path / name, "--experiments", settings_file()) == 0
        content = result(tmp_path / name)
        contents.append({key: content[key] for key in ("classifiers", "metrics", "counts")})
    assert contents[0] == contents[1] == contents[2]
    assert run(table, tmp_path / "four", "--experiments", settings_file(seed=1)) == 0
    assert result(tmp_path / "four")["classifiers"] != contents[0]["classifiers"]


def test_without_sites_subjects_are_dealt_into_folds(tmp_path, settings_file):
    table = write_table(tmp_path / "t.tsv", graded_rows())
    out = tmp_path / "out"
    assert run(table, out, "--experiments", settings_file(site=None)) == 0
    content = result(out)
    assert list(content["counts"]) == ["out of fold"]
    assert content["counts"]["out of fold"]["n_sites"] is None
    assert {one["scaled"] for one in content["classifiers"]} == {"as it is"}
    assert all(one["within_site"] is None for one in content["metrics"])


def test_one_site_is_as_good_as_none_and_nothing_more_need_be_asked(tmp_path, settings_file):
    rows = [{**row, "place": "here"} for row in graded_rows()]
    table, out = write_table(tmp_path / "t.tsv", rows), tmp_path / "out"
    settings = settings_file(bootstraps=0, specificities=[], folds=2)
    assert run(table, out, "--experiments", settings) == 0
    content = result(out)
    assert list(content["counts"]) == ["out of fold"]
    (one,) = found(content, classifier="logistic")
    assert one["at_specificity"] == []
    assert one["auc"]["low"] is None
    assert one["within_site"]["value"] == one["auc"]["value"]


def test_subjects_of_the_second_table_are_not_learned_from(tmp_path, settings_file):
    rows = graded_rows()
    table = write_table(tmp_path / "t.tsv", rows)
    test = write_table(tmp_path / "u.tsv", rows[:16])
    out = tmp_path / "out"
    assert run(table, out, "--experiments", settings_file(), "--test", test) == 0
    content = result(out)
    assert content["counts"]["out of site"]["n"] == len(rows) - 16
    assert any("16 scans of subjects who are in" in note for note in content["notes"])
    assert run(table, out, "--experiments", settings_file(), "--test", table) == 2
    others = settings_file(same_people=False)
    assert run(table, out, "--experiments", others, "--test", test) == 0
    assert result(out)["counts"]["out of site"]["n"] == len(rows)


def test_a_runs_own_volumes_with_labels_of_another_table(tmp_path, settings_file):
    """As volumes.parquet: a row a volume, failed ones without metrics, more columns than asked."""
    rng = np.random.default_rng(3)
    rows = [
        {
            "series_id": f"c_sub-{at:03d}_T1w", "volume": at % 2, "subject": f"{at // 2:03d}",
            "body_snr": 5.0 - at % 3 + rng.normal(), "body_efc": rng.random(), "rating": "pass",
        }
        for at in range(60)
    ]  # fmt: skip
    rows.append({**rows[0], "series_id": "failed", "volume": None, "body_snr": None,
                 "body_efc": None})  # fmt: skip
    frame = pd.DataFrame(rows).astype({"volume": "Int32"})
    frame.to_parquet(tmp_path / "volumes.parquet")
    said = [
        {
            "series_id": row["series_id"],
            "volume": row["volume"],
            "label": ["ok", "so", "no"][at % 3],
        }
        for at, row in enumerate(rows[:60])
    ]
    grades = write_table(tmp_path / "labels.csv", said)
    values = {"raters": ["label"], "values": ["ok", "so", "no"], "good": ["ok"], "bad": ["no"]}
    settings = settings_file(keys=["series_id", "volume"], subject="subject", site=None,
                             grades=values, metrics=["body_*"])  # fmt: skip
    out = tmp_path / "out"
    arguments = ["--grades", grades, "--experiments", settings]
    assert run(tmp_path / "volumes.parquet", out, *arguments) == 0
    content = result(out)
    counts = content["counts"]["out of fold"]
    assert (counts["n"], counts["n_bad"], counts["n_good"], counts["n_open"]) == (60, 20, 20, 20)
    (snr,) = found(content, metric="body_snr")
    assert (snr["better"], snr["direction_from"]) == ("higher", "published")
    truth = np.array([at % 3 for at in range(60)])
    kept = truth != 1
    badness = -np.array([row["body_snr"] for row in rows[:60]])
    assert snr["auc"] == pytest.approx(roc_auc_score(truth[kept] == 2, badness[kept]))
    assert any("1 row without series_id or volume" in note for note in content["notes"])


def test_several_raters(tmp_path, settings_file):
    rows = graded_rows()
    for at, row in enumerate(rows):
        row |= {"a": row["score"], "b": None if at % 2 else row["score"], "c": "3"}
        if at % 8 == 0:
            row["b"] = "1" if row["a"] == "3" else "3"
    grades = {**QUICK.grades.model_dump(), "raters": ["a", "b"], "compared": ["c"]}
    out, table = tmp_path / "out", write_table(tmp_path / "t.tsv", rows)
    settings = settings_file(grades=grades, leave_out=["score"])
    assert run(table, out, "--experiments", settings) == 0
    content = result(out)
    assert content["counts"]["out of site"]["n_disputed"] == 6
    agreement = content["agreement"]["out of site"]["grades"]
    assert [pair["n"] for pair in agreement["pairs"]] == [24, 48, 24]
    (one,) = found(content, classifier="logistic", scaled="as it is")
    assert [rater["rater"] for rater in one["raters"]] == ["a", "b", "c"]
    assert one["raters"][2]["auc"]["value"] is None  # c calls all bad
    assert one["disputed"]["n"] == 6
    assert "Disputed scans" in (out / "metrics.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "changes", "told"),
    [
        (["nowhere.tsv"], {}, "nowhere.tsv: no such table"),
        (["t.xlsx"], {}, "not a table by its name"),
        (["t.tsv", "--test-grades", "g.tsv"], {}, "--test-grades names grades of --test"),
        (["t.tsv", "--grades", "g.tsv"], {}, "g.tsv: no such table"),
        (["t.tsv"], {"subject": "who"}, "no column 'who'"),
        (["t.tsv"], {"mystery": 1}, "mystery"),
        (["t.tsv"], {"folds": 1}, "folds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, settings_file, monkeypatch, capsys, arguments, changes,
                                told):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "t.tsv", graded_rows())
    (tmp_path / "t.xlsx").write_text("x")
    arguments.insert(1, "out")
    assert run(*arguments, "--experiments", settings_file(**changes)) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_settings_must_be_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run(tmp_path / "t.tsv", tmp_path)
    assert end.value.code == 2
    assert "--experiments" in capsys.readouterr().err


def test_one_site_with_all_the_bad_scans_is_refused(tmp_path, settings_file, capsys):
    rows = graded_rows()
    for row in rows:
        row["score"] = "3" if row["place"] == "site1" else "1"
    table = write_table(tmp_path / "t.tsv", rows)
    assert run(table, tmp_path / "out", "--experiments", settings_file()) == 2
    assert "without site1 there are not both good and bad scans" in capsys.readouterr().err


FAST = {"bootstraps": 50, "forest": {"trees": 20, "depth": 10, "leaf": 10}}
"""Of the known tables everything is asked but what takes its time."""


def test_mrart(real_data, tmp_path, settings_file):
    """A neuroradiologist's grades of motion, one scanner: metrics tell bad from good well."""
    table = real_data / "tables/mrart_scores_mriqc.tsv"
    settings = settings_file(MRART, **FAST)
    assert run(table, tmp_path / "out", "--experiments", settings) == 0
    content = result(tmp_path / "out")
    counts = content["counts"]["out of fold"]
    assert (counts["n"], counts["n_subjects"], counts["n_bad"]) == (291, 99, 135)
    names = {one["metric"] for one in content["metrics"]}
    assert not names & {"age", "sex", "score", "size_x", "spacing_x"}
    for kind in ("logistic", "forest"):
        (one,) = found(content, classifier=kind)
        assert one["auc"]["value"] > 0.9
        assert [grade["n"] for grade in one["against_grade"]] == [81, 75]
    frame = pd.read_csv(table, sep="\t")
    for metric, sign in (("cjv", 1), ("snr_csf", -1)):  # the latter points the wrong way
        (one,) = found(content, metric=metric)
        expected = roc_auc_score(frame["score"] == 3, sign * frame[metric])
        assert one["auc"] == pytest.approx(expected)
        assert one["spearman"] == pytest.approx(
            sign * frame[["score", metric]].corr("spearman").to_numpy()[0, 1]
        )


@pytest.mark.timeout(1800)
def test_abide_then_ds030(real_data, tmp_path, settings_file):
    """17 sites, each left out in turn; then two that no rater of the training saw."""
    folder = real_data / "tables"
    settings = settings_file(ABIDE, **FAST, by_site=False)
    arguments = ["--grades", folder / "y_abide.csv", "--test", folder / "x_ds030.csv",
                 "--test-grades", folder / "y_ds030.csv"]  # fmt: skip
    out = tmp_path / "out"
    assert run(folder / "x_abide.csv", out, *arguments, "--experiments", settings) == 0
    content = result(out)
    counts = content["counts"]
    # ids that are in both tables are not the same people: nobody is left out for it
    assert (counts["out of site"]["n"], counts["out of site"]["n_sites"]) == (1101, 17)
    assert (counts["second table"]["n"], counts["second table"]["n_bad"]) == (265, 75)
    assert any(re.search("2 scans not in .*50818, 51310", note) for note in content["notes"])
    pairs = content["agreement"]["out of site"]["grades"]["pairs"]
    assert [pair["n"] for pair in pairs] == [99, 600, 600]
    for one in found(content, classifier="forest"):
        assert one["auc"]["value"] > 0.55
        assert {site["site"] for site in one["sites"]} >= (
            {"BMC", "CCN"} if one["where"] == "second table" else {"NYU", "PITT"}
        )
    (majority,) = found(content, classifier="majority", where="second table")
    assert majority["accuracy"]["value"] == pytest.approx(190 / 265)
    both = pd.read_csv(folder / "x_ds030.csv").merge(pd.read_csv(folder / "y_ds030.csv"))
    (one,) = found(content, metric="cjv", where="second table")
    assert one["auc"] == pytest.approx(roc_auc_score(both["rater_1"] == -1, both["cjv"]))
    assert np.isfinite(one["low"])
