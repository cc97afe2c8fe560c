"""What failed for a cause that is gone is due again; what still fails is left alone."""

from pathlib import Path

import pyarrow as pa
import pytest

from mriqa.cohort.index import index_cohort
from mriqa.config import CohortSection, TableSource
from mriqa.errors import SeriesError
from mriqa.files import MEMORY_KEY, write_parquet
from mriqa.run.retry import retry_passed

SHARD = "shard-00000"
STATUS, SCORES = f"convert/{SHARD}.parquet", f"scores/{SHARD}.parquet"
RATED = f"scores/simclr/{SHARD}.parquet"
MEMORY = {"convert": 2000, "scores": 2000, "rate": 4000}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One indexed series, `x_sub-1_T1w`, at `a.nii`."""
    (tmp_path / "a.nii").write_bytes(b"x" * 500)
    (tmp_path / "series.csv").write_text("path,subject,contrast\na.nii,1,T1w\n")
    source = TableSource(kind="table", path=tmp_path / "series.csv")
    index_cohort(CohortSection(name="x", sources=(source,)), tmp_path / "r")
    return tmp_path / "r"


def finished(results: Path, convert: str | None, score: str | None, mem_mb: int = 2000) -> None:
    for name, code in ((STATUS, convert), (SCORES, score)):
        columns = {"series_id": ["x_sub-1_T1w"], "error_code": pa.array([code], pa.string())}
        metadata = {MEMORY_KEY: str(mem_mb)}
        write_parquet(results / name, pa.table(columns).replace_schema_metadata(metadata))


@pytest.mark.parametrize("code", ["file_missing", "file_unreadable", "source_changed"])
def test_a_source_that_is_back_is_converted(results: Path, code: str) -> None:
    finished(results, code, code)
    assert retry_passed(results, [SHARD], MEMORY) == [STATUS]
    assert not (results / STATUS).exists()


@pytest.mark.parametrize("code", [None, "corrupt_gzip", "internal", "constant"])
def test_what_lies_in_the_file_is_not_tried_again(results: Path, code: str | None) -> None:
    finished(results, code, code)
    assert retry_passed(results, [SHARD], MEMORY) == []
    assert (results / STATUS).exists()


def test_a_source_that_is_still_away_is_left_alone(results: Path) -> None:
    finished(results, "file_missing", "file_missing")
    (results.parent / "a.nii").unlink()
    assert retry_passed(results, [SHARD], MEMORY) == []


def test_another_file_in_its_place_is_for_the_index(results: Path) -> None:
    finished(results, "source_changed", "source_changed")
    (results.parent / "a.nii").write_bytes(b"y" * 600)
    assert retry_passed(results, [SHARD], MEMORY) == []


def test_more_memory_runs_what_did_not_fit(results: Path) -> None:
    finished(results, "out_of_memory", "out_of_memory", mem_mb=2000)
    assert retry_passed(results, [SHARD], MEMORY) == []
    assert retry_passed(results, [SHARD], {**MEMORY, "convert": 2001}) == [STATUS]
    finished(results, None, "out_of_memory", mem_mb=2000)
    assert retry_passed(results, [SHARD], {**MEMORY, "scores": 2001}) == [SCORES]


@pytest.mark.parametrize(
    ("shape", "memory_mb", "again"),
    [((400, 900, 900), 4000, False), ((400, 900, 900), 4001, True), ((9, 9, 9), 9000, False)],
)
def test_more_memory_rates_what_did_not_fit(
    results: Path, shape: tuple[int, int, int], memory_mb: int, again: bool
) -> None:
    """With the very sentence that the method writes."""
    from mriqa.embedding.judging import check_memory

    finished(results, None, None)
    problem = "no references in this stratum"
    try:
        check_memory(shape, 4000)
    except SeriesError as error:
        problem = error.message
    table = pa.table({"problem": pa.array([None, problem], pa.string())})
    write_parquet(results / RATED, table.replace_schema_metadata({MEMORY_KEY: "4000"}))
    assert retry_passed(results, [SHARD], {**MEMORY, "rate": memory_mb}) == [RATED] * again


def test_a_damaged_store_is_written_again(results: Path) -> None:
    finished(results, None, "store_damaged")
    assert retry_passed(results, [SHARD], MEMORY) == [STATUS]


def test_nothing_there_yet(results: Path) -> None:
    assert retry_passed(results, [SHARD], MEMORY) == []
