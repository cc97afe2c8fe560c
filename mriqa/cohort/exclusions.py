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

    def problems(self, subjects: AbstractSet[str], contrasts: AbstractSet[str]) -> list[Problem]:
        """Contrasts that nobody has, and withdrawn ids that miss a subject by leading zeros only.

        An id that is not in the cohort is normal. This one is probably a number that a
        spreadsheet has shortened, and overlooking it would rate somebody who withdrew. For the same
        reason a line that holds more than an id raises UserError.
        """
        self._check_lines(subjects)
        by_number: dict[str, str] = {one.lstrip("0"): one for one in sorted(subjects)}
        text = "excluded, but no series has this contrast"
        unused = [
            Problem("configuration", text, column="cohort.exclude_contrasts", value=contrast)
            for contrast in sorted(self.contrasts - contrasts)
        ]
        return unused + [
            Problem(
                str(self.file),
                f"not in the cohort, but {by_number[one.lstrip('0')]} has other leading zeros",
                line,
                value=one,
            )
            for one, line in self.withdrawn.items()
            if one not in subjects and one.lstrip("0") in by_number
        ]

    def _check_lines(self, subjects: AbstractSet[str]) -> None:
        for one, line in self.withdrawn.items():
            if one not in subjects and _SEPARATOR.search(one):
                raise UserError(
                    f"{self.file}: line {line}: {one!r} is no subject of this cohort, and more "
                    "than an id; write an id a line, and what is no id behind a `#`"
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
