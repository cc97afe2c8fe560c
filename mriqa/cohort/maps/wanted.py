"""The series that masks and maps are looked for: the brains of an indexed cohort."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mriqa.cohort.manifest import read_cohort
from mriqa.config import BrainSection

Entities = dict[str, str]
NUMBERS = frozenset({"run", "echo", "flip", "inv"})
"""Entities whose values are numbers: pipelines write run-1 for run-01."""


@dataclass(frozen=True)
class Wanted:
    """A series that is measured as a brain; `is_t1w`: T1-weighted, else T2-weighted."""

    series_id: str
    contrast: str
    shard: int
    is_t1w: bool
    cohort: str

    @property
    def own_id(self) -> str:
        """The id without the cohort's name: of a BIDS file its name."""
        return self.series_id.removeprefix(f"{self.cohort}_")

    @cached_property
    def named(self) -> tuple[Entities, str] | None:
        """Entities and suffix of a BIDS name; None of an id that is no such name."""
        return parse_name(self.own_id)


def parse_name(stem: str) -> tuple[Entities, str] | None:
    """`sub-1_acq-x_T1w` as ({sub: 1, acq: x}, T1w); None where a part is no `key-value`."""
    *parts, suffix = stem.split("_")
    pairs = [part.partition("-") for part in parts]
    entities = {key: _value(key, value) for key, _, value in pairs}
    whole = all(key and value for key, _, value in pairs) and len(entities) == len(pairs)
    return (entities, suffix) if whole and "sub" in entities and "-" not in suffix else None


def _value(key: str, value: str) -> str:
    return str(int(value)) if key in NUMBERS and value.isdecimal() else value


@dataclass(frozen=True)
class Brains:
    """The series that maps are wanted of, and the ids, in both forms, of those that are excluded:
    whose files are passed over without a word."""

    wanted: list[Wanted]
    excluded: frozenset[str]


def read_brains(results: Path, cohort: str, brain: BrainSection) -> Brains:
    """The brains of `cohort.parquet`."""
    table = read_cohort(results / "cohort.parquet")
    names = ("series_id", "contrast", "shard", "excluded_by")
    rows = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    brains = {*brain.t1w, *brain.t2w}
    wanted = [
        Wanted(series_id, contrast, shard, contrast in brain.t1w, cohort)
        for series_id, contrast, shard, excluded_by in rows
        if contrast in brains and excluded_by is None
    ]
    excluded = [series_id for series_id, _, _, excluded_by in rows if excluded_by is not None]
    both = {*excluded, *(one.removeprefix(f"{cohort}_") for one in excluded)}
    return Brains(wanted, frozenset(both))
