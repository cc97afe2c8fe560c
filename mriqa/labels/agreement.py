"""How far raters agree: Fleiss' κ of all, Cohen's κ of every two.

κ is 1 where they agree always, 0 where no more than chance would have it, below 0 where less.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mriqa.labels.model import RATINGS, Label, Target

LEVELS = ("series", "volume", "slice")
MOST_PAIRED = 40
"""Of so many raters every two are compared; of more, only all together."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairAgreement:
    """Two raters on the `n` targets that both have rated.

    `cohen_kappa` takes any two different ratings for equally far apart, `weighted_kappa` pass and
    fail for twice as far (linear weights). None where both have said one and the same of all.
    """

    first: str
    second: str
    n: int
    observed: float
    cohen_kappa: float | None
    weighted_kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """Of one level: series, volumes or slices.

    `n_twice` targets have more than one rater, `n_disputed` of them ratings that differ; `observed`
    is the share of pairs of ratings that agree. `pairs` is empty for more than MOST_PAIRED raters.
    """

    level: str
    n_targets: int
    n_raters: int
    n_twice: int
    n_disputed: int
    observed: float | None
    fleiss_kappa: float | None
    pairs: tuple[PairAgreement, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def agreements(labels: Iterable[Label]) -> list[Agreement]:
    """Of every level that has labels."""
    by_level: dict[str, dict[Target, dict[str, int]]] = {name: defaultdict(dict) for name in LEVELS}
    for one in labels:
        by_level[one.target.level][one.target][one.rater] = RATINGS.index(one.rating)
    return [agreement(level, given) for level, given in by_level.items() if given]


def agreement(level: str, given: Mapping[Target, Mapping[str, int]]) -> Agreement:
    """Of the ratings (places in RATINGS) by target and rater."""
    raters = sorted({rater for ratings in given.values() for rater in ratings})
    counts = np.zeros((len(given), len(RATINGS)))
    for row, ratings in enumerate(given.values()):
        for rating in ratings.values():
            counts[row, rating] += 1
    twice = counts[counts.sum(axis=1) >= 2]
    paired = raters if len(raters) <= MOST_PAIRED else []
    pairs = [_pair(first, second, given) for first, second in combinations(paired, 2)]
    observed, kappa = fleiss_kappa(twice) if len(twice) else (None, None)
    return Agreement(
        level,
        n_targets=len(given),
        n_raters=len(raters),
        n_twice=len(twice),
        n_disputed=int(np.count_nonzero((twice > 0).sum(axis=1) > 1)),
        observed=observed,
        fleiss_kappa=kappa,
        pairs=tuple(pair for pair in pairs if pair is not None),
    )


def fleiss_kappa(counts: Floats) -> tuple[float, float | None]:
    """Observed agreement and κ (Fleiss 1971) of `counts` (targets, ratings), two or more a row.

    Rows may have different numbers of raters: each weighs the same in the observed agreement, each
    rating in what chance would give. κ is None where all ratings are the same.
    """
    n = counts.sum(axis=1)
    observed = float(np.mean(((counts**2).sum(axis=1) - n) / (n * (n - 1))))
    shares = counts.sum(axis=0) / n.sum()
    chance = float((shares**2).sum())
    return observed, None if chance == 1 else (observed - chance) / (1 - chance)


def _pair(
    first: str, second: str, given: Mapping[Target, Mapping[str, int]]
) -> PairAgreement | None:
    both = [(one[first], one[second]) for one in given.values() if first in one and second in one]
    if not both:
        return None
    table = np.zeros((len(RATINGS),) * 2)
    for row, column in both:
        table[row, column] += 1
    apart = np.abs(np.subtract.outer(np.arange(len(RATINGS)), np.arange(len(RATINGS))))
    observed = float(np.trace(table) / table.sum())
    kappas = cohen_kappa(table, apart > 0), cohen_kappa(table, apart)
    return PairAgreement(first, second, len(both), observed, *kappas)


def cohen_kappa(table: Floats, weights: NDArray[Any]) -> float | None:
    """κ (Cohen 1960; 1968 with weights) of `table` (first rater's, second's ratings).

    `weights`: how far apart two ratings are, 0 on the diagonal. None where chance alone would
    give no disagreement.
    """
    shares = table / table.sum()
    chance = np.outer(shares.sum(axis=1), shares.sum(axis=0))
    expected = float((weights * chance).sum())
    return None if expected == 0 else 1 - float((weights * shares).sum()) / expected
