"""What the networks of the hierarchy minimise: a focal loss whose classes weigh the same."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def focal_loss(
    logits: Tensor, targets: Tensor, class_weights: Tensor, weights: Tensor, gamma: float
) -> Tensor:
    """Σ_i w_i Σ_c t_ic v_c (1 − p_ic)^γ (−log p_ic) / Σ_i w_i Σ_c t_ic v_c, 0-d, at least 0.

    Lin et al. 2017, eq. 5, with soft targets. `logits`, `targets` (n, classes), the latter shares
    of 1; `class_weights` (classes) v; `weights` (n) w of the samples, 0 for those that do not
    count. 0 where none counts. γ = 0 is the weighted cross-entropy. In float32.
    """
    log_p = F.log_softmax(logits.float(), dim=1)
    shares = targets * class_weights * weights[:, None]
    losses = shares * (1 - log_p.exp()) ** gamma * -log_p
    return losses.sum() / shares.sum().clamp_min(torch.finfo(torch.float32).tiny)


def balanced(targets: Tensor, weights: Tensor) -> Tensor:
    """Class weights (classes) that give every class the same sum; their mean over samples is 1.

    Of `targets` (n, classes) with the samples' `weights` (n). A class that nobody has weighs 0.
    """
    counts = (targets * weights[:, None]).sum(0)
    there = counts > 0
    inverse = torch.where(there, 1 / counts.clamp_min(torch.finfo(counts.dtype).tiny), 0)
    return inverse * counts.sum() / there.sum().clamp_min(1)
