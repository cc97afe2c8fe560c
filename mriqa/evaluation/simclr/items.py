"""The volumes of the experiments: scans as acquired, and copies simulated once by the seed."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Family, draw
from mriqa.config import ReferenceSection
from mriqa.embedding.copies import draw_copies
from mriqa.embedding.volumes import Intensity, body_slices, spread_over_body
from mriqa.evaluation.items import Item, Stores, is_masked
from mriqa.evaluation.simclr.settings import ModeSection
from mriqa.images.store import StoredSeries
from mriqa.methods.simclr.bank import LEAST_SEVERITY
from mriqa.references.listing import HqVolume as Scan
from mriqa.seeds import fixed_number


def severities(mode: ModeSection, family: str, rises: bool) -> list[float]:
    """Of one family for one subject, ascending; `rises` adds those of the rising severity."""
    levels = {float(one) for name, some in mode.levels.items() if name == family for one in some}
    if rises and family in mode.rising_families:
        levels |= set(mode.rising)
    return sorted(levels)


def rising_scans(tests: Sequence[Scan], mode: ModeSection, seed: int) -> list[Scan]:
    """For whom severity rises: `mode.rising_subjects` of the tests, drawn by `seed`."""
    if not mode.rising:
        return []
    drawn = sorted(tests, key=lambda one: fixed_number(seed, "rising", one.series_id, one.volume))
    return drawn[: mode.rising_subjects]


def draw_tests(
    tests: Sequence[Scan], stores: Stores, mode: ModeSection, seed: int
) -> Iterator[Item]:
    """Each test volume as it is, then its copies.

    An artifact depends on the seed, the volume's name and the family alone, and grows with
    severity. Raises SeriesError if a volume cannot be read.
    """
    rising = set(rising_scans(tests, mode, seed))
    families = [one for one in Family if one in mode.levels or one in mode.rising_families]
    for scan in tests:
        stored, image = stores.read(scan)
        attributes, masked = stored.attributes, is_masked(image)
        kept = None if mode.copy_slices is None else _body(scan, stored, image, mode.copy_slices)
        yield Item(scan, None, kept)
        for family in families:
            number = fixed_number(seed, "test", scan.series_id, scan.volume, family)
            for severity in severities(mode, family, scan in rising):
                artifact = draw(
                    family, severity, attributes.shape_zyx, attributes.spacing_mm, number >> 11,
                    phase_axis="y" if number % 2 else "x", keep_zeros=masked,
                )  # fmt: skip
                yield Item(scan, artifact, kept)


def draw_references(
    scans: Sequence[Scan], stores: Stores, section: ReferenceSection
) -> Iterator[Item]:
    """Each HQ volume and its LQ copies, those that a bank of `section` has."""
    for scan in scans:
        stored, image = stores.read(scan)
        yield Item(scan)
        kept = _body(scan, stored, image, section.copy_slices)
        copies = draw_copies(
            scan.series_id, scan.volume, image, stored.attributes,
            section.families, section.copies, section.seed,
        )  # fmt: skip
        yield from (Item(scan, artifact, kept) for artifact in copies)


def _body(
    scan: Scan, stored: StoredSeries, image: NDArray[np.float32], count: int
) -> tuple[int, ...]:
    """`count` slices spread over the body of a scan, as `build.embed_reference` takes them."""
    percentiles = stored.attributes.percentiles[scan.volume]
    intensity = Intensity.of_percentiles(percentiles, f"{scan.series_id} {scan.volume}")
    return tuple(spread_over_body(body_slices(image, intensity.threshold), count).tolist())


def is_compared(item: Item) -> bool:
    """Whether a reference is compared with: milder copies serve the calibration only."""
    return item.artifact is None or item.severity >= LEAST_SEVERITY
