"""Features in standard deviations from what is usual in their stratum.

What a feature is worth differs between contrasts, stations and shells far more than between good
and bad volumes: b0 and weighted volumes of diffusion are levelled apart, and so is every stratum.
[P] Median and median absolute deviation: some of what is learned from is bad.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.embedding.volumes import VolumeEmbedding

MAD_TO_SD = 1.4826
LEAST_SPREAD = 0.2
"""Of a feature in a stratum, as a part of its median spread over all strata: a feature that happens
to be constant in a small stratum must not decide everything there."""
LEAST_OF_SD = 1e-3
"""A median deviation of less than this part of the standard deviation is none, as that of a feature
which is 0 for most slices: then the latter counts."""
LEAST_OF_CENTRE = 0.005
"""The same as a part of its median: less is the rounding of bfloat16."""
LIMIT = 10.0
"""Beyond, a feature says no more than that it is far off."""
SLICES_A_STRATUM = 4000
"""At most so many are enough for a median."""


@dataclass(frozen=True)
class Levels:
    """Of each of s `strata` the median and the spread (s, d) of d features; the spread is NaN where
    nothing was known of a feature, which then says nothing of a volume either."""

    strata: tuple[str, ...]
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]

    def knows(self, stratum: str | None) -> bool:
        """Whether features of this stratum can be levelled."""
        return stratum in self.strata

    def bag(self, embedding: VolumeEmbedding, stratum: str) -> NDArray[np.float16]:
        """The body slices of a volume, levelled, and where they lie (z, d + 1).

        What is not known of a slice is taken for usual, 0. Places run from -1, the first slice of
        the body, to 1. Raises ValueError if the stratum is not known.
        """
        row = self.strata.index(stratum)
        values = _features(embedding)
        levelled = np.clip((values - self.centre[row]) / self.spread[row], -LIMIT, LIMIT)
        levelled[np.isnan(levelled)] = 0
        places = 2 * embedding.places[embedding.is_body] - 1
        return np.concatenate([levelled, places[:, None]], axis=1).astype(np.float16)


def fit_levels(embeddings: Mapping[str, Sequence[VolumeEmbedding]]) -> Levels:
    """From the volumes of each stratum, at least one in all.

    Raises ValueError without any.
    """
    if not embeddings:
        raise ValueError("no stratum to level")
    strata = tuple(sorted(embeddings))
    levels = [_level(embeddings[name]) for name in strata]
    centre, spread = (np.stack(values) for values in zip(*levels, strict=True))
    usual = np.array([np.median(own[~np.isnan(own)]) if not np.isnan(own).all() else 0.0
                      for own in spread.T])  # fmt: skip
    least = np.maximum(LEAST_SPREAD * usual, LEAST_OF_CENTRE * np.abs(centre))
    least = np.maximum(least, 1e-6)
    return Levels(strata, centre.astype(np.float32), np.maximum(spread, least).astype(np.float32))


def _level(volumes: Sequence[VolumeEmbedding]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    slices = np.concatenate([_features(one) for one in volumes])
    # drawn: every nth slice would always be from the same places of volumes of equal depth
    drawn = np.random.default_rng(0).permutation(len(slices))[:SLICES_A_STRATUM]
    kept = slices[np.sort(drawn)]
    n_always = volumes[0].slices.shape[1]
    always = _spread_of(kept[:, :n_always])
    metrics = [_spread_of(column[~np.isnan(column)][:, None]) for column in kept[:, n_always:].T]
    centre, spread = (np.concatenate(parts) for parts in zip(always, *metrics, strict=True))
    return centre, spread


def _spread_of(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median and spread of each column of `values` (n, k); 0 and NaN of none."""
    if len(values) == 0:
        nothing = np.zeros(values.shape[1], np.float32)
        return nothing, nothing * np.nan
    centre = np.median(values, axis=0)
    spread = MAD_TO_SD * np.median(np.abs(values - centre), axis=0)
    deviation = values.std(axis=0)
    return centre, np.where(spread > LEAST_OF_SD * deviation, spread, deviation)


def _features(embedding: VolumeEmbedding) -> NDArray[np.float32]:
    """What is levelled of the body slices of a volume (z, d); NaN where it is not known."""
    slices = embedding.slices.astype(np.float32)
    return np.concatenate([slices, embedding.metrics], axis=1)[embedding.is_body]
