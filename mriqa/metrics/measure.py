"""All metrics of one volume in one pass over its slices."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mriqa.errors import ErrorCode, SeriesError
from mriqa.metrics import ghosting, histogram, intensity, neighbours, texture
from mriqa.metrics.columns import SLICE_COLUMNS, VOLUME_COLUMNS
from mriqa.metrics.regions import Regions, Volume, find_regions

Floats = npt.NDArray[np.float64]

OTHER, BODY, AIR, IGNORED = range(4)

MIN_AIR_VOXELS = 200
"""Voxels of air in a slice from which its noise is estimated; a volume needs 5 times as many."""

MIN_BODY_VOXELS = 64
MIN_AIR_SHARE = 0.5
"""Of the background that is air or zeroed, the share that must be air, or it counts as zeroed."""


@dataclass(frozen=True)
class Measurement:
    """Metrics of one volume: `volume` by name of VOLUME_COLUMNS (None where not computed),
    `slices` by name of SLICE_COLUMNS, `(z,)` each (NaN where not computed)."""

    volume: dict[str, float | str | None]
    slices: dict[str, Floats]
    background: Literal["air", "zeroed"]


@dataclass(frozen=True)
class _Counted:
    """What one pass over the slices yields; `(z, ...)` each."""

    counts: histogram.Counts
    residual: histogram.Counts
    edges: Floats


def measure(volume: Volume, spacing_mm: tuple[float, float, float], *, upper: float) -> Measurement:
    """All metrics of `volume` `(z, y, x)`, spacing_mm = (dz, dy, dx).

    The percentile `upper` of the foreground is the intensity 1. Voxels that are not finite are
    left out; negative ones (interpolation) count as zero. Raises SeriesError (ALL_NONFINITE,
    CONSTANT, NO_FOREGROUND) for a volume that cannot be measured.
    """
    clean, finite = _clean(volume)
    regions = find_regions(clean)
    if not regions.body.any():
        raise SeriesError(ErrorCode.NO_FOREGROUND, "no body stands out from the background")
    counted = _count(clean, finite, regions, _scale(clean, regions, upper))
    reason = _air_null_reason(counted.counts, regions)
    near = neighbours.compare_neighbours(regions)
    ghosts = ghosting.ghosting(regions)
    slices = _shared(counted, reason, MIN_AIR_VOXELS)
    slices |= {f"body_ghosting_{axis}": ghosts[axis][1] for axis in ("y", "x")}
    slices |= {"body_slice_consistency": near.consistency, "body_slice_dropout": near.dropout}
    whole = _shared(_total(counted), reason, 5 * MIN_AIR_VOXELS)
    values = {name: value[0] for name, value in whole.items()}
    values |= {f"body_ghosting_{axis}": ghosts[axis][0] for axis in ("y", "x")}
    values |= _neighbour_summary(near)
    if reason is not None:
        for axis in ("y", "x"):
            values[f"body_ghosting_{axis}"] = np.nan
            slices[f"body_ghosting_{axis}"] = np.full(len(clean), np.nan)
    return Measurement(
        {c.name: reason if c.kind == "string" else _known(values[c.name]) for c in VOLUME_COLUMNS},
        {c.name: slices[c.name] for c in SLICE_COLUMNS},
        "zeroed" if reason == "zeroed_background" else "air",
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _clean(volume: Volume) -> tuple[Volume, npt.NDArray[np.bool_] | None]:
    """Non-negative finite voxels, and which of them were finite (None: all)."""
    total = float(np.sum(volume, dtype=np.float64))
    finite = None if np.isfinite(total) else np.isfinite(volume)
    if finite is not None and not finite.any():
        raise SeriesError(ErrorCode.ALL_NONFINITE, "no voxel is a finite number")
    clean = volume if finite is None else np.where(finite, volume, np.float32(0))
    used = clean if finite is None else clean[finite]
    if used.min() == used.max():
        raise SeriesError(ErrorCode.CONSTANT, f"every finite voxel is {float(used.flat[0]):g}")
    return np.maximum(clean, np.float32(0)), finite


def _scale(clean: Volume, regions: Regions, upper: float) -> float:
    """The intensity that becomes 1, from one voxel of every block of the body."""
    first = regions.block // 2
    step = regions.block
    shape = regions.body.shape
    sample = clean[:, first::step, first::step][:, : shape[1], : shape[2]][regions.body]
    scale = float(np.percentile(sample, upper))
    return scale if scale > 0 else float(clean.max())


def _count(
    clean: Volume, finite: npt.NDArray[np.bool_] | None, regions: Regions, scale: float
) -> _Counted:
    n = len(clean)
    counts = np.zeros((n, 3, histogram.BINS), np.int64)
    residual = np.zeros((n, histogram.BINS), np.int64)
    edges = np.zeros((n, 2))
    for z in range(n):
        plane = clean[z] * np.float32(1 / scale)
        labels, valid = _labels(regions, z, plane.shape)
        if finite is not None:
            labels[~finite[z]] = IGNORED
            valid &= finite[z]
        codes = histogram.bin_codes(plane)
        counts[z] = histogram.labelled_counts(codes, labels, 4)[:3]
        edges[z] = texture.edge_energy(plane, valid)
        noise = np.abs(texture.noise_residual(plane))
        inner = (labels[1:-1, 1:-1] == BODY).astype(np.int32)
        residual[z] = histogram.labelled_counts(histogram.bin_codes(noise), inner, 2)[1]
    return _Counted(counts, residual, edges)


def _labels(
    regions: Regions, z: int, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Label of every voxel of slice z, and whether differences there are no provider's edge."""
    coarse = np.where(regions.body[z], BODY, np.where(regions.air[z], AIR, OTHER))
    labels = np.full(shape, OTHER, np.int32)
    fine = coarse.repeat(regions.block, 0).repeat(regions.block, 1)
    labels[: fine.shape[0], : fine.shape[1]] = fine
    return labels, labels == BODY


def _air_null_reason(counts: histogram.Counts, regions: Regions) -> str | None:
    air, zeroed = int(regions.air.sum()), int(regions.zeroed.sum())
    if air < MIN_AIR_SHARE * (air + zeroed) or _median_is_zero(counts[:, AIR].sum(0)):
        return "zeroed_background"
    if counts[:, AIR].sum() < 5 * MIN_AIR_VOXELS:
        return "too_little_background"
    return None


def _median_is_zero(air: histogram.Counts) -> bool:
    return bool(air.sum() > 0 and 2 * air[0] >= air.sum())


def _total(counted: _Counted) -> _Counted:
    return _Counted(
        counted.counts.sum(0, keepdims=True),
        counted.residual.sum(0, keepdims=True),
        counted.edges.sum(0, keepdims=True),
    )


def _shared(counted: _Counted, reason: str | None, min_air: int) -> dict[str, Floats]:
    """Metrics that are the same function of a slice's and of a volume's sums."""
    everything = counted.counts.sum(1)
    body, air = counted.counts[:, BODY], counted.counts[:, AIR]
    enough = body.sum(-1) >= MIN_BODY_VOXELS
    audible = enough & (air.sum(-1) >= min_air) & (reason is None)
    noise = histogram.quantile(counted.residual, 0.5) / (0.6745 * texture.RESIDUAL_GAIN)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = body.sum(-1) / everything.sum(-1)
        sharpness = counted.edges[:, 0] / counted.edges[:, 1]
        tissue = histogram.quantile(body, 0.5) / noise
    return {
        "body_foreground_fraction": fraction,
        "body_snr": np.where(audible, intensity.snr(body, intensity.air_sigma(air)), np.nan),
        "body_snr_tissue": np.where(enough & np.isfinite(tissue), tissue, np.nan),
        "body_efc": np.where(enough, intensity.efc(everything), np.nan),
        "body_fber": np.where(audible, intensity.fber(body, air), np.nan),
        "body_sharpness": np.where(enough & (counted.edges[:, 1] > 0), sharpness, np.nan),
        "body_entropy": np.where(enough, intensity.entropy(body), np.nan),
    }


def _neighbour_summary(near: neighbours.Neighbours) -> dict[str, float]:
    known = near.consistency[np.isfinite(near.consistency)]
    lost = near.dropout[np.isfinite(near.dropout)]
    return {
        "body_slice_consistency": float(known.mean()) if len(known) else np.nan,
        "body_slice_consistency_min": float(known.min()) if len(known) else np.nan,
        "body_slice_dropout": float(lost.max()) if len(lost) else np.nan,
    }
