"""Putting a results folder in order before Snakemake looks at it."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from mriqa.errors import UserError
from mriqa.files import write_parquet
from mriqa.run.launch import find_profile, local_memory_mb, snakemake_command
from mriqa.run.tidy import TABLES, tidy_results

SHARDS = ("shard-00000", "shard-00001")


def make_results(results: Path, shards: tuple[str, ...] = SHARDS, status: str = "ok") -> Path:
    for shard in shards:
        table = pa.table({"series_id": ["a"], "status": [status]})
        write_parquet(results / "convert" / f"{shard}.parquet", table)
        write_parquet(results / "scores" / f"{shard}.parquet", table)
        (results / "zarr" / f"{shard}.zarr" / "a").mkdir(parents=True)
    (results / ".snakemake" / "metadata").mkdir(parents=True)
    (results / "tables").mkdir()
    for name in (*TABLES, "reconciliation.json"):
        if name.endswith(".parquet"):
            write_parquet(results / "tables" / name, pa.table({"series_id": ["a"]}))
        else:
            (results / "tables" / name).write_text("x")
    return results


def files(results: Path) -> set[str]:
    return {str(path.relative_to(results)) for path in results.rglob("*")}


def test_an_orderly_folder_is_left_alone(tmp_path: Path) -> None:
    before = files(make_results(tmp_path))
    assert tidy_results(tmp_path, SHARDS) == []
    assert files(tmp_path) == before


def test_outputs_of_vanished_shards_are_removed(tmp_path: Path) -> None:
    make_results(tmp_path)
    (said,) = tidy_results(tmp_path, SHARDS[:1])
    assert "shard-00001" in said
    assert not [name for name in files(tmp_path) if "shard-00001" in name]
    assert "zarr/shard-00000.zarr/a" in files(tmp_path)


def test_a_lost_store_makes_its_convert_due(tmp_path: Path) -> None:
    make_results(tmp_path)
    (tmp_path / "zarr" / "shard-00001.zarr" / "a").rmdir()
    (tmp_path / "zarr" / "shard-00001.zarr").rmdir()
    (said,) = tidy_results(tmp_path, SHARDS)
    assert said == "the Zarr store of shard-00001 is missing: it will be written again"
    assert "convert/shard-00001.parquet" not in files(tmp_path)
    assert "convert/shard-00000.parquet" in files(tmp_path)


def test_a_shard_without_any_good_series_needs_no_store(tmp_path: Path) -> None:
    make_results(tmp_path, SHARDS[:1], status="failed")
    (tmp_path / "zarr" / "shard-00000.zarr" / "a").rmdir()
    (tmp_path / "zarr" / "shard-00000.zarr").rmdir()
    assert tidy_results(tmp_path, SHARDS[:1]) == []
    assert "convert/shard-00000.parquet" in files(tmp_path)


@pytest.mark.parametrize("name", TABLES)
def test_a_lost_table_makes_merge_due(tmp_path: Path, name: str) -> None:
    make_results(tmp_path)
    (tmp_path / "tables" / name).unlink()
    (said,) = tidy_results(tmp_path, SHARDS)
    assert name in said
    assert "tables/reconciliation.json" not in files(tmp_path)


def test_without_snakemakes_records_nothing_counts_as_up_to_date(tmp_path: Path) -> None:
    """It would not notice that the settings have changed since."""
    before = files(make_results(tmp_path))
    shutil.rmtree(tmp_path / ".snakemake")
    (said,) = tidy_results(tmp_path, SHARDS)
    assert "will be made again" in said
    gone = {name for name in before - files(tmp_path) if not name.startswith(".snakemake")}
    assert gone == {*(f"convert/{shard}.parquet" for shard in SHARDS), "tables/reconciliation.json"}
    assert tidy_results(tmp_path, SHARDS) == []


@pytest.mark.parametrize("name", [f"{one}/shard-00001.parquet" for one in ("convert", "scores")])
def test_a_damaged_file_of_a_shard_is_due_again(tmp_path: Path, name: str) -> None:
    before = files(make_results(tmp_path))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    assert tidy_results(tmp_path, SHARDS) == [f"{name} cannot be read: it will be written again"]
    assert before - files(tmp_path) == {name}


def test_a_damaged_table_makes_merge_due(tmp_path: Path) -> None:
    before = files(make_results(tmp_path))
    (tmp_path / "tables" / "runs.parquet").write_bytes(b"PAR1")
    (said,) = tidy_results(tmp_path, SHARDS)
    assert "runs.parquet" in said
    assert before - files(tmp_path) == {"tables/reconciliation.json"}


def test_leftovers_of_killed_jobs_are_removed(tmp_path: Path) -> None:
    before = files(make_results(tmp_path))
    (tmp_path / "zarr" / ".shard-00000.zarr.part-1f" / "a").mkdir(parents=True)
    (tmp_path / "scores" / ".shard-00000.parquet.part-2e").write_text("half")
    (tmp_path / ".tables.part-77").mkdir()
    (tmp_path / ".merge-x8").mkdir()
    (tmp_path / ".snakemake" / "locks").mkdir()
    (tmp_path / ".snakemake" / "locks" / "0.input.lock").write_text("x")
    assert tidy_results(tmp_path, SHARDS) == []
    assert files(tmp_path) == before


def test_what_the_user_adds_for_snakemake_comes_last(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("cores: all\n")
    command = snakemake_command(Path("S"), Path("c.yaml"), tmp_path, 3, ["--until", "score_shard"])
    assert command[-3:] == ["--rerun-incomplete", "--until", "score_shard"]
    assert command[command.index("--cores") + 1] == "3"
    assert any(part.startswith("mem_mb=") for part in command)


@pytest.mark.parametrize(
    ("profile", "extra"),
    [("executor: slurm\n", []), ("resources: [mem_mb=1]\n", []), ("", ["--resources", "mem_mb=1"])],
)
def test_memory_is_bounded_for_local_jobs_only(
    tmp_path: Path, profile: str, extra: list[str]
) -> None:
    (tmp_path / "config.yaml").write_text(profile)
    assert local_memory_mb(tmp_path, extra) is None
    (tmp_path / "config.yaml").write_text("")
    memory = local_memory_mb(tmp_path, [])
    assert memory is not None
    assert memory > 256


def test_profiles_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (find_profile(Path("profiles/slurm")) / "config.yaml").is_file()
    with pytest.raises(UserError, match=r"profiles/none: no config\.yaml there"):
        find_profile(Path("profiles/none"))
