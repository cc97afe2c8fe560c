"""Convolutions whose gradients are right on a CPU.

oneDNN's gradient of the weights is wrong for some short images: it gives, or adds to, memory that
nobody has written, and writes beyond its own. Measured with torch 2.13 (CPU with avx512_bf16):
kernels of 3 at 2 slices, and at one row or column with stride 2, in bfloat16; kernels of 7, stride
2, at 5 to 7 slices in float32, at 1 and 3 to 7 in bfloat16.

2-D convolutions are affected where their kernel is 1, their stride 2 and their channels few (4, 8
or 12; not 16): at 80 pixels and more the process dies of a heap that was written over, in float32
and in bfloat16.
"""

from itertools import starmap
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

AVOIDED = {3: (range(2, 3), range(1, 2), range(1, 2)), 7: (range(1, 8),) * 3}
"""By the kernel's size: lengths of an image along z, y, x that are avoided."""
NOTHING = (range(0),) * 3
BLOCK = 16
"""Channels that oneDNN takes at a time; multiples of it are not affected."""


class ShallowConv3d(nn.Conv3d):
    """nn.Conv3d with zero padding. On a CPU an image whose length is in AVOIDED is made longer by
    zeros at its end, as the padding would be, and what comes of them is left out."""

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Conv3d."""
        sizes = x.shape[2:]
        missing = list(starmap(_missing, zip(sizes, self._avoided(x), strict=True)))
        if not any(missing):
            return super().forward(x)
        z, y, x_ = missing
        longer = super().forward(F.pad(x, (0, x_, 0, y, 0, z)))
        last = longer.is_contiguous(memory_format=torch.channels_last_3d)
        layout = torch.channels_last_3d if last else torch.contiguous_format
        padding = cast("tuple[int, ...]", self.padding)
        axes = zip(sizes, padding, self.kernel_size, self.stride, strict=True)
        z, y, x_ = (1 + (size + 2 * pad - kernel) // stride for size, pad, kernel, stride in axes)
        return longer[:, :, :z, :y, :x_].contiguous(memory_format=layout)

    def _avoided(self, x: Tensor) -> tuple[range, range, range]:
        on_cpu = x.device.type == "cpu"
        return AVOIDED.get(self.kernel_size[0], NOTHING) if on_cpu else NOTHING


def _missing(size: int, avoided: range) -> int:
    return avoided.stop - size if size in avoided else 0


class ThinnedConv2d(nn.Conv2d):
    """nn.Conv2d with a kernel of 1 and without padding, which first drops the pixels that its
    stride passes over."""

    def forward(self, x: Tensor) -> Tensor:
        """As nn.Conv2d."""
        rows, columns = self.stride
        last = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        kept = x[..., ::rows, ::columns].contiguous(memory_format=layout)
        return F.conv2d(kept, self.weight, self.bias)


def trust_gradients(module: nn.Module) -> nn.Module:
    """Make every nn.Conv3d in `module` a ShallowConv3d, and every nn.Conv2d of few channels with a
    kernel of 1 and a stride a ThinnedConv2d, in place; parameters and names stay.

    Returns `module`.
    """
    for one in module.modules():
        if type(one) is nn.Conv3d:
            one.__class__ = ShallowConv3d
        elif type(one) is nn.Conv2d and _is_narrow(one):
            one.__class__ = ThinnedConv2d
    return module


def _is_narrow(one: nn.Conv2d) -> bool:
    is_plain = one.kernel_size == (1, 1) and one.padding == (0, 0) and one.groups == 1
    return is_plain and one.stride != (1, 1) and one.in_channels % BLOCK != 0
