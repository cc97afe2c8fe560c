"""The measured volumes of a shard: their strata, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.cohort.manifest import read_cohort
from mriqa.errors import UserError
from mriqa.files import readable
from mriqa.references.person import Person
from mriqa.tables.strata import NEEDED, add_strata, comparable

_OF_COHORT = ("contrast", "station", "scanner", "shard", "subject", "sex", "height_cm", "weight_kg")
_OF_SCORES = (
    "status", "error_code", "excluded_by", "b_class", "background",
    *(name for name in NEEDED if name.startswith("spacing")),
)  # fmt: skip


UNKNOWN_SHELL = "unknown b-value"
"""Why a volume without a stratum cannot be compared."""


@dataclass(frozen=True)
class Measured:
    """A volume to judge: what `mriqa score` and the cohort say of it."""

    series_id: str
    volume: int
    stratum: str | None
    person: Person
    with_slices: bool


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
