"""Metrics that need nothing but the intensities of body and air: SNR, FBER, EFC, entropy.

Every function takes histograms `(..., BINS)` (see `histogram`) and returns `(...)`: whole volumes
and single slices alike. NaN stands for "cannot be computed".
"""

import numpy as np

from mriqa.metrics.histogram import CENTRES, SQUARES, Counts, Floats, mean_square
from mriqa.metrics.histogram import quantile as _quantile

RAYLEIGH_MEDIAN = float(np.sqrt(2 * np.log(2)))
"""Median of the magnitude of complex noise of standard deviation 1."""

ENTROPY_BINS = 64

_LOG_CENTRES = np.log(np.maximum(CENTRES, 1e-300))
_EVEN_STARTS = np.searchsorted(CENTRES, np.arange(ENTROPY_BINS) / ENTROPY_BINS)


def air_sigma(air: Counts) -> Floats:
    """Noise standard deviation of the real and imaginary channel, from air.

    sigma = median(air) / sqrt(2 ln 2): without signal the magnitude is Rayleigh distributed
    (Gudbjartsson & Patz, MRM 34:910, 1995, eq. 4). The median is little moved by a few ghosts.
    With sums of squares of several coils the noise is non-central chi, and sigma is overestimated
    by a factor that is the same for all volumes of a protocol.
    """
    return _quantile(air, 0.5) / RAYLEIGH_MEDIAN


def snr(body: Counts, sigma: Floats) -> Floats:
    """Signal-to-noise ratio of the body's median; higher is better, >= 0.

    sqrt(|median² - sigma²|) / sigma: the median with its Rician bias removed
    (Gudbjartsson & Patz, MRM 34:910, 1995, eq. 3) over the noise of one channel.
    """
    signal = np.sqrt(np.abs(_quantile(body, 0.5) ** 2 - sigma**2))
    return _ratio(signal, sigma)


def snr_tissue(body: Counts, sigma: Floats) -> Floats:
    """Signal-to-noise ratio from noise inside the body: median(body) / sigma; higher is better.

    `sigma` from `texture.noise_residual`. Needs no air, but smoothing by the scanner, or blur of
    any kind, lowers the residual and so raises this ratio: read it together with sharpness.
    """
    return _ratio(_quantile(body, 0.5), sigma)


def fber(body: Counts, air: Counts) -> Floats:
    """Foreground-background energy ratio mean(body²) / mean(air²); higher is better, >= 0.

    Shehzad et al., The PCP Quality Assessment Protocol, 2015. The mean of squares, as QAP states
    it (MRIQC's code takes medians, which do not see ghosts that cover less than half the air).
    """
    return _ratio(mean_square(body), mean_square(air))


def efc(counts: Counts) -> Floats:
    """Entropy focus criterion, 0 (all energy in one voxel) to 1 (all equal); lower is better.

    sum(x/b ln(x/b)) / (sqrt(n) ln(1/sqrt(n))) with b = sqrt(sum x²), as MRIQC and QAP compute it
    from Atkinson et al., IEEE TMI 16:903, 1997; `counts` is that of all n voxels.
    """
    n = counts.sum(-1).astype(np.float64)
    norm = np.sqrt(counts @ SQUARES)
    with np.errstate(divide="ignore", invalid="ignore"):
        weighted = counts @ (CENTRES * _LOG_CENTRES) - (counts @ CENTRES) * np.log(norm)
        value = weighted / norm / (np.sqrt(n) * np.log(1 / np.sqrt(n)))
    return np.where(norm > 0, value, np.nan)


def entropy(body: Counts) -> Floats:
    """Shannon entropy of the body's intensities over log2(64), 0 to 1.

    64 even bins from 0 to the upper foreground percentile; brighter voxels count in the last bin.
    No direction is always better: blur and dropouts lower it, noise and shading raise it.
    """
    even = np.add.reduceat(body, _EVEN_STARTS, axis=-1)
    total = even.sum(-1, keepdims=True)
    share = even / np.maximum(total, 1)
    bits = -(share * np.log2(np.maximum(share, 1e-300))).sum(-1)
    return np.where(total[..., 0] > 0, bits / np.log2(ENTROPY_BINS), np.nan)


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)
