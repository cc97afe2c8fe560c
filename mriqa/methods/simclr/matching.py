"""Which references a volume is compared with: of the same sex, of similar height and weight.

[S] 20 HQ and 20 LQ references of the same sex and similar height and weight. [P] Similar: the
smallest standardised distance. What is not known of a person is left out of the choice, and the
name of the matching says what was used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.references.person import Person

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class People:
    """The persons of n references: `size` (n, 2) is height and weight, NaN where not known.

    `order` (n) is a fixed number a reference that decides between equally distant ones.
    """

    subject: NDArray[np.str_]
    sex: NDArray[np.str_]
    size: Floats
    order: NDArray[np.uint64]

    @classmethod
    def of(cls, persons: Sequence[Person], order: Sequence[int]) -> "People":
        """From one person and one number a reference."""
        sizes = [(person.height_cm, person.weight_kg) for person in persons]
        return cls(
            np.array([person.subject for person in persons], dtype=np.str_),
            np.array([person.sex or "" for person in persons], dtype=np.str_),
            np.array(sizes, dtype=np.float64).reshape(len(persons), 2),
            np.array(order, dtype=np.uint64),
        )


@dataclass(frozen=True)
class Matching:
    """What is compared: sex or not; height, weight or not; `scale` (2) is one of each."""

    uses_sex: bool
    uses_size: NDArray[np.bool_]
    scale: Floats

    @property
    def name(self) -> str:
        """One of `columns.MATCHING_LEVELS`."""
        used = (self.uses_sex, *self.uses_size.tolist())
        names = zip(("sex", "height", "weight"), used, strict=True)
        return "_".join(name for name, is_used in names if is_used) or "none"


def choose_matching(
    person: Person, people: People, classes: Sequence[Indices], least: int
) -> Matching:
    """How `person` is matched with the references at the indices in `classes` (HQ, LQ).

    A property counts where it is known of the person, and of `least` references of each class (all,
    where there are fewer); sex, where so many of each class share it. Sizes are scaled by their
    standard deviation among all of `classes`.
    """
    everyone = np.concatenate(list(classes))
    own = _size(person)
    known = np.isfinite(people.size)
    same = people.sex == (person.sex or "?")
    uses_sex = all(np.count_nonzero(same[rows]) >= min(least, len(rows)) for rows in classes)
    uses_size = np.array(
        [
            bool(np.isfinite(own[axis]))
            and all(
                np.count_nonzero(known[rows, axis]) >= min(least, len(rows)) for rows in classes
            )
            for axis in (0, 1)
        ]
    )
    scale = np.ones(2)
    for axis in np.flatnonzero(uses_size):
        values = people.size[everyone, axis]
        deviation = float(np.std(values[np.isfinite(values)]))
        scale[axis] = deviation if deviation > 0 else 1.0
    return Matching(uses_sex, uses_size, scale)


def nearest(
    person: Person, people: People, rows: Indices, matching: Matching, count: int
) -> Indices:
    """At most `count` of the reference indices `rows`, the most similar to `person` first.

    References of unknown height or weight come last where these count. Never by their place in
    the list: equally distant ones are taken in the order of their numbers.
    """
    if matching.uses_sex:
        rows = rows[people.sex[rows] == person.sex]
    used = matching.uses_size
    away = (people.size[rows][:, used] - _size(person)[used]) / matching.scale[used]
    distance = np.sqrt((away**2).sum(axis=1))
    distance = np.where(np.isfinite(distance), distance, np.inf)
    return rows[np.lexsort((people.order[rows], distance))[:count]]


def _size(person: Person) -> Floats:
    return np.array([person.height_cm, person.weight_kg], dtype=np.float64)
