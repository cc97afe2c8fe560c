"""Whose volumes the experiments learn from, whose test, and their simulated copies.

Only volumes that are clean by the truth table: of them and of their copies it is known what they
should be rated. Nobody who tests is learned from, the slice network included.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mriqa.cohort.manifest import read_cohort
from mriqa.config import Config
from mriqa.embedding.copies import draw_copies
from mriqa.errors import UserError
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.items import Item, Stores
from mriqa.evaluation.scans import rated_volumes, scan_of
from mriqa.evaluation.truth import CLEAN
from mriqa.methods.hierarchy.items import TRAIN
from mriqa.methods.hierarchy.model import METHOD
from mriqa.references.listing import HqVolume as Scan
from mriqa.seeds import fixed_number
from mriqa.training.manifest import PinnedSeries

LEAST_SUBJECTS = 3
"""A stratum of fewer subjects to learn from, or to test, takes no part."""


@dataclass(frozen=True)
class Ground:
    """A finished run: `pinned` are the training subjects' series, of which slice networks learn;
    `learnt` and `held` good volumes of training subjects, and of others."""

    results: Path
    config: Config
    pinned: list[PinnedSeries]
    learnt: list[Scan]
    held: list[Scan]

    @property
    def folder(self) -> Path:
        """Of what the experiments make for themselves."""
        return self.results / "experiments" / METHOD


def read_ground(config: Config, section: HierarchyExperiments) -> Ground:
    """What `mriqa run` has left in `config.results`.

    Raises UserError without a truth, or if there are too few good volumes.
    """
    truth = config.evaluation.truth
    if truth is None:
        raise UserError(
            "evaluation.truth: not set; the experiments must know which volumes are good"
        )
    rated = rated_volumes(config.results, truth)
    # clean by the truth, but of somebody who breathed: not known to be good
    is_free = rated["breath_hold"].map({True: False, False: True}).fillna(False).astype(bool)
    good = _of_known_strata(rated[(rated["true_family"] == CLEAN) & ~is_free])
    is_learnt = good["split"] == TRAIN
    learnt = _drawn(good[is_learnt], section.learnt, section)
    held = _drawn(good[~is_learnt], section.held, section)
    learnt, held = _of_common_strata(learnt, held)
    if not learnt or not held:
        raise UserError(
            f"no stratum has good volumes of {LEAST_SUBJECTS} training subjects and of as many "
            "others; a bigger cohort is needed (mriqa demo-data --subjects)"
        )
    pinned = _pinned(config.results, set(rated[rated["split"] == TRAIN]["series_id"]))
    return Ground(config.results, config, pinned, learnt, held)


def _of_known_strata(good: pd.DataFrame) -> pd.DataFrame:
    is_learnt = good["split"] == TRAIN
    counts = [
        rows.groupby("stratum")["subject"].nunique() for rows in (good[is_learnt], good[~is_learnt])
    ]
    enough = [set(some[some >= LEAST_SUBJECTS].index) for some in counts]
    return good[good["stratum"].isin(enough[0] & enough[1])]


def _drawn(rows: pd.DataFrame, most: int, section: HierarchyExperiments) -> list[Scan]:
    """At most `most` volumes, of a series and stratum at most `volumes_a_series`."""
    order = [
        fixed_number(section.seed, "scan", series, volume)
        for series, volume in zip(rows["series_id"], rows["volume"], strict=True)
    ]
    rows = rows.assign(order=order).sort_values("order")
    rows = rows.groupby(["series_id", "stratum"], sort=False).head(section.volumes_a_series)
    found = [scan_of(row) for row in rows.head(most).to_dict("records")]
    return sorted(found, key=lambda one: (one.shard, one.series_id, one.volume))


def _of_common_strata(learnt: list[Scan], held: list[Scan]) -> tuple[list[Scan], list[Scan]]:
    """The draw may have left too few of a small stratum to level it by, or to test."""
    common = _strata_with_enough(learnt) & _strata_with_enough(held)
    kept = [[one for one in scans if one.stratum in common] for scans in (learnt, held)]
    return kept[0], kept[1]


def _strata_with_enough(scans: Sequence[Scan]) -> set[str]:
    subjects = defaultdict[str, set[str]](set)
    for one in scans:
        subjects[one.stratum].add(one.person.subject)
    return {name for name, own in subjects.items() if len(own) >= LEAST_SUBJECTS}


def _pinned(results: Path, series: set[str]) -> list[PinnedSeries]:
    names = ["series_id", "subject", "contrast", "shard", "size_bytes", "mtime_ns"]
    rows = read_cohort(results / "cohort.parquet").select(names).to_pylist()
    return [PinnedSeries(**row) for row in rows if row["series_id"] in series]


def draw_items(
    scans: Sequence[Scan], stores: Stores, count: int, section: HierarchyExperiments,
    families: Sequence[str],
) -> Iterator[Item]:  # fmt: skip
    """Each scan, then `count` copies of it, a third of each rating, `families` in turn.

    Raises SeriesError if one cannot be read.
    """
    for scan in scans:
        stored, image = stores.read(scan)
        yield Item(scan)
        copies = draw_copies(
            scan.series_id, scan.volume, image, stored.attributes, families, count,
            section.seed, section.spans,
        )  # fmt: skip
        yield from (Item(scan, artifact) for artifact in copies)
