"""Building a reference bank: embed the HQ volumes and simulated copies of them, calibrate."""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mriqa.cohort.manifest import shard_name
from mriqa.config import ReferenceSection
from mriqa.embedding.copies import affected_slices, draw_copies
from mriqa.embedding.embedder import Embedder
from mriqa.embedding.volumes import VolumeEmbedding, spread_over_body
from mriqa.errors import SeriesError
from mriqa.images.store import ShardStore, open_store
from mriqa.methods.simclr.bank import (
    LEAST_SEVERITY,
    Bank,
    Reference,
    StratumBank,
    count_subjects,
)
from mriqa.methods.simclr.fitting import without_doubtful
from mriqa.progress import track
from mriqa.references.listing import HqVolume
from mriqa.seeds import fixed_number

Usable = NDArray[np.bool_]


@dataclass(frozen=True)
class Embedded:
    """A reference, its embedding, and which of the embedded slices are compared with slices."""

    reference: Reference
    embedding: VolumeEmbedding
    usable: Usable


def build_bank(
    listed: Sequence[HqVolume], results: Path, model_id: str, precision: str, embedder: Embedder,
    section: ReferenceSection, stratum_columns: tuple[str, ...], notes: Sequence[str],
) -> Bank:  # fmt: skip
    """The bank of the listed HQ volumes, from the stores in `results`.

    A volume that cannot be embedded is left out with a note, and so are doubtful ones that nobody
    has confirmed (`fitting.without_doubtful`); a stratum with references of fewer than
    `min_references` subjects has no bank. What is listed in another order gives the same.
    """
    told = list(notes)
    embedded: dict[str, list[Embedded]] = defaultdict(list)
    ordered = sorted(listed, key=lambda one: (one.shard, one.series_id, one.volume))
    stores: dict[int, ShardStore] = {}
    for one in track(ordered, len(ordered), "references", "volumes"):
        try:
            if one.shard not in stores:
                stores = {one.shard: open_store(results / "zarr" / f"{shard_name(one.shard)}.zarr")}
            made = embed_reference(one, stores[one.shard], embedder, section)
        except SeriesError as error:
            told.append(f"{one.series_id} {one.volume}: {error.message}; it is no reference")
            continue
        embedded[one.stratum].extend(made)
    confirmed = {(one.series_id, one.volume) for one in listed if one.is_confirmed}
    strata, too_few = {}, {}
    for stratum, members in sorted(embedded.items()):
        n_subjects = count_subjects(one.reference for one in members)
        if n_subjects < section.min_references:
            too_few[stratum] = n_subjects
            continue
        whole = stratum_bank(stratum, members)
        strata[stratum] = without_doubtful(whole, confirmed, section)
    bank = Bank(model_id, precision, stratum_columns, section, strata, too_few, tuple(told))
    for line in (*told, *_doubtful(bank), *_too_weak(bank)):
        sys.stderr.write(line + "\n")
    return bank


def _doubtful(bank: Bank) -> Iterator[str]:
    least = bank.section.least_quality
    for name, one in bank.strata.items():
        for dropped in one.dropped:
            yield (
                f"{dropped.series_id} {dropped.volume}: listed, but not used: the other references "
                f"of {name} give it a quality_score of {dropped.quality:.3f} "
                f"(simclr.reference.least_quality is {least:g}); write `confirmed` yes if it is "
                "good, no if it is not"
            )


def _too_weak(bank: Bank) -> Iterator[str]:
    least = bank.section.min_auc
    for name, one in bank.strata.items():
        if bank.calibration(name) is None:
            yield (
                f"{name}: its references are told from their simulated copies with an AUC of "
                f"{one.auc:.2f} only (simclr.reference.min_auc is {least:g}): the metrics rate "
                "this stratum; more references help"
            )


def embed_reference(
    one: HqVolume, store: ShardStore, embedder: Embedder, section: ReferenceSection
) -> list[Embedded]:
    """An HQ volume and its simulated copies. Raises SeriesError if one cannot be embedded.

    Of a copy some slices are enough: their mean is nearly that of all, and more copies say more.
    """
    stored = store.series(one.series_id)
    clean = embedder.embed_stored(stored, one.volume)
    order = fixed_number(section.seed, "order", one.series_id, one.volume)
    reference = Reference(one.series_id, one.volume, one.person, order)
    made = [Embedded(reference, clean, clean.is_body)]
    image, attributes = stored.volume(one.volume), stored.attributes
    kept = spread_over_body(clean.is_body, section.copy_slices)
    name = f"{one.series_id} {one.volume}"
    drawn = list(
        draw_copies(
            one.series_id, one.volume, image, attributes,
            section.families, section.copies, section.seed,
        )
    )  # fmt: skip
    copies = embedder.embed_copies(image, attributes, name, drawn, kept)
    for artifact, copy in zip(drawn, copies, strict=True):
        named = replace(
            reference,
            order=fixed_number(section.seed, "order", one.series_id, one.volume, artifact.seed),
            family=artifact.family.value,
            severity=artifact.severity,
            artifact=artifact.to_json(),
        )
        made.append(Embedded(named, copy, copy.is_body & affected_slices(artifact)[kept]))
    return made


def stratum_bank(stratum: str, members: Sequence[Embedded]) -> StratumBank:
    """The references of one stratum, not yet calibrated; only those compared with keep slices."""
    usable = [
        one.usable & (one.reference.family is None or one.reference.severity >= LEAST_SEVERITY)
        for one in members
    ]
    pairs = list(zip(members, usable, strict=True))
    return StratumBank(
        stratum,
        tuple(one.reference for one in members),
        np.stack([one.embedding.volume for one in members]),
        np.concatenate([one.embedding.slices[rows] for one, rows in pairs]),
        np.concatenate([one.embedding.places[rows] for one, rows in pairs]),
        np.array([np.count_nonzero(rows) for rows in usable], dtype=np.int64),
        members[0].embedding.n_final,
    )
