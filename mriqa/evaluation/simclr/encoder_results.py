"""What one encoder gives in all experiments, from embeddings that are on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mriqa.config import ReferenceSection
from mriqa.embedding.embedder import fingerprint
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.errors import MriqaError
from mriqa.evaluation.auc import Floats
from mriqa.evaluation.items import Item, Stores
from mriqa.evaluation.one_pass import EmbeddingReader, MetricsReader
from mriqa.evaluation.simclr.banks import (
    Banks,
    Embeddings,
    build_banks,
    calibrate_banks,
    shuffled,
    without_family,
)
from mriqa.evaluation.simclr.cells import (
    METRICS,
    RULES,
    SLICE,
    SUBJECT,
    VOLUME,
    WHOLE,
    Design,
    Judged,
    aucs,
    cell_records,
    judge_slices,
    judge_volumes,
    of_subjects,
)
from mriqa.evaluation.simclr.encoders import TRAINED, EncoderPlan
from mriqa.evaluation.simclr.ground import Ground
from mriqa.evaluation.simclr.metrics import metrics_scores
from mriqa.evaluation.simclr.protocol import Protocol, protocol_records
from mriqa.evaluation.simclr.rising import rising_records
from mriqa.evaluation.simclr.settings import ExperimentsSection, ModeSection
from mriqa.evaluation.simclr.strata import HELD_OUT, strata_records
from mriqa.evaluation.simclr.summary import SIX_CELLS, mean
from mriqa.evaluation.truth import CLEAN

Record = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """Everything that was drawn, trained and embedded, ready to be judged."""

    ground: Ground
    section: ExperimentsSection
    mode: ModeSection
    plans: Sequence[EncoderPlan]
    references: tuple[Item, ...]
    design: Design
    protocol: Protocol | None
    readers: Mapping[EncoderPlan, EmbeddingReader]
    metrics: MetricsReader
    cohort_metrics: pd.DataFrame
    stores: Stores
    failed: Mapping[str, str]

    @property
    def reference(self) -> ReferenceSection:
        """Of the run's own banks."""
        return self.ground.bank.section

    def embeddings(self, plan: EncoderPlan) -> dict[Item, VolumeEmbedding]:
        """What one encoder made of all volumes that it was asked for, but for those that failed.

        Raises MriqaError if one is not there.
        """
        extra = () if self.protocol is None else self.protocol.items
        reader, found = self.readers[plan], {}
        everything = {*self.references, *self.design.items, *extra}
        for item in sorted(everything, key=lambda one: one.scan.series_id):
            if item.key in self.failed or not reader.asks(item):
                continue
            embedding = reader.get(item, self.state(item))
            if embedding is None:
                raise MriqaError(f"{item.key}: its embedding by {plan.label} is gone; run again")
            found[item] = embedding
        return found

    def state(self, item: Item) -> str:
        """Fingerprint of an item's source."""
        return fingerprint(self.stores.attributes(item.scan))


@dataclass(frozen=True)
class Findings:
    """Records of one encoder for the JSON, and a row a test volume (`volumes`)."""

    cells: list[Record]
    volumes: pd.DataFrame
    shuffled: list[Record] = field(default_factory=list)
    rising: list[Record] = field(default_factory=list)
    strata: list[Record] = field(default_factory=list)
    protocol: list[Record] = field(default_factory=list)


def encoder_findings(setup: Setup, plan: EncoderPlan) -> Findings:
    """All experiments with one encoder."""
    about: Record = {"kind": plan.kind, "encoder": plan.name, "seed": plan.seed}
    embeddings, section = setup.embeddings(plan), setup.reference
    reader = setup.readers[plan]
    design = setup.design.only(np.array([reader.asks(item) for item in setup.design.items]))
    banks = build_banks(setup.references, embeddings, section)
    if setup.mode.calibrate and plan.kind == TRAINED:
        banks = calibrate_banks(banks, section)
    volumes = judge_volumes(design, embeddings, banks, section)
    slices = judge_slices(design, embeddings, banks, section)
    units = {VOLUME: volumes, SLICE: slices, SUBJECT: of_subjects(design, volumes)}
    cells, strata = _cells(about, WHOLE, design, units), _strata(about, WHOLE, design, units)
    for family in setup.mode.held_out:
        units = _held_out(family, setup, design, embeddings, banks)
        cells += _cells(about, family, design, units, [family])
        strata += _strata(about, HELD_OUT, design, units, [family])
    measures = {"quality": 1 - volumes.quality, "s_lq": volumes.s_lq} | {
        rule: volumes.badness(rule) for rule in RULES
    }
    protocol = []
    if setup.protocol is not None:
        protocol = protocol_records(about, setup.protocol, embeddings, banks, section)
    return Findings(
        cells,
        _rows(about, design, volumes),
        _shuffled(about, setup, design, embeddings, banks),
        rising_records(about, design, measures, setup.mode),
        strata,
        protocol,
    )


def _cells(
    about: Record, bank: str, design: Design, units: Mapping[str, Judged],
    families: Sequence[str] | None = None,
) -> list[Record]:  # fmt: skip
    found = []
    for unit, judged in units.items():
        for rule in RULES:
            named = {**about, "rule": rule, "bank": bank, "unit": unit}
            found += cell_records(named, design, judged.badness(rule), judged.item, families)
    return found


def _strata(
    about: Record, bank: str, design: Design, units: Mapping[str, Judged],
    families: Sequence[str] | None = None,
) -> list[Record]:  # fmt: skip
    found = []
    for unit, judged in units.items():
        for rule in RULES if unit != SUBJECT else ():
            named = {**about, "rule": rule, "bank": bank, "unit": unit}
            found += strata_records(named, design, judged.badness(rule), judged.item, families)
    return found


def _held_out(
    family: str, setup: Setup, design: Design, embeddings: Embeddings, banks: Banks
) -> dict[str, Judged]:
    """`family` judged by banks that have no copy of it; slices of the six cells only."""
    section = setup.reference
    without = without_family(banks, family)
    own = [item for item in design.items if item.family in (family, CLEAN)]
    some = {item: embeddings[item] for item in own if item in embeddings}
    units = {VOLUME: judge_volumes(design, some, without, section)}
    if family in {one.bank for one in SIX_CELLS}:
        units[SLICE] = judge_slices(design, some, without, section)
    return units


def _shuffled(
    about: Record, setup: Setup, design: Design, embeddings: Embeddings, banks: Banks
) -> list[Record]:
    """Mean AUC over all cells for each dealing of the labels, and what they range over."""
    means: dict[str, list[float]] = {rule: [] for rule in RULES}
    for number in range(setup.mode.shuffles):
        dealt = shuffled(banks, setup.section.seed + number)
        judged = judge_volumes(design, embeddings, dealt, setup.reference)
        for rule in RULES:
            found = aucs(design, judged.badness(rule), judged.item)
            value = mean([one.auc for one in found.values()])
            means[rule] += [] if value is None else [value]
    return [
        {
            **about, "rule": rule, "n_shuffles": len(values), "mean": mean(values),
            "low": min(values, default=None), "high": max(values, default=None),
        }
        for rule, values in means.items()
    ]  # fmt: skip


def metrics_findings(setup: Setup) -> Findings:
    """The hand-made metrics: volumes and subjects, as they have no score of slices."""
    about: Record = {"kind": METRICS, "encoder": METRICS, "seed": None}
    design = setup.design
    measured = {}
    for item in design.items:
        found = setup.metrics.get(item, setup.state(item))
        if found is not None:
            measured[item] = found
    scores = metrics_scores(design, setup.cohort_metrics, measured)
    nothing = np.full(len(scores), np.nan)
    judged = Judged(np.arange(len(scores)), nothing, nothing, scores, scores)
    cells = []
    for unit, some in ((VOLUME, judged), (SUBJECT, of_subjects(design, judged))):
        named = {**about, "rule": METRICS, "bank": WHOLE, "unit": unit}
        cells += cell_records(named, design, -some.quality, some.item)
    named = {**about, "rule": METRICS, "bank": WHOLE, "unit": VOLUME}
    return Findings(
        cells,
        _rows(about, design, judged),
        rising=rising_records(about, design, {METRICS: -scores}, setup.mode),
        strata=strata_records(named, design, -scores, judged.item),
    )


def _rows(about: Record, design: Design, judged: Judged) -> pd.DataFrame:
    items = design.items
    columns: dict[str, Any] = {
        **{name: [value] * len(items) for name, value in about.items()},
        "series_id": [one.scan.series_id for one in items],
        "volume": [one.scan.volume for one in items],
        "subject": [one.scan.person.subject for one in items],
        "stratum": [one.scan.stratum for one in items],
        "family": design.family,
        "severity": design.severity,
        "artifact": [one.artifact.to_json() if one.artifact else None for one in items],
        "s_hq": _known(judged.s_hq),
        "s_lq": _known(judged.s_lq),
        "margin": _known(judged.s_hq - judged.s_lq),
        "margin_whitened": _known(judged.whitened),
        "quality_score": _known(judged.quality),
    }
    return pd.DataFrame(columns)


def _known(values: Floats) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
