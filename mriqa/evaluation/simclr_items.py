"""The volumes of the experiments: scans as acquired, and copies simulated once by the seed."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Artifact, Family, draw
from mriqa.artifacts.background import measure_background
from mriqa.cohort.manifest import shard_name
from mriqa.config import ReferenceSection
from mriqa.embedding.copies import draw_copies
from mriqa.embedding.volumes import Intensity, body_slices, spread_over_body
from mriqa.evaluation.simclr_settings import ModeSection
from mriqa.evaluation.truth import CLEAN
from mriqa.images.store import SeriesAttributes, ShardStore, StoredSeries, open_store
from mriqa.methods.simclr.bank import LEAST_SEVERITY
from mriqa.references.listing import HqVolume as Scan
from mriqa.seeds import fixed_number


@dataclass(frozen=True)
class Item:
    """A volume to embed: a scan, or a copy of it with an artifact; of some the slices `kept`
    alone, as `build.embed_reference` does with references' copies."""

    scan: Scan
    artifact: Artifact | None = None
    kept: tuple[int, ...] | None = None

    @property
    def key(self) -> str:
        """As the caches of embeddings name it."""
        name = f"{self.scan.series_id} {self.scan.volume}"
        drawn = "" if self.artifact is None else self.artifact.to_json()
        if self.kept is not None:
            drawn = f"{drawn} {list(self.kept)}"
        return f"{name} {hashlib.sha256(drawn.encode()).hexdigest()[:16]}" if drawn else name

    @property
    def family(self) -> str:
        """Of the artifact; `none` of a scan as acquired."""
        return CLEAN if self.artifact is None else self.artifact.family.value

    @property
    def severity(self) -> float:
        """Of the artifact, 0 to 1."""
        return 0.0 if self.artifact is None else self.artifact.severity


class Stores:
    """The stores of a run; the last one stays open, and the last volume in memory."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._open: tuple[int, ShardStore] | None = None
        self._last: tuple[Scan, StoredSeries, NDArray[np.float32]] | None = None
        self._attributes: dict[str, SeriesAttributes] = {}

    def read(self, scan: Scan) -> tuple[StoredSeries, NDArray[np.float32]]:
        """A scan's series, and its voxels (z, y, x); raises SeriesError if it cannot be read."""
        if self._last is None or self._last[0] != scan:
            stored = self.series(scan)
            self._last = scan, stored, stored.volume(scan.volume)
        return self._last[1], self._last[2]

    def attributes(self, scan: Scan) -> SeriesAttributes:
        """What is stored beside a scan's series; raises SeriesError if it cannot be read."""
        if scan.series_id not in self._attributes:
            self._attributes[scan.series_id] = self.series(scan).attributes
        return self._attributes[scan.series_id]

    def series(self, scan: Scan) -> StoredSeries:
        """The stored series of a scan; raises SeriesError if it cannot be read."""
        if self._open is None or self._open[0] != scan.shard:
            path = self._results / "zarr" / f"{shard_name(scan.shard)}.zarr"
            self._open = scan.shard, open_store(path)
        return self._open[1].series(scan.series_id)


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


def is_masked(image: NDArray[np.float32]) -> bool:
    """Whether the air was zeroed by the provider: it then stays zero in copies."""
    return measure_background(np.where(np.isfinite(image), image, np.float32(0))).masked
