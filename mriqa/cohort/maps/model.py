"""The files of the user's brain masks and tissue maps, as `index` lists them for the score jobs.

`brain_maps/shard-00007.parquet` has a row a file of the shard's series, and is there only if there
are any. It is an input of the shard's score job alone: a new mask converts nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.errors import MapsError, UserError
from mriqa.files import readable

FOLDER = Path("brain_maps")
PROBLEMS = FOLDER / "problems.parquet"

Role = Literal["mask", "csf", "gm", "wm"]
ROLES: tuple[Role, ...] = ("mask", "csf", "gm", "wm")
TISSUE_ROLES = ROLES[1:]

SCHEMA = pa.schema(
    [
        pa.field("series_id", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64()),
        pa.field("mtime_ns", pa.int64()),
    ]
)

MISSING, INCOMPLETE, AMBIGUOUS = "maps_missing", "maps_incomplete", "maps_ambiguous"
"""Levels of `brain_tissue_null_reason`."""


@dataclass(frozen=True, order=True)
class MapFile:
    """One file; size and mtime are None where it was not there when it was indexed."""

    series_id: str
    role: Role
    path: str
    size_bytes: int | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True)
class MapPaths:
    """What the user has of one series: a brain mask, the maps of CSF, grey and white matter, or
    both."""

    mask: Path | None = None
    tissues: tuple[Path, Path, Path] | None = None


def paths_of(files: Sequence[MapFile]) -> MapPaths:
    """The files of one series by what they are.

    Raises MapsError where two files claim to be the same map, or one or two of the three tissues
    are missing.
    """
    by_role: dict[str, list[str]] = defaultdict(list)
    for one in files:
        by_role[one.role].append(one.path)
    for role, paths in by_role.items():
        if len(paths) > 1:
            listed = " and ".join(sorted(paths))
            raise MapsError(
                AMBIGUOUS, f"{listed}: {len(paths)} files are the {named(role)} of one series"
            )
    single = {role: Path(paths[0]) for role, paths in by_role.items()}
    lacking = [role for role in TISSUE_ROLES if role not in single]
    if 0 < len(lacking) < len(TISSUE_ROLES):
        there = next(single[role] for role in TISSUE_ROLES if role in single)
        raise MapsError(
            INCOMPLETE,
            f"{there}: there is no map of {' and of '.join(lacking)} beside it; csf, gm and wm "
            "are needed together",
        )
    tissues = None if lacking else (single["csf"], single["gm"], single["wm"])
    return MapPaths(single.get("mask"), tissues)


def named(role: str) -> str:
    """A role in words."""
    return "brain mask" if role == "mask" else f"probability map of {role}"


def read_map_files(path: Path | None) -> dict[str, tuple[MapFile, ...]]:
    """The files by series id, of a shard's table; none where there is no table."""
    if path is None:
        return {}
    with readable(path, "index again"):
        table = pq.ParquetFile(path).read()
    if not table.schema.equals(SCHEMA, check_metadata=False):
        raise UserError(f"{path}: not a list of brain maps of this version; index again")
    found: dict[str, list[MapFile]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["series_id"]].append(MapFile(**row))
    return {series_id: tuple(files) for series_id, files in found.items()}
