"""Severity that rises within a subject: does the score fall with it?"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from mriqa.config import SliceFamily
from mriqa.evaluation.auc import Floats
from mriqa.evaluation.findings import spearman
from mriqa.evaluation.simclr.cells import Design
from mriqa.evaluation.simclr.settings import ModeSection
from mriqa.evaluation.truth import CLEAN

Record = dict[str, Any]


def rising_records(
    about: Mapping[str, Any], design: Design, measures: Mapping[str, Floats], mode: ModeSection
) -> list[Record]:
    """Spearman's ρ of severity and badness, by family and measure; 1 is best.

    `measures`: name → badness (n) of the volumes of `design`. `median`: over the subjects for whom
    all levels were made, of ρ over these and the clean scan; one that does not move counts as 0.
    `pooled`: over all volumes of the family and the clean ones, of all subjects.
    """
    families = sorted(set(design.family.tolist()) - {CLEAN})
    return [
        {
            **about,
            "family": family,
            "measure": measure,
            **_within(design, badness, family, mode),
            **_pooled(design, badness, family),
        }
        for family in families
        for measure, badness in measures.items()
    ]


def _within(design: Design, badness: Floats, family: str, mode: ModeSection) -> Record:
    named = mode.levels.get(cast(SliceFamily, family), ())
    levels = {0.0, *(mode.rising if family in mode.rising_families else named)}
    asked = np.isin(design.family, [family, CLEAN]) & np.isin(design.severity, sorted(levels))
    found = []
    for subject in np.unique(design.sampling.subject):
        for stratum in np.unique(design.sampling.stratum):
            own = (design.sampling.subject == subject) & (design.sampling.stratum == stratum)
            rows = np.flatnonzero(asked & own & np.isfinite(badness))
            if len(rows) == len(levels) >= 3:
                found.append(spearman(badness[rows], design.severity[rows]) or 0.0)
    return {
        "median": float(np.median(found)) if found else None,
        "n_subjects": len(found),
        "n_levels": len(levels),
    }


def _pooled(design: Design, badness: Floats, family: str) -> Record:
    rows = np.flatnonzero(np.isin(design.family, [family, CLEAN]) & np.isfinite(badness))
    return {
        "pooled": spearman(badness[rows], design.severity[rows]),
        "n_volumes": len(rows),
    }
