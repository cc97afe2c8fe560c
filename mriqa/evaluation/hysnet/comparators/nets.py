"""Networks that HyS-Net is compared with: deepIQA, the two-stream CNN, DBCNN.

Each keeps the idea of its paper; it is small, of one channel, trained from scratch, on the mean
absolute error, in the frame of our experiment: no reproduction of the paper's numbers. None sees
the zeros around a slice (see `content`): in evaluation its predictions do not depend on them.
None has dropout: a run that goes on after a stop would draw other units.
"""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mriqa.evaluation.hysnet.comparators.content import gathered, tiles, weighted_means
from mriqa.methods.hysnet.net import full
from mriqa.training.normalisation import globalise

ComparatorName = Literal["deepiqa", "two_stream", "dbcnn"]

LEAST_WEIGHT = 1e-6
"""Of a patch: their sum is divided by [S, Bosse et al. 2018, eq. 7]."""
ROOT = 1e-8
"""Added below square roots, whose slope at 0 is infinite."""
STRIDE = 16
"""Of DBCNN's maps, of both networks."""
GAIN = 10.0
"""Length of what DBCNN's last layer sees: with Adam it learns so many times as fast as at 1.

The authors' code trains it first, by itself, at a hundred times the rate of the whole afterwards.
Measured on made-up discs in noise (width 1/8, 80 steps of rate 3e-4, two seeds): mean error of the
standardised level of noise 0.49 at 1, 0.30 at 4, 0.27 at 16.
"""


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3×3, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _head(inputs: int, hidden: int) -> nn.Sequential:
    """Two fully connected layers that end in a number."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 1))


class DeepIqa(nn.Module):
    """WaDIQaM-NR, "deepIQA" (Bosse et al., IEEE TIP 27:206, 2018): slices (n, 1, y, x) → (n).

    [S] Ten 3×3 convolutions with ReLU (32, 32, 64, 64 … 512, 512), max-pooled after each second,
    turn a patch of 32×32 into a feature; from it one head gives the patch's score, one its weight
    (ReLU + ε); a slice's score is the weighted mean. Changed: all patches of the content instead of
    32 random ones; weights times the share of the patch that is content; the weights' head starts
    at about 1 for every patch, as a ReLU that starts below 0 would never learn; no dropout.
    """

    SIDE = 32
    CHANNELS = (32, 64, 128, 256, 512)

    def __init__(self, width: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for channels in (_scaled(one, width) for one in self.CHANNELS):
            for before in (inputs, channels):
                layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU(inplace=True)]
            layers.append(nn.MaxPool2d(2))
            inputs = channels
        self.features = nn.Sequential(*layers)
        self.score, self.weight = _head(inputs, inputs), _head(inputs, inputs)
        for one in self.features.modules():
            if isinstance(one, nn.Conv2d):  # ten layers without a norm: the signal must not fade
                nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
                nn.init.zeros_(one.bias)  # type: ignore[arg-type]
        nn.init.ones_(self.weight[-1].bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        patches = tiles(images, self.SIDE)
        scores, weights = self.judged(patches.images)
        return weighted_means(scores, weights * patches.shares, patches.owners, len(images))

    def judged(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Score and weight (k) of patches (k, 1, SIDE, SIDE), in float32."""
        features = full(self.features(patches).flatten(1))
        with torch.autocast(features.device.type, enabled=False):
            scores, weights = self.score(features), self.weight(features)
            return scores.squeeze(1), F.relu(weights).squeeze(1) + LEAST_WEIGHT


class TwoStream(nn.Module):
    """Two-stream CNN (Yan, Gong, Zhang, IEEE TIP 28:2200, 2019): slices (n, 1, y, x) → (n).

    [S] One stream sees a patch of the image, one that of its gradient image; their features meet,
    with those around the patch's centre by themselves; a slice's score is the mean of its patches'.
    [P] what its abstract leaves open: patches of 64×64, Sobel's magnitude as gradient, streams of
    six 3×3 convolutions (32, 32, 64, 64, 128, 128) with batch norm, max-pooled after each second,
    means over the map and over its central quarter, one hidden layer. A patch counts by the share
    of it that is content.
    """

    SIDE = 64
    CHANNELS = (32, 64, 128)
    HIDDEN = 512

    def __init__(self, width: float) -> None:
        super().__init__()
        self.image, self.gradient = self._stream(width), self._stream(width)
        features = _scaled(self.CHANNELS[-1], width)
        self.head = _head(4 * features, _scaled(self.HIDDEN, width))

    def _stream(self, width: float) -> nn.Sequential:
        layers: list[nn.Module] = []
        inputs = 1
        for channels in (_scaled(one, width) for one in self.CHANNELS):
            layers += [_convolution(inputs, channels), _convolution(channels, channels)]
            layers.append(nn.MaxPool2d(2))
            inputs = channels
        return nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        patches = tiles(torch.cat([images, gradient(images)], 1), self.SIDE)
        scores = self.judged(patches.images)
        return weighted_means(scores, patches.shares, patches.owners, len(images))

    def judged(self, patches: Tensor) -> Tensor:
        """Score (k) of patches and their gradients (k, 2, SIDE, SIDE), in float32."""
        image, slope = patches.split(1, 1)
        maps = full(torch.cat([self.image(image), self.gradient(slope)], 1))
        quarter = maps.shape[-1] // 4
        centre = maps[..., quarter:-quarter, quarter:-quarter]
        features = torch.cat([maps.mean((2, 3)), centre.mean((2, 3))], 1)
        with torch.autocast(features.device.type, enabled=False):
            score: Tensor = self.head(features).squeeze(1)
        return score


def gradient(images: Tensor) -> Tensor:
    """Magnitude of Sobel's gradient of (n, 1, y, x), zeros beyond its edges, a step of 1 being 1;
    never in half precision, in which small differences vanish."""
    across = images.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    with torch.autocast(images.device.type, enabled=False):
        both = F.conv2d(images, torch.stack([across, across.T])[:, None], padding=1)
        return both.square().sum(1, keepdim=True).add(ROOT**2).sqrt()


class Dbcnn(nn.Module):
    """DB-CNN (Zhang et al., IEEE TCSVT 30:36, 2020): slices (n, 1, y, x) → (n).

    [S] S-CNN, for distortions (nine 3×3 convolutions with batch norm, four of stride 2), and VGG-16
    up to its last convolution, for content, see the whole image; their maps are pooled bilinearly
    (the mean over places of all products), signed square root, L2 norm, one linear layer. Changed:
    neither is pre-trained (there: on made-up distortions, on ImageNet), so VGG has batch norm
    and the last layer's input a length of GAIN; what is no content is 0 after every layer and no
    place of the pooling.
    """

    DISTORTIONS = (
        *((48, 1), (48, 2), (64, 1), (64, 2), (64, 1), (64, 2)),
        *((128, 1), (128, 1), (128, 2)),
    )
    """Channels and stride."""
    CONTENTS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    """Channels and number of convolutions between two poolings."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.distortions, self.contents = nn.ModuleList(), nn.ModuleList()
        first = inputs = 1
        for channels, stride in self.DISTORTIONS:
            self.distortions.append(_convolution(first, _scaled(channels, width), stride))
            first = _scaled(channels, width)
        for block, (channels, count) in enumerate(self.CONTENTS):
            for number in range(count):
                layer = _convolution(inputs, _scaled(channels, width))
                pool = [nn.MaxPool2d(2)] if block and not number else []
                self.contents.append(nn.Sequential(*pool, layer))
                inputs = _scaled(channels, width)
        self.fc = nn.Linear(first * inputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        content, mask = gathered(images, 2 * STRIDE)  # a single place would have no variance
        masks = [mask]
        while len(masks) < len(self.CONTENTS):
            masks.append(F.max_pool2d(masks[-1], 2))
        maps = [_masked(one, content, masks) for one in (self.distortions, self.contents)]
        with torch.autocast(images.device.type, enabled=False):
            features = bilinear(full(maps[0]), full(maps[1]), masks[-1].sum((1, 2, 3)))
            prediction: Tensor = self.fc(GAIN * normalised(features)).squeeze(1)
        return prediction


def _masked(layers: nn.ModuleList, x: Tensor, masks: list[Tensor]) -> Tensor:
    """`x` through `layers`; after each, what is no content at its resolution is 0."""
    sizes = {mask.shape[-1]: mask for mask in masks}
    for layer in layers:
        x = layer(x)
        x = x * sizes[x.shape[-1]].to(x.dtype)
    return x


def bilinear(first: Tensor, second: Tensor, places: Tensor) -> Tensor:
    """Products of all channels of (n, a, y, x) and (n, b, y, x), summed over places, over their
    number `places` (n): (n, a·b)."""
    products = torch.bmm(first.flatten(2), second.flatten(2).transpose(1, 2))
    return products.flatten(1) / places[:, None]


def normalised(features: Tensor) -> Tensor:
    """Signed square roots of (n, d), of length 1."""
    return F.normalize(features.sign() * (features.abs() + ROOT).sqrt(), dim=1)


NETS: dict[ComparatorName, type[DeepIqa | TwoStream | Dbcnn]] = {
    "deepiqa": DeepIqa,
    "two_stream": TwoStream,
    "dbcnn": Dbcnn,
}


def make_comparator(name: ComparatorName, width: float, seed: int) -> nn.Module:
    """The untrained network with the weights that the seed gives; `width` multiplies channels.

    Slices (n, 1, y, x), 0 to 1, zeros around them → predictions (n), in standard deviations.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return globalise(NETS[name](width))
