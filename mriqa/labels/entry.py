"""One line of a source, checked: a label, or what is wrong with it."""

import re
from collections.abc import Mapping

from mriqa.cohort.tabular import Problem
from mriqa.labels.catalogue import Catalogue, RatedSeries
from mriqa.labels.model import RATINGS, printable

_INDEX = re.compile(r"\d{1,9}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class LabelError(Exception):
    """A line that gives no label: the column at fault, its value, and why."""

    def __init__(self, column: str, value: str | None, why: str) -> None:
        super().__init__(why)
        self.column = column
        self.value = value

    def problem(self, file: str, line: int | None) -> Problem:
        """As a row of `labels/problems.parquet`."""
        value = None if self.value is None else printable(self.value)
        why = f"{printable(str(self))}; label not used"
        return Problem(printable(file), why, line, self.column, value)


class ExcludedError(Exception):
    """A line about a series that is left out: nothing is said of it."""


def rating_of(column: str, text: str | None, words: Mapping[str, str]) -> str:
    """One of RATINGS, in any case, or what `words` (lower case) says; raises LabelError."""
    if text is None:
        raise LabelError(column, text, "no rating")
    rating = words.get(text.lower(), text.lower())
    if rating not in RATINGS:
        own = f", {', '.join(words)} (its `words`)" if words else ""
        raise LabelError(column, text, f"the rating must be one of {', '.join(RATINGS)}{own}")
    return rating


def index_of(column: str, text: str | None, count: int | None) -> int | None:
    """The index of a volume or slice, from 0; None where there is none.

    `count` is how many there are, where that is known. Raises LabelError.
    """
    if text is None:
        return None
    if not _INDEX.fullmatch(text):
        raise LabelError(column, text, f"the {column} must be a whole number from 0 on, or empty")
    if count is not None and int(text) >= count:
        raise LabelError(column, text, f"there are only {count} (0 to {count - 1})")
    return int(text)


def sha256_of(text: str | None) -> str | None:
    """A checksum in lower case; raises LabelError for what is none."""
    if text is None:
        return None
    if not _SHA256.fullmatch(text.lower()):
        raise LabelError("sha256", text, "a sha256 is 64 digits 0-9 a-f (`sha256sum FILE`)")
    return text.lower()


def series_of_id(catalogue: Catalogue, series_id: str | None) -> RatedSeries:
    """The series of this id; raises LabelError, or ExcludedError if it is left out."""
    found = None if series_id is None else catalogue.by_id(series_id)
    if found is None:
        example = f"ids look like {catalogue.an_id()}"
        raise LabelError("series_id", series_id, f"no series of this cohort; {example}")
    if found.is_excluded:
        raise ExcludedError
    return found
