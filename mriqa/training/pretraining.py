"""Contrastive pretraining of an encoder on pinned series, for whatever method asks for one."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mriqa.artifacts import Family
from mriqa.cohort.manifest import shard_name
from mriqa.config import PretrainingSection, TrainingSection
from mriqa.training.checkpoints import Checkpoint
from mriqa.training.contrastive import ContrastiveNet, ContrastiveTask, make_contrastive_net
from mriqa.training.encoders import EMBEDDING, make_encoder
from mriqa.training.feed import FAMILIES, FeedItem, SliceFeed, batches, open_feed
from mriqa.training.launch import Job, Worker, choose_device, choose_precision, launch
from mriqa.training.loop import LoopSettings
from mriqa.training.manifest import PinnedSeries
from mriqa.training.world import World


def pretrain(
    results: Path, run_folder: Path, model_id: str, section: str, pinned: Sequence[PinnedSeries],
    settings: PretrainingSection, training: TrainingSection,
    families: Sequence[Family] = FAMILIES,
) -> tuple[ContrastiveNet, Checkpoint]:  # fmt: skip
    """Train on the `pinned` series of `results`, going on from what is in `run_folder`.

    Artifacts of `families` are put on some slices.

    The trained network and its last checkpoint. `section` is that of the configuration, for
    messages, e.g. `simclr.pretraining`.
    """
    job = make_job(results, model_id, section, pinned, settings, training, families)
    trained = launch(job, run_folder, training)
    net = make_net(settings)
    net.load_state_dict(trained.weights)
    return net, trained


def make_job(
    results: Path, model_id: str, section: str, pinned: Sequence[PinnedSeries],
    settings: PretrainingSection, training: TrainingSection,
    families: Sequence[Family] = FAMILIES,
) -> Job:  # fmt: skip
    """What every worker needs, whoever launches it."""
    items = items_of(results, pinned)
    arguments = {
        "items": items,
        "families": [one.value for one in families],
        "pretraining": settings.model_dump(mode="json"),
        "feed_workers": training.feed_workers,
    }
    device = choose_device(training)
    steps = settings.iterations or steps_of_epochs(open_items(items, settings), settings)
    loop = LoopSettings(
        model_id=model_id,
        section=section,
        steps=steps,
        batch=settings.batch,
        accumulate=settings.accumulate,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=round(settings.warmup_share * steps),
        seed=settings.seed,
        checkpoint_every=training.checkpoint_every,
        precision=choose_precision(training, device),
    )
    return Job(f"{__name__}:make_task", arguments, loop, device, training.threads)


def steps_of_epochs(feed: SliceFeed, settings: PretrainingSection) -> int:
    """Steps that show as many slices as `settings.epochs` passes over all of them."""
    shown = settings.batch * settings.accumulate
    return max(1, math.ceil(settings.epochs * feed.n_slices / shown))


def items_of(results: Path, pinned: Sequence[PinnedSeries]) -> list[list[str]]:
    """The series and the stores that they are in, as `open_items` takes them."""
    zarr = results.resolve() / "zarr"
    return [[one.series_id, str(zarr / f"{shard_name(one.shard)}.zarr")] for one in pinned]


def open_items(
    items: Sequence[Sequence[str]],
    settings: PretrainingSection,
    families: Sequence[Family] = FAMILIES,
) -> SliceFeed:
    """The feed of (series_id, store) pairs."""
    listed = [FeedItem(series_id, Path(store)) for series_id, store in items]
    return open_feed(listed, settings, families)


def make_net(settings: PretrainingSection) -> ContrastiveNet:
    """Encoder and projection head with the weights that the seed gives."""
    encoder = make_encoder(settings.encoder, seed=settings.seed)
    embedding = EMBEDDING[settings.encoder]
    return make_contrastive_net(encoder, embedding, settings.projection, settings.seed)


def make_task(arguments: dict[str, Any], worker: Worker) -> ContrastiveTask:
    """The task of one worker, from `Job.arguments`."""
    settings = PretrainingSection.model_validate(arguments["pretraining"])
    families = [Family(name) for name in arguments["families"]]
    feed = open_items(arguments["items"], settings, families)
    workers = int(arguments["feed_workers"])

    def source(first: int, count: int, world: World) -> Iterator[Tensor]:
        return batches(feed, first, count, settings.batch, world.rank, world.size, workers)

    return ContrastiveTask(make_net(settings), source, settings.temperature)
