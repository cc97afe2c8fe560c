"""`mriqa train simclr`: from the pinned list to a model folder, the same again after a kill."""

import shutil

import numpy as np
import pytest
import torch
from simclr_cohort import Cohort, image, save

from mriqa.config import PretrainingSection, TrainingSection, section_json
from mriqa.embedding.network import open_network
from mriqa.errors import UserError
from mriqa.methods.simclr import train as simclr
from mriqa.training.checkpoints import path_of, steps_in
from mriqa.training.encoders import make_encoder
from mriqa.training.manifest import model_id, pin_path, pin_training, read_pinned
from mriqa.training.model_folder import read_model
from mriqa.training.pretraining import make_job

SECTION = PretrainingSection(view_px=32, batch=4, iterations=4, projection=8, warmup_share=0.25)
TRAINING = TrainingSection(device="cpu", precision="float32", checkpoint_every=2)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Six subjects, converted."""
    folder = tmp_path_factory.mktemp("train")
    rows = [
        {"subject": f"{n}", "contrast": "T1w", "path": save(folder / f"{n}.nii.gz", image(n))}
        for n in range(6)
    ]
    made = Cohort(folder, rows)
    made.measure()
    return made


def pinned_id(cohort, section=SECTION):
    pin_training(cohort.results, "simclr", section, retrain=False)
    pinned = read_pinned(pin_path(cohort.results, "simclr", section))
    return model_id("simclr", section_json(section), pinned, simclr.FORMAT_VERSION)


@pytest.fixture(scope="module")
def trained(cohort):
    """The folder of the model."""
    return simclr.train(cohort.results, pinned_id(cohort), SECTION, TRAINING)


def test_the_model_folder_holds_the_trained_encoder(cohort, trained):
    folder = read_model(trained)
    assert folder.model_id == trained.name == pinned_id(cohort)
    assert folder.config["pretraining"] == SECTION.model_dump(mode="json")
    assert folder.metrics["steps"] == 4
    assert np.isfinite(folder.metrics["loss"])
    assert folder.provenance["format_version"] == simclr.FORMAT_VERSION
    untrained = make_encoder("resnet18", seed=SECTION.seed).state_dict()
    assert folder.weights.keys() == untrained.keys()  # the projection head is not in it
    assert not torch.equal(folder.weights["conv1.weight"], untrained["conv1.weight"])
    embedded = open_network(trained, TRAINING).encode(image(0), 400.0)
    assert embedded.shape == (8, 960)


def test_killed_and_started_again_it_is_the_same_model(cohort, trained):
    run = cohort.results / "training" / "simclr" / trained.name
    checkpoints = run / "checkpoints"
    assert steps_in(checkpoints) == [4, 2]
    before = read_model(trained).weights
    path_of(checkpoints, 4).unlink()  # as if killed after the second step
    shutil.rmtree(trained)
    again = simclr.train(cohort.results, trained.name, SECTION, TRAINING)
    for name, weights in read_model(again).weights.items():
        assert torch.equal(weights, before[name]), name


def test_epochs_are_passes_over_all_slices(cohort):
    section = SECTION.model_copy(update={"iterations": None, "epochs": 3})
    pinned_id(cohort, section)
    pinned = read_pinned(pin_path(cohort.results, "simclr", section))
    job = make_job(cohort.results, "simclr-x", "simclr", pinned, section, TRAINING)
    assert job.settings.steps == 3 * len(pinned) * 8 // 4
    assert job.settings.warmup_steps == round(job.settings.steps / 4)
    assert type(job).from_json(job.to_json()) == job


def test_a_model_of_other_settings_is_refused(cohort, trained):
    other = SECTION.model_copy(update={"seed": 1})
    pinned_id(cohort, other)
    with pytest.raises(UserError, match=rf"model {trained.name}: the settings .* give simclr-"):
        simclr.train(cohort.results, trained.name, other, TRAINING)
    with pytest.raises(UserError, match="list of training series is missing"):
        simclr.train(cohort.results, "simclr-x", SECTION.model_copy(update={"seed": 2}), TRAINING)


def test_several_workers_need_ray(cohort):
    training = TRAINING.model_copy(update={"workers": 2})
    with pytest.raises(UserError, match=r"training\.workers is 2.*launcher to ray"):
        simclr.train(cohort.results, pinned_id(cohort), SECTION, training)
