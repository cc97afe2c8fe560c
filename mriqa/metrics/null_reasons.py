"""Why a metric of a volume is NULL: which of the tables' reason columns speaks of it."""

from collections.abc import Mapping

from mriqa.metrics.brain.columns import AIR_METRICS as BRAIN_AIR_METRICS
from mriqa.metrics.brain.columns import BRAIN_COLUMNS
from mriqa.metrics.brain.maps import TISSUES
from mriqa.metrics.columns import AIR_METRICS

Value = float | str | None

OF_A_TISSUE = frozenset(f"no_{tissue}" for tissue in TISSUES)
NEEDED = {
    "snr_total": TISSUES,
    "snrd_total": TISSUES,
    "cnr": ("gm", "wm"),
    "cjv": ("gm", "wm"),
    "wm2max": ("wm",),
}
"""Tissues that a metric needs whose name does not say so."""
_BRAIN = frozenset(one.name for one in BRAIN_COLUMNS if one.kind != "string")


def null_reason(name: str, values: Mapping[str, Value]) -> str | None:
    """The reason that the metric `name` of a volume is NULL, as its columns' levels name it.

    None where it has a value, or no column says why it has none.
    """
    if values.get(name) is not None:
        return None
    if name in AIR_METRICS:
        return _said(values, "body_air_null_reason")
    return _of_brain(name, values) if name in _BRAIN else None


def _of_brain(name: str, values: Mapping[str, Value]) -> str | None:
    tissue = _said(values, "brain_tissue_null_reason")
    if tissue is not None and tissue not in OF_A_TISSUE:
        return tissue  # there was no brain to measure, so that nothing else was looked at
    if name in BRAIN_AIR_METRICS and (air := _said(values, "brain_air_null_reason")):
        return air
    if name.startswith("inu_"):
        return _said(values, "brain_inu_null_reason")
    # The column names one tissue; this metric may need another that is missing as well.
    needed = NEEDED.get(name) or set(name.split("_")) & set(TISSUES)
    missing = [one for one in TISSUES if one in needed and values.get(f"summary_{one}_n") is None]
    return f"no_{missing[-1]}" if missing else None


def _said(values: Mapping[str, Value], column: str) -> str | None:
    value = values.get(column)
    return None if value is None else str(value)
