"""HyS-Net's hyper-network beside an ordinary head on the same backbone, on one core.

A step of training and the judging of a batch, cubes of side 96. Ours and the plain network of the
same section alternate in one run.
"""

import os
from collections.abc import Callable

import torch
from bench_training import CPU, alternating, row

from mriqa.config.hysnet import HysnetNetSection
from mriqa.methods.hysnet.feed import Batch
from mriqa.methods.hysnet.learning import HysnetTask
from mriqa.methods.hysnet.net import make_net
from mriqa.methods.hysnet.patches import Cubes
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.target import TargetScale
from mriqa.training.allocator import keep_freed_memory
from mriqa.training.loop import Gradient, LoopSettings, backward, place
from mriqa.training.rates import parameter_groups
from mriqa.training.world import World

SIDE = 96
CUBES = 4
TURNS = 9
HYPER_RATE = 10.0


def section(hyper: bool) -> HysnetNetSection:
    """The paper's ResNet18 in three dimensions."""
    return HysnetNetSection(hyper=hyper)


def stepper(hyper: bool, precision: str) -> Callable[[], None]:
    """A whole step of the training loop: forward, backward, Adam."""
    generator = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.rand(CUBES, 1, SIDE, SIDE, SIDE, generator=generator),
        torch.randn(CUBES, generator=generator),
    )
    task = HysnetTask(make_net(section(hyper), 0), lambda *_: iter(lambda: batch, None), HYPER_RATE)
    module = place(task.module, CPU, precision).train()
    settings = LoopSettings("bench", "bench", 10_000, CUBES, 1, 1e-4, 0.0, 0, 0, 1, precision)
    optimizer = torch.optim.Adam(parameter_groups(task, module), fused=True)
    gradient = Gradient(module, World())
    batches = task.batches(0, 10_000, World())

    def step() -> None:
        gradient.clear()
        backward(task, module, batches, settings, World(), CPU)
        gradient.average()
        optimizer.step()

    return step


def judge(hyper: bool, precision: str) -> Callable[[], None]:
    """A batch of cubes as prediction judges it."""
    images = torch.rand(CUBES, 1, SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    cubes = Cubes((SIDE,) * 3, (SIDE // 2,) * 3)
    made = Predictor.of(
        make_net(section(hyper), 0), cubes, TargetScale(0.0, 1.0), 1.0, "cpu", precision
    )

    @torch.inference_mode()
    def work() -> None:
        with torch.autocast("cpu", torch.bfloat16, precision == "bfloat16"):
            made.module(images)

    return work


def run() -> list[dict]:
    """Both, in both precisions, on one core."""
    keep_freed_memory()  # as the feed does
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(cores)})
    rows = []
    try:
        for precision, turns in (("bfloat16", TURNS), ("float32", TURNS // 2)):
            note = f"ResNet18, {CUBES} cubes of {SIDE}³, {precision}; peer the plain head"
            for name, make in (("step", stepper), ("judge", judge)):
                times = alternating(make(True, precision), make(False, precision), turns)
                rows.append(row(f"hysnet_{name}_{precision}", times, "≥0.9", note))
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
    return rows
