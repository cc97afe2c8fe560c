"""What the Snakefile is told: settings, shards, resources."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from mriqa.cohort.manifest import COHORT_SCHEMA, SHARD_INDEX_NAME, SHARD_INDEX_SCHEMA
from mriqa.errors import ConfigError, UserError
from mriqa.files import write_parquet
from mriqa.run.learned import note_made_from
from mriqa.run.plan import ROOT_VARIABLE, STAGE_MODULES, find_root, make_plan, shell_prefix
from mriqa.training.manifest import pin_training

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


def test_jobs_in_the_results_folder_find_what_relative_paths_name(tmp_path: Path) -> None:
    reference = {"trusted": "lists/trusted.tsv"}
    raw = {
        **CONFIG,
        "methods": ["simclr"],
        "simclr": {"pretrained": "other", "reference": reference},
    }
    here = make_plan(raw, tmp_path).config_here
    assert here.simclr.pretrained == tmp_path / "other"
    assert here.simclr.reference.trusted == tmp_path / "lists" / "trusted.tsv"
    assert here.evaluation.truth == tmp_path / "truth.csv"


def test_hysnets_tables_find_their_files_though_the_method_is_off(tmp_path: Path) -> None:
    evaluation = {"truth": "truth.csv", "hysnet": "lists/tables.yaml", "elsewhere": "other"}
    hysnet = {"learning": {"target": {"table": "group.tsv", "column": "cjv"}}}
    raw = {**CONFIG, "evaluation": evaluation, "hysnet": hysnet}
    plan = make_plan(raw, tmp_path)
    here = plan.config_here
    assert here.evaluation.hysnet == tmp_path / "lists" / "tables.yaml"
    assert here.evaluation.elsewhere == tmp_path / "other"
    assert here.hysnet.learning.target.table == tmp_path / "group.tsv"
    # they are nothing to those who compare ratings with the truth
    assert plan.settings("evaluation") == make_plan(CONFIG, tmp_path).settings("evaluation")


def test_the_mark_depends_on_the_cohort_section_alone(tmp_path: Path) -> None:
    plan = make_plan(CONFIG, tmp_path)
    other_score = make_plan({**CONFIG, "score": {"foreground_percentile": 98}}, tmp_path)
    other_cohort = make_plan({**CONFIG, "cohort": {**CONFIG["cohort"], "seed": 1}}, tmp_path)
    assert other_score.index_mark == plan.index_mark != other_cohort.index_mark
    assert not plan.is_indexed()


def test_what_indexing_may_make_due_is_due_before_it(tmp_path: Path) -> None:
    """Plain snakemake reads the rules before it indexes, and cannot know what that will find."""
    raw = {**CONFIG, "methods": ["simclr"]}
    plan = make_plan(raw, tmp_path)
    assert plan.unbanked() == plan.untrained() == ["simclr"]
    row = dict.fromkeys(COHORT_SCHEMA.names) | {
        "series_id": "a", "subject": "a", "contrast": "T1w", "source_path": "a", "shard": 0,
        "source_kind": "nifti", "size_bytes": 1, "mtime_ns": 1, "split": "train",
    }  # fmt: skip
    table = pa.Table.from_pylist([row], schema=COHORT_SCHEMA)
    write_parquet(tmp_path / "results" / "cohort.parquet", table)
    pin_training(tmp_path / "results", "simclr", plan.config.simclr.pretraining, retrain=False)
    model = tmp_path / "results" / plan.learned.model("simclr")
    (model / "bank").mkdir(parents=True)
    (model / "provenance.json").write_text("{}")
    references = tmp_path / "results" / "references"
    references.mkdir()
    (references / "simclr.tsv").write_text("series_id\na\n")
    note_made_from(model / "bank", plan.learned.bank_digest("simclr"))
    assert (plan.untrained(), plan.unbanked()) == ([], ["simclr"])
    assert make_plan({**raw, "training": {"retrain": True}}, tmp_path).untrained() == ["simclr"]
    (tmp_path / "results" / plan.index_mark).parent.mkdir()
    (tmp_path / "results" / plan.index_mark).write_text("")
    assert (plan.untrained(), plan.unbanked()) == ([], [])


def test_the_mark_follows_what_methods_learn(tmp_path: Path) -> None:
    off = make_plan(CONFIG, tmp_path)
    on = make_plan({**CONFIG, "methods": ["simclr"]}, tmp_path)
    deeper = {"pretraining": {"gamma": 0.5}, "reference": {"copies": 9}}
    other = make_plan({**CONFIG, "methods": ["simclr"], "simclr": deeper}, tmp_path)
    compared = make_plan(
        {**CONFIG, "methods": ["simclr"], "simclr": {"reference": {"copies": 9}}}, tmp_path
    )
    assert len({one.index_mark for one in (off, on, other)}) == 3
    assert compared.index_mark == on.index_mark
    assert make_plan({**CONFIG, "simclr": deeper}, tmp_path).index_mark == off.index_mark


def test_a_training_job_asks_for_its_share_of_a_machine(tmp_path: Path) -> None:
    how = {"workers": 5, "nodes": 2, "threads": 3, "feed_workers": 1, "mem_mb": 1000}
    job = make_plan({**CONFIG, "training": how}, tmp_path).training
    assert job.threads == 3 * (3 + 1)
    assert job.resources["nodes"] == job.resources["tasks"] == 2
    assert [job.mem_mb(SimpleNamespace(), attempt=attempt) for attempt in (1, 2)] == [1000, 2000]
    assert job.runtime(SimpleNamespace(), attempt=3) == 3 * 1440


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
