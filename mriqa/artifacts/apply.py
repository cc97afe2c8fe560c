"""Applying a drawn artifact: deterministic, nothing is drawn here."""

from typing import Any, assert_never, cast

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import fields, lines
from mriqa.artifacts.families import check_spacing
from mriqa.artifacts.interslice import move_slices
from mriqa.artifacts.model import (
    Artifact,
    Bias,
    Breathing,
    Dropout,
    Ghosting,
    Interslice,
    LowPass,
    Motion,
    Noise,
    Spikes,
    Wrap,
)
from mriqa.artifacts.motion import move_lines

Volume = NDArray[np.float32]
Kind = Bias | Breathing | Dropout | Ghosting | Interslice | LowPass | Motion | Noise | Spikes | Wrap


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
    spacing = check_spacing(spacing_mm)
    source = volume.astype(np.float32)
    if artifact.severity == 0:
        return source
    finite = np.isfinite(source)
    clean = source if finite.all() else np.where(finite, source, np.float32(0))
    result = _corrupted(clean, spacing, cast(Kind, artifact))
    if artifact.keep_zeros:
        result[clean == 0] = 0
    if clean is not source:
        result[~finite] = source[~finite]
    return result


def _corrupted(volume: Volume, spacing_mm: tuple[float, float, float], artifact: Kind) -> Volume:
    match artifact:
        case Motion():
            return move_lines(volume, spacing_mm, artifact)
        case Breathing():
            return lines.breathe(volume, spacing_mm, artifact)
        case Ghosting():
            return lines.ghost(volume, artifact)
        case LowPass():
            return lines.low_pass(volume, artifact)
        case Noise():
            return fields.add_noise(volume, artifact)
        case Spikes():
            return fields.add_spikes(volume, artifact)
        case Wrap():
            return fields.fold_over(volume, artifact)
        case Bias():
            return fields.apply_bias(volume, artifact)
        case Dropout():
            return fields.drop_slices(volume, artifact)
        case Interslice():
            return move_slices(volume, spacing_mm, artifact)
        case _:
            assert_never(artifact)
