"""Probabilities that mean what they say: one temperature, fitted on validation subjects.

Guo et al. 2017, §4.2. It changes no class, only how sure the networks are.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from mriqa.methods.hierarchy.rounds import Classes, Floats

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures that are tried; beyond, a handful of validation items would decide."""
LEAST_P = 1e-12
"""A probability of 0 would have no logarithm, and could never be scaled."""
USUAL_WRONG_SHARE = 0.2
"""Of people's ratings, as METHODS §2 assumes."""
AS_MANY_LABELS = 10
"""What is usual counts as this many labels would: a handful of labels cannot say how many of them
are wrong."""
WRONG_SHARES = np.linspace(0.02, 0.5, 25)
"""That are tried. Above, labels would say what is not so."""


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """`probabilities` (n, classes) to the power 1/T, normalised; T > 1 makes them less sure."""
    logits = np.log(np.maximum(probabilities, LEAST_P)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_temperature(probabilities: Floats, classes: Classes, wrong_share: float = 0.0) -> float:
    """The temperature that makes the `classes` (n) of `probabilities` (n, classes) likeliest.

    They are true, or `wrong_share` of them are another class, each as likely: then it is the
    temperature of what is true. 1 without any item. Raises ValueError for a class that is none.
    """
    if len(classes) == 0:
        return 1.0
    if classes.min() < 0 or classes.max() >= probabilities.shape[1]:
        raise ValueError(f"classes must be 0 to {probabilities.shape[1] - 1}")

    def badness(log_temperature: float) -> float:
        scaled = at_temperature(probabilities, float(np.exp(log_temperature)))
        return surprise(scaled, classes, wrong_share)

    bounds = float(np.log(COLDEST)), float(np.log(HOTTEST))
    found = minimize_scalar(badness, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


class LabelFit(NamedTuple):
    """What explains labels best: the networks' `temperature`, and which share of them is wrong."""

    temperature: float
    wrong_share: float


def fit_labels(
    probabilities: Floats, classes: Classes, wrong_share: float | None = None
) -> LabelFit:
    """Of labels `classes` (n), `probabilities` (n, classes) by networks that have not seen them.

    Where `wrong_share` is not given it is fitted, too [P]: with the temperature it makes the labels
    likeliest, the usual share having the weight of AS_MANY_LABELS. Without any label the usual one.
    Raises ValueError for a class that is none.
    """
    if wrong_share is not None:
        return LabelFit(fit_temperature(probabilities, classes, wrong_share), wrong_share)
    if len(classes) == 0:
        return LabelFit(1.0, USUAL_WRONG_SHARE)
    fits = [
        LabelFit(fit_temperature(probabilities, classes, share), share)
        for share in WRONG_SHARES.tolist()
    ]
    wrong = AS_MANY_LABELS * USUAL_WRONG_SHARE

    def badness(fit: LabelFit) -> float:
        told = surprise(at_temperature(probabilities, fit.temperature), classes, fit.wrong_share)
        share = fit.wrong_share
        usual = wrong * np.log(share) + (AS_MANY_LABELS - wrong) * np.log1p(-share)
        return float(len(classes) * told - usual)

    return min(fits, key=badness)


def surprise(probabilities: Floats, classes: Classes, wrong_share: float) -> float:
    """Mean −log p of labels `classes` (n), of which `wrong_share` are another class, each as
    likely, if the truth has `probabilities` (n, classes)."""
    other = wrong_share / (probabilities.shape[1] - 1)
    own = other + (1 - wrong_share - other) * probabilities[np.arange(len(classes)), classes]
    return float(-np.log(np.maximum(own, LEAST_P)).mean())
