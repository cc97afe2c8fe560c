"""Failures that may have passed, so that no run repeats them without having looked.

A file server was away, a permission is mended, a job is given more memory, a disk has lost a bit:
neither manifest nor settings change then, and Snakemake would keep the failed rows for ever.
"""

import stat
from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.cohort.manifest import Series, read_shard
from mriqa.cohort.maps.model import FOLDER, MISSING, read_map_files
from mriqa.errors import ErrorCode, UserError
from mriqa.files import MEMORY_KEY

OF_THE_SOURCE = {ErrorCode.FILE_MISSING, ErrorCode.FILE_UNREADABLE, ErrorCode.SOURCE_CHANGED}
READ_BYTES = 2**22
RATE_MEMORY = "resources.rate_mem_mb"
"""In the sentence about a volume that did not fit."""


def retry_passed(results: Path, shards: Collection[str], memory_mb: Mapping[str, int]) -> list[str]:
    """Remove what failed for a cause that is gone, so that it is due; returns what was removed.

    `memory_mb` is what jobs get now, by the folder of their outputs (`convert`, `scores`), and
    those that rate by a learned method (`rate`). Only for the holder of the results' lock.
    """
    removed = []
    for shard in sorted(shards):
        name = f"{shard}.parquet"
        status, scores = results / "convert" / name, results / "scores" / name
        failed = failures(status)
        if (
            has_more_memory(status, failed, memory_mb["convert"])
            or _some_source_is_back(results / "shards" / name, failed)
            or ErrorCode.STORE_DAMAGED in failures(scores).values()
        ):
            removed.append(status)
        elif has_more_memory(scores, failures(scores), memory_mb["scores"]) or _some_map_is_back(
            results / FOLDER / name, scores
        ):
            removed.append(scores)
        else:
            rated = results.glob(f"scores/*/{name}")
            removed += [path for path in rated if may_fit_now(path, memory_mb["rate"])]
    for path in removed:
        path.unlink(missing_ok=True)
    return [str(path.relative_to(results)) for path in removed]


def failures(path: Path) -> dict[str, str]:
    """Error codes by series of a status or score file; nothing where it cannot be read."""
    try:
        table = pq.ParquetFile(path).read(columns=["series_id", "error_code"])
        table = table.filter(table["error_code"].is_valid())
    except (pa.ArrowException, OSError, KeyError):  # KeyError: of another version
        return {}
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def has_more_memory(path: Path, failed: Mapping[str, str], memory_mb: int) -> bool:
    """Whether series did not fit into the memory of the job, and it would get more now."""
    if ErrorCode.OUT_OF_MEMORY not in failed.values():
        return False
    noted = (pq.read_schema(path).metadata or {}).get(MEMORY_KEY, b"0")
    return int(noted) < memory_mb


def may_fit_now(path: Path, memory_mb: int) -> bool:
    """Whether a learned method had too little memory for a volume, and would get more now."""
    try:
        file = pq.ParquetFile(path)
        noted = (file.schema_arrow.metadata or {}).get(MEMORY_KEY)
        if noted is None or int(noted) >= memory_mb:
            return False
        problems = file.read(columns=["problem"])["problem"].drop_null().unique().to_pylist()
    except (pa.ArrowException, OSError, KeyError):  # KeyError: of another version
        return False
    return any(RATE_MEMORY in problem for problem in problems)


def _some_source_is_back(manifest: Path, failed: Mapping[str, str]) -> bool:
    suspects = {name for name, code in failed.items() if code in OF_THE_SOURCE}
    if not suspects:
        return False
    try:
        indexed = read_shard(manifest)
    except UserError:
        return False
    return any(is_readable(one) for one in indexed if one.series_id in suspects)


def is_readable(series: Series) -> bool:
    """Whether the file that was indexed is there and can be read to its end."""
    if series.error_code is not None:
        return False
    return _can_be_read(series.source_path, (series.size_bytes, series.mtime_ns))


def _some_map_is_back(listed: Path, scores: Path) -> bool:
    """Whether a brain mask or tissue map could not be had when it was needed, and can be now."""
    if not listed.is_file():
        return False
    try:
        table = pq.ParquetFile(scores).read(columns=["series_id", "brain_tissue_null_reason"])
        files = read_map_files(listed)
    except (pa.ArrowException, OSError, KeyError, UserError):  # KeyError: of another version
        return False
    suspects = {
        series_id
        for series_id, reason in zip(*(one.to_pylist() for one in table.columns), strict=True)
        if reason == MISSING
    }
    return any(
        all(
            _can_be_read(Path(one.path), (one.size_bytes, one.mtime_ns)) for one in files[series_id]
        )
        for series_id in suspects & files.keys()
    )


def _can_be_read(path: Path, known: tuple[int | None, int | None]) -> bool:
    """Whether the file of this size and time is there and can be read to its end."""
    try:
        found = path.stat()
        same = (found.st_size, found.st_mtime_ns) == known
        if not same or not stat.S_ISREG(found.st_mode):
            return False
        with path.open("rb", buffering=0) as file:
            while file.read(READ_BYTES):
                pass
    except OSError:
        return False
    return True
