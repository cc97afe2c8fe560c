"""All volumes of some series with their embeddings, shard by shard."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from mriqa.cohort.manifest import shard_name
from mriqa.embedding.embedder import Embedder
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.errors import SeriesError
from mriqa.images.store import ShardStore, open_store
from mriqa.progress import track
from mriqa.training.manifest import PinnedSeries


@dataclass(frozen=True)
class EmbeddedVolume:
    """Volume number `volume`, from 0, of a series."""

    series: PinnedSeries
    volume: int
    embedding: VolumeEmbedding


def embedded_volumes(
    results: Path, pinned: Sequence[PinnedSeries], embedder_of: Callable[[int], Embedder]
) -> Iterator[EmbeddedVolume]:
    """The volumes of the `pinned` series that are in the stores of `results`, by shard and id.

    `embedder_of` gives a shard's embedder, whose cache is written when the shard is done. What
    cannot be read or embedded, or is not there any more, is left out with a line on stderr.
    """
    ordered = sorted(pinned, key=lambda one: (one.shard, one.series_id))
    tracked = track(ordered, len(ordered), "embed")
    for shard, members in groupby(tracked, key=lambda one: one.shard):
        embedder = embedder_of(shard)
        path = results / "zarr" / f"{shard_name(shard)}.zarr"
        store: ShardStore | None = None
        for series in members:
            try:
                store = store or open_store(path)
                yield from _volumes(series, store, embedder)
            except SeriesError as error:
                sys.stderr.write(f"{series.series_id}: {error.message}; it is left out\n")
        embedder.save()


def _volumes(
    series: PinnedSeries, store: ShardStore, embedder: Embedder
) -> Iterator[EmbeddedVolume]:
    stored = store.series(series.series_id)
    for volume in range(stored.attributes.n_volumes):
        try:
            yield EmbeddedVolume(series, volume, embedder.embed_stored(stored, volume))
        except SeriesError as error:
            name = f"{series.series_id} volume {volume}"
            sys.stderr.write(f"{name}: {error.message}; it is left out\n")
