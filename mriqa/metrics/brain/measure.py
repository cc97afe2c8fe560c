"""All brain metrics of one volume."""

from dataclasses import dataclass, fields

import numpy as np

from mriqa.errors import ErrorCode, SeriesError
from mriqa.metrics.brain import fractions, ratios, smoothness
from mriqa.metrics.brain.columns import BRAIN_COLUMNS
from mriqa.metrics.brain.harmonised import harmonise, look
from mriqa.metrics.brain.maps import TISSUES, BrainTissue
from mriqa.metrics.brain.order import total
from mriqa.metrics.brain.statistics import (
    Air,
    air_null_reason,
    air_statistics,
    bias_statistics,
    tissue_summaries,
)
from mriqa.metrics.brain.summary import Summary
from mriqa.metrics.regions import Volume

MIN_BRAIN_VOXELS = 1000
MIN_HEAD_VOXELS = 100

Values = dict[str, float | None]
Summaries = dict[str, Summary | None]


@dataclass(frozen=True)
class BrainMeasurement:
    """Brain metrics of one volume by the names of BRAIN_COLUMNS; None where not computed."""

    values: dict[str, float | str | None]


def measure_brain(
    volume: Volume, spacing_mm: tuple[float, float, float], tissue: BrainTissue
) -> BrainMeasurement:
    """Every column of BRAIN_COLUMNS of `volume` `(z, y, x)` float32 with its `tissue`.

    spacing_mm = (dz, dy, dx); all widths are in voxels, as in MRIQC, so that it changes nothing
    yet. Voxels that are not finite, and negative ones, count as 0. Deterministic, thread-safe.
    Raises SeriesError (NO_FOREGROUND) where there is too little brain, head or white matter for
    any metric.
    """
    _check(tissue)
    image = harmonise(volume, tissue)
    seen = look(image, tissue)
    summaries = tissue_summaries(image, seen, tissue)
    air_reason = air_null_reason(seen, tissue)
    air = air_statistics(image, seen, tissue) if air_reason is None else None
    found = _of_tissues(summaries) | _of_air(air, summaries) | _of_maps(tissue)
    found |= _smoothness(volume, tissue)
    found["efc"] = seen.efc
    wm = summaries["wm"]
    found["wm2max"] = None if wm is None else ratios.wm2max(wm.median, seen.bright)
    missing = [name for name in TISSUES if summaries[name] is None]
    reasons = {
        "brain_tissue_null_reason": f"no_{missing[-1]}" if missing else None,
        "brain_air_null_reason": air_reason,
        "brain_inu_null_reason": "no_bias_field" if tissue.bias is None else None,
    }
    return BrainMeasurement(
        {
            column.name: reasons[column.name]
            if column.kind == "string"
            else _known(found.get(column.name))
            for column in BRAIN_COLUMNS
        }
    )


def _check(tissue: BrainTissue) -> None:
    for name, mask, least in (
        ("brain", tissue.brain, MIN_BRAIN_VOXELS),
        ("head", tissue.head, MIN_HEAD_VOXELS),
    ):
        n = int(np.count_nonzero(mask))
        if n < least:
            raise SeriesError(
                ErrorCode.NO_FOREGROUND, f"only {n} voxels of {name} were found; {least} are needed"
            )


def _smoothness(volume: Volume, tissue: BrainTissue) -> Values:
    """Of the volume as acquired, as MRIQC does."""
    widths = smoothness.fwhm(volume[tissue.box], tissue.brain[tissue.box])
    found = {f"fwhm_{axis}": width for axis, width in zip("zyx", widths, strict=True)}
    return {**found, "fwhm_avg": _mean(widths)}


def _of_tissues(summaries: Summaries) -> Values:
    found: Values = {}
    for name, summary in summaries.items():
        if summary is not None:
            found |= _named(name, summary)
            found[f"snr_{name}"] = ratios.snr(summary.median, summary.stdv, summary.n)
    found["snr_total"] = _mean([found.get(f"snr_{name}") for name in TISSUES])
    gm, wm = summaries["gm"], summaries["wm"]
    if gm is not None and wm is not None:
        found["cjv"] = ratios.cjv(wm.median, gm.median, wm.mad, gm.mad)
    return found


def _of_air(air: Air | None, summaries: Summaries) -> Values:
    if air is None:
        return {}
    bg = air.summary
    found = {**_named("bg", bg), "fber": air.fber, "qi_1": air.qi_1}
    for name, summary in summaries.items():
        if summary is not None:
            found[f"snrd_{name}"] = ratios.snr_dietrich(summary.median, bg.mad, bg.stdv)
    found["snrd_total"] = _mean([found.get(f"snrd_{name}") for name in TISSUES])
    gm, wm = summaries["gm"], summaries["wm"]
    if gm is not None and wm is not None:
        found["cnr"] = ratios.cnr(wm.median, gm.median, bg.stdv, wm.stdv, gm.stdv)
    return found


def _of_maps(tissue: BrainTissue) -> Values:
    found: Values = {}
    sums = tuple(total(p) for p in tissue.probabilities)
    for name, share in zip(TISSUES, fractions.volume_fractions(sums), strict=True):
        found[f"icvs_{name}"] = share
    for name, probability in zip(TISSUES, tissue.probabilities, strict=True):
        found[f"rpve_{name}"] = fractions.residual_partial_voluming(probability, tissue.brain.size)
    return found if tissue.bias is None else found | bias_statistics(tissue.bias[tissue.brain])


def _named(name: str, summary: Summary) -> Values:
    return {f"summary_{name}_{f.name}": getattr(summary, f.name) for f in fields(summary)}


def _mean(values: "list[float | None] | tuple[float | None, ...]") -> float | None:
    """Mean of `values`, None where one of them is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _known(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
