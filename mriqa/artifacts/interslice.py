"""Motion between the excitations of slices: each one is whole, but in a pose of its own.

Slices of a 2-D acquisition (EPI, HASTE) take a fraction of a second each, and most motion falls
between them. They are excited in turns, every second or third first: who moves in between tears
the volume into combs that each fit in themselves. [P] Of the physics this leaves out what motion
does to the excitation: slices that are excited again too early, and so are darker.
"""

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.background import measure_background
from mriqa.artifacts.fields import rician
from mriqa.artifacts.model import Interslice
from mriqa.artifacts.posing import noise_kept, pose_map, posed, spline_of

Volume = NDArray[np.float32]


def move_slices(
    volume: Volume, spacing_mm: tuple[float, float, float], artifact: Interslice
) -> Volume:
    """`volume` (z, y, x) whose slices were excited in the poses of `artifact`.

    To look between voxels takes part of the noise away. Where it can be measured it is put back: a
    slice that is too clean would give itself away.
    """
    result, spline = volume.copy(), spline_of(volume)
    background = measure_background(volume)
    for z, pose in enumerate(artifact.poses):
        if pose.is_rest:
            continue
        place = pose_map(volume.shape, spacing_mm, pose.rotation_deg, pose.translation_mm)
        result[z] = np.abs(posed(spline, place, z))
        if background.source != "assumed":
            lost = background.sigma * max(1 - noise_kept(volume.shape, place, z), 0) ** 0.5
            result[z] = _with_noise(result[z], lost, artifact.noise_seed + z)
    return result


def _with_noise(image: Volume, sigma: float, seed: int) -> Volume:
    """`image` with Rician noise, its level as before.

    Interpolated air keeps the mean of its magnitudes, to which noise would add its own π/2 σ² of
    energy: moved slices would be told by brighter air.
    """
    level = np.sqrt(np.maximum(image**2 - np.float32(np.pi / 2 * sigma**2), 0))
    return rician(level, sigma, seed)
