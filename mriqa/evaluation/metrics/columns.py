"""Which columns of a table are metrics, and their numbers."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from mriqa.cohort.tabular import Row, TextTable
from mriqa.errors import UserError
from mriqa.evaluation.metrics.settings import MetricsExperiments

Floats = NDArray[np.float64]


def lacking(where: str, name: str, columns: Sequence[str]) -> UserError:
    """That `where` has no column `name`; says which come near it."""
    near = get_close_matches(name, columns, n=3)
    there = f"is it {', '.join(near)}?" if near else f"the columns are {', '.join(columns)}"
    return UserError(f"{where}: no column {name!r}; {there}")


def chosen_metrics(
    table: TextTable,
    rows: Sequence[Row],
    section: MetricsExperiments,
    used: Collection[str],
    notes: list[str],
) -> list[str]:
    """Columns that the settings call metrics, in the table's order, less those in `used`.

    Of those that a pattern named, columns of text, constant or empty in `rows` are left out with a
    note; a name in full must be one of numbers. Raises UserError if a name or pattern fits nothing,
    or nothing is left.
    """
    free = [name for name in table.columns if name and name not in used]
    for pattern in section.metrics:
        if not any(fnmatchcase(name, pattern) for name in free):
            raise lacking(f"{table.path}: metrics", pattern, free)
    fitting = [
        name for name in free
        if _fits(name, section.metrics) and not _fits(name, section.leave_out)
    ]  # fmt: skip
    texts = {name: _no_number(rows, name) for name in fitting}
    left = [name for name in fitting if texts[name] is None or name in section.metrics]
    notes += [
        f"{table.path}: {name} is no metric ({texts[name]!r} is no number)"
        for name in fitting
        if name not in left
    ]
    kept = _varying(table, rows, left, notes)
    if not kept:
        raise UserError(f"{table.path}: no metric that varies; see `metrics` and `leave_out`")
    return kept


def _varying(
    table: TextTable, rows: Sequence[Row], names: Sequence[str], notes: list[str]
) -> list[str]:
    kept = []
    for name, column in zip(names, metric_values(table, rows, names).T, strict=True):
        finite = column[np.isfinite(column)]
        if finite.size and finite.min() < finite.max():
            kept.append(name)
        else:
            why = "always the same" if finite.size else "never there"
            notes.append(f"{table.path}: {name} is {why} in graded scans; left out")
    return kept


def metric_values(table: TextTable, rows: Sequence[Row], metrics: Sequence[str]) -> Floats:
    """Numbers (rows, metrics), NaN where not known or infinite; raises UserError on text."""
    for name in metrics:
        if name not in table.columns:
            raise lacking(str(table.path), name, table.columns)
        wrong = _no_number(rows, name)
        if wrong is not None:
            raise UserError(f"{table.path}: {name}: {wrong!r} is no number")
    listed = [[_number(row.values[name]) for name in metrics] for row in rows]
    values = np.array(listed, dtype=np.float64).reshape(len(rows), len(metrics))
    return np.where(np.isfinite(values), values, np.nan)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _no_number(rows: Iterable[Row], name: str) -> str | None:
    """The first value that is no number."""
    for row in rows:
        value = row.values[name]
        try:
            _number(value)
        except ValueError:
            return value
    return None


def _number(value: str | None) -> float:
    return np.nan if value is None else float(value)
