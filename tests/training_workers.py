"""Several gloo processes on one machine, and small tasks, for the tests of training."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mriqa.training.contrastive import ContrastiveNet, ContrastiveTask, make_contrastive_net
from mriqa.training.launch import Job, Worker
from mriqa.training.loop import LoopSettings
from mriqa.training.normalisation import globalise
from mriqa.training.world import World

FORKS = multiprocessing.get_context("forkserver")
# Imported once, not in every process. Python 3.11 finds here what needs no path of pytest's.
FORKS.set_forkserver_preload(["mriqa.training.launch", "torch._dynamo"])


def _enter(work: Callable, rank: int, size: int, folder: Path, arguments: tuple) -> None:
    """In a worker: join the others, work, leave the result in a file."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    if size > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size
        )
    torch.save(work(World.current(), *arguments), folder / f"result-{rank}.pt")
    World.current().barrier()  # who leaves early breaks the others' connections
    if size > 1:
        torch.distributed.destroy_process_group()


def with_workers(size: int, folder: Path, work: Callable, *arguments: Any) -> list[Any]:
    """`work(world, *arguments)` in `size` processes that can talk; results in order of ranks."""
    folder.mkdir(parents=True)
    processes = [
        FORKS.Process(target=_enter, args=(work, rank, size, folder, arguments))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * size
    return [torch.load(folder / f"result-{rank}.pt") for rank in range(size)]


class TinyEncoder(nn.Module):
    """Two convolutions with batch norm, then the mean: (n, 1, y, x) → (n, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = globalise(
            nn.Sequential(
                nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True),
                nn.Conv2d(6, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            )
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).mean((2, 3))


def random_pairs(seed: int, batch: int) -> Callable[[int, int, World], Iterator[Tensor]]:
    """A feed of noise with a pattern that both views of a slice share."""

    def source(first: int, count: int, world: World) -> Iterator[Tensor]:
        share = batch // world.size
        for number in range(first, first + count):
            rng = np.random.default_rng([seed, number])
            own = rng.normal(size=(batch, 1, 1, 12, 12)) + 0.5 * rng.normal(
                size=(batch, 2, 1, 12, 12)
            )
            part = own[world.rank * share : (world.rank + 1) * share]
            yield torch.from_numpy(part.astype(np.float32))

    return source


def tiny_net(seed: int = 0) -> ContrastiveNet:
    """An encoder of two layers with its head; the same weights for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = TinyEncoder()
    return make_contrastive_net(encoder, 8, 8, seed)


def make_tiny_task(arguments: dict[str, Any], worker: Worker) -> ContrastiveTask:
    """A factory as a method has one: the task of a job's arguments."""
    source = random_pairs(arguments["seed"], arguments["batch"])
    return ContrastiveTask(tiny_net(arguments["seed"]), source, temperature=0.2)


def tiny_settings(**changes: Any) -> LoopSettings:
    """Settings of a run of seconds."""
    values: dict[str, Any] = {
        "model_id": "simclr-000000000000", "section": "simclr.pretraining", "steps": 12,
        "batch": 12, "accumulate": 1, "learning_rate": 1e-2, "weight_decay": 1e-6,
        "warmup_steps": 2, "seed": 0, "checkpoint_every": 4, "precision": "float32",
    }  # fmt: skip
    return LoopSettings(**{**values, **changes})


def tiny_job(**changes: Any) -> Job:
    """A job of `tiny_settings` that a subprocess can be given as JSON."""
    settings = tiny_settings(**changes)
    arguments = {"seed": settings.seed, "batch": settings.batch}
    return Job("training_workers:make_tiny_task", arguments, settings, "cpu", 1)
