"""Who the subjects are: participants.tsv and its like, checked value by value."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mriqa.cohort.entities import bare_label
from mriqa.cohort.found import Person
from mriqa.cohort.tabular import Problem, Row, TextTable, read_text_table
from mriqa.errors import UserError

SUBJECT_COLUMNS = ("participant_id", "subject", "subject_id", "sub")
SESSION_COLUMNS = ("session_id", "session", "ses")
SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}
RANGES = {"age": (0.0, 130.0), "height_cm": (20.0, 260.0), "weight_kg": (0.2, 500.0)}
"""Plausible values; others are taken for a wrong unit (height in metres) or a slip."""
PERSON_COLUMNS: dict[str, tuple[str, ...]] = {
    "sex": ("sex", "gender"),
    "age": ("age", "age_years"),
    "height_cm": ("height_cm", "height"),
    "weight_kg": ("weight_kg", "weight"),
    "site": ("site", "centre", "center", "site_id"),
    "scanner": ("scanner",),
}
"""Field of `Person`: names of columns that give it, the first that has a value counts."""
Key = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Participants:
    """Persons by (subject, session), session None where the table has no sessions."""

    persons: dict[Key, Person] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def person(self, subject: str, session: str | None) -> Person:
        """The subject's row of this session, else its row without a session, else nothing."""
        found = self.persons.get((subject, session))
        if found is None:
            found = self.persons.get((subject, None))
        return found or Person()


def read_participants(path: Path) -> Participants:
    """Read a participants table; raises UserError if it has no column with the subject."""
    table = read_text_table(path)
    if not set(SUBJECT_COLUMNS) & set(table.columns):
        raise UserError(
            f"{path}: no column participant_id; the columns are {', '.join(table.columns)}"
        )
    result = Participants({}, list(table.problems))
    lines: dict[Key, int] = {}
    for row in table.rows:
        _add_row(table, row, result, lines)
    return result


def _add_row(table: TextTable, row: Row, result: Participants, lines: dict[Key, int]) -> None:
    column, subject = row.get(*SUBJECT_COLUMNS)
    if subject in (None, "sub-"):
        text = "a row without participant_id; not used"
        result.problems.append(Problem(str(table.path), text, row.line, column))
        return
    session = row.get(*SESSION_COLUMNS)[1]
    key = (bare_label(subject, "sub"), None if session is None else bare_label(session, "ses"))
    person = read_person(row, str(table.path), result.problems)
    if key in lines and person != result.persons[key]:
        text = f"differs from line {lines[key]} of the same participant; neither is used"
        result.problems.append(Problem(str(table.path), text, row.line, column, subject))
        person = Person()
    lines.setdefault(key, row.line)
    result.persons[key] = person


def read_person(row: Row, file: str, problems: list[Problem]) -> Person:
    """The person that a row describes; a value that makes no sense is None and a problem."""
    values: dict[str, str | float | None] = {}
    for name, columns in PERSON_COLUMNS.items():
        column, text = row.get(*columns)
        try:
            values[name] = None if text is None else _PARSERS[name](text)
        except ValueError as error:
            values[name] = None
            problems.append(Problem(file, f"{error}; taken as not known", row.line, column, text))
    return Person(**values)  # type: ignore[arg-type]


def filled(person: Person, other: Person) -> Person:
    """`person`, with what it does not know taken from `other`."""
    missing = {
        name: getattr(other, name) for name in PERSON_COLUMNS if getattr(person, name) is None
    }
    return replace(person, **missing)


# narrower than float(), which takes 1_70 for 170
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


def _number(name: str) -> Callable[[str], float]:
    low, high = RANGES[name]

    def parse(text: str) -> float:
        if not _NUMBER.fullmatch(text):
            hint = " (write a decimal point, not a comma)" if _COMMA.fullmatch(text) else ""
            raise ValueError(f"{name} is not a number{hint}")
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"{name} is not within {low:g} to {high:g}")
        return value

    return parse


def _sex(text: str) -> str:
    if text.lower() not in SEXES:
        raise ValueError("sex is none of M, F, male, female, O, other")
    return SEXES[text.lower()]


_PARSERS: dict[str, Callable[[str], str | float]] = {
    "sex": _sex,
    "age": _number("age"),
    "height_cm": _number("height_cm"),
    "weight_kg": _number("weight_kg"),
    "site": str,
    "scanner": str,
}
