"""The same stratum by stratum: how well artifacts are seen where there are few references."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mriqa.evaluation.auc import Booleans, Floats, Indices
from mriqa.evaluation.simclr.cells import Design, aucs
from mriqa.evaluation.simclr.settings import MEDIUM
from mriqa.evaluation.truth import CLEAN

Record = dict[str, Any]
HELD_OUT = "held out"
"""The bank without the family that is judged."""


def strata_records(
    about: Mapping[str, Any], design: Design, badness: Floats, item: Indices,
    families: Iterable[str] | None = None,
) -> list[Record]:  # fmt: skip
    """AUC of each stratum and family, the mean over its severities from medium on.

    Of rows with `badness` (n; higher is worse, NaN unknown) that belong to the volumes `item` (n)
    of `design`. `paired`: the share of copies that are worse than the scan they are a copy of, ties
    counting half; None of slices.
    """
    names = np.array([one.scan.stratum for one in design.items])
    asked = sorted((set(design.family.tolist()) if families is None else set(families)) - {CLEAN})
    found = []
    for stratum in np.unique(names).tolist():
        rows = names[item] == stratum
        of_stratum = aucs(design, badness[rows], item[rows], asked)
        n_subjects = len({one.scan.person.subject for one in design.items
                          if one.scan.stratum == stratum})  # fmt: skip
        for family in asked:
            own = rows & (design.family[item] == family)
            levels = [
                one.auc for (name, level), one in of_stratum.items()
                if name == family and level >= MEDIUM
            ]  # fmt: skip
            known = [value for value in levels if value is not None]
            found.append(
                {
                    **about, "stratum": stratum, "family": family, "n_subjects": n_subjects,
                    "auc": float(np.mean(known)) if known else None,
                    "paired": _paired(design, badness, item, own),
                }
            )  # fmt: skip
    return found


def _paired(design: Design, badness: Floats, item: Indices, copies: Booleans) -> float | None:
    """Only of volumes, one row each: slices have no partner."""
    if len(np.unique(item)) < len(item):
        return None
    of_scan = {
        design.items[row].scan: value
        for row, value in zip(item.tolist(), badness.tolist(), strict=True)
        if design.family[row] == CLEAN
    }
    wins = []
    for row, value in zip(item[copies].tolist(), badness[copies].tolist(), strict=True):
        own = of_scan.get(design.items[row].scan, np.nan)
        if design.severity[row] >= MEDIUM and np.isfinite(value) and np.isfinite(own):
            wins.append((value > own) + 0.5 * (value == own))
    return float(np.mean(wins)) if wins else None


def mean_by_stratum(records: Sequence[Record], value: str) -> dict[tuple[Any, ...], list[float]]:
    """`value` (auc, paired) meaned over families: (stratum, bank, unit, kind, rule) → by encoder.

    A family that is not known of a stratum is left out of its mean.
    """
    keys = ("stratum", "bank", "unit", "kind", "rule")
    found: dict[tuple[Any, ...], dict[Any, list[float]]] = {}
    for one in records:
        if one[value] is not None:
            encoders = found.setdefault(tuple(one[key] for key in keys), {})
            encoders.setdefault((one["encoder"], one["seed"]), []).append(one[value])
    return {
        key: [float(np.mean(some)) for some in encoders.values()] for key, encoders in found.items()
    }
