"""A label: what one rater said of one series, volume or slice."""

import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

from mriqa.cohort.tabular import Problem

RATINGS = ("pass", "questionable", "fail")
"""From good to bad; the number of a class in the networks is its place here."""


class Target(NamedTuple):
    """What was rated: a slice, a volume, or (both None) a whole series."""

    series_id: str
    volume: int | None
    slice: int | None

    def __str__(self) -> str:
        volume = "" if self.volume is None else f" volume {self.volume}"
        return f"{self.series_id}{volume}" + ("" if self.slice is None else f" slice {self.slice}")

    @property
    def level(self) -> str:
        """`series`, `volume` or `slice`."""
        if self.volume is None:
            return "series"
        return "volume" if self.slice is None else "slice"


@dataclass(frozen=True, slots=True)
class Label:
    """`rating` is one of RATINGS; `sha256` of the file it was given to, where the source tells.

    `as_given` is what the source itself says of rater and rating: it stays when the configuration
    calls them otherwise.
    """

    target: Target
    rater: str
    rating: str
    comment: str | None
    sha256: str | None
    file: str
    line: int | None
    as_given: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """`labels.tsv line 12`, or the file alone."""
        return self.file if self.line is None else f"{self.file} line {self.line}"


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels that can be used, and what of the sources cannot and why."""

    labels: list[Label]
    problems: list[Problem]


def printable(text: str) -> str:
    """`text` as it can be written: what is no character (of a file name, of JSON) as `\\xfc`.

    Composed, so that one name is one name however it was typed.
    """
    return unicodedata.normalize("NFC", text.encode("utf-8", "backslashreplace").decode("utf-8"))
