"""Simple bodies in noise, whose quality is known, for the tests of the metrics."""

import numpy as np
from scipy import ndimage

SPACING_MM = (3.5, 2.2, 2.2)


def ellipse_body(shape=(12, 96, 128), seed=0, radii=(0.30, 0.32)):
    """An elliptic body with organs that change slowly from slice to slice; signal about 100."""
    rng = np.random.default_rng(seed)
    _, y, x = shape
    row, column = np.mgrid[:y, :x]
    inside = ((row - y / 2) / (radii[0] * y)) ** 2 + ((column - x / 2) / (radii[1] * x)) ** 2 < 1
    organs = ndimage.gaussian_filter(rng.normal(size=shape), (3, 3, 3))
    organs = 100 + 60 * np.sign(organs) * (np.abs(organs) > 0.3 * organs.std())
    return (ndimage.gaussian_filter(organs * inside, (0, 0.5, 0.5))).astype(np.float32)


def add_noise(signal, sigma, seed=1):
    """The magnitude of `signal` with complex noise of deviation `sigma`."""
    rng = np.random.default_rng(seed)
    real, imaginary = rng.normal(0, sigma, (2, *signal.shape))
    return np.hypot(signal + real, imaginary).astype(np.float32)


def add_ghost(signal, amplitude, axis, period=2):
    """Replicas of `amplitude` at whole parts of the field of view along `axis`."""
    shift = signal.shape[axis] // period
    return signal + amplitude * np.roll(signal, shift, axis)


def body_in_noise(sigma=2.0, **kwargs):
    """`ellipse_body` with noise."""
    return add_noise(ellipse_body(**kwargs), sigma)
