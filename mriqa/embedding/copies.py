"""Simulated copies of good volumes, as the store would give them back.

A copy looks as if it had been stored: its values lie on the source's own grid of numbers, and its
intensities are scaled by what is measured of the copy. Otherwise networks would learn to tell
simulated volumes from real ones by that alone.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Artifact, Family, apply, draw
from mriqa.artifacts.background import measure_background
from mriqa.artifacts.families import is_possible
from mriqa.artifacts.model import Dropout, Interslice, Spikes
from mriqa.images.grid import as_stored
from mriqa.images.store import SeriesAttributes
from mriqa.seeds import fixed_number

Volume = NDArray[np.float32]
Span = tuple[float, float]
"""Of severities, from 0 to 1."""


def draw_copies(
    series_id: str, volume: int, image: Volume, attributes: SeriesAttributes,
    families: Sequence[str], count: int, seed: int, spans: Sequence[Span] = ((0.0, 1.0),),
) -> Iterator[Artifact]:  # fmt: skip
    """The artifacts of the `count` copies of one volume, from its name and the seed.

    Families without repetition while there are enough, of those that so few slices can show;
    severities one from each of `count` equal parts of (0, 1], or of the `spans` laid end to end,
    each as long as any other. So no copy depends on which others there are, or on their order.
    Raises ValueError if no family is possible.
    """
    rng = np.random.default_rng(fixed_number(seed, "copies", series_id, volume))
    families = [one for one in families if is_possible(Family(one), attributes.shape_zyx[0])]
    if not families:
        raise ValueError(f"{series_id}: none of the families shows in {len(image)} slices")
    rounds = [rng.permutation(len(families)) for _ in range(-(-count // len(families)))]
    chosen = [families[index] for index in np.concatenate(rounds)[:count].tolist()]
    severities = (rng.permutation(count) + 1 - rng.random(count)) / count
    clean = np.where(np.isfinite(image), image, np.float32(0))
    masked = measure_background(clean).masked
    for family, place in zip(chosen, severities.tolist(), strict=True):
        yield draw(
            Family(family),
            _along(spans, place),
            attributes.shape_zyx,
            attributes.spacing_mm,
            int(rng.integers(2**53)),
            phase_axis="y" if rng.integers(2) else "x",
            keep_zeros=masked,
        )


def _along(spans: Sequence[Span], place: float) -> float:
    """The severity at `place`, from 0 to 1, of `spans` of the same length."""
    number = min(int(place * len(spans)), len(spans) - 1)
    low, high = spans[number]
    return low + (place * len(spans) - number) * (high - low)


def simulate_copy(image: Volume, attributes: SeriesAttributes, artifact: Artifact) -> Volume:
    """`image` (z, y, x) with the artifact, as the store would give it back."""
    return as_stored(apply(image, attributes.spacing_mm, artifact), image, attributes)


def affected_slices(artifact: Artifact) -> NDArray[np.bool_]:
    """Which slices (z) the artifact shows in: of some families only some."""
    affected = np.ones(artifact.shape[0], dtype=bool)
    if isinstance(artifact, Dropout):
        affected[:] = False
        affected[list(artifact.slices)] = True
    elif isinstance(artifact, Spikes) and artifact.acquisition == "2d":
        affected[:] = False
        affected[[spike.slice for spike in artifact.spikes]] = True
    elif isinstance(artifact, Interslice):
        # a slice at rest is as torn from a moved one beside it as that is from it
        differs = [one != two for one, two in pairwise(artifact.poses)]
        affected = np.array([False, *differs]) | np.array([*differs, False])
    return affected
