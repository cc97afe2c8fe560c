"""Numbers that follow from a seed and from names, and from nothing else."""

import hashlib


def fixed_number(seed: int, *names: object) -> int:
    """A number from 0 to 2⁶³ - 1 that depends on seed and names alone, on any machine."""
    text = "\x1f".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
