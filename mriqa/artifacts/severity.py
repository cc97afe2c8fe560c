"""Severity as a rating: which simulated artifacts should pass, and which should not."""

PASS_BELOW, FAIL_ABOVE = 0.2, 0.6
"""Pass below, fail above, questionable from one to the other [P]."""


def rating_of(severity: float) -> str:
    """`pass`, `questionable` or `fail`, for a severity from 0 to 1."""
    if severity < PASS_BELOW:
        return "pass"
    return "fail" if severity > FAIL_ABOVE else "questionable"
