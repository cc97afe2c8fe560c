"""The volumes of experiments: scans as acquired, and simulated copies of them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts import Artifact
from mriqa.artifacts.background import measure_background
from mriqa.cohort.manifest import shard_name
from mriqa.evaluation.truth import CLEAN
from mriqa.images.store import SeriesAttributes, ShardStore, StoredSeries, open_store
from mriqa.references.listing import HqVolume as Scan


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


def is_masked(image: NDArray[np.float32]) -> bool:
    """Whether the air was zeroed by the provider: it then stays zero in copies."""
    return measure_background(np.where(np.isfinite(image), image, np.float32(0))).masked
