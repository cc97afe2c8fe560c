"""Pictures of the references that a volume is nearest to.

A high-quality one is a stored volume. A low-quality one is a simulated copy of one: it is made
again here, from the artifact that the bank has written down, and looks as it did to the encoder.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import duckdb
import numpy as np

from mriqa.artifacts import Artifact
from mriqa.embedding.copies import affected_slices, simulate_copy
from mriqa.images.store import StoredSeries
from mriqa.methods.simclr.bank import Reference
from mriqa.report.connection import records
from mriqa.report.mosaic import slices_shown
from mriqa.report.pictures import Picture, drawn, from_store, missing

SLICES = 4
COLUMNS = 2
PART = 0.5
"""Of a picture of eight slices."""
MAX_VOXELS = 2**26
"""Larger volumes are not simulated again: that takes some ten times their size in memory."""


@dataclass(frozen=True)
class Place:
    """Where a series is: its shard, and why it was left out of the cohort, if it was."""

    shard: int
    excluded_by: str | None


def find_places(
    connection: duckdb.DuckDBPyConnection, references: Collection[Reference]
) -> dict[str, Place]:
    """By series id; those that are not in the tables any more are left out."""
    rows = records(
        connection,
        "SELECT series_id, any_value(shard) AS shard, any_value(excluded_by) AS excluded_by "
        "FROM volumes WHERE series_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY series_id",
        [sorted({one.series_id for one in references})],
    )
    return {row["series_id"]: Place(row["shard"], row["excluded_by"]) for row in rows}


def take_reference_pictures(
    results: Path,
    names: Collection[str],
    known: Mapping[str, Reference],
    places: Mapping[str, Place],
    tile: int,
) -> Iterator[tuple[str, Picture]]:
    """Yield the picture of each named reference; one that cannot be shown says why."""
    for name in names:
        yield name, _take(results, known.get(name), places, tile)


def _take(
    results: Path, reference: Reference | None, places: Mapping[str, Place], tile: int
) -> Picture:
    if reference is None:
        return missing("the reference bank does not have it any more")
    place = places.get(reference.series_id)
    if place is None:
        return missing("its series is not in the cohort any more")
    if place.excluded_by:
        return missing(f"its series has been excluded since ({place.excluded_by})")
    return from_store(
        results, place.shard, reference.series_id, lambda series: _picture(series, reference, tile)
    )


def _picture(series: StoredSeries, reference: Reference, tile: int) -> Picture:
    shape = series.attributes.shape_zyx
    if reference.artifact is None:
        shown = slices_shown(shape[0], count=SLICES)
        slices = np.stack([series.slice(reference.volume, z) for z in shown])
    elif prod(shape) > MAX_VOXELS:
        return missing("a volume of so many voxels is not simulated again for a picture")
    else:
        artifact = Artifact.from_json(reference.artifact)
        shown = slices_shown(shape[0], _affected(artifact), SLICES)
        image = series.volume(reference.volume)
        slices = simulate_copy(image, series.attributes, artifact)[list(shown)]
    return drawn(slices, shown, series, reference.volume, tile, COLUMNS)


def _affected(artifact: Artifact) -> int | None:
    """The slice nearest to the middle that the artifact changes; None where it changes all."""
    affected = affected_slices(artifact)
    if affected.all() or not affected.any():
        return None
    return min(np.flatnonzero(affected).tolist(), key=lambda z: abs(z - len(affected) // 2))
