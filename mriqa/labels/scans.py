"""A column of BIDS `*_scans.tsv` that says how good each scan is."""

from collections.abc import Iterator
from pathlib import Path

from mriqa.cohort.tabular import Row, read_text_table
from mriqa.config import ScansLabels
from mriqa.errors import UserError
from mriqa.labels.catalogue import Catalogue
from mriqa.labels.entry import LabelError, rating_of
from mriqa.labels.model import Label, Labels, Target

PATTERNS = ("sub-*/*_scans.tsv", "sub-*/ses-*/*_scans.tsv")


def read_scans(source: ScansLabels, catalogue: Catalogue) -> Labels:
    """The labels in all scans tables of a BIDS dataset; a scan without a value has none.

    Files that are no series of the cohort (functional ones, say) are passed over. Raises UserError
    if there is no such table, or none has the column.
    """
    if not source.path.is_dir():
        raise UserError(f"{source.path}: no such folder; it should be the root of a BIDS dataset")
    found, with_column, tables = Labels([], []), 0, _tables(source.path)
    for path in tables:
        table = read_text_table(path)
        found.problems.extend(table.problems)
        if source.column.lower() not in table.columns or "filename" not in table.columns:
            continue
        with_column += 1
        for row in table.rows:
            found.labels.extend(_labels(row, path, source, catalogue, found))
    if not with_column:
        raise UserError(
            f"{source.path}: none of its {len(tables)} *_scans.tsv has the columns filename and "
            f"{source.column}"
        )
    return found


def _tables(root: Path) -> list[Path]:
    return sorted(path for pattern in PATTERNS for path in root.glob(pattern))


def _labels(
    row: Row, path: Path, source: ScansLabels, catalogue: Catalogue, found: Labels
) -> Iterator[Label]:
    text = row.values[source.column.lower()]
    name = row.values["filename"]
    series = None if name is None else catalogue.by_path(path.parent / name)
    if text is None or series is None:
        return
    try:
        rating = rating_of(source.column, text, source.words)
    except LabelError as refused:
        found.problems.append(refused.problem(str(path), row.line))
        return
    target = Target(series.series_id, None, None)
    yield Label(target, source.rater, rating, None, None, str(path), row.line)
