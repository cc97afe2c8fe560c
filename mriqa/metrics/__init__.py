"""Hand-made quality metrics: pure functions of a volume."""
