"""All labels of a configuration: read, made consistent, and kept to the files they were given to.

A file that is replaced does not inherit the labels of the old one. So `labels/seen.parquet` in the
results remembers of every label that ever was the state of its series' file when it was first read;
it names nobody, a label is a digest there.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mriqa.cohort.tabular import Problem
from mriqa.config import LabelSource, MriqcLabels, TableLabels
from mriqa.files import read_if_sound
from mriqa.labels.catalogue import Catalogue, FileState, RatedSeries, read_catalogue
from mriqa.labels.model import Label, Labels
from mriqa.labels.mriqc import read_mriqc
from mriqa.labels.scans import read_scans
from mriqa.labels.table import read_label_table

FOLDER = Path("labels")
RATINGS_FILE = FOLDER / "ratings.parquet"
SEEN_FILE = FOLDER / "seen.parquet"
SCHEMA = pa.schema(
    [
        pa.field("series_id", pa.string(), nullable=False),
        pa.field("volume", pa.int32()),
        pa.field("slice", pa.int32()),
        pa.field("rater", pa.string(), nullable=False),
        pa.field("rating", pa.string(), nullable=False),
        pa.field("comment", pa.string()),
        pa.field("used", pa.bool_(), nullable=False),
        pa.field("not_used_because", pa.string()),
    ]
)
"""`not_used_because`: `replaced`, `contradiction` or `repeated`."""
SEEN_SCHEMA = pa.schema(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("sha256", pa.string()),
    ]
)
Seen = Mapping[str, FileState]


@dataclass(frozen=True)
class Reading:
    """Labels that are used, problems, and what the files of the results should hold."""

    labels: Labels
    ratings: pa.Table
    seen: pa.Table


def read_labels(sources: Sequence[LabelSource], results: Path) -> Reading:
    """The labels of `sources` for the cohort in `results`.

    Each rater has at most one rating of a target: of contradicting ones none is used. Labels of
    excluded series are left out in silence. Problems name file and line. Raises UserError if a
    source cannot be read.
    """
    catalogue = read_catalogue(results)
    found = [_read(source, catalogue) for source in sources]
    problems = [problem for one in found for problem in one.problems]
    seen, lost = read_seen(results)
    problems += lost
    now, current, replaced = dict(seen), list[Label](), list[Label]()
    for label in (label for one in found for label in one.labels):
        series = catalogue.by_id(label.target.series_id)
        assert series is not None
        key = digest(label)
        holds = is_of_this_file(label, series, seen.get(key))
        (current if holds else replaced).append(label)
        if holds and series.is_there:
            now[key] = series.state
    problems += [_told_replaced(one) for one in replaced]
    used, unused, contradictions = without_contradictions(current)
    table = _table(used, {"replaced": replaced, **unused})
    return Reading(Labels(used, problems + contradictions), table, _seen_table(now))


def _read(source: LabelSource, catalogue: Catalogue) -> Labels:
    if isinstance(source, TableLabels):
        return read_label_table(source, catalogue)
    if isinstance(source, MriqcLabels):
        return read_mriqc(source, catalogue)
    return read_scans(source, catalogue)


def is_of_this_file(label: Label, series: RatedSeries, then: FileState | None) -> bool:
    """Whether a label was given to the file that is there now.

    Its sha256 tells, where the file's is known; else whether the file has changed since the label
    was first read (`then`; None: it is read now).
    """
    if label.sha256 is not None and series.state.sha256 is not None:
        return label.sha256 == series.state.sha256
    return then is None or not series.is_there or then.is_same(series.state)


def without_contradictions(
    labels: Sequence[Label],
) -> tuple[list[Label], dict[str, list[Label]], list[Problem]]:
    """Each rater's one label of each target, sorted; the others by why; and as problems.

    The same said twice counts once. Different ratings of one rater cancel: nobody knows which was
    meant. Different raters may differ.
    """
    said: dict[tuple[object, str], list[Label]] = defaultdict(list)
    for label in labels:
        said[label.target, label.rater].append(label)
    kept, problems = list[Label](), list[Problem]()
    unused: dict[str, list[Label]] = {"repeated": [], "contradiction": []}
    for first, *others in said.values():
        agree = all(one.rating == first.rating for one in others)
        if agree:
            kept.append(first)
            unused["repeated"] += others
        else:
            unused["contradiction"] += [first, *others]
        problems += [_told_twice(first, one, agree) for one in others]
    return sorted(kept, key=_order), unused, problems


def _told_twice(first: Label, other: Label, agree: bool) -> Problem:
    what = f"{other.rater} has rated {other.target}"
    text = (
        f"{what} before, and the same ({first.origin}); counted once"
        if agree
        else f"{what} {other.rating} here and {first.rating} in {first.origin}; none is used"
    )
    return Problem(other.file, text, other.line, "rating", other.rating)


def _told_replaced(label: Label) -> Problem:
    text = (
        f"the file of {label.target.series_id} has changed since this label was first read; not "
        "used (if it was only touched, it is again once it was converted and indexed). Rate it "
        "anew, or write its sha256 into a table's column sha256"
    )
    return Problem(label.file, text, label.line, "series_id", label.target.series_id)


def _order(label: Label) -> tuple[str, int, int, str]:
    series_id, volume, number = label.target
    return (
        series_id,
        -1 if volume is None else volume,
        -1 if number is None else number,
        label.rater,
    )


def digest(label: Label) -> str:
    """Stands for a label as its source has it, whatever the configuration calls its words."""
    content = [*label.target, *label.as_given, label.comment, label.sha256]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_seen(results: Path) -> tuple[Seen, list[Problem]]:
    """States by digest of the label; a problem if the file is there and cannot be read."""
    path = results / SEEN_FILE
    table = read_if_sound(path, SEEN_SCHEMA)
    if table is None:
        told = "damaged: every label is taken for one of the file that is there now"
        return {}, [Problem(str(SEEN_FILE), told)] if path.exists() else []
    keys, *states = (table[name].to_pylist() for name in SEEN_SCHEMA.names)
    return dict(zip(keys, map(FileState, *states), strict=True)), []


def _seen_table(seen: Seen) -> pa.Table:
    rows = [{"label": key, **seen[key]._asdict()} for key in sorted(seen)]
    return pa.Table.from_pylist(rows, schema=SEEN_SCHEMA)


def _table(used: Iterable[Label], unused: Mapping[str, Iterable[Label]]) -> pa.Table:
    why = [(None, one) for one in used]
    rest = [(reason, one) for reason, ones in unused.items() for one in ones]
    ordered = sorted([*why, *rest], key=lambda row: (_order(row[1]), row[0] or ""))
    rows = [
        {
            **one.target._asdict(),
            "rater": one.rater,
            "rating": one.rating,
            "comment": one.comment,
            "used": reason is None,
            "not_used_because": reason,
        }
        for reason, one in ordered
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
