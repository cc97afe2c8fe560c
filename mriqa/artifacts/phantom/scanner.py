"""What a scanner makes of the ideal image: coils, residual artifacts, noise, integers.

A good volume is not a perfect one: every scan has a bias field, faint ghosts, a little breathing,
end slices that fold over, and air with noise in it rather than zeros, unless the provider masked
it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.apply import apply
from mriqa.artifacts.draw import draw
from mriqa.artifacts.families import Family
from mriqa.artifacts.phantom.canvas import Floats, Grid, generator, smooth_field
from mriqa.artifacts.phantom.tissue import DIXON_A, DIXON_B, Tissue

INT16_MAX = 32767


@dataclass(frozen=True)
class Protocol:
    """A scanner and its sequence: grid, contrast, ranges of what varies between scans."""

    name: str
    manufacturer: str
    model: str
    field_tesla: float
    shape_yx: tuple[int, int]
    pixel_mm: float
    tissue: Tissue
    snr: tuple[float, float]
    """Range of liver signal over noise."""
    bias: tuple[float, float]
    """Range of the receive bias' standard deviation (natural logarithm)."""
    gain: tuple[float, float]
    """Range of the stored value of a signal of 1."""


PROTOCOL_A = Protocol(
    name="dixonA",
    manufacturer="Halden",
    model="Fjord",
    field_tesla=1.5,
    shape_yx=(168, 224),
    pixel_mm=2.232,
    tissue=DIXON_A,
    snr=(18.0, 55.0),
    bias=(0.06, 0.20),
    gain=(350.0, 900.0),
)
PROTOCOL_B = Protocol(
    name="dixonB",
    manufacturer="Norrland",
    model="Aurora",
    field_tesla=3.0,
    shape_yx=(260, 320),
    pixel_mm=1.406,
    tissue=DIXON_B,
    snr=(12.0, 30.0),
    bias=(0.14, 0.30),
    gain=(180.0, 420.0),
)
PROTOCOLS = {protocol.name: protocol for protocol in (PROTOCOL_A, PROTOCOL_B)}


@dataclass(frozen=True)
class Scan:
    """The drawn imperfections of one scan that passes for good; all are stored in the truth table.

    `breathing` is a severity (0 to 1) of that family, below what counts as degraded; `ghost` a
    share of the signal; `masked`: the provider set the air to 0.
    """

    snr: float
    gain: float
    bias: float
    breathing: float
    ghost: float
    ghost_period: float
    ghost_phase_rad: float
    pulsation: float
    fold: float
    g_factor: float
    masked: bool
    seed: int


def draw_scan(protocol: Protocol, rng: np.random.Generator, *, masked: bool) -> Scan:
    """Draw the imperfections of a good scan."""
    low, high = np.log(protocol.snr)
    return Scan(
        snr=float(np.exp(rng.uniform(low, high))),
        gain=float(np.exp(rng.uniform(*np.log(protocol.gain)))),
        bias=float(rng.uniform(*protocol.bias)),
        breathing=float(0.14 * rng.beta(1.2, 2.2)),
        ghost=float(0.002 + 0.03 * rng.beta(1.0, 3.0)),
        ghost_period=float(rng.choice([2.0, 3.0, 4.0])),
        ghost_phase_rad=float(rng.uniform(0, np.pi)),
        pulsation=float(0.10 * rng.beta(1.0, 2.0)),
        fold=float(rng.uniform(0.05, 0.35)),
        g_factor=float(rng.uniform(0.0, 0.6)),
        masked=masked,
        seed=int(rng.integers(2**53)),
    )


def acquire(signal: Floats, depth: Floats, grid: Grid, protocol: Protocol, scan: Scan) -> Floats:
    """The magnitude image, (z, y, x) float32 in stored units, of an ideal signal.

    `depth` is mm below the skin, as `render_abdomen` gives it.
    """
    image = signal * _receive_bias(grid, scan)
    _fold_ends(image, scan.fold)
    if scan.breathing > 0:
        image = breathe(image, grid, scan.breathing, scan.seed)
    image = _add_ghosts(image, grid, scan)
    image = add_noise(image, protocol.tissue.liver / scan.snr, grid, scan)
    image *= np.float32(scan.gain)
    if scan.masked:
        image[(depth < -3) & (signal < 0.03)] = 0
    return image


def breathe(image: Floats, grid: Grid, severity: float, seed: int) -> Floats:
    """Breathing of a severity along y, before noise is added."""
    artifact = draw(Family.BREATHING, severity, grid.shape, grid.spacing_mm, seed)
    return apply(image, grid.spacing_mm, artifact)


def _receive_bias(grid: Grid, scan: Scan) -> Floats:
    """Residual coil sensitivity: smooth, brighter near the surface coils, weak at the edge."""
    rng = generator(scan.seed, 0)
    field = smooth_field(rng, grid, 170.0) * np.float32(scan.bias)
    y, x = grid.axes[1][None, :, None], grid.axes[2][None, None, :]
    surface = np.float32(rng.uniform(0.0, 0.5) * scan.bias) * (y / 100) ** 2
    edge = np.clip(np.abs(x) - 0.43 * grid.shape[2] * grid.spacing_mm[2], 0, None) / 25
    return np.asarray(np.exp(field + surface - edge * edge), np.float32)


def _fold_ends(image: Floats, fold: float) -> None:
    """The excited slab is wider than the encoded one: end slices hold some of the other end."""
    n = image.shape[0]
    if n < 8:
        return
    for number, share in ((0, fold), (1, 0.3 * fold)):
        first, last = image[number].copy(), image[n - 1 - number].copy()
        image[number] = (1 - share) * first + share * last
        image[n - 1 - number] = (1 - share) * last + share * first


def _add_ghosts(image: Floats, grid: Grid, scan: Scan) -> Floats:
    """Faint copies along y, FOV/period apart, and the pulsation of the aorta."""
    n = grid.shape[1]
    step = round(n / scan.ghost_period)
    ghost = np.roll(image, step, axis=1) + np.roll(image, -step, axis=1)
    ghost *= np.float32(scan.ghost / 2)
    rng = generator(scan.seed, 1)
    _add_pulsation(ghost, image, grid, scan.pulsation, rng)
    cos = np.float32(2 * np.cos(scan.ghost_phase_rad))
    power = image * image
    power += ghost * (ghost + cos * image)
    np.clip(power, 0, None, out=power)
    return np.asarray(np.sqrt(power, out=power))


def _add_pulsation(
    ghost: Floats, image: Floats, grid: Grid, strength: float, rng: np.random.Generator
) -> None:
    box = grid.box((grid.centre_mm[0], -15.0, 13.0), (1e4, 22.0, 14.0))
    assert box is not None
    vessel = image[box] * np.float32(strength)
    spacing = round(float(rng.uniform(16, 34)))
    for times in (-3, -2, -1, 1, 2, 3):
        rows = (np.arange(box[1].start, box[1].stop) + times * spacing) % grid.shape[1]
        ghost[:, rows, box[2]] += vessel / np.float32(abs(times))


def add_noise(image: Floats, sigma: float, grid: Grid, scan: Scan) -> Floats:
    """Complex Gaussian noise of standard deviation `sigma`, then the magnitude (Rician).

    Parallel imaging makes it up to `g_factor` stronger in the middle.
    """
    rng = generator(scan.seed, 2)
    y, x = grid.axes[1][:, None], grid.axes[2][None, :]
    level = sigma * (1 + scan.g_factor * np.exp(-(x * x + y * y) / np.float32(110**2)))
    real = rng.standard_normal(grid.shape, dtype=np.float32)
    real *= level
    real += image
    imaginary = rng.standard_normal(grid.shape, dtype=np.float32)
    imaginary *= level
    real *= real
    imaginary *= imaginary
    real += imaginary
    return np.sqrt(real, out=real)


def to_int16(image: Floats) -> NDArray[np.int16]:
    """Stored integers: rounded, clipped to 0 … 32767, non-finite as 0."""
    finite = np.nan_to_num(image, nan=0.0, posinf=INT16_MAX, neginf=0.0)
    return np.rint(np.clip(finite, 0, INT16_MAX)).astype(np.int16)
