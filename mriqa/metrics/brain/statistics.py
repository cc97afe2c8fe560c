"""Statistics of the parts of one volume: its tissues, the air around the head, its bias field."""

from dataclasses import dataclass

import numpy as np

from mriqa.metrics.brain import ratios
from mriqa.metrics.brain.harmonised import Harmonised, Seen
from mriqa.metrics.brain.maps import TISSUES, BrainTissue
from mriqa.metrics.brain.order import Values, median, percentile, total
from mriqa.metrics.brain.summary import Summary, core_of, summarise, weigh

MIN_TISSUE_VOXELS = 10
"""Sum of a tissue's probabilities below which the volume is taken not to hold it."""

MIN_AIR_VOXELS = 1000

_INU_PERCENT = (5.0, 95.0)


@dataclass(frozen=True)
class Air:
    """What is known of the air: `summary` of its voxels, `fber` and `qi_1` (see `ratios`)."""

    summary: Summary
    fber: float | None
    qi_1: float | None


def tissue_summaries(
    image: Harmonised, seen: Seen, tissue: BrainTissue
) -> dict[str, Summary | None]:
    """Statistics of "csf", "gm" and "wm"; None for a tissue that the volume hardly holds."""
    weighed = weigh(seen.brain, tissue.probabilities)
    found: dict[str, Summary | None] = {}
    for name, probability, one in zip(TISSUES, tissue.probabilities, weighed, strict=True):
        n = total(probability)
        if n < MIN_TISSUE_VOXELS or not one.weights.any():
            found[name] = None
            continue
        found[name] = summarise(one, core_of(seen.brain, probability), n, image.above)
    return found


def air_null_reason(seen: Seen, tissue: BrainTissue) -> str | None:
    """Why nothing can be said of the air (a level of `columns.AIR_LEVELS`), or None.

    It counts as zeroed where half of the air, or of all that is not head, is empty: what a
    provider's mask has left of it is not what the scanner recorded.
    """
    air = seen.air
    if air.size and 2 * np.count_nonzero(air) <= air.size:
        return "zeroed_background"
    if tissue.frame is not None:
        outside = int(np.count_nonzero(~tissue.head))
        if 2 * int(np.count_nonzero(tissue.frame & ~tissue.head)) >= max(outside, 1):
            return "zeroed_background"
    return "too_little_background" if air.size < MIN_AIR_VOXELS else None


def air_statistics(image: Harmonised, seen: Seen, tissue: BrainTissue) -> Air:
    """Statistics of the air of a volume for which `air_null_reason` gives none."""
    air = seen.air
    (weighed,) = weigh(air, None)
    return Air(
        summarise(weighed, air, float(air.size), image.above),
        ratios.fber(seen.head_energy, seen.background_energy),
        ratios.qi_1(air.size, int(np.count_nonzero(tissue.artifacts))),
    )


def bias_statistics(inside: Values) -> dict[str, float | None]:
    """Range and median of the bias field in the brain, from its values there `(n,)`.

    `inu_range`: 95th less 5th percentile, >= 0, lower is better. `inu_med`: how far the field is
    from 1, nearer is better.
    """
    low, high = (percentile(inside, percent) for percent in _INU_PERCENT)
    return {"inu_range": abs(high - low), "inu_med": median(inside)}
