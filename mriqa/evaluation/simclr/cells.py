"""AUC of simulated artifacts against clean scans of the same subjects, by rule, bank and level."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.config import ReferenceSection
from mriqa.evaluation.auc import Auc, Floats, Indices, Sampling, auc_of, pair_up, resample
from mriqa.evaluation.items import Item
from mriqa.evaluation.simclr.banks import Banks, Embeddings, affected
from mriqa.evaluation.simclr.settings import LEVEL_NAMES
from mriqa.evaluation.truth import CLEAN
from mriqa.methods.simclr.judge import Judge
from mriqa.methods.simclr.whitening import HQ

PAPER, WHITENED, METRICS = "paper", "whitened", "metrics"
RULES = (PAPER, WHITENED)
SLICE, VOLUME, SUBJECT = "slice", "volume", "subject"
WHOLE = "all"
"""The bank with all families."""


@dataclass(frozen=True)
class Judged:
    """n volumes, or their slices: `item` (n) is the index of the volume; float64 (n), NaN unknown.

    `quality` is 1 - expected severity; only of volumes, and of calibrated banks.
    """

    item: Indices
    s_hq: Floats
    s_lq: Floats
    whitened: Floats
    quality: Floats

    def badness(self, rule: str) -> Floats:
        """By the paper's margin or the whitened one; higher is worse."""
        return self.s_lq - self.s_hq if rule == PAPER else -self.whitened


@dataclass(frozen=True)
class Design:
    """The test volumes: what each is, and how often its subject is drawn in the resamples."""

    items: tuple[Item, ...]
    family: NDArray[np.str_]
    severity: Floats
    sampling: Sampling

    @classmethod
    def of(cls, items: Sequence[Item], resamples: int, seed: int) -> "Design":
        """From the volumes, in their order."""
        subjects, subject = np.unique(
            [item.scan.person.subject for item in items], return_inverse=True
        )
        _, stratum = np.unique([item.scan.stratum for item in items], return_inverse=True)
        return cls(
            tuple(items),
            np.array([item.family for item in items]),
            np.array([item.severity for item in items]),
            Sampling(subject, stratum, resample(len(subjects), resamples, seed)),
        )

    def only(self, kept: NDArray[np.bool_]) -> "Design":
        """The volumes that `kept` (n) marks; subjects are drawn as before."""
        rows = np.flatnonzero(kept)
        sampling = self.sampling
        return Design(
            tuple(self.items[row] for row in rows),
            self.family[rows],
            self.severity[rows],
            Sampling(sampling.subject[rows], sampling.stratum[rows], sampling.drawn),
        )


def judge_volumes(
    design: Design, embeddings: Embeddings, banks: Banks, section: ReferenceSection
) -> Judged:
    """Every volume of `design` against the bank of its stratum; NaN where it cannot be judged."""
    values = np.full((4, len(design.items)), np.nan)
    judges = {name: Judge(bank, section) for name, bank in banks.items()}
    for row, item in enumerate(design.items):
        if item not in embeddings or not _comparable(item, banks):
            continue
        similar = judges[item.scan.stratum].volume(embeddings[item], item.scan.person).similarities
        values[:3, row] = similar.s_hq[0], similar.s_lq[0], similar.margin_whitened[0]
        calibration = banks[item.scan.stratum].calibration
        if calibration is not None:
            values[3, row] = calibration.quality(similar.margin_whitened)[0]
    return Judged(np.arange(len(design.items)), values[0], values[1], values[2], values[3])


def judge_slices(
    design: Design, embeddings: Embeddings, banks: Banks, section: ReferenceSection
) -> Judged:
    """The body slices of every scan; of its copies those that the artifact changes.

    Which slices are body is the scan's word: one that lost its signal counts as a slice without a
    value (NaN).
    """
    body = {item.scan: embeddings[item].is_body for item in design.items
            if item.artifact is None and item in embeddings}  # fmt: skip
    judges = {name: Judge(bank, section) for name, bank in banks.items()}
    rows, parts = [np.zeros(0, np.intp)], [np.zeros((3, 0))]
    for row, item in enumerate(design.items):
        if item not in embeddings or item.scan not in body or not _comparable(item, banks):
            continue
        embedding = embeddings[item]
        similar = judges[item.scan.stratum].slices(embedding, item.scan.person)
        seen = body[item.scan] & affected(item, len(embedding.is_body))
        parts.append(np.stack([similar.s_hq, similar.s_lq, similar.margin_whitened])[:, seen])
        rows.append(np.full(int(seen.sum()), row))
    s_hq, s_lq, whitened = np.concatenate(parts, axis=1)
    return Judged(np.concatenate(rows), s_hq, s_lq, whitened, np.full(len(s_hq), np.nan))


def _comparable(item: Item, banks: Banks) -> bool:
    """Whether its stratum's bank has references of both classes beside those of its own subject.

    Labels that were dealt out anew may leave none.
    """
    bank = banks.get(item.scan.stratum)
    if bank is None:
        return False
    others = bank.labels[bank.severe & (bank.people.subject != item.scan.person.subject)]
    return bool((others == HQ).any() and (others != HQ).any())


def of_subjects(design: Design, judged: Judged) -> Judged:
    """Means over a subject's volumes with the same artifact, as the subjects table has them.

    `item` is the first of those volumes.
    """
    keys: dict[tuple[int, int, str, float], list[int]] = {}
    sampling = design.sampling
    for row in range(len(design.items)):
        who = int(sampling.subject[row]), int(sampling.stratum[row])
        what = str(design.family[row]), float(design.severity[row])
        keys.setdefault((*who, *what), []).append(row)
    groups = list(keys.values())
    means = [
        np.array([values[rows].mean() for rows in groups])
        for values in (judged.s_hq, judged.s_lq, judged.whitened, judged.quality)
    ]
    return Judged(np.array([rows[0] for rows in groups], dtype=np.intp), *means)


def aucs(
    design: Design, badness: Floats, item: Indices, families: Iterable[str] | None = None
) -> dict[tuple[str, float], Auc]:
    """AUC by (family, severity) of rows with `badness`, that belong to the volumes `item`.

    Of all families, or only of those named.
    """
    sampling = Sampling(
        design.sampling.subject[item], design.sampling.stratum[item], design.sampling.drawn
    )
    family, severity = design.family[item], design.severity[item]
    asked = set(families) if families is not None else set(family.tolist())
    positive = np.isin(family, sorted(asked - {CLEAN}))
    pairs = pair_up(badness, positive, family == CLEAN, sampling)
    kinds = sorted(set(zip(family[positive].tolist(), severity[positive].tolist(), strict=True)))
    return {
        (name, level): auc_of(pairs, (family == name) & (severity == level), sampling)
        for name, level in kinds
    }


def cell_records(
    about: Mapping[str, object], design: Design, badness: Floats, item: Indices,
    families: Iterable[str] | None = None,
) -> list[dict[str, object]]:  # fmt: skip
    """Records for the JSON: what `about` says, and the AUC of each family and severity.

    `n_without_value`: degraded rows that have no score and are no part of the AUC.
    """
    return [
        {
            **about, "family": family, "severity": severity, "level": LEVEL_NAMES.get(severity),
            **asdict(auc), "n_without_value": _count(design, item, family, severity)
            - auc.n_positive,
        }
        for (family, severity), auc in aucs(design, badness, item, families).items()
    ]  # fmt: skip


def _count(design: Design, item: Indices, family: str, severity: float) -> int:
    chosen = (design.family[item] == family) & (design.severity[item] == severity)
    return int(chosen.sum())
