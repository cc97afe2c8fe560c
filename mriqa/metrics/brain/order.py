"""Exact order statistics of millions of values, found by partitioning only a few of them.

A thinned sample says between which two values the wanted one must lie; all values are compared
with these, piece by piece so that the pieces stay in the processor's cache, and only what lies
between is kept and partitioned. The results are exactly those of sorting.
"""

import numpy as np
import numpy.typing as npt

from mriqa.metrics.regions import Mask

Values = npt.NDArray[np.float32]

PIECE = 1 << 16
"""Voxels at a time, so that temporaries stay in the processor's cache."""

_SMALL = 20_000
"""Below this many values numpy's own partition is as fast."""

_SAMPLE = 16_384
_SLACK = 4.0
"""Half the width of the bracket, in standard deviations of a random sample's rank."""


class Seeker:
    """Finds the values of rank `rank` (from 0) and of the next one among `n` > 0 finite values.

    `sample` are some of the values, spread over all of them; `see` takes all, piece by piece.
    """

    def __init__(self, sample: Values, n: int, rank: int) -> None:
        self._n, self._ranks = n, (rank, min(rank + 1, n - 1))
        self._lowest, self._highest = _bracket(sample, n, self._ranks)
        self.forget()

    def forget(self) -> None:
        """Forget what was seen."""
        self._above = self._equal = 0
        self._near: list[Values] = []

    def widen(self) -> None:
        """Keep all values from now on: the sample was not like the whole."""
        self._lowest, self._highest = np.float32(-np.inf), np.float32(np.inf)
        self.forget()

    def see(self, values: Values, inside: Mask | None = None) -> None:
        """Take the next values `(m,)`, or those of them that are `inside`."""
        near = values >= self._lowest
        if inside is not None:
            near &= inside
        self._above += int(np.count_nonzero(near))
        if self._highest < np.inf:
            near &= values <= self._highest
        if self._lowest == self._highest:
            # Many voxels of one value (0, 1): to keep and sort them is slow, and in vain.
            self._equal += int(np.count_nonzero(near))
        else:
            self._near.append(values[near])

    def found(self) -> tuple[float, float] | None:
        """The two values, or None where the bracket missed them: then `widen`, and see again."""
        below = self._n - self._above
        low, high = (rank - below for rank in self._ranks)
        if low >= 0 and high < self._equal:
            return float(self._lowest), float(self._lowest)
        if low < 0 or high >= sum(part.size for part in self._near):
            return None
        parted = np.partition(np.concatenate(self._near), (low, high))
        return float(parted[low]), float(parted[high])


def _bracket(sample: Values, n: int, ranks: tuple[int, int]) -> tuple[np.float32, np.float32]:
    """Values between which those ranks lie almost surely."""
    size = sample.size
    if n <= _SMALL or size == 0:
        return np.float32(-np.inf), np.float32(np.inf)
    share = ranks[0] / n
    slack = int(_SLACK * np.sqrt(share * (1 - share) * size)) + 2
    first, last = int(share * size) - slack, int(ranks[1] / n * size) + slack
    parted = np.partition(sample, (max(first, 0), min(last, size - 1)))
    low = parted[first] if first >= 0 else -np.inf
    high = parted[last] if last < size else np.inf
    return np.float32(low), np.float32(high)


def median(values: Values, *, about: float | None = None) -> float:
    """Median of `values` `(n,)`, n > 0, or of their distances from `about`.

    The mean of the two in the middle if n is even.
    """
    two = _two_ranks(values, middle(values.size), about)
    return middle_mean(two, values.size)


def percentile(values: Values, percent: float) -> float:
    """What `np.percentile` says of `(n,)`, n > 0: linear between the two nearest ranks; 0-100."""
    rank, part = place(values.size, percent)
    low, high = _two_ranks(values, rank, None)
    return low + (high - low) * part


def total(values: Values) -> float:
    """Sum of values `(n,)` to the sixth digit, some times as fast as numpy's."""
    ones = np.ones(min(values.size, PIECE), np.float32)
    starts = range(0, values.size, PIECE)
    parts = (values[start : start + PIECE] for start in starts)
    return sum((float(part @ ones[: part.size]) for part in parts), 0.0)


def place(n: int, percent: float) -> tuple[int, float]:
    """Rank below a percentile of n values, and how far on to the next one it lies (0-1)."""
    where = (n - 1) * (percent / 100)
    return int(where), where - int(where)


def middle(n: int) -> int:
    """Rank of the lower one of the two values in the middle."""
    return (n - 1) // 2


def middle_mean(two: tuple[float, float], n: int, power: int = 1) -> float:
    """Median of x**power from the values of rank `middle(n)` and the next one."""
    return two[0] ** power if n % 2 else (two[0] ** power + two[1] ** power) / 2


def _two_ranks(values: Values, rank: int, about: float | None) -> tuple[float, float]:
    # Steps of an odd length do not beat with the rows of an image.
    sample = _from(values[:: max(values.size // _SAMPLE, 1) | 1], about)
    seeker = Seeker(sample, values.size, rank)
    found = None
    while found is None:
        for start in range(0, values.size, PIECE):
            seeker.see(_from(values[start : start + PIECE], about))
        found = seeker.found()
        if found is None:
            seeker.widen()
    return found


def _from(values: Values, about: float | None) -> Values:
    if about is None:
        return values
    distance: Values = values - np.float32(about)
    np.abs(distance, out=distance)
    return distance
