"""Scans with their metrics and the grades that raters gave them, from one or two tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.cohort.tabular import Row, TextTable, read_text_table
from mriqa.errors import UserError
from mriqa.evaluation.metrics.columns import chosen_metrics, lacking, metric_values
from mriqa.evaluation.metrics.settings import MetricsExperiments, normal_grade

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Texts = NDArray[np.str_]
Key = tuple[str, ...]
NOT_GRADED = -1
SHOWN = 3
"""So many examples in a sentence."""


@dataclass(frozen=True)
class Scans:
    """Scans that somebody graded.

    `keys`: by the settings' key columns. `subjects`, `sites` (scans,); `sites` is None without
    that column. `values` (scans, metrics), NaN where a metric is missing or infinite. `grades`
    (scans, raters): places in the settings' `values`, 0 the best, NOT_GRADED where none was given.
    """

    keys: tuple[Key, ...]
    subjects: Texts
    sites: Texts | None
    metrics: tuple[str, ...]
    values: Floats
    raters: tuple[str, ...]
    grades: Indices

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, rows: Indices) -> "Scans":
        """The scans of these rows, in their order."""
        return replace(
            self,
            keys=tuple(self.keys[row] for row in rows),
            subjects=self.subjects[rows],
            sites=None if self.sites is None else self.sites[rows],
            values=self.values[rows],
            grades=self.grades[rows],
        )


@dataclass(frozen=True)
class Reading:
    """Scans, and a sentence about each thing that was left out."""

    scans: Scans
    notes: tuple[str, ...]


def read_scans(
    table: Path,
    grades: Path | None,
    section: MetricsExperiments,
    raters: Sequence[str],
    compared: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
) -> Reading:
    """Read metrics from `table`, and grades by `raters` from there or from the table `grades`.

    Scans that none of `raters` graded are left out; what `compared` said of the others is read.
    `metrics` names the columns to read (of a second data set: the first one's), else the settings
    choose. Subject and site may stand in either table, that of the grades goes first.

    Raises UserError: no such column; a scan twice with different content; a grade that is not in
    the settings; no scan of one table in the other; no grade at all; no subject of a graded scan.
    """
    both, notes = _open(table, grades, section.keys)
    who = [section.subject, *([section.site] if section.site else [])]
    where = f"{table}" + (f" and {grades}" if grades else "")
    for name in (*who, *raters, *compared):
        if name not in both.own.columns and name not in both.other.columns:
            raise lacking(where, name, both.other.columns)
    judged = _judged(both, (raters, compared), section, notes)
    if not judged:
        raise UserError(f"{grades or table}: no grade in {', '.join(raters)} of any scan")
    listed = list(judged)
    rows = [both.rows[key] for key in listed]
    if metrics is None:
        used = {*section.keys, *who, *section.grades.raters, *section.grades.compared}
        metrics = chosen_metrics(both.own, rows, section, used, notes)
    values = metric_values(both.own, rows, metrics)
    kept = np.flatnonzero(np.isfinite(values).any(axis=1))
    if len(kept) < len(listed):
        notes.append(f"{table}: {_count(len(listed) - len(kept))} without any metric left out")
    keys = [listed[at] for at in kept]
    texts = [_text(keys, both, name, f"{grades or table}") for name in who]
    scans = Scans(
        tuple(keys), texts[0], texts[1] if section.site else None, tuple(metrics), values[kept],
        (*raters, *compared), np.array([judged[key] for key in keys], dtype=np.intp),
    )  # fmt: skip
    return Reading(scans, tuple(notes))


@dataclass(frozen=True)
class _Both:
    """The tables of metrics and of grades (the same one, or two) and their rows by key."""

    own: TextTable
    rows: Mapping[Key, Row]
    other: TextTable
    given: Mapping[Key, Row]

    def of(self, name: str, key: Key) -> str | None:
        """What column `name` says of a scan; that of the grades' table goes first."""
        first, second = self.given[key].values, self.rows[key].values
        return first[name] if name in first else second.get(name)


def _open(table: Path, grades: Path | None, keys: Sequence[str]) -> tuple[_Both, list[str]]:
    own = read_text_table(table)
    notes = _told_problems(own)
    rows = _by_key(own, keys, notes)
    if grades is None:
        return _Both(own, rows, own, rows), notes
    other = read_text_table(grades)
    notes += _told_problems(other)
    given = _by_key(other, keys, notes)
    _tell_unmatched(table, rows, grades, given, notes)
    return _Both(own, rows, other, given), notes


def _told_problems(table: TextTable) -> list[str]:
    return [f"{one.file} line {one.line}: {one.problem}" for one in table.problems]


def _by_key(table: TextTable, keys: Sequence[str], notes: list[str]) -> dict[Key, Row]:
    """The rows by what names them; the same row twice counts once."""
    for name in keys:
        if name not in table.columns:
            raise lacking(str(table.path), name, table.columns)
    found: dict[Key, Row] = {}
    n_repeated = n_unnamed = 0
    for row in table.rows:
        parts = [row.values[name] for name in keys]
        if any(one is None for one in parts):
            n_unnamed += 1
            continue
        key = tuple(str(one) for one in parts)
        first = found.setdefault(key, row)
        if first.values != row.values:
            differ = next(name for name in row.values if row.values[name] != first.values[name])
            raise UserError(
                f"{table.path}: {' '.join(key)} stands on lines {first.line} and {row.line}, and "
                f"{differ} differs ({first.values[differ]}, {row.values[differ]}); keep one row a "
                f"scan, or name more columns in `keys` than {', '.join(keys)}"
            )
        n_repeated += first is not row
    if n_repeated:
        notes.append(f"{table.path}: {_count(n_repeated, 'row')} repeated, counted once")
    if n_unnamed:
        told = _count(n_unnamed, "row")
        notes.append(f"{table.path}: {told} without {' or '.join(keys)} left out")
    return found


def _tell_unmatched(
    table: Path, rows: Mapping[Key, Row], grades: Path, given: Mapping[Key, Row], notes: list[str]
) -> None:
    ungraded = [key for key in rows if key not in given]
    unmeasured = [key for key in given if key not in rows]
    if len(ungraded) == len(rows):
        raise UserError(
            f"no scan of {grades} is in {table}: {_examples(unmeasured)} there, "
            f"{_examples(ungraded)} here. They must be written alike (leading zeros, `sub-`)"
        )
    for path, other, some in ((table, grades, ungraded), (grades, table, unmeasured)):
        if some:
            told = f"{path}: {_count(len(some))} not in {other} left out ({_examples(some)})"
            notes.append(told)


def _judged(
    both: _Both,
    raters: tuple[Sequence[str], Sequence[str]],
    section: MetricsExperiments,
    notes: list[str],
) -> dict[Key, list[int]]:
    """Grades by both kinds of raters, of scans that one of the first graded.

    Sorted: the order of rows must not matter.
    """
    own, names = raters[0], (*raters[0], *raters[1])
    places = {value: place for place, value in enumerate(section.grades.values)}
    found: dict[Key, list[int]] = {}
    n_ungraded = 0
    for key in sorted(both.rows.keys() & both.given.keys()):
        said = [both.of(name, key) for name in names]
        grades = [NOT_GRADED if one is None else places.get(normal_grade(one)) for one in said]
        for name, one, grade in zip(names, said, grades, strict=True):
            if grade is None:
                raise UserError(
                    f"{name} of {' '.join(key)} is {one!r}; grades.values are {list(places)}"
                )
        if all(one == NOT_GRADED for one in grades[: len(own)]):
            n_ungraded += 1
        else:
            found[key] = [one for one in grades if one is not None]
    if n_ungraded:
        notes.append(f"{_count(n_ungraded)} without a grade by {', '.join(own)} left out")
    return found


def _text(keys: Iterable[Key], both: _Both, name: str, where: str) -> Texts:
    found = {key: both.of(name, key) for key in keys}
    without = [key for key, value in found.items() if value is None]
    if without:
        raise UserError(f"{where}: no {name} of {_examples(without)}, which are graded; fill it in")
    return np.array([str(value) for value in found.values()])


def _count(n: int, what: str = "scan") -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _examples(keys: Sequence[Key]) -> str:
    shown = ", ".join(" ".join(key) for key in keys[:SHOWN])
    return shown + (", ..." if len(keys) > SHOWN else "")
