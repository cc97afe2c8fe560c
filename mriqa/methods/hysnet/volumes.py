"""Volumes to take patches from: arrays, or series of Zarr stores.

Of a stored volume only those slices are read that a patch needs.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from mriqa.errors import SeriesError, UserError
from mriqa.images.intensity import scaled
from mriqa.images.slices import SliceReader, StoredFiles
from mriqa.methods.hysnet.patches import Box, Image, Shape
from mriqa.progress import track
from mriqa.training.allocator import keep_freed_memory
from mriqa.training.feed import OPENING_THREADS


@dataclass(frozen=True)
class Example:
    """Volume `volume` of a series, the store that it is in, and the number that is true of it."""

    series_id: str
    volume: int
    store: Path
    target: float


class Volumes(Protocol):
    """Volumes by their numbers, each with what is true of it."""

    @property
    def targets(self) -> Sequence[float]:
        """Of every volume, in the target's unit."""

    def name(self, number: int) -> str:
        """For messages."""

    def shape(self, number: int) -> Shape:
        """(z, y, x)."""

    def upper(self, number: int) -> float:
        """The intensity that becomes 1, above 0."""

    def content(self, number: int, box: Box) -> Image:
        """A box of a volume (z, y, x), scaled. Raises SeriesError if it cannot be read."""


@dataclass(frozen=True)
class ArrayVolumes:
    """Volumes (z, y, x) in memory, with their upper intensities; without targets, to be judged."""

    volumes: Sequence[Image]
    uppers: Sequence[float]
    targets: Sequence[float] = ()

    def name(self, number: int) -> str:
        """See `Volumes`."""
        return f"volume {number}"

    def shape(self, number: int) -> Shape:
        """See `Volumes`."""
        z, y, x = self.volumes[number].shape
        return z, y, x

    def upper(self, number: int) -> float:
        """See `Volumes`."""
        return self.uppers[number]

    def content(self, number: int, box: Box) -> Image:
        """See `Volumes`."""
        return self.volumes[number][box]


@dataclass(frozen=True)
class StoredVolumes:
    """Volumes `times` of series, read slice by slice: a box costs what its slices cost.

    Can be sent to another process, which opens the files for itself.
    """

    readers: Sequence[SliceReader]
    times: Sequence[int]
    uppers: Sequence[float]
    targets: Sequence[float]

    def name(self, number: int) -> str:
        """See `Volumes`."""
        return f"{self.readers[number].attributes.series_id}, volume {self.times[number]}"

    def shape(self, number: int) -> Shape:
        """See `Volumes`."""
        return self.readers[number].attributes.shape_zyx

    def upper(self, number: int) -> float:
        """See `Volumes`."""
        return self.uppers[number]

    def content(self, number: int, box: Box) -> Image:
        """See `Volumes`."""
        reader, t, (z, y, x) = self.readers[number], self.times[number], box
        known = reader.attributes
        stored = [reader.read(t, slice_)[y, x] for slice_ in range(z.start, z.stop)]
        return scaled(np.stack(stored), known.slope, known.inter)


def open_volumes(examples: Sequence[Example], upper_percentile: float) -> StoredVolumes:
    """The volumes that are there, in the order of `examples`; each series is opened once.

    What is missing or damaged (it failed, or was withdrawn since the list was pinned), or has no
    foreground, is left out with a line on stderr. Raises UserError if nothing is left.
    """
    keep_freed_memory()
    files = StoredFiles()
    series = list(dict.fromkeys((one.store, one.series_id) for one in examples))
    with ThreadPoolExecutor(OPENING_THREADS) as pool:
        opened = pool.map(partial(_opened, files=files), series)
        readers = dict(zip(series, track(opened, len(series), "training: open"), strict=True))
    kept = []
    for one in examples:
        reader = readers[one.store, one.series_id]
        if reader is not None and (upper := _upper(reader, one, upper_percentile)) is not None:
            kept.append((reader, one.volume, upper, one.target))
    if not kept:
        raise UserError(
            f"training: none of {len(examples)} volumes can be read from its store; see the lines "
            "above, or choose other contrasts (hysnet.learning.contrasts)"
        )
    return StoredVolumes(*map(list, zip(*kept, strict=True)))


def _opened(series: tuple[Path, str], files: StoredFiles) -> SliceReader | None:
    try:
        return SliceReader(*series, files)
    except SeriesError as error:
        say(f"training: {error.message} The series is left out.")
        return None


def _upper(reader: SliceReader, one: Example, percent: float) -> float | None:
    """The upper intensity of an example's volume; None, with a line, if it has none."""
    attributes, upper = reader.attributes, None
    if one.volume < attributes.n_volumes:
        upper = attributes.percentile(one.volume, percent)
    if upper is None or not upper > 0:
        say(
            f"training: {one.series_id}, volume {one.volume}: not there, or without foreground. "
            "It is left out."
        )
        return None
    return upper


def say(line: str) -> None:
    """One line to stderr."""
    sys.stderr.write(line + "\n")
