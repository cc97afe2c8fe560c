"""Which parts of a volume the network sees, and how they are cut: pure functions of their numbers.

Parts are drawn (`draw`, at random; `grid`, all of a volume) apart from being cut, so that each can
be made again from its place. Cubes are the paper's (arXiv 2107.06888): random ones of side 96 in
training, a grid of step 48 in testing; whole slices padded or resized to 384² are its 2-D ablation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mriqa.config.hysnet import HysnetLearningSection, HysnetPatchSection
from mriqa.training.views import prepare

Image = NDArray[np.float32]
Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]
GRAIN = 16
"""Shortened sides are multiples of it, in voxels: a ResNet halves its image five times, upwards."""


class Place(NamedTuple):
    """First voxel of a part; before 0 where the part is longer than the volume."""

    z: int
    y: int
    x: int


class Parts(Protocol):
    """A way to take parts of a volume; all parts have the same shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a part: (z, y, x), or (y, x)."""

    def draw(self, rng: np.random.Generator, shape: Shape) -> Place:
        """A part of a volume of `shape` (z, y, x), all equally likely; takes three numbers."""

    def grid(self, shape: Shape) -> list[Place]:
        """Parts that together show every voxel, in a fixed order."""

    def box(self, place: Place, shape: Shape) -> Box:
        """What there is of a part in a volume of `shape`, as an index (z, y, x)."""

    def framed(self, content: Image, place: Place) -> Image:
        """What there is of a part (z, y, x), in the shape of all parts."""


@dataclass(frozen=True)
class Cubes:
    """Boxes of `sides` voxels (z, y, x), `steps` apart in a grid; around what is missing, zeros.

    A volume that is shorter than the box along an axis lies in its middle, with zeros on both sides
    (one more after it than before, where their number is odd).
    """

    sides: Shape
    steps: Shape

    @classmethod
    def fitted(cls, section: HysnetPatchSection, shapes: Iterable[Shape]) -> "Cubes":
        """[P] Of the section's sides, shortened to the usual volume of `shapes`, if any.

        An axis is shortened to the volumes' median length, rounded up to a multiple of GRAIN, and
        its step in proportion. Or half of what a network sees of 44 slices would be padding.
        """
        lengths = np.array([*shapes] or [section.sides])
        usual = np.quantile(lengths, 0.5, axis=0, method="higher").tolist()
        sides = tuple(
            min(side, GRAIN * -(-length // GRAIN))
            for side, length in zip(section.sides, usual, strict=True)
        )
        steps = tuple(
            max(1, step * new // old)
            for step, new, old in zip(section.steps, sides, section.sides, strict=True)
        )
        return cls((sides[0], sides[1], sides[2]), (steps[0], steps[1], steps[2]))

    @property
    def shape(self) -> Shape:
        """See `Parts`."""
        return self.sides

    def draw(self, rng: np.random.Generator, shape: Shape) -> Place:
        """See `Parts`."""
        drawn = rng.random(3).tolist()
        return Place(*map(_drawn, drawn, shape, self.sides))

    def grid(self, shape: Shape) -> list[Place]:
        """See `Parts`. The last box of an axis ends with the volume, whatever the step."""
        return [Place(*starts) for starts in product(*map(_starts, shape, self.sides, self.steps))]

    def box(self, place: Place, shape: Shape) -> Box:
        """See `Parts`."""
        z, y, x = (
            slice(max(start, 0), min(start + side, size))
            for start, side, size in zip(place, self.sides, shape, strict=True)
        )
        return z, y, x

    def framed(self, content: Image, place: Place) -> Image:
        """See `Parts`."""
        return _padded(content, self.sides, [max(-start, 0) for start in place])


@dataclass(frozen=True)
class Planes:
    """Whole slices as squares of `side` pixels; a part's place is its slice.

    A slice of at most `side` along both axes lies in the middle, zeros around it, at its own
    resolution. [P] A larger one is made smaller first, as much along y as along x (bilinear).
    """

    side: int

    @property
    def shape(self) -> tuple[int, int]:
        """See `Parts`."""
        return self.side, self.side

    def draw(self, rng: np.random.Generator, shape: Shape) -> Place:
        """See `Parts`."""
        return Place(_drawn(rng.random(3).tolist()[0], shape[0], 1), 0, 0)

    def grid(self, shape: Shape) -> list[Place]:
        """See `Parts`."""
        return [Place(z, 0, 0) for z in range(shape[0])]

    def box(self, place: Place, shape: Shape) -> Box:
        """See `Parts`."""
        return slice(place.z, place.z + 1), slice(0, shape[1]), slice(0, shape[2])

    def framed(self, content: Image, place: Place) -> Image:
        """See `Parts`."""
        image: Image = content[0]
        longest = max(image.shape)
        if longest > self.side:
            y, x = (max(1, round(size * self.side / longest)) for size in image.shape)
            image = _resized(image, (y, x))
        return _padded(image, self.shape, [(self.side - size) // 2 for size in image.shape])


def make_parts(section: HysnetLearningSection, shapes: Iterable[Shape]) -> Cubes | Planes:
    """As the section says, for volumes of `shapes` (z, y, x)."""
    if section.net.dimensions == 2:
        return Planes(section.patches.slice_px)
    return Cubes.fitted(section.patches, shapes)


def parts_from_json(content: Mapping[str, Any]) -> Cubes | Planes:
    """The parts that `dataclasses.asdict` has written down."""
    if "side" in content:
        return Planes(int(content["side"]))
    (z, y, x), (dz, dy, dx) = content["sides"], content["steps"]
    return Cubes((int(z), int(y), int(x)), (int(dz), int(dy), int(dx)))


def normalised(content: Image, upper: float, gamma: float) -> Image:
    """`clip(content / upper, 0, 1) ** gamma` as float32: the paper's range (0, 1], but that what is
    0 or less, or not finite, becomes 0, as the padding is.

    `upper` is an upper percentile of the volume's foreground (a single spike makes the maximum).
    Raises ValueError unless it is positive.
    """
    return np.minimum(prepare(content, upper, gamma), np.float32(1))


def _drawn(draw: float, size: int, side: int) -> int:
    """A start from 0 to `size - side`; that of the middle where `side` is the greater."""
    room = size - side
    return -(-room // 2) if room < 0 else min(int(draw * (room + 1)), room)


def _starts(size: int, side: int, step: int) -> list[int]:
    """Starts of a grid, the last one at the end."""
    room = size - side
    return [*range(0, room, step), room] if room > 0 else [_drawn(0, size, side)]


def _padded(image: Image, shape: tuple[int, ...], before: list[int]) -> Image:
    """`image` in zeros of `shape`, `before` voxels from their start along each axis."""
    if image.shape == shape:
        return image
    result = np.zeros(shape, np.float32)
    result[tuple(slice(a, a + size) for a, size in zip(before, image.shape, strict=True))] = image
    return result


def _resized(image: Image, shape: tuple[int, int]) -> Image:
    """(y, x) → `shape`, bilinear, pixel centres aligned; no antialiasing, which would take the
    noise away."""
    for size in shape:  # rows first; each turn transposes
        rows = len(image)
        centre = np.clip((np.arange(size) + 0.5) * (rows / size) - 0.5, 0, rows - 1)
        first = np.minimum(centre.astype(np.intp), max(rows - 2, 0))
        share = (centre - first).astype(np.float32)[:, None]
        second = np.minimum(first + 1, rows - 1)
        image = ((1 - share) * image[first] + share * image[second]).T
    return np.ascontiguousarray(image)
