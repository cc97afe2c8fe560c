"""The volume stage: networks over the slice features of volumes, one a fold, trained together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mriqa.config import VolumeStageSection
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.lesson import Lesson
from mriqa.methods.hierarchy.loss import TINY, balanced, focal_terms
from mriqa.methods.hierarchy.rounds import Floats
from mriqa.methods.hierarchy.volume_net import VolumeNet
from mriqa.training.loop import LoopSettings, train
from mriqa.training.world import World

SECTION = "hierarchy.volumes"
PREDICTED = 256
"""Volumes that are predicted at a time."""

Features = Sequence[NDArray[np.floating]]
"""Of each volume the features (z, d) of its slices, at least one."""


class Batch(NamedTuple):
    """Some volumes, padded to the deepest: slices (n, z, d), which are there (n, z), targets
    (n, classes), weights (k, n) for each fold's network, and of all workers' volumes the class
    weights (classes)."""

    slices: Tensor
    is_there: Tensor
    targets: Tensor
    weights: Tensor
    class_weights: Tensor


class FoldNets(nn.Module):
    """One network a fold: slices and which are there → logits (k, n, classes)."""

    def __init__(self, features: int, n_folds: int, section: VolumeStageSection) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            VolumeNet(features, section.channels, section.blocks, len(RATINGS), section.dropout)
            for _ in range(n_folds)
        )

    def forward(self, slices: Tensor, is_there: Tensor) -> Tensor:
        """See the class."""
        return torch.stack([net(slices, is_there) for net in self.nets])


def make_nets(features: int, section: VolumeStageSection) -> FoldNets:
    """Untrained networks with the weights that the seed gives."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        return FoldNets(features, section.rounds.folds, section)


class VolumeTask:
    """What the training loop trains: every fold's network at once, each without its fold."""

    def __init__(
        self, nets: FoldNets, features: Features, lesson: Lesson, section: VolumeStageSection
    ) -> None:
        self.module: nn.Module = nets
        self.features = features
        self.lesson = lesson
        self.section = section

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
            slices, is_there = padded(self.features, rows)
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
        orders = {turn: np.random.default_rng([seed, turn]).permutation(used) for turn in turns}
        return np.array([orders[place // len(used)][place % len(used)] for place in places])


def padded(features: Features, rows: Sequence[int] | NDArray[np.intp]) -> tuple[Tensor, Tensor]:
    """The volumes `rows` as float32 (n, z, d), zeros after their own slices, and (n, z) which
    slices are there."""
    chosen = [features[row] for row in rows]
    slices = np.zeros((len(chosen), max(map(len, chosen)), chosen[0].shape[1]), np.float32)
    is_there = np.zeros(slices.shape[:2], dtype=bool)
    for place, one in enumerate(chosen):
        slices[place, : len(one)] = one
        is_there[place, : len(one)] = True
    return torch.from_numpy(slices), torch.from_numpy(is_there)


@dataclass(frozen=True)
class VolumeLearner:
    """Trains and predicts volumes by the features of their slices (self_training.Learner)."""

    features: Features
    section: VolumeStageSection
    model_id: str
    checkpoint_every: int
    device: torch.device
    world: World

    def fit(self, lesson: Lesson, folder: Path) -> Floats:
        """See `Learner`."""
        nets = self.trained(lesson, folder)
        return predict(nets, self.features)

    def trained(self, lesson: Lesson, folder: Path) -> nn.Module:
        """The networks of `lesson`, from where `folder` left off."""
        nets = make_nets(self.features[0].shape[1], self.section)
        task = VolumeTask(nets, self.features, lesson, self.section)
        settings = self._settings(lesson)
        state = train(task, settings, folder, world=self.world, device=self.device, report=_silent)
        return state.module.eval()

    def _settings(self, lesson: Lesson) -> LoopSettings:
        section = self.section
        return LoopSettings(
            model_id=f"{self.model_id} {lesson.digest}",
            section=SECTION,
            steps=section.iterations,
            batch=section.batch,
            accumulate=1,
            learning_rate=section.learning_rate,
            weight_decay=section.weight_decay,
            warmup_steps=round(section.warmup_share * section.iterations),
            seed=section.seed,
            checkpoint_every=self.checkpoint_every,
            precision="float32",
        )


@torch.no_grad()
def predict(nets: nn.Module, features: Features) -> Floats:
    """Probabilities (k, n, classes) of every fold's network for every volume."""
    device = next(nets.parameters()).device
    parts = []
    for start in range(0, len(features), PREDICTED):
        rows = range(start, min(start + PREDICTED, len(features)))
        slices, is_there = (one.to(device) for one in padded(features, rows))
        parts.append(torch.softmax(nets(slices, is_there).float(), dim=2).cpu().double().numpy())
    return np.concatenate(parts, axis=1)


def _silent(_step: int, _values: object) -> None:
    """Nobody waits for the checkpoints of a round."""
