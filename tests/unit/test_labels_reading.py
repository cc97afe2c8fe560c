"""All labels together: contradictions, exclusions, files that were replaced, what is written."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_labels_sources import cohort_of, rated, table_of

from mriqa.cli import main
from mriqa.config import MriqcLabels, ScansLabels
from mriqa.errors import UserError
from mriqa.labels import reading
from mriqa.labels.publish import AGREEMENT, PROBLEMS, write_labels
from mriqa.labels.reading import RATINGS_FILE, SEEN_FILE, read_labels

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
    """(series, rater, rating) of the labels that are used, and what is told."""
    read = read_labels(sources, results)
    labels = [(one.target.series_id, one.rater, one.rating) for one in read.labels.labels]
    return labels, [one.problem for one in read.labels.problems]


def not_used(results):
    """(rater, rating, why) of the written labels that are not used."""
    rows = pq.read_table(results / RATINGS_FILE).to_pylist()
    return [
        (one["rater"], one["rating"], one["not_used_because"]) for one in rows if not one["used"]
    ]


def converted(results, sha256, n_volumes=1, n_slices=20):
    """As if `mriqa convert` had read the files of the one shard."""
    rows = [
        {"series_id": one, "sha256": sha256, "n_volumes": n_volumes, "n_slices": n_slices}
        for one in (A, B)
    ]
    for folder in ("shards", "convert"):
        (results / folder).mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), results / folder / "shard-00000.parquet")


def test_labels_of_all_sources_come_in_one_order(results, tmp_path):
    table = table_of(
        tmp_path, f"{B}\t\t\tbob\tpass\t", f"{B}\t0\t\tbob\tfail\t", f"{A}\t\t\tann\tfail\t"
    )
    rated(tmp_path / "mriqc" / "cleo", "sub-01_T1w.nii.gz", "4")
    labels, problems = found(results, table, MriqcLabels(kind="mriqc", path=tmp_path / "mriqc"))
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
    labels, (contradiction, twice) = found(results, table)
    assert labels == [(A, "bob", "fail"), (B, "ann", "pass")]
    assert "fail here and pass in" in contradiction
    assert "labels.tsv line 2; none is used" in contradiction
    assert "labels.tsv line 5); counted once" in twice


def test_who_contradicts_himself_in_two_sources_is_told_of_both(results, tmp_path):
    table = table_of(tmp_path, f"{A}\t\t\tann\tpass\t")
    rated(tmp_path / "mriqc" / "ann", "sub-01_T1w.nii.gz", "1")
    labels, (problem,) = found(results, table, MriqcLabels(kind="mriqc", path=tmp_path / "mriqc"))
    assert labels == []
    assert "ann has rated demo_sub-01_T1w fail here and pass in" in problem


def test_excluded_series_have_no_labels(results, tmp_path):
    index(results, excluded_by="withdrawn")
    source = table_of(tmp_path, f"{A}\t\t\tann\tpass\t", f"{A}\t\t\tbob\tnonsense\t")
    assert found(results, source) == ([], [])
    write_labels([source], results)
    assert pq.read_table(results / RATINGS_FILE).num_rows == 0  # nor does a copy of them stay


def test_a_replaced_file_does_not_inherit_the_labels_of_the_old_one(results, tmp_path):
    sources = [table_of(tmp_path, f"{A}\t\t\tann\tpass\t")]
    assert write_labels(sources, results).n_labels == 1
    index(results, mtime_ns=6)
    for _ in range(2):  # and stays so
        summary = write_labels(sources, results)
        assert summary.n_labels == 0
        assert "has changed since this label was first read" in summary.problems[0].problem
        assert not_used(results) == [("ann", "pass", "replaced")]
    index(results)  # the old file is back
    assert write_labels(sources, results).n_labels == 1


@pytest.mark.parametrize(
    ("line", "used"),
    [("ann\tfail\t", "fail"), ("ann\tpass\tlooked again", "pass"), ("bob\tpass\t", "pass")],
)
def test_what_is_rated_anew_counts_beside_the_old_label(results, tmp_path, line, used):
    old = f"{A}\t\t\tann\tpass\t"
    write_labels([table_of(tmp_path, old)], results)
    index(results, mtime_ns=6)
    source = table_of(tmp_path, old, f"{A}\t\t\t{line}")
    labels, _ = found(results, source)
    assert [rating for *_, rating in labels] == [used]
    write_labels([source], results)
    assert not_used(results) == [("ann", "pass", "replaced")]


def absent(change, results, tmp_path, source):
    """One index in which the label, or its series, is not there."""
    if change == "label":
        write_labels([table_of(tmp_path, f"{B}\t\t\tann\tpass\t")], results)
        table_of(tmp_path, f"{A}\t\t\tann\tpass\t")
    elif change == "section":
        write_labels([], results)
    elif change == "excluded":
        index(results, mtime_ns=6, excluded_by="contrast")
        write_labels([source], results)
    elif change == "contradicted":
        table_of(tmp_path, f"{A}\t\t\tann\tpass\t", f"{A}\t\t\tann\tfail\t")
        write_labels([source], results)
        table_of(tmp_path, f"{A}\t\t\tann\tpass\t")
    elif change == "vanished":
        pq.write_table(
            cohort_of(results.parent, names=["sub-02/anat/sub-02_T1w"]), results / "cohort.parquet"
        )
        write_labels([source], results)
    index(results, mtime_ns=6)


@pytest.mark.parametrize("change", ["label", "section", "excluded", "contradicted", "vanished"])
def test_which_file_a_label_was_given_to_is_not_forgotten(results, tmp_path, change):
    source = table_of(tmp_path, f"{A}\t\t\tann\tpass\t")
    write_labels([source], results)
    absent(change, results, tmp_path, source)
    assert found(results, source)[0] == []


def test_other_words_or_names_in_the_configuration_are_no_new_label(results, tmp_path):
    folder = tmp_path / "sub-01"
    folder.mkdir()
    (folder / "sub-01_scans.tsv").write_text("filename\tqc\nanat/sub-01_T1w.nii.gz\t2\n")
    source = ScansLabels(kind="scans", path=tmp_path, column="qc", words={"2": "questionable"})
    write_labels([source], results)
    index(results, mtime_ns=6)
    other = source.model_copy(update={"words": {"2": "fail"}, "rater": "Anna"})
    assert found(results, other)[0] == []


def test_a_damaged_memory_is_told(results, tmp_path):
    source = table_of(tmp_path, f"{A}\t\t\tann\tpass\t")
    write_labels([source], results)
    (results / SEEN_FILE).write_bytes(b"PAR1 nonsense")
    labels, (problem,) = found(results, source)
    assert len(labels) == 1
    assert "damaged: every label is taken for one of the file that is there now" in problem


def test_the_memory_names_nobody(results, tmp_path):
    write_labels([table_of(tmp_path, f"{A}\t\t\tann\tpass\t")], results)
    (row,) = pq.read_table(results / SEEN_FILE).to_pylist()
    assert len(row["label"]) == 64
    assert set(row) == {"label", "size_bytes", "mtime_ns", "sha256"}


def test_a_file_that_was_only_touched_keeps_its_labels_once_it_was_read(results, tmp_path):
    sources = [table_of(tmp_path, f"{A}\t\t\tann\tpass\t")]
    converted(results, "ab" * 32)
    write_labels(sources, results)
    index(results, mtime_ns=7)
    (results / "convert" / "shard-00000.parquet").unlink()  # its manifest is another one
    assert write_labels(sources, results).n_labels == 0
    converted(results, "ab" * 32)
    assert write_labels(sources, results).n_labels == 1
    converted(results, "cd" * 32)
    assert write_labels(sources, results).n_labels == 0


def test_a_sha256_says_which_file_a_label_is_of(results, tmp_path):
    header = "series_id\trater\trating\tsha256"
    old, new = "AB" * 32, "cd" * 32
    source = table_of(tmp_path, f"{A}\tann\tpass\t{old}", f"{A}\tann\tfail\t{new}", header=header)
    converted(results, "ab" * 32)
    assert found(results, source)[0] == [(A, "ann", "pass")]
    write_labels([source], results)
    converted(results, "cd" * 32)
    index(results, mtime_ns=9)
    assert found(results, source)[0] == [(A, "ann", "fail")]


def test_a_label_of_a_file_that_was_not_there_yet_is_one_of_that_which_comes(results, tmp_path):
    source = table_of(tmp_path, f"{A}\t\t\tann\tpass\t")
    index(results, size_bytes=0, mtime_ns=0, error_code="file_missing")
    write_labels([source], results)
    index(results)
    assert found(results, source)[0] == [(A, "ann", "pass")]


def test_volumes_and_slices_that_there_are_not_are_told_once_it_was_converted(results, tmp_path):
    source = table_of(
        tmp_path, f"{A}\t5\t\tann\tpass\t", f"{A}\t0\t20\tann\tpass\t", f"{A}\t4\t19\tann\tpass\t"
    )
    assert len(found(results, source)[0]) == 3
    converted(results, "ab" * 32, n_volumes=5)
    labels, problems = found(results, source)
    assert len(labels) == 1
    assert ["there are only 5 (0 to 4)" in problems[0], "only 20 (0 to 19)" in problems[1]] == [
        True
    ] * 2


def test_withdrawn_subjects_vanish_also_if_a_source_cannot_be_read(results, tmp_path):
    source = table_of(tmp_path, f"{A}\t\t\tann\tpass\t", f"{B}\t\t\tann\tpass\t")
    write_labels([source], results)
    pq.write_table(
        cohort_of(results.parent, names=["sub-02/anat/sub-02_T1w"]), results / "cohort.parquet"
    )
    source.path.unlink()
    with pytest.raises(UserError, match="no such table"):
        write_labels([source], results)
    assert pq.read_table(results / RATINGS_FILE)["series_id"].to_pylist() == [B]


def test_the_memory_is_read_once_however_many_labels_there_are(results, tmp_path, monkeypatch):
    """Read for every label, a hundred thousand of them would never end."""
    source = table_of(tmp_path, *(f"{A}\t{n}\t\tann\tpass\t" for n in range(50)))
    write_labels([source], results)
    opened = []
    real = reading.read_if_sound
    monkeypatch.setattr(reading, "read_if_sound", lambda *of: opened.append(of) or real(*of))
    write_labels([source], results)
    assert len(opened) == 1


def test_what_is_written_can_be_queried_and_goes_with_its_sources(results, tmp_path):
    table = table_of(tmp_path, f"{A}\t\t\tann\tpass\t", f"{A}\t\t\tbob\tfail\t", "x\t\t\tb\tpass\t")
    write_labels([table], results)
    rows = pq.read_table(results / RATINGS_FILE).to_pylist()
    assert [(row["rater"], row["rating"], row["used"]) for row in rows] == [
        ("ann", "pass", True), ("bob", "fail", True),
    ]  # fmt: skip
    assert pq.read_table(results / PROBLEMS)["line"].to_pylist() == [4]
    (series,) = json.loads((results / AGREEMENT).read_text())
    assert (series["level"], series["n_disputed"], series["observed"]) == ("series", 1, 0)
    before = (results / RATINGS_FILE).stat().st_mtime_ns
    write_labels([table], results)
    assert (results / RATINGS_FILE).stat().st_mtime_ns == before
    assert write_labels([], results) is None
    assert [path.name for path in (results / "labels").iterdir()] == [SEEN_FILE.name]


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
    assert pq.read_table(results / RATINGS_FILE).schema.field("volume").type == pa.int32()
