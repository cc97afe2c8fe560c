"""A column of BIDS `*_scans.tsv` that says how good each scan is."""

import os
from collections.abc import Iterator
from pathlib import Path

from mriqa.cohort.tabular import Problem, TextTable, read_text_table
from mriqa.config import ScansLabels
from mriqa.errors import UserError
from mriqa.labels.catalogue import Catalogue
from mriqa.labels.entry import LabelError, rating_of
from mriqa.labels.model import Label, Labels, Target, printable

ENDING = "_scans.tsv"


def read_scans(source: ScansLabels, catalogue: Catalogue) -> Labels:
    """The labels in all scans tables of a BIDS dataset; a scan without a value has none.

    Files that are no series of the cohort (functional ones, say) are passed over, but a table of
    which none is one, or that has not the column, is a problem. Raises UserError if the dataset has
    no such table, or none has the column.
    """
    if not source.path.is_dir():
        raise UserError(f"{source.path}: no such folder; it should be the root of a BIDS dataset")
    found, without = Labels([], []), list[Problem]()
    tables = sorted(_tables(source.path, found.problems))
    column = source.column.strip().lower()
    for path in tables:
        table = read_text_table(path)
        found.problems.extend(table.problems)
        if column in table.columns and "filename" in table.columns:
            _read(table, column, source, catalogue, found)
        else:
            lacking = f"no column filename and {source.column}; the columns are "
            columns = ", ".join(table.columns)
            without.append(Problem(printable(str(path)), f"{lacking}{columns}", 1))
    if len(without) == len(tables):
        raise UserError(
            f"{source.path}: none of its {len(tables)} *{ENDING} has the columns filename and "
            f"{source.column}"
        )
    found.problems.extend(without)
    return found


def _tables(root: Path, problems: list[Problem]) -> Iterator[Path]:
    """`sub-*/*_scans.tsv` and `sub-*/ses-*/*_scans.tsv`."""
    for subject in _folders(root, "sub-", problems):
        for folder in (subject, *_folders(subject, "ses-", problems)):
            yield from (
                Path(entry.path) for entry in _entries(folder, problems)
                if entry.name.endswith(ENDING)
            )  # fmt: skip


def _folders(parent: Path, prefix: str, problems: list[Problem]) -> list[Path]:
    return [
        Path(entry.path)
        for entry in _entries(parent, problems)
        if entry.name.startswith(prefix) and entry.is_dir()
    ]


def _entries(folder: Path, problems: list[Problem]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        told = f"cannot be looked into ({error.strerror}): its labels are not used"
        problem = Problem(printable(str(folder)), told)
        if problem not in problems:
            problems.append(problem)
        return []


def _read(
    table: TextTable, column: str, source: ScansLabels, catalogue: Catalogue, found: Labels
) -> None:
    file, n_known, n_said = printable(str(table.path)), 0, 0
    for row in table.rows:
        text, name = row.values[column], row.values["filename"]
        if text is None or name is None:
            continue
        n_said += 1
        series = catalogue.by_path(table.path.parent / name)
        n_known += series is not None
        if series is None or series.is_excluded:
            continue
        try:
            rating = rating_of(source.column, text, source.words)
        except LabelError as error:
            found.problems.append(error.problem(file, row.line))
            continue
        target = Target(series.series_id, None, None)
        rater = printable(source.rater)
        found.labels.append(Label(target, rater, rating, None, None, file, row.line, ("", text)))
    if n_said and not n_known:
        told = f"none of its {n_said} rated files is a series of this cohort"
        found.problems.append(Problem(file, told, 1, "filename"))
