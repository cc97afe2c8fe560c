"""How a column of the published tables is declared: once, for schema, dictionary and docs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

Kind = Literal["string", "int32", "int64", "float64", "bool", "timestamp"]

_ARROW: dict[Kind, pa.DataType] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Column:
    """One column: `name` in lower_snake_case with its unit, `kind`, and what a reader must know.

    `better` says which direction is good (`higher`, `lower`) or None; `bounds` the allowed range.
    `levels` lists the values of a closed set. Columns are nullable unless `required`.
    """

    name: str
    kind: Kind
    description: str
    units: str | None = None
    better: Literal["higher", "lower"] | None = None
    bounds: tuple[float | None, float | None] | None = None
    levels: Mapping[str, str] = field(default_factory=dict)
    required: bool = False

    def arrow(self) -> pa.Field:
        """The Arrow field of this column."""
        return pa.field(self.name, _ARROW[self.kind], nullable=not self.required)

    def dictionary(self) -> dict[str, Any]:
        """The entry of a BIDS data dictionary (Description, Units, Levels, ...)."""
        entry: dict[str, Any] = {"Description": self.description}
        if self.units:
            entry["Units"] = self.units
        if self.levels:
            entry["Levels"] = dict(self.levels)
        if self.better:
            entry["Direction"] = f"{self.better} is better"
        if self.bounds:
            entry["Minimum"], entry["Maximum"] = self.bounds
        return entry


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of `columns`, in their order; raises ValueError on a repeated name."""
    listed = list(columns)
    names = [column.name for column in listed]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"columns declared twice: {', '.join(repeated)}")
    return pa.schema([column.arrow() for column in listed])
