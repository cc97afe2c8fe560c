"""HyS-Net from scores to tables: trained, killed and gone on, scored, published."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from hysnet_cohort import LEARNING, TRAINING, write_measured
from simclr_cohort import RATING

from mriqa.config import HysnetTargetSection
from mriqa.errors import UserError
from mriqa.images.array_names import store_array_name
from mriqa.methods.hysnet import train as training_module
from mriqa.rating.publish import publish_tables
from mriqa.training.imported import import_model
from mriqa.training.model_folder import read_model


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return write_measured(tmp_path_factory.mktemp("hysnet"))


@pytest.fixture(scope="module")
def model(measured):
    return measured.train()


@pytest.fixture(scope="module")
def published(measured, model):
    measured.rate(model)
    publish_tables(measured.results, RATING, methods=("hysnet",))
    return measured.results / "tables"


def volumes_of(published):
    return pq.read_table(published / "volumes.parquet").to_pylist()


def test_the_model_says_what_it_was_made_of(measured, model):
    folder = read_model(model)
    assert folder.model_id == measured.identity()
    config, numbers = folder.config, folder.metrics
    assert (config["method"], config["target"]) == ("hysnet", "body_snr_tissue")
    assert config["contrasts"] == ["T1w"]
    assert config["from_table"] is False
    assert config["scale"]["sd"] > 0
    assert config["parts"] == {"sides": [16, 32, 32], "steps": [8, 16, 16]}
    rows = pq.read_table(measured.results / "cohort.parquet").to_pylist()
    splits = [row["split"] for row in rows if row["contrast"] == "T1w" and not row["error_code"]]
    assert numbers["n_volumes"] >= splits.count("train")
    for split in ("validation", "test"):
        assert numbers[f"{split}_n"] > 0
        for name in ("srocc", "plcc"):
            assert numbers[f"{split}_{name}"] is None or -1 <= numbers[f"{split}_{name}"] <= 1
    assert {path.suffix for path in model.iterdir()} == {".safetensors", ".json"}


def test_predictions_stand_in_the_tables_and_rate_nothing(measured, model, published):
    rows = volumes_of(published)
    said = [row for row in rows if row["contrast"] == "T1w" and row["status"] == "ok"]
    assert len(said) > 20
    for row in said:
        assert row["hysnet_target"] == "body_snr_tissue"
        assert row["hysnet_prediction"] is not None
        assert row["hysnet_spread"] >= 0
        assert row["hysnet_n_patches"] == 4
        assert row["hysnet_snr_total"] is None, "that is another target"
        assert row["rating_source"] in ("metrics", None)
    assert {row["rating_source"] for row in said} == {"metrics"}
    assert {row["model_id"] for row in rows} == {None}
    (run,) = pq.read_table(published / "runs.parquet").to_pylist()
    assert json.loads(run["methods"]) == {"hysnet": model.name}
    subjects = pq.read_table(published / "subjects.parquet").to_pylist()
    medians = {row["subject"]: row["hysnet_prediction_median"] for row in subjects}
    own = [row["hysnet_prediction"] for row in rows if row["subject"] == "000"]
    assert medians["000"] == own[0]
    assert medians["lone"] is None
    slices = pq.read_table(published / "slices")
    assert not [name for name in slices.column_names if name.startswith("hysnet")]


def test_what_it_does_not_know_has_no_prediction_but_a_reason(measured, published):
    (lone,) = [row for row in volumes_of(published) if row["contrast"] == "T2w"]
    assert (lone["hysnet_prediction"], lone["hysnet_target"]) == (None, None)
    row = measured.said()[lone["series_id"], 0]
    assert row["problem"] == "contrast not learned: those are T1w"
    assert len([one for one in measured.said().values() if one["problem"]]) == 1


def test_other_strata_are_no_reason_to_predict_again(measured, published):
    """What is predicted of a volume depends on no other."""
    other = RATING.model_copy(update={"stratum": ("contrast", "protocol")})
    publish_tables(measured.results, other, methods=("hysnet",))
    assert any(row["hysnet_prediction"] for row in volumes_of(published))


def test_a_damaged_volume_does_not_stop_the_shard(measured, model, published, capsys):
    before = {key: row["hysnet_prediction"] for key, row in measured.said().items()}
    (damaged,) = {series for series, _ in before if "sub-003" in series}
    (array,) = measured.results.glob(f"zarr/*/{store_array_name(damaged)}")
    kept = array.with_name("kept")
    shutil.copytree(array, kept)
    try:
        for path in array.rglob("*"):
            if path.is_file() and path.name != "zarr.json":
                path.write_bytes(b"\0" * path.stat().st_size)
        measured.rate(model)
        said = measured.said()
    finally:
        shutil.rmtree(array)
        kept.rename(array)
    row = said.pop((damaged, 0))
    assert row["hysnet_prediction"] is None
    assert row["problem"]
    assert f"{damaged} 0: not rated by hysnet" in capsys.readouterr().err
    assert {key: one["hysnet_prediction"] for key, one in said.items()} == {
        key: value for key, value in before.items() if key != (damaged, 0)
    }
    measured.rate(model)


def test_a_job_with_too_little_memory_says_what_to_raise(measured, model):
    measured.rate(model, mem_mb=0)
    problems = {row["problem"] for row in measured.said().values() if row["problem"]}
    assert any("raise resources.rate_mem_mb" in one for one in problems)
    measured.rate(model)


def test_killed_and_started_again_it_is_the_same_model(measured, model):
    before = read_model(model)
    checkpoints = measured.results / "training" / "hysnet" / model.name / "checkpoints"
    newest = max(checkpoints.iterdir(), key=lambda path: path.name)
    shutil.rmtree(newest) if newest.is_dir() else newest.unlink()
    shutil.rmtree(model)
    again = read_model(measured.train())
    for name, weights in again.weights.items():
        assert torch.equal(weights, before.weights[name]), name
    assert again.metrics == before.metrics


def test_a_table_of_ones_own_is_learned_and_names_the_model(measured, model, tmp_path):
    rows = pq.read_table(measured.results / "cohort.parquet").to_pylist()
    table = tmp_path / "group.tsv"
    names = [row["series_id"] for row in rows if row["contrast"] == "T1w"]

    def write(first=1.5):
        lines = [f"{name}\t{first if place == 0 else place}" for place, name in enumerate(names)]
        table.write_text("\n".join(["series_id\tsnr_total", *lines]) + "\n")

    write()
    target = HysnetTargetSection(column="snr_total", table=table)
    section = LEARNING.model_copy(update={"target": target, "epochs": 0.5})
    made = measured.train(section)
    assert made.name != model.name
    assert read_model(made).config["from_table"] is True
    measured.rate(made)
    for row in measured.said().values():
        assert row["hysnet_snr_total"] == row["hysnet_prediction"]
    before = measured.identity(section)
    moved = table.rename(tmp_path / "moved.tsv")
    target = target.model_copy(update={"table": moved})
    section = section.model_copy(update={"target": target})
    assert measured.identity(section) == before
    text = moved.read_text()
    moved.write_text(text + "t_sub-new_T1w\t7\n")
    assert measured.identity(section) == before, "new scans retrain nothing"
    moved.write_text(text.replace("\t3\n", "\t3.5\n").replace("\t4\n", "\t4.5\n"))
    assert measured.identity(section) != before
    shutil.rmtree(made)
    measured.rate(model)


def test_another_cohorts_model_predicts_here(measured, model, tmp_path):
    elsewhere = shutil.copytree(model, tmp_path / "other" / model.name)
    taken = import_model("hysnet", elsewhere, measured.results)
    made = measured.results / "models" / "hysnet" / taken.model_id
    assert made != model
    before = {key: row["hysnet_prediction"] for key, row in measured.said().items()}
    measured.rate(made)
    assert {key: row["hysnet_prediction"] for key, row in measured.said().items()} == before
    shutil.rmtree(made)
    measured.rate(model)


def test_another_id_than_that_of_the_settings_is_refused(measured, model):
    with pytest.raises(UserError, match=f"give {model.name}"):
        training_module.train(measured.results, "hysnet-0123456789ab", LEARNING, TRAINING)


@pytest.mark.slow
def test_two_workers_under_ray_make_the_model_of_one(measured, model):
    """A folder that predicts, and the same numbers but for the order of sums."""
    section = LEARNING.model_copy(update={"seed": 1, "learning_rate": 1e-4})
    run_folder = measured.results / "training" / "hysnet" / measured.identity(section)
    two = TRAINING.model_copy(update={"workers": 2, "launcher": "ray"})
    made = measured.train(section, two)
    found = read_model(made)
    assert made.name == run_folder.name
    measured.rate(made)
    said = {key: row["hysnet_prediction"] for key, row in measured.said().items()}
    assert (run_folder / "ray").is_dir()
    for folder in (made, run_folder):
        shutil.rmtree(folder)
    alone = read_model(measured.train(section))
    assert alone.config == found.config
    for name, weights in alone.weights.items():
        torch.testing.assert_close(found.weights[name], weights, rtol=1e-3, atol=5e-4)
    for split in ("validation", "test"):
        assert found.metrics[f"{split}_n"] == alone.metrics[f"{split}_n"] > 0
    measured.rate(made)
    spread = alone.config["scale"]["sd"]
    for key, row in measured.said().items():
        assert said[key] == pytest.approx(row["hysnet_prediction"], abs=0.02 * spread)
    assert sum(value is not None for value in said.values()) > 20
    shutil.rmtree(made)
    measured.rate(model)


def test_slices_are_learned_too(measured, model):
    net = LEARNING.net.model_copy(update={"dimensions": 2})
    patches = LEARNING.patches.model_copy(update={"slice_px": 40})
    section = LEARNING.model_copy(update={"net": net, "patches": patches, "epochs": 0.5})
    made = measured.train(section)
    measured.rate(made)
    assert {row["hysnet_n_patches"] for row in measured.said().values()} == {8, None}
    shutil.rmtree(made)
    measured.rate(model)
