"""Embeddings kept on disk, so that another list of references rescores without the network.

One safetensors file: the slices of all volumes one after the other, and in its header which rows
are whose. It is no declared output: lost or damaged, it is made again. What was not asked for since
it was read is dropped from it when it is written: withdrawn series vanish.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mriqa.embedding.volumes import FORMAT_VERSION, MEASURED, VolumeEmbedding
from mriqa.files import remove_leftovers, write_bytes

KEEP_EVERY_S = 300.0
"""A job that is killed loses at most so much of the network's work."""


class EmbeddingCache:
    """Embeddings of one model by key (`series_id volume`, ...) and fingerprint of the source.

    `maker` says all that embeddings depend on beside the source: model and precision.
    `with_metrics` says whether they have the hand-made metrics of their slices, too.
    """

    def __init__(self, path: Path, maker: str, *, with_metrics: bool = False) -> None:
        self.with_metrics = with_metrics
        self._path = path
        self._maker = f"{maker} format {FORMAT_VERSION}{f' {MEASURED}' if with_metrics else ''}"
        self._old = _read(path, self._maker)
        self._used: dict[str, tuple[str, VolumeEmbedding]] = {}
        self._changed = False
        self._written = time.monotonic()

    def get(self, key: str, fingerprint: str) -> VolumeEmbedding | None:
        """The embedding of `key` if it is that of a source with this fingerprint."""
        found = self._used.get(key) or self._old.get(key)
        if found is None or found[0] != fingerprint:
            return None
        self._used[key] = found
        return found[1]

    def put(self, key: str, fingerprint: str, embedding: VolumeEmbedding) -> None:
        """Remember an embedding."""
        self._used[key] = (fingerprint, embedding)
        self._changed = True
        if time.monotonic() - self._written >= KEEP_EVERY_S:
            self._write(self._old | self._used)

    def save(self) -> None:
        """Write what was used, and only that, if it is not what the file holds.

        A cache that cannot be written is told and left: it is a convenience.
        """
        if self._changed or self._used.keys() != self._old.keys():
            self._write(self._used)

    def _write(self, embeddings: dict[str, tuple[str, VolumeEmbedding]]) -> None:
        self._written = time.monotonic()
        remove_leftovers(self._path.parent, self._path.name)
        try:
            write_bytes(self._path, _content(embeddings, self._maker))
        except OSError as error:
            sys.stderr.write(f"{self._path}: embeddings are not kept ({error})\n")


def _content(embeddings: dict[str, tuple[str, VolumeEmbedding]], maker: str) -> bytes:
    listed, slices, body, metrics = [], [], [], []
    for key, (fingerprint, embedding) in embeddings.items():
        listed.append([key, fingerprint, len(embedding.is_body), embedding.n_final])
        slices.append(embedding.slices)
        body.append(embedding.is_body)
        metrics.append(embedding.metrics)
    tensors: dict[str, NDArray[Any]] = {}
    if listed:
        tensors = {
            "slices": np.concatenate(slices),
            "is_body": np.concatenate(body),
            "metrics": np.concatenate(metrics),
        }
    return save(tensors, {"maker": maker, "volumes": json.dumps(listed)})


def _read(path: Path, maker: str) -> dict[str, tuple[str, VolumeEmbedding]]:
    """What the file holds; nothing if it is missing, damaged, or of another maker."""
    try:
        with safe_open(path, framework="numpy") as opened:
            about = opened.metadata() or {}
            listed = json.loads(about.get("volumes", "[]"))
            if about.get("maker") != maker or not listed:
                return {}
            names = ("slices", "is_body", "metrics")
            slices, body, metrics = (opened.get_tensor(one) for one in names)
    except (OSError, SafetensorError, ValueError):
        return {}
    ends = np.cumsum([count for _, _, count, _ in listed])
    if any(len(one) != ends[-1] for one in (slices, body, metrics)):
        return {}
    found = {}
    for (key, fingerprint, count, n_final), end in zip(listed, ends.tolist(), strict=True):
        own = slice(end - count, end)
        found[key] = fingerprint, VolumeEmbedding(slices[own], body[own], n_final, metrics[own])
    return found
