"""Series that are left out on purpose: withdrawn subjects, unwanted contrasts."""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from mriqa.cohort.entities import bare_label
from mriqa.cohort.tabular import Problem
from mriqa.config import CohortSection
from mriqa.errors import UserError


@dataclass(frozen=True)
class Exclusions:
    """Whom and what to leave out; `withdrawn` holds the line of each subject in `file`."""

    file: Path | None
    withdrawn: dict[str, int]
    contrasts: frozenset[str]

    def excluded_by(self, subject: str, contrast: str) -> str | None:
        """`withdrawn`, `contrast`, or None where the series stays in."""
        if subject in self.withdrawn:
            return "withdrawn"
        return "contrast" if contrast in self.contrasts else None

    def problems(self, contrasts: AbstractSet[str]) -> list[Problem]:
        """Excluded contrasts that nobody has."""
        text = "excluded, but no series has this contrast"
        return [
            Problem("configuration", text, column="cohort.exclude_contrasts", value=contrast)
            for contrast in sorted(self.contrasts - contrasts)
        ]

    def check(self, subjects: AbstractSet[str]) -> None:
        """Raise UserError for a line that was meant for somebody and would miss them.

        An id that is not in the cohort is normal. A number that a spreadsheet has robbed of its
        leading zeros, or a line that holds more than an id, would leave somebody rated who
        withdrew.
        """
        by_number = {one.lstrip("0"): one for one in sorted(subjects)}
        for one, line in self.withdrawn.items():
            if one in subjects:
                continue
            if _SEPARATOR.search(one):
                raise UserError(
                    f"{self.file}: line {line}: {one!r} is no subject of this cohort, and more "
                    "than an id; write an id a line, and what is no id behind a `#`"
                )
            if one.lstrip("0") in by_number:
                raise UserError(
                    f"{self.file}: line {line}: {one!r} is no subject of this cohort, but "
                    f"{by_number[one.lstrip('0')]!r} is, with other leading zeros; write the ids "
                    "as the sources do, and what is no id behind a `#`"
                )


_SEPARATOR = re.compile(r"[\s,;|]")


def read_exclusions(section: CohortSection) -> Exclusions:
    """Read the withdrawal list: a subject a line, `sub-` optional, `#` begins a comment.

    Raises UserError if the list is named but cannot be read.
    """
    contrasts = frozenset(section.exclude_contrasts)
    if section.withdrawn is None:
        return Exclusions(None, {}, contrasts)
    try:
        text = section.withdrawn.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{section.withdrawn}: no such list of withdrawn subjects") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{section.withdrawn}: cannot be read as UTF-8 text: {error}") from error
    return Exclusions(section.withdrawn, _subjects(text), contrasts)


def _subjects(text: str) -> dict[str, int]:
    subjects: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        subject = bare_label(line.partition("#")[0].strip(" \t\r,;\"'"), "sub")
        if subject:
            subjects.setdefault(subject, number)
    return subjects
