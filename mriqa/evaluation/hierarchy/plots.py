"""The curves of the experiments with the hierarchy, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mriqa.evaluation.hierarchy.curves import ONCE, SELF_TRAINED, TRUE
from mriqa.evaluation.hierarchy.figures import Record
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.hierarchy.summary import at, over_seeds
from mriqa.evaluation.plots import save

STYLES = {ONCE: ("trained once", "#a2542a", "--"), SELF_TRAINED: ("self-trained", "#1b5e91", "-")}


def plot_curves(path: Path, records: Sequence[Record], section: HierarchyExperiments) -> None:
    """Balanced accuracy against the share of wrong labels, and of labelled volumes: means over
    seeds, from the worst to the best."""
    figure = Figure(figsize=(8.5, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    noises = [(section.fraction_at, noise) for noise in section.noise]
    _lines(left, records, noises, 1)
    _lines(right, records, [(one, section.noise_at) for one in section.fractions], 0)
    best = over_seeds(at(records, how=TRUE), "accuracy", "value")
    for panel in (left, right):
        if best is not None:
            panel.axhline(best, color="0.35", ls=":", label="all labels, true")
        panel.axhline(1 / 3, color="0.7", lw=0.8)
        panel.grid(alpha=0.25)
    left.set(xlabel=f"wrong labels, {section.fraction_at:.0%} of volumes labelled")
    left.set_ylabel("balanced accuracy")
    right.set(xlabel=f"labelled volumes, {section.noise_at:.0%} of labels wrong")
    right.legend(fontsize=8, frameon=False, loc="lower right")
    save(figure, path)


def _lines(
    panel: Axes, records: Sequence[Record], conditions: Sequence[tuple[float, float]], shown: int
) -> None:
    """`shown`: which of (fraction, noise) is the abscissa."""
    x = [100 * one[shown] for one in conditions]
    for how, (name, colour, line) in STYLES.items():
        some = [at(records, fraction=one, noise=noise, how=how) for one, noise in conditions]
        values = np.array([[one["accuracy"]["value"] for one in seeds] for seeds in some])
        panel.plot(x, values.mean(axis=1), line, marker="o", ms=4, color=colour, label=name)
        panel.fill_between(
            x, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.15, lw=0
        )
    panel.set_xticks(x, [f"{one:g}%" for one in x])
