"""All labels together: contradictions, exclusions, files that were replaced, what is written."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_labels_sources import cohort_of, rated, table_of

from mriqa.cli import main
from mriqa.config import MriqcLabels
from mriqa.labels.publish import AGREEMENT, PROBLEMS, write_labels
from mriqa.labels.reading import FILE, read_labels

A, B = "demo_sub-01_T1w", "demo_sub-02_T1w"


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    index(folder)
    return folder


def index(folder, **changes):
    folder.mkdir(exist_ok=True)
    pq.write_table(cohort_of(folder.parent, **changes), folder / "cohort.parquet")


def found(results, *sources):
    labels, table = read_labels(sources, results)
    return (
        [(one.target.series_id, one.rater, one.rating) for one in labels.labels],
        [one.problem for one in labels.problems],
        table,
    )


def test_labels_of_all_sources_come_in_one_order(results, tmp_path):
    table = table_of(
        tmp_path, f"{B}\t\t\tbob\tpass\t", f"{B}\t0\t\tbob\tfail\t", f"{A}\t\t\tann\tfail\t"
    )
    rated(tmp_path / "mriqc" / "cleo", "sub-01_T1w.nii.gz", "4")
    labels, problems, _ = found(results, table, MriqcLabels(kind="mriqc", path=tmp_path / "mriqc"))
    assert labels == [
        (A, "ann", "fail"),
        (A, "cleo", "pass"),
        (B, "bob", "pass"),
        (B, "bob", "fail"),
    ]
    assert problems == []


def test_of_contradicting_ratings_of_one_rater_none_is_used(results, tmp_path):
    table = table_of(
        tmp_path,
        f"{A}\t\t\tann\tpass\t", f"{A}\t\t\tbob\tfail\t", f"{A}\t\t\tann\tfail\t",
        f"{B}\t\t\tann\tpass\t", f"{B}\t\t\tann\tpass\tagain",
    )  # fmt: skip
    labels, (contradiction, twice), _ = found(results, table)
    assert labels == [(A, "bob", "fail"), (B, "ann", "pass")]
    assert "fail here and pass in" in contradiction
    assert "labels.tsv line 2; neither is used" in contradiction
    assert "labels.tsv line 5); counted once" in twice


def test_who_contradicts_himself_in_two_sources_is_told_of_both(results, tmp_path):
    table = table_of(tmp_path, f"{A}\t\t\tann\tpass\t")
    rated(tmp_path / "mriqc" / "ann", "sub-01_T1w.nii.gz", "1")
    labels, (problem,), _ = found(
        results, table, MriqcLabels(kind="mriqc", path=tmp_path / "mriqc")
    )
    assert labels == []
    assert "ann has rated demo_sub-01_T1w fail here and pass in" in problem


def test_excluded_series_have_no_labels(results, tmp_path):
    index(results, excluded_by="withdrawn")
    labels, problems, table = found(results, table_of(tmp_path, f"{A}\t\t\tann\tpass\t"))
    assert (labels, problems, table.num_rows) == ([], [], 0)  # nor does a copy of them stay


def test_a_replaced_file_does_not_inherit_the_labels_of_the_old_one(results, tmp_path):
    sources = [table_of(tmp_path, f"{A}\t\t\tann\tpass\t")]
    assert write_labels(sources, results).n_labels == 1
    index(results, mtime_ns=6)
    for _ in range(2):  # and stays so
        summary = write_labels(sources, results)
        assert summary.n_labels == 0
        assert "another one than this label was given to" in summary.problems[0].problem
        assert pq.read_table(results / FILE)["used"].to_pylist() == [False]
    changed = [table_of(tmp_path, f"{A}\t\t\tann\tfail\t")]  # looked at again
    assert write_labels(changed, results).n_labels == 1


def test_a_file_that_was_only_touched_keeps_its_labels(results, tmp_path):
    sources = [table_of(tmp_path, f"{A}\t\t\tann\tpass\t")]
    write_labels(sources, results)
    index(results, sha256="ab")  # convert has read it
    write_labels(sources, results)
    index(results, sha256="ab", mtime_ns=7)
    assert write_labels(sources, results).n_labels == 1
    index(results, sha256="cd", mtime_ns=7)
    assert write_labels(sources, results).n_labels == 0


def test_a_sha256_says_which_file_a_label_is_of(results, tmp_path):
    header = "series_id\trater\trating\tsha256"
    sources = [table_of(tmp_path, f"{A}\tann\tpass\tAB", header=header)]
    write_labels(sources, results)
    index(results, sha256="ab", mtime_ns=9)
    assert write_labels(sources, results).n_labels == 1
    index(results, sha256="cd", mtime_ns=9)
    assert write_labels(sources, results).n_labels == 0


def test_what_is_written_can_be_queried_and_goes_with_its_sources(results, tmp_path):
    table = table_of(tmp_path, f"{A}\t\t\tann\tpass\t", f"{A}\t\t\tbob\tfail\t", "x\t\t\tb\tpass\t")
    write_labels([table], results)
    rows = pq.read_table(results / FILE).to_pylist()
    assert [(row["rater"], row["rating"], row["used"]) for row in rows] == [
        ("ann", "pass", True), ("bob", "fail", True),
    ]  # fmt: skip
    assert pq.read_table(results / PROBLEMS)["line"].to_pylist() == [4]
    (series,) = json.loads((results / AGREEMENT).read_text())
    assert (series["level"], series["n_disputed"], series["observed"]) == ("series", 1, 0)
    before = (results / FILE).stat().st_mtime_ns
    write_labels([table], results)
    assert (results / FILE).stat().st_mtime_ns == before
    assert write_labels([], results) is None
    assert not (results / FILE).parent.exists()


def test_the_verb_prints_agreement_and_problems(results, tmp_path, capsys):
    lines = [
        f"{A}\t\t\tann\tpass\t", f"{A}\t\t\tbob\tpass\t", f"{B}\t\t\tann\tfail\t",
        f"{B}\t\t\tbob\tquestionable\t", f"{B}\t\t\tcleo\tbad\t",
    ]  # fmt: skip
    source = table_of(tmp_path, *lines)
    config = tmp_path / "c.yaml"
    config.write_text(
        f"results: {results}\n"
        "cohort: {name: demo, sources: [{kind: bids, path: x}]}\n"
        f"labels: [{{kind: table, path: {source.path}}}]\n"
    )
    assert main(["labels", str(config)]) == 0
    said = capsys.readouterr().out
    assert "labels 4 of 2 series (2 pass, 1 questionable, 1 fail)" in said
    assert "series rated twice or more 2, disputed 1, Fleiss' κ 0.20 (2 raters)" in said
    assert "ann and bob agree on 50% of 2 (Cohen's κ 0.33, weighted 0.50)" in said
    assert "labels.tsv, line 6: rating 'bad': the rating must be one of pass" in said
    assert not (results / "labels").exists()  # it only looks


def test_the_verb_without_labels_says_what_to_do(results, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(
        f"results: {results}\ncohort: {{name: d, sources: [{{kind: bids, path: x}}]}}\n"
    )
    assert main(["labels", str(config)]) == 2
    assert "no labels; name their tables" in capsys.readouterr().err


def test_the_schema_is_read_back_whatever_is_empty(results, tmp_path):
    write_labels([table_of(tmp_path, f"{A}\t\t\tann\tpass\t")], results)
    assert pq.read_table(results / FILE).schema.field("volume").type == pa.int32()
