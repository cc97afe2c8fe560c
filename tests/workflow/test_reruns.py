"""What runs again, and what does not. Every test really runs Snakemake."""

import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tiny_cohort import LOCAL, Cohort, changed, stages, write_participants, write_subject

SHARD_OUTPUTS = ("convert/*", "zarr/**/*", "scores/*")


def test_nothing_changed_runs_nothing_and_touches_nothing(cohort: Cohort) -> None:
    before = cohort.mtimes()
    output = cohort.run()
    assert "nothing to do" in output
    assert "8 series: 8 rated, 0 failed, 0 excluded, 0 without reference" in output
    assert "mriqa query results" in output
    assert changed(before, cohort.mtimes()) == set()


def test_score_section_reruns_scoring_and_what_follows_only(cohort: Cohort) -> None:
    before = cohort.mtimes("convert/*", "zarr/**/*", "shards/*", "cohort.parquet")
    scores = cohort.mtimes("scores/*")
    cohort.edit_config("rating:", "score: {foreground_percentile: 98}\nrating:")
    assert stages(cohort.run()) == {"score", "merge", "report"}
    assert changed(before, cohort.mtimes("convert/*", "zarr/**/*", "shards/*", "cohort.parquet")) \
        == set()  # fmt: skip
    assert changed(scores, cohort.mtimes("scores/*")) == set(scores)


@pytest.mark.slow
def test_rating_section_rewrites_the_tables_only(cohort: Cohort) -> None:
    before = cohort.mtimes(*SHARD_OUTPUTS)
    ratings = cohort.tables()["volumes"]["rating"].to_pylist()
    cohort.edit_config("min_stratum: 3", "min_stratum: 3\n  pass_from: 1\n  fail_below: 1")
    assert stages(cohort.run()) == {"merge", "report"}
    assert changed(before, cohort.mtimes(*SHARD_OUTPUTS)) == set()
    assert cohort.tables()["volumes"]["rating"].to_pylist() != ratings


@pytest.mark.slow
def test_report_section_rewrites_the_page_only(cohort: Cohort) -> None:
    before = cohort.mtimes(*SHARD_OUTPUTS, "tables/**/*")
    cohort.edit_config("worst: 1", "title: Another title\n  worst: 1")
    assert stages(cohort.run()) == {"report"}
    assert changed(before, cohort.mtimes(*SHARD_OUTPUTS, "tables/**/*")) == set()
    assert "Another title" in (cohort.results / "report" / "index.html").read_text()


def test_new_subjects_make_new_shards_and_touch_no_old_one(cohort: Cohort) -> None:
    before = cohort.mtimes("shards/shard*", *SHARD_OUTPUTS)
    for number in (8, 9):
        write_subject(cohort.folder / "bids", number)
    output = cohort.run()
    after = cohort.mtimes("shards/shard*", *SHARD_OUTPUTS)
    assert {name: after[name] for name in before} == before
    assert {name for name in after.keys() - before.keys() if name.startswith("scores")} == {
        "scores/shard-00003.parquet"
    }
    assert "convert: 2 series in 1 shard" in output
    assert "10 series: 10 rated" in output


def test_a_replaced_file_reruns_its_shard_only(cohort: Cohort) -> None:
    before = cohort.mtimes("shards/shard*", *SHARD_OUTPUTS)
    old = cohort.tables()["volumes"]
    write_subject(cohort.folder / "bids", 4, noise=30.0, seed=1)
    cohort.run()
    manifest = cohort.results / "shards"
    shard = next(
        path.stem
        for path in manifest.glob("shard-*")
        if "04" in pq.ParquetFile(path).read(columns=["subject"])["subject"].to_pylist()
    )
    touched = changed(before, cohort.mtimes("shards/shard*", *SHARD_OUTPUTS))
    assert touched
    assert all(f"/{shard}." in name for name in touched)
    new = cohort.tables()["volumes"]
    differs = pc.invert(pc.equal(old["sha256"], new["sha256"]))
    assert new.filter(differs)["subject"].to_pylist() == ["04"]


def test_a_corrected_age_reruns_the_tables_only(cohort: Cohort) -> None:
    before = cohort.mtimes("shards/*", *SHARD_OUTPUTS)
    write_participants(cohort.folder / "bids", dict.fromkeys(range(8), 70))
    assert stages(cohort.run()) == {"merge", "report"}
    assert changed(before, cohort.mtimes("shards/*", *SHARD_OUTPUTS)) == set()
    assert set(cohort.tables()["volumes"]["age"].to_pylist()) == {70.0}


@pytest.mark.slow
def test_a_withdrawn_subject_is_excluded_everywhere(cohort: Cohort) -> None:
    (cohort.folder / "withdrawn.txt").write_text("03\n")
    output = cohort.run()
    assert "8 series: 7 rated, 0 failed, 1 excluded" in output
    volumes = cohort.tables()["volumes"].to_pylist()
    row = next(row for row in volumes if row["subject"] == "03")
    assert (row["status"], row["excluded_by"], row["quality_score"]) == (
        "excluded", "withdrawn", None)  # fmt: skip
    slices = pq.read_table(cohort.results / "tables" / "slices")
    assert "03" not in slices["subject"].to_pylist()
    assert not list(cohort.results.glob("zarr/*/*sub-03*"))


def test_a_deleted_store_is_written_again(cohort: Cohort) -> None:
    before = cohort.tables()
    others = cohort.mtimes("zarr/shard-0000[02]*/**/*")
    shutil.rmtree(cohort.results / "zarr" / "shard-00001.zarr")
    output = cohort.run()
    assert "the Zarr store of shard-00001 is missing" in output
    assert (cohort.results / "zarr" / "shard-00001.zarr" / "zarr.json").is_file()
    assert cohort.mtimes("zarr/shard-0000[02]*/**/*") == others
    assert cohort.tables() == before


@pytest.mark.slow
def test_a_deleted_table_is_written_again(cohort: Cohort) -> None:
    before = cohort.tables()
    (cohort.results / "tables" / "subjects.parquet").unlink()
    assert stages(cohort.run()) == {"merge", "report"}
    assert cohort.tables() == before


@pytest.mark.slow
def test_a_shard_without_series_leaves_nothing_behind(cohort: Cohort) -> None:
    shard = cohort.results / "shards" / "shard-00002.parquet"
    for subject in pq.ParquetFile(shard).read(columns=["subject"])["subject"].to_pylist():
        shutil.rmtree(cohort.folder / "bids" / f"sub-{subject}")
    cohort.run()
    assert not list(cohort.results.glob("*/*shard-00002*"))
    assert cohort.tables()["volumes"].num_rows == cohort.tables()["subjects"].num_rows < 8


def test_stores_hold_nothing_of_snakemake(cohort: Cohort) -> None:
    assert list(cohort.results.glob("zarr/*/zarr.json"))
    assert not list(cohort.results.glob("zarr/**/.snakemake*"))


def test_a_file_that_was_away_while_it_was_converted_is_converted_later(cohort: Cohort) -> None:
    """Its manifest has not changed: a file server was away for a minute."""
    before = cohort.tables()
    path = cohort.folder / "bids" / "sub-03" / "anat" / "sub-03_T1w.nii.gz"
    away = path.rename(cohort.folder / "away")
    (shard,) = [row["shard"] for row in before["volumes"].to_pylist() if row["subject"] == "03"]
    (cohort.results / "convert" / f"shard-{shard:05d}.parquet").unlink()
    cohort.snakemake("--profile", LOCAL)
    assert cohort.tables()["failures"]["error_code"].to_pylist() == ["file_missing"]
    away.rename(path)
    assert "failures have passed" in cohort.run()
    assert cohort.tables() == before
    assert "nothing to do" in cohort.run()
