"""Applying a drawn artifact: deterministic, nothing is drawn here."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.background import measure_background
from mriqa.artifacts.kspace import along, frequencies, from_lines, magnitude, time_order, to_lines
from mriqa.artifacts.model import Artifact, Breathing, Ghosting, Noise

Volume = NDArray[np.float32]


def apply(
    volume: NDArray[Any], spacing_mm: tuple[float, float, float], artifact: Artifact
) -> Volume:
    """`volume` (z, y, x) with the artifact, as a new float32 magnitude volume.

    Severity 0 gives the values back unchanged. Non-finite voxels are taken as 0 and stand
    unchanged in the result. Raises ValueError if `volume` has not the shape drawn for.
    """
    if volume.shape != artifact.shape:
        raise ValueError(
            f"the volume has shape {volume.shape}, the artifact was drawn for {artifact.shape}; "
            "draw it for this shape"
        )
    source = volume.astype(np.float32)
    if artifact.severity == 0:
        return source
    finite = np.isfinite(source)
    clean = source if finite.all() else np.where(finite, source, np.float32(0))
    result = _corrupted(clean, spacing_mm, artifact)
    if artifact.keep_zeros:
        result[clean == 0] = 0
    if clean is not source:
        result[~finite] = source[~finite]
    return result


def _corrupted(
    volume: Volume, spacing_mm: tuple[float, float, float], artifact: Artifact
) -> Volume:
    match artifact:
        case Breathing():
            return _breathing(volume, spacing_mm, artifact)
        case Noise():
            return _noise(volume, artifact)
        case Ghosting():
            return _ghosting(volume, artifact)
    raise ValueError(f"no way to apply {type(artifact).__name__}")


def _breathing(
    volume: Volume, spacing_mm: tuple[float, float, float], artifact: Breathing
) -> Volume:
    axis = artifact.axis
    count = volume.shape[axis]
    line = time_order(count)[None, :]
    phase = np.asarray(artifact.phases_rad)[:, None]
    shift_mm = (
        artifact.peak_to_peak_mm / 2 * np.sin(2 * np.pi * line / artifact.period_lines + phase)
    )
    ramp = np.exp(-2j * np.pi * frequencies(count) * shift_mm / spacing_mm[axis])
    return _modulated(volume, ramp.astype(np.complex64), axis)


def _ghosting(volume: Volume, artifact: Ghosting) -> Volume:
    axis = artifact.axis
    line = time_order(volume.shape[axis])
    angle = 2 * np.pi * line / artifact.period_lines
    wave = np.cos(angle) if artifact.period_lines == 2 else 2 * np.cos(angle + artifact.phase_rad)
    factor = 1 + artifact.amplitude * np.exp(1j * artifact.ghost_phase_rad) * wave
    return _modulated(volume, factor.astype(np.complex64), axis)


def _modulated(volume: Volume, factor: NDArray[np.complex64], axis: int) -> Volume:
    lines = to_lines(volume, axis)
    lines *= along(factor, axis)
    return magnitude(from_lines(lines, axis))


def _noise(volume: Volume, artifact: Noise) -> Volume:
    sigma = measure_background(volume).sigma * np.sqrt(artifact.sigma_factor**2 - 1)
    rng = np.random.default_rng(artifact.noise_seed)
    real = rng.standard_normal(volume.shape, dtype=np.float32) * np.float32(sigma) + volume
    imaginary = rng.standard_normal(volume.shape, dtype=np.float32) * np.float32(sigma)
    return cast(Volume, np.hypot(real, imaginary))
