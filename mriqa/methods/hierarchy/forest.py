"""The volume stage as random forests instead of networks: for comparison.

The sibling paper (Liu et al. 2019, ar5iv 1904.03639) rates volumes by a random forest over what
slices say. Grown by scikit-learn, kept as arrays: no code is read from a model's files.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mriqa.config import StageSection
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.lesson import Lesson
from mriqa.methods.hierarchy.loss import balanced
from mriqa.methods.hierarchy.rounds import Floats
from mriqa.methods.hierarchy.volume_net import described

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

LEAVES = 64
"""Of a tree at most."""
LEAST_IN_LEAF = 3
LEAF = -1
LEAST_P = 1e-4
"""A forest that is sure of its copies would have no logarithm."""


class Forests(nn.Module):
    """One forest a fold: slices and which are there → log-probabilities (k, n, classes).

    Buffers (k, trees, nodes): of each node the feature and threshold that send an item to its
    `below` or `above` node, LEAF for leaves; `shares` of the classes in each.
    """

    feature: Tensor
    threshold: Tensor
    below: Tensor
    above: Tensor
    shares: Tensor

    def __init__(self, n_folds: int, trees: int) -> None:
        super().__init__()
        shape = n_folds, trees, 2 * LEAVES - 1
        self.register_buffer("feature", torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(shape))
        self.register_buffer("below", torch.full(shape, LEAF))
        self.register_buffer("above", torch.full(shape, LEAF))
        self.register_buffer("shares", torch.full((*shape, len(RATINGS)), 1 / len(RATINGS)))

    def forward(self, slices: Tensor, is_there: Tensor) -> Tensor:
        """See the class."""
        values = described(slices, is_there)
        folds, trees, _ = self.feature.shape
        seen = values.expand(folds, trees, *values.shape)
        node = torch.zeros((folds, trees, len(values)), dtype=torch.int64, device=values.device)
        while bool((below := self.below.gather(2, node)).ge(0).any()):
            feature = self.feature.gather(2, node)
            value = seen.gather(3, feature[..., None])[..., 0]
            goes_below = value <= self.threshold.gather(2, node)
            following = torch.where(goes_below, below, self.above.gather(2, node))
            node = torch.where(below >= 0, following, node)
        found = self.shares.gather(2, node[..., None].expand(*node.shape, len(RATINGS)))
        return found.mean(1).clamp_min(LEAST_P).log()

    def plant(self, fold: int, grown: "RandomForestClassifier") -> None:
        """Take over the trees that scikit-learn has grown for `fold`."""
        for number, tree in enumerate(one.tree_ for one in grown.estimators_):
            nodes = slice(0, tree.node_count)
            for name, values in (
                ("feature", np.maximum(tree.feature, 0)),
                ("threshold", _rounded_down(tree.threshold)),
                ("below", tree.children_left),
                ("above", tree.children_right),
            ):
                buffer = getattr(self, name)
                buffer[fold, number, nodes] = torch.from_numpy(values).to(buffer.dtype)
            shares = np.zeros((tree.node_count, len(RATINGS)), np.float32)
            shares[:, grown.classes_.astype(int)] = tree.value[:, 0]
            self.shares[fold, number, nodes] = torch.from_numpy(
                shares / shares.sum(axis=1, keepdims=True)
            )


def _rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Features are float32: x ≤ t is x ≤ the greatest float32 up to t."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def grow(features: Bags, lesson: Lesson, section: StageSection) -> Forests:
    """A forest a fold from all other folds, by the seed; classes weigh the same."""
    from sklearn.ensemble import RandomForestClassifier

    values = _described(features)
    weights, folds = _weights(lesson), section.rounds.folds
    forests = Forests(folds, section.trees)
    for fold in range(folds):
        rows, classes = np.nonzero(weights * (lesson.folds != fold)[:, None])
        grown = RandomForestClassifier(
            section.trees,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST_IN_LEAF,
            random_state=section.seed + fold,
        )
        grown.fit(values[rows], classes, weights[rows, classes])
        forests.plant(fold, grown)
    return forests.eval()


def _described(features: Bags) -> NDArray[np.float32]:
    slices, is_there = features.padded(np.arange(len(features)))
    return described(slices, is_there).numpy()


def _weights(lesson: Lesson) -> Floats:
    """Of each item as one of each class (n, classes): soft targets are samples of several."""
    targets, weights = (torch.from_numpy(one).float() for one in (lesson.targets, lesson.weights))
    used = weights > 0
    by_class = balanced(targets[used], weights[used])
    return np.asarray((targets * weights[:, None] * by_class).double().numpy())
