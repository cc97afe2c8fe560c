"""The volume network: a nonlocal network over the features of a volume's slices.

[P] Slices, of any number, look at one another in 1-D nonlocal residual blocks; what they say is
pooled by mean and by maximum, for one bad slice can make a volume fail. Features come in standard
deviations from what is usual in their stratum (levels.py): how far they are off is what counts, so
nothing normalises them on their way in. Blocks are normalised slice by slice (LayerNorm): with a
batch norm the padding of shorter volumes would count.

Beside it a linear layer reads what is usual and what is extreme of each feature (Cheng et al. 2016,
wide & deep learning): from a hundred labels, a fifth of them wrong, it learns what the network
would not, and more labels let the network add what is not linear (docs/results/hierarchy_demo.md).
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from mriqa.training.nonlocal_net import attended
from mriqa.training.normalisation import GlobalBatchNorm1d

DESCRIBED = 4
"""Of each feature of the slices: mean, standard deviation, least and greatest."""
LEAST_VARIANCE = 0.01
SCALED_LIMIT = 10.0
"""What hardly varied in training, as where slices lie in volumes of one protocol, must not decide
everything of a volume in which it does: an acquisition that was broken off has few slices."""


class NonlocalSlices(nn.Module):
    """x + LN(W·attention(θx, φx, gx)) over the slices (n, z, c) that are there; at first x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta, self.phi, self.g = (nn.Linear(channels, inner) for _ in range(3))
        self.out = nn.Linear(inner, channels, bias=False)
        self.norm = nn.LayerNorm(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor, is_there: Tensor) -> Tensor:
        """(n, z, c) and which slices are there (n, z) → (n, z, c)."""
        seen = attended(self.theta(x), self.phi(x), self.g(x), is_there)
        added: Tensor = self.norm(self.out(seen))
        return x + added


class VolumeNet(nn.Module):
    """Features of slices (n, z, d), and which are there (n, z) → logits (n, classes)."""

    def __init__(
        self, features: int, channels: int, blocks: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(features, channels)
        self.blocks = nn.ModuleList(NonlocalSlices(channels) for _ in range(blocks))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * channels, classes)
        # the greatest of many slices lies elsewhere than their mean: all in their own deviations
        self.scale = GlobalBatchNorm1d(
            DESCRIBED * features, eps=LEAST_VARIANCE, affine=False, momentum=None
        )
        self.direct = nn.Linear(DESCRIBED * features, classes)
        nn.init.zeros_(self.direct.weight)

    def forward(self, slices: Tensor, is_there: Tensor) -> Tensor:
        """See the class. Each volume must have a slice that is there."""
        x = F.relu(self.enter(slices))
        for block in self.blocks:
            x = block(x, is_there)
        logits: Tensor = self.head(self.dropout(pooled(x, is_there)))
        scaled = self.scale(described(slices, is_there)).clamp(-SCALED_LIMIT, SCALED_LIMIT)
        direct: Tensor = self.direct(self.dropout(scaled))
        return logits + direct


def pooled(x: Tensor, is_there: Tensor) -> Tensor:
    """Mean and maximum (n, 2c) of `x` (n, z, c) over the slices that are there (n, z)."""
    there = is_there[..., None]
    mean = (x * there).sum(1) / there.sum(1)
    highest = x.masked_fill(~there, -torch.inf).amax(1)
    return torch.cat([mean, highest], 1)


def described(slices: Tensor, is_there: Tensor) -> Tensor:
    """Of slices (n, z, d) that are there (n, z): DESCRIBED numbers a feature (n, 4d)."""
    there = is_there[..., None]
    count = there.sum(1)
    mean = (slices * there).sum(1) / count
    spread = (((slices - mean[:, None]) ** 2 * there).sum(1) / count).sqrt()
    least = slices.masked_fill(~there, torch.inf).amin(1)
    greatest = slices.masked_fill(~there, -torch.inf).amax(1)
    return torch.cat([mean, spread, least, greatest], 1)
