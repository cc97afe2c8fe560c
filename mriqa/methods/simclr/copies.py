"""Which low-quality copies a high-quality reference has: drawn from the seed."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Artifact, Family, draw
from mriqa.artifacts.background import measure_background
from mriqa.config import ReferenceSection
from mriqa.images.store import SeriesAttributes
from mriqa.methods.simclr.matching import fixed_number


def draw_copies(
    series_id: str, volume: int, image: NDArray[np.float32], attributes: SeriesAttributes,
    section: ReferenceSection,
) -> Iterator[Artifact]:  # fmt: skip
    """The artifacts of the `section.copies` copies of one HQ volume, from its name and the seed.

    Families without repetition while there are enough; severities one from each of `copies` equal
    parts of (0, 1]. So no reference depends on which others there are, or on their order.
    """
    rng = np.random.default_rng(fixed_number(section.seed, "copies", series_id, volume))
    count, families = section.copies, section.families
    rounds = [rng.permutation(len(families)) for _ in range(-(-count // len(families)))]
    chosen = [families[index] for index in np.concatenate(rounds)[:count].tolist()]
    severities = (rng.permutation(count) + 1 - rng.random(count)) / count
    clean = np.where(np.isfinite(image), image, np.float32(0))
    masked = measure_background(clean).masked
    for family, severity in zip(chosen, severities.tolist(), strict=True):
        yield draw(
            Family(family),
            severity,
            attributes.shape_zyx,
            attributes.spacing_mm,
            int(rng.integers(2**53)),
            phase_axis="y" if rng.integers(2) else "x",
            keep_zeros=masked,
        )
