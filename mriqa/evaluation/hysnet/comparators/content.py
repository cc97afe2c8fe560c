"""What of a padded slice is slice: the comparators look at nothing else.

A slice's content is the smallest box around its pixels other than 0, so neither the zeros that a
batch pads it with count, nor air that is blanked on a whole side. Blanked air inside the box is
content. A slice without any such pixel is content as a whole: there is something to judge.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


class Box(NamedTuple):
    """Rows and columns of a slice, the last ones excluded."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, image: Tensor) -> Tensor:
        """What lies in the box: (…, y, x) → (…, bottom − top, right − left)."""
        return image[..., self.top : self.bottom, self.left : self.right]


class Tiles(NamedTuple):
    """Squares of all slices of a batch, one slice after the other.

    `images` (k, c, side, side); `shares` (k), 0 to 1, of each that is content and no filling;
    `owners` (k), the number of its slice in the batch.
    """

    images: Tensor
    shares: Tensor
    owners: Tensor


def boxes(images: Tensor) -> list[Box]:
    """The content of each of the slices (n, 1, y, x)."""
    there = images[:, 0] != 0
    there = there | ~there.flatten(1).any(1)[:, None, None]
    ends = []
    for axis in (2, 1):
        lines = there.any(axis).int()  # argmax gives the first of the greatest
        ends += [lines.argmax(1), lines.shape[1] - lines.flip(1).argmax(1)]
    return [Box(*one) for one in torch.stack(ends, 1).tolist()]


def tiles(images: Tensor, side: int) -> Tiles:
    """The content of slices (n, c, y, x), that of their first channel, in squares that do not
    overlap; those at the right and at the bottom are filled up with zeros."""
    cut, shares, owners = [], [], []
    for number, box in enumerate(boxes(images[:, :1])):
        content = box.of(images[number])
        marked = torch.cat([content, torch.ones_like(content[:1])])
        found = filled(marked, side).unfold(1, side, side).unfold(2, side, side)
        squares = found.flatten(1, 2).transpose(0, 1)  # (k, c + 1, side, side)
        cut.append(squares[:, :-1])
        shares.append(squares[:, -1].mean((1, 2)))
        owners.append(torch.full((len(squares),), number, device=images.device))
    return Tiles(torch.cat(cut), torch.cat(shares), torch.cat(owners))


def filled(image: Tensor, multiple: int) -> Tensor:
    """(…, y, x) with zeros at its end, so that both sides are multiples of `multiple`."""
    y, x = (-size % multiple for size in image.shape[-2:])
    return F.pad(image, (0, x, 0, y))


def gathered(images: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """The content of slices (n, 1, y, x) at the upper left of the smallest image that holds each,
    its sides multiples of `multiple`; and where it is content (n, 1, y, x), 0 or 1."""
    found = boxes(images)
    height = max(box.bottom - box.top for box in found)
    width = max(box.right - box.left for box in found)
    shape = [multiple * -(-size // multiple) for size in (height, width)]
    content, mask = images.new_zeros((2, len(images), 1, *shape))
    for number, box in enumerate(found):
        inside = box.of(images[number])
        y, x = inside.shape[-2:]
        content[number, :, :y, :x] = inside
        mask[number, :, :y, :x] = 1
    return content, mask


def weighted_means(values: Tensor, weights: Tensor, owners: Tensor, count: int) -> Tensor:
    """Of the `values` (k) of each of `count` owners, by `weights` (k) of 0 or more → (count)."""
    both = torch.stack([values * weights, weights])
    sums = both.new_zeros((2, count)).index_add(1, owners, both)
    return sums[0] / sums[1]
