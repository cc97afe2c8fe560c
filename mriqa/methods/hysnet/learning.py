"""How HyS-Net learns on the shared loop: L1, Adam, a learning rate that is halved in steps."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mriqa.config import TrainingSection
from mriqa.config.hysnet import HysnetLearningSection
from mriqa.methods.hysnet.feed import Batch, PatchFeed
from mriqa.methods.hysnet.net import make_net, rates
from mriqa.methods.hysnet.patches import make_parts, parts_from_json
from mriqa.methods.hysnet.target import TargetScale
from mriqa.methods.hysnet.volumes import Example, open_volumes
from mriqa.training.feed import batches
from mriqa.training.launch import Job, Worker, choose_device, choose_precision
from mriqa.training.loop import LoopSettings
from mriqa.training.world import World

Source = Callable[[int, int, World], Iterator[Batch]]
SECTION = "hysnet.learning"


class HysnetTask:
    """What the training loop trains (training.loop.Task, training.rates.Rated)."""

    def __init__(self, module: nn.Module, source: Source, hyper_rate: float) -> None:
        self.module = module
        self.source = source
        self.hyper_rate = hyper_rate

    def batches(self, first: int, count: int, world: World) -> Iterator[Batch]:
        """This worker's part of the batches number first … first+count−1."""
        return self.source(first, count, world)

    def loss(
        self, module: nn.Module, batch: Batch, _world: World
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean absolute error of the worker's own patches, in standard deviations [S]."""
        images, targets = batch
        found: Tensor = module(images)
        return (found - targets).abs().mean(), {}

    def rates(self, module: nn.Module) -> list[tuple[float, list[nn.Parameter]]]:
        """See `net.rates`."""
        return rates(module, self.hyper_rate)


def source_of(feed: PatchFeed, batch: int, feed_workers: int) -> Source:
    """The feed's batches, by a thread or by `feed_workers` processes."""

    def source(first: int, count: int, world: World) -> Iterator[Batch]:
        return batches(feed, first, count, batch, world.rank, world.size, feed_workers)

    return source


def loop_settings(
    section: HysnetLearningSection,
    n_volumes: int,
    model_id: str,
    checkpoint_every: int,
    precision: str,
) -> LoopSettings:
    """How `n_volumes` volumes are learned from; an epoch is `per_volume` patches of each."""
    epoch = n_volumes * section.patches.per_volume / section.batch
    return LoopSettings(
        model_id=model_id,
        section=SECTION,
        steps=math.ceil(section.epochs * epoch),
        batch=section.batch,
        accumulate=1,
        learning_rate=section.learning_rate,
        weight_decay=section.weight_decay,
        warmup_steps=0,
        seed=section.seed,
        checkpoint_every=checkpoint_every,
        precision=precision,
        halve_every=max(1, round(section.halve_epochs * epoch)),
    )


def make_job(
    examples: Sequence[Example],
    scale: TargetScale,
    section: HysnetLearningSection,
    model_id: str,
    training: TrainingSection,
) -> Job:
    """What every worker needs, whoever launches it. Opens the stores: how many patches are an
    epoch, and how large they are, follow from the volumes that are there. `arguments["parts"]` and
    `["scale"]` are what prediction needs as well."""
    volumes = open_volumes(examples, section.patches.upper_percentile)
    shapes = [volumes.shape(number) for number in range(len(volumes.targets))]
    arguments = {
        "examples": [[one.series_id, one.volume, str(one.store), one.target] for one in examples],
        "scale": asdict(scale),
        "parts": asdict(make_parts(section, shapes)),
        "learning": section.model_dump(mode="json"),
        "feed_workers": training.feed_workers,
    }
    device = choose_device(training)
    precision = choose_precision(training, device)
    settings = loop_settings(section, len(shapes), model_id, training.checkpoint_every, precision)
    return Job(f"{__name__}:make_task", arguments, settings, device, training.threads)


def make_task(arguments: dict[str, Any], _worker: Worker) -> HysnetTask:
    """The task of one worker, from `Job.arguments`."""
    section = HysnetLearningSection.model_validate(arguments["learning"])
    examples = [
        Example(series_id, int(volume), Path(store), float(target))
        for series_id, volume, store, target in arguments["examples"]
    ]
    feed = PatchFeed(
        open_volumes(examples, section.patches.upper_percentile),
        parts_from_json(arguments["parts"]),
        TargetScale.from_json(arguments["scale"]),
        section.seed,
        section.patches.gamma,
    )
    source = source_of(feed, section.batch, int(arguments["feed_workers"]))
    return HysnetTask(make_net(section.net, section.seed), source, section.hyper_rate)
