"""Contrastive pretraining of any encoder: NT-Xent over the batch of all workers.

Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", eq. 1.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mriqa.training.world import World

CHUNK = 128
"""Anchors compared at a time: their similarities to all others fit into a core's cache."""
WATCHED = 256
"""Pairs that alignment and uniformity are measured on, at most."""

BatchSource = Callable[[int, int, World], Iterator[Tensor]]
"""(first, count, world) → batches number first … first+count−1, each (n, 2, channels, ...)."""


class _AnchorLoss(torch.autograd.Function):
    """Summed cross-entropy of some anchors, with its gradient made in the same pass.

    The similarities are made CHUNK anchors at a time, turned into their gradient in place and
    dropped: memory is O(N·(d + CHUNK)), never N×N.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, first: int, count: int, temperature: float) -> Tensor:
        pairs = len(z) // 2
        gradient = torch.zeros_like(z) if ctx.needs_input_grad[0] else None
        loss = z.new_zeros(())
        for view in (0, pairs):
            for start in range(view + first, view + first + count, CHUNK):
                stop = min(start + CHUNK, view + first + count)
                loss += _add_chunk(z, start, stop, temperature, gradient)
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (own,) = ctx.saved_tensors
        return own * gradient, None, None, None


def _add_chunk(
    z: Tensor, start: int, stop: int, temperature: float, gradient: Tensor | None
) -> Tensor:
    """Loss of the anchors start … stop−1 among all rows of `z`; adds to `gradient`."""
    anchors = z[start:stop]
    own = torch.arange(start, stop, device=z.device)
    rows, positive = own - start, (own + len(z) // 2) % len(z)
    similarity = (anchors @ z.T).div_(temperature)
    similarity[rows, own] = -torch.inf
    wanted = similarity[rows, positive]
    highest = similarity.amax(1, keepdim=True)
    similarity.sub_(highest).exp_()
    total = similarity.sum(1, keepdim=True)
    loss = (total.log() + highest).sum() - wanted.sum()
    if gradient is not None:
        similarity.div_(total)
        similarity[rows, positive] -= 1
        similarity.div_(temperature)
        gradient[start:stop] += similarity @ z
        gradient.addmm_(similarity.T, anchors)
    return loss


def nt_xent(z1: Tensor, z2: Tensor, temperature: float, world: World) -> Tensor:
    """Mean NT-Xent loss of the global batch, the same number on every worker; lower is better.

    `z1`, `z2` (n, d) are the projections of two views of this worker's n slices, not normalised.
    Each of the 2N views of all workers is an anchor: its positive is the other view of its slice,
    its negatives the 2N−2 views of others. With uninformative projections it is log(2N−1).
    Computed in float32 (float64 for float64) whatever autocast says.
    """
    with torch.autocast(z1.device.type, enabled=False):
        wide = torch.float64 if z1.dtype == torch.float64 else torch.float32
        own = torch.stack([F.normalize(z.to(wide), dim=1) for z in (z1, z2)], dim=1)
        views = world.gather(own).transpose(0, 1).reshape(-1, own.shape[-1])
        summed = _AnchorLoss.apply(views, world.rank * len(own), len(own), temperature)  # type: ignore[no-untyped-call]
        return world.mean(summed / (2 * len(own)))


@torch.no_grad()
def alignment_and_uniformity(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    """How close positives are and how evenly views spread (Wang & Isola 2020, eq. 3 and 4).

    Alignment is the mean squared distance of the two views' unit projections (0-4, lower is
    better); uniformity log mean exp(−2 d²) over pairs of different slices (−8-0, lower is better,
    0 is collapse). On the first WATCHED slices of this worker.
    """
    first, second = (F.normalize(z[:WATCHED].float(), dim=1) for z in (z1, z2))
    alignment = (first - second).square().sum(1).mean()
    spread = [torch.pdist(z).square().mul(-2).exp().mean() for z in (first, second)]
    return alignment, torch.stack(spread).mean().log()


class ContrastiveNet(nn.Module):
    """An encoder and the two-layer projection head that only the loss uses (SimCLR §2.1)."""

    def __init__(self, encoder: nn.Module, embedding: int, projection: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(embedding, embedding), nn.ReLU(inplace=True), nn.Linear(embedding, projection)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Projections (n, projection) of `images` (n, channels, ...)."""
        return self.head(self.encoder(images))  # type: ignore[no-any-return]


class ContrastiveTask:
    """SimCLR's task for the training loop: both views of a batch in one pass, NT-Xent."""

    def __init__(self, module: ContrastiveNet, source: BatchSource, temperature: float) -> None:
        self.module: nn.Module = module
        self.source = source
        self.temperature = temperature

    def batches(self, first: int, count: int, world: World) -> Iterator[Tensor]:
        """This worker's part of the batches number first … first+count−1: (n, 2, channels, ...)."""
        return self.source(first, count, world)

    def loss(
        self, module: nn.Module, batch: Tensor, world: World
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """NT-Xent of `batch` (n, 2, channels, ...) and what to watch.

        Both views go through the network together, so that they share the batch statistics.
        """
        projections = module(batch.flatten(0, 1)).unflatten(0, (-1, 2))
        z1, z2 = projections.unbind(1)
        alignment, uniformity = alignment_and_uniformity(z1, z2)
        loss = nt_xent(z1, z2, self.temperature, world)
        return loss, {"alignment": alignment, "uniformity": uniformity}


def make_contrastive_net(
    encoder: nn.Module, embedding: int, projection: int, seed: int
) -> ContrastiveNet:
    """`encoder` with a projection head whose weights come from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ContrastiveNet(encoder, embedding, projection)
