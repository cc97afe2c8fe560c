"""A stage: networks over items of one or more slices, one a fold, trained together.

The slice stage is that of items of a single slice, the volume stage that of whole volumes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mriqa.config import StageSection
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.forest import Forests, grow
from mriqa.methods.hierarchy.lesson import Lesson
from mriqa.methods.hierarchy.loss import TINY, balanced, focal_terms
from mriqa.methods.hierarchy.rounds import Floats
from mriqa.methods.hierarchy.volume_net import VolumeNet
from mriqa.training.loop import LoopSettings, train
from mriqa.training.world import World

PREDICTED = 1024
"""Items that are predicted at a time."""


class Batch(NamedTuple):
    """Some items, padded to the deepest: slices (n, z, d), which are there (n, z), targets
    (n, classes), weights (k, n) for each fold's network, and of all workers' items the class
    weights (classes)."""

    slices: Tensor
    is_there: Tensor
    targets: Tensor
    weights: Tensor
    class_weights: Tensor


class FoldNets(nn.Module):
    """One network a fold: slices and which are there → logits (k, n, classes)."""

    def __init__(self, features: int, n_folds: int, section: StageSection) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            VolumeNet(
                features, section.channels, section.nonlocal_blocks, len(RATINGS), section.dropout
            )
            for _ in range(n_folds)
        )

    def forward(self, slices: Tensor, is_there: Tensor) -> Tensor:
        """See the class."""
        return torch.stack([net(slices, is_there) for net in self.nets])


def make_nets(features: int, section: StageSection) -> nn.Module:
    """Untrained networks with the weights that the seed gives, or forests without trees."""
    if section.trees:
        return Forests(section.rounds.folds, section.trees)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        return FoldNets(features, section.rounds.folds, section)


class StageTask:
    """What the training loop trains: every fold's network at once, each without its fold."""

    def __init__(
        self, nets: nn.Module, features: Bags, lesson: Lesson, section: StageSection
    ) -> None:
        self.module = nets
        self.features = features
        self.lesson = lesson
        self.section = section
        self._orders: dict[int, NDArray[np.intp]] = {}

    def batches(self, first: int, count: int, world: World) -> Iterator[Batch]:
        """This worker's part of the batches number first … first+count−1."""
        share = self.section.batch // world.size
        targets = torch.from_numpy(self.lesson.targets).float()
        weights = self._weights()
        used = self.lesson.used
        class_weights = balanced(targets[used], torch.from_numpy(self.lesson.weights[used]).float())
        for number in range(first, first + count):
            start = number * self.section.batch + world.rank * share
            rows = self._rows(range(start, start + share))
            slices, is_there = self.features.padded(rows)
            yield Batch(slices, is_there, targets[rows], weights[:, rows], class_weights)

    def loss(
        self, module: nn.Module, batch: Batch, world: World
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over the networks of their losses of the batch of all workers."""
        slices, is_there, targets, weights, class_weights = batch
        logits = module(slices, is_there)
        terms = focal_terms(logits, targets, class_weights, weights, self.section.focus)
        everything = world.sum_(terms.weights.detach()).clamp_min(TINY)
        # the loop averages over the workers what each of them returns
        return (terms.losses * world.size / everything).mean(), {}

    def _weights(self) -> Tensor:
        """(k, n): a network does not learn from its own fold."""
        folds = np.arange(self.section.rounds.folds)[:, None]
        weights = np.where(self.lesson.folds[None] == folds, 0, self.lesson.weights[None])
        return torch.from_numpy(weights).float()

    def _rows(self, places: range) -> NDArray[np.intp]:
        """Rows at these places of an endless stream: all that is used, in a new order each time."""
        used, seed = self.lesson.used, self.section.seed
        turns = sorted({place // len(used) for place in places})
        for turn in turns:
            if turn not in self._orders:
                self._orders[turn] = np.random.default_rng([seed, turn]).permutation(used)
        self._orders = {turn: self._orders[turn] for turn in turns}
        return np.array([self._orders[place // len(used)][place % len(used)] for place in places])


@dataclass(frozen=True)
class StageLearner:
    """Trains and predicts items by the features of their slices (self_training.Learner).

    `name` is the stage's, `slices` or `volumes`.
    """

    name: str
    features: Bags
    section: StageSection
    model_id: str
    checkpoint_every: int
    device: torch.device
    world: World

    def fit(self, lesson: Lesson, folder: Path) -> Floats:
        """See `Learner`."""
        nets = self.trained(lesson, folder)
        return predict(nets, self.features)

    def trained(self, lesson: Lesson, folder: Path) -> nn.Module:
        """The networks of `lesson`, from where `folder` left off; forests grow at once."""
        if self.section.trees:
            return grow(self.features, lesson, self.section)
        nets = make_nets(self.features.length, self.section)
        task = StageTask(nets, self.features, lesson, self.section)
        settings = settings_of(
            self.name, self.section, f"{self.model_id} {lesson.digest}", self.checkpoint_every
        )
        state = train(task, settings, folder, world=self.world, device=self.device, report=_silent)
        return state.module.eval()


def plain_learner(name: str, features: Bags, section: StageSection, model_id: str) -> StageLearner:
    """One that learns in this process, on the CPU."""
    cpu = torch.device("cpu")
    return StageLearner(name, features, section, model_id, section.iterations, cpu, World())


def settings_of(name: str, section: StageSection, model_id: str, every: int) -> LoopSettings:
    """How the stage `name` is trained, with a checkpoint `every` so many steps."""
    return LoopSettings(
        model_id=model_id,
        section=f"hierarchy.learning.{name}",
        steps=section.iterations,
        batch=section.batch,
        accumulate=1,
        learning_rate=section.learning_rate,
        weight_decay=section.weight_decay,
        warmup_steps=round(section.warmup_share * section.iterations),
        seed=section.seed,
        checkpoint_every=every,
        precision="float32",
    )


@torch.no_grad()
def predict(nets: nn.Module, features: Bags) -> Floats:
    """Probabilities (k, n, classes) of every fold's network for every item."""
    device = next(iter(nets.state_dict().values())).device
    parts = []
    for start in range(0, len(features), PREDICTED):
        rows = np.arange(start, min(start + PREDICTED, len(features)))
        slices, is_there = (one.to(device) for one in features.padded(rows))
        parts.append(torch.softmax(nets(slices, is_there).float(), dim=2).cpu().double().numpy())
    return np.concatenate(parts, axis=1)


def _silent(_step: int, _values: object) -> None:
    """Nobody waits for the checkpoints of a round."""
