"""Which labels a model learns from: pinned once, as its series are (`training.manifest`).

`training/<method>-<digest>-labels.parquet` is written when a section that learns from labels is
asked for first. Labels that are given or taken back later retrain nothing, unless
`training.retrain` says so.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mriqa.cohort.manifest import COHORT_SCHEMA, read_cohort
from mriqa.config import LearningSection
from mriqa.errors import UserError
from mriqa.files import read_if_sound, remove_leftovers, write_parquet
from mriqa.labels.model import Label, Target
from mriqa.labels.reading import RATINGS_FILE
from mriqa.labels.reading import SCHEMA as RATINGS_SCHEMA

_OF_LABEL = ("series_id", "volume", "slice", "rater", "rating")
_OF_SERIES = ("subject", "contrast", "shard", "size_bytes", "mtime_ns", "split")
SCHEMA = pa.schema(
    [
        *(RATINGS_SCHEMA.field(name) for name in _OF_LABEL),
        *(COHORT_SCHEMA.field(name) for name in _OF_SERIES),
    ]
)
_ORDER = [(name, "ascending") for name in _OF_LABEL[:4]]


@dataclass(frozen=True, slots=True)
class PinnedLabel:
    """A label, and of its series what the cohort said when it was pinned."""

    label: Label
    subject: str
    contrast: str
    shard: int
    size_bytes: int
    mtime_ns: int
    split: str


@dataclass(frozen=True)
class LabelPin:
    """Pinned labels; `n_now` are there by now, `written` if this call pinned them.

    As a string: `hierarchy: 132 labels to learn from (…), pinned before; by now there are 172,
    which training.retrain: true would learn from`.
    """

    method: str
    path: Path
    n_labels: int
    n_now: int
    is_current: bool
    written: bool

    def __str__(self) -> str:
        when = "pinned now" if self.written else "pinned before"
        text = f"{self.method}: {self.n_labels} labels to learn from ({self.path}), {when}"
        if self.is_current:
            return text
        return (
            f"{text}; by now there are {self.n_now}, which training.retrain: true would learn from"
        )


def labels_path(pin: Path) -> Path:
    """Where the labels that belong to the list of series `pin` are, or will be."""
    return pin.with_name(f"{pin.stem}-labels.parquet")


def pin_labels(results: Path, method: str, pin: Path, *, retrain: bool) -> LabelPin:
    """Write the labels of `results` that `method` learns from, unless they are there.

    With `retrain` they become those of now. A file that cannot be read is written anew.
    """
    path = labels_path(pin)
    old, now = read_if_sound(path, SCHEMA), usable_labels(results)
    if old is not None and (not retrain or old.equals(now)):
        return LabelPin(method, path, old.num_rows, now.num_rows, old.equals(now), written=False)
    remove_leftovers(path.parent, path.name)
    write_parquet(path, now)
    return LabelPin(method, path, now.num_rows, now.num_rows, is_current=True, written=True)


def usable_labels(results: Path) -> pa.Table:
    """The labels in `results` that are used, with what the cohort says of their series (SCHEMA).

    Those of excluded and unreadable series are left out.
    """
    ratings = read_if_sound(results / RATINGS_FILE, RATINGS_SCHEMA)
    if ratings is None:
        return SCHEMA.empty_table()
    cohort = read_cohort(results / "cohort.parquet")
    sound = pc.and_(pc.is_null(cohort["excluded_by"]), pc.is_null(cohort["error_code"]))
    series = cohort.filter(sound).select(["series_id", *_OF_SERIES])
    used = ratings.filter(ratings["used"]).select(list(_OF_LABEL))
    joined = used.join(series, "series_id", join_type="inner").sort_by(_ORDER)
    return joined.select(SCHEMA.names).cast(SCHEMA).combine_chunks()


def read_pinned_labels(path: Path) -> list[PinnedLabel]:
    """The pinned labels; raises UserError if their file is missing or damaged."""
    table = read_if_sound(path, SCHEMA)
    if table is None:
        raise UserError(
            f"{path}: the list of pinned labels is missing or damaged; run `mriqa index CONFIG`"
        )
    return [
        PinnedLabel(Label(Target(*row[:3]), row[3], row[4], None, None, str(path), None), *row[5:])
        for row in zip(*(table[name].to_pylist() for name in SCHEMA.names), strict=True)
    ]


def of_files_now(results: Path, labels: Sequence[PinnedLabel]) -> list[PinnedLabel]:
    """Those of `labels` whose series' files are still what they were; others are told and left out:
    a replaced file does not inherit its labels."""
    cohort = read_cohort(results / "cohort.parquet")
    names = ("series_id", "size_bytes", "mtime_ns")
    now = {row[0]: row[1:] for row in zip(*(cohort[n].to_pylist() for n in names), strict=True)}
    kept = [
        one
        for one in labels
        if now.get(one.label.target.series_id) == (one.size_bytes, one.mtime_ns)
    ]
    if len(kept) < len(labels):
        sys.stderr.write(
            f"training: {len(labels) - len(kept)} of {len(labels)} pinned labels are left out: "
            "their series were replaced or have vanished since\n"
        )
    return kept


def labels_digest(labels: Sequence[PinnedLabel]) -> str:
    """Stands for who said what of which files (not for the shards that they are stored in)."""
    rows = [
        [*one.label.target, one.label.rater, one.label.rating, one.size_bytes, one.mtime_ns]
        for one in labels
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def learned_also(
    section: LearningSection, labels: Sequence[PinnedLabel], stratum: Sequence[str]
) -> tuple[str, ...]:
    """What a model of the hierarchy depends on beside its section and series (`model_id`): labels,
    what makes a stratum, and the content of a list of trusted volumes that a person named.

    Of a proposed list the content does not count: a model has its id before there is one.
    """
    given = labels_digest(labels) if section.asks_people else ""
    trusted = section.simulated.trusted if section.simulates else None
    return given, json.dumps(list(stratum)), "" if trusted is None else _sha256(trusted)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            f"hierarchy.learning.simulated.trusted: {path} cannot be read ({error})"
        ) from None
