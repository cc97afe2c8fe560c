"""Supervised pretraining without labels: to tell which artifact was simulated, and how severe.

[P] Contrastive pretraining learns what slices look like; this learns what spoils them. The truth is
the simulator's, so that nothing of what people said is used up, whoever is learned from later.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.data import Dataset

from mriqa.artifacts import Family
from mriqa.config import PretrainingSection, TrainingSection, TuningSection
from mriqa.files import write_bytes
from mriqa.training.encoders import EMBEDDING, make_encoder
from mriqa.training.feed import SliceFeed, batches
from mriqa.training.launch import Job, Worker, choose_device, choose_precision, launch
from mriqa.training.loop import LoopSettings
from mriqa.training.manifest import PinnedSeries
from mriqa.training.pretraining import items_of, open_items
from mriqa.training.world import World

START = "start.safetensors"
"""The encoder's weights before tuning, in the run's folder: for workers on any node."""
VIEWS = 2
"""Of each slice."""
SEVERITY_SCALE = 2.0
"""Severities 0 to 1 as the loss sees them: their error then weighs about as much as families."""


class Told(NamedTuple):
    """Views (n, 1, p, p), the artifact's family (n), 0 for none, and its severity (n), 0 to 1."""

    views: Tensor
    families: Tensor
    severities: Tensor


Source = Callable[[int, int, World], Iterator[Told]]


class SeverityFeed(Dataset[Told]):
    """Both views of each sample, and the truth about them.

    To simulate an artifact takes longer than to look at it: two places of the same slice are seen.
    """

    def __init__(self, feed: SliceFeed, families: Sequence[Family]) -> None:
        self._feed = feed
        self._number = {family: number for number, family in enumerate(families, start=1)}

    def block(self, numbers: range) -> Told:
        """The samples `numbers`, the views of each one after the other."""
        side = self._feed.side
        views = np.empty((len(numbers), VIEWS, 1, side, side), np.float32)
        artifacts = [self._feed.render(n, views[place]).artifact for place, n in enumerate(numbers)]
        families = [0 if one is None else self._number[one.family] for one in artifacts]
        severities = [0.0 if one is None else one.severity for one in artifacts]
        told = (torch.tensor(one).repeat_interleave(VIEWS) for one in (families, severities))
        return Told(torch.from_numpy(views).flatten(0, 1), *told)

    def __getitem__(self, numbers: range) -> Told:
        """As `block`: what torch's DataLoader asks for is a batch, not a sample."""
        return self.block(numbers)


class SeverityNet(nn.Module):
    """An encoder and what it says of a slice: the artifact's family, and its severity."""

    def __init__(self, encoder: nn.Module, embedding: int, n_families: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(embedding, n_families + 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, families + 1), none the first, and severities (n) times SEVERITY_SCALE."""
        said: Tensor = self.head(self.encoder(images))
        return said[:, :-1], said[:, -1]


class SeverityTask:
    """What the training loop trains."""

    def __init__(self, module: SeverityNet, source: Source) -> None:
        self.module: nn.Module = module
        self.source = source

    def batches(self, first: int, count: int, world: World) -> Iterator[Told]:
        """This worker's part of the batches number first … first+count−1."""
        return self.source(first, count, world)

    def loss(
        self, module: nn.Module, batch: Told, _world: World
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the family plus Huber's loss of the severity; both are watched."""
        views, families, severities = batch
        logits, found = module(views)
        family = F.cross_entropy(logits.float(), families)
        severity = F.smooth_l1_loss(found.float(), SEVERITY_SCALE * severities.float())
        return family + severity, {"family": family.detach(), "severity": severity.detach()}


@dataclass(frozen=True)
class Tuning:
    """What decides a tuning; `section` is its name in the configuration, for messages."""

    section: str
    settings: TuningSection
    pretraining: PretrainingSection
    families: tuple[Family, ...]

    @property
    def shown(self) -> PretrainingSection:
        """What the feed shows."""
        own = {"view_px": self.settings.view_px, "artifact_share": self.settings.artifact_share}
        return self.pretraining.model_copy(update={**own, "views": "native_patch"})


def tune(
    encoder: nn.Module, results: Path, run_folder: Path, model_id: str,
    pinned: Sequence[PinnedSeries], tuning: Tuning, training: TrainingSection,
) -> SeverityNet:  # fmt: skip
    """`encoder`, tuned on the `pinned` series of `results`, from where `run_folder` left off, with
    the heads that say what it sees."""
    run_folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous() for name, value in encoder.state_dict().items()}
    write_bytes(run_folder / START, safetensors.torch.save(weights))
    trained = launch(_job(results, model_id, pinned, tuning, training), run_folder, training)
    net = _net(tuning.pretraining, len(tuning.families))
    net.load_state_dict(trained.weights)
    return net


def _job(
    results: Path, model_id: str, pinned: Sequence[PinnedSeries], tuning: Tuning,
    training: TrainingSection,
) -> Job:  # fmt: skip
    own, device = tuning.settings, choose_device(training)
    arguments = {
        "items": items_of(results, pinned),
        "shown": tuning.shown.model_dump(mode="json"),
        "families": [one.value for one in tuning.families],
        "batch": own.batch,
        "feed_workers": training.feed_workers,
    }
    loop = LoopSettings(
        model_id=model_id,
        section=tuning.section,
        steps=own.iterations,
        batch=own.batch,
        accumulate=1,
        learning_rate=own.learning_rate,
        weight_decay=own.weight_decay,
        warmup_steps=round(own.warmup_share * own.iterations),
        seed=tuning.pretraining.seed,
        checkpoint_every=training.checkpoint_every,
        precision=choose_precision(training, device),
    )
    return Job(f"{__name__}:make_task", arguments, loop, device, training.threads)


def _net(section: PretrainingSection, n_families: int) -> SeverityNet:
    encoder = make_encoder(section.encoder, seed=section.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        return SeverityNet(encoder, EMBEDDING[section.encoder], n_families)


def make_task(arguments: dict[str, Any], worker: Worker) -> SeverityTask:
    """The task of one worker, from `Job.arguments`."""
    section = PretrainingSection.model_validate(arguments["shown"])
    families = [Family(name) for name in arguments["families"]]
    feed = SeverityFeed(open_items(arguments["items"], section, families), families)
    batch, workers = int(arguments["batch"]), int(arguments["feed_workers"])

    def source(first: int, count: int, world: World) -> Iterator[Told]:
        return batches(feed, first, count, batch, world.rank, world.size, workers)

    net = _net(section, len(families))
    net.encoder.load_state_dict(safetensors.torch.load_file(worker.run_folder / START))
    return SeverityTask(net, source)
