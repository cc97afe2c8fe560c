"""What several raters say of one thing, together."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from mriqa.labels.model import RATINGS, Label, Target


@dataclass(frozen=True)
class Consensus:
    """`shares`: of the raters' votes, by place in RATINGS, 1 in all. `rating`: that of the most
    raters, None where two or all three have as many."""

    target: Target
    n_raters: int
    shares: tuple[float, ...]
    rating: str | None


def consensus(labels: Iterable[Label]) -> list[Consensus]:
    """Of every target, in the order of their first labels; each rater has one vote.

    [P] The majority decides, and nothing is guessed where there is none: training takes the shares.
    """
    votes: dict[Target, list[int]] = defaultdict(lambda: [0] * len(RATINGS))
    for label in labels:
        votes[label.target][RATINGS.index(label.rating)] += 1
    return [_of(target, counts) for target, counts in votes.items()]


def _of(target: Target, counts: list[int]) -> Consensus:
    total, most = sum(counts), max(counts)
    winners = [rating for rating, count in zip(RATINGS, counts, strict=True) if count == most]
    shares = tuple(count / total for count in counts)
    return Consensus(target, total, shares, winners[0] if len(winners) == 1 else None)
