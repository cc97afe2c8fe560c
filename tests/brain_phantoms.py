"""Simple heads whose tissues are known, for the tests and the benchmark of the brain metrics."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mriqa.metrics.brain import BrainTissue, tissue_of_maps

SPACING_MM = (2.0, 2.0, 2.0)
INTENSITY = {"T1w": (250.0, 640.0, 900.0), "T2w": (1000.0, 640.0, 420.0)}
"""Of CSF, grey and white matter."""

SCALP = 700.0


@dataclass(frozen=True)
class Head:
    """`signal` without noise and bias; `maps` of CSF, grey and white matter; masks."""

    signal: np.ndarray
    maps: tuple[np.ndarray, np.ndarray, np.ndarray]
    head: np.ndarray
    air: np.ndarray


def make_head(shape=(44, 56, 50), contrast="T1w", seed=0) -> Head:
    """A brain of three tissues with folds, in a skull and a scalp, air around; up is z's end."""
    grid = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    z, y, x = grid
    radius = np.sqrt((z / 0.85) ** 2 + (y / 0.85) ** 2 + (x / 0.78) ** 2)
    rng = np.random.default_rng(seed)
    folds = smooth_noise(rng, shape, min(shape) / 18)
    depth = 1 - radius + 0.035 * folds
    edge = 2.5 / max(shape)
    inside = _share(0.82 - radius, edge)
    white = _share(depth - 0.38, edge) * inside
    ventricle = _share(0.16 - np.sqrt((z * 1.2) ** 2 + y**2 + (x * 1.4) ** 2), edge)
    white = white * (1 - ventricle)
    grey = np.maximum(_share(depth - 0.24, edge) * inside * (1 - ventricle) - white, 0)
    fluid = np.maximum(inside - grey - white, 0)
    scalp = _share(1 - radius, edge) - _share(0.92 - radius, edge)
    levels = INTENSITY[contrast]
    signal = SCALP * scalp + sum(
        level * part for level, part in zip(levels, (fluid, grey, white), strict=True)
    )
    outside = radius > 1.08
    hat = outside & (z > -0.3)
    maps = tuple(
        np.where(part > 0.004, part, 0).astype(np.float32) for part in (fluid, grey, white)
    )
    return Head(signal.astype(np.float32), maps, radius < 1.02, hat)


def smooth_noise(rng, shape, width):
    """Smooth noise of deviation 1, `width` voxels wide."""
    field = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), width)
    return field / field.std()


def _share(depth, edge):
    return np.clip(depth / edge + 0.5, 0, 1)


def shading(shape, strength):
    """A smooth field of mean 1 that rises along y and falls along z by `strength` in all."""
    z, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.exp(strength / 2 * (0.6 * y - 0.4 * z**2 - 0.3 * z)).astype(np.float32)


def scan(head: Head, sigma=20.0, bias=None, seed=1) -> np.ndarray:
    """The magnitude of the shaded signal with complex noise of deviation `sigma`."""
    rng = np.random.default_rng(seed)
    signal = head.signal if bias is None else head.signal * bias
    real, imaginary = rng.normal(0, sigma, (2, *signal.shape))
    return np.hypot(signal + real, imaginary).astype(np.float32)


def tissue_of(head: Head, bias=None, frame=None, artifacts=None) -> BrainTissue:
    """The true tissues of `head`."""
    marked = np.zeros(head.air.shape, bool) if artifacts is None else artifacts
    return tissue_of_maps(
        head.signal.shape,
        head.maps,
        head=head.head,
        air=head.air & ~marked,
        artifacts=marked,
        frame=frame,
        bias=bias,
    )
