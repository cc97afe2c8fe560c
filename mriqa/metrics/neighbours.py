"""How a slice fits between its neighbours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask, Regions

MIN_AREA = 0.25
"""Body that slices must share to be compared, as a part of the largest slice's."""


@dataclass(frozen=True)
class Neighbours:
    """`consistency` and `dropout` of every slice, `(z,)`; NaN where there is too little body."""

    consistency: Floats
    dropout: Floats


def compare_neighbours(regions: Regions) -> Neighbours:
    """Compare every slice with the one before and the one after it, over the body they share.

    consistency: mean correlation coefficient with them, -1 to 1; higher is better.
    dropout: share of the signal that the slice lacks, 1 - m(z) / sqrt(m(z-1) m(z+1)) with mean
    intensities m over the body of all three; near 0 is good, at most 1, negative where the slice
    is brighter than its neighbours. The first and the last slice have none.
    """
    body = _closed(regions.body)
    least = MIN_AREA * float(body.sum(axis=(1, 2)).max())
    count = len(body)
    correlation = np.full(count + 1, np.nan)
    for z in range(count - 1):
        correlation[z + 1] = _correlation(regions.mean[z : z + 2], body[z] & body[z + 1], least)
    dropout = np.full(count, np.nan)
    for z in range(1, count - 1):
        shared = body[z - 1] & body[z] & body[z + 1]
        dropout[z] = _missing(regions.mean[z - 1 : z + 2], shared, least)
    return Neighbours(_mean_of_known(correlation[:-1], correlation[1:]), dropout)


def summary(near: Neighbours, excess: Floats) -> dict[str, float]:
    """The volume's columns: mean consistency, and how far its worst slice is off."""
    known = near.consistency[np.isfinite(near.consistency)]
    return {
        "body_slice_consistency": float(known.mean()) if len(known) else np.nan,
        "body_slice_consistency_drop": float(np.median(known) - known.min())
        if len(known)
        else np.nan,
        "body_slice_dropout": _largest(near.dropout),
        "body_slice_noise_excess": _largest(excess),
    }


def _largest(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else np.nan


def noise_excess(residual_rms: Floats) -> Floats:
    """How much more high-frequency energy a slice has than the slices around it, `(z,)`.

    ln(rms of the slice's noise residual / median of those of five slices around it): near 0 is
    good, large where spikes in k-space put a pattern on single slices. NaN for a slice of zeros.
    """
    logarithm = np.full(len(residual_rms), np.nan)
    known = residual_rms > 0
    values = np.log(residual_rms[known])
    logarithm[known] = values - ndimage.median_filter(values, size=5, mode="nearest")
    return logarithm


def _closed(body: Mask) -> Mask:
    """The body, also where up to three slices in a row have lost so much that it is not seen."""
    before, after = body.copy(), body.copy()
    for step in (1, 2, 3):
        before[step:] |= body[:-step]
        after[:-step] |= body[step:]
    return body | (before & after)


def _mean_of_known(one: Floats, two: Floats) -> Floats:
    both = np.stack([one, two])
    known = np.isfinite(both)
    total = np.where(known, both, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _correlation(pair: npt.NDArray[np.float32], shared: Mask, least: float) -> float:
    """Pearson's correlation of two slices over `shared`; 0 if one of them is constant."""
    count = float(np.count_nonzero(shared))
    if count < max(least, 2):
        return np.nan
    weight = shared.astype(np.float32)
    one, two = ((plane - np.float32(np.vdot(plane, weight) / count)) * weight for plane in pair)
    norm = float(np.sqrt(np.vdot(one, one))) * float(np.sqrt(np.vdot(two, two)))
    return float(np.clip(np.vdot(one, two) / norm, -1, 1)) if norm > 0 else 0.0


def _missing(triple: npt.NDArray[np.float32], shared: Mask, least: float) -> float:
    """1 - m(here) / sqrt(m(before) m(after)) over `shared`."""
    if np.count_nonzero(shared) < max(least, 1):
        return np.nan
    weight = shared.astype(np.float32)
    before, here, after = (float(np.vdot(plane, weight)) for plane in triple)
    if before <= 0 or after <= 0:
        return np.nan
    return 1 - here / float(np.sqrt(before) * np.sqrt(after))
