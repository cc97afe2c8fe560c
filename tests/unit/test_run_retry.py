"""What failed for a cause that is gone is due again; what still fails is left alone."""

from pathlib import Path

import pyarrow as pa
import pytest

from mriqa.cohort.index import index_cohort
from mriqa.config import CohortSection, TableSource
from mriqa.files import MEMORY_KEY, write_parquet
from mriqa.run.retry import retry_passed

SHARD = "shard-00000"
STATUS, SCORES = f"convert/{SHARD}.parquet", f"scores/{SHARD}.parquet"
MEMORY = {"convert": 2000, "scores": 2000}


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


def test_a_damaged_store_is_written_again(results: Path) -> None:
    finished(results, None, "store_damaged")
    assert retry_passed(results, [SHARD], MEMORY) == [STATUS]


def test_nothing_there_yet(results: Path) -> None:
    assert retry_passed(results, [SHARD], MEMORY) == []
