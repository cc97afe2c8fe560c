"""Small cohorts on disk, for the tests of `index`. The images are a few bytes, no real NIfTI."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from mriqa.cohort.index import IndexSummary, index_cohort
from mriqa.config import BidsSource, CohortSection, FolderSource, TableSource


def add_file(root: Path, name: str, content: str | bytes = b"image") -> Path:
    """Write `root/name` with its folders."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def add_dataset(root: Path, subjects: int = 0, first: int = 1, n_bytes: int = 100) -> Path:
    """A BIDS dataset with a T1w and a Dixon water image a subject: sub-001, sub-002, …"""
    add_file(root, "dataset_description.json", json.dumps({"Name": "x", "BIDSVersion": "1.10.0"}))
    for number in range(first, first + subjects):
        name = f"sub-{number:03d}"
        for suffix in ("T1w", "acq-dixonW_T1w"):
            add_file(root, f"{name}/anat/{name}_{suffix}.nii.gz", bytes(n_bytes))
    return root


def bids(path: Path) -> BidsSource:
    """A source of kind bids."""
    return BidsSource(kind="bids", path=path)


def table(path: Path) -> TableSource:
    """A source of kind table."""
    return TableSource(kind="table", path=path)


def folder(path: Path, pattern: str) -> FolderSource:
    """A source of kind folder."""
    return FolderSource(kind="folder", path=path, pattern=pattern)


def section(*sources, **more) -> CohortSection:
    """The cohort `demo` of these sources."""
    return CohortSection(name="demo", sources=sources, **more)


def index(results: Path, *sources, **more) -> IndexSummary:
    """Index these sources into `results`."""
    return index_cohort(section(*sources, **more), results)


def cohort_rows(results: Path) -> dict[str, dict]:
    """Rows of cohort.parquet by series id."""
    rows = pq.read_table(results / "cohort.parquet").to_pylist()
    by_id = {row["series_id"]: row for row in rows}
    assert len(by_id) == len(rows)
    return by_id


def problem_rows(results: Path) -> list[dict]:
    """Rows of index_problems.parquet."""
    return pq.read_table(results / "index_problems.parquet").to_pylist()


def file_states(results: Path) -> dict[str, tuple[int, int]]:
    """Inode and mtime of every file below `results`: both stay only if nobody wrote it."""
    return {
        str(path.relative_to(results)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(results.rglob("*"))
        if path.is_file()
    }


def touched(before: dict, after: dict) -> set[str]:
    """Names of files that were written, added or removed between two `file_states`."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
