"""The series that a label can be about, found by id, by path, or by the name of its file."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mriqa.cohort.entities import image_stem

COLUMNS = ("series_id", "subject", "excluded_by", "size_bytes", "mtime_ns", "sha256")


@dataclass(frozen=True, slots=True)
class RatedSeries:
    """One series of the cohort; `sha256` of its file once that was read, mtime in ns."""

    series_id: str
    subject: str
    excluded_by: str | None
    size_bytes: int
    mtime_ns: int
    sha256: str | None


class Catalogue:
    """All series of a cohort (a table of COHORT_SCHEMA)."""

    def __init__(self, cohort: pa.Table) -> None:
        columns = (cohort[name].to_pylist() for name in COLUMNS)
        series = [RatedSeries(*row) for row in zip(*columns, strict=True)]
        self._by_id = {one.series_id: one for one in series}
        self._by_path: dict[str, RatedSeries] = {}
        self._by_name: dict[str, list[RatedSeries]] = defaultdict(list)
        for one, path in zip(series, cohort["source_path"].to_pylist(), strict=True):
            self._by_path[_normal(path)] = one
            name = Path(path).name
            self._by_name[image_stem(name) or name].append(one)
        # every id begins with the cohort's name, which has no underscore
        self._cohort = next(iter(self._by_id), "").partition("_")[0]

    def by_id(self, series_id: str) -> RatedSeries | None:
        """The series of this id, with the cohort's name before it or without."""
        found = self._by_id.get(series_id)
        return found or self._by_id.get(f"{self._cohort}_{series_id}")

    def by_path(self, path: Path) -> RatedSeries | None:
        """The series whose file this is."""
        return self._by_path.get(_normal(str(path)))

    def by_file_name(self, name: str) -> list[RatedSeries]:
        """The series whose files have this name, with `.nii.gz` or without."""
        return self._by_name.get(image_stem(name) or name, [])

    def an_id(self) -> str:
        """Some series id, to show what they look like."""
        return next(iter(self._by_id), "none")


def _normal(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - pathlib's would follow symbolic links
