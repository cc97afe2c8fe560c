"""Sources to the Zarr store of one shard, with a status row for every series of its manifest."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import dask
import pyarrow as pa
import zarr

from mriqa.cohort.manifest import Series, read_shard
from mriqa.config import ConvertSection
from mriqa.errors import ErrorCode, SeriesError
from mriqa.files import sync_folder, temporary_name, write_parquet
from mriqa.images.layout import MIB
from mriqa.images.series import plan_series, store_series
from mriqa.images.source import open_nifti
from mriqa.images.store import ZARRS, SeriesAttributes
from mriqa.images.writing import SeriesWriter, create_store
from mriqa.progress import track

CONVERT_SCHEMA = pa.schema(
    [
        pa.field("series_id", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error_code", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("n_volumes", pa.int32()),
        pa.field("n_slices", pa.int32()),
        pa.field("n_rows", pa.int32()),
        pa.field("n_columns", pa.int32()),
        pa.field("dtype", pa.string()),
        pa.field("spacing_z_mm", pa.float64()),
        pa.field("spacing_y_mm", pa.float64()),
        pa.field("spacing_x_mm", pa.float64()),
        pa.field("source_bytes", pa.int64()),
        pa.field("stored_bytes", pa.int64()),
        pa.field("stored_files", pa.int32()),
    ]
)

Row = dict[str, Any]


def convert_shard(
    manifest: Path,
    store: Path,
    status: Path,
    *,
    settings: ConvertSection,
    threads: int,
    mem_mb: int,
) -> None:
    """Convert all series of `manifest` into the Zarr group `store`; `status` is written last."""
    zarr.config.set({**ZARRS, "threading.max_workers": threads})
    all_series = read_shard(manifest)
    store.parent.mkdir(parents=True, exist_ok=True)
    building = temporary_name(store)
    try:
        group = create_store(building)
        job = _Job(group, building, settings, mem_mb * MIB // 2 // threads)
        rows = list(track(_converted(job, all_series, threads), len(all_series), "convert"))
        if store.exists():
            old = temporary_name(store)
            store.rename(old)
            shutil.rmtree(old)
        building.rename(store)
        sync_folder(store.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    by_id = {row["series_id"]: row for row in rows}
    ordered = [by_id[series.series_id] for series in all_series]
    write_parquet(status, pa.Table.from_pylist(ordered, schema=CONVERT_SCHEMA))


class _Job:
    def __init__(
        self, group: zarr.Group, folder: Path, settings: ConvertSection, memory_bytes: int
    ) -> None:
        self.group, self.folder = group, folder
        self.settings, self.memory_bytes = settings, memory_bytes

    def convert(self, series: Series) -> Row:
        if series.excluded_by is not None:
            return _row(series, "excluded")
        if series.error_code is not None:
            return _row(series, "failed", series.error_code, series.error_message)
        try:
            return self._store(series)
        except SeriesError as error:
            return _row(series, "failed", error.code, error.message)
        except MemoryError:
            message = f"{series.source_path}: memory ran out while it was converted."
            return _row(series, "failed", ErrorCode.OUT_OF_MEMORY, message)

    def _store(self, series: Series) -> Row:
        with open_nifti(series.source_path) as source:
            plan = plan_series(source, series.contrast, self.settings, self.memory_bytes)
            writer = SeriesWriter(
                self.group, self.folder, series.series_id, plan.layout,
                source.header.dtype, self.settings.codec,
            )  # fmt: skip
            try:
                attributes = store_series(source, series, plan, writer)
            except BaseException:
                writer.discard()
                raise
        files = list(writer.folder.iterdir())
        return _row(series, "ok") | _facts(attributes) | {
            "stored_bytes": sum(file.stat().st_size for file in files),
            "stored_files": len(files),
        }  # fmt: skip


def _converted(job: _Job, all_series: list[Series], threads: int) -> Iterator[Row]:
    done: SimpleQueue[Row | BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            tasks = [dask.delayed(lambda s: done.put(job.convert(s)))(s) for s in all_series]
            dask.compute(*tasks, scheduler="threads", num_workers=threads)
            done.put(None)
        except BaseException as error:
            done.put(error)

    Thread(target=run, daemon=True).start()
    while (item := done.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def _row(
    series: Series, status: str, code: ErrorCode | None = None, message: str | None = None
) -> Row:
    return {
        "series_id": series.series_id,
        "status": status,
        "error_code": code,
        "error_message": message,
        "source_bytes": series.size_bytes,
    }


def _facts(attributes: SeriesAttributes) -> Row:
    n_slices, n_rows, n_columns = attributes.shape_zyx
    dz, dy, dx = attributes.spacing_mm
    return {
        "sha256": attributes.sha256,
        "n_volumes": attributes.n_volumes,
        "n_slices": n_slices,
        "n_rows": n_rows,
        "n_columns": n_columns,
        "dtype": attributes.dtype,
        "spacing_z_mm": dz,
        "spacing_y_mm": dy,
        "spacing_x_mm": dx,
    }
