"""Parameters that learn at different rates: a task may ask for it, most do not."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

FACTOR = "factor"
"""Of a group of parameters, in the optimizer: times the learning rate."""


@runtime_checkable
class Rated(Protocol):
    """A task whose parameters learn at different rates."""

    def rates(self, module: nn.Module) -> Sequence[tuple[float, Sequence[nn.Parameter]]]:
        """Every parameter of `module` once, with the factor of the learning rate for it."""
        ...


def parameter_groups(task: object, module: nn.Module) -> list[dict[str, Any]]:
    """What the optimizer is made with: one group, or those of a `Rated` task with their factors."""
    if not isinstance(task, Rated):
        return [{"params": list(module.parameters())}]
    return [{"params": list(some), FACTOR: factor} for factor, some in task.rates(module)]


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let every group learn at `rate` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(FACTOR, 1.0)
