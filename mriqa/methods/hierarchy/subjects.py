"""The subject stage: the volumes of a session decide together.

Liu et al. 2020: an ensemble of the volumes' results. [P] Two shares decide, of volumes that fail
and of volumes that pass, with thresholds fitted on validation subjects. Volumes count with their
probabilities: counted by their likeliest ratings, sessions that fail are told from sound ones less
well (AUC .94 instead of .96, docs/results).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.rounds import Classes, Floats

PASS, QUESTIONABLE, FAIL = range(len(RATINGS))
SHARES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Thresholds that are tried."""
FAILS_FROM = 0.3
"""A session with this share of failed volumes is never rated better than fail [P]."""


@dataclass(frozen=True)
class SubjectRule:
    """A session fails from the share `fail_from` of failed volumes on, else passes from the share
    `pass_from` of passed ones, else is questionable; expected shares, where classes are not
    certain. `fail_from` is at most FAILS_FROM."""

    fail_from: float
    pass_from: float

    def rate(self, shares: Floats) -> Classes:
        """Classes (n), places in RATINGS, of sessions with `shares` (n, 3) of their volumes."""
        passed = np.where(shares[:, PASS] >= self.pass_from, PASS, QUESTIONABLE)
        return np.where(shares[:, FAIL] >= self.fail_from, FAIL, passed).astype(np.int64)


DEFAULT = SubjectRule(FAILS_FROM, 0.8)
"""Where there is nobody to fit it on."""


def shares_of(sessions: Sequence[Classes]) -> Floats:
    """Shares (n, 3) of the ratings among the volumes of n sessions, each with one at least."""
    counts = [np.bincount(one, minlength=len(RATINGS)) for one in sessions]
    return np.array([count / count.sum() for count in counts]).reshape(-1, len(RATINGS))


def expected_shares(sessions: Sequence[Floats]) -> Floats:
    """The same (n, 3) by the probabilities (m, 3) of the m volumes of each session."""
    return np.array([one.mean(axis=0) for one in sessions]).reshape(-1, len(RATINGS))


def fit_rule(shares: Floats, truth: Classes) -> SubjectRule:
    """The rule with the greatest balanced accuracy on sessions whose `truth` (n) is known.

    Of rules that are as good the one nearest to DEFAULT, so that few sessions decide little; that
    is also the rule without any session.
    """
    rules = [
        SubjectRule(fail, passed) for fail in SHARES if fail <= FAILS_FROM for passed in SHARES
    ]
    if len(truth) == 0:
        return DEFAULT

    def worth(rule: SubjectRule) -> tuple[float, float]:
        away = abs(rule.fail_from - DEFAULT.fail_from) + abs(rule.pass_from - DEFAULT.pass_from)
        return round(balanced_accuracy(rule.rate(shares), truth), 9), -away

    return max(rules, key=worth)


def balanced_accuracy(found: Classes, truth: Classes) -> float:
    """Mean over the classes that there are of the share that is found, 0 to 1."""
    return float(np.mean([np.mean(found[truth == one] == one) for one in np.unique(truth)]))
