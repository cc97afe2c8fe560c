"""How well a trained network tells the numbers of volumes of subjects that it has not seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from mriqa.errors import SeriesError, UserError
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.target import Floats
from mriqa.methods.hysnet.volumes import Example, open_volumes, say
from mriqa.progress import track

LEAST = 3
"""Volumes that a correlation is of."""


def assess(
    predictor: Predictor, held_out: Mapping[str, Sequence[Example]], percentile: float
) -> dict[str, Any]:
    """Of each split, as `<split>_…`: `n` volumes, `srocc`, `plcc` and `mae` of their predictions.

    Spearman's and Pearson's correlation with the targets, as the paper reports them, and the mean
    absolute error in the target's unit; None where there are too few. `percentile`: see
    `open_volumes`.
    """
    found: dict[str, Any] = {}
    for split, examples in held_out.items():
        said, true = _predicted(predictor, examples, percentile, split)
        numbers = {
            "n": len(true),
            "srocc": correlation(rankdata(said), rankdata(true)),
            "plcc": correlation(said, true),
            "mae": float(np.abs(said - true).mean()) if len(true) else None,
        }
        found |= {f"{split}_{name}": value for name, value in numbers.items()}
    return found


def correlation(first: Floats, second: Floats) -> float | None:
    """Pearson's, -1 to 1; None of fewer than LEAST values, or where one side is constant."""
    if len(first) < LEAST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _predicted(
    predictor: Predictor, examples: Sequence[Example], percentile: float, split: str
) -> tuple[Floats, Floats]:
    """Predictions and targets of the volumes that can be read."""
    said, true = [], []
    for one in track(examples, len(examples), f"hysnet {split}", "volumes"):
        try:
            # one by one: what is damaged does not stop the others
            volumes = open_volumes([one], percentile)
            said.append(predictor.predict(volumes, 0).value)
            true.append(one.target)
        except (SeriesError, UserError) as error:
            say(f"training: {one.series_id}, volume {one.volume}, is not tried: {error}")
    return np.array(said, np.float64), np.array(true, np.float64)
