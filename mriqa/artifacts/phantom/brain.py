"""A head for diffusion imaging: tissue, fibre directions, tensors, and its echo-planar scan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.phantom.canvas import Floats, Grid, coverage, generator, smooth_field

BRAIN_SHAPE = (20, 96, 96)
BRAIN_SPACING_MM = (2.5, 2.0, 2.0)
B_VALUE = 1000.0
N_B0, N_DIRECTIONS = 2, 12
CORTEX_MM = 3.4

# Diffusivities in 1e-3 mm²/s along and across the fibre, and the signal without diffusion
# weighting, relative to fluid: typical values at 3 T and an echo time of 80 ms.
FLUID, GREY, WHITE, SCALP = (3.0, 3.0, 1.0), (0.9, 0.75, 0.50), (1.7, 0.30, 0.36), (0.3, 0.3, 0.16)


@dataclass(frozen=True)
class Head:
    """What a diffusion scan of one head needs, all (z, y, x) on the scan's grid.

    `fibre` is (3, z, y, x): unit vectors (x, y, z).
    """

    fluid: Floats
    grey: Floats
    white: Floats
    scalp: Floats
    fibre: Floats


@dataclass(frozen=True)
class DiffusionScan:
    """The drawn imperfections of one good diffusion series."""

    snr: float
    gain: float
    bias: float
    nyquist_ghost: float
    eddy: float
    seed: int


def gradient_table(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """b-values in s/mm² (volumes,) and unit gradient vectors (3, volumes), 0 where b is 0.

    Directions lie on a Fibonacci half sphere, turned at random.
    """
    number = np.arange(N_DIRECTIONS) + 0.5
    height = number / N_DIRECTIONS
    angle = np.pi * (1 + 5**0.5) * number + generator(seed, 0).uniform(0, 2 * np.pi)
    ring = np.sqrt(1 - height**2)
    vectors = np.stack([ring * np.cos(angle), ring * np.sin(angle), height])
    bvals = np.concatenate([np.zeros(N_B0), np.full(N_DIRECTIONS, B_VALUE)])
    return bvals, np.concatenate([np.zeros((3, N_B0)), vectors], axis=1)


def draw_diffusion_scan(rng: np.random.Generator) -> DiffusionScan:
    """Draw the imperfections of a good series."""
    return DiffusionScan(
        snr=float(np.exp(rng.uniform(np.log(18), np.log(45)))),
        gain=float(np.exp(rng.uniform(np.log(600), np.log(1600)))),
        bias=float(rng.uniform(0.05, 0.2)),
        nyquist_ghost=float(0.005 + 0.025 * rng.beta(1, 2)),
        eddy=float(rng.uniform(0.0, 0.006)),
        seed=int(rng.integers(2**53)),
    )


def brain_grid() -> Grid:
    """The grid of the diffusion protocol."""
    return Grid(BRAIN_SHAPE, BRAIN_SPACING_MM, (8.0, 0.0, 0.0))


def build_head(grid: Grid, seed: int, cortex_mm: float = CORTEX_MM) -> Head:
    """Draw one head: scalp, skull, folded cortex, white matter, ventricles, deep grey matter."""
    rng = generator(seed, 1)
    z, y, x = grid.offsets((slice(None),) * 3, (0.0, 0.0, 0.0))
    size = rng.normal(1, 0.035, 3)
    wide, long, high = 68 * size[0], 82 * size[1], 72 * size[2]
    warp = smooth_field(rng, grid, 30.0)
    q = np.sqrt((x / wide) ** 2 + (y / long) ** 2 + ((z + 5) / high) ** 2)
    depth = ((1 - q) * wide + 1.2 * warp).astype(np.float32)
    scalp = coverage(depth + 14, 2.5) - coverage(depth + 7, 2.5)
    inside = coverage(depth, 2.5)
    grey_depth = _cortex(depth, grid, x, rng)
    white_depth = grey_depth - np.float32(cortex_mm)
    grey_all, white = coverage(grey_depth, 2.2) * inside, coverage(white_depth, 2.2) * inside
    hollow = _ventricles(grid, size, warp)
    deep = _deep_grey(grid, size)
    white = white * (1 - hollow) * (1 - deep)
    grey = np.maximum(grey_all * (1 - hollow) - white, 0)
    fluid = np.maximum(inside - grey - white, 0)
    return Head(fluid, grey, white, scalp, _fibres(grid, white_depth, rng))


def _cortex(depth: Floats, grid: Grid, x: Floats, rng: np.random.Generator) -> Floats:
    """Depth of grey matter below the brain's folded surface; white matter begins deeper.

    Sulci are the zero surface of a smooth field, some 7 mm from it per unit; they end 15 mm deep.
    """
    folds = np.abs(smooth_field(rng, grid, 7.5)) * 7
    sulcus = folds + np.clip(depth - 13, 0, None) * np.float32(0.8)
    fissure = np.abs(x) + np.clip(depth - 24, 0, None) * np.float32(0.6)
    fluid_mm = np.minimum(np.minimum(depth - 2, sulcus - 1.0), fissure - 1.2)
    return np.asarray(fluid_mm, np.float32)


def _ventricles(grid: Grid, size: NDArray[np.float64], warp: Floats) -> Floats:
    """Share of lateral ventricles (two curved horns) and third ventricle."""
    z, y, x = grid.offsets((slice(None),) * 3, (0.0, 0.0, 0.0))
    bow = 7 + 0.0045 * y * y + 0.14 * np.abs(y - 8)
    across = (np.abs(x) - bow * size[0]) / (4.5 + 0.05 * np.clip(-y, 0, 40))
    along, up = (y + 3) / (38 * size[1]), (z - 12) / 13
    lateral = (1 - np.sqrt(across**2 + along**2 + up**2)) * 5 + 0.3 * warp
    third = (1 - np.sqrt((x / 3) ** 2 + ((y + 2) / 14) ** 2 + ((z + 2) / 12) ** 2)) * 3
    return np.asarray(np.maximum(coverage(lateral, 2.0), coverage(third, 2.0)))


def _deep_grey(grid: Grid, size: NDArray[np.float64]) -> Floats:
    """Share of thalamus, putamen and caudate, both sides."""
    z, y, x = grid.offsets((slice(None),) * 3, (0.0, 0.0, 0.0))
    share = np.zeros(grid.shape, np.float32)
    nuclei = (
        ((5.0, -12.0, 11.0), (10.0, 14.0, 8.0)),
        ((3.0, 8.0, 26.0), (11.0, 17.0, 6.0)),
        ((12.0, 22.0, 14.0), (10.0, 10.0, 5.0)),
    )
    for (cz, cy, cx), (rz, ry, rx) in nuclei:
        q = ((np.abs(x) - cx * size[0]) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2
        share = np.maximum(share, coverage((1 - np.sqrt(q)) * np.float32(rx), 2.0))
    return share


def _fibres(grid: Grid, white_depth: Floats, rng: np.random.Generator) -> Floats:
    """Fibre directions: callosum across, corticospinal tract up, elsewhere along smooth arcs."""
    z, y, x = grid.offsets((slice(None),) * 3, (0.0, 0.0, 0.0))
    field = np.stack([smooth_field(rng, grid, 32.0) for _ in range(3)])
    callosum = np.exp(-((x / 26) ** 2) - ((z - 20) / 16) ** 2) * 4
    spinal = np.exp(-(((np.abs(x) - 19) / 7) ** 2) - ((y + 6) / 14) ** 2) * 4
    bundle = np.exp(-(((np.abs(x) - 34) / 9) ** 2)) * 2
    field[0] += callosum * (1 + 0 * white_depth)
    field[1] += bundle - 0.02 * x * callosum
    field[2] += spinal + 0.03 * np.abs(x) * callosum
    norm = np.sqrt((field**2).sum(axis=0)) + np.float32(1e-6)
    return np.asarray(field / norm, np.float32)


def diffusion_signal(head: Head, bval: float, bvec: NDArray[np.float64]) -> Floats:
    """Noise-free signal (z, y, x) of one volume by the tensor model (Basser 1994)."""
    b = bval * 1e-3
    x, y, z = (np.float32(value) for value in bvec)
    along = (x * head.fibre[0] + y * head.fibre[1] + z * head.fibre[2]) ** 2
    signal = np.zeros(head.fluid.shape, np.float32)
    for share, (parallel, across, unweighted) in (
        (head.fluid, FLUID),
        (head.grey, GREY),
        (head.white, WHITE),
        (head.scalp, SCALP),
    ):
        signal += share * unweighted * np.exp(-b * (across + (parallel - across) * along))
    return signal


def acquire_diffusion(
    head: Head, bval: float, bvec: NDArray[np.float64], number: int, scan: DiffusionScan
) -> Floats:
    """Volume `number` of a series as stored, float32 (z, y, x): coils, Nyquist ghost, noise."""
    grid = brain_grid()
    signal = diffusion_signal(head, bval, bvec)
    bias = smooth_field(generator(scan.seed, 0), grid, 110.0)
    signal *= np.exp(np.float32(scan.bias) * bias)
    signal = _eddy_shear(signal, scan.eddy * float(bvec[0] + 0.5 * bvec[1]) * (bval > 0))
    ghost = np.roll(signal, grid.shape[1] // 2, axis=1) * np.float32(scan.nyquist_ghost)
    rng = generator(scan.seed, 1, number)
    # SNR is that of white matter without diffusion weighting.
    sigma = np.float32(WHITE[2] / scan.snr)
    real = signal + ghost + sigma * rng.standard_normal(grid.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(grid.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary) * np.float32(scan.gain), np.float32)


def _eddy_shear(signal: Floats, shear: float) -> Floats:
    """Eddy currents shift columns along y in proportion to x (linear interpolation)."""
    n = signal.shape[1]
    shift = shear * (np.arange(signal.shape[2]) - signal.shape[2] / 2)
    result = np.empty_like(signal)
    rows = np.arange(n)
    for column, offset in enumerate(shift):
        low = int(np.floor(offset))
        share = np.float32(offset - low)
        near, far = (rows - low) % n, (rows - low - 1) % n
        line = signal[:, :, column]
        result[:, :, column] = (1 - share) * line[:, near] + share * line[:, far]
    return result
