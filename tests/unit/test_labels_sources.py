"""What raters wrote down: labels.tsv, BIDS scans tables, MRIQC's ratings, line by line."""

import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from mriqa.cohort.ledger import write_problems
from mriqa.cohort.manifest import COHORT_SCHEMA
from mriqa.cohort.tabular import MISSING
from mriqa.config import LabelSource, MriqcLabels, ScansLabels, TableLabels, check_config
from mriqa.config.labels import NO_WORDS
from mriqa.errors import ConfigError, UserError
from mriqa.labels.catalogue import COLUMNS, Catalogue
from mriqa.labels.mriqc import read_mriqc
from mriqa.labels.scans import read_scans
from mriqa.labels.table import read_label_table

SOURCE = TypeAdapter(LabelSource)


def cohort_of(root, names=("sub-01/anat/sub-01_T1w", "sub-02/anat/sub-02_T1w"), **changes):
    """A cohort table with a series a file below `root`; `changes` set columns for all."""
    rows = [
        {
            "series_id": f"demo_{name.rpartition('/')[2]}",
            "subject": name[4:6],
            "contrast": "T1w",
            "source_path": str(root / f"{name}.nii.gz"),
            "source_kind": "bids",
            "size_bytes": 1000,
            "mtime_ns": 5,
            "shard": 0,
            "split": "train",
            **changes,
        }
        for name in names
    ]
    return pa.Table.from_pylist(rows, schema=COHORT_SCHEMA)


def catalogue_of(table, **converted):
    """Of a cohort table; `converted`: what convert has found of all."""
    rows = table.select(list(COLUMNS)).to_pylist()
    return Catalogue(rows, {row["series_id"]: converted for row in rows})


@pytest.fixture
def catalogue(tmp_path):
    return catalogue_of(cohort_of(tmp_path))


def table_of(tmp_path, *lines, header="series_id\tvolume\tslice\trater\trating\tcomment", **words):
    path = tmp_path / "labels.tsv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return TableLabels(kind="table", path=path, words=words)


def found(labels):
    return [(str(one.target), one.rater, one.rating) for one in labels.labels]


def told(labels):
    return [(one.line, one.column, one.value) for one in labels.problems]


def test_a_table_holds_labels_of_series_volumes_and_slices(tmp_path, catalogue):
    source = table_of(
        tmp_path,
        "demo_sub-01_T1w\t\t\tann\tpass\t",
        "demo_sub-01_T1w\t0\tn/a\tbob\tFail\tmoved",
        "sub-02_T1w\t3\t12\tann\tQuestionable\t",  # without the cohort's name
    )
    labels = read_label_table(source, catalogue)
    assert found(labels) == [
        ("demo_sub-01_T1w", "ann", "pass"),
        ("demo_sub-01_T1w volume 0", "bob", "fail"),
        ("demo_sub-02_T1w volume 3 slice 12", "ann", "questionable"),
    ]
    assert [one.comment for one in labels.labels] == [None, "moved", None]
    assert labels.labels[1].origin == f"{source.path} line 3"
    assert labels.problems == []


@pytest.mark.parametrize(
    ("line", "column", "value", "why"),
    [
        ("demo_sub-09_T1w\t\t\tann\tpass\t", "series_id", "demo_sub-09_T1w", "ids look like demo_"),
        ("\t\t\tann\tpass\t", "series_id", None, "no series"),
        ("sub-01_T1w\t\t\tann\tgood\t", "rating", "good", "pass, questionable, fail"),
        ("sub-01_T1w\t\t\tann\t\t", "rating", None, "no rating"),
        ("sub-01_T1w\t\t\t\tpass\t", "rater", None, "nobody"),
        ("sub-01_T1w\t1234567890\t\tann\tpass\t", "volume", "1234567890", "whole number from 0"),
        ("sub-01_T1w\t-1\t\tann\tpass\t", "volume", "-1", "whole number from 0"),
        ("sub-01_T1w\t1.5\t\tann\tpass\t", "volume", "1.5", "whole number from 0"),
        ("sub-01_T1w\t0\tmiddle\tann\tpass\t", "slice", "middle", "whole number from 0"),
        ("sub-01_T1w\t\t4\tann\tpass\t", "slice", "4", "of which volume"),
        ("sub-01_T1w\tann\tpass", None, "sub-01_T1w | ann | pass", "3 fields, the header 6"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_the_rest_is_read(
    tmp_path, catalogue, line, column, value, why
):
    source = table_of(tmp_path, "sub-02_T1w\t\t\tann\tpass\t", line, "sub-02_T1w\t\t\tbob\tfail\t")
    labels = read_label_table(source, catalogue)
    assert [one.rater for one in labels.labels] == ["ann", "bob"]
    assert told(labels) == [(3, column, value)]
    assert why in labels.problems[0].problem
    assert labels.problems[0].file == str(source.path)


def test_the_words_of_a_table_can_be_given(tmp_path, catalogue):
    source = SOURCE.validate_python(
        {
            "kind": "table",
            "path": tmp_path / "labels.tsv",
            "words": {1: "pass", 0: "questionable", "-1": "fail", "OK": "pass"},
        }
    )
    lines = [f"sub-01_T1w\t\t\t{word}\t{word}\t" for word in ("1", "0", "-1", "ok", "fail", "2")]
    table_of(tmp_path, *lines)
    labels = read_label_table(source, catalogue)
    ratings = [one.rating for one in labels.labels]
    assert ratings == ["pass", "questionable", "fail", "pass", "fail"]
    assert told(labels) == [(7, "rating", "2")]


def test_a_word_that_yaml_has_changed_is_refused():
    raw = {
        "results": "r",
        "cohort": {"name": "a", "sources": [{"kind": "bids", "path": "b"}]},
        "labels": [{"kind": "table", "path": "l.tsv", "words": {True: "pass"}}],
    }
    with pytest.raises(ConfigError, match=r"labels\.0\.words.*write True in quotes"):
        check_config(raw, "c.yaml")


def test_a_table_without_its_columns_is_refused_and_unread_columns_are_told(tmp_path, catalogue):
    with pytest.raises(UserError, match="no column rater, rating; the columns are series_id"):
        read_label_table(table_of(tmp_path, "a", header="series_id"), catalogue)
    source = table_of(tmp_path, "sub-01_T1w\tann\tpass\tx", header="series_id\trater\trating\tmood")
    labels = read_label_table(source, catalogue)
    assert len(labels.labels) == 1
    assert told(labels) == [(1, "mood", None)]


def scans(tmp_path, *tables, **more):
    for number, lines in enumerate(tables, start=1):
        folder = tmp_path / f"sub-0{number}"
        folder.mkdir(exist_ok=True)
        (folder / f"sub-0{number}_scans.tsv").write_text("\n".join(lines) + "\n")
    return ScansLabels(kind="scans", path=tmp_path, column="QC", **more)


def test_a_column_of_the_scans_tables_rates_series(tmp_path, catalogue):
    source = scans(
        tmp_path,
        ["filename\tqc", "anat/sub-01_T1w.nii.gz\tpass", "func/sub-01_bold.nii.gz\tfail"],
        ["filename\tqc", "anat/sub-02_T1w.nii.gz\tbroken"],
        ["filename\tother", "anat/sub-03_T1w.nii.gz\tpass"],
        rater="technician",
    )
    labels = read_scans(source, catalogue)
    assert found(labels) == [("demo_sub-01_T1w", "technician", "pass")]
    assert told(labels) == [(2, "QC", "broken"), (1, None, None)]
    assert labels.problems[0].file.endswith("sub-02_scans.tsv")
    assert (
        "no column filename and QC; the columns are filename, other" in labels.problems[1].problem
    )


def test_a_dataset_behind_a_link_is_the_same_dataset(tmp_path):
    root = tmp_path / "bids"
    (root / "sub-01" / "anat").mkdir(parents=True)
    (root / "sub-01" / "anat" / "sub-01_T1w.nii.gz").touch()
    source = scans(root, ["filename\tqc", "anat/sub-01_T1w.nii.gz\tpass"])
    (tmp_path / "link").symlink_to(root)
    through = source.model_copy(update={"path": tmp_path / "link"})
    catalogue = catalogue_of(cohort_of(root))
    assert found(read_scans(through, catalogue)) == found(read_scans(source, catalogue)) != []


def test_a_scans_table_of_which_no_file_is_known_is_told(tmp_path, catalogue):
    source = scans(tmp_path, ["filename\tqc", "anat/sub-01_T1W.nii.gz\tpass", "x.nii\tfail"])
    labels = read_scans(source, catalogue)
    assert labels.labels == []
    assert "none of its 2 rated files is a series" in labels.problems[0].problem


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into any folder")
def test_folders_that_cannot_be_looked_into_are_told_to_users(tmp_path, catalogue):
    check_closed(tmp_path, catalogue)


def test_folders_that_cannot_be_looked_into_are_told(tmp_path, catalogue, monkeypatch):
    """As root nothing is closed: the refusal is made up."""
    real = os.scandir

    def refusing(path="."):
        if str(path).endswith("sub-02"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    check_closed(tmp_path, catalogue)


def check_closed(tmp_path, catalogue):
    lines = [["filename\tqc", f"anat/sub-0{n}_T1w.nii.gz\tpass"] for n in (1, 2)]
    source = scans(tmp_path, *lines)
    if os.geteuid() != 0:
        (tmp_path / "sub-02").chmod(0)
    try:
        labels = read_scans(source, catalogue)
    finally:
        if os.geteuid() != 0:
            (tmp_path / "sub-02").chmod(0o700)
    assert found(labels) == [("demo_sub-01_T1w", "scans", "pass")]
    assert "cannot be looked into (Permission denied)" in labels.problems[0].problem


def test_scans_of_sessions_are_read_and_empty_ratings_passed_over(tmp_path):
    folder = tmp_path / "sub-01" / "ses-a"
    (folder / "anat").mkdir(parents=True)
    (folder / "sub-01_ses-a_scans.tsv").write_text(
        "filename\tqc\nanat/sub-01_ses-a_T1w.nii.gz\tfail\nanat/sub-01_ses-a_T2w.nii.gz\tn/a\n"
    )
    names = ["sub-01/ses-a/anat/sub-01_ses-a_T1w", "sub-01/ses-a/anat/sub-01_ses-a_T2w"]
    labels = read_scans(
        ScansLabels(kind="scans", path=tmp_path, column="qc"),
        catalogue_of(cohort_of(tmp_path, names)),
    )
    assert found(labels) == [("demo_sub-01_ses-a_T1w", "scans", "fail")]
    assert labels.problems == []


def test_scans_tables_without_the_column_are_refused(tmp_path, catalogue):
    source = scans(tmp_path, ["filename\tother", "anat/sub-01_T1w.nii.gz\tpass"])
    with pytest.raises(UserError, match=r"none of its 1 \*_scans.tsv has .* QC"):
        read_scans(source, catalogue)
    absent = source.model_copy(update={"path": tmp_path / "none"})
    with pytest.raises(UserError, match="no such folder"):
        read_scans(absent, catalogue)


def rated(folder, name, rating, **more):
    """A file as the widget of nireports writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    payload = {
        "dataset": "ds1", "subject": name, "rating": rating, "artifacts": [], "time_sec": 31.2,
        "confidence": "3.5", "comments": "", **more,
    }  # fmt: skip
    (folder / f"ds1_{name}.json").write_text(json.dumps(payload))


@pytest.mark.parametrize(
    ("slider", "rating"),
    [("1", "fail"), ("1.45", "fail"), ("1.5", "questionable"), ("2.45", "questionable"),
     ("2.5", "pass"), ("4", "pass"), (3, "pass")],
)  # fmt: skip
def test_mriqcs_slider_becomes_a_rating_at_its_own_colours(tmp_path, catalogue, slider, rating):
    rated(tmp_path / "ratings" / "ann", "sub-01_T1w.nii.gz", slider)
    labels = read_mriqc(MriqcLabels(kind="mriqc", path=tmp_path / "ratings"), catalogue)
    assert found(labels) == [("demo_sub-01_T1w", "ann", rating)]


def test_mriqcs_artifacts_and_comments_are_kept(tmp_path, catalogue):
    folder = tmp_path / "ratings"
    rated(folder, "sub-02_T1w.nii.gz", "1", artifacts=["head-motion", "inu"], comments="bad ")
    source = MriqcLabels(kind="mriqc", path=folder, rater="ann")
    (label,) = read_mriqc(source, catalogue).labels
    assert (label.rater, label.comment) == ("ann", "head-motion; inu; bad")
    nameless = source.model_copy(update={"rater": None})
    assert told(read_mriqc(nameless, catalogue)) == [(None, "rater", None)]


def test_what_is_no_rating_of_mriqcs_is_named_by_its_file(tmp_path, catalogue):
    folder = tmp_path / "ratings" / "ann"
    rated(folder, "sub-01_T1w.nii.gz", "2")
    rated(folder, "sub-07_T1w.nii.gz", "2")
    rated(folder, "sub-02_T1w.nii.gz", "NaN")
    (folder / "group.json").write_text("[1, 2]")
    (folder / "half.json").write_text('{"subject": ')
    (folder / "large.json").write_text(" " * 1_000_001)
    labels = read_mriqc(MriqcLabels(kind="mriqc", path=folder.parent), catalogue)
    assert [one.target.series_id for one in labels.labels] == ["demo_sub-01_T1w"]
    assert sorted(one.file.rpartition("/")[2] for one in labels.problems) == [
        "ds1_sub-02_T1w.nii.gz.json", "ds1_sub-07_T1w.nii.gz.json", "group.json", "half.json",
        "large.json",
    ]  # fmt: skip


def test_a_file_name_of_two_series_rates_neither(tmp_path):
    both = cohort_of(tmp_path, ["sub-01/a/scan", "sub-02/a/scan"])
    rated(tmp_path / "ratings" / "ann", "scan.nii.gz", "2")
    source = MriqcLabels(kind="mriqc", path=tmp_path / "ratings")
    assert told(read_mriqc(source, catalogue_of(both))) == [(None, "subject", "scan.nii.gz")]


@pytest.mark.parametrize("rating", [True, "1e999", 10**400, None, [1], "\ud800"])
def test_what_is_no_number_on_the_slider_is_no_rating(tmp_path, catalogue, rating):
    rated(tmp_path / "ratings" / "ann", "sub-01_T1w.nii.gz", rating)
    labels = read_mriqc(MriqcLabels(kind="mriqc", path=tmp_path / "ratings"), catalogue)
    assert labels.labels == []
    assert labels.problems[0].column == "rating"
    assert write_problems(tmp_path / "p.parquet", labels.problems) is None  # and can be written


def test_names_and_comments_that_are_no_text_can_be_written(tmp_path, catalogue):
    folder = Path(os.fsdecode(os.fsencode(tmp_path / "ratings") + b"/J\xfcrgen"))
    rated(folder, "sub-01_T1w.nii.gz", "2", comments="\ud800")
    (label,) = read_mriqc(MriqcLabels(kind="mriqc", path=folder.parent), catalogue).labels
    assert label.rater == "J\\udcfcrgen"
    assert (label.rater + label.comment + label.file).encode()


def test_folders_of_raters_may_be_links_even_in_circles(tmp_path, catalogue):
    rated(tmp_path / "elsewhere", "sub-01_T1w.nii.gz", "2")
    root = tmp_path / "ratings"
    root.mkdir()
    (root / "ann").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(root)
    labels = read_mriqc(MriqcLabels(kind="mriqc", path=root), catalogue)
    assert found(labels) == [("demo_sub-01_T1w", "ann", "questionable")]


def test_a_pipe_is_no_rating_and_no_table(tmp_path, catalogue):
    folder = tmp_path / "ratings" / "ann"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "x.JSON")
    labels = read_mriqc(MriqcLabels(kind="mriqc", path=folder.parent), catalogue)
    assert told(labels) == [(None, "file", "x.JSON")]
    os.mkfifo(tmp_path / "labels.tsv")
    with pytest.raises(UserError, match="not a regular file"):
        read_label_table(TableLabels(kind="table", path=tmp_path / "labels.tsv"), catalogue)


def test_one_name_is_one_rater_however_it_was_typed(tmp_path, catalogue):
    source = table_of(
        tmp_path, "sub-01_T1w\t\t\tM\u00fcller\tpass\t", "sub-02_T1w\t\t\tMu\u0308ller\tpass\t"
    )
    assert len({one.rater for one in read_label_table(source, catalogue).labels}) == 1


def test_columns_of_lists_are_no_columns(tmp_path, catalogue):
    path = tmp_path / "labels.parquet"
    rows = {"series_id": ["sub-01_T1w"], "rater": ["ann"], "rating": ["pass"], "volume": [[0]]}
    pq.write_table(pa.table(rows), path)
    labels = read_label_table(TableLabels(kind="table", path=path), catalogue)
    assert told(labels) == [(1, "volume", None)]
    pq.write_table(pa.table({**rows, "rating": [["pass"]]}), path)
    with pytest.raises(UserError, match="no column rating"):
        read_label_table(TableLabels(kind="table", path=path), catalogue)


def test_a_checksum_that_is_none_is_told(tmp_path, catalogue):
    header = "series_id\trater\trating\tsha256"
    source = table_of(tmp_path, "sub-01_T1w\tann\tpass\tbanana", header=header)
    assert told(read_label_table(source, catalogue)) == [(2, "sha256", "banana")]


def test_a_table_without_rows_is_told(tmp_path, catalogue):
    assert "no label in it" in read_label_table(table_of(tmp_path), catalogue).problems[0].problem


def test_no_word_is_what_tables_read_as_not_known():
    assert NO_WORDS == MISSING


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"Good": "pass", "good": "fail"}, "'good' is there twice"),
        ({"pass": "fail"}, "pass cannot mean fail"),
        ({"None": "pass"}, "'none' means `not known` in every table"),
        ({"ok": "fine"}, "Input should be 'pass', 'questionable' or 'fail'"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words, why):
    with pytest.raises(ConfigError, match=re.escape(why)):
        check_config(config(kind="table", path="l.tsv", words=words), "c.yaml")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"path": "x"}, "labels.0: `kind` is missing; allowed: 'table', 'scans', 'mriqc'"),
        ({"kind": "bids", "path": "x"}, "`kind` must be one of 'table', 'scans', 'mriqc'"),
        (
            {"kind": "scans", "path": "x", "colum": "q", "column": "q"},
            "labels.0.colum: no such key; did you mean `column`? Allowed: kind, path, column",
        ),
        ({"kind": "mriqc", "path": "x", "rater": ""}, "labels.0.rater: must not be empty"),
    ],
)
def test_mistakes_in_the_section_are_told_in_its_own_words(source, why):
    with pytest.raises(ConfigError, match=re.escape(why)):
        check_config(config(**source), "c.yaml")


def config(**source):
    sources = [{"kind": "bids", "path": "b"}]
    return {"results": "r", "cohort": {"name": "a", "sources": sources}, "labels": [source]}


def test_a_folder_without_ratings_is_refused(tmp_path, catalogue):
    source = MriqcLabels(kind="mriqc", path=tmp_path)
    with pytest.raises(UserError, match=r"no \*\.json"):
        read_mriqc(source, catalogue)
    with pytest.raises(UserError, match="no such folder"):
        read_mriqc(source.model_copy(update={"path": tmp_path / "none"}), catalogue)
