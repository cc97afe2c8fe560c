"""Three tissues as three normal distributions of intensity."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mriqa.metrics.brain.fractions import Probabilities
from mriqa.metrics.brain.order import Values
from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask

Contrast = Literal["T1w", "T2w"]

ORDER: dict[Contrast, tuple[int, int, int]] = {"T1w": (0, 1, 2), "T2w": (2, 1, 0)}
"""Place of CSF, grey and white matter among the classes from dark to bright."""

_SHARES = (0.18, 0.45, 0.37)
"""About how much of a brain is CSF, grey and white matter: where the fit starts."""

_WIDEST = (4.0, 1.5, 1.5)
"""Deviation of CSF, grey and white matter over the narrower one of grey and white matter.

A class that may become wider takes vessels and fat instead of a tissue.
"""

_BINS = 256
_STEPS = 60
_TAILS_PERCENT = (0.5, 99.0)
_OUTLIER = 5.0
_DARKEST = 0.6
"""White matter of T2w images over the brain's median, at least."""


@dataclass(frozen=True)
class Mixture:
    """Means, deviations and shares of the classes from dark to bright, `(3,)` each."""

    means: Floats
    deviations: Floats
    shares: Floats


def fitted(values: Values, contrast: Contrast) -> Mixture:
    """The mixture that explains the histogram of a brain's `values` `(n,)`."""
    low, high = np.percentile(values, _TAILS_PERCENT)
    counts, edges = np.histogram(values, _BINS, (low, max(high, low + 1e-6)))
    centres = (edges[1:] + edges[:-1]) / 2
    shares = np.array([_SHARES[ORDER[contrast].index(place)] for place in range(3)])
    middles = np.cumsum(shares) - shares / 2
    means = np.percentile(values, 100 * middles).astype(np.float64)
    mixture = Mixture(means, np.full(3, (high - low) / 10), shares)
    for _ in range(_STEPS):
        likely = _likelihood(centres, mixture) * mixture.shares[:, None]
        probable = likely / np.maximum(likely.sum(axis=0), 1e-300)
        mixture = estimated(centres, probable * counts, contrast)
    return mixture


def estimated(
    values: Floats | Values, weights: Floats | Probabilities, contrast: Contrast
) -> Mixture:
    """The mixture of `values` `(n,)` that belong to the classes by `weights` `(3, n)`."""
    totals = np.maximum(weights.sum(axis=1, dtype=np.float64), 1e-9)
    means = weights @ values / totals
    deviations = np.array(
        [
            np.sqrt(float(one @ (values - float(mean)) ** 2) / total)
            for one, mean, total in zip(weights, means, totals, strict=True)
        ]
    )
    csf, gm, wm = ORDER[contrast]
    narrow = max(min(deviations[gm], deviations[wm]), 1e-3 * float(np.abs(means).max()), 1e-9)
    for place, widest in zip((csf, gm, wm), _WIDEST, strict=True):
        deviations[place] = np.clip(deviations[place], narrow / 2, narrow * widest)
    return Mixture(np.asarray(means, np.float64), deviations, totals / totals.sum())


def plausible(values: Values, contrast: Contrast) -> Mask:
    """Which of a brain's `values` may be tissue: bone and flow voids are darker than white matter.

    In T2w images they would make a class of their own; in T1w images they are as dark as fluid.
    """
    if contrast == "T1w":
        return np.ones(values.shape, np.bool_)
    return np.asarray(values > np.float32(_DARKEST) * np.median(values))


def posterior(values: Values, prior: Probabilities, mixture: Mixture) -> Probabilities:
    """Probabilities `(3, n)` of the classes of `values` `(n,)` by Bayes' rule."""
    likely = prior * _likelihood(values, mixture)
    total = likely.sum(axis=0)
    # Far from all classes the prior is all that is known.
    lost = total <= 0
    likely[:, lost] = prior[:, lost]
    return np.asarray(likely / np.where(lost, prior.sum(axis=0), total), np.float32)


def outliers(values: Values, mixture: Mixture, contrast: Contrast) -> Mask:
    """Which of `values` `(n,)` lie far beyond white matter: fat and vessels, bone and flow voids.

    Beyond CSF there is nothing but more CSF.
    """
    white = ORDER[contrast][2]
    beyond = values - np.float32(mixture.means[white])
    limit = np.float32(_OUTLIER * mixture.deviations[white])
    return beyond > limit if white == 2 else -beyond > limit


def spread_out(values: Values, mixture: Mixture) -> Values:
    """`values` >= 0 such that the means become 1/3, 2/3 and 1, and 0 stays; linear in between.

    dipy's random field starts from classes at 0, 1/3, 2/3 and 1, whatever the image is.
    """
    means = np.maximum.accumulate(np.maximum(mixture.means, 1e-6) + np.arange(3) * 1e-6)
    top = means[2] + _OUTLIER * mixture.deviations[2]
    end = 1 + (top - means[2]) / (3 * max(means[2] - means[1], 1e-6))
    places = np.array([0.0, *means, top])
    spread = np.interp(values, places, [0, 1 / 3, 2 / 3, 1, min(end, 4 / 3)])
    return np.asarray(spread, np.float32)


def _likelihood(values: Floats | Values, mixture: Mixture) -> Values:
    """Likelihood `(3, n)` of `values` `(n,)`, up to a factor, in float32."""
    likely = np.empty((3, values.size), np.float32)
    for one, mean, deviation in zip(likely, mixture.means, mixture.deviations, strict=True):
        scaled = (values - float(mean)) / float(deviation)
        one[:] = np.exp(-0.5 * scaled**2) / float(deviation)
    return likely
