"""One pass over the volumes of the experiments: each is simulated once, and seen by all encoders.

What an encoder made of a series is one file, written when the series is done, so that a killed run
goes on from there, and a rerun or another readout needs no network.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mriqa.cohort.manifest import read_cohort
from mriqa.embedding.cache import EmbeddingCache
from mriqa.embedding.copies import simulate_copy
from mriqa.embedding.embedder import fingerprint
from mriqa.embedding.volumes import (
    Encoder,
    Intensity,
    VolumeEmbedding,
    embed_volume,
    slice_metrics,
)
from mriqa.errors import SeriesError
from mriqa.evaluation.items import Item, Stores
from mriqa.files import write_json
from mriqa.images.array_names import store_array_name
from mriqa.images.store import SeriesAttributes
from mriqa.metrics import measure
from mriqa.progress import track
from mriqa.rating.score import FORMAT_VERSION as SCORE_VERSION

Image = NDArray[np.float32]
Metrics = dict[str, float | str | None]


@dataclass(frozen=True)
class Seen:
    """An item's voxels `image` (z, y, x), and what is found out of them once for all readers."""

    item: Item
    image: Image
    attributes: SeriesAttributes

    @cached_property
    def intensity(self) -> Intensity:
        """As it was stored; of a copy as it is."""
        if self.item.artifact is not None:
            return Intensity.measured(self.image, self.item.key)
        percentiles = self.attributes.percentiles[self.item.scan.volume]
        return Intensity.of_percentiles(percentiles, self.item.key)

    @cached_property
    def slice_metrics(self) -> NDArray[np.float32]:
        """The hand-made metrics of its slices."""
        return slice_metrics(self.image)


class Reader(Protocol):
    """What looks at volumes and keeps what it has seen, a file a series."""

    def wants(self, item: Item, state: str) -> bool:
        """Whether the item has not been seen in this `state` of its source."""
        ...

    def take(self, seen: Seen, state: str) -> None:
        """Look at an item."""
        ...

    def keep(self) -> None:
        """Write what is new."""
        ...


class _KeptCache(EmbeddingCache):
    """Drops nothing: what one mode does not ask for another will. Written only if there is news."""

    is_new = False

    def save(self) -> None:
        self._used = {**self._old, **self._used}
        super().save()

    def put(self, key: str, fingerprint: str, embedding: VolumeEmbedding) -> None:
        self.is_new = True
        super().put(key, fingerprint, embedding)


class EmbeddingReader:
    """Embeds with an encoder that is opened when it is first needed.

    `below`: caches of a run that may already have what is asked for; they are only read.
    `chosen` says of an item whether this encoder is asked for it; `with_metrics`, whether
    slices are measured, too.
    """

    def __init__(
        self, open_encoder: Callable[[], Encoder], folder: Path, maker: str,
        below: Iterable[Path] = (), chosen: Callable[[Item], bool] = lambda _: True,
        *, with_metrics: bool = False,
    ) -> None:  # fmt: skip
        self._open_encoder = open_encoder
        self._folder = folder
        self._maker = maker
        self._chosen = chosen
        self._with_metrics = with_metrics
        self._below = [EmbeddingCache(path, maker, with_metrics=with_metrics) for path in below]
        self._series: tuple[str, _KeptCache] | None = None

    @cached_property
    def _encoder(self) -> Encoder:
        return self._open_encoder()

    def get(self, item: Item, state: str) -> VolumeEmbedding | None:
        """The embedding of an item, if it was made of the source in this state."""
        for cache in (self._cache(item.scan.series_id), *self._below):
            found = cache.get(item.key, state)
            if found is not None:
                return found
        return None

    def asks(self, item: Item) -> bool:
        """Whether this encoder is asked for the item."""
        return self._chosen(item)

    def wants(self, item: Item, state: str) -> bool:
        """See Reader."""
        return self._chosen(item) and self.get(item, state) is None

    def take(self, seen: Seen, state: str) -> None:
        """See Reader."""
        item = seen.item
        kept = None if item.kept is None else np.array(item.kept, dtype=np.intp)
        metrics = seen.slice_metrics if self._with_metrics else None
        embedding = embed_volume(self._encoder, seen.image, seen.intensity, item.key, kept, metrics)
        self._cache(item.scan.series_id).put(item.key, state, embedding)

    def keep(self) -> None:
        """See Reader."""
        if self._series is not None and self._series[1].is_new:
            self._series[1].save()
            self._series[1].is_new = False

    def _cache(self, series_id: str) -> _KeptCache:
        if self._series is None or self._series[0] != series_id:
            self.keep()
            path = self._folder / f"{store_array_name(series_id)}.safetensors"
            cache = _KeptCache(path, self._maker, with_metrics=self._with_metrics)
            self._series = series_id, cache
        return self._series[1]


class MetricsReader:
    """Measures the hand-made metrics, with `upper` as the percentile that scales intensities."""

    def __init__(self, folder: Path, upper: float, chosen: Callable[[Item], bool]) -> None:
        self._folder = folder
        self._upper = upper
        self._maker = f"metrics {SCORE_VERSION} {upper:g}"
        self._chosen = chosen
        self._series: tuple[str, dict[str, Metrics], bool] | None = None

    def get(self, item: Item, state: str) -> Metrics | None:
        """The metrics of an item by name; None if they were not measured."""
        return self._known(item.scan.series_id).get(f"{item.key} {state}")

    def wants(self, item: Item, state: str) -> bool:
        """See Reader."""
        return self._chosen(item) and self.get(item, state) is None

    def take(self, seen: Seen, state: str) -> None:
        """See Reader."""
        item = seen.item
        measured = measure(seen.image, seen.attributes.spacing_mm, upper=self._upper).volume
        known = self._known(item.scan.series_id)
        known[f"{item.key} {state}"] = measured
        self._series = item.scan.series_id, known, True

    def keep(self) -> None:
        """See Reader."""
        if self._series is not None and self._series[2]:
            series_id, known, _ = self._series
            write_json(self._path(series_id), {"maker": self._maker, "volumes": known})
            self._series = series_id, known, False

    def _known(self, series_id: str) -> dict[str, Metrics]:
        if self._series is None or self._series[0] != series_id:
            self.keep()
            self._series = series_id, self._read(series_id), False
        return self._series[1]

    def _read(self, series_id: str) -> dict[str, Metrics]:
        try:
            content = json.loads(self._path(series_id).read_text(encoding="utf-8"))
            known: dict[str, Metrics] = content["volumes"]
            return known if content["maker"] == self._maker else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _path(self, series_id: str) -> Path:
        return self._folder / f"{store_array_name(series_id)}.json"


def look_at_all(items: Sequence[Item], readers: Sequence[Reader], stores: Stores) -> dict[str, str]:
    """Show every item to the readers that want it; a sentence by key about each that failed.

    `items` of one series must follow one another.
    """
    notes = {}
    wanted = list(_pending(items, readers, stores))
    for item, state, some in track(wanted, len(wanted), "experiment: embed", "volumes"):
        try:
            stored, image = stores.read(item.scan)
            attributes = stored.attributes
            if item.artifact is not None:
                image = simulate_copy(image, attributes, item.artifact)
            seen = Seen(item, image, attributes)
            for reader in some:
                reader.take(seen, state)
        except SeriesError as error:
            notes[item.key] = f"{item.key}: {error.message}; it takes no part"
            sys.stderr.write(notes[item.key] + "\n")
    for reader in readers:
        reader.keep()
    return notes


def _pending(
    items: Sequence[Item], readers: Sequence[Reader], stores: Stores
) -> Iterable[tuple[Item, str, list[Reader]]]:
    for _, group in groupby(items, key=lambda item: item.scan.series_id):
        members = list(group)
        state = fingerprint(stores.attributes(members[0].scan))
        for item in members:
            some = [reader for reader in readers if reader.wants(item, state)]
            if some:
                yield item, state, some


def forget_strangers(folder: Path, results: Path) -> None:
    """Remove what is kept of series that are not in the cohort, or excluded from it (withdrawn)."""
    cohort = read_cohort(results / "cohort.parquet").select(["series_id", "excluded_by"])
    kept = {
        store_array_name(row["series_id"])
        for row in cohort.to_pylist()
        if row["excluded_by"] is None
    }
    for path in (*folder.glob("embeddings/*/*.safetensors"), *folder.glob("metrics/*.json")):
        if path.stem not in kept:
            path.unlink(missing_ok=True)
