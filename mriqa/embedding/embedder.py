"""Embeddings of stored volumes and of simulated copies: cached ones, or made with the encoder."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Artifact
from mriqa.config import TrainingSection
from mriqa.embedding.cache import EmbeddingCache
from mriqa.embedding.copies import Volume, simulate_copy
from mriqa.embedding.volumes import Encoder, Intensity, VolumeEmbedding, embed_volume, slice_metrics
from mriqa.images.store import SeriesAttributes, StoredSeries


class Embedder:
    """Looks into `cache` first; the encoder is opened when the first embedding is not there."""

    def __init__(self, open_encoder: Callable[[], Encoder], cache: EmbeddingCache) -> None:
        self._open_encoder = open_encoder
        self._cache = cache

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder."""
        return self._open_encoder()

    def embed_stored(self, stored: StoredSeries, volume: int) -> VolumeEmbedding:
        """The embedding of a stored volume. Raises SeriesError if there is none."""
        attributes = stored.attributes
        key, state = f"{attributes.series_id} {volume}", fingerprint(attributes)
        found = self._cache.get(key, state)
        if found is None:
            intensity = Intensity.of_percentiles(attributes.percentiles[volume], key)
            found = self._embedded(stored.volume(volume), intensity, key, state)
        return found

    def embed_copies(
        self,
        image: Volume,
        attributes: SeriesAttributes,
        key: str,
        artifacts: Sequence[Artifact],
        kept: NDArray[np.intp],
    ) -> Iterator[VolumeEmbedding]:
        """The embeddings of the slices `kept` of simulated copies of `image`, one an artifact.

        The next copy is simulated while the last is embedded. Raises SeriesError if there is none.
        """
        drawn = [f"{one.to_json()} {kept.tolist()}" for one in artifacts]
        keys = [f"{key} {hashlib.sha256(one.encode()).hexdigest()[:16]}" for one in drawn]
        state = fingerprint(attributes)
        found = [self._cache.get(one, state) for one in keys]
        due = [one for one, known in zip(artifacts, found, strict=True) if known is None]
        simulated = ahead(partial(simulate_copy, image, attributes), due)
        for name, known in zip(keys, found, strict=True):
            if known is None:
                copy = next(simulated)
                known = self._embedded(copy, Intensity.measured(copy, name), name, state, kept)
            yield known

    def _embedded(
        self,
        image: Volume,
        intensity: Intensity,
        key: str,
        state: str,
        kept: NDArray[np.intp] | None = None,
    ) -> VolumeEmbedding:
        metrics = slice_metrics(image) if self._cache.with_metrics else None
        made = embed_volume(self.encoder, image, intensity, key, kept, metrics)
        self._cache.put(key, state, made)
        return made

    def save(self) -> None:
        """Write the cache."""
        self._cache.save()


def ahead(work: Callable[[Artifact], Volume], items: Sequence[Artifact]) -> Iterator[Volume]:
    """`work` of each of `items`, in order: one is made by a thread while the last is looked at."""
    with ThreadPoolExecutor(1, "simulate") as pool:
        following: Future[Volume] | None = None
        for item in items:
            ready, following = following, pool.submit(work, item)
            if ready is not None:
                yield ready.result()
        if following is not None:
            yield following.result()


def fingerprint(attributes: SeriesAttributes) -> str:
    """What the embeddings of a stored series depend on: its source, and which axis slices it."""
    return f"{attributes.sha256} {attributes.slice_axis}"


def model_embedder(
    model: Path, model_id: str, cache: Path, precision: str, settings: TrainingSection,
    *, with_metrics: bool = False,
) -> Embedder:  # fmt: skip
    """Embeds with the model in the folder `model`, keeping what it makes in the file `cache`.

    `precision` is that of the bank: embeddings of another differ in the third digit.
    `with_metrics`: the slices are measured, too.
    """

    def open_encoder() -> Encoder:
        # Only here: without a new volume neither torch nor the model is loaded.
        from mriqa.embedding.network import open_network

        return open_network(model, settings.model_copy(update={"precision": precision}))

    maker = f"{model_id} {precision}"
    return Embedder(open_encoder, EmbeddingCache(cache, maker, with_metrics=with_metrics))
