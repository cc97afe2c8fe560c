"""What the networks of the hierarchy minimise: a focal loss whose classes weigh the same."""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

TINY = 1e-12
"""Instead of no weight at all. Its inverse times a gradient stays a float32: 0 times inf is NaN."""


class FocalTerms(NamedTuple):
    """Sums over some samples: of their losses, and of their weights. Both of all samples, divided,
    are the loss, however the samples are shared by workers."""

    losses: Tensor
    weights: Tensor

    def loss(self) -> Tensor:
        """The loss of these samples alone, at least 0; 0 where none counts."""
        return self.losses / self.weights.clamp_min(TINY)


def focal_terms(
    logits: Tensor, targets: Tensor, class_weights: Tensor, weights: Tensor, gamma: float
) -> FocalTerms:
    """Σ_i w_i Σ_c t_ic v_c (1 − p_ic)^γ (−log p_ic), and Σ_i w_i Σ_c t_ic v_c; both (...).

    Lin et al. 2017, eq. 5, with soft targets. `logits` (..., n, classes) of one network or of
    several; `targets` (n, classes), shares of 1; `class_weights` (classes) v; `weights` (..., n) w
    of the samples, 0 for those that do not count. γ = 0 is the weighted cross-entropy. In float32.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    shares = targets * class_weights * weights[..., None]
    losses = shares * (1 - log_p.exp()) ** gamma * -log_p
    return FocalTerms(losses.sum((-2, -1)), shares.sum((-2, -1)))


def balanced(targets: Tensor, weights: Tensor) -> Tensor:
    """Class weights (classes) that give every class the same sum; their mean over samples is 1.

    Of `targets` (n, classes) with the samples' `weights` (n). A class that nobody has weighs 0.
    """
    counts = (targets * weights[:, None]).sum(0)
    there = counts > 0
    inverse = torch.where(there, 1 / counts.clamp_min(TINY), 0)
    return inverse * counts.sum() / there.sum().clamp_min(1)
