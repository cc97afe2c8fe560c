"""What a source tells of a series, before its file is looked at."""

import os
from dataclasses import dataclass, field

from mriqa.cohort.tabular import Problem

MAX_LISTED = 100
"""So many files of one kind are listed as problems one by one; the rest is counted in one row."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of a subject at a session; None where it is not known.

    `sex` is M, F or O (other), `age` in years.
    """

    sex: str | None = None
    age: float | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    site: str | None = None
    scanner: str | None = None


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series as named by a source.

    `path` is absolute, symbolic links kept. `origin_file` and `origin_line` say where it was named
    (for BIDS and folders the file itself). `sidecars` are JSON files, the most general first.
    """

    series_id: str
    subject: str
    session: str | None
    contrast: str
    station: str | None
    path: str
    kind: str
    origin_file: str
    origin_line: int | None = None
    bval_path: str | None = None
    sidecars: tuple[str, ...] = ()
    person: Person = Person()

    @property
    def origin(self) -> str:
        """`table.csv line 12`, or the file alone."""
        return (
            self.origin_file
            if self.origin_line is None
            else f"{self.origin_file} line {self.origin_line}"
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """All series of one source, and what in it gave none."""

    series: list[FoundSeries] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; False for a link in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def bounded(problems: list[Problem], where: str, what: str) -> list[Problem]:
    """The first MAX_LISTED problems and one row that counts the rest."""
    left = len(problems) - MAX_LISTED
    if left <= 0:
        return problems
    return [*problems[:MAX_LISTED], Problem(where, f"{left} more {what}, not listed")]
