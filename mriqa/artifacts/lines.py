"""Families that multiply lines of k-space: breathing, ghosting, low-pass."""

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.kspace import frequencies, line_positions, modulated
from mriqa.artifacts.model import Breathing, Ghosting, LowPass

Volume = NDArray[np.float32]


def breathe(volume: Volume, spacing_mm: tuple[float, float, float], artifact: Breathing) -> Volume:
    """Each line from the object shifted along the phase-encode axis: a phase ramp, exact."""
    count = volume.shape[artifact.axis]
    position = line_positions(count)[None, :]
    start = np.asarray(artifact.phases_rad)[:, None]
    breath = np.sin(2 * np.pi * position / artifact.period_lines + start)
    shift = artifact.peak_to_peak_mm / 2 * breath / spacing_mm[artifact.axis]
    return modulated(volume, np.exp(-2j * np.pi * frequencies(count) * shift), artifact.axis)


def ghost(volume: Volume, artifact: Ghosting) -> Volume:
    """Ghosts at plus and minus FOV / period, each `amplitude` of the image.

    At a period of two both fall on one place, so a single one is made.
    """
    position = line_positions(volume.shape[artifact.axis])
    angle = 2 * np.pi * position / artifact.period_lines
    wave = np.cos(angle) if artifact.period_lines == 2 else 2 * np.cos(angle + artifact.phase_rad)
    factor = 1 + artifact.amplitude * np.exp(1j * artifact.ghost_phase_rad) * wave
    return modulated(volume, factor, artifact.axis)


def low_pass(volume: Volume, artifact: LowPass) -> Volume:
    """Only the central lines, the others zero."""
    return modulated(volume, kept_lines(artifact, volume.shape[artifact.axis]), artifact.axis)


def kept_lines(artifact: LowPass, count: int) -> NDArray[np.float64]:
    """1 for a line that is kept, else 0; unshifted."""
    kept = max(1, round(artifact.kept * count))
    position = line_positions(count)
    first = count // 2 - kept // 2
    return ((position >= first) & (position < first + kept)).astype(np.float64)
