"""How a slice fits between its neighbours."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask, Regions

Planes = npt.NDArray[np.float32]

MIN_AREA = 0.25
"""Body that slices must share to be compared, as a part of the largest slice's."""


@dataclass(frozen=True)
class Neighbours:
    """Of every slice `(z,)` `consistency`, `tearing` and `dropout`; NaN where there is too little
    body."""

    consistency: Floats
    tearing: Floats
    dropout: Floats


def compare_neighbours(regions: Regions) -> Neighbours:
    """Compare every slice with the one before and the one after it, over the body they share.

    consistency: mean correlation coefficient with them, -1 to 1; higher is better.
    tearing: how much better the two fit one another than the slice between them, their correlation
    coefficient less the consistency, -2 to 2; lower is better. In an intact volume slices that are
    further apart are less alike, and it lies below 0. Slices are acquired in turns, every second
    one first: who moves in between tears the volume into two, each of which fits in itself. The
    first and the last slice have none.
    dropout: share of the signal that the slice lacks, 1 - m(z) / sqrt(m(z-1) m(z+1)) with mean
    intensities m over the body of all three; near 0 is good, at most 1, negative where the slice
    is brighter than its neighbours. The first and the last slice have none.
    """
    body = _closed(regions.body)
    body = body.reshape(len(body), -1)
    mean = regions.mean.reshape(body.shape)
    least = MIN_AREA * float(np.count_nonzero(body, axis=1).max())
    correlation = np.full(len(body) + 1, np.nan)
    around, dropout = np.full((2, len(body)), np.nan)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        correlation[1:-1] = _correlation(mean[:-1], mean[1:], body[:-1] & body[1:], least)
        around[1:-1] = _correlation(mean[:-2], mean[2:], body[:-2] & body[2:], least)
        dropout[1:-1] = _missing(mean, body[:-2] & body[1:-1] & body[2:], least)
    consistency = _mean_of_known(correlation[:-1], correlation[1:])
    return Neighbours(consistency, around - consistency, dropout)


def summary(near: Neighbours, excess: Floats) -> dict[str, float]:
    """The volume's columns: mean consistency and tearing, and how far its worst slice is off."""
    known, torn = (one[np.isfinite(one)] for one in (near.consistency, near.tearing))
    return {
        "body_slice_consistency": float(known.mean()) if len(known) else np.nan,
        "body_slice_consistency_drop": float(np.median(known) - known.min())
        if len(known)
        else np.nan,
        "body_slice_tearing": float(torn.mean()) if len(torn) else np.nan,
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


def _correlation(first: Planes, second: Planes, shared: Mask, least: float) -> Floats:
    """Pearson's correlation of pairs of slices over what they share; 0 if one is constant."""
    weight = shared.astype(np.float32)
    count = np.vecdot(weight, weight)
    one, two = (_centred(planes, weight, count) for planes in (first, second))
    norm = (_norm(one) * _norm(two)).astype(np.float32)
    value = np.where(norm > 0, np.clip(np.vecdot(one, two) / norm, -1, 1), 0.0)
    return np.where(count >= max(least, 2), value, np.nan)


def _centred(planes: Planes, weight: Planes, count: Planes) -> Planes:
    """`planes` less their mean where `weight` is 1, and 0 where it is 0."""
    offset = np.vecdot(planes, weight) / np.maximum(count, 1)
    centred = planes - offset[:, None]
    centred *= weight
    return np.asarray(centred)


def _norm(planes: Planes) -> Floats:
    return np.asarray(np.sqrt(np.vecdot(planes, planes)), np.float64)


def _missing(mean: Planes, shared: Mask, least: float) -> Floats:
    """1 - m(here) / sqrt(m(before) m(after)) over `shared`, of every slice between two others."""
    weight = shared.astype(np.float32)
    before, here, after = (
        np.vecdot(planes, weight).astype(np.float64) for planes in (mean[:-2], mean[1:-1], mean[2:])
    )
    known = (np.vecdot(weight, weight) >= max(least, 1)) & (before > 0) & (after > 0)
    return np.asarray(np.where(known, 1 - here / (np.sqrt(before) * np.sqrt(after)), np.nan))
