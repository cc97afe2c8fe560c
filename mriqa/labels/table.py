"""labels.tsv: a row a label (columns: config/README.md)."""

from mriqa.cohort.tabular import Problem, Row, read_text_table
from mriqa.config import TableLabels
from mriqa.errors import UserError
from mriqa.labels.catalogue import Catalogue
from mriqa.labels.entry import (
    ExcludedError,
    LabelError,
    index_of,
    rating_of,
    series_of_id,
    sha256_of,
)
from mriqa.labels.model import Label, Labels, Target, printable

REQUIRED = ("series_id", "rater", "rating")
OPTIONAL = ("volume", "slice", "comment", "sha256")


def read_label_table(source: TableLabels, catalogue: Catalogue) -> Labels:
    """The labels in a CSV, TSV or Parquet table; raises UserError if it is no such table."""
    table = read_text_table(source.path)
    lacking = [name for name in REQUIRED if name not in table.columns]
    if lacking:
        raise UserError(
            f"{source.path}: no column {', '.join(lacking)}; the columns are "
            f"{', '.join(table.columns)} (needed: {', '.join(REQUIRED)}; if known: "
            f"{', '.join(OPTIONAL)})"
        )
    file = printable(str(source.path))
    found = Labels([], list(table.problems))
    unread = "not a column that mriqa reads; ignored"
    found.problems.extend(
        Problem(file, unread, 1, name)
        for name in table.columns
        if name and name not in (*REQUIRED, *OPTIONAL)
    )
    if not table.rows:
        found.problems.append(Problem(file, "no label in it"))
    for row in table.rows:
        try:
            found.labels.append(_label(row, file, source, catalogue))
        except LabelError as error:
            found.problems.append(error.problem(file, row.line))
        except ExcludedError:
            continue
    return found


def _label(row: Row, file: str, source: TableLabels, catalogue: Catalogue) -> Label:
    values = row.values
    series = series_of_id(catalogue, values["series_id"])
    volume = index_of("volume", values.get("volume"), series.n_volumes)
    number = index_of("slice", values.get("slice"), series.n_slices)
    if number is not None and volume is None:
        raise LabelError(
            "slice", str(number), "a slice of which volume? (0 is that of a 3D series)"
        )
    rater, said = values["rater"], values["rating"]
    if rater is None:
        raise LabelError("rater", None, "nobody is named who gave this rating")
    return Label(
        Target(series.series_id, volume, number),
        printable(rater),
        rating_of("rating", said, source.words),
        values.get("comment"),
        sha256_of(values.get("sha256")),
        file,
        row.line,
        (rater, said or ""),
    )
