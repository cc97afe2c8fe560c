"""The series that a label can be about, found by id, by path, or by the name of its file."""

import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mriqa.cohort.entities import image_stem
from mriqa.cohort.ledger import read_converted
from mriqa.cohort.manifest import read_cohort

COLUMNS = (
    "series_id", "subject", "excluded_by", "error_code", "size_bytes", "mtime_ns", "sha256",
    "shard", "source_path",
)  # fmt: skip
_CONVERTED = ("series_id", "sha256", "n_volumes", "n_slices")


class FileState(NamedTuple):
    """A file as far as it is known: size, mtime in ns, sha256 once it was read."""

    size_bytes: int
    mtime_ns: int
    sha256: str | None

    def is_same(self, other: "FileState") -> bool:
        """By content where both are known, else by size and time."""
        if self.sha256 is not None and other.sha256 is not None:
            return self.sha256 == other.sha256
        return self[:2] == other[:2]


@dataclass(frozen=True, slots=True)
class RatedSeries:
    """One series of the cohort; `is_there`: its file could be found. `n_volumes`, `n_slices` (of a
    volume) are known once it was converted."""

    series_id: str
    is_excluded: bool
    is_there: bool
    state: FileState
    n_volumes: int | None
    n_slices: int | None


class Catalogue:
    """All series of a cohort: rows with COLUMNS, and by series id what `convert` found."""

    def __init__(self, rows: list[dict[str, Any]], converted: dict[str, dict[str, Any]]) -> None:
        self._by_id = {}
        self._by_path: dict[str, RatedSeries] = {}
        self._by_name: dict[str, list[RatedSeries]] = defaultdict(list)
        for row in rows:
            one = _series(row, converted.get(row["series_id"], {}))
            self._by_id[one.series_id] = one
            self._by_path[os.path.abspath(row["source_path"])] = one  # noqa: PTH100 # keeps links
            name = Path(row["source_path"]).name
            self._by_name[image_stem(name) or name].append(one)
        # every id begins with the cohort's name, which has no underscore
        self._cohort = next(iter(self._by_id), "").partition("_")[0]

    def by_id(self, series_id: str) -> RatedSeries | None:
        """The series of this id, with the cohort's name before it or without."""
        found = self._by_id.get(series_id)
        return found or self._by_id.get(f"{self._cohort}_{series_id}")

    def by_path(self, path: Path) -> RatedSeries | None:
        """The series whose file this is, also by way of other links."""
        found = self._by_path.get(os.path.abspath(path))  # noqa: PTH100 # keeps links
        return found or self._by_real_path.get(os.path.realpath(path))

    @cached_property
    def _by_real_path(self) -> dict[str, RatedSeries]:
        """Only where a path is not found: asking for every link takes its time."""
        return {os.path.realpath(path): one for path, one in self._by_path.items()}

    def by_file_name(self, name: str) -> list[RatedSeries]:
        """The series whose files have this name, with `.nii.gz` or without."""
        return self._by_name.get(image_stem(name) or name, [])

    def an_id(self) -> str:
        """Some series id, to show what they look like."""
        return next(iter(self._by_id), "none")


def read_catalogue(results: Path) -> Catalogue:
    """Of the indexed cohort in `results`; raises UserError if there is none."""
    cohort = read_cohort(results / "cohort.parquet")
    converted: dict[str, dict[str, Any]] = {}
    for shard in sorted(set(cohort["shard"].to_pylist())):
        rows = read_converted(results, shard, _CONVERTED)
        converted |= {row["series_id"]: row for row in rows if row["sha256"] is not None}
    return Catalogue(cohort.select(list(COLUMNS)).to_pylist(), converted)


def _series(row: dict[str, Any], converted: dict[str, Any]) -> RatedSeries:
    sha256 = converted.get("sha256") or row["sha256"]
    return RatedSeries(
        row["series_id"],
        row["excluded_by"] is not None,
        row["error_code"] is None or row["size_bytes"] > 0,
        FileState(row["size_bytes"], row["mtime_ns"], sha256),
        converted.get("n_volumes"),
        converted.get("n_slices"),
    )
