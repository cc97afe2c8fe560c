"""Indexing a BIDS tree and a table of 50,000 series.

The peer is bids2table alone, which names the files and does no more: `index` also takes sizes and
times, reads sidecars, joins participants, assigns shards and writes everything. The floor walks
and stats the same files.
"""

import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bids2table

from mriqa.cohort.index import index_cohort
from mriqa.config import BidsSource, CohortSection, TableSource

SUBJECTS = 1000
CONTRASTS = ("W", "F", "in", "opp")
ROWS = 50_000
REPEATS = 3


def make_tree(root: Path) -> None:
    """A BIDS dataset of SUBJECTS × 4 one-byte images, a sidecar a subject."""
    root.mkdir()
    (root / "dataset_description.json").write_text("{}")
    (root / "participants.tsv").write_text(
        "participant_id\tage\n" + "".join(f"sub-{n:05d}\t50\n" for n in range(SUBJECTS))
    )
    for number in range(SUBJECTS):
        folder = root / f"sub-{number:05d}" / "anat"
        folder.mkdir(parents=True)
        for contrast in CONTRASTS:
            (folder / image_name(number, contrast)).write_bytes(b"x")
        sidecar = folder / image_name(number, "W").replace(".nii.gz", ".json")
        sidecar.write_text('{"Manufacturer": "Siemens", "MagneticFieldStrength": 1.5}')


def image_name(number: int, contrast: str) -> str:
    """The BIDS name of one image."""
    return f"sub-{number:05d}_acq-dixon{contrast}_T1w.nii.gz"


def make_table(path: Path) -> None:
    """ROWS series in a CSV; the files behind them are those of the tree, over and over."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "subject", "contrast", "age", "sex", "height", "weight", "site"])
        for row in range(ROWS):
            number, contrast = row // 4 % SUBJECTS, CONTRASTS[row % 4]
            image = f"bids/sub-{number:05d}/anat/{image_name(number, contrast)}"
            person = [50, "F", 170, 70, "Mainz"]
            writer.writerow([image, f"{row // 4:07d}", f"dixon{contrast}", *person])


def walk_and_stat(root: Path) -> None:
    """What no index of a tree can do without."""
    for folder, _, names in os.walk(root):
        for name in names:
            os.stat(f"{folder}/{name}")  # noqa: PTH116 - a floor must be fast


def read_and_stat(path: Path) -> None:
    """What no index of a table can do without."""
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            os.stat(f"{path.parent}/{row['path']}")  # noqa: PTH116


def milliseconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def compare(*works: Callable[[], object]) -> list[float]:
    """Median milliseconds of each, taking turns."""
    times = [[milliseconds(work) for work in works] for _ in range(REPEATS)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def run() -> list[dict]:
    """Both benchmarks."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return measure(Path(scratch))
    finally:
        os.sched_setaffinity(0, cores)


def measure(scratch: Path) -> list[dict]:
    """Times of a first index and of one that finds nothing changed."""
    tree, table = scratch / "bids", scratch / "table.csv"
    make_tree(tree)
    make_table(table)
    tree_section = CohortSection(name="b", sources=(BidsSource(kind="bids", path=tree),))
    table_section = CohortSection(name="t", sources=(TableSource(kind="table", path=table),))
    fresh = iter(range(1_000))
    again = scratch / "again"
    index_cohort(table_section, again)
    tree_ms, peer_ms, tree_floor_ms = compare(
        lambda: index_cohort(tree_section, scratch / f"out{next(fresh)}"),
        lambda: bids2table.index_dataset(tree),
        lambda: walk_and_stat(tree),
    )
    table_ms, again_ms, table_floor_ms = compare(
        lambda: index_cohort(table_section, scratch / f"out{next(fresh)}"),
        lambda: index_cohort(table_section, again),
        lambda: read_and_stat(table),
    )
    n_files = SUBJECTS * len(CONTRASTS)
    return [
        {
            "name": "index_bids",
            "ours_ms": tree_ms,
            "peer_ms": peer_ms,
            "floor_ms": tree_floor_ms,
            "ratio": peer_ms / tree_ms,
            "target": "≥1",
            "note": f"{n_files} images; peer bids2table names them only; floor walk and stat",
        },
        {
            "name": "index_table",
            "ours_ms": table_ms,
            "peer_ms": None,
            "floor_ms": table_floor_ms,
            "ratio": table_floor_ms / table_ms,
            "target": "",
            "note": f"{ROWS} rows; floor reads and stats; nothing changed: {again_ms:.0f} ms",
        },
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
