"""Masks and maps that a table names, a row a series (columns: config/README.md)."""

import os
from pathlib import Path

from mriqa.cohort.maps.derivatives import FoundMaps
from mriqa.cohort.maps.model import ROLES, MapFile
from mriqa.cohort.maps.wanted import Brains
from mriqa.cohort.tabular import Problem, Row, TextTable, read_text_table
from mriqa.errors import UserError

COLUMNS = ("series_id", *ROLES)


def find_table_maps(path: Path, brains: Brains) -> FoundMaps:
    """Masks and maps of the brains; relative paths start at the table's folder.

    Raises UserError if the table cannot be read, or names no series or no map.
    """
    path = path.absolute()
    table = read_text_table(path)
    if "series_id" not in table.columns or not set(ROLES) & set(table.columns):
        raise UserError(
            f"{path}: series_id and one or more of {', '.join(ROLES)} are needed as columns; "
            f"there are {', '.join(table.columns)} (see config/README.md, Brain maps)"
        )
    found = FoundMaps([], [*table.problems, *_unused_columns(table)])
    ids = {name: one.series_id for one in brains.wanted for name in (one.series_id, one.own_id)}
    for row in table.rows:
        _add_row(row, path, ids, brains.excluded, found)
    return found


def _unused_columns(table: TextTable) -> list[Problem]:
    text = f"not a column that mriqa reads; ignored ({', '.join(COLUMNS)} are)"
    return [
        Problem(str(table.path), text, 1, name)
        for name in table.columns
        if name and name not in COLUMNS
    ]


def _add_row(
    row: Row, table: Path, ids: dict[str, str], excluded: frozenset[str], found: FoundMaps
) -> None:
    given = row.values["series_id"] or ""
    files = [
        MapFile(ids[given], role, os.path.join(table.parent, path))  # noqa: PTH118 - much faster
        for role in ROLES
        if given in ids and (path := row.values.get(role)) is not None
    ]
    found.files.extend(files)
    if files or given in excluded:
        return
    unknown = "no brain of this cohort has this id (score.brain names the contrasts)"
    text = "a row without any file" if given in ids else unknown
    found.problems.append(Problem(str(table), f"{text}; not used", row.line, "series_id", given))
