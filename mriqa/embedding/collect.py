"""Some volumes with their embeddings, shard by shard."""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from mriqa.cohort.manifest import shard_name
from mriqa.embedding.embedder import Embedder
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.errors import SeriesError
from mriqa.images.store import ShardStore, StoredSeries, open_store
from mriqa.progress import track


class Wanted(NamedTuple):
    """Volume number `volume`, from 0, of a series in a shard."""

    shard: int
    series_id: str
    volume: int


def stored_volumes(
    results: Path, wanted: Sequence[Wanted], what: str
) -> Iterator[tuple[Wanted, StoredSeries]]:
    """The `wanted` volumes that are in the stores of `results`, in order, each with its series.

    What cannot be opened, or is not there any more, is left out with a line on stderr. `what` is
    done is shown with the progress.
    """
    ordered = sorted(set(wanted))
    tracked = track(ordered, len(ordered), what, "volumes")
    store: tuple[int, ShardStore] | None = None
    for (shard, series_id), members in groupby(tracked, key=lambda one: one[:2]):
        try:
            if store is None or store[0] != shard:
                store = shard, open_store(results / "zarr" / f"{shard_name(shard)}.zarr")
            stored = store[1].series(series_id)
        except SeriesError as error:
            sys.stderr.write(f"{series_id}: {error.message}; it is left out\n")
            stored = None
        for one in members:
            if stored is not None:
                yield one, stored


def embedded_volumes(
    results: Path, wanted: Sequence[Wanted], embedder_of: Callable[[int], Embedder]
) -> Iterator[tuple[Wanted, VolumeEmbedding]]:
    """The `wanted` volumes that are there, by shard and id, with their embeddings.

    `embedder_of` gives a shard's embedder, whose cache is written when the shard is done. What
    cannot be read or embedded is left out with a line on stderr.
    """
    volumes = stored_volumes(results, wanted, "embed")
    for shard, members in groupby(volumes, key=lambda one: one[0].shard):
        embedder = embedder_of(shard)
        for one, stored in members:
            try:
                yield one, embedder.embed_stored(stored, one.volume)
            except SeriesError as error:
                name = f"{one.series_id} volume {one.volume}"
                sys.stderr.write(f"{name}: {error.message}; it is left out\n")
        embedder.save()
