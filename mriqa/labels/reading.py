"""All labels of a configuration: read, made consistent, and kept to the files they were given to.

`labels/ratings.parquet` in the results holds every label with the state of its series' file when
the label was first read. A file that is replaced does not inherit the labels of the old one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mriqa.cohort.found import bounded
from mriqa.cohort.manifest import read_cohort
from mriqa.cohort.tabular import Problem
from mriqa.config import LabelSource, MriqcLabels, TableLabels
from mriqa.files import read_if_sound
from mriqa.labels.catalogue import Catalogue, RatedSeries
from mriqa.labels.model import Label, Labels, Target
from mriqa.labels.mriqc import read_mriqc
from mriqa.labels.scans import read_scans
from mriqa.labels.table import read_label_table

FILE = Path("labels", "ratings.parquet")
_STATE = ("size_bytes", "mtime_ns", "sha256")
SCHEMA = pa.schema(
    [
        pa.field("series_id", pa.string(), nullable=False),
        pa.field("volume", pa.int32()),
        pa.field("slice", pa.int32()),
        pa.field("rater", pa.string(), nullable=False),
        pa.field("rating", pa.string(), nullable=False),
        pa.field("comment", pa.string()),
        pa.field("given_sha256", pa.string()),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("used", pa.bool_(), nullable=False),
    ]
)
Key = tuple[Target, str, str, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Kept:
    """A label and its series' file (size, mtime, sha256) when it was first read.

    `used` is False where the file is another one by now.
    """

    label: Label
    size_bytes: int
    mtime_ns: int
    sha256: str | None
    used: bool


def read_labels(sources: Sequence[LabelSource], results: Path) -> tuple[Labels, pa.Table]:
    """The labels of `sources` for the cohort in `results`, and what FILE should hold (SCHEMA).

    Each rater has at most one rating of a target: of contradicting ones none is used. Labels of
    excluded series are left out in silence. Problems name file and line. Raises UserError if a
    source cannot be read.
    """
    catalogue = Catalogue(read_cohort(results / "cohort.parquet"))
    found = [_read(source, catalogue) for source in sources]
    problems = [problem for one in found for problem in bounded(one.problems, "labels", "of them")]
    everything = [label for one in found for label in one.labels]
    labels = [one for one in everything if _series(catalogue, one).excluded_by is None]
    labels, contradictions = without_contradictions(labels)
    earlier = read_if_sound(results / FILE, SCHEMA)
    kept = [_kept(one, _series(catalogue, one), _states(earlier)) for one in labels]
    replaced = [_replaced(one.label) for one in kept if not one.used]
    problems += bounded(contradictions, "labels", "contradictions")
    problems += bounded(replaced, "labels", "labels of files that were replaced")
    return Labels([one.label for one in kept if one.used], problems), _table(kept)


def _read(source: LabelSource, catalogue: Catalogue) -> Labels:
    if isinstance(source, TableLabels):
        return read_label_table(source, catalogue)
    if isinstance(source, MriqcLabels):
        return read_mriqc(source, catalogue)
    return read_scans(source, catalogue)


def _series(catalogue: Catalogue, label: Label) -> RatedSeries:
    series = catalogue.by_id(label.target.series_id)
    assert series is not None
    return series


def without_contradictions(labels: Sequence[Label]) -> tuple[list[Label], list[Problem]]:
    """Each rater's one label of each target, sorted; and what was said twice.

    The same said twice counts once. Different ratings of one rater cancel: nobody knows which was
    meant. Different raters may differ.
    """
    said: dict[tuple[Target, str], list[Label]] = defaultdict(list)
    for label in labels:
        said[label.target, label.rater].append(label)
    kept, problems = [], []
    for (target, rater), ones in said.items():
        first, *others = ones
        agree = len({one.rating for one in ones}) == 1
        if agree:
            kept.append(first)
        for other in others:
            text = (
                f"{rater} has rated {target} before, and the same ({first.origin}); counted once"
                if agree
                else f"{rater} has rated {target} {other.rating} here and {first.rating} in "
                f"{first.origin}; neither is used"
            )
            problems.append(Problem(other.file, text, other.line, "rating", other.rating))
    return sorted(kept, key=_order), problems


def _order(label: Label) -> tuple[str, int, int, str]:
    series_id, volume, number = label.target
    return (
        series_id,
        -1 if volume is None else volume,
        -1 if number is None else number,
        label.rater,
    )


def _states(earlier: pa.Table | None) -> dict[Key, dict[str, Any]]:
    """What the files were like when these labels were first read."""
    rows = [] if earlier is None else earlier.to_pylist()
    return {
        (
            Target(row["series_id"], row["volume"], row["slice"]),
            row["rater"], row["rating"], row["comment"], row["given_sha256"],
        ): row
        for row in rows
    }  # fmt: skip


def _kept(label: Label, series: RatedSeries, states: dict[Key, dict[str, Any]]) -> Kept:
    now = {name: getattr(series, name) for name in _STATE}
    if label.sha256 is not None:
        used = series.sha256 in (None, label.sha256.lower())
        return Kept(label, **now, used=used)
    key = (label.target, label.rater, label.rating, label.comment, label.sha256)
    then = states.get(key)
    if then is None or _same_file(then, now):
        return Kept(label, **now, used=True)
    return Kept(label, **{name: then[name] for name in _STATE}, used=False)


def _same_file(then: dict[str, Any], now: dict[str, Any]) -> bool:
    if then["sha256"] is not None and now["sha256"] is not None:
        return bool(then["sha256"] == now["sha256"])
    return all(then[name] == now[name] for name in ("size_bytes", "mtime_ns"))


def _table(kept: Sequence[Kept]) -> pa.Table:
    rows = [
        {
            **one.label.target._asdict(),
            "rater": one.label.rater,
            "rating": one.label.rating,
            "comment": one.label.comment,
            "given_sha256": one.label.sha256,
            **{name: getattr(one, name) for name in (*_STATE, "used")},
        }
        for one in kept
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _replaced(label: Label) -> Problem:
    text = (
        f"the file of {label.target.series_id} is another one than this label was given to; not "
        "used. If it holds for the new file, write the file's sha256 into a column sha256"
    )
    return Problem(label.file, text, label.line, "series_id", label.target.series_id)
