"""Sources to the Zarr store of one shard, with a status row for every series of its manifest."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import pyarrow as pa
from dask.base import compute
from dask.delayed import delayed

from mriqa.cohort.manifest import Series, read_shard
from mriqa.config import ConvertSection
from mriqa.errors import ErrorCode, MriqaError, SeriesError
from mriqa.files import MEMORY_KEY, write_parquet
from mriqa.images.budget import MemoryBudget, job_budget
from mriqa.images.placing import building
from mriqa.images.series import plan_series, store_series
from mriqa.images.source import NiftiSource, open_nifti
from mriqa.images.store import SeriesAttributes
from mriqa.images.writing import SeriesWriter, create_store, refusals_stop
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
    """Convert all series of the shard `manifest` into the Zarr group `store`.

    `status` (CONVERT_SCHEMA, a row a series in the manifest's order) is written last, once the
    store is whole and in place. `threads` series are converted at a time, fewer if `mem_mb` MiB do
    not hold them. Raises UserError for a bad manifest or a second job on the same store, and
    StoreWriteError if the disk refuses; both leave the old store as it was.
    """
    all_series = read_shard(manifest)
    with refusals_stop(store), building(store) as temporary:
        create_store(temporary)
        conversion = Conversion(temporary, settings, job_budget(mem_mb))
        rows = track(converted(conversion, all_series, threads), len(all_series), "convert")
        by_id = {row["series_id"]: row for row in rows}
        ordered = [by_id[series.series_id] for series in all_series]
        status.unlink(missing_ok=True)  # of the store that is replaced now
    table = pa.Table.from_pylist(ordered, schema=CONVERT_SCHEMA)
    table = table.replace_schema_metadata({MEMORY_KEY: str(mem_mb)})
    with refusals_stop(status):
        write_parquet(status, table)


class Conversion:
    """Converts series into the store at `folder`, each within the shared memory budget."""

    def __init__(self, folder: Path, settings: ConvertSection, budget: MemoryBudget) -> None:
        self._folder, self._settings, self._budget = folder, settings, budget

    def convert(self, series: Series) -> Row:
        """The status row of `series`, whatever is wrong with it; StoreWriteError goes on."""
        if series.excluded_by is not None:
            return _row(series, "excluded")
        if series.error_code is not None:
            return _row(series, "failed", series.error_code, series.error_message)
        try:
            return self._convert(series)
        except SeriesError as error:
            return _row(series, "failed", error.code, error.message)
        except MemoryError:
            message = f"{series.source_path}: memory ran out while it was converted."
            return _row(series, "failed", ErrorCode.OUT_OF_MEMORY, message)
        except MriqaError:
            raise
        except Exception as error:  # one bad series must not cost the others
            return _row(series, "failed", ErrorCode.INTERNAL, _explain(series, error))

    def _convert(self, series: Series) -> Row:
        with open_nifti(series.source_path) as source:
            check_unchanged(source, series)
            plan = plan_series(source, series.contrast, self._settings, self._budget.total_bytes)
            writer = SeriesWriter(
                self._folder, series.series_id, plan.layout, source.header.dtype,
                self._settings.codec,
            )  # fmt: skip
            try:
                with self._budget.claim(plan.memory_bytes):
                    attributes = store_series(source, series, plan, writer)
            except BaseException:
                writer.discard()
                raise
        return _row(series, "ok") | _facts(attributes) | writer.footprint()


def check_unchanged(source: NiftiSource, series: Series) -> None:
    """Raise SeriesError if the file is not the one that was indexed."""
    if (source.size_bytes, source.mtime_ns) != (series.size_bytes, series.mtime_ns):
        source.fail(
            ErrorCode.SOURCE_CHANGED,
            f"has {source.size_bytes} bytes and time {source.mtime_ns}, the index says "
            f"{series.size_bytes} and {series.mtime_ns}; index again",
        )


def converted(conversion: Conversion, all_series: list[Series], threads: int) -> Iterator[Row]:
    """Status rows as series get done, `threads` at a time (Dask); the first stop stops all."""
    done: SimpleQueue[Row | BaseException | None] = SimpleQueue()
    stopped = Event()

    def convert_one(number: int) -> None:
        if stopped.is_set():
            return
        try:
            done.put(conversion.convert(all_series[number]))
        except BaseException as error:  # raised in the main thread
            stopped.set()
            done.put(error)

    def convert_all() -> None:
        try:
            tasks = [delayed(convert_one)(number) for number in range(len(all_series))]
            compute(*tasks, scheduler="threads", num_workers=threads)
        finally:
            done.put(None)

    worker = Thread(target=convert_all, name="convert", daemon=True)
    worker.start()
    try:
        while (item := done.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:  # nobody may still write when the caller clears up
        stopped.set()
        worker.join()


def _explain(series: Series, error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"{series.source_path}: {type(error).__name__} at {place}: {error}."


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
