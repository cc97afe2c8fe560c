"""One line of a source, checked: a label, or what is wrong with it."""

import re
from collections.abc import Mapping

from mriqa.cohort.tabular import Problem
from mriqa.labels.catalogue import Catalogue, RatedSeries
from mriqa.labels.model import RATINGS

_INDEX = re.compile(r"\d{1,6}", re.ASCII)


class LabelError(Exception):
    """A line that gives no label: the column at fault, its value, and why."""

    def __init__(self, column: str, value: str | None, why: str) -> None:
        super().__init__(why)
        self.column = column
        self.value = value

    def problem(self, file: str, line: int | None) -> Problem:
        """As a row of `index_problems.parquet`."""
        return Problem(file, f"{self}; label not used", line, self.column, self.value)


def rating_of(column: str, text: str | None, words: Mapping[str, str]) -> str:
    """One of RATINGS, in any case, or what `words` (lower case) says; raises LabelError."""
    if text is None:
        raise LabelError(column, text, "no rating")
    rating = words.get(text.lower(), text.lower())
    if rating not in RATINGS:
        own = f", {', '.join(words)} (its `words`)" if words else ""
        raise LabelError(column, text, f"the rating must be one of {', '.join(RATINGS)}{own}")
    return rating


def index_of(column: str, text: str | None) -> int | None:
    """The index of a volume or slice, from 0; None where there is none; raises LabelError."""
    if text is None:
        return None
    if not _INDEX.fullmatch(text):
        raise LabelError(column, text, f"the {column} must be a whole number from 0 on, or empty")
    return int(text)


def series_of_id(catalogue: Catalogue, series_id: str | None) -> RatedSeries:
    """The series of this id; raises LabelError."""
    found = None if series_id is None else catalogue.by_id(series_id)
    if found is None:
        example = f"ids look like {catalogue.an_id()}"
        raise LabelError("series_id", series_id, f"no series of this cohort; {example}")
    return found
