"""Pretraining of SimCLR's encoder on the pinned series: what `mriqa train simclr` calls."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mriqa.cohort.manifest import shard_name
from mriqa.config import PretrainingSection, TrainingSection, section_json
from mriqa.errors import ConfigError, UserError
from mriqa.training.checkpoints import Checkpoint
from mriqa.training.contrastive import ContrastiveNet, ContrastiveTask, make_contrastive_net
from mriqa.training.encoders import EMBEDDING, make_encoder
from mriqa.training.feed import FeedItem, SliceFeed, batches, open_feed
from mriqa.training.launch import Job, Worker, choose_device, choose_precision, train_plainly
from mriqa.training.loop import LoopSettings
from mriqa.training.manifest import PinnedSeries, model_id, pin_path, read_pinned
from mriqa.training.model_folder import Origin, write_model
from mriqa.training.world import World

FORMAT_VERSION = 2
"""Raise it when training gives other weights from the same settings: models get other ids."""

METHOD = "simclr"
SECTION = "simclr.pretraining"


def train(
    results: Path, model_id: str, settings: PretrainingSection, training: TrainingSection
) -> Path:
    """Train and write `results/models/simclr/<model_id>`; returns that folder.

    Reads the pinned list `results/training/simclr-*.parquet` of these settings and the stores
    `results/zarr/`; resumes from `results/training/simclr/<model_id>/`. Raises UserError if
    `model_id` is not that of settings and list, or nothing can be trained on.
    """
    pinned = read_pinned(pin_path(results, METHOD, settings))
    check_id(model_id, settings, pinned)
    folder = results / "models" / METHOD / model_id
    run_folder = results / "training" / METHOD / model_id
    return train_into(folder, run_folder, results, model_id, pinned, settings, training)


def train_into(
    folder: Path, run_folder: Path, results: Path, model_id: str, pinned: list[PinnedSeries],
    settings: PretrainingSection, training: TrainingSection,
) -> Path:  # fmt: skip
    """Train on the `pinned` series of `results`, in `run_folder`; write and return `folder`."""
    job = make_job(results, model_id, pinned, settings, training)
    trained = launch(job, run_folder, training)
    net = make_net(settings)
    net.load_state_dict(trained.weights)
    config = {"method": METHOD, "pretraining": settings.model_dump(mode="json")}
    metrics = {"steps": trained.step, **trained.watched}
    origin = Origin(model_id, pinned_sha256(pinned), settings.seed, FORMAT_VERSION)
    write_model(folder, net.encoder, config, metrics, origin)
    return folder


def check_id(given: str, settings: PretrainingSection, pinned: list[PinnedSeries]) -> None:
    """Raise UserError if `given` is not the model's id."""
    own = model_id(METHOD, section_json(settings), pinned, FORMAT_VERSION)
    if given != own:
        raise UserError(
            f"model {given}: the settings and the pinned list of series give {own}; run "
            "`mriqa run CONFIG`, which names it"
        )


def make_job(
    results: Path,
    model_id: str,
    pinned: list[PinnedSeries],
    settings: PretrainingSection,
    training: TrainingSection,
) -> Job:
    """What every worker needs, whoever launches it."""
    items = [
        [one.series_id, str(results.resolve() / "zarr" / f"{shard_name(one.shard)}.zarr")]
        for one in pinned
    ]
    arguments = {
        "items": items,
        "pretraining": settings.model_dump(mode="json"),
        "feed_workers": training.feed_workers,
    }
    device = choose_device(training)
    steps = settings.iterations or steps_of_epochs(open_items(items, settings), settings)
    loop = LoopSettings(
        model_id=model_id,
        section=SECTION,
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


def open_items(items: Sequence[Sequence[str]], settings: PretrainingSection) -> SliceFeed:
    """The feed of (series_id, store) pairs."""
    return open_feed([FeedItem(series_id, Path(store)) for series_id, store in items], settings)


def launch(job: Job, run_folder: Path, training: TrainingSection) -> Checkpoint:
    """Train as `training.launcher` says; the last checkpoint."""
    if training.launcher == "plain":
        if training.workers > 1:
            raise ConfigError(
                f"training.workers is {training.workers}, which launcher plain has not; set "
                "training.launcher to ray, or training.workers to 1"
            )
        return train_plainly(job, run_folder)
    from mriqa.training.launch_ray import train_with_ray

    return train_with_ray(job, training, run_folder)


def make_net(settings: PretrainingSection) -> ContrastiveNet:
    """Encoder and projection head with the weights that the seed gives."""
    encoder = make_encoder(settings.encoder, seed=settings.seed)
    embedding = EMBEDDING[settings.encoder]
    return make_contrastive_net(encoder, embedding, settings.projection, settings.seed)


def make_task(arguments: dict[str, Any], worker: Worker) -> ContrastiveTask:
    """The task of one worker, from `Job.arguments`."""
    settings = PretrainingSection.model_validate(arguments["pretraining"])
    feed = open_items(arguments["items"], settings)
    workers = int(arguments["feed_workers"])

    def source(first: int, count: int, world: World) -> Iterator[Tensor]:
        return batches(feed, first, count, settings.batch, world.rank, world.size, workers)

    return ContrastiveTask(make_net(settings), source, settings.temperature)


def pinned_sha256(pinned: list[PinnedSeries]) -> str:
    """Fingerprint of the data: which series in which state."""
    rows = [[one.series_id, one.size_bytes, one.mtime_ns] for one in pinned]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
