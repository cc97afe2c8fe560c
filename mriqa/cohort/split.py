"""Train, validation or test: a subject's own, whatever else the cohort holds."""

import hashlib

from mriqa.config import SplitSection


def split_of(subject: str, seed: int, shares: SplitSection) -> str:
    """`train`, `validation` or `test`, from seed and subject alone (BLAKE2b, 64 bits).

    All sessions of a subject share a split, and growth never reshuffles one.
    """
    digest = hashlib.blake2b(f"{seed}:{subject}".encode(), digest_size=8).digest()
    position = int.from_bytes(digest, "big") / 2**64
    upper = 0.0
    names = [name for name in ("train", "validation", "test") if getattr(shares, name) > 0]
    for name in names:
        upper += getattr(shares, name)
        if position < upper:
            return name
    return names[-1]  # the shares may add up to 1 - 1e-10
