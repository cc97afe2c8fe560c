"""HyS-Net and its plain counterpart: q = ψ(x, θ), θ = H(S(x)) (Qi et al., arXiv 2107.06888, §2).

S is a ResNet. The hyper-network H has a branch for each of the predictor's three fully connected
layers: two 1×1×1 convolutions, global max pooling, one fully connected layer that gives the weights
and bias of the target layer for this very image. [P] what the paper leaves open: channels, that the
predictor's input is S's pooled feature, sigmoids between its layers and a hyper-network that learns
ten times as fast (both of hyperIQA, Su et al., CVPR 2020).
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mriqa.config.hysnet import HysnetNetSection
from mriqa.training.encoders import make_encoder

LAYERS = ("conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4")
"""Of MONAI's ResNets: all but the pooling that ends them, for H looks at the map before it."""
CONTENT = 0.25
"""Share of an untrained weight's variance that differs between images; the rest is common."""
PEAK = 8.0
"""Mean square of what the max pooling of an untrained branch gives: measured, cubes of side 96."""


class Layer(NamedTuple):
    """A fully connected layer of each image: weights (n, out, in) and biases (n, out)."""

    weight: Tensor
    bias: Tensor

    def apply_to(self, x: Tensor) -> Tensor:
        """(n, in) → (n, out), each row by its own layer, in one batched product."""
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, x.unsqueeze(2)).squeeze(2)

    @property
    def flat(self) -> Tensor:
        """(n, out·in + out): weights row by row, then biases."""
        return torch.cat([self.weight.flatten(1), self.bias], 1)


@dataclass(frozen=True)
class Features:
    """What the backbone says: maps (n, c, z, y, x) or (n, c, y, x), and their means (n, c)."""

    maps: Tensor
    pooled: Tensor


class Backbone(nn.Sequential):
    """A ResNet up to its last maps: (n, 1, z, y, x) → (n, channels, z/32, y/32, x/32)."""

    def __init__(self, section: HysnetNetSection, seed: int | None) -> None:
        network = make_encoder(section.backbone, section.dimensions, seed=seed, width=section.width)
        super().__init__(OrderedDict((name, getattr(network, name)) for name in LAYERS))

    @property
    def channels(self) -> int:
        """Of the last maps."""
        norms = [one for one in self.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        return norms[-1].num_features

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for name, layer in self.named_children():
            x = _without_copies(layer, x) if name == "maxpool" else layer(x)
        return x

    def features(self, images: Tensor) -> Features:
        """Of images (n, 1, z, y, x) or (n, 1, y, x); the means are never in half precision."""
        maps: Tensor = self(images)
        return Features(maps, full(maps).flatten(2).mean(2))


class HyperBranch(nn.Module):
    """Maps (n, c, …) → the fully connected layer `inputs` → `outputs` of each image.

    An untrained weight is to have the variance of an ordinary layer's, 1/(3·inputs) as nn.Linear's:
    with larger ones the sigmoids saturate, with smaller ones all images look the same. The weights
    are A·h + b with h the pooled maps. b is drawn as an ordinary layer is and has 1 − CONTENT of
    the variance, A·h the rest: A has CONTENT / (len(h)·PEAK) of it, where PEAK stands for the mean
    square of h (Chang et al. 2020, "hyperfan-in"). So all begins as a plain network whose weights
    sway with the image, and where h² is three times as large as assumed, or nothing, the variance
    is 1.5 or 0.75 of what it should be.
    """

    def __init__(
        self, channels: int, hidden: tuple[int, int], inputs: int, outputs: int, dimensions: int
    ) -> None:
        super().__init__()
        convolution = nn.Conv3d if dimensions == 3 else nn.Conv2d
        self.inputs, self.outputs = inputs, outputs
        self.first = convolution(channels, hidden[0], 1)
        self.second = convolution(hidden[0], hidden[1], 1)
        self.fc = nn.Linear(hidden[1], outputs * inputs + outputs)
        for one in (self.first, self.second):
            nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
            nn.init.zeros_(one.bias)  # type: ignore[arg-type]
        bound = 1 / math.sqrt(inputs)
        own, common = math.sqrt(CONTENT / (hidden[1] * PEAK)), math.sqrt(1 - CONTENT)
        nn.init.uniform_(self.fc.weight, -bound * own, bound * own)
        nn.init.uniform_(self.fc.bias, -bound * common, bound * common)

    def pooled(self, maps: Tensor) -> Tensor:
        """What the fully connected layer sees (n, hidden): the greatest of each channel."""
        x = F.relu(self.first(maps), inplace=True)
        return F.relu(self.second(x), inplace=True).flatten(2).amax(2)

    def forward(self, maps: Tensor) -> Layer:
        """See the class."""
        values = full(self.fc(self.pooled(maps)))
        weight, bias = values.split([self.outputs * self.inputs, self.outputs], 1)
        return Layer(weight.unflatten(1, (self.outputs, self.inputs)), bias)


class HysNet(nn.Module):
    """Images (n, 1, z, y, x) or (n, 1, y, x) → predictions (n), in standard deviations."""

    def __init__(self, backbone: Backbone, section: HysnetNetSection) -> None:
        super().__init__()
        self.backbone = backbone
        channels = backbone.channels
        self.branches = nn.ModuleList(
            HyperBranch(channels, section.branch, inputs, outputs, section.dimensions)
            for inputs, outputs in pairwise((channels, *section.predictor, 1))
        )

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        features = self.backbone.features(images)
        return predicted(features.pooled, self.layers(features.maps))

    def layers(self, maps: Tensor) -> list[Layer]:
        """The predictor's layers, which H makes of the maps of each image."""
        return [branch(maps) for branch in self.branches]

    def feature_of(self, images: Tensor) -> Tensor:
        """The backbone's pooled feature (n, channels)."""
        return self.backbone.features(images).pooled

    def weights_of(self, images: Tensor) -> Tensor:
        """All that H makes for each image, layer by layer: (n, d) (the paper's Fig. 3)."""
        maps = self.backbone.features(images).maps
        return torch.cat([layer.flat for layer in self.layers(maps)], 1)


class PlainNet(nn.Module):
    """As HysNet with an ordinary head of the same shape, whose weights all images share."""

    def __init__(self, backbone: Backbone, section: HysnetNetSection) -> None:
        super().__init__()
        self.backbone = backbone
        sizes = pairwise((backbone.channels, *section.predictor, 1))
        self.head = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in sizes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 1, z, y, x) or (n, 1, y, x) → predictions (n), in standard deviations."""
        x = self.feature_of(images)
        with torch.autocast(x.device.type, enabled=False):
            for number, layer in enumerate(self.head):
                x = layer(torch.sigmoid(x) if number else x)
        return x.squeeze(1)

    def feature_of(self, images: Tensor) -> Tensor:
        """The backbone's pooled feature (n, channels)."""
        return self.backbone.features(images).pooled


def _without_copies(pool: nn.Module, x: Tensor) -> Tensor:
    """Autocast would pool in float32: the same values, but 5% of a step in copies."""
    with torch.autocast(x.device.type, enabled=False):
        pooled: Tensor = pool(x)
    return pooled


def full(x: Tensor) -> Tensor:
    """`x` in float32, if it is in half precision."""
    return x if x.dtype == torch.float64 else x.float()


def predicted(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """ψ: (n, c) through each row's own layers, sigmoids between them → (n).

    Not in half precision, in which a prediction would have three digits: it is a thousandth of the
    work.
    """
    with torch.autocast(x.device.type, enabled=False):
        for number, layer in enumerate(layers):
            x = layer.apply_to(torch.sigmoid(x) if number else x)
    return x.squeeze(1)


def make_net(section: HysnetNetSection, seed: int) -> HysNet | PlainNet:
    """The untrained network with the weights that the seed gives."""
    backbone = Backbone(section, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HysNet(backbone, section) if section.hyper else PlainNet(backbone, section)


def rates(module: nn.Module, hyper_rate: float) -> list[tuple[float, list[nn.Parameter]]]:
    """Every parameter of a network once, with its factor of the learning rate.

    [P] That of the hyper-network is `hyper_rate` (hyperIQA: 10), that of all others is 1.
    """
    if not isinstance(module, HysNet):
        return [(1.0, list(module.parameters()))]
    hyper = list(module.branches.parameters())
    return [(1.0, list(module.backbone.parameters())), (hyper_rate, hyper)]
