"""All metrics of one volume in one pass over its slices."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mriqa.errors import ErrorCode, SeriesError
from mriqa.metrics import diffusion, ghosting, histogram, intensity, neighbours, texture
from mriqa.metrics.columns import AIR_METRICS, BODY_SLICE_COLUMNS, BODY_VOLUME_COLUMNS
from mriqa.metrics.histogram import Counts, Floats
from mriqa.metrics.regions import Mask, Regions, Volume, find_regions, grow
from mriqa.metrics.tally import AIR, BODY, Tally, tally_slices

MIN_BODY_VOXELS = 64
"""Voxels of body that a slice or volume needs for the metrics of its body."""

MIN_AIR_VOXELS = 200
"""Voxels of air in a slice from which its noise is estimated."""

MIN_AIR_VOXELS_VOLUME = 1000

MIN_AIR_SHARE = 0.5
"""Of the background that is air or zeroed, the share that must be air, or it counts as zeroed."""

_THINNED = 32
"""Of so many values, one says about how high a percentile is."""

_SLACK = 4.0
"""Percentage points that this may be wrong by."""

Named = dict[str, Floats]


@dataclass(frozen=True)
class Measurement:
    """Metrics of one volume.

    `volume` by the names of BODY_VOLUME_COLUMNS (None where not computed, never NaN); `slices` by
    the names of BODY_SLICE_COLUMNS, `(z,)` float64 each, NaN where not computed. `signal` `(z,)`:
    mean intensities of the slices within a body that was given, see `diffusion.slice_signal`.
    """

    volume: dict[str, float | str | None]
    slices: dict[str, Floats]
    background: Literal["air", "zeroed"]
    signal: Floats | None = None


def measure(
    volume: Volume,
    spacing_mm: tuple[float, float, float],
    *,
    upper: float,
    shared_body: Mask | None = None,
) -> Measurement:
    """All metrics of `volume` `(z, y, x)` float32, spacing_mm = (dz, dy, dx).

    The percentile `upper` (0-100) of the body is the intensity 1. Voxels that are not finite are
    left out; negative ones (interpolation) count as zero. The first metrics are all relative to
    voxels, so that `spacing_mm` does not change them. `shared_body`, on the grid of
    `Regions.body`, is that of the series, for `signal`. Deterministic and thread-safe. Raises
    SeriesError (ALL_NONFINITE, CONSTANT, NO_FOREGROUND) for a volume that cannot be measured.
    """
    clean, finite = _clean(volume)
    regions = find_regions(clean, finite)
    if not regions.body.any():
        raise SeriesError(ErrorCode.NO_FOREGROUND, "no body stands out from the background")
    usable = None if finite is None else ~grow(~finite, max(texture.LAGS))
    tally = tally_slices(clean, finite, usable, regions, _scale(clean, regions, upper))
    _check_body(tally)
    reason = _air_null_reason(tally.counts, regions)
    slices, whole = _measured(tally, regions)
    if reason is not None:
        for name in AIR_METRICS:
            slices[name], whole[name] = np.full(len(clean), np.nan), np.nan
    return Measurement(
        {
            one.name: reason if one.kind == "string" else _known(whole[one.name])
            for one in BODY_VOLUME_COLUMNS
        },
        {one.name: slices[one.name] for one in BODY_SLICE_COLUMNS},
        "zeroed" if reason == "zeroed_background" else "air",
        None if shared_body is None else diffusion.slice_signal(regions.mean, shared_body),
    )


def body_of(volume: Volume) -> Mask:
    """The body of a volume, as `measure` takes it for `shared_body`; raises SeriesError as that."""
    clean, finite = _clean(volume)
    return find_regions(clean, finite).body


def _clean(volume: Volume) -> tuple[Volume, Mask | None]:
    """Non-negative finite voxels, and which of them were finite (None: all)."""
    low, high = float(np.min(volume)), float(np.max(volume))
    if np.isfinite(low) and np.isfinite(high):
        finite, clean = None, volume if low >= 0 else np.maximum(volume, np.float32(0))
    else:
        finite = np.isfinite(volume)
        if not finite.any():
            raise SeriesError(ErrorCode.ALL_NONFINITE, "no voxel is a finite number")
        low, high = float(np.min(volume[finite])), float(np.max(volume[finite]))
        clean = np.where(finite, np.maximum(volume, np.float32(0)), np.float32(0))
    if low == high:
        raise SeriesError(ErrorCode.CONSTANT, f"every finite voxel is {low:g}")
    if high <= 0:
        raise SeriesError(ErrorCode.NO_FOREGROUND, f"no voxel is above 0; the highest is {high:g}")
    return clean, finite


def _check_body(tally: Tally) -> None:
    """Refuse what has no metric of the body: a rating of the rest alone would pass it."""
    n_body = int(tally.counts[:, BODY].sum())
    if n_body < MIN_BODY_VOXELS:
        raise SeriesError(
            ErrorCode.NO_FOREGROUND,
            f"only {n_body} voxels stand out from the background; {MIN_BODY_VOXELS} are needed",
        )


def _scale(clean: Volume, regions: Regions, upper: float) -> float:
    """The intensity that becomes 1, from one voxel of every block of the body."""
    first, step = regions.block // 2, regions.block
    _, rows, columns = regions.body.shape
    sample = clean[:, first::step, first::step][:, :rows, :columns][regions.body]
    scale = percentile(sample, upper)
    return scale if scale > 0 else float(clean.max())


def percentile(values: npt.NDArray[np.float32], percent: float) -> float:
    """What np.percentile says of finite values, for a high one in half the time."""
    place = (values.size - 1) * (percent / 100)
    before = int(place)
    least = np.percentile(values[::_THINNED], max(percent - _SLACK, 0))
    high = values[values >= least]
    left_out = values.size - high.size
    # Every value that was left out is lower than all others.
    if left_out > before:
        high, left_out = values, 0
    two = (before - left_out, min(before - left_out + 1, high.size - 1))
    high = np.partition(high, two)
    low, above, part = high[two[0]], high[two[1]], place - before
    # Interpolated in float32 from the nearer one, as numpy does, so that the bits are the same.
    step = above - low
    return float(low + step * part if part < 0.5 else above - step * (1 - part))


def _air_null_reason(counts: Counts, regions: Regions) -> str | None:
    air, zeroed = np.count_nonzero(regions.air), np.count_nonzero(regions.zeroed)
    values = counts[:, AIR].sum(0)
    half_is_zero = values.sum() > 0 and 2 * values[0] >= values.sum()
    if half_is_zero or air < MIN_AIR_SHARE * (air + zeroed):
        return "zeroed_background"
    return "too_little_background" if values.sum() < MIN_AIR_VOXELS_VOLUME else None


def _measured(tally: Tally, regions: Regions) -> tuple[Named, dict[str, float]]:
    """Every metric of the slices `(z,)`, and of the volume."""
    slices = _of_sums(tally, MIN_AIR_VOXELS)
    whole = {
        name: float(value[0])
        for name, value in _of_sums(tally.total(), MIN_AIR_VOXELS_VOLUME).items()
    }
    for name, by_axis in (
        ("body_ghosting", ghosting.ghosting(regions)),
        ("body_border", ghosting.border_signal(regions)),
    ):
        for axis, (of_volume, of_slices) in by_axis.items():
            whole[f"{name}_{axis}"], slices[f"{name}_{axis}"] = of_volume, of_slices
    near = neighbours.compare_neighbours(regions)
    excess = neighbours.noise_excess(tally.residual_rms)
    slices["body_slice_consistency"] = near.consistency
    slices["body_slice_tearing"] = near.tearing
    slices["body_slice_dropout"] = near.dropout
    slices["body_slice_noise_excess"] = excess
    whole |= neighbours.summary(near, excess)
    return slices, whole


def _of_sums(tally: Tally, min_air: int) -> Named:
    """Metrics that are the same function of a slice's and of a volume's sums."""
    everything = tally.counts.sum(1)
    body, air = tally.counts[:, BODY], tally.counts[:, AIR]
    n_body = body.sum(-1)
    enough = n_body >= MIN_BODY_VOXELS
    audible = enough & (air.sum(-1) >= min_air)
    noise = histogram.quantile(tally.residual, 0.5)
    noise /= texture.MEDIAN_OF_NORMAL * texture.RESIDUAL_GAIN
    measured = {
        "body_snr": (audible, intensity.snr(body, intensity.air_sigma(air))),
        "body_snr_tissue": (enough, intensity.snr_tissue(body, noise)),
        "body_efc": (enough, intensity.efc(everything)),
        "body_fber": (audible, intensity.fber(body, air)),
        "body_sharpness": (enough, texture.sharpness(tally.edges.sum(1), texture.COARSE)),
        "body_sharpness_y": (enough, texture.sharpness(tally.edges[:, 0], texture.FINE)),
        "body_sharpness_x": (enough, texture.sharpness(tally.edges[:, 1], texture.FINE)),
        "body_entropy": (enough, intensity.entropy(body)),
    }
    named = {name: np.where(known, value, np.nan) for name, (known, value) in measured.items()}
    named["body_foreground_fraction"] = n_body / np.maximum(everything.sum(-1), 1)
    return named


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
