"""Embeddings of whole volumes: every slice at its own resolution through the encoder.

[P] No resizing, as the energy of artifacts is in what it would throw away. A volume's embedding is
the mean over its body slices. All stages of the network are kept: early ones see texture and noise,
late ones shape. See docs/methods.md.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mriqa.errors import ErrorCode, SeriesError
from mriqa.images.intensity import PERCENTILES, IntensityCollector
from mriqa.metrics import BODY_SLICE_COLUMNS, METRICS_VERSION, measure

Embeddings = NDArray[np.float32]

FORMAT_VERSION = 4
"""Raise it when embeddings change: cached ones are not used; and those of the bank, and of training
and scores of the methods, that read what has changed."""
_NO_QUALITY = ("body_foreground_fraction",)
SLICE_METRICS = tuple(one.name for one in BODY_SLICE_COLUMNS if one.name not in _NO_QUALITY)
"""The hand-made metrics of a slice that `VolumeEmbedding.metrics` has, in this order."""
_UNBOUNDED = tuple(one.name for one in BODY_SLICE_COLUMNS if one.bounds == (0, None))
"""Of these ln(1 + x) counts."""
MEASURED = f"{METRICS_VERSION} {' '.join(SLICE_METRICS)}"
"""Which metrics, in which definition: what is kept of others is of no use."""
METRIC_LIMIT = 100.0
"""What exceeds it says no more: a slice that is a hundred times as bright as its neighbours."""

UPPER_PERCENTILE = 99.5
"""Of the foreground: the intensity that becomes 1, in training as here."""
LEAST_BODY = 0.25
"""The body's first and last slice have at least this part of the foreground of the fullest."""


@dataclass(frozen=True)
class VolumeEmbedding:
    """`slices` (z, d) float16, one a slice; `is_body` (z): whether enough foreground is in it.

    The last `n_final` of the d values are the network's output, those before of its other stages.
    `metrics` (z, k) float32: what is measured of each slice, and of how it fits between its
    neighbours, which no slice shows by itself: SLICE_METRICS, NaN where not known; those without
    an upper bound (SNR, FBER, border) as ln(1 + x). k is 0 where nobody asked.
    """

    slices: NDArray[np.float16]
    is_body: NDArray[np.bool_]
    n_final: int
    metrics: NDArray[np.float32]

    @cached_property
    def volume(self) -> Embeddings:
        """Mean over the body slices (d), float32."""
        return cast(Embeddings, self.slices[self.is_body].mean(axis=0, dtype=np.float32))

    @cached_property
    def places(self) -> NDArray[np.float32]:
        """Where each slice lies (z): 0 the first slice of the body, 1 its last."""
        body = np.flatnonzero(self.is_body)
        span = max(int(body[-1] - body[0]), 1)
        place = (np.arange(len(self.is_body)) - body[0]) / span
        return np.asarray(np.clip(place, 0, 1), dtype=np.float32)


@dataclass(frozen=True)
class Intensity:
    """Of a volume: `upper` becomes 1; voxels above `threshold` are foreground."""

    upper: float
    threshold: float

    @classmethod
    def of_percentiles(cls, percentiles: tuple[float, ...] | None, what: str) -> "Intensity":
        """From a row of `SeriesAttributes.percentiles`.

        Raises SeriesError (no_foreground) for a volume without, named `what`.
        """
        found = dict(zip(PERCENTILES, percentiles or (), strict=False))
        if not found or not found[UPPER_PERCENTILE] > 0:
            raise SeriesError(ErrorCode.NO_FOREGROUND, f"{what}: no foreground to embed")
        return cls(found[UPPER_PERCENTILE], found[PERCENTILES[0]])

    @classmethod
    def measured(cls, volume: NDArray[np.float32], what: str) -> "Intensity":
        """As `convert` measures it, of a volume (z, y, x) that is in no store."""
        collector = IntensityCollector(volume.size, 1.0, 0.0)
        collector.add(np.ascontiguousarray(volume))
        return cls.of_percentiles(collector.result().percentiles, what)


class Encoder(Protocol):
    """What turns prepared slices into embeddings."""

    @property
    def n_final(self) -> int:
        """Of an embedding's values the last so many are the network's output."""
        ...

    def encode(self, volume: NDArray[np.float32], upper: float) -> NDArray[np.float32]:
        """Embeddings (z, d) of the slices of `volume` (z, y, x), `upper` becoming 1."""
        ...


def embed_volume(
    encoder: Encoder,
    volume: NDArray[np.float32],
    intensity: Intensity,
    what: str,
    kept: NDArray[np.intp] | None = None,
    metrics: NDArray[np.float32] | None = None,
) -> VolumeEmbedding:
    """The embedding of `volume` (z, y, x), or of its slices `kept` alone.

    `metrics` are the `slice_metrics` of the whole volume, where they are wanted.

    Raises SeriesError (internal) if the encoder gives what is no number.
    """
    is_body = body_slices(volume, intensity.threshold)
    if metrics is None:
        metrics = np.empty((len(volume), 0), np.float32)
    if kept is not None:
        volume, is_body, metrics = volume[kept], is_body[kept], metrics[kept]
        is_body = is_body if is_body.any() else np.ones_like(is_body)
    slices = encoder.encode(volume, intensity.upper)
    with np.errstate(over="ignore"):
        stored = slices.astype(np.float16)
    if not np.isfinite(stored).all():
        raise SeriesError(ErrorCode.INTERNAL, f"{what}: its embedding is not finite")
    return VolumeEmbedding(stored, is_body, encoder.n_final, metrics)


def slice_metrics(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """The hand-made metrics of the slices of `volume` (z, y, x); see `VolumeEmbedding`."""
    try:
        # no metric of a slice depends on the spacing
        measured = measure(volume, (1.0, 1.0, 1.0), upper=UPPER_PERCENTILE).slices
    except SeriesError:  # nothing stands out: nothing is known
        return np.full((len(volume), len(SLICE_METRICS)), np.nan, np.float32)
    found = [
        np.log1p(measured[name]) if name in _UNBOUNDED else measured[name] for name in SLICE_METRICS
    ]
    values = np.stack(found, axis=1).astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return np.clip(values, -METRIC_LIMIT, METRIC_LIMIT)


def spread_over_body(is_body: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """At most `count` body slices: the middle ones of as many equal parts.

    So their mean is near that of all; the end slices, unlike the others, would weigh too much.
    """
    body = np.flatnonzero(is_body)
    count = min(count, len(body))
    middle = (np.arange(count) + 0.5) * len(body) / count
    return np.asarray(body[middle.astype(np.intp)], dtype=np.intp)


def body_slices(volume: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """The slices of `volume` (z, y, x) from the first to the last with enough above `threshold`.

    What lies between is of the body even where it is dark: its signal may have dropped out.
    """
    counts = (volume > threshold).sum(axis=(1, 2))
    enough = np.flatnonzero(counts >= LEAST_BODY * counts.max())
    places = np.arange(len(counts))
    within: NDArray[np.bool_] = (places >= enough[0]) & (places <= enough[-1])
    return within
