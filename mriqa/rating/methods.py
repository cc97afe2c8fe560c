"""What the learned methods say of the shards: their score files, checked before they are joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.cohort.manifest import shard_name
from mriqa.columns import Column
from mriqa.errors import UserError
from mriqa.files import MODEL_KEY, readable
from mriqa.methods import METHODS
from mriqa.rating.published import METHOD_SCHEMAS

_SQL_TYPES = {"string": "VARCHAR", "float64": "DOUBLE", "int32": "INTEGER", "bool": "BOOLEAN"}


@dataclass(frozen=True)
class MethodScores:
    """The score files of one method, all by one model."""

    method: str
    model_id: str
    files: tuple[Path, ...]


def method_scores(results: Path, cohort: pa.Table, methods: Sequence[str]) -> list[MethodScores]:
    """The files of `methods` for every shard of `cohort`.

    Raises UserError for an unknown method, and naming a file that is missing, damaged, of another
    version, or of another model than the others.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise UserError(f"--methods: {unknown[0]!r} must be one of {', '.join(METHODS)}")
    names = [shard_name(shard) for shard in sorted(set(cohort["shard"].to_pylist()))]
    return [
        _checked(method, [results / "scores" / method / f"{name}.parquet" for name in names])
        for method in sorted(set(methods))
    ]


def _checked(method: str, files: list[Path]) -> MethodScores:
    models = {_model_id(path, METHOD_SCHEMAS[method]): path for path in files}
    if len(models) > 1:
        (one, first), (other, second) = sorted(models.items())[:2]
        raise UserError(
            f"{first} is of model {one}, {second} of {other}: run `mriqa run CONFIG`, which rates "
            "all shards by one model"
        )
    return MethodScores(method, next(iter(models), ""), tuple(files))


def _model_id(path: Path, schema: pa.Schema) -> str:
    with readable(path, absent="not rated yet; run `mriqa run CONFIG`"):
        found = pq.read_schema(path)
    model = (found.metadata or {}).get(MODEL_KEY)
    if not found.equals(schema, check_metadata=False) or model is None:
        raise UserError(f"{path}: scores of another version; delete it and run again")
    return str(model.decode())


def compares(method: str) -> bool:
    """Whether a method judges a volume within its stratum."""
    return "stratum" in METHOD_SCHEMAS[method].names


def says_of_slices(method: str) -> bool:
    """Whether a method's score files have rows of slices, too."""
    return "slice" in METHOD_SCHEMAS[method].names


def null_of(column: Column) -> str:
    """SQL for a column of a method that has not run."""
    return f"NULL::{_SQL_TYPES[column.kind]}"


def check_current(volumes: pa.Table, scores: Sequence[MethodScores]) -> pa.Table:
    """`volumes` without the columns `<method>_of`, the stratum that each method judged it within.

    Raises UserError if a method has judged a volume within another stratum than it is in now, or
    has no row for a measured one: its file is older than what it was made from.
    """
    for one in scores:
        name = f"{one.method}_of"
        within = volumes[name]
        # where nothing is compared, no stratum can have changed
        stratum = pc.fill_null(volumes["stratum"], "") if compares(one.method) else within
        changed = pc.not_equal(within, stratum)
        missing = pc.and_(pc.equal(volumes["status"], "ok"), pc.is_null(within))
        stale = volumes.filter(pc.or_kleene(pc.fill_null(changed, False), missing))
        if stale.num_rows:
            row = stale.slice(0, 1).to_pylist()[0]
            raise UserError(
                f"scores/{one.method}/{shard_name(row['shard'])}.parquet: {row['series_id']} "
                f"volume {row['volume']} was judged within {row[name] or 'nothing'}, but is in "
                f"{row['stratum']} now; delete that file and run again"
            )
        volumes = volumes.drop_columns([name])
    return volumes
