"""Signal where none belongs: ghosts in the air beside the body, folded-over edges."""

import numpy as np

from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask, Regions

Energy = tuple[Floats, Floats]

MIN_BLOCKS = 16
"""Blocks of air that a region needs before it is compared with another one."""


def ghosting(regions: Regions) -> dict[str, tuple[float, Floats]]:
    """Amplitude of ghosts along "y" and "x": of the volume, and `(z,)` of its slices.

    A ghost along y repeats the body along y: it lies in air of columns that cross the body, and
    not in the corners, whose rows and columns both miss it. The amplitude is
    (rms(air beside the body along the axis) - rms(corners)) / rms(body), about the ghost's share
    of the signal; noise alone gives 0, below which chance may take it. Lower is better. Where
    there are no corners, the air beside the body along the other axis stands in. After
    Giannelli et al., J Appl Clin Med Phys 11:3237, 2010, who take N/2 ghosts alone.
    """
    energy = np.square(regions.mean, dtype=np.float64)
    body = _sums(energy, regions.body)
    beside, corner = _air_sums(energy, regions)
    found = {}
    for axis, other in (("y", "x"), ("x", "y")):
        slices = _amplitude(beside[axis], corner, beside[other], body)
        total = [
            (s.sum(keepdims=True), n.sum(keepdims=True))
            for s, n in (beside[axis], corner, beside[other], body)
        ]
        found[axis] = (float(_amplitude(*total)[0]), slices)
    return found


def border_signal(regions: Regions) -> dict[str, tuple[float, Floats]]:
    """Mean of the outermost two lines of blocks across "y" and "x" over the body's mean.

    Of the volume, and `(z,)` of its slices. Near 0 where air surrounds the body; wrap-around brings
    signal there. Lower is better, but a body larger than the field of view has a high one by right.
    """
    inside = _sums(regions.mean.astype(np.float64), regions.body)
    found = {}
    for axis, number in (("y", 1), ("x", 2)):
        ends = np.take(regions.mean, (0, 1, -2, -1), axis=number).astype(np.float64)
        lines = ends.mean(axis=(1, 2))
        with np.errstate(divide="ignore", invalid="ignore"):
            slices = lines * inside[1] / inside[0]
            volume = float(lines.mean() * inside[1].sum() / inside[0].sum())
        found[axis] = (volume, slices)
    return found


def _sums(values: Floats, mask: Mask) -> Energy:
    """Sum over the `mask` of every slice, and its size."""
    inside = mask.reshape(len(mask), -1).astype(np.float64)
    return np.vecdot(values.reshape(inside.shape), inside), np.vecdot(inside, inside)


def _air_sums(energy: Floats, regions: Regions) -> tuple[dict[str, Energy], Energy]:
    """Of the air beside the body along "y" and "x", and of the corners."""
    rows, columns = regions.body.any(axis=2), regions.body.any(axis=1)
    # Whether a block's row and column cross the body decides, so that two products sum it all.
    left = np.stack([rows, ~rows], axis=1).astype(np.float64)
    right = np.stack([columns, ~columns], axis=2).astype(np.float64)
    air = regions.air.astype(np.float64)
    count = left @ air @ right
    air *= energy
    total = left @ air @ right
    beside = {"y": (total[:, 1, 0], count[:, 1, 0]), "x": (total[:, 0, 1], count[:, 0, 1])}
    return beside, (total[:, 1, 1], count[:, 1, 1])


def _amplitude(beside: Energy, corner: Energy, other: Energy, body: Energy) -> Floats:
    reference = np.where(corner[1] >= MIN_BLOCKS, _rms(corner), _rms(other))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((_rms(beside) - reference) / _rms(body))


def _rms(energy: Energy) -> Floats:
    total, count = energy
    return np.where(count >= MIN_BLOCKS, np.sqrt(total / np.maximum(count, 1)), np.nan)
