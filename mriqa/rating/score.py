"""One shard's measurements: a row a volume and a row a slice, from the Zarr store.

Every series of the manifest gets at least one row; what cannot be measured gets one with its
error code. The file is complete or absent.
"""

import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mriqa.cohort.manifest import Series, read_shard
from mriqa.cohort.maps.model import MapFile, read_map_files
from mriqa.columns import Column, arrow_schema
from mriqa.config import ScoreSection
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.files import MEMORY_KEY, readable, write_parquet
from mriqa.images.store import ShardStore, StoredSeries, open_store
from mriqa.metrics import SLICE_COLUMNS, VOLUME_COLUMNS, measure
from mriqa.progress import track
from mriqa.rating.brains import brain_metrics
from mriqa.rating.shells import Scored, shared_body, with_outliers
from mriqa.tables.schemas import GEOMETRY_COLUMNS, STATUS_COLUMNS, VOLUME_COLUMN

FORMAT_VERSION = 5
"""Raise it when the numbers change: all score jobs then run again. If those of slices do, raise
`metrics.METRICS_VERSION`, too."""

WORKING_COPIES = 7
"""A volume in float32, and what the metrics need at most beside it, as multiples of its size."""

COPIES_OF_MAPS = 1
"""What a mask of the user takes in addition; tissue maps take less than the tissues that are not
estimated then (measured on 12 million voxels: 35 MB more, and 20 MB less)."""

_IDENTITY = (
    Column("series_id", "string", "Series.", required=True),
    VOLUME_COLUMN,
    Column("slice", "int32", "Index along the slice axis; NULL in the row of a volume."),
)
_MEASURED = (
    Column("sha256", "string", "Of the source."),
    Column("b_value_s_per_mm2", "float64", "Diffusion weighting."),
    Column("b_class", "string", "Shell."),
    Column("background", "string", "air or zeroed."),
)
_VOLUME_METRIC_NAMES = {column.name for column in VOLUME_COLUMNS}
SCORE_COLUMNS = (
    *_IDENTITY,
    *STATUS_COLUMNS,
    *_MEASURED,
    *GEOMETRY_COLUMNS,
    *VOLUME_COLUMNS,
    *(column for column in SLICE_COLUMNS if column.name not in _VOLUME_METRIC_NAMES),
)
SCORE_SCHEMA = arrow_schema(SCORE_COLUMNS)

Row = dict[str, Any]


@dataclass(frozen=True)
class _Task:
    """One series, what to measure of it, and the user's masks and tissue maps of it."""

    series: Series
    settings: ScoreSection
    maps: tuple[MapFile, ...]


def score_shard(
    manifest: Path,
    store: Path,
    convert_status: Path,
    output: Path,
    *,
    settings: ScoreSection,
    threads: int,
    mem_mb: int,
    brain_maps: Path | None = None,
) -> None:
    """Measure every volume of a shard and write `output` (SCORE_SCHEMA).

    `threads` volumes are measured at a time, fewer where `mem_mb` would not hold them.
    `brain_maps` lists the user's masks and tissue maps of the shard's brains.
    """
    series = read_shard(manifest)
    maps = read_map_files(brain_maps)
    statuses = _read_statuses(convert_status, series)
    opened = open_store(store) if any(row["status"] == "ok" for row in statuses.values()) else None
    tables = [SCORE_SCHEMA.empty_table()]
    for one in track(series, len(series), f"score {manifest.stem}"):
        status = statuses[one.series_id]
        if status["status"] != "ok" or opened is None:
            scored = iter([_rows_table([_unread_row(one, status)])])
        else:
            task = _Task(one, settings, maps.get(one.series_id, ()))
            scored = _score_series(task, status, opened, threads, mem_mb)
        # Merged by the hundred: a table of one row takes a hundred times the memory of its row.
        while some := list(islice(scored, 100)):
            tables.append(pa.concat_tables(some).combine_chunks())
    table = pa.concat_tables(tables).combine_chunks()
    write_parquet(output, table.replace_schema_metadata({MEMORY_KEY: str(mem_mb)}))


def _read_statuses(path: Path, series: list[Series]) -> dict[str, Row]:
    with readable(path):
        rows = pq.read_table(path).to_pylist()
    statuses = {row["series_id"]: row for row in rows}
    missing = [one.series_id for one in series if one.series_id not in statuses]
    if missing:
        raise UserError(
            f"{path}: no status for {len(missing)} series, e.g. {missing[0]}; "
            "it is older than its manifest: convert again"
        )
    return statuses


def _unread_row(series: Series, status: Row) -> Row:
    return {
        "series_id": series.series_id,
        "status": status["status"],
        "error_code": status["error_code"],
        "error_message": status["error_message"],
        "excluded_by": series.excluded_by,
        "sha256": status["sha256"],
    }


def _score_series(
    task: _Task, status: Row, store: ShardStore, threads: int, mem_mb: int
) -> Iterator[pa.Table]:
    """One table a volume; a store that cannot be read gives one failed row."""
    series = task.series
    try:
        stored = store.series(series.series_id)
    except SeriesError as error:
        row = {**_unread_row(series, status), "status": "failed"}
        yield _rows_table([{**row, "error_code": error.code, "error_message": error.message}])
        return
    copies = WORKING_COPIES + (COPIES_OF_MAPS if task.maps else 0)
    workers = _concurrent_volumes(stored, copies, threads, mem_mb)
    shells = _shells(series, stored.attributes.n_volumes)
    body = shared_body(stored, shells) if workers else None

    def score(volume: int) -> Scored:
        return _score_volume(task, stored, volume, workers, body)

    scored = _all_volumes(score, stored.attributes.n_volumes, workers)
    yield from (one.rows for one in scored) if body is None else with_outliers(list(scored))


def _all_volumes(score: Callable[[int], Scored], n_volumes: int, workers: int) -> Iterator[Scored]:
    if workers <= 1:
        yield from map(score, range(n_volumes))
        return
    with ThreadPoolExecutor(workers) as pool:
        volumes = iter(range(n_volumes))
        while batch := list(islice(volumes, workers)):
            yield from pool.map(score, batch)


def _concurrent_volumes(stored: StoredSeries, copies: int, threads: int, mem_mb: int) -> int:
    """How many volumes fit into the job's memory at a time; 0 if not even one does."""
    footprint = int(np.prod(stored.attributes.shape_zyx)) * 4 * copies
    # A Python with the libraries loaded takes some 150 MB before the first voxel.
    available = max(mem_mb - 150, mem_mb // 4) * 2**20
    return min(threads, available // footprint)


def _score_volume(
    task: _Task,
    stored: StoredSeries,
    volume: int,
    workers: int,
    body: NDArray[np.bool_] | None,
) -> Scored:
    head = _volume_head(task.series, stored, volume)
    try:
        if workers < 1:
            shape = "x".join(map(str, stored.attributes.shape_zyx))
            raise SeriesError(
                ErrorCode.OUT_OF_MEMORY,
                f"a volume of {shape} voxels does not fit into the score job's memory: "
                "raise resources.score_mem_mb",
            )
        return _measured(head, task, stored, body)
    except SeriesError as error:
        code, message = error.code, error.message
    except MemoryError:
        code = ErrorCode.OUT_OF_MEMORY
        message = "not enough memory to measure it: raise resources.score_mem_mb"
    except Exception as error:  # one bad volume must not stop the shard
        where = traceback.extract_tb(error.__traceback__)[-1]
        code = ErrorCode.INTERNAL
        message = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
    message = f"{task.series.source_path}, volume {volume}: {message}"
    row = {**head, "status": "failed", "error_code": code, "error_message": message}
    return Scored(_rows_table([row]), head["b_class"])


def _shells(series: Series, n_volumes: int) -> list[str]:
    """The shell of every volume."""
    return [
        diffusion_class(series.contrast, series.bvals, volume, n_volumes)[1]
        for volume in range(n_volumes)
    ]


def _volume_head(series: Series, stored: StoredSeries, volume: int) -> Row:
    attributes = stored.attributes
    depth, height, width = attributes.shape_zyx
    b_value, b_class = diffusion_class(series.contrast, series.bvals, volume, attributes.n_volumes)
    return {
        "series_id": series.series_id,
        "volume": volume,
        "sha256": attributes.sha256,
        "b_value_s_per_mm2": b_value,
        "b_class": b_class,
        "n_slices": depth,
        "n_rows": height,
        "n_columns": width,
        "spacing_z_mm": attributes.spacing_mm[0],
        "spacing_y_mm": attributes.spacing_mm[1],
        "spacing_x_mm": attributes.spacing_mm[2],
    }


def diffusion_class(
    contrast: str, bvals: tuple[float, ...] | None, volume: int, n_volumes: int
) -> tuple[float | None, str]:
    """b-value in s/mm² and shell of a volume.

    The shell is `b0` below 50, else b rounded to 100, e.g. `b1000`; `none` of what is no diffusion.
    It is `unknown` where the number of b-values is not that of the volumes (whose is whose cannot
    be told), and in a series of several `dwi` volumes without any.
    """
    if bvals is None:
        return None, "unknown" if contrast == "dwi" and n_volumes > 1 else "none"
    if len(bvals) != n_volumes:
        return None, "unknown"
    b_value = float(bvals[volume])
    # not round(), which takes 250 and 150 to the same 200
    return b_value, "b0" if b_value < 50 else f"b{int(b_value / 100 + 0.5) * 100}"


def _measured(
    head: Row, task: _Task, stored: StoredSeries, body: NDArray[np.bool_] | None
) -> Scored:
    settings, contrast = task.settings, task.series.contrast
    image = stored.volume(head["volume"])
    nonfinite = 1 - float(np.count_nonzero(np.isfinite(image))) / image.size
    measured = measure(
        image,
        stored.attributes.spacing_mm,
        upper=settings.foreground_percentile,
        shared_body=body,
    )
    row = {
        **head,
        "status": "ok",
        "background": measured.background,
        "nonfinite_fraction": nonfinite,
        **measured.volume,
        **brain_metrics(image, stored.attributes, contrast, settings.brain, task.maps),
    }
    rows = _rows_table([row])
    if settings.slices:
        rows = pa.concat_tables([rows, _slices_table(head, image.shape[0], measured.slices)])
    return Scored(rows, head["b_class"], measured.signal)


def _slices_table(head: Row, n_slices: int, slices: dict[str, np.ndarray]) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "series_id": pa.repeat(head["series_id"], n_slices),
        "volume": pa.repeat(pa.scalar(head["volume"], pa.int32()), n_slices),
        "slice": pa.array(np.arange(n_slices), pa.int32()),
        "status": pa.repeat("ok", n_slices),
    }
    for name, values in slices.items():
        columns[name] = pa.array(values, pa.float64(), from_pandas=True)  # NaN becomes NULL
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(n_slices, field.type)
        for field in SCORE_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCORE_SCHEMA)


def _rows_table(rows: list[Row]) -> pa.Table:
    unknown = sorted({name for row in rows for name in row} - set(SCORE_SCHEMA.names))
    if unknown:
        raise ValueError(f"undeclared columns: {', '.join(unknown)}")
    complete = [{name: row.get(name) for name in SCORE_SCHEMA.names} for row in rows]
    return pa.Table.from_pylist(complete, schema=SCORE_SCHEMA)
