"""What the Snakefile is told: settings, shards, resources."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from mriqa.cohort.manifest import SHARD_INDEX_NAME, SHARD_INDEX_SCHEMA
from mriqa.errors import ConfigError, UserError
from mriqa.files import write_parquet
from mriqa.run.plan import ROOT_VARIABLE, STAGE_MODULES, find_root, make_plan, shell_prefix

CONFIG = {
    "results": "results",
    "cohort": {"name": "c", "sources": [{"kind": "bids", "path": "bids"}]},
    "evaluation": {"truth": "truth.csv"},
}
MIB = 2**20


def write_index(root: Path, sizes: dict[int, tuple[int, int]]) -> None:
    rows = [
        {"shard": number, "n_series": series, "bytes": size, "largest_bytes": size}
        for number, (series, size) in sizes.items()
    ]
    table = pa.Table.from_pylist(rows, schema=SHARD_INDEX_SCHEMA)
    write_parquet(root / "results" / "shards" / SHARD_INDEX_NAME, table)


def test_emptied_shards_have_no_jobs(tmp_path: Path) -> None:
    plan = make_plan(CONFIG, tmp_path)
    assert plan.shards() == []
    write_index(tmp_path, {0: (3, 10), 1: (0, 0), 12: (1, 5)})
    assert plan.shards() == ["shard-00000", "shard-00012"]


def test_time_follows_bytes_and_both_grow_with_attempts(tmp_path: Path) -> None:
    write_index(tmp_path, {0: (3, 10 * MIB), 1: (9, 20_000 * MIB)})
    plan = make_plan(CONFIG, tmp_path)
    small, large = (SimpleNamespace(shard=f"shard-0000{number}") for number in (0, 1))
    minutes = plan.runtime("convert")
    assert minutes(large, attempt=1) > 2 * minutes(small, attempt=1) > 0
    assert minutes(large, attempt=3) == 3 * minutes(large, attempt=1)
    memory = plan.mem_mb("score")
    assert [memory(small, attempt=attempt) for attempt in (1, 2)] == [2000, 4000]


def test_a_series_larger_than_a_shard_gets_more_memory(tmp_path: Path) -> None:
    write_index(tmp_path, {0: (500, 2048 * MIB), 1: (1, 4096 * MIB), 2: (1, 900_000 * MIB)})
    memory = make_plan(CONFIG, tmp_path).mem_mb("score")
    shards = [SimpleNamespace(shard=f"shard-0000{number}") for number in range(3)]
    assert [memory(shard, attempt=1) for shard in shards] == [2000, 4000, 16_000]
    assert memory(shards[1], attempt=2) == 8000


def test_settings_are_canonical_and_the_truth_is_absolute(tmp_path: Path) -> None:
    plan = make_plan(CONFIG, tmp_path)
    assert plan.truth == str(tmp_path / "truth.csv")
    assert json.loads(plan.settings("evaluation"))["truth"] == plan.truth
    spelled_out = make_plan({**CONFIG, "score": {"foreground_percentile": 99}}, tmp_path)
    assert spelled_out.settings("score") == plan.settings("score")


def test_the_mark_depends_on_the_cohort_section_alone(tmp_path: Path) -> None:
    plan = make_plan(CONFIG, tmp_path)
    other_score = make_plan({**CONFIG, "score": {"foreground_percentile": 98}}, tmp_path)
    other_cohort = make_plan({**CONFIG, "cohort": {**CONFIG["cohort"], "seed": 1}}, tmp_path)
    assert other_score.index_mark == plan.index_mark != other_cohort.index_mark
    assert not plan.is_indexed()


@pytest.mark.parametrize("section", STAGE_MODULES)
def test_format_versions_are_those_of_the_modules(section: str, tmp_path: Path) -> None:
    module = importlib.import_module(STAGE_MODULES[section])
    assert make_plan(CONFIG, tmp_path).format_version(section) == module.FORMAT_VERSION


def test_wrong_or_no_configuration_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--configfile"):
        make_plan({}, tmp_path)
    with pytest.raises(ConfigError, match="cohort: missing"):
        make_plan({"results": "x"}, tmp_path)


def test_jobs_get_the_root_from_the_main_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, "/stale")
    monkeypatch.chdir(tmp_path)
    assert find_root(is_main=True) == tmp_path
    monkeypatch.chdir("/")
    assert find_root(is_main=False) == tmp_path


def test_the_shell_calls_this_package_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "zarr").mkdir()
    (tmp_path / "zarr" / "__init__.py").write_text("raise SystemExit('not this one')")
    script = shell_prefix(sys.executable, make_plan(CONFIG, tmp_path)).format()
    done = subprocess.run(
        ["bash", "-c", script + "mriqa --version"],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("mriqa ")


def test_the_plan_is_light() -> None:
    """Every SLURM job reads the Snakefile anew."""
    code = (
        "import sys, mriqa.run.plan; print(sorted({'zarr', 'duckdb', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
