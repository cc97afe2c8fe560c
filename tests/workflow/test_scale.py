"""A cohort of 50,000 series is planned by Snakemake within memory; bench_dryrun.py times it."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

from tiny_cohort import ROOT


def load_bench() -> ModuleType:
    path = ROOT / "tests" / "benchmarks" / "bench_dryrun.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fifty_thousand_series_are_a_thousand_jobs(tmp_path: Path) -> None:
    bench = load_bench()
    config = bench.make_cohort(tmp_path, bench.SHARDS)
    planned = bench.dry_run(config)
    shards = ("convert_shard", "score_shard", "rate_shard")
    for rule, jobs in (*((one, 500) for one in shards), ("train_method", 1), ("merge_scores", 1)):
        assert re.search(rf"{rule} +{jobs}\n", planned.output), rule
    assert 50 < planned.memory_mb < 500
