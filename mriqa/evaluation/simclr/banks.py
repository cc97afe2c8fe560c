"""Reference banks of the experiments: of any encoder, without a family, smaller, or shuffled."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from mriqa.config import ReferenceSection
from mriqa.embedding.copies import affected_slices
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.evaluation.items import Item
from mriqa.methods.simclr.bank import Reference, StratumBank, count_subjects, subset
from mriqa.methods.simclr.build import Embedded, stratum_bank
from mriqa.methods.simclr.fitting import calibrated
from mriqa.seeds import fixed_number

Embeddings = Mapping[Item, VolumeEmbedding]
Banks = dict[str, StratumBank]
"""By stratum."""


def build_banks(items: Iterable[Item], embeddings: Embeddings, section: ReferenceSection) -> Banks:
    """Banks as `mriqa reference` builds them, of the scans and copies in `items`.

    Without calibration (see `calibrate_banks`). A stratum with references of fewer than
    `section.min_references` subjects gets none.
    """
    members: dict[str, list[Embedded]] = defaultdict(list)
    for item in items:
        if item in embeddings:  # else it is not asked of this encoder
            members[item.scan.stratum].append(_embedded(item, embeddings[item], section.seed))
    return {
        stratum: stratum_bank(stratum, some)
        for stratum, some in members.items()
        if count_subjects(one.reference for one in some) >= section.min_references
    }


def _embedded(item: Item, embedding: VolumeEmbedding, seed: int) -> Embedded:
    """As `build.embed_reference` makes it."""
    scan, artifact = item.scan, item.artifact
    names: tuple[object, ...] = (scan.series_id, scan.volume)
    names = names if artifact is None else (*names, artifact.seed)
    reference = Reference(
        scan.series_id, scan.volume, scan.person, fixed_number(seed, "order", *names)
    )
    if artifact is None:
        return Embedded(reference, embedding, embedding.is_body)
    copied = replace(
        reference,
        family=artifact.family.value,
        severity=artifact.severity,
        artifact=artifact.to_json(),
    )
    changed = affected(item, len(embedding.is_body))
    return Embedded(copied, embedding, embedding.is_body & changed)


def calibrate_banks(banks: Banks, section: ReferenceSection) -> Banks:
    """The same with their calibration."""
    return {name: calibrated(bank, section) for name, bank in banks.items()}


def without_family(banks: Banks, family: str) -> Banks:
    """Without the references of one artifact: in no mean, and not in the whitening."""
    return {
        name: subset(bank, np.array([one.family != family for one in bank.references]))
        for name, bank in banks.items()
    }


def smaller(banks: Banks, hq_volumes: int, seed: int) -> Banks:
    """With `hq_volumes` HQ volumes a stratum, drawn by `seed`, and their copies."""
    rng = np.random.default_rng([seed, hq_volumes])
    found = {}
    for name, bank in sorted(banks.items()):
        scans = sorted({(one.series_id, one.volume) for one in bank.references})
        drawn = rng.permutation(len(scans))[:hq_volumes]
        kept = {scans[number] for number in drawn.tolist()}
        marks = [(one.series_id, one.volume) in kept for one in bank.references]
        found[name] = subset(bank, np.array(marks))
    return found


def shuffled(banks: Banks, seed: int) -> Banks:
    """With what each reference is, HQ or which artifact, dealt out anew by `seed`.

    Those that are not compared with stay what they are.
    """
    rng = np.random.default_rng([seed, 1])
    found = {}
    for name, bank in sorted(banks.items()):
        rows = np.flatnonzero(bank.compared)
        references = list(bank.references)
        dealt = rng.permutation(rows)
        for row, source in zip(rows.tolist(), dealt.tolist(), strict=True):
            other = bank.references[source]
            references[row] = replace(
                bank.references[row],
                family=other.family, severity=other.severity, artifact=other.artifact,
            )  # fmt: skip
        found[name] = replace(bank, references=tuple(references), calibration=None)
    return found


def affected(item: Item, n_slices: int) -> np.ndarray:
    """Which of an item's slices differ from the clean scan; all of a clean one, being itself."""
    if item.artifact is None:
        return np.ones(n_slices, dtype=bool)
    changed = affected_slices(item.artifact)
    return changed if item.kept is None else changed[list(item.kept)]
