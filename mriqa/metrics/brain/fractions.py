"""What the tissue probabilities alone say: volume fractions and partial voluming."""

import numpy as np
import numpy.typing as npt

from mriqa.metrics.brain.order import PIECE, percentile, total

Probabilities = npt.NDArray[np.float32]

_MIXED = 0.5
_TAILS_PERCENT = (2.0, 98.0)


def volume_fractions(n: tuple[float, ...]) -> tuple[float | None, ...]:
    """Every tissue's share of the intracranial volume, from the sums of its probabilities; 0-1."""
    total = sum(n)
    return tuple(part / total if total > 0 else None for part in n)


def residual_partial_voluming(probability: Probabilities, n_voxels: int) -> float | None:
    """Residual partial voluming of one tissue, > 0; lower is better (MRIQC's `rpve`).

    (sum of p over p > 0.5 + sum of (1 - p) over p <= 0.5) / count(p > 0), probabilities outside
    of their own 2nd to 98th percentile counting as 0. `probability` `(m,)` are those of the
    brain's voxels. MRIQC's second sum runs over all `n_voxels` of the volume: outside the brain
    every voxel adds 1, and the value depends on the field of view. None without the tissue.
    """
    p = probability[probability > 0]
    if p.size == 0:
        return None
    np.minimum(p, 1, out=p)
    low, high = (np.float64(percentile(p, percent)) for percent in _TAILS_PERCENT)
    signed, n_pure = 0.0, 0
    for start in range(0, p.size, PIECE):
        piece = p[start : start + PIECE]
        piece = piece * ((piece >= low) & (piece <= high)).astype(np.float32)
        pure = piece > _MIXED
        n_pure += int(np.count_nonzero(pure))
        signed += 2 * float(piece @ pure.astype(np.float32)) - total(piece)
    return (signed + n_voxels - n_pure) / p.size
