"""Volumes that are known, or taken, to be good: the list of them, and what was measured of them."""
