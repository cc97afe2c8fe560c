"""Probabilities that mean what they say: one temperature, fitted on validation subjects.

Guo et al. 2017, §4.2. It changes no class, only how sure the networks are.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from mriqa.methods.hierarchy.rounds import Classes, Floats

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures that are tried; beyond, a handful of validation items would decide."""
LEAST_P = 1e-12
"""A probability of 0 would have no logarithm, and could never be scaled."""


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

    other = wrong_share / (probabilities.shape[1] - 1)

    def surprise(log_temperature: float) -> float:
        scaled = at_temperature(probabilities, float(np.exp(log_temperature)))
        own = other + (1 - wrong_share - other) * scaled[np.arange(len(classes)), classes]
        return float(-np.log(np.maximum(own, LEAST_P)).mean())

    bounds = float(np.log(COLDEST)), float(np.log(HOTTEST))
    found = minimize_scalar(surprise, bounds=bounds, method="bounded")
    return float(np.exp(found.x))
