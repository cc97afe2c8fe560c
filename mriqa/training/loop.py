"""The training loop of every method: read `train` from top to bottom.

Killed at any moment and started again, it goes on from the newest complete checkpoint and ends
where the undisturbed run ends: bit for bit with one worker on a CPU in float32 with the same
number of threads; elsewhere as near as the device repeats its own sums (see docs). Data, learning
rate and random draws are functions of the seed and the step, so that nothing else need be stored.
"""

import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mriqa.errors import ConfigError, MriqaError
from mriqa.training.checkpoints import (
    KEPT,
    Checkpoint,
    Identity,
    load,
    newest,
    path_of,
    prune,
    save,
    steps_in,
)
from mriqa.training.journal import Journal, Pace, print_line
from mriqa.training.rates import parameter_groups, set_rate
from mriqa.training.world import World

CHECKPOINTS = "checkpoints"
"""Folder in the run folder."""
SMOOTHING = 0.98
"""Of the watched values that end in metrics.json: the weight of what was."""

Report = Callable[[int, Mapping[str, float]], None]
"""Called by every worker at each checkpoint and at the end: (steps done, watched values).

At least once, also where no step was left to do; after the checkpoint is on disk.
"""


class Task(Protocol):
    """What a method trains. Only `loss` sees the batches: they may be tensors, tuples or dicts.

    Its parameters learn at one rate, unless it is a `Rated` task (mriqa.training.rates).
    """

    module: nn.Module

    def batches(self, first: int, count: int, world: World) -> Iterator[Any]:
        """This worker's part of the batches number `first` … `first + count − 1`.

        A batch is a function of its number and the seed alone, whatever was read before.
        """
        ...

    def loss(self, module: nn.Module, batch: Any, world: World) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of `batch` (on the device), 0-d, and detached 0-d tensors to watch.

        What is minimised is the mean over workers of this (see mriqa.training.world): return the
        mean over the worker's own samples, or the global loss on every worker.
        """
        ...


@dataclass(frozen=True)
class LoopSettings:
    """What fixes the outcome of a run, and how it is run (from `checkpoint_every` on)."""

    model_id: str
    section: str  # of the configuration, for messages: "simclr.pretraining"
    steps: int
    batch: int  # samples of a batch, over all workers
    accumulate: int  # batches a step
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    seed: int
    checkpoint_every: int
    precision: str  # "float32" or "bfloat16" (autocast)
    halve_every: int = 0  # steps from one halving of the learning rate to the next; 0: a cosine

    def identity(self) -> Identity:
        """What a checkpoint must agree in."""
        names = ["model_id", "steps", "batch", "accumulate", "learning_rate", "weight_decay",
                 "warmup_steps", "seed"]  # fmt: skip
        if self.halve_every:  # a cosine leaves it out, as checkpoints did before there was another
            names.append("halve_every")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class TrainedState:
    """The trained module (on its device), the steps it took, and smoothed watched values."""

    module: nn.Module
    step: int
    watched: dict[str, float]
    resumed_from: int


def learning_rate(step: int, settings: LoopSettings) -> float:
    """Of step number `step` (from 0): linear warm-up, then a cosine to 0 (Loshchilov 2017), or
    halved after every `halve_every` steps, those of the warm-up counted."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.halve_every:
        return settings.learning_rate * 0.5 ** (step // settings.halve_every)
    share = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def train(
    task: Task,
    settings: LoopSettings,
    run_folder: Path,
    *,
    world: World,
    device: torch.device,
    report: Report,
) -> TrainedState:
    """Train `task.module` for `settings.steps` steps, from where `run_folder` left off.

    Raises:
        MriqaError: The loss or its gradient is not finite; says at which step and what to change.
            Or the last checkpoint cannot be written.
        UserError: The checkpoints are of another run.
    """
    check_shares(settings, world)
    module = place(task.module, device, settings.precision).train()
    optimizer = torch.optim.Adam(
        parameter_groups(task, module), weight_decay=settings.weight_decay, fused=True
    )
    gradient = Gradient(module, world)
    first, watched = resume(module, optimizer, run_folder, settings, world)
    pace = Pace(settings.steps, settings.batch * settings.accumulate)
    with (
        torch.random.fork_rng(),
        opened(task, settings, first, world) as batches,
        Journal(run_folder, world, first, pace) as journal,
    ):
        for step in range(first, settings.steps):
            torch.manual_seed(step_seed(settings.seed, step, world.rank))
            set_rate(optimizer, rate := learning_rate(step, settings))
            gradient.clear()
            values = backward(task, module, batches, settings, world, device)
            values["gradient_norm"] = gradient.average()
            numbers = read(values, world)
            check_finite(numbers, step, rate, settings)
            optimizer.step()
            done = step + 1
            watched = smooth(watched, numbers)
            journal.step(done, {**numbers, "learning_rate": rate})
            if done % settings.checkpoint_every == 0 or done == settings.steps:
                if world.leads:
                    state = Checkpoint(done, module.state_dict(), optimizer.state_dict(), watched)
                    keep(state, run_folder / CHECKPOINTS, settings, journal)
                report(done, watched)
    if first == settings.steps:
        report(first, watched)
    return TrainedState(module, settings.steps, watched, first)


@contextmanager
def opened(task: Task, settings: LoopSettings, first: int, world: World) -> Iterator[Iterator[Any]]:
    """The batches of the steps that are left; the feed's threads end with the block."""
    ahead = (settings.steps - first) * settings.accumulate
    batches = task.batches(first * settings.accumulate, ahead, world)
    try:
        yield batches
    finally:
        if isinstance(batches, Generator):
            batches.close()


def backward(
    task: Task,
    module: nn.Module,
    batches: Iterator[Any],
    settings: LoopSettings,
    world: World,
    device: torch.device,
) -> dict[str, Tensor]:
    """Add the gradient of one step's batches to the parameters; means of what was seen.

    Each of the `accumulate` batches has negatives and batch statistics of its own.
    """
    means: dict[str, Tensor] = {}
    for _ in range(settings.accumulate):
        batch = to_device(following(batches), device)
        with torch.autocast(device.type, torch.bfloat16, settings.precision == "bfloat16"):
            loss, seen = task.loss(module, batch, world)
        (loss / settings.accumulate).backward()
        for name, value in {"loss": loss.detach(), **seen}.items():
            means[name] = means.get(name, 0) + value.detach().float() / settings.accumulate
    return means


def following(batches: Iterator[Any]) -> Any:
    """The next batch.

    Raises:
        MriqaError: There is none, though the loop had asked for it.
    """
    try:
        return next(batches)
    except StopIteration as end:
        raise MriqaError(
            "the feed ended before the training did: an error of mriqa's own, please report it"
        ) from end


class Gradient:
    """The parameters' gradients, averaged over the workers in one exchange.

    Our own, not DistributedDataParallel: a task may call its module as often and in whatever way
    it likes, accumulation needs no special case, and the sum is the same at every run. With one
    worker there is nothing to exchange; with several the gradients are views of one flat tensor.
    """

    def __init__(self, module: nn.Module, world: World) -> None:
        self._world = world
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._flat: Tensor | None = None
        for p in [*self._parameters, *module.buffers()]:
            world.follow(p)
        if world.size > 1:
            example = self._parameters[0]
            self._flat = example.new_zeros(sum(p.numel() for p in self._parameters))
            start = 0
            for p in self._parameters:
                p.grad = self._flat.as_strided(p.shape, p.stride(), start)
                start += p.numel()

    def clear(self) -> None:
        """Forget the gradients of the step before."""
        if self._flat is not None:
            self._flat.zero_()
        else:
            for p in self._parameters:
                p.grad = None

    def average(self) -> Tensor:
        """Average the gradients over the workers; returns their norm, the same on all."""
        if self._flat is not None:
            self._world.reduce_gradient(self._flat)
            return nn.utils.get_total_norm([self._flat])
        return nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])


def place(module: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """`module` on `device`, channels last where convolutions gain by it.

    Measured: a CPU always gains (1.3× in float32, 2.5× in bfloat16); on a GPU tensor cores want it.
    """
    module = module.to(device)
    if device.type == "cpu" or precision == "bfloat16":
        for p in module.parameters():
            p.data = channels_last(p.data)
    return module


def channels_last(x: Tensor) -> Tensor:
    """`x` (n, c, ...) with the strides of (n, ..., c), also where c is 1.

    torch takes one channel for either layout and leaves its strides as they are; the stem would
    then compute channels first, and its pooling five times slower.
    """
    if x.dim() < 4:
        return x
    moved = x.movedim(1, -1)
    out = torch.empty(moved.shape, dtype=x.dtype, device=x.device)
    return out.copy_(moved).movedim(-1, 1)


def to_device(batch: Any, device: torch.device) -> Any:
    """Tensors in `batch` (a tensor, or tuples, lists and dicts of them) on `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(to_device(value, device) for value in batch)
    return batch


def step_seed(seed: int, step: int, rank: int) -> int:
    """Of a worker's random draws in a step (dropout): no random state has to be stored."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)


def read(values: Mapping[str, Tensor], world: World) -> dict[str, float]:
    """The means over the workers, as numbers: one exchange and one wait for the device a step."""
    means = world.mean(torch.stack([value.detach() for value in values.values()]))
    return dict(zip(values, means.tolist(), strict=True))


def smooth(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """The running mean of watched values after another step."""
    return {
        name: SMOOTHING * before.get(name, value) + (1 - SMOOTHING) * value
        for name, value in now.items()
    }


def check_shares(settings: LoopSettings, world: World) -> None:
    """Refuse a batch that the workers cannot share evenly.

    Raises:
        ConfigError: Names the batch, the workers and what to change.
    """
    if settings.batch % world.size or settings.batch < 2 * world.size:
        raise ConfigError(
            f"{settings.section}.batch {settings.batch} cannot be shared by {world.size} workers: "
            "it must be a multiple of training.workers, at least two a worker"
        )


def check_finite(
    numbers: Mapping[str, float], step: int, rate: float, settings: LoopSettings
) -> None:
    """Stop before a step would ruin the weights. Every worker sees the same numbers.

    Raises:
        MriqaError: Says where, and what to change.
    """
    for name in ("loss", "gradient_norm"):
        if not math.isfinite(numbers[name]):
            raise MriqaError(
                f"training step {step + 1} of {settings.steps}: the {name} is {numbers[name]} "
                f"(learning rate {rate:.3g}, {settings.precision}); lower "
                f"{settings.section}.learning_rate ({settings.learning_rate:g}), or set "
                "training.precision to float32, and train again"
            )


def resume(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    run_folder: Path,
    settings: LoopSettings,
    world: World,
) -> tuple[int, dict[str, float]]:
    """Load the newest complete checkpoint, if any: (steps done, watched values).

    Worker 0 chooses, so that all start from the same one; all must see `run_folder`.
    """
    folder = run_folder / CHECKPOINTS
    found = None
    if world.leads:
        found = newest(folder, settings.identity(), print_line)
        prune(folder, KEPT)
    step = torch.tensor(found.step if found else 0, device=next(module.parameters()).device)
    world.follow(step)
    done = int(step)
    if done == 0:
        return 0, {}
    if found is None:
        found = load(path_of(folder, done))[0]
    module.load_state_dict(found.weights)
    optimizer.load_state_dict(found.optimizer)
    if world.leads:
        print_line(f"training goes on from {path_of(folder, done)}")
    return done, found.watched


def keep(state: Checkpoint, folder: Path, settings: LoopSettings, journal: Journal) -> None:
    """Write a checkpoint; while steps are left, training outlives a disk that is full.

    Raises:
        MriqaError: The last checkpoint cannot be written: says what is kept and what to do.
    """
    try:
        save(folder, state, settings.identity())
    except OSError as error:
        kept = steps_in(folder)
        last = f"the one of step {kept[0]} is kept" if kept else "there is none yet"
        sentence = f"no checkpoint of step {state.step} ({error}); {last}"
        if state.step == settings.steps:
            raise MriqaError(
                f"{folder}: {sentence}. Make room (or mend what the error says) and run again: "
                "training goes on from there"
            ) from error
        journal.tell(f"training: {sentence}; training goes on: mend that before it ends")
