"""Batch normalisation over the batch of all workers.

torch's own SyncBatchNorm refuses to run on a CPU, and without a global one the workers' batches
leak into the contrastive task. These layers exchange mean and variance with any
backend. A single worker gets torch's nn.BatchNorm, bit for bit and at its speed.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mriqa.training.world import World


def _own(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance (C,) of `x` (n, C, ...) in float32, and the count behind them.

    By the kernel that nn.BatchNorm updates its running statistics with: var_mean of a bfloat16
    channels-last image takes fifty times as long.
    """
    count = x.numel() // x.shape[1]
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    mean, variance = torch.zeros(2, x.shape[1], dtype=kind, device=x.device)
    torch.ops.aten.batch_norm_update_stats(x, mean, variance, 1.0)  # in place; momentum 1
    if count == 1:
        return mean, torch.zeros_like(mean), count
    return mean, variance * ((count - 1) / count), count


def _pool(x: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Count, mean and biased variance (C,) of `x` (n, C, ...) over all workers, in float32.

    Means and squared deviations are pooled (Chan et al. 1983): sums of squares would cancel. Every
    worker adds in the order of ranks, so all get the same bits.
    """
    mean, variance, count = _own(x)
    own = torch.cat([mean.new_full((1,), count), mean, variance])
    every = [torch.empty_like(own) for _ in range(size)]
    dist.all_gather(every, own)
    counts, means, variances = torch.stack(every).split([1, len(mean), len(mean)], dim=1)
    share = counts / counts.sum()
    pooled = (share * means).sum(0)
    return counts.sum(), pooled, (share * (variances + (means - pooled) ** 2)).sum(0)


class _Normalise(torch.autograd.Function):
    """Normalise by the statistics of all workers; torch's own kernels for the elements."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, size: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count, mean, variance = _pool(x, size)
        y = torch.nn.functional.batch_norm(x, mean, variance, weight, bias, eps=eps)
        ctx.save_for_backward(x, weight, count, mean, variance)
        ctx.eps, ctx.biased = eps, bias is not None
        ctx.mark_non_differentiable(count, mean, variance)
        return y, count, mean, variance

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None, None]:
        x, weight, count, mean, variance = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        _, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, mean, scale, False, ctx.eps, [False, True, True]
        )
        total = torch.stack([d_weight, d_bias])
        dist.all_reduce(total)
        # rounded as dy·scale is below, or the two would not cancel in bfloat16
        scale = (scale if weight is None else scale * weight).to(x.dtype)
        gain = -scale.to(mean.dtype) / count
        # What flows through mean and variance is gain·(x̂·Σdy·x̂ + Σdy), an affine map of x̂:
        # a batch norm. dy·scale on top of it in place: one pass less over the image than apart from
        # it, and of the same type, as mixed ones take twenty times as long.
        dx = torch.nn.functional.batch_norm(
            x, mean, variance, gain * total[0], gain * total[1], eps=ctx.eps
        )
        dx.addcmul_(gradient, scale.view(-1, *(1,) * (x.dim() - 2)))
        return (
            dx,
            d_weight if weight is not None else None,
            d_bias if ctx.biased else None,
            None,
            None,
        )


class _Global:
    """Mixed into a torch batch norm: statistics over all workers while training."""

    def forward(self: Any, x: Tensor) -> Tensor:
        """Normalise `x` (n, C, ...); with several workers all must call it together."""
        size = World.current().size
        if size == 1 or not (self.training or self.running_mean is None):
            return super().forward(x)  # type: ignore[misc, no-any-return]
        self._check_input_dim(x)
        y, count, mean, variance = _Normalise.apply(x, self.weight, self.bias, self.eps, size)  # type: ignore[no-untyped-call]
        if self.training and self.track_running_stats:
            self._remember(count, mean, variance)
        return y  # type: ignore[no-any-return]

    @torch.no_grad()
    def _remember(self: Any, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics as torch does (unbiased variance)."""
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)


class GlobalBatchNorm1d(_Global, nn.BatchNorm1d):
    """nn.BatchNorm1d over the batch of all workers."""


class GlobalBatchNorm2d(_Global, nn.BatchNorm2d):
    """nn.BatchNorm2d over the batch of all workers."""


class GlobalBatchNorm3d(_Global, nn.BatchNorm3d):
    """nn.BatchNorm3d over the batch of all workers."""


GLOBAL: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: GlobalBatchNorm1d,
    nn.BatchNorm2d: GlobalBatchNorm2d,
    nn.BatchNorm3d: GlobalBatchNorm3d,
}


def globalise(module: nn.Module) -> nn.Module:
    """Make every batch norm in `module` a global one, in place; parameters and names stay.

    Returns `module` (a new layer only if `module` itself is a batch norm).
    """
    for name, child in module.named_children():
        setattr(module, name, globalise(child))
    wanted = GLOBAL.get(type(module))
    if wanted is None:
        return module
    layer = wanted.__new__(wanted)
    layer.__dict__.update(module.__dict__)
    return layer
