"""Random patches of volumes with what is true of them, for the training loop.

Sample number n is a pure function of the seed and n. So the stream is the same for any number of
workers, and goes on at any step.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from mriqa.errors import MriqaError, SeriesError
from mriqa.methods.hysnet.patches import Image, Parts, Place, normalised
from mriqa.methods.hysnet.target import TargetScale
from mriqa.methods.hysnet.volumes import Volumes, say

VOLUME_DRAWS = 100
"""So many volumes in a row that cannot be read: something is wrong with the store."""
ORDER, SAMPLE = 0, 1
"""What random numbers are for."""


class Batch(NamedTuple):
    """Patches (n, 1, z, y, x) or (n, 1, y, x), 0 to 1, and standardised targets (n), float32."""

    images: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Sample:
    """A part of a volume."""

    volume: int
    place: Place


class PatchFeed(Dataset[Batch]):
    """An endless stream of patches; a part of training.feed.batches, which shares it out.

    Every volume is shown once, in a new order, before any is shown again; so an epoch of nine
    patches a volume is nine turns. Volumes that are near one another in the stream are different
    ones: a batch of one volume's patches would have a single target. `gamma` is the exponent of the
    normalised intensities.
    """

    def __init__(
        self, volumes: Volumes, parts: Parts, scale: TargetScale, seed: int, gamma: float = 1.0
    ) -> None:
        self._volumes, self._parts = volumes, parts
        self._seed, self._gamma = seed, gamma
        self._targets = scale.standardised(volumes.targets).astype(np.float32)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        self._told: set[int] = set()

    def sample(self, n: int, attempt: int = 0) -> Sample:
        """What sample `n` is; at a further attempt, what takes its place if it cannot be read."""
        rng = np.random.default_rng([self._seed, SAMPLE, n, attempt])
        volume = self._volume(n + attempt)
        return Sample(volume, self._parts.draw(rng, self._volumes.shape(volume)))

    def block(self, numbers: range) -> Batch:
        """The samples `numbers`. Raises MriqaError if nothing can be read any more."""
        images = torch.empty((len(numbers), 1, *self._parts.shape))
        targets = torch.empty(len(numbers))
        for row, n in enumerate(numbers):
            sample, image = self._read(n)
            images[row, 0] = torch.from_numpy(image)
            targets[row] = float(self._targets[sample.volume])
        return Batch(images, targets)

    def __getitem__(self, numbers: range) -> Batch:
        """As `block`: what torch's DataLoader asks for is a batch, not a sample."""
        return self.block(numbers)

    def _volume(self, place: int) -> int:
        """The volume at a place of the stream."""
        count = len(self._targets)
        turn, place = divmod(place, count)
        shuffled, order = self._order
        if shuffled != turn:
            order = np.random.default_rng([self._seed, ORDER, turn]).permutation(count)
            self._order = turn, order
        return int(order[place])

    def _read(self, n: int) -> tuple[Sample, Image]:
        """The first candidate of sample `n` that can be read."""
        for attempt in range(min(VOLUME_DRAWS, len(self._targets))):
            sample = self.sample(n, attempt)
            try:
                return sample, read_part(
                    self._volumes, self._parts, sample.volume, sample.place, self._gamma
                )
            except SeriesError as error:
                if sample.volume not in self._told:
                    self._told.add(sample.volume)
                    say(f"training: {error.message} Another volume takes its place.")
        raise MriqaError(
            f"training: sample {n} found nothing to read in {attempt + 1} volumes; `mriqa run` "
            "writes damaged stores anew; if it does not help, look at the volumes"
        )


def read_part(volumes: Volumes, parts: Parts, number: int, place: Place, gamma: float) -> Image:
    """One part of volume `number`, normalised, in the shape of all parts.

    Raises SeriesError if a slice that it needs cannot be read.
    """
    content = volumes.content(number, parts.box(place, volumes.shape(number)))
    return parts.framed(normalised(content, volumes.upper(number), gamma), place)
