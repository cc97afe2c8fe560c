"""The workers that train together, and what they exchange.

One rule holds for every method: **the objective is the mean of what the workers' losses return**.
Every exchange below is differentiable, with the gradient of that objective's sum (a value that
was sent to k workers gets the gradients of all k added), and the loop averages the parameters'
gradients. So a task may return the mean over its own samples and need no exchange at all, or
compute with everybody's samples and return the same number everywhere: both give the gradient of
one worker with the whole batch.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Sum(torch.autograd.Function):
    """Sum over workers; the gradient is summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    """Rows of all workers; a row's gradient is the sum of what every worker says of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rank: int, size: int) -> Tensor:
        ctx.rows = slice(rank * len(x), (rank + 1) * len(x))
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(size)]
        dist.all_gather(parts, x.detach().contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.rows], None, None


@dataclass(frozen=True)
class World:
    """Worker `rank` of `size`; alone by default, when nothing is exchanged."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> "World":
        """The world that torch.distributed was initialised with, or one worker alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def leads(self) -> bool:
        """Whether this worker writes files and speaks."""
        return self.rank == 0

    def gather(self, x: Tensor) -> Tensor:
        """Rows (n, ...) of every worker, in the order of ranks: (size × n, ...). Differentiable.

        All workers must pass the same shape.
        """
        return x if self.size == 1 else _Gather.apply(x, self.rank, self.size)  # type: ignore[no-untyped-call]

    def sum_(self, x: Tensor) -> Tensor:
        """The sum of every worker's `x`, the same on all. Differentiable."""
        return x if self.size == 1 else _Sum.apply(x)  # type: ignore[no-untyped-call]

    def mean(self, x: Tensor) -> Tensor:
        """The mean of every worker's `x`, the same on all. Differentiable."""
        return x if self.size == 1 else self.sum_(x) / self.size

    def reduce_gradient(self, flat: Tensor) -> None:
        """Replace `flat` by its mean over the workers, in place; no gradient flows."""
        if self.size > 1:
            dist.all_reduce(flat)
            flat /= self.size

    def follow(self, x: Tensor) -> None:
        """Replace `x` by worker 0's, in place; no gradient flows."""
        if self.size > 1:
            own = x.detach().contiguous()
            dist.broadcast(own, src=0)
            x.detach().copy_(own)

    def barrier(self) -> None:
        """Wait for every worker."""
        if self.size > 1:
            dist.barrier()
