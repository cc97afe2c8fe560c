"""Embeddings of stored volumes and of simulated copies: cached ones, or made with the encoder."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Artifact
from mriqa.config import TrainingSection
from mriqa.embedding.cache import EmbeddingCache
from mriqa.embedding.copies import simulate_copy
from mriqa.embedding.volumes import Encoder, Intensity, VolumeEmbedding, embed_volume
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
            found = embed_volume(self.encoder, stored.volume(volume), intensity, key)
            self._cache.put(key, state, found)
        return found

    def embed_copy(
        self,
        image: NDArray[np.float32],
        attributes: SeriesAttributes,
        key: str,
        artifact: Artifact,
        kept: NDArray[np.intp],
    ) -> VolumeEmbedding:
        """The embedding of the slices `kept` of a simulated copy of `image`.

        Raises SeriesError if there is none.
        """
        drawn = hashlib.sha256(f"{artifact.to_json()} {kept.tolist()}".encode()).hexdigest()[:16]
        key, state = f"{key} {drawn}", fingerprint(attributes)
        found = self._cache.get(key, state)
        if found is None:
            copy = simulate_copy(image, attributes, artifact)
            found = embed_volume(self.encoder, copy, Intensity.measured(copy, key), key, kept)
            self._cache.put(key, state, found)
        return found

    def save(self) -> None:
        """Write the cache."""
        self._cache.save()


def fingerprint(attributes: SeriesAttributes) -> str:
    """What the embeddings of a stored series depend on: its source, and which axis slices it."""
    return f"{attributes.sha256} {attributes.slice_axis}"


def model_embedder(
    model: Path, model_id: str, cache: Path, precision: str, settings: TrainingSection
) -> Embedder:
    """Embeds with the model in the folder `model`, keeping what it makes in the file `cache`.

    `precision` is that of the bank: embeddings of another differ in the third digit.
    """

    def open_encoder() -> Encoder:
        # Only here: without a new volume neither torch nor the model is loaded.
        from mriqa.embedding.network import open_network

        return open_network(model, settings.model_copy(update={"precision": precision}))

    return Embedder(open_encoder, EmbeddingCache(cache, f"{model_id} {precision}"))
