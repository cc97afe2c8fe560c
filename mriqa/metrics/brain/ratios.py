"""MRIQC's ratios of tissue statistics, in its own definitions (version 24.0, `qc/anatomical.py`).

Every function returns None for what cannot be computed (MRIQC: -1, 0, NaN or a division by zero).
"""

import numpy as np

from mriqa.metrics.brain.order import total
from mriqa.metrics.regions import Mask, Volume

DIETRICH_FACTOR = 0.6551364
"""sqrt((4 - pi) / 2): deviation of Rayleigh noise over that of one channel."""

BRIGHT_PERCENT = 99.95
_LEAST_MAD = 1.0
_LEAST_STDV = 1e-3
_LEAST_ENERGY = 1e-3
_EPSILON = np.float32(1e-16)


def snr(median: float, stdv: float, n: float) -> float | None:
    """Signal-to-noise ratio inside a tissue: median / (stdv sqrt(n / (n - 1))); higher is better.

    The deviation holds noise and the tissue's own variety. QAP; MRIQC's `snr`.
    """
    if n <= 1 or stdv <= 0:
        return None
    return median / (stdv * float(np.sqrt(n / (n - 1))))


def snr_dietrich(median: float, air_mad: float, air_stdv: float) -> float | None:
    """Signal-to-noise ratio against air, 0.6551364 median / MAD(air); higher is better.

    Dietrich et al., JMRI 26:375, 2007, eq. A.12. The standard deviation of air stands in where its
    MAD is 1 or less (thousandths of white matter); None where even that is nothing.
    """
    if air_mad > _LEAST_MAD:
        return DIETRICH_FACTOR * median / air_mad
    return DIETRICH_FACTOR * median / air_stdv if air_stdv > _LEAST_STDV else None


def cnr(
    wm_median: float, gm_median: float, air_stdv: float, wm_stdv: float, gm_stdv: float
) -> float | None:
    """Contrast-to-noise ratio of white and grey matter, higher is better.

    |median(wm) - median(gm)| / sqrt(stdv(air)² + stdv(wm)² + stdv(gm)²). Magnotta & Friedman,
    J Digit Imaging 19:140, 2006.
    """
    noise = float(np.sqrt(air_stdv**2 + wm_stdv**2 + gm_stdv**2))
    return abs(wm_median - gm_median) / noise if noise > 0 else None


def cjv(wm_median: float, gm_median: float, wm_mad: float, gm_mad: float) -> float | None:
    """Coefficient of joint variation of white and grey matter, >= 0, lower is better.

    (MAD(wm) + MAD(gm)) / |median(wm) - median(gm)|. Ganzetti et al., Front Neuroinform 10:10,
    2016: motion and shading raise it. As MRIQC's workflow calls its `cjv`: with MADs.
    """
    contrast = abs(wm_median - gm_median)
    return (wm_mad + gm_mad) / contrast if contrast > 0 else None


def fber(head_energy: float | None, background_energy: float | None) -> float | None:
    """Foreground-background energy ratio median(head²) / median(background²), higher is better.

    Shehzad et al., The PCP Quality Assessment Protocol, 2015; MRIQC's code takes medians where
    QAP takes means. None without a head or without signal outside of it.
    """
    if head_energy is None or background_energy is None or background_energy < _LEAST_ENERGY:
        return None
    return head_energy / background_energy


class Entropy:
    """Sums of the entropy focus criterion, plane by plane."""

    def __init__(self) -> None:
        self._n = 0
        self._sums = np.zeros(3)

    def see(self, plane: Volume, frame: Mask | None = None) -> None:
        """Take a plane of intensities >= 0 without its voxels in `frame`."""
        x = plane.ravel()
        self._n += x.size
        if frame is not None:
            kept = (~frame).ravel().astype(np.float32)
            self._n -= int(np.count_nonzero(frame))
            x = x * kept
        # Zero times the logarithm of almost nothing is zero.
        entropy = x @ np.log(x + _EPSILON)
        self._sums += total(x), float(x @ x), float(entropy)

    def efc(self) -> float | None:
        """The criterion of all planes, see `efc`."""
        first, energy, entropy = self._sums
        n = self._n
        if n <= 1 or energy <= 0:
            return None
        norm = np.sqrt(energy)
        weighted = (entropy - first * np.log(norm)) / norm
        return float(weighted / (np.sqrt(n) * np.log(1 / np.sqrt(n))))


def efc(volume: Volume, frame: Mask | None = None) -> float | None:
    """Entropy focus criterion, 0 (all energy in one voxel) to 1 (all equal); lower is better.

    sum(x/b ln(x/b)) / (sqrt(n) ln(1/sqrt(n))) with b = sqrt(sum x²) (Atkinson et al., IEEE TMI
    16:903, 1997) over the voxels outside `frame`, which a rotation of the data left empty.
    `volume` `(z, y, x)` >= 0.
    """
    sums = Entropy()
    for z, plane in enumerate(volume):
        sums.see(plane, None if frame is None else frame[z])
    return sums.efc()


def wm2max(wm_median: float, bright: float) -> float | None:
    """White matter's median over the 99.95th percentile of all voxels; 0.6 to 0.8 is usual.

    Lower where vessels, fat or spikes shine. MRIQC's `wm2max`.
    """
    return wm_median / bright if bright > 0 else None


def qi_1(n_air: int, n_artifacts: int) -> float | None:
    """Share of artifact voxels in the air above the face, 0 to 1; lower is better.

    Mortamet et al., MRM 62:365, 2009. `n_air` counts the air without artifacts.
    """
    return n_artifacts / (n_air + n_artifacts) if n_air >= 1 else None
