"""Rigid in-plane motion of a Dixon volume, ours against TorchIO.

Both get the same volume in memory and make three groups of lines from the still object and two
other poses, turned by 3° and moved by 3 mm. TorchIO's `RandomMotion` resamples linearly in 3-D
and transforms the whole of k-space; ours moves in the plane, by cubic convolution (the better and
slower kernel), and transforms the phase-encode axis only. The floor is those transforms alone: one
real one for each pose and a complex one back.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft

from mriqa.artifacts import Family, apply, draw
from mriqa.artifacts.model import Motion, Move

SHAPE = (44, 224, 168)
SPACING_MM = (4.0, 2.232, 2.232)
POSES = (
    Move(75, 149, (3.0, 0.0, 0.0), (0.0, 3.0, 0.0)),
    Move(149, 224, (-3.0, 0.0, 0.0), (0.0, 0.0, 3.0)),
)
REPEATS = 15


def two_poses() -> Motion:
    """The artifact of the comparison."""
    return Motion(
        family=Family.JUMPS,
        severity=0.5,
        seed=0,
        shape=SHAPE,
        acquisition="2d",
        tracks=(POSES,),
    )


def torchio_call(volume: np.ndarray) -> Callable[[], Any]:
    """TorchIO's transform of `volume` on one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import SimpleITK as sitk
        import torch
        import torchio
    torch.set_num_threads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    tensor = torch.from_numpy(np.ascontiguousarray(volume.transpose(2, 1, 0))[None])
    image = torchio.ScalarImage(tensor=tensor, affine=np.diag([*SPACING_MM[::-1], 1.0]))
    transform = torchio.RandomMotion(degrees=(3, 3), translation=(3, 3), num_transforms=2)
    subject = torchio.Subject(image=image)
    return lambda: transform(subject)


def transforms_alone(volume: np.ndarray) -> None:
    """What combining lines of two poses cannot do without."""
    for _ in POSES:
        lines = scipy.fft.rfft(volume, axis=1, workers=1)
    full = np.concatenate([lines, lines[:, 1:-1]], axis=1)
    scipy.fft.ifft(full, axis=1, workers=1)


def milliseconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def run() -> list[dict]:
    """Motion with a peer, breathing without."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        return measure()
    finally:
        os.sched_setaffinity(0, cores)


def measure() -> list[dict]:
    """Median times; the ratio is the median of the ratios of turns."""
    volume = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    motion, peer = two_poses(), torchio_call(volume)
    breathing = draw(Family.BREATHING, 0.5, SHAPE, SPACING_MM, 0)
    works = (
        lambda: apply(volume, SPACING_MM, motion),
        peer,
        lambda: transforms_alone(volume),
        lambda: apply(volume, SPACING_MM, breathing),
    )
    for work in works:
        work()
    turns = [[milliseconds(work) for work in works] for _ in range(REPEATS)]
    ours, theirs, floor, breath = (statistics.median(column) for column in zip(*turns, strict=True))
    return [
        {
            "name": "motion_in_plane",
            "ours_ms": ours,
            "peer_ms": theirs,
            "floor_ms": floor,
            "ratio": statistics.median(turn[1] / turn[0] for turn in turns),
            "target": "≥4",
            "note": "224×168×44, two poses; peer TorchIO RandomMotion (linear); floor 1-D FFTs",
        },
        {
            "name": "motion_breathing",
            "ours_ms": breath,
            "peer_ms": None,
            "floor_ms": None,
            "ratio": None,
            "target": "",
            "note": "224×168×44, a phase ramp for every line",
        },
    ]
