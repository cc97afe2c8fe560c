"""Whose volume it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Whose volume it is, as far as known."""

    subject: str
    sex: str | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
