"""Artifacts that nobody has simulated before: are volumes that have them found all the same?

Learned from simulated copies alone (`labels: simulated`), by a slice network that was tuned without
a group of families; tested on these families. Beside it SimCLR's whitened margin of the same
volumes, from a bank without them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mriqa.config import ReferenceSection
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.evaluation.auc import Sampling
from mriqa.evaluation.hierarchy.figures import BADNESS, FAIL, QUESTIONABLE, Record, auc_against_pass
from mriqa.evaluation.hierarchy.figures import told as told_auc
from mriqa.evaluation.hierarchy.lessons import Pupil, draw_labels
from mriqa.evaluation.hierarchy.volumes import Volumes
from mriqa.evaluation.items import Item
from mriqa.evaluation.simclr.banks import build_banks
from mriqa.evaluation.simclr.cells import Design, judge_volumes
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.rounds import Floats

HIERARCHY, SIMCLR = "hierarchy", "SimCLR, whitened"
Embedded = Mapping[Item, VolumeEmbedding]


def unseen_records(
    about: Mapping[str, Any], pupil: Pupil, held: Volumes, sampling: Sampling,
    simclr: Callable[[Volumes, Volumes], Floats] | None,
) -> list[Record]:  # fmt: skip
    """AUC of each family of `held` by the hierarchy, and by `simclr` where it is there: what says
    how bad (n) held volumes look, given those to learn from."""
    labels = draw_labels(pupil.learnt.truth, 1.0, 0.0, pupil.section.seed)
    worse = {HIERARCHY: pupil.once(labels, held.bags) @ BADNESS}
    if simclr is not None:
        worse[SIMCLR] = simclr(pupil.learnt, held)
    return [
        {
            **about,
            "family": family,
            "rater": rater,
            **{f"auc_{RATINGS[place]}": _told(place, family, values, held, sampling)
               for place in (FAIL, QUESTIONABLE)},
        }
        for rater, values in worse.items()
        for family in sorted(set(held.families.tolist()) - {"none"})
    ]  # fmt: skip


def _told(place: int, family: str, worse: Floats, held: Volumes, sampling: Sampling) -> Record:
    """`n_without_value`: volumes that could not be judged, or compared, and are not among the n."""
    own = held.families == family
    auc = auc_against_pass(worse, held.truth, place, sampling, own)
    n_all = int(np.count_nonzero(own & (held.truth == place)))
    return {**told_auc(auc), "n": auc.n_positive, "n_without_value": n_all - auc.n_positive}


def simclr_rater(
    embedded: Embedded, section: ReferenceSection, bootstraps: int, seed: int
) -> Callable[[Volumes, Volumes], Floats]:
    """SimCLR's zero-shot rule with banks of the volumes that are learned from."""

    def rate(learnt: Volumes, held: Volumes) -> Floats:
        banks = build_banks(learnt.items, embedded, section)
        design = Design.of(held.items, bootstraps, seed)
        return np.asarray(judge_volumes(design, embedded, banks, section).badness("whitened"))

    return rate
