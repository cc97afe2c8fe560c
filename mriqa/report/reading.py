"""Reading what lies beside the tables, where nothing missing or damaged may stop the page."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.errors import MriqaError

Json = Mapping[str, Any]
Read = TypeVar("Read")
_FAULTS = (
    MriqaError, OSError, ValueError, LookupError, TypeError, AttributeError, pa.ArrowException,
    duckdb.Error, csv.Error,
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """Reads files of `results`; of each that it cannot read `problems` has a sentence."""

    results: Path
    problems: list[str] = field(default_factory=list)

    def told(self, read: Callable[[], Read], what: str) -> Read | None:
        """What `read` gives; None, and a sentence that names `what`, if it raises."""
        try:
            return read()
        except FileNotFoundError:
            self.problems.append(f"{what} is not there")
        except _FAULTS as error:
            reason = str(error).replace(f"{self.results}/", "") or type(error).__name__
            self.problems.append(f"{what} cannot be read ({reason})")
        return None


def read_object(path: Path) -> Json:
    """The JSON object in a file; raises OSError or ValueError."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    return content


def read_columns(path: Path, schema: pa.Schema) -> pa.Table:
    """These columns of a Parquet file, of these types; raises ValueError naming one that it has
    not, and what Arrow raises for one of another type."""
    with pq.ParquetFile(path) as file:
        missing = sorted(set(schema.names) - set(file.schema_arrow.names))
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        return file.read(columns=schema.names).select(schema.names).cast(schema)


def number(value: object, name: str) -> float:
    """`value` if it is a finite number; raises ValueError naming it otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} is no number: {value!r:.40}")
    return value


def number_or_none(value: object, name: str) -> float | None:
    """The same; None stays None."""
    return None if value is None else number(value, name)


def whole(value: object, name: str) -> int:
    """`value` if it is a whole number; raises ValueError naming it otherwise."""
    if number(value, name) != int(number(value, name)):
        raise ValueError(f"{name} is no whole number: {value!r:.40}")
    return int(number(value, name))
