"""SimCLR through the Snakefile: what trains, builds and rates again, and what does not.

Every test really runs Snakemake, training included.
"""

import hashlib
import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_interruptions import kill_everything, token_of, wait_for
from tiny_cohort import (
    CONFIG,
    LOCAL,
    SIMCLR,
    Cohort,
    changed,
    stages,
    write_participants,
    write_subject,
)

from mriqa.run.lock import run_processes

pytestmark = pytest.mark.timeout(1800)

TRAINING = ("training/**/*", "models/*/*/*")
BANK = ("models/*/*/bank/*", "references/*")
METRICS = ("convert/*", "zarr/**/*", "scores/*")
RATED = ("scores/simclr/*",)


def weights(cohort: Cohort) -> dict[str, str]:
    """sha256 of the weights of every model, by id."""
    return {
        path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in cohort.results.glob("models/simclr/*/weights.safetensors")
    }


def model_id(cohort: Cohort) -> str:
    (name,) = weights(cohort)
    return name


def bank_series(cohort: Cohort) -> set[str]:
    (path,) = cohort.results.glob("models/simclr/*/bank/bank.json")
    strata = json.loads(path.read_text())["strata"]
    return {one["series_id"] for stratum in strata for one in stratum["references"]}


def differing(one: dict[str, pa.Table], other: dict[str, pa.Table]) -> set[str]:
    """Columns of the tables that are not equal."""
    return {
        f"{name}.{column}"
        for name, table in one.items()
        for column in table.column_names
        if not table[column].equals(other[name][column])
    }


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Cohort]:
    """Five subjects in one shard, before their first run."""
    bids = tmp_path / "bids"
    for number in range(5):
        write_subject(bids, number, noise=8.0 + number)
    write_participants(bids, dict.fromkeys(range(5), 40))
    (bids / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0"}')
    (tmp_path / "withdrawn.txt").write_text("")
    settings = CONFIG.replace("shard_series: 3", "shard_series: 9")
    (tmp_path / "config.yaml").write_text(settings + SIMCLR)
    cohort = Cohort(tmp_path)
    yield cohort
    cohort.stop()


def test_from_files_to_ratings_and_a_second_run_does_nothing(small: Cohort) -> None:
    """Through plain `snakemake`, which indexes, pins, trains, proposes, builds and rates."""
    small.snakemake("--profile", LOCAL)
    volumes = small.tables()["volumes"].to_pylist()
    assert len(volumes) == 5
    assert all(-2 <= row["simclr_margin"] <= 2 for row in volumes)
    assert {row["rating_source"] for row in volumes} == {"simclr"}
    assert {row["model_id"] for row in volumes} == {model_id(small)}
    log = small.results / "logs" / "train" / "simclr" / f"{model_id(small)}.log"
    assert "training: 4/4 steps (100%)" in log.read_text()
    before = small.mtimes()
    assert "nothing to do" in small.run()
    assert changed(before, small.mtimes()) == set()


def test_nobody_to_learn_from_stops_before_any_work(small: Cohort) -> None:
    small.edit_config("withdrawn:", "split: {train: 0, validation: 0, test: 1}\n  withdrawn:")
    output = small.run(status=2)
    assert "simclr.pretraining: no series to learn from" in output
    assert "5 test" in output
    assert not (small.results / "convert").exists()


def test_a_missing_list_of_trusted_scans_stops_before_any_work(small: Cohort) -> None:
    small.edit_config("reference: {", "reference: {trusted: gone.tsv, ")
    assert "simclr.reference.trusted: gone.tsv: no such file" in small.run(status=2)
    assert not small.results.exists()


def test_a_missing_model_of_another_cohort_stops_before_any_work(small: Cohort) -> None:
    small.edit_config("pretraining: {", "pretrained: gone\n  pretraining: {")
    assert "simclr.pretrained: gone is no folder of a trained model" in small.run(status=2)
    assert not small.results.exists()


@pytest.mark.slow
def test_another_cohorts_model_rates_without_training(rated: Cohort) -> None:
    """A model that this cohort would never train; first `mriqa run`, then plain `snakemake`."""
    other = rated.folder / "other"
    shutil.copytree(rated.results / "models" / "simclr" / model_id(rated), other)
    old = weights(rated)
    before = rated.mtimes(*METRICS, "training/**/*")
    rated.edit_config("iterations: 4", "iterations: 9")
    rated.edit_config("pretraining: {", f"pretrained: {other}\n  pretraining: {{")
    output = rated.run()
    assert stages(output) == {"reference", "rate", "merge", "report"}
    assert changed(before, rated.mtimes(*METRICS, "training/**/*")) == set()
    (new,) = weights(rated).keys() - old.keys()
    assert weights(rated)[new] == old[next(iter(old))]
    volumes = rated.tables()["volumes"].to_pylist()
    assert {row["model_id"] for row in volumes} == {new}
    assert all(row["simclr_margin"] is not None for row in volumes)
    page = (rated.results / "report" / "index.html").read_text()
    assert f"another cohort, where it is {next(iter(old))}" in page
    assert "nothing to do" in rated.run()
    shutil.rmtree(rated.results)
    rated.snakemake("--profile", LOCAL)
    assert list(weights(rated)) == [new]
    assert {row["model_id"] for row in rated.tables()["volumes"].to_pylist()} == {new}


@pytest.mark.slow
def test_how_training_runs_reruns_nothing(rated: Cohort) -> None:
    before = rated.mtimes()
    rated.edit_config(
        "checkpoint_every: 2", "checkpoint_every: 3, workers: 2, launcher: ray, threads: 2"
    )
    assert "nothing to do" in rated.run()
    assert changed(before, rated.mtimes()) == set()


@pytest.mark.slow
def test_growth_rates_the_new_shards_only_and_never_trains(rated: Cohort) -> None:
    before = rated.mtimes(*METRICS, *TRAINING, *BANK, *RATED)
    for number in (8, 9):
        write_subject(rated.folder / "bids", number)
    output = rated.run()
    assert stages(output) == {"convert", "score", "rate", "merge", "report"}
    assert "rate: 2 series in 1 shard" in output
    after = rated.mtimes(*METRICS, *TRAINING, *BANK, *RATED)
    assert {name: after[name] for name in before} == before
    assert "scores/simclr/shard-00003.parquet" in after
    assert all(row["simclr_margin"] is not None for row in rated.tables()["volumes"].to_pylist())


@pytest.mark.slow
def test_a_replaced_file_reruns_its_shard_only(rated: Cohort) -> None:
    """Of a subject that was trained on, or not: no model and no bank knows the difference."""
    subject = next(
        number for number in range(8) if f"tiny_sub-{number:02d}_T1w" not in bank_series(rated)
    )
    before = rated.mtimes(*TRAINING, *BANK, *RATED)
    write_subject(rated.folder / "bids", subject, noise=30.0, seed=1)
    assert stages(rated.run()) == {"convert", "score", "rate", "merge", "report"}
    assert len(changed(before, rated.mtimes(*TRAINING, *BANK, *RATED))) == 1


@pytest.mark.slow
def test_another_pretraining_trains_builds_and_rates_and_nothing_else(rated: Cohort) -> None:
    before, kept = rated.mtimes(*METRICS), rated.mtimes(*TRAINING, *BANK)
    old = weights(rated)
    rated.edit_config("iterations: 4", "iterations: 5")
    planned = rated.snakemake("--profile", LOCAL, "--dry-run")
    assert "index_cohort" in planned, "plain snakemake pins first"
    assert stages(rated.run()) == {"train", "reference", "rate", "merge", "report"}
    assert changed(before, rated.mtimes(*METRICS)) == set()
    after = rated.mtimes(*TRAINING, *BANK)
    assert {name: after[name] for name in kept} == kept, "the old model stays"
    (new,) = weights(rated).keys() - old.keys()
    assert {row["model_id"] for row in rated.tables()["volumes"].to_pylist()} == {new}
    rated.edit_config("iterations: 5", "iterations: 4")
    assert stages(rated.run()) == {"rate", "merge", "report"}, "and is used again"


@pytest.mark.slow
def test_another_reference_section_and_an_edited_list_train_nothing(rated: Cohort) -> None:
    again = {"reference", "rate", "merge", "report"}
    before = rated.mtimes(*METRICS, *TRAINING, "references/*")
    rated.edit_config("copies: 2", "copies: 3")
    assert stages(rated.run()) == again
    assert changed(before, rated.mtimes(*METRICS, *TRAINING, "references/*")) == set()
    listed = rated.results / "references" / "simclr.tsv"
    *kept, last = listed.read_text().splitlines()
    edited = "\n".join([*kept, last.removesuffix("n/a") + "no"]) + "\n"
    listed.write_text(edited)
    assert stages(rated.run()) == again
    assert last.split("\t")[0] not in bank_series(rated)
    assert listed.read_text() == edited, "what a person wrote stays"
    assert changed(before, rated.mtimes(*METRICS, *TRAINING, "references/*")) == {
        "references/simclr.tsv"
    }


@pytest.mark.slow
def test_who_withdrew_is_in_no_table_bank_or_cache(rated: Cohort) -> None:
    gone = sorted(bank_series(rated))[0]
    subject = gone.removeprefix("tiny_sub-").removesuffix("_T1w")
    old = rated.mtimes(*TRAINING)
    (rated.folder / "withdrawn.txt").write_text(f"{subject}\n")
    output = rated.run()
    assert "7 rated, 0 failed, 1 excluded" in output
    assert "train" not in stages(output)
    assert changed(old, rated.mtimes(*TRAINING)) == set()
    assert gone not in bank_series(rated)
    rows = {row["series_id"]: row for row in rated.tables()["volumes"].to_pylist()}
    assert rows[gone]["simclr_margin"] is None
    files = [path for path in rated.results.rglob("*.safetensors") if path.is_file()]
    assert len(files) >= 5
    assert not [path for path in files if gone.encode() in path.read_bytes()]
    nearest = {row["simclr_nearest_hq"] for row in rows.values()}
    assert not [one for one in nearest if one and one.startswith(gone)]


@pytest.mark.slow
def test_what_was_deleted_or_damaged_is_made_again(rated: Cohort) -> None:
    before, tables = weights(rated), rated.tables()
    model = rated.results / "models" / "simclr" / model_id(rated)
    (model / "weights.safetensors").write_bytes(b"damaged")
    (rated.results / "scores" / "simclr" / "shard-00001.parquet").write_bytes(b"PAR1")
    output = rated.run()
    assert "weights.safetensors is not the file that was written" in output
    assert "scores/simclr/shard-00001.parquet cannot be read" in output
    assert {"train", "reference"} <= stages(output)
    aside = model.with_name(f"{model.name}.damaged")
    assert (aside / "weights.safetensors").read_bytes() == b"damaged"
    shutil.rmtree(aside)
    assert weights(rated) == before
    assert differing(rated.tables(), tables) == set()
    shutil.rmtree(model / "bank")
    assert stages(rated.run()) == {"reference", "rate", "merge", "report"}
    shutil.rmtree(model)
    shutil.rmtree(rated.results / "training" / "simclr")
    assert "train" in stages(rated.run())
    assert weights(rated) == before, "trained from the first step, it is the same model"


def run_folders(cohort: Cohort) -> set[Path]:
    return set((cohort.results / "training" / "simclr").glob("simclr-*"))


@pytest.mark.slow
def test_killed_in_training_it_goes_on_at_its_checkpoint(rated: Cohort) -> None:
    old = run_folders(rated)
    rated.edit_config("iterations: 4", "iterations: 40")
    until = ("--", "--until", "train_method")
    process = rated.start(*until)
    wait_for(lambda: has_checkpoint(run_folders(rated) - old), process)
    kill_everything(process, token_of(rated))
    (run_folder,) = run_folders(rated) - old
    reached = max(int(path.stem[5:]) for path in run_folder.glob("checkpoints/step-*.pt"))
    assert 2 <= reached < 40
    assert run_folder.name not in weights(rated)
    assert "was killed; going on where it was" in rated.run(*until)
    finished = weights(rated)[run_folder.name]
    job = rated.results / "logs" / "train" / "simclr" / f"{run_folder.name}.log"
    going_on = re.search(r"training goes on from .*step-(\d+)\.pt", job.read_text())
    assert going_on
    assert int(going_on[1]) == reached
    shutil.rmtree(run_folder)
    shutil.rmtree(rated.results / "models" / "simclr" / run_folder.name)
    rated.run(*until)
    assert weights(rated)[run_folder.name] == finished, "as if nobody had killed it"


def has_checkpoint(folders: set[Path]) -> bool:
    return any(path for folder in folders for path in folder.glob("checkpoints/step-*.pt"))


@pytest.mark.slow
def test_a_stopped_training_leaves_no_process_and_no_model(rated: Cohort) -> None:
    old, before = run_folders(rated), weights(rated)
    rated.edit_config("iterations: 4", "iterations: 400")
    process = rated.start()
    wait_for(lambda: has_checkpoint(run_folders(rated) - old), process)
    token = token_of(rated)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert "stopped by SIGTERM" in output
    assert run_processes(token) == []
    assert weights(rated) == before


@pytest.mark.slow
def test_retrain_learns_from_the_cohort_as_it_is(rated: Cohort) -> None:
    before = weights(rated)
    rated.edit_config("checkpoint_every: 2", "checkpoint_every: 2, retrain: true")
    assert "nothing to do" in rated.run(), "it has not changed"
    for number in range(8, 12):
        write_subject(rated.folder / "bids", number)
    output = rated.run()
    assert "series to learn from" in output
    assert "pinned now" in output
    assert "train" in stages(output)
    assert weights(rated).keys() > before.keys()
    assert "nothing to do" in rated.run()


@pytest.mark.slow
def test_switched_off_only_the_tables_are_written_again(rated: Cohort) -> None:
    before, tables = rated.mtimes(*METRICS, *TRAINING, *BANK, *RATED), rated.tables()
    rated.edit_config("methods: [simclr]", "methods: []")
    assert stages(rated.run()) == {"merge", "report"}
    assert set(rated.tables()["volumes"]["simclr_margin"].to_pylist()) == {None}
    rated.edit_config("methods: []", "methods: [simclr]")
    assert stages(rated.run()) == {"merge", "report"}
    assert rated.tables() == tables
    assert changed(before, rated.mtimes(*METRICS, *TRAINING, *BANK, *RATED)) == set()


@pytest.mark.slow
def test_a_corrected_height_rates_its_shard_again(rated: Cohort) -> None:
    subject = next(
        number for number in range(8) if f"tiny_sub-{number:02d}_T1w" not in bank_series(rated)
    )
    (shard,) = [
        path.stem
        for path in (rated.results / "shards").glob("shard-*")
        if f"{subject:02d}" in pq.ParquetFile(path).read(columns=["subject"])["subject"].to_pylist()
    ]
    before = rated.mtimes(*METRICS, *TRAINING, *BANK, *RATED)
    table = rated.folder / "bids" / "participants.tsv"
    rows = table.read_text().splitlines()
    listed = [f"{row}\t{'171' if f'sub-{subject:02d}' in row else 'n/a'}" for row in rows[1:]]
    table.write_text("\n".join([f"{rows[0]}\theight_cm", *listed]) + "\n")
    assert stages(rated.run()) == {"rate", "merge", "report"}
    after = rated.mtimes(*METRICS, *TRAINING, *BANK, *RATED)
    assert changed(before, after) == {f"scores/simclr/{shard}.parquet"}
