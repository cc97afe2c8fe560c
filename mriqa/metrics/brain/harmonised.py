"""A volume in its standard scale, and everything that one pass over its planes collects.

The scaled volume is never held: a plane is made when it is looked at, and stays in the
processor's cache until all metrics have seen it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mriqa.errors import ErrorCode, SeriesError
from mriqa.metrics.brain import ratios
from mriqa.metrics.brain.maps import TISSUES, BrainTissue
from mriqa.metrics.brain.morphology import erode_edges
from mriqa.metrics.brain.order import Seeker, Values, median, middle, middle_mean, place
from mriqa.metrics.brain.voxels import clean
from mriqa.metrics.regions import Mask, Volume

WHITE_MATTER = 1000.0
"""What the median of white matter is scaled to."""

_BRIGHTEST = 1e8
"""What is brighter is no intensity; its fourth power still has a place in float32."""

_SURE = 0.9
_SAMPLE = 65_536
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Harmonised:
    """The volume over its bias field times `scale`, from 0 to 1e8; 0 for what is not finite."""

    volume: Volume
    bias: Volume | None
    scale: float

    def planes(self) -> Iterator[Volume]:
        """Every plane `(y, x)`."""
        for z, plane in enumerate(self.volume):
            yield self._scaled(plane, None if self.bias is None else self.bias[z])

    @cached_property
    def thin(self) -> tuple[slice, slice, slice]:
        """Some voxels of every plane: planes differ more than what is in them."""
        step = max(int(np.sqrt(self.volume.size / _SAMPLE)), 1)
        return np.s_[:, step // 2 :: step, step // 2 :: step]

    @cached_property
    def sample(self) -> Volume:
        """The values of these voxels, `(z, y, x)`."""
        bias = None if self.bias is None else self.bias[self.thin]
        return self._scaled(self.volume[self.thin], bias)

    def above(self, value: float) -> float:
        """The lowest of all rounded intensities above `value`, or `value` where there is none."""
        lowest = np.inf
        for plane in self.planes():
            whole = np.rint(plane)
            lowest = min(lowest, float(whole.min(where=whole > value, initial=np.inf)))
        return lowest if np.isfinite(lowest) else value

    def _scaled(self, plane: Volume, bias: Volume | None) -> Volume:
        with np.errstate(over="ignore", under="ignore"):
            factor = np.float32(self.scale)
            image = plane * factor if bias is None else plane * (factor / bias)
        return clean(image, _BRIGHTEST)


def harmonise(volume: Volume, tissue: BrainTissue) -> Harmonised:
    """Scale so that the median of sure white matter, eroded, is 1000 (MRIQC's Harmonize).

    Raises SeriesError (NO_FOREGROUND) where there is none, or it is dark.
    """
    box = tissue.box
    brain = tissue.brain[box]
    sure = np.zeros(brain.shape, np.bool_)
    sure[brain] = tissue.probabilities[TISSUES.index("wm")] >= np.float64(_SURE)
    if not sure.any():
        raise SeriesError(ErrorCode.NO_FOREGROUND, f"no white matter is surer than {_SURE}")
    inside = erode_edges(sure)
    # Thick slices or few voxels may leave nothing of it.
    inside = inside if inside.any() else sure
    core = volume[box][inside]
    level = median(clean(core if tissue.bias is None else core / tissue.bias[box][inside]))
    if level <= 0:
        raise SeriesError(ErrorCode.NO_FOREGROUND, "half of the white matter is 0")
    return Harmonised(volume, tissue.bias, min(WHITE_MATTER / level, _LARGEST))


@dataclass(frozen=True)
class Seen:
    """What one pass over a volume found, in its standard scale.

    `brain` `(n,)`, `air` `(m,)`: values of these voxels. `head_energy`, `background_energy`:
    medians of x² in the head and outside of it (and of the frame), None where there is no such
    voxel. `bright`: the percentile that wm2max needs. `efc`: see `ratios.efc`.
    """

    brain: Values
    air: Values
    head_energy: float | None
    background_energy: float | None
    bright: float
    efc: float | None


def look(image: Harmonised, tissue: BrainTissue) -> Seen:
    """One pass over the planes of `image`."""
    outside = ~tissue.head if tissue.frame is None else ~(tissue.head | tissue.frame)
    head, background = _Middle(image, tissue.head), _Middle(image, outside)
    rank, part = place(image.volume.size, ratios.BRIGHT_PERCENT)
    bright = Seeker(image.sample.ravel(), image.volume.size, rank)
    brain, air = _Gathered(tissue.brain), _Gathered(tissue.air)
    entropy = ratios.Entropy()
    for z, plane in enumerate(image.planes()):
        for part_of_head in (brain, air, head, background):
            part_of_head.see(z, plane)
        bright.see(plane.ravel())
        entropy.see(plane, None if tissue.frame is None else tissue.frame[z])
    two = bright.found()
    while two is None:
        bright.widen()
        for plane in image.planes():
            bright.see(plane.ravel())
        two = bright.found()
    return Seen(
        brain.values,
        air.values,
        head.median_square(image),
        background.median_square(image),
        two[0] + (two[1] - two[0]) * part,
        entropy.efc(),
    )


class _Gathered:
    """The values in a mask, in C order."""

    def __init__(self, mask: Mask) -> None:
        self._mask, self._filled = mask, 0
        self.values: Values = np.empty(np.count_nonzero(mask), np.float32)

    def see(self, z: int, plane: Volume) -> None:
        inside = plane[self._mask[z]]
        self.values[self._filled : self._filled + inside.size] = inside
        self._filled += inside.size


class _Middle:
    """The values in the middle of those in a mask, without gathering them."""

    def __init__(self, image: Harmonised, mask: Mask) -> None:
        self._mask, self._n = mask, int(np.count_nonzero(mask))
        sample = image.sample[mask[image.thin]]
        self._seeker = Seeker(sample, max(self._n, 1), middle(self._n))

    def see(self, z: int, plane: Volume) -> None:
        self._seeker.see(plane, self._mask[z])

    def median_square(self, image: Harmonised) -> float | None:
        """Median of x²; looks at `image` once more where the bracket missed."""
        if self._n == 0:
            return None
        two = self._seeker.found()
        while two is None:
            self._seeker.widen()
            for z, plane in enumerate(image.planes()):
                self.see(z, plane)
            two = self._seeker.found()
        return middle_mean(two, self._n, power=2)
