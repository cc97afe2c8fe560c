"""Jobs that any launcher can send, devices, precision, and the plain launch."""

import json

import pytest
import torch
from training_workers import tiny_job

from mriqa.config.methods import TrainingSection
from mriqa.errors import FAILED, ConfigError, MriqaError
from mriqa.training.launch import Job, choose_device, choose_precision, finished, train_plainly


def test_a_job_survives_json():
    job = tiny_job(precision="bfloat16", learning_rate=0.1)
    assert Job.from_json(job.to_json()) == job
    assert json.loads(job.to_json())["settings"]["learning_rate"] == 0.1


def test_a_plain_run_hands_on_its_last_checkpoint(tmp_path):
    job = tiny_job()
    threads = torch.get_num_threads()
    done = train_plainly(job, tmp_path)
    assert done.step == 12
    assert done.watched["loss"] > 0
    assert set(done.weights) >= {"encoder.layers.0.weight", "head.2.bias"}
    assert torch.get_num_threads() == threads
    again = train_plainly(job, tmp_path)
    assert all(torch.equal(again.weights[name], value) for name, value in done.weights.items())


def test_a_run_that_has_not_ended_is_told(tmp_path):
    job = tiny_job()
    with pytest.raises(MriqaError, match="after 0 of 12 steps; run again") as caught:
        finished(job.settings, tmp_path)
    assert caught.value.exit_code == FAILED


def test_cuda_where_there_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="training.device is cuda, but"):
        choose_device(TrainingSection(device="cuda"))
    assert choose_device(TrainingSection()) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(TrainingSection()) == "cuda"
    assert choose_device(TrainingSection(device="cpu")) == "cpu"


@pytest.mark.parametrize(
    ("able", "chosen"),
    [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"),
     ({"avx512_f": True, "amx_bf16": False}, "float32"), ({}, "float32")],
)  # fmt: skip
def test_precision_follows_what_the_processor_can(monkeypatch, able, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision(TrainingSection(), "cpu") == chosen
    assert choose_precision(TrainingSection(precision="float32"), "cpu") == "float32"
    assert choose_precision(TrainingSection(precision="bfloat16"), "cpu") == "bfloat16"


@pytest.mark.parametrize(("capability", "chosen"), [((8, 0), "bfloat16"), ((7, 5), "float32")])
def test_precision_follows_what_the_gpu_can(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert choose_precision(TrainingSection(), "cuda") == chosen
