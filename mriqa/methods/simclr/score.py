"""One shard's likeness to its references: a row a volume that was measured, a row a slice.

A volume that cannot be embedded or has nothing to be compared with gets a row of NULLs and the
reason; nothing stops the shard. Cached embeddings of unchanged series are not computed again.
"""

import math
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.cohort.manifest import read_cohort, read_shard
from mriqa.config import TrainingSection
from mriqa.embedding.embedder import Embedder, model_embedder
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.files import MEMORY_KEY, MODEL_KEY, readable, write_parquet
from mriqa.images.store import StoredSeries, open_store
from mriqa.methods.simclr.bank import Bank, read_bank
from mriqa.methods.simclr.columns import SCORE_SCHEMA
from mriqa.methods.simclr.judge import Judge, Judged, Similarities
from mriqa.methods.simclr.matching import Person
from mriqa.progress import track
from mriqa.tables.strata import NEEDED, add_strata, comparable

FORMAT_VERSION = 4
"""Raise it when the numbers change: all jobs that rate with SimCLR then run again."""

_OF_COHORT = ("contrast", "station", "scanner", "shard", "subject", "sex", "height_cm", "weight_kg")
_OF_SCORES = (
    "status", "error_code", "excluded_by", "b_class", "background",
    *(name for name in NEEDED if name.startswith("spacing")),
)  # fmt: skip
OTHER_MB = 900
"""Of a job: Python with torch, the network, and its activations."""
WORKING_COPIES = 4
"""A volume in float32, and what embedding holds at most beside it, as multiples of its size."""
NO_BANK = "no references in this stratum"
TOO_FEW = "references of too few subjects in this stratum"
UNKNOWN_SHELL = "unknown b-value"

Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """A volume to judge: what `mriqa score` and the cohort say of it."""

    series_id: str
    volume: int
    stratum: str | None
    person: Person
    with_slices: bool


def score_shard(
    manifest: Path,
    store: Path,
    metric_scores: Path,
    cohort: Path,
    model: Path,
    bank: Path,
    output: Path,
    *,
    embeddings: Path,
    settings: TrainingSection,
    mem_mb: int,
) -> None:
    """Compare every measured volume of a shard with `bank` and write `output` (SCORE_SCHEMA).

    Judged are the rows of status `ok` in `metric_scores`; stratum and person follow from these and
    `cohort`. `model` is loaded only if the cache file `embeddings` lacks a volume, and then
    written anew. Of `settings`, `score_device` and `threads` count: the precision is the bank's. A
    volume that does not fit into `mem_mb` is not embedded. Raises UserError if bank, model or an
    input is missing or damaged.
    """
    series = [one.series_id for one in read_shard(manifest)]
    stratum = read_bank(bank, ()).stratum_columns
    measured = read_measured(metric_scores, series, cohort, stratum)
    references = read_bank(bank, {one.stratum for one in measured})
    embedder = model_embedder(
        model, references.model_id, embeddings, references.precision, settings
    )
    table = _score_all(measured, _Reader(store, mem_mb), embedder, references, manifest.stem)
    embedder.save()
    about = {MODEL_KEY: references.model_id, MEMORY_KEY: str(mem_mb)}
    write_parquet(output, table.replace_schema_metadata(about))


def _score_all(
    measured: list[Measured], reader: "_Reader", embedder: Embedder, bank: Bank, shard: str
) -> pa.Table:
    judges = {name: Judge(one, bank.section) for name, one in bank.strata.items()}
    tables = [SCORE_SCHEMA.empty_table()]
    for one in track(measured, len(measured), f"simclr {shard}", "volumes"):
        tables.append(_score_volume(one, reader, embedder, judges, bank))
        if len(tables) > 100:
            tables = [pa.concat_tables(tables).combine_chunks()]
    return pa.concat_tables(tables).combine_chunks()


def read_measured(
    metric_scores: Path, series: Sequence[str], cohort: Path, stratum: tuple[str, ...]
) -> list[Measured]:
    """The volumes of status `ok` of a shard's metric scores, with stratum and person.

    Raises UserError if a file is missing or damaged, or a series is not in the cohort.
    """
    volumes = read_volumes(metric_scores, series, cohort)
    rows = add_strata(volumes.filter(pc.equal(volumes["status"], "ok")), stratum)
    known = comparable(rows, stratum).to_pylist()
    return [
        Measured(
            row["series_id"],
            row["volume"],
            row["stratum"] if is_known else None,
            Person(row["subject"], row["sex"], row["height_cm"], row["weight_kg"]),
            row["with_slices"],
        )
        for row, is_known in zip(rows.to_pylist(), known, strict=True)
    ]


def read_volumes(metric_scores: Path, series: Sequence[str], cohort: Path) -> pa.Table:
    """The rows of volumes of a shard's metric scores, with what the cohort says of their series.

    Only those of the ids `series`; `with_slices` says whether a series has rows of slices. Raises
    UserError if a file is missing or damaged, or a series is not in the cohort.
    """
    names = ["series_id", "volume", "slice", *_OF_SCORES]
    with readable(metric_scores):
        scores = pq.ParquetFile(metric_scores).read(columns=names)
    if not set(names) <= set(scores.column_names):
        raise UserError(f"{metric_scores}: scores of another version; delete it and run again")
    people = read_cohort(cohort)
    own = pa.array(sorted(set(series)), pa.string())
    scores = scores.filter(pc.is_in(scores["series_id"], value_set=own))
    people = people.filter(pc.is_in(people["series_id"], value_set=own))
    missing = set(own.to_pylist()) - set(people["series_id"].to_pylist())
    if missing:
        raise UserError(f"{cohort}: series {min(missing)} is not in it; index again")
    of_slices = scores.filter(pc.is_valid(scores["slice"]))
    sliced = set(of_slices["series_id"].unique().to_pylist())
    volumes = scores.filter(pc.is_null(scores["slice"])).drop_columns(["slice"])
    with_slices = pa.array([one in sliced for one in volumes["series_id"].to_pylist()], pa.bool_())
    volumes = volumes.append_column("with_slices", with_slices)
    joined = volumes.join(people.select(["series_id", *_OF_COHORT]), "series_id")
    return joined.sort_by([("series_id", "ascending"), ("volume", "ascending")])


class _Reader:
    """Opens the store and its series when they are needed, each series once."""

    def __init__(self, store: Path, mem_mb: int) -> None:
        self._path = store
        self._mem_mb = mem_mb
        self._series: tuple[str, StoredSeries | SeriesError] | None = None

    def series(self, series_id: str) -> StoredSeries:
        """Raises SeriesError if it cannot be read."""
        if self._series is None or self._series[0] != series_id:
            try:
                stored = open_store(self._path).series(series_id)
                check_memory(stored.attributes.shape_zyx, self._mem_mb)
                self._series = series_id, stored
            except SeriesError as error:
                self._series = series_id, error
        found = self._series[1]
        if isinstance(found, SeriesError):
            raise found
        return found


def check_memory(shape_zyx: tuple[int, int, int], mem_mb: int) -> None:
    """Raise SeriesError (out_of_memory) if a volume of this shape does not fit into a job."""
    available = max(mem_mb - OTHER_MB, mem_mb // 4) * 2**20
    if math.prod(shape_zyx) * 4 * WORKING_COPIES > available:
        shape = "x".join(map(str, shape_zyx))
        raise SeriesError(
            ErrorCode.OUT_OF_MEMORY,
            f"a volume of {shape} voxels does not fit into the job's memory ({mem_mb} MB): "
            "raise resources.rate_mem_mb",
        )


def _score_volume(
    one: Measured, reader: _Reader, embedder: Embedder, judges: dict[str, Judge], bank: Bank
) -> pa.Table:
    if one.stratum is None or one.stratum not in judges:
        problem = TOO_FEW if one.stratum in bank.too_few else NO_BANK
        return _problem_row(one, UNKNOWN_SHELL if one.stratum is None else problem)
    try:
        embedding = embedder.embed_stored(reader.series(one.series_id), one.volume)
        judge = judges[one.stratum]
        judged = judge.volume(embedding, one.person)
        slices = judge.slices(embedding, one.person) if one.with_slices else None
        return _judged_rows(one, judged, slices, bank)
    except UserError:
        raise  # no model, no device: true of every volume
    except SeriesError as error:
        problem = error.message
    except MemoryError:
        problem = "not enough memory to embed it: raise resources.rate_mem_mb"
    except Exception as error:  # one bad volume must not stop the shard
        where = traceback.extract_tb(error.__traceback__)[-1]
        problem = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
    sys.stderr.write(f"{one.series_id} {one.volume}: not rated by simclr: {problem}\n")
    return _problem_row(one, problem)


def _problem_row(one: Measured, problem: str) -> pa.Table:
    row = {"series_id": one.series_id, "volume": one.volume, "stratum": one.stratum}
    return _table({name: [value] for name, value in {**row, "problem": problem}.items()}, 1)


def _judged_rows(
    one: Measured, judged: Judged, slices: Similarities | None, bank: Bank
) -> pa.Table:
    assert one.stratum is not None
    calibration = bank.calibration(one.stratum)
    margin = judged.similarities.margin_whitened
    volume = _table(
        {
            "series_id": [one.series_id],
            "volume": [one.volume],
            "stratum": [one.stratum],
            **similarity_values(judged.similarities),
            "simclr_quality_score": calibration.quality(margin) if calibration else [None],
            "simclr_quality_sd": calibration.quality_sd(margin) if calibration else [None],
            "simclr_matching": [judged.matching],
            "simclr_nearest_hq": [judged.nearest_hq],
            "simclr_nearest_lq": [judged.nearest_lq],
        },
        1,
    )
    if slices is None:
        return volume
    count = len(slices.s_hq)
    values = {
        "series_id": [one.series_id] * count,
        "volume": [one.volume] * count,
        "slice": np.arange(count),
        **similarity_values(slices),
    }
    return pa.concat_tables([volume, _table(values, count)])


def similarity_values(similarities: Similarities) -> Row:
    """By the names of `columns.SIMILARITY_COLUMNS`; None where there is nothing."""
    known = np.isfinite(similarities.s_hq)
    classes = np.where(similarities.is_hq, "HQ", "LQ").astype(object)
    classes[~known] = None
    return {
        "simclr_class": classes,
        "simclr_sim": similarities.sim,
        "simclr_s_hq": similarities.s_hq,
        "simclr_s_lq": similarities.s_lq,
        "simclr_margin": similarities.margin,
        "simclr_margin_whitened": similarities.margin_whitened,
    }


def _table(values: Row, count: int) -> pa.Table:
    """Rows of SCORE_SCHEMA; what is not named is NULL, and so is NaN."""
    arrays = [
        pa.array(values[field.name], field.type, from_pandas=True)
        if field.name in values
        else pa.nulls(count, field.type)
        for field in SCORE_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCORE_SCHEMA)
