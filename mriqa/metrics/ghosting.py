"""Ghosts: signal in the air above, below and beside the body."""

import numpy as np
import numpy.typing as npt

from mriqa.metrics.regions import Regions

Floats = npt.NDArray[np.float64]
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
    energy = regions.mean.astype(np.float64) ** 2
    crossed = {
        "y": regions.body.any(axis=1, keepdims=True),
        "x": regions.body.any(axis=2, keepdims=True),
    }
    corner = _sums(energy, regions.air & ~crossed["y"] & ~crossed["x"])
    beside = {
        "y": _sums(energy, regions.air & crossed["y"] & ~crossed["x"]),
        "x": _sums(energy, regions.air & crossed["x"] & ~crossed["y"]),
    }
    body = _sums(energy, regions.body)
    found = {}
    for axis, other in (("y", "x"), ("x", "y")):
        slices = _amplitude(beside[axis], corner, beside[other], body)
        total = [
            (s.sum(keepdims=True), n.sum(keepdims=True))
            for s, n in (beside[axis], corner, beside[other], body)
        ]
        found[axis] = (float(_amplitude(*total)[0]), slices)
    return found


def _sums(energy: Floats, mask: npt.NDArray[np.bool_]) -> Energy:
    return (
        np.einsum("zyx,zyx->z", energy, mask),
        mask.sum(axis=(1, 2)).astype(np.float64),
    )


def _amplitude(beside: Energy, corner: Energy, other: Energy, body: Energy) -> Floats:
    reference = np.where(corner[1] >= MIN_BLOCKS, _rms(corner), _rms(other))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((_rms(beside) - reference) / _rms(body))


def _rms(energy: Energy) -> Floats:
    total, count = energy
    return np.where(count >= MIN_BLOCKS, np.sqrt(total / np.maximum(count, 1)), np.nan)
