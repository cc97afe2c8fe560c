"""Pairs of views of random slices, straight from the Zarr store.

Sample number n is a pure function of the seed and n: which slice, which simulated artifact, which
views. So the stream is the same for any number of workers, and goes on at any step.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mriqa.artifacts import Artifact, Family, apply, draw
from mriqa.artifacts.families import is_possible
from mriqa.config import PretrainingSection
from mriqa.errors import MriqaError, SeriesError, UserError
from mriqa.images.grid import as_stored
from mriqa.images.slices import SliceReader, StoredFiles
from mriqa.images.store import SeriesAttributes
from mriqa.progress import track
from mriqa.training.allocator import keep_freed_memory
from mriqa.training.views import View, apply_view, draw_views, prepare

Image = NDArray[np.float32]
BlockT = TypeVar("BlockT", covariant=True)
FAMILIES = tuple(one for one in Family if is_possible(one, slices=1))
"""Those that a slice shows by itself; a dropped slice is a dark one."""
LEAST_SEVERITY = 0.1
LOWER_PERCENT, UPPER_PERCENT = 1.0, 99.5
"""Foreground percentiles: what lies above the air, and what is scaled to 1."""
EMPTY_SHARE = 0.01
"""A slice, or a view, with fewer pixels than this above the air shows nothing."""
SLICE_DRAWS = 8
"""Slices of one series that are tried before the next series takes its place."""
VIEW_DRAWS = 16
"""Pairs of views that are tried; then the last is taken, whatever it shows."""
SERIES_DRAWS = 100
"""So many series in a row without a slice to show: something is wrong with the store."""
ATTEMPT_BITS = 16
"""Of a key of random numbers; the others are the sample's number."""
OPENING_THREADS = 8
"""Metadata are waited for, not computed, above all on network file systems."""
AHEAD = 2
"""Batches that are made before they are asked for."""


@dataclass(frozen=True)
class FeedItem:
    """One series to train on, and the store of its shard."""

    series_id: str
    store: Path


@dataclass(frozen=True)
class Sample:
    """All that was drawn for one sample: slice `z` of volume `t`, its artifact, its two views."""

    series_id: str
    t: int
    z: int
    artifact: Artifact | None
    views: tuple[View, View]


class _Volume(NamedTuple):
    """A volume to draw from, and its foreground's percentiles, in its scaled values."""

    reader: SliceReader
    t: int
    lower: float
    upper: float


class SliceFeed(Dataset[Tensor]):
    """Samples of two views each; made by `open_feed`.

    Every series is shown once, in a new order, before any is shown again, or a diffusion series of
    a hundred volumes would be learned a hundred times as much as a T1w. Volume and slice are drawn
    uniformly, the slice from those that are not empty.
    """

    def __init__(
        self,
        readers: Sequence[SliceReader],
        section: PretrainingSection,
        families: Sequence[Family] = FAMILIES,
    ) -> None:
        self._readers = list(readers)
        self._section = section
        self._families = tuple(families)
        self._volumes, self._levels = _volumes(self._readers)
        shown, first = np.unique(self._volumes[:, 0], return_index=True)
        self._n_series = len(shown)
        self._first = np.append(first, len(self._volumes))  # of each series, in _volumes
        self._order: tuple[int, NDArray[Any]] = (-1, np.empty(0, np.int64))
        self._told: set[str] = set()

    @property
    def n_volumes(self) -> int:
        """Volumes that the feed draws from."""
        return len(self._volumes)

    @property
    def n_slices(self) -> int:
        """Slices of all its volumes, empty ones counted: so many samples are an epoch."""
        depths = np.array([reader.attributes.shape_zyx[0] for reader in self._readers])
        return int(depths[self._volumes[:, 0]].sum())

    def sample(self, n: int) -> Sample:
        """What sample `n` is. Reads the slice, for empty ones are not taken."""
        return self._drawn(n)[0]

    def pair(self, n: int) -> Image:
        """Sample `n` as (2, 1, p, p) float32: two views, prepared (`views.prepare`).

        An artifact changes the slice before it is scaled by its volume's own upper percentile.
        Raises MriqaError if nothing can be read any more.
        """
        views = np.empty((2, 1, self.side, self.side), np.float32)
        self.render(n, views)
        return views

    @property
    def side(self) -> int:
        """Of a view, in pixels."""
        return self._section.view_px

    def block(self, numbers: range) -> Tensor:
        """Samples `numbers` as (n, 2, 1, p, p) float32."""
        result = torch.empty((len(numbers), 2, 1, self.side, self.side))
        for place, n in zip(result.numpy(), numbers, strict=True):
            self.render(n, place)
        return result

    def __getitem__(self, numbers: range) -> Tensor:
        """As `block`: what torch's DataLoader asks for is a batch, not a sample."""
        return self.block(numbers)

    def render(self, n: int, out: Image) -> Sample:
        """Write the first views of sample `n`, as many as `out` (1 or 2, 1, p, p) has room for."""
        sample, image, volume = self._drawn(n)
        if sample.artifact is not None:
            attributes = volume.reader.attributes
            corrupted = apply(image[None], attributes.spacing_mm, sample.artifact)[0]
            image = as_stored(corrupted, image, attributes)
        prepared = prepare(image, volume.upper, self._section.gamma)
        for place, view in zip(out, sample.views, strict=False):
            place[0] = apply_view(prepared, view)
        return sample

    def _drawn(self, n: int) -> tuple[Sample, Image, _Volume]:
        """The first candidate of sample `n` that can be read and shows something."""
        n_tried = min(SERIES_DRAWS, self._n_series)
        for attempt in range(SLICE_DRAWS * n_tried):
            rng = _random(self._section.seed, n, attempt)
            volume = self._volume(n + attempt // SLICE_DRAWS, rng)
            attributes = volume.reader.attributes
            z = int(rng.integers(attributes.shape_zyx[0]))
            image = self._read(volume, z)
            if image is not None and _shows(shown := image > volume.lower):
                artifact, views = self._artifact(rng, attributes), self._views(rng, shown)
                return Sample(attributes.series_id, volume.t, z, artifact, views), image, volume
        raise MriqaError(
            f"training: sample {n} found nothing to show in {n_tried} series; `mriqa run` writes "
            "damaged stores anew; if it does not help, look at the volumes"
        )

    def _volume(self, place: int, rng: np.random.Generator) -> _Volume:
        """A volume, drawn by `rng`, of the series at a place of the stream."""
        turn, place = divmod(place, self._n_series)
        shuffled, order = self._order
        if shuffled != turn:
            order = np.random.default_rng([self._section.seed, turn]).permutation(self._n_series)
            self._order = turn, order
        first, end = self._first[order[place]], self._first[order[place] + 1]
        number = rng.integers(first, end)
        series, t = self._volumes[number].tolist()
        return _Volume(self._readers[series], t, *self._levels[number].tolist())

    def _read(self, volume: _Volume, z: int) -> Image | None:
        """A slice, or None if it is damaged; says so once a series."""
        series_id = volume.reader.attributes.series_id
        try:
            return volume.reader.slice(volume.t, z)
        except SeriesError as error:
            if series_id not in self._told:
                self._told.add(series_id)
                _say(f"training: {error.message} Another slice takes its place.")
            return None

    def _artifact(self, rng: np.random.Generator, attributes: SeriesAttributes) -> Artifact | None:
        """Whether there is one, family, severity and all else; always as many random numbers."""
        chance, family, severity, axis, seed = rng.random(5).tolist()
        if chance >= self._section.artifact_share:
            return None
        return draw(
            self._families[int(family * len(self._families))],
            LEAST_SEVERITY + (1 - LEAST_SEVERITY) * severity,
            (1, *attributes.shape_zyx[1:]),
            attributes.spacing_mm,
            int(seed * 2**53),
            phase_axis="y" if axis < 0.5 else "x",
            keep_zeros=attributes.background_zeroed,
        )

    def _views(self, rng: np.random.Generator, shown: NDArray[np.bool_]) -> tuple[View, View]:
        """The first two that show something; air alone is the same in every slice."""
        shape, chosen = (shown.shape[0], shown.shape[1]), list[View]()
        for _ in range(VIEW_DRAWS):
            drawn = draw_views(rng, shape, self._section)
            chosen += [view for view in drawn if _shows(shown[view.box])]
            if len(chosen) >= 2:
                break
        first, second, *_ = *chosen, *drawn
        return first, second


def open_feed(
    items: Sequence[FeedItem],
    section: PretrainingSection,
    families: Sequence[Family] = FAMILIES,
) -> SliceFeed:
    """The feed of the series that are there, in the order of `items`; artifacts of `families`.

    A series whose store is missing or damaged (it failed, or was withdrawn since the list was
    pinned) is left out with a line on stderr, and so is a volume without foreground. Raises
    UserError if nothing is left.
    """
    keep_freed_memory()
    files = StoredFiles()
    with ThreadPoolExecutor(OPENING_THREADS) as pool:
        opened = pool.map(partial(_opened, files=files), items)
        readers = [reader for reader in track(opened, len(items), "training: open") if reader]
    feed = SliceFeed(readers, section, families)
    if feed.n_volumes == 0:
        raise UserError(
            f"training: none of {len(items)} series can be read from its store; see the lines "
            "above, or choose other contrasts (pretraining.contrasts)"
        )
    return feed


class Blocks(Protocol[BlockT]):
    """What gives batches of samples by their numbers."""

    def block(self, numbers: range) -> BlockT:
        """The samples `numbers`."""

    def __getitem__(self, numbers: range) -> BlockT:
        """As `block`: what torch's DataLoader asks for is a batch, not a sample."""


def batches(
    feed: Blocks[BlockT],
    first_step: int,
    n_steps: int,
    batch: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
) -> Iterator[BlockT]:
    """This rank's block of each of `n_steps` batches from step `first_step` on, in order.

    Step s holds samples s * batch to (s + 1) * batch; rank r of `world` gets the r-th of equal
    contiguous blocks, of a SliceFeed as (batch / world, 2, 1, p, p) float32. Made ahead by a
    thread, or by `workers` processes. Raises UserError if `batch` cannot be shared equally.
    """
    if batch % world:
        raise UserError(
            f"pretraining.batch is {batch}; it must be a multiple of the {world} workers "
            "that share it (training.workers)"
        )
    share = batch // world
    starts = range(first_step * batch + rank * share, (first_step + n_steps) * batch, batch)[
        :n_steps
    ]
    blocks = [range(start, start + share) for start in starts]
    return _by_processes(feed, blocks, workers) if workers else _by_thread(feed, blocks)


def _by_thread(feed: Blocks[BlockT], blocks: list[range]) -> Iterator[BlockT]:
    pool = ThreadPoolExecutor(1, "feed")
    waiting: deque[Future[BlockT]] = deque()
    try:
        for block in blocks:
            waiting.append(pool.submit(feed.block, block))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _by_processes(feed: Blocks[BlockT], blocks: list[range], workers: int) -> Iterator[BlockT]:
    loader: DataLoader[BlockT] = DataLoader(
        cast("Dataset[BlockT]", feed),
        sampler=cast("Iterable[int]", blocks),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_start_worker,
        # Spawned, not forked: threads of a library may hold locks at the moment of a fork.
        multiprocessing_context="spawn",
        prefetch_factor=AHEAD,
        # Its own, for the loader draws a number that the model's generator must not miss.
        generator=torch.Generator(),
    )
    yield from loader


def _start_worker(_: int) -> None:
    keep_freed_memory()


def _opened(item: FeedItem, files: StoredFiles) -> SliceReader | None:
    try:
        return SliceReader(item.store, item.series_id, files)
    except SeriesError as error:
        _say(f"training: {error.message} The series is left out.")
        return None


def _volumes(readers: Sequence[SliceReader]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of the volumes that have foreground: number of series and volume; lower and upper level."""
    found, levels = [], []
    for number, reader in enumerate(readers):
        for t in range(reader.attributes.n_volumes):
            lower = reader.attributes.percentile(t, LOWER_PERCENT)
            upper = reader.attributes.percentile(t, UPPER_PERCENT)
            if lower is not None and upper is not None and upper > 0:
                found.append((number, t))
                levels.append((lower, upper))
    return np.array(found, np.int64).reshape(-1, 2), np.array(levels).reshape(-1, 2)


def _random(seed: int, n: int, attempt: int) -> np.random.Generator:
    """Counted, not seeded (Philox, Salmon et al. 2011): made in a third of the time."""
    key = np.array([seed % 2**64, n << ATTEMPT_BITS | attempt], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _shows(above: NDArray[np.bool_]) -> bool:
    """Whether enough of it stands above the air."""
    return int(np.count_nonzero(above)) >= max(1, EMPTY_SHARE * above.size)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
