"""Which volumes the hierarchy learns from, with their embeddings and those of simulated copies."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mriqa.artifacts.severity import rating_of
from mriqa.cohort.manifest import read_cohort, shard_name
from mriqa.config import LearningSection, SimulatedSection
from mriqa.embedding.collect import Wanted, embedded_volumes, stored_volumes
from mriqa.embedding.copies import affected_slices, draw_copies
from mriqa.embedding.embedder import Embedder
from mriqa.embedding.measured import Measured, read_measured
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.errors import SeriesError
from mriqa.images.store import StoredSeries
from mriqa.labels.model import RATINGS, Label
from mriqa.methods.hierarchy.items import PASS, TRAIN, Item
from mriqa.references.listing import HqVolume
from mriqa.seeds import fixed_number
from mriqa.training.manifest import PinnedSeries

Embedded = tuple[Item, VolumeEmbedding]


@dataclass(frozen=True)
class Sources:
    """What there is to learn from: `pinned` series, `labels`, `trusted` volumes to copy."""

    pinned: Sequence[PinnedSeries]
    labels: Sequence[Label]
    trusted: Sequence[HqVolume]


def choose_items(
    results: Path, sources: Sources, section: LearningSection, stratum: tuple[str, ...]
) -> dict[Wanted, Item]:
    """The volumes to learn from, and those held out, by where they are.

    Of training subjects all that are labelled or trusted, and `section.unlabelled` others of the
    pinned series, drawn by the seed; of validation and test subjects what is labelled or trusted.
    What a person does not rate pass is not trusted, whoever lists it.
    Strata of too few training subjects are left out with a line on stderr.
    """
    cohort = _cohort_of(results, sources)
    labelled = {one.target[:2] for one in sources.labels}
    pinned = {one.series_id for one in sources.pinned}
    trusted = _undisputed(sources)
    found, others = dict[Wanted, Item](), dict[Wanted, Item]()
    for one in _measured(results, cohort, stratum):
        row, name = cohort[one.series_id], (one.series_id, one.volume)
        if one.stratum is None:
            continue
        item = Item(*name, row["subject"], row["session"], one.stratum, row["split"])
        wanted = Wanted(row["shard"], *name)
        if name in trusted:
            found[wanted] = replace(item, rating=RATINGS[PASS])
        elif name in labelled or (one.series_id, None) in labelled:
            found[wanted] = item
        elif row["split"] == TRAIN and one.series_id in pinned:
            others[wanted] = item
    seed = section.volumes.seed
    drawn = sorted(others, key=lambda one: fixed_number(seed, "unlabelled", *one[1:]))
    found |= {wanted: others[wanted] for wanted in drawn[: section.unlabelled]}
    return _of_known_strata(found, section.min_subjects)


def _undisputed(sources: Sources) -> set[tuple[str, int]]:
    """The trusted volumes that nobody rates worse than pass, nor their whole series."""
    disputed = {
        one.target[:2]
        for one in sources.labels
        if one.target.slice is None and one.rating != RATINGS[PASS]
    }
    return {
        (one.series_id, one.volume)
        for one in sources.trusted
        if not {(one.series_id, one.volume), (one.series_id, None)} & disputed
    }


def _cohort_of(results: Path, sources: Sources) -> dict[str, dict[str, Any]]:
    """Rows of the cohort by series id: of the sources' series that are still to be used."""
    ids = {one.series_id for one in sources.pinned} | {one.series_id for one in sources.trusted}
    ids |= {one.target.series_id for one in sources.labels}
    table = read_cohort(results / "cohort.parquet")
    own = pc.is_in(table["series_id"], value_set=pa.array(sorted(ids), pa.string()))
    kept = table.filter(pc.and_(own, pc.is_null(table["excluded_by"])))
    names = ["series_id", "subject", "session", "split", "shard"]
    return {row["series_id"]: row for row in kept.select(names).to_pylist()}


def _measured(
    results: Path, cohort: Mapping[str, dict[str, Any]], stratum: tuple[str, ...]
) -> Iterator[Measured]:
    by_shard = defaultdict(list)
    for series_id, row in cohort.items():
        by_shard[row["shard"]].append(series_id)
    for shard, members in sorted(by_shard.items()):
        scores = results / "scores" / f"{shard_name(shard)}.parquet"
        yield from read_measured(scores, members, results / "cohort.parquet", stratum)


def _of_known_strata(items: Mapping[Wanted, Item], least: int) -> dict[Wanted, Item]:
    subjects = defaultdict(set)
    for one in items.values():
        if one.split == TRAIN:
            subjects[one.stratum].add(one.subject)
    few = sorted({one.stratum for one in items.values() if len(subjects[one.stratum]) < least})
    if few:
        sys.stderr.write(
            f"training: {len(few)} strata with volumes of fewer than {least} training subjects "
            f"(hierarchy.learning.min_subjects) are not learned: {'; '.join(few[:5])}"
            f"{' …' if len(few) > 5 else ''}\n"
        )
    return {wanted: one for wanted, one in items.items() if one.stratum not in few}


def embed_items(
    results: Path, items: Mapping[Wanted, Item], embedder_of: Callable[[int], Embedder]
) -> list[Embedded]:
    """Those of `items` that can be embedded."""
    found = embedded_volumes(results, list(items), embedder_of)
    return [(items[wanted], embedding) for wanted, embedding in found]


def embed_copies(
    results: Path, items: Mapping[Wanted, Item], embedder: Embedder, section: SimulatedSection
) -> list[Embedded]:
    """The simulated copies of the trusted ones among `items`, with all their slices."""
    trusted = [wanted for wanted, one in items.items() if one.rating is not None]
    made = []
    for wanted, stored in stored_volumes(results, trusted, "simulate"):
        try:
            made += list(_copies(items[wanted], stored, embedder, section))
        except SeriesError as error:
            name = f"{wanted.series_id} volume {wanted.volume}"
            sys.stderr.write(f"{name}: {error.message}; no copies are made of it\n")
    embedder.save()
    return made


def _copies(
    item: Item, stored: StoredSeries, embedder: Embedder, section: SimulatedSection
) -> Iterator[Embedded]:
    image, attributes = stored.volume(item.volume), stored.attributes
    kept = np.arange(len(image))
    name = f"{item.series_id} {item.volume}"
    drawn = list(
        draw_copies(
            item.series_id, item.volume, image, attributes,
            section.families, section.copies, section.seed,
        )
    )  # fmt: skip
    embeddings = embedder.embed_copies(image, attributes, name, drawn, kept)
    for number, (artifact, embedding) in enumerate(zip(drawn, embeddings, strict=True)):
        affected = affected_slices(artifact)[embedding.is_body]
        yield (
            replace(
                item,
                copy=number,
                rating=rating_of(artifact.severity),
                affected=tuple(affected.tolist()),
            ),
            embedding,
        )
