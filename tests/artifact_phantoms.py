"""Small magnitude volumes whose artifacts can be checked by hand."""

import numpy as np
from numpy.typing import NDArray

SPACING_MM = (3.0, 2.0, 1.5)


def smooth_object(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    rotation: NDArray[np.float64] | None = None,
    translation_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> NDArray[np.float32]:
    """Gaussian blobs sampled analytically after a rigid motion (z, y, x) about the centre."""
    inverse = np.eye(3) if rotation is None else rotation.T
    axes = [(np.arange(n) - (n - 1) / 2) * d for n, d in zip(shape, spacing_mm, strict=True)]
    place = np.stack(np.meshgrid(*axes, indexing="ij")) - np.reshape(translation_mm, (3, 1, 1, 1))
    place = np.einsum("ab,bzyx->azyx", inverse, place)
    volume = np.zeros(shape)
    for centre, width, height in (
        ((0.0, 0.0, 0.0), 9.0, 100.0),
        ((3.0, 12.0, -9.0), 6.0, 160.0),
        ((-4.0, -15.0, 6.0), 5.0, 120.0),
    ):
        distance = sum((place[i] - centre[i]) ** 2 for i in range(3))
        volume += height * np.exp(-distance / (2 * width**2))
    return volume.astype(np.float32)


def noisy_body(
    shape: tuple[int, int, int] = (12, 96, 72), *, sigma: float = 2.0, seed: int = 0
) -> NDArray[np.float32]:
    """An ellipse with brighter organs and darker holes in air, Rician noise of `sigma`."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    volume = np.where((y / 0.7) ** 2 + (x / 0.75) ** 2 < 1, 60.0, 0.0)
    volume[(y / 0.62) ** 2 + (x / 0.66) ** 2 < 1] = 100.0
    for _ in range(8):
        cy, cx = rng.uniform(-0.4, 0.4, 2)
        radius = rng.uniform(0.06, 0.2)
        volume[(y - cy) ** 2 + (x - cx) ** 2 + (0.1 * z) ** 2 < radius**2] *= rng.uniform(0.4, 1.5)
    real, imaginary = rng.normal(0, sigma, (2, *shape))
    return np.hypot(volume + real, imaginary).astype(np.float32)
