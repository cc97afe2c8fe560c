"""One pass over the slices of a volume: the sums that its metrics are computed from.

Slice by slice, because a slice and its temporaries stay in the processor's cache.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mriqa.metrics.histogram import BINS, Counts, Floats, bin_codes, labelled_counts, scaled
from mriqa.metrics.regions import Mask, Regions, Volume
from mriqa.metrics.texture import LAGS, edge_energy, noise_residual

OTHER, BODY, AIR = range(3)
_IGNORED = 3

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tally:
    """Sums of every slice (or of one volume): the first axis is z (or 1).

    `counts` `(z, 3, BINS)`: histograms of intensities elsewhere, in the body, in air.
    `residual` `(z, BINS)`: of the magnitude of the noise residual in the body.
    `residual_rms` `(z,)`: in the rectangle around the body.
    `edges` `(z, 2, 4)`: energies along y and x by lag.
    """

    counts: Counts
    residual: Counts
    residual_rms: Floats
    edges: Floats

    def total(self) -> "Tally":
        """The sums of the volume."""
        return Tally(
            self.counts.sum(0, keepdims=True),
            self.residual.sum(0, keepdims=True),
            np.sqrt(np.mean(self.residual_rms**2, keepdims=True)),
            self.edges.sum(0, keepdims=True),
        )


def tally_slices(
    clean: Volume, finite: Mask | None, usable: Mask | None, regions: Regions, scale: float
) -> Tally:
    """Tally `clean` / scale. `finite` voxels are counted, `usable` ones have finite neighbours."""
    n = len(clean)
    window = regions.window(max(LAGS))
    # Never both: air is what lies beyond the body's guard band.
    coarse = regions.body.view(np.uint8) * BODY + regions.air.view(np.uint8) * AIR
    tally = Tally(
        np.zeros((n, 3, BINS), np.int64),
        np.zeros((n, BINS), np.int64),
        np.zeros(n),
        np.zeros((n, 2, len(LAGS))),
    )
    for z in range(n):
        plane = scaled(clean[z], scale)
        labels = _on_voxels(coarse[z], regions.block, plane.shape)
        body = labels[window] == BODY
        if finite is not None and usable is not None:
            labels[~finite[z]] = _IGNORED
            body &= usable[z][window]
        tally.counts[z] = labelled_counts(bin_codes(plane), labels, 4)[:3]
        part = np.ascontiguousarray(plane[window])
        tally.edges[z] = edge_energy(part, body)
        _add_residual(tally, z, part, body, None if usable is None else usable[z][window])
    return tally


def _add_residual(
    tally: Tally, z: int, plane: npt.NDArray[np.float32], body: Mask, usable: Mask | None
) -> None:
    if min(plane.shape) < 3:
        return
    residual = noise_residual(plane)
    if usable is not None:
        residual *= usable[1:-1, 1:-1]
    energy = float(np.vdot(residual, residual))
    tally.residual_rms[z] = np.sqrt(energy / residual.size)
    inside = np.abs(residual[body[1:-1, 1:-1]])
    tally.residual[z] = np.bincount(bin_codes(inside), minlength=BINS)


def _on_voxels(coarse: Labels, block: int, shape: tuple[int, ...]) -> Labels:
    """Labels of blocks on their voxels; what no whole block covers is OTHER."""
    labels = np.full(shape, OTHER, np.uint8)
    rows, columns = (count * block for count in coarse.shape)
    for offset in range(block):
        labels[:rows:block, offset:columns:block] = coarse
    for offset in range(1, block):
        labels[offset:rows:block] = labels[:rows:block]
    return labels
