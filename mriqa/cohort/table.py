"""Series listed in a table: CSV, TSV or Parquet, a row a series (columns: config/README.md)."""

import os
from pathlib import Path

from mriqa.cohort.entities import ENTITY_ORDER, bare_label, build_series_id
from mriqa.cohort.found import Findings, FoundSeries
from mriqa.cohort.participants import PERSON_COLUMNS, read_person
from mriqa.cohort.tabular import Problem, Row, TextTable, read_text_table
from mriqa.errors import UserError

REQUIRED = ("path", "subject", "contrast")
OPTIONAL = ("session", "station", "series_id", "bval_path")
ENTITIES = tuple(name for name in ENTITY_ORDER if name != "split")
"""`split` is left out: in an analyst's table it is train/test, not the BIDS entity."""
KNOWN_COLUMNS = frozenset(
    {
        *REQUIRED,
        *OPTIONAL,
        *ENTITIES,
        *(name for names in PERSON_COLUMNS.values() for name in names),
    }
)


def find_table_series(path: Path, cohort: str) -> Findings:
    """All series that the table at `path` lists; relative paths start at the table's folder.

    A row without path, subject or contrast is a problem. Raises UserError if the table cannot be
    read or lacks one of these columns.
    """
    path = path.absolute()
    table = read_text_table(path)
    lacking = [name for name in REQUIRED if name not in table.columns]
    if lacking:
        raise UserError(
            f"{path}: no column {', '.join(lacking)}; the columns are {', '.join(table.columns)} "
            "(see config/README.md, Table source)"
        )
    findings = Findings([], [*table.problems, *_unused_columns(table)])
    for row in table.rows:
        _add_row(row, path, cohort, findings)
    return findings


def _unused_columns(table: TextTable) -> list[Problem]:
    text = "not a column that mriqa reads; ignored (see config/README.md, Table source)"
    return [
        Problem(str(table.path), text, 1, name)
        for name in table.columns
        if name and name not in KNOWN_COLUMNS
    ]


def _add_row(row: Row, table: Path, cohort: str, findings: Findings) -> None:
    lacking = [name for name in REQUIRED if row.values.get(name) in (None, "sub-")]
    if lacking:
        text = f"a row without {', '.join(lacking)}; not a series"
        findings.problems.append(Problem(str(table), text, row.line, lacking[0]))
        return
    series = _series(row, table, cohort, findings.problems)
    findings.series.append(series)


def _series(row: Row, table: Path, cohort: str, problems: list[Problem]) -> FoundSeries:
    subject = bare_label(row.values["subject"] or "", "sub")
    session = row.values.get("session")
    session = None if session is None else bare_label(session, "ses")
    contrast = row.values["contrast"] or ""
    own_id = row.values.get("series_id")
    bvals = row.values.get("bval_path")
    entities = _entities(row)
    return FoundSeries(
        series_id=build_series_id(cohort, subject, session, entities, contrast)
        if own_id is None
        else f"{cohort}_{own_id}",
        subject=subject,
        session=session,
        contrast=contrast,
        station=row.get("station", "chunk")[1],
        path=_located(table, row.values["path"] or ""),
        kind="table",
        origin_file=str(table),
        origin_line=row.line,
        bval_path=None if bvals is None else _located(table, bvals),
        person=read_person(row, str(table), problems),
    )


def _entities(row: Row) -> dict[str, str]:
    """BIDS entities of a row; the station stands for the chunk in a series id."""
    entities = {name: row.values[name] or "" for name in ENTITIES if row.values.get(name)}
    station = row.values.get("station")
    if station is not None:
        entities.setdefault("chunk", station)
    return entities


def _located(table: Path, path: str) -> str:
    return os.path.join(table.parent, path)  # noqa: PTH118 - pathlib is five times as slow
