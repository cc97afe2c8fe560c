"""CSV, TSV and Parquet as rows of strings that know their line.

Nothing is parsed as a number here: subject '0012' stays '0012'.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.errors import UserError

MISSING = frozenset({"", "n/a", "na", "nan", "none", "null", "nat", "<na>"})
"""Values that mean `not known`, in lower case."""
ALLOWED = "allowed: .csv, .tsv, .txt (tabs), .parquet"


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of `index_problems.parquet`; `line` counts from 1 as an editor shows it."""

    file: str
    problem: str
    line: int | None = None
    column: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: values by lower-case column name, None where not known.

    `line` is the first line of the row in a text file, the row's number from 1 in Parquet.
    """

    line: int
    values: dict[str, str | None]

    def get(self, *names: str) -> tuple[str, str | None]:
        """The first of `names` that is a column with a value, and the value."""
        for name in names:
            value = self.values.get(name)
            if value is not None:
                return name, value
        return names[0], None


@dataclass(frozen=True, slots=True)
class TextTable:
    """Columns, good rows, and the rows that could not be read."""

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]
    problems: list[Problem]


def read_text_table(path: Path) -> TextTable:
    """Read a CSV (comma, or semicolon where the header has no comma), TSV or Parquet file.

    Raises UserError if there is no such file, it is of another kind, not UTF-8, empty, or names a
    column twice. A row with too few or too many fields is a problem, not a row.
    """
    readers: dict[str, Callable[[Path], TextTable]] = {
        ".csv": _read_csv,
        ".tsv": _read_tsv,
        ".txt": _read_tsv,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: not a table by its name; {ALLOWED}")
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"{path}: not a regular file")
        return reader(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such table") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {error.start} is not UTF-8; save the table as UTF-8 (CSV UTF-8 in Excel)"
        ) from None
    except csv.Error as error:
        raise UserError(f"{path}: not a readable table: {error}") from None
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def known(value: str | None) -> str | None:
    """`value` without blanks around it; None if it stands for `not known`."""
    if value is None:
        return None
    value = value.strip()
    return None if value.lower() in MISSING else value


def _read_csv(path: Path) -> TextTable:
    return _read_delimited(path, None)


def _read_tsv(path: Path) -> TextTable:
    return _read_delimited(path, "\t")


def _read_delimited(path: Path, delimiter: str | None) -> TextTable:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        header = handle.readline()
        handle.seek(0)
        # German and French Excel write CSV with semicolons
        guessed = ";" if ";" in header and "," not in header else ","
        records = numbered_records(
            csv.reader(handle, delimiter=delimiter or guessed, strict=True), path
        )
        first = next(records, None)
        if first is None:
            raise UserError(f"{path}: empty; a header line with column names is needed")
        columns = _column_names(path, first[1])
        table = TextTable(path, columns, [], [])
        for line, fields in records:
            _add_record(table, line, fields)
    return table


def numbered_records(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Records of a strict CSV reader with the line on which each begins; blank lines left out.

    Raises UserError for a row that cannot be read: not strict, a quotation mark that nobody closes
    would swallow all rows after it.
    """
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}: the row that begins on line {line} is not readable: {error} "
                "(often a quotation mark that is never closed)"
            ) from None
        if any(field.strip() for field in record):
            yield line, record


def _column_names(path: Path, header: list[str]) -> tuple[str, ...]:
    columns = tuple(name.strip().lower() for name in header)
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise UserError(f"{path}: column {', '.join(twice)} is there twice; rename one")
    return columns


def _add_record(table: TextTable, line: int, fields: list[str]) -> None:
    if len(fields) != len(table.columns):
        text = f"the row has {len(fields)} fields, the header {len(table.columns)}; row not used"
        table.problems.append(Problem(str(table.path), text, line, value=" | ".join(fields)[:200]))
        return
    values = dict(zip(table.columns, map(known, fields), strict=True))
    table.rows.append(Row(line, values))


def _read_parquet(path: Path) -> TextTable:
    arrow = pq.read_table(path)
    columns = _column_names(path, arrow.column_names)
    named = {
        name: [known(value) for value in _as_strings(arrow.column(position)).to_pylist()]
        for position, name in enumerate(columns)
        if not pa.types.is_nested(arrow.schema.field(position).type)
    }
    rows = [
        Row(number, dict(zip(named, values, strict=True)))
        for number, values in enumerate(zip(*named.values(), strict=True), start=1)
    ]
    nested = "a column of lists or structures; ignored"
    problems = [Problem(str(path), nested, 1, name) for name in columns if name not in named]
    return TextTable(path, tuple(named), rows, problems)


def _as_strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as text; 12.0 becomes '12', since pandas makes such floats beside a missing value."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pc.cast(column, pa.string())
    texts = column.cast(pa.string())
    if pa.types.is_floating(column.type):
        texts = pc.replace_substring_regex(texts, r"^(-?\d+)\.0$", r"\1")
    return texts
