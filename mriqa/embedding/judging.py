"""A shard's measured volumes, judged one after the other, by whatever method.

A volume that cannot be read or embedded, or has nothing to be compared with, gets a row of NULLs
and the reason; nothing stops the shard.
"""

import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from mriqa.embedding.embedder import Embedder
from mriqa.embedding.measured import Measured
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.files import MEMORY_KEY, MODEL_KEY, write_parquet
from mriqa.images.store import StoredSeries, open_store
from mriqa.metrics.regions import block_size
from mriqa.progress import track

OTHER_MB = 900
"""Of a job: Python with torch, the network, and its activations."""
WORKING_COPIES, COPIES_UNBLOCKED = 5, 11
"""A volume in float32 and what embedding and measuring it hold at most, as multiples of its size,
negative values and such that are no numbers among it; more where its slices are too small to be
compared by blocks (`metrics.regions`)."""


class VolumeJudge(Protocol):
    """What a method says of an embedded volume, as rows of its score file."""

    @property
    def schema(self) -> pa.Schema:
        """Of the rows; has at least series_id, volume, problem."""

    def obstacle(self, one: Measured) -> str | None:
        """Why a volume cannot be compared with anything; None where it can."""

    def rows(self, one: Measured, embedding: VolumeEmbedding) -> pa.Table:
        """A row of the volume, and rows of its slices where these are wanted."""


def judge_shard(
    measured: Sequence[Measured],
    reader: "ShardReader",
    embedder: Embedder,
    judge: VolumeJudge,
    name: str,
) -> pa.Table:
    """What `judge` says of the embeddings of a shard's volumes; see `judge_each`."""

    def rows(one: Measured) -> pa.Table:
        embedding = embedder.embed_stored(reader.series(one.series_id), one.volume)
        return judge.rows(one, embedding)

    return judge_each(measured, judge.obstacle, rows, judge.schema, name)


def judge_each(
    measured: Sequence[Measured],
    obstacle: Callable[[Measured], str | None],
    rows: Callable[[Measured], pa.Table],
    schema: pa.Schema,
    name: str,
) -> pa.Table:
    """The `rows` of all volumes of a shard; `name`, method and shard, is shown with the progress.

    A volume with an `obstacle`, or of which there are no rows, gets one with the reason. Raises
    UserError alone, which is true of every volume.
    """
    tables = [schema.empty_table()]
    for one in track(measured, len(measured), name, "volumes"):
        problem = obstacle(one)
        found = _problem_row(one, problem, schema) if problem else None
        if found is None:
            found = _judged(one, rows, schema, name.partition(" ")[0])
        tables.append(found)
        if len(tables) > 100:
            tables = [pa.concat_tables(tables).combine_chunks()]
    return pa.concat_tables(tables).combine_chunks()


def _judged(
    one: Measured, rows: Callable[[Measured], pa.Table], schema: pa.Schema, method: str
) -> pa.Table:
    try:
        return rows(one)
    except UserError:
        raise  # no model, no device: true of every volume
    except SeriesError as error:
        problem = error.message
    except MemoryError:
        problem = "not enough memory for it: raise resources.rate_mem_mb"
    except Exception as error:  # one bad volume must not stop the shard
        where = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
    sys.stderr.write(f"{one.series_id} {one.volume}: not rated by {method}: {problem}\n")
    return _problem_row(one, problem, schema)


def _problem_row(one: Measured, problem: str, schema: pa.Schema) -> pa.Table:
    values = {"series_id": [one.series_id], "volume": [one.volume], "stratum": [one.stratum]}
    return table_of(schema, {**values, "problem": [problem]}, 1)


def write_judged(output: Path, table: pa.Table, model_id: str, mem_mb: int) -> None:
    """Write a shard's score file, which says whose it is and what memory its job had."""
    about = {MODEL_KEY: model_id, MEMORY_KEY: str(mem_mb)}
    write_parquet(output, table.replace_schema_metadata(about))


def table_of(schema: pa.Schema, values: Mapping[str, Any], count: int) -> pa.Table:
    """`count` rows of `schema`; what is not named is NULL, and so is NaN."""
    arrays = [
        pa.array(values[field.name], field.type, from_pandas=True)
        if field.name in values
        else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


class ShardReader:
    """Opens the store and its series when they are needed, each series once.

    Of the job's `mem_mb` the network takes `other_mb`.
    """

    def __init__(self, store: Path, mem_mb: int, other_mb: int = OTHER_MB) -> None:
        self._path = store
        self._mem_mb = mem_mb
        self._other_mb = other_mb
        self._series: tuple[str, StoredSeries | SeriesError] | None = None

    def series(self, series_id: str) -> StoredSeries:
        """Raises SeriesError if it cannot be read."""
        if self._series is None or self._series[0] != series_id:
            try:
                stored = open_store(self._path).series(series_id)
                check_memory(stored.attributes.shape_zyx, self._mem_mb, self._other_mb)
                self._series = series_id, stored
            except SeriesError as error:
                self._series = series_id, error
        found = self._series[1]
        if isinstance(found, SeriesError):
            raise found
        return found


def check_memory(shape_zyx: tuple[int, int, int], mem_mb: int, other_mb: int = OTHER_MB) -> None:
    """Raise SeriesError (out_of_memory) if a volume of this shape does not fit into a job."""
    available = max(mem_mb - other_mb, mem_mb // 4) * 2**20
    copies = COPIES_UNBLOCKED if block_size(shape_zyx) == 1 else WORKING_COPIES
    if math.prod(shape_zyx) * 4 * copies > available:
        shape = "x".join(map(str, shape_zyx))
        raise SeriesError(
            ErrorCode.OUT_OF_MEMORY,
            f"a volume of {shape} voxels does not fit into the job's memory ({mem_mb} MB): "
            "raise resources.rate_mem_mb",
        )
