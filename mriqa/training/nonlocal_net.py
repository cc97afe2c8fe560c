"""The nonlocal residual network of slices, and the attention that volumes share with it.

Liu et al. 2020 (IEEE TMI, 10.1109/TMI.2020.3002708); nonlocal blocks: Wang et al. 2018, eq. 4, 6.
[P] what the paper leaves open: separable residual blocks, channels, places, and a stem that halves
the image, as a ResNet's does: without, a slice takes six times as long, most of it in the first
stage's 32 full images (5.5 and 33 ms for 168×224 on a core; ResNet18 21).
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

CHANNELS = (32, 64, 128, 256)
"""Of the four stages; the last is the length of a slice's features."""
NONLOCAL_AFTER = (2, 3)
"""Stages, from 0, that a nonlocal block follows: before, the maps are large and the view local."""
LEAST_PX = 2 ** (1 + len(CHANNELS))
"""The stem and each stage halve the image: what is smaller is padded with air."""


def attended(query: Tensor, key: Tensor, value: Tensor, is_there: Tensor | None = None) -> Tensor:
    """Embedded-Gaussian attention (n, i, c): softmax over the places j of `query`·`key`, times
    `value`, all (n, places, c). Places where `is_there` (n, j) is False are not looked at.

    Without the 1/√c of transformers, as in Wang et al. 2018; never an i × j matrix of all in memory
    where torch has a fused kernel.
    """
    mask = None if is_there is None else is_there[:, None, None, :]
    seen = F.scaled_dot_product_attention(
        query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1), attn_mask=mask, scale=1.0
    )
    return seen.squeeze(1)


class NonlocalBlock(nn.Module):
    """x + BN(W·attention(θx, φx, gx)) over all places of an image; at first x itself (γ = 0)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv2d(inner, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, y, x) → the same shape."""
        query, key, value = (
            one(x).flatten(2).transpose(1, 2) for one in (self.theta, self.phi, self.g)
        )
        seen = attended(query, key, value).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
        added: Tensor = self.norm(self.out(seen))
        return x + added


class SeparableResidual(nn.Module):
    """Two depthwise-separable 3×3 convolutions and a shortcut: (n, c_in, y, x) → (n, c, y, x)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _separable(inputs, channels), nn.ReLU(inplace=True), _separable(channels, channels)
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def _separable(inputs: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.Conv2d(inputs, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    )


class NonlocalEncoder(nn.Module):
    """The slice network without its classifier: (n, channels, y, x) → (n, 256) features."""

    def __init__(self, channels: int = 1, nonlocal_after: tuple[int, ...] = NONLOCAL_AFTER) -> None:
        super().__init__()
        first = CHANNELS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                SeparableResidual(inputs, outputs),
                nn.MaxPool2d(2),
                *([NonlocalBlock(outputs)] if number in nonlocal_after else []),
            )
            for number, (inputs, outputs) in enumerate(
                zip((first, *CHANNELS[:-1]), CHANNELS, strict=True)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class; images smaller than LEAST_PX are padded with zeros."""
        x = self.stem(padded(x, LEAST_PX))
        for stage in self.stages:
            x = stage(x)
        return x.mean((2, 3), dtype=torch.float32)


def padded(x: Tensor, least_px: int) -> Tensor:
    """(n, c, y, x) at least `least_px` long on both sides, zeros around what is shorter."""
    lacking = [max(least_px - size, 0) for size in x.shape[-2:]]
    if not any(lacking):
        return x
    y, x_ = ((one // 2, one - one // 2) for one in lacking)
    return F.pad(x, (*x_, *y))
