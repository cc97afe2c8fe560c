"""Ablation: one thing changed at a time, in the encoder or in how it is read out."""

from collections.abc import Sequence
from typing import Any

from mriqa.config import ReferenceSection
from mriqa.evaluation.simclr.banks import Banks, Embeddings, build_banks, smaller, without_family
from mriqa.evaluation.simclr.cells import RULES, VOLUME, WHOLE, aucs, judge_volumes
from mriqa.evaluation.simclr.encoder_results import Setup
from mriqa.evaluation.simclr.encoders import ABLATION
from mriqa.evaluation.simclr.settings import changed_reference
from mriqa.evaluation.simclr.summary import SIX_CELLS, mean, six_cells

Record = dict[str, Any]
DRAWS = 5
"""Smaller banks are drawn so often, as much hangs on who is in them."""


def ablation_records(setup: Setup) -> list[Record]:
    """The six cells of each ablation by rule: `name`, `part` (encoder, readout), `rule`, `cells`.

    First the run's own encoder as it is, then the other encoders, then the other readouts.
    """
    own, *others = (one for one in setup.plans if one.kind == ABLATION or one is setup.plans[0])
    embeddings = setup.embeddings(own)
    banks = build_banks(setup.references, embeddings, setup.reference)
    found = _records("the run's own", "encoder", setup, embeddings, [banks], setup.reference)
    for plan in others:
        some = setup.embeddings(plan)
        built = build_banks(setup.references, some, setup.reference)
        found += _records(plan.name, "encoder", setup, some, [built], setup.reference)
    for readout in setup.section.readouts:
        section = changed_reference(setup.reference, readout.reference)
        drawn = [banks]
        if readout.hq_volumes is not None:
            drawn = [smaller(banks, readout.hq_volumes, number) for number in range(DRAWS)]
        found += _records(readout.name, "readout", setup, embeddings, drawn, section)
    return found


def _records(
    name: str, part: str, setup: Setup, embeddings: Embeddings, drawn: Sequence[Banks],
    section: ReferenceSection,
) -> list[Record]:  # fmt: skip
    """Means over the banks in `drawn`; `worst_mean` is the mean of the six with the worst bank."""
    results = [_six(setup, embeddings, banks, section) for banks in drawn]
    found = []
    for rule in RULES:
        of_rule = [six_cells(cells, rule) for cells in results]
        cells = {cell: mean([one[cell] for one in of_rule]) for cell in of_rule[0]}
        found.append({"name": name, "part": part, "rule": rule, "n_banks": len(drawn), **cells})
    return found


def _six(
    setup: Setup, embeddings: Embeddings, banks: Banks, section: ReferenceSection
) -> list[Record]:
    found = []
    for held in sorted({one.bank for one in SIX_CELLS}):
        some = banks if held == WHOLE else without_family(banks, held)
        families = [one.family for one in SIX_CELLS if one.bank == held]
        judged = judge_volumes(setup.design, embeddings, some, section)
        for rule in RULES:
            values = aucs(setup.design, judged.badness(rule), judged.item, families)
            found += [
                {"rule": rule, "unit": VOLUME, "bank": held, "family": family,
                 "severity": severity, "auc": auc.auc}
                for (family, severity), auc in values.items()
            ]  # fmt: skip
    return found
