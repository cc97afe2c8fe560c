"""A second protocol: free-breathing against breath-held scans of the same subjects.

Judged by a bank of its own (breath-held scans of the other subjects and their simulated copies) and
by the banks of the first protocol (transfer).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mriqa.config import ReferenceSection
from mriqa.evaluation.auc import Floats
from mriqa.evaluation.items import Item, Stores
from mriqa.evaluation.scans import scan_of
from mriqa.evaluation.simclr.banks import Banks, Embeddings, build_banks
from mriqa.evaluation.simclr.cells import (
    METRICS,
    RULES,
    SLICE,
    VOLUME,
    Design,
    Judged,
    aucs,
    judge_slices,
    judge_volumes,
)
from mriqa.evaluation.simclr.ground import Ground
from mriqa.evaluation.simclr.items import draw_references, is_compared
from mriqa.evaluation.truth import CLEAN

FREE = "free_breathing"
OWN_BANK = "own"
Record = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """The scans made in pairs: `held` lend references, `design` are those that are judged.

    `references` are the held scans and their copies; `n_trained` scans of the protocol were
    trained on, whose subjects are not judged; `metrics` (n) are the metrics' scores of `design`.
    """

    references: tuple[Item, ...]
    design: Design
    n_trained: int
    metrics: Floats

    @property
    def items(self) -> Iterator[Item]:
        """All volumes to embed."""
        known = set(self.references)
        yield from self.references
        yield from (item for item in self.design.items if item not in known)


def find_protocol(
    ground: Ground, stores: Stores, section: ReferenceSection, resamples: int, seed: int
) -> Protocol | None:
    """The scans that the truth marks as breath-held or not; None where it marks none of a kind."""
    rows = ground.volumes
    is_held = np.array([one is True for one in rows["breath_hold"]], dtype=bool)
    held = rows[is_held & (rows["true_family"] == CLEAN).to_numpy()]
    free = rows[np.array([one is False for one in rows["breath_hold"]], dtype=bool)]
    free = free[free["stratum"].isin(held["stratum"])]
    if held.empty or free.empty:
        return None
    pinned = {one.series_id for one in ground.pinned}
    both = pd.concat([held, free]).sort_values(["subject", "series_id"])
    judged = both[~both["subject"].isin(ground.trained_subjects)]
    items = [Item(scan_of(row)) for row in judged.to_dict("records")]
    is_free = np.array([one is False for one in judged["breath_hold"]], dtype=bool)
    design = replace(
        Design.of(items, resamples, seed),
        family=np.where(is_free, FREE, CLEAN),
        severity=np.where(is_free, 1.0, 0.0),
    )
    lenders = sorted(
        (scan_of(row) for row in held.to_dict("records")),
        key=lambda one: (one.shard, one.series_id, one.volume),
    )
    return Protocol(
        tuple(one for one in draw_references(lenders, stores, section) if is_compared(one)),
        design,
        int(both["series_id"].isin(pinned).sum()),
        judged["metrics_score"].to_numpy(np.float64),
    )


def protocol_records(
    about: Mapping[str, Any], protocol: Protocol, embeddings: Embeddings, first: Banks,
    section: ReferenceSection,
) -> list[Record]:  # fmt: skip
    """AUC of free-breathing against breath-held, by bank, rule and unit; and the share of pairs.

    `first` are the banks of the first protocol, by stratum.
    """
    own = build_banks(protocol.references, embeddings, section)
    strata = sorted({item.scan.stratum for item in protocol.design.items})
    banks = {OWN_BANK: own}
    banks |= {name: dict.fromkeys(strata, bank) for name, bank in first.items()}
    found = []
    for name, some in banks.items():
        design = protocol.design
        volumes = judge_volumes(design, embeddings, some, section)
        slices = judge_slices(design, embeddings, some, section)
        for unit, judged in ((VOLUME, volumes), (SLICE, slices)):
            named = {**about, "bank": name, "unit": unit}
            found += [_record({**named, "rule": rule}, design, judged, rule) for rule in RULES]
    return found


def protocol_metrics(protocol: Protocol) -> Record:
    """The same of the hand-made metrics."""
    design = protocol.design
    nothing = np.full(len(design.items), np.nan)
    scored = Judged(np.arange(len(design.items)), nothing, nothing, protocol.metrics, nothing)
    about = {"kind": METRICS, "encoder": METRICS, "seed": None, "bank": OWN_BANK, "unit": VOLUME}
    return {**_record(about, design, scored, "whitened"), "rule": METRICS}


def _record(about: Mapping[str, Any], design: Design, judged: Judged, rule: str) -> Record:
    badness = judged.badness(rule)
    found = aucs(design, badness, judged.item)
    auc = asdict(found[FREE, 1.0]) if found else {"auc": None}
    return {**about, **auc, **_paired(design, badness, judged.item)}


def _paired(design: Design, badness: Floats, item: Sequence[int] | np.ndarray) -> Record:
    """Share of subjects whose free-breathing scan is worse than the held one; ties count half."""
    rows = pd.DataFrame(
        {
            "subject": design.sampling.subject[item],
            "family": design.family[item],
            "badness": badness,
        }
    ).dropna()
    means = rows.pivot_table(index="subject", columns="family", values="badness")
    means = means.reindex(columns=[FREE, CLEAN]).dropna()
    if means.empty:
        return {"paired": None, "n_pairs": 0}
    difference = (means[FREE] - means[CLEAN]).to_numpy()
    wins = float(np.mean((difference > 0) + 0.5 * (difference == 0)))
    return {"paired": wins, "n_pairs": len(means)}
