"""Dry run of a cohort of 50,000 series: seconds and memory of the whole Snakemake process.

With SimCLR switched on and nothing trained yet. The manifests are made up, 500 shards of 100
series; no file of the cohort exists. The floor is the same dry run of one shard: starting Python,
Snakemake and reading the Snakefile.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import yaml

from mriqa.cohort.manifest import (
    COHORT_SCHEMA,
    SHARD_INDEX_NAME,
    SHARD_INDEX_SCHEMA,
    SHARD_SCHEMA,
    shard_name,
)
from mriqa.config import load_config
from mriqa.files import write_parquet
from mriqa.run.index import pin_methods
from mriqa.run.launch import SOURCE
from mriqa.run.plan import index_mark

SHARDS = 500
SERIES = 100
SIZE_BYTES = 1_700_000
ROUNDS = 3


def make_cohort(
    folder: Path, shards: int, settings: dict[str, Any] | None = None, contrast: str = "T1w"
) -> Path:
    """An indexed cohort without any image; returns its configuration.

    `settings` replaces the sections beside results and cohort; without it SimCLR is switched on.
    """
    config = folder / "config.yaml"
    source = {"kind": "folder", "path": "none", "pattern": "{subject}.nii.gz"}
    content = {"results": "results", "cohort": {"name": "big", "sources": [source]}}
    config.write_text(yaml.safe_dump(content | ({"methods": ["simclr"]} | (settings or {}))))
    results = folder / "results"
    members = [_members(number, contrast) for number in range(shards)]
    for number, rows in enumerate(members):
        table = pa.Table.from_pylist(rows, schema=SHARD_SCHEMA)
        write_parquet(results / "shards" / f"{shard_name(number)}.parquet", table)
    index = pa.Table.from_pylist([_load(one) for one in range(shards)], schema=SHARD_INDEX_SCHEMA)
    write_parquet(results / "shards" / SHARD_INDEX_NAME, index)
    everybody = [{**one, "split": "train"} for rows in members for one in rows]
    cohort = pa.Table.from_pylist(everybody, schema=COHORT_SCHEMA)
    write_parquet(results / "cohort.parquet", cohort)
    read = load_config(config).model_copy(update={"results": results})
    pin_methods(read)
    (results / index_mark(read)).write_text("")
    return config


def _load(number: int) -> dict[str, int]:
    size = SERIES * SIZE_BYTES
    return {"shard": number, "n_series": SERIES, "bytes": size, "largest_bytes": SIZE_BYTES}


def _members(number: int, contrast: str) -> list[dict[str, Any]]:
    ids = [f"{number * SERIES + one:06d}" for one in range(SERIES)]
    return [
        {
            "series_id": f"big_sub-{one}_T1w", "subject": one, "contrast": contrast,
            "source_path": f"/data/{one}.nii.gz", "source_kind": "nifti",
            "size_bytes": SIZE_BYTES, "mtime_ns": 1, "shard": number,
        }
        for one in ids
    ]  # fmt: skip


@dataclass(frozen=True)
class DryRun:
    """What one dry run took and printed."""

    ms: float
    memory_mb: float
    output: str


def dry_run(config: Path) -> DryRun:
    """Plan the cohort of `config` in a Snakemake of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SOURCE / "Snakefile")]
    command += ["--configfile", config.name, "--profile", str(SOURCE / "profiles" / "local"), "-n"]
    log = config.with_suffix(".log")
    start = time.perf_counter()
    with log.open("w") as sink:
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        process = subprocess.Popen(
            command, cwd=config.parent, env=environment, stdout=sink, stderr=sink
        )
        peak_kb = 0
        while process.poll() is None:
            peak_kb = max(peak_kb, _peak_kb(process.pid))
            time.sleep(0.01)
    elapsed_ms = (time.perf_counter() - start) * 1000
    if process.returncode:
        raise RuntimeError(log.read_text())
    return DryRun(elapsed_ms, peak_kb / 1024, log.read_text())


def _peak_kb(pid: int) -> int:
    """Highest resident memory so far; not ru_maxrss, which begins with that of the parent."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) if found else 0


def run() -> list[dict[str, Any]]:
    """Time and memory, big and small cohort alternating."""
    runs: dict[int, list[DryRun]] = {1: [], SHARDS: []}
    with tempfile.TemporaryDirectory() as scratch:
        configs = {}
        for shards in runs:
            folder = Path(scratch) / str(shards)
            folder.mkdir()
            configs[shards] = make_cohort(folder, shards)
        for _ in range(ROUNDS):
            for shards, config in configs.items():
                runs[shards].append(dry_run(config))
    memory_mb = max(one.memory_mb for one in runs[SHARDS])
    ours, floor = (median(one.ms for one in runs[shards]) for shards in (SHARDS, 1))
    what = f"{SHARDS * SERIES} series in {SHARDS} shards, SimCLR on, {3 * SHARDS + 5} jobs"
    return [
        {
            "name": "dry_run_50000_series", "ours_ms": ours, "peer_ms": None, "floor_ms": floor,
            "ratio": ours / 10_000, "target": "<= 1",
            "note": f"{what}; ratio: of the allowed 10 s; floor: one shard",
        },
        {
            "name": "dry_run_50000_series_memory", "ours_ms": None, "peer_ms": None,
            "floor_ms": None, "ratio": memory_mb / 500, "target": "<= 1",
            "note": f"{memory_mb:.0f} MB resident at most; ratio: of the allowed 500 MB",
        },
    ]  # fmt: skip


if __name__ == "__main__":
    for result in run():
        print(result)
