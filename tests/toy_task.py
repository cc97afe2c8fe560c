"""A task of a few parameters, as quick to train as a launcher can be tested with."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mriqa.errors import UserError
from mriqa.training.launch import Job, Worker
from mriqa.training.loop import LoopSettings
from mriqa.training.world import World

BATCH = 8


class Regression:
    """Learns a fixed plane from noisy points; `pause_s` a step, so that there is time to kill."""

    def __init__(self, pause_s: float) -> None:
        torch.manual_seed(3)
        self.module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
        self._pause_s = pause_s

    def batches(self, first: int, count: int, world: World) -> Iterator[Any]:
        share = BATCH // world.size
        rows = slice(world.rank * share, (world.rank + 1) * share)
        for number in range(first, first + count):
            draw = torch.Generator().manual_seed(number)
            x = torch.randn(BATCH, 6, generator=draw)
            y = x.sum(1, keepdim=True) + 0.1 * torch.randn(BATCH, 1, generator=draw)
            time.sleep(self._pause_s)
            yield x[rows], y[rows]

    def loss(self, module: nn.Module, batch: Any, world: World) -> tuple[Tensor, dict[str, Tensor]]:
        x, y = batch
        return (module(x) - y).square().mean(), {}


def make(arguments: dict[str, Any], worker: Worker) -> Regression:
    if arguments.get("refuse") == worker.world.rank:
        raise UserError("toy.refuse: this rank refuses; take another one")
    if arguments.get("bug") == worker.world.rank:
        raise ZeroDivisionError("a bug of the task")
    return Regression(arguments.get("pause_s", 0.0))


def toy_job(steps: int = 40, **arguments: Any) -> Job:
    settings = LoopSettings(
        "toy", "toy", steps, BATCH, 1, 1e-2, 0.0, 4, 5, checkpoint_every=5, precision="float32"
    )
    return Job("toy_task:make", arguments, settings, "cpu", 1)
