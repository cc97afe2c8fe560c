"""The list of high-quality references: a person's, or proposed by the metrics for one to edit."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from mriqa.cohort.tabular import numbered_records
from mriqa.errors import UserError
from mriqa.files import write_text
from mriqa.references.person import Person
from mriqa.seeds import fixed_number
from mriqa.tables.strata import comparable

COLUMNS = ("series_id", "volume", "stratum", "subject", "session", "quality_score", "confirmed")
UNKNOWN = ("", "n/a")
CONFIRMED = {"yes": True, "no": False}
MOST_DIGITS = 9
"""Of a volume's number."""


class Proposing(Protocol):
    """What the section of a method says of a list of good volumes."""

    @property
    def trusted(self) -> Path | None:
        """A person's list."""

    @property
    def proposed(self) -> int:
        """Volumes proposed a stratum, at most."""

    @property
    def seed(self) -> int:
        """Of the draw."""


def list_name(method: str) -> str:
    """Name of the proposed list, in the folder `references` of the results."""
    return f"{method}.tsv"


PROPOSED_SPLITS = ("train", "validation")
"""Never test subjects: what is measured on those must not know them."""


@dataclass(frozen=True)
class Listed:
    """A line of the list; `volume` None: all volumes of the series; `confirmed` None: not said."""

    series_id: str
    volume: int | None
    line: int
    confirmed: bool | None = None

    def names(self, row: dict[str, Any]) -> bool:
        """Whether the volume of this row is meant."""
        return row["series_id"] == self.series_id and self.volume in (None, row["volume"])


@dataclass(frozen=True)
class HqVolume:
    """A high-quality reference volume that is there and comparable.

    `is_confirmed`: a person says that it is good; else it is only listed.
    """

    series_id: str
    volume: int
    stratum: str
    shard: int
    person: Person
    is_confirmed: bool = False


def read_list(path: Path) -> list[Listed]:
    """The lines of a list of references, also those that a person has marked `confirmed` no.

    A tab-separated table with a header; `series_id` is needed, `volume` and `confirmed` are
    looked at, others not. Raises UserError naming line, column and value that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such list of references") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read as UTF-8 text: {error}; save it as UTF-8 (not as Excel's "
            "Unicode text)"
        ) from None
    reader = csv.reader(io.StringIO(text), delimiter="\t", strict=True)
    records = numbered_records(reader, path)
    _, header = next(records, (1, list[str]()))
    if "series_id" not in header:
        found = ", ".join(header) or "nothing"
        raise UserError(
            f"{path}: line 1: no column series_id; a tab-separated header is needed, found: {found}"
        )
    return [_listed(path, line, header, fields) for line, fields in records]


def _listed(path: Path, line: int, header: list[str], fields: list[str]) -> Listed:
    values = dict.fromkeys(header, "") | {
        name: value.strip() for name, value in zip(header, fields, strict=False)
    }
    if values["series_id"] in UNKNOWN:
        raise UserError(f"{path}: line {line}: column series_id: {values['series_id']!r} is no id")
    confirmed = values.get("confirmed", "")
    if confirmed not in (*UNKNOWN, *CONFIRMED):
        raise UserError(
            f"{path}: line {line}: column confirmed: {confirmed!r} must be yes, no or n/a"
        )
    volume = values.get("volume", "")
    is_number = volume.isascii() and volume.isdecimal() and len(volume) <= MOST_DIGITS
    if volume not in UNKNOWN and not is_number:
        raise UserError(
            f"{path}: line {line}: column volume: {volume[:20]!r} must be a whole number from 0 "
            "on, or n/a for all volumes of the series"
        )
    number = None if volume in UNKNOWN else int(volume)
    return Listed(values["series_id"], number, line, CONFIRMED.get(confirmed))


def resolve_list(
    path: Path, listed: Sequence[Listed], volumes: pa.Table, stratum: Sequence[str], *, strict: bool
) -> tuple[list[HqVolume], list[str]]:
    """The listed volumes that can be references, and a sentence for each line that cannot.

    `volumes` are the rows of the listed series, of `add_strata`, with the cohort's columns. What
    failed, was excluded or withdrawn, or cannot be compared, is left out; so is, whatever other
    lines say, what a line refuses. So is an unknown series or volume, unless `strict` (a list of
    trusted scans, all confirmed): then UserError names all of them.
    """
    usable = pc.and_(pc.equal(volumes["status"], "ok"), comparable(volumes, stratum)).to_pylist()
    rows_of: dict[str, list[tuple[dict[str, Any], bool]]] = defaultdict(list)
    for row, is_usable in zip(volumes.to_pylist(), usable, strict=True):
        rows_of[row["series_id"]].append((row, is_usable))
    lines_of: dict[str, list[Listed]] = defaultdict(list)
    for one in listed:
        lines_of[one.series_id].append(one)
    found: dict[tuple[str, int], HqVolume] = {}
    notes, unknown = [], []
    for one in listed:
        if one.confirmed is False:
            continue
        rows = rows_of.get(one.series_id, [])
        chosen = [row for row in rows if one.names(row[0])]
        if not chosen and (not rows or rows[0][0]["volume"] is not None):
            what = "series" if not rows else f"volume {one.volume} of"
            unknown.append(f"{path}: line {one.line}: no {what} {one.series_id} in this cohort")
        for row, is_usable in chosen or rows[:1]:
            said = {other.confirmed for other in lines_of[one.series_id] if other.names(row)}
            if is_usable and False not in said:
                found[row["series_id"], row["volume"]] = _hq_volume(row, strict or True in said)
            elif not is_usable:
                notes.append(f"{path}: line {one.line}: {_why_not(row)}; it is no reference")
    if strict and unknown:
        raise UserError("\n".join(unknown))
    return [found[key] for key in sorted(found)], notes + unknown


def _hq_volume(row: dict[str, Any], is_confirmed: bool) -> HqVolume:
    person = Person(row["subject"], row["sex"], row["height_cm"], row["weight_kg"])
    named = row["series_id"], row["volume"], row["stratum"], row["shard"]
    return HqVolume(*named, person, is_confirmed)


def _why_not(row: dict[str, Any]) -> str:
    """A sentence; of a withdrawn subject no more than that."""
    what = row["series_id"] if row["volume"] is None else f"{row['series_id']} {row['volume']}"
    if row["status"] == "excluded":
        return f"{what} is excluded ({row['excluded_by']})"
    if row["status"] == "failed":
        return f"{what} failed ({row['error_code']})"
    return f"{what} has an unknown b-value, so that nothing is comparable to it"


def propose(rated: pa.Table, stratum: Sequence[str], section: Proposing) -> pa.Table:
    """Volumes that the metrics see no fault in, for the list (COLUMNS but `confirmed`).

    `rated` are volumes of `rate_volumes` with the cohort's columns. Of each stratum at most
    `section.proposed` subjects of PROPOSED_SPLITS, drawn by the seed, with their best volume that
    is rated `pass` without a flag. Not the best subjects: these would make whoever is ordinary look
    bad. Listed the best first.
    """
    good = pc.and_(pc.equal(rated["rating"], "pass"), pc.invert(pc.fill_null(rated["flag"], True)))
    allowed = pc.is_in(rated["split"], value_set=pa.array(PROPOSED_SPLITS))
    wanted = pc.and_(pc.and_(pc.fill_null(good, False), allowed), comparable(rated, stratum))
    rows = rated.filter(wanted).select([*COLUMNS[:-1]]).to_pylist()
    rows.sort(key=lambda row: (row["series_id"], row["volume"]))
    of_subject: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_subject[row["stratum"], row["subject"]].append(row)
    kept: dict[str, list[dict[str, Any]]] = defaultdict(list)
    # by one volume each: who has many is not drawn more often
    for own in sorted(of_subject.values(), key=lambda own: _drawn(own[0], section.seed)):
        if len(kept[own[0]["stratum"]]) < section.proposed:
            kept[own[0]["stratum"]].append(max(own, key=lambda row: row["quality_score"]))
    schema = pa.schema([rated.schema.field(name) for name in COLUMNS[:-1]])
    best_first = [
        sorted(kept[name], key=lambda row: -row["quality_score"]) for name in sorted(kept)
    ]
    return pa.Table.from_pylist([row for rows in best_first for row in rows], schema=schema)


def _drawn(row: dict[str, Any], seed: int) -> int:
    return fixed_number(seed, "proposed", row["series_id"], row["volume"])


def write_list(path: Path, proposed: pa.Table) -> None:
    """Write the proposed list, for a person to look at, edit and confirm."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in proposed.to_pylist():
        writer.writerow([*map(_cell, (row[name] for name in COLUMNS[:-1])), "n/a"])
    write_text(path, text.getvalue())


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
