"""Starting a training run: what one worker does, and the launch without Ray.

A `Job` says everything that a worker needs, in plain JSON, so that any launcher can send it to any
node. `run_worker` is what each worker does, whoever launched it; `train_plainly` is one worker.
"""

import importlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mriqa.config.methods import TrainingSection
from mriqa.errors import ConfigError, MriqaError
from mriqa.training.checkpoints import Checkpoint, newest
from mriqa.training.journal import print_line
from mriqa.training.loop import CHECKPOINTS, LoopSettings, Report, Task, TrainedState, train
from mriqa.training.world import World


@dataclass(frozen=True)
class Worker:
    """Where a worker works: who is beside it, the run's folder, its device."""

    world: World
    run_folder: Path
    device: torch.device


@dataclass(frozen=True)
class Job:
    """A training run. `factory` is `package.module:function` of (arguments, Worker) → Task.

    A factory may train itself, before, what its task rests on (rounds of self-training), in folders
    of its own below the run's: then it must be able to go on from what is there.
    """

    factory: str
    arguments: dict[str, Any]
    settings: LoopSettings
    device: str  # "cpu" or "cuda"
    threads: int

    def to_json(self) -> str:
        """The job as JSON; `Job.from_json` gives it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The job that `to_json` wrote."""
        content = json.loads(text)
        return cls(**{**content, "settings": LoopSettings(**content["settings"])})

    def make_task(self, worker: Worker) -> Task:
        """The task, made by the factory in this process."""
        module, _, function = self.factory.partition(":")
        make = getattr(importlib.import_module(module), function)
        task: Task = make(self.arguments, worker)
        return task


def choose_device(section: TrainingSection) -> str:
    """`cpu` or `cuda` for `training.device`.

    Raises:
        ConfigError: cuda is asked for and there is none.
    """
    there = torch.cuda.is_available()
    if section.device == "cuda" and not there:
        raise ConfigError(
            "training.device is cuda, but torch sees no CUDA device here; set it to auto or cpu, "
            "or check the driver and that torch was installed with CUDA"
        )
    return "cuda" if there and section.device != "cpu" else "cpu"


def choose_precision(section: TrainingSection, device: str) -> str:
    """`float32` or `bfloat16` for `training.precision`; auto: bfloat16 where it is faster."""
    if section.precision != "auto":
        return section.precision
    if device == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_worker(job: Job, world: World, run_folder: Path, report: Report) -> TrainedState:
    """What each worker does, once torch.distributed (if `world` has several) is initialised."""
    device = torch.device(job.device)
    if job.device == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    with _threads(job.threads):
        task = job.make_task(Worker(world, run_folder, device))
        return train(task, job.settings, run_folder, world=world, device=device, report=report)


def train_plainly(job: Job, run_folder: Path) -> Checkpoint:
    """Train with one worker, in this process; the last checkpoint (see `finished`)."""
    run_worker(job, World(), run_folder, lambda _step, _values: None)
    return finished(job.settings, run_folder)


def launch(job: Job, run_folder: Path, section: TrainingSection) -> Checkpoint:
    """Train as `training.launcher` says; the last checkpoint.

    Raises:
        ConfigError: The plain launcher is asked for several workers.
    """
    if section.launcher == "ray":
        from mriqa.training.launch_ray import train_with_ray

        return train_with_ray(job, section, run_folder)
    if section.workers > 1:
        raise ConfigError(
            f"training.workers is {section.workers}, which launcher plain has not; set "
            "training.launcher to ray, or training.workers to 1"
        )
    return train_plainly(job, run_folder)


def finished(settings: LoopSettings, run_folder: Path) -> Checkpoint:
    """The checkpoint after the last step, which every launcher hands on.

    Raises:
        MriqaError: Training has not ended.
    """
    found = newest(run_folder / CHECKPOINTS, settings.identity(), print_line)
    if found is None or found.step != settings.steps:
        done = 0 if found is None else found.step
        raise MriqaError(
            f"{run_folder}: training ended after {done} of {settings.steps} steps; run again"
        )
    return found
