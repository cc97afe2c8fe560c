"""The plots of the experiments with SimCLR, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mriqa.evaluation.plots import save
from mriqa.evaluation.simclr.cells import METRICS, PAPER, VOLUME, WHITENED, WHOLE
from mriqa.evaluation.simclr.encoders import TRAINED, UNTRAINED
from mriqa.evaluation.simclr.summary import MEAN_OF_SIX, SIX_CELLS
from mriqa.evaluation.truth import CLEAN

Record = dict[str, Any]
STYLES = {
    (TRAINED, WHITENED): ("trained, whitened", "#1b5e91", "-"),
    (TRAINED, PAPER): ("trained, paper's rule", "#6fa8d6", "-"),
    (UNTRAINED, WHITENED): ("untrained, whitened", "#a2542a", "--"),
    (UNTRAINED, PAPER): ("untrained, paper's rule", "#dca983", "--"),
    (METRICS, METRICS): ("hand-made metrics", "0.35", ":"),
}
"""By kind of encoder and rule: name, colour, line."""


def plot_auc(path: Path, summary: Sequence[Record]) -> None:
    """AUC of volumes against severity, a panel a family; mean over seeds, down to the worst."""
    known = [one for one in summary if one["unit"] == VOLUME and one["bank"] == WHOLE]
    families = sorted({one["family"] for one in known})
    figure, panels = _panels(families)
    for panel, family in zip(panels, families, strict=False):
        for (kind, rule), (name, colour, line) in STYLES.items():
            some = [one for one in known if (one["family"], one["kind"], one["rule"])
                    == (family, kind, rule) and one["mean"] is not None]  # fmt: skip
            some.sort(key=lambda one: one["severity"])
            x = [one["severity"] for one in some]
            panel.plot(x, [one["mean"] for one in some], line, marker="o", ms=3, color=colour,
                       label=name)  # fmt: skip
            low, high = [one["worst"] for one in some], [one["mean"] for one in some]
            panel.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        panel.axhline(0.5, color="0.6", lw=0.8)
        panel.set_title(family, fontsize=9)
        panel.set(xlim=(0, 1.05), ylim=(0, 1.03))
    _finish(figure, panels, len(families), "severity", "AUC")
    save(figure, path)


def plot_severity(path: Path, rows: pd.DataFrame) -> None:
    """quality_score of the first trained encoder against severity, a line a subject.

    The whitened margin, where it was not calibrated.
    """
    trained = rows[rows["kind"] == TRAINED]
    trained = trained[trained["seed"] == trained["seed"].min()]
    name = "quality_score" if trained["quality_score"].notna().any() else "margin_whitened"
    families = sorted(set(trained["family"]) - {CLEAN})
    figure, panels = _panels(families)
    for panel, family in zip(panels, families, strict=False):
        some = trained[trained["family"].isin([family, CLEAN])]
        for _, own in some.groupby(["subject", "stratum"]):
            ordered = own.sort_values("severity")
            panel.plot(ordered["severity"], ordered[name].astype(float), "-",
                       marker=".", ms=4, lw=0.7, color="#1b5e91", alpha=0.45)  # fmt: skip
        panel.set_title(family, fontsize=9)
        panel.set_xlim(-0.05, 1.05)
    _finish(figure, panels, len(families), "severity", name)
    save(figure, path)


def plot_encoders(path: Path, records: Sequence[Record]) -> None:
    """The six cells and their mean: trained, untrained and metrics beside one another."""
    cells = [*(one.name for one in SIX_CELLS), MEAN_OF_SIX]
    known = {(one["cell"], one["kind"], one["rule"]): one for one in records
             if one["unit"] == VOLUME}  # fmt: skip
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(STYLES)
    for at, (key, (name, colour, _)) in enumerate(STYLES.items()):
        for x, cell in enumerate(cells):
            record = known.get((cell, *key))
            if record is None or record["mean"] is None:
                continue
            place = x - 0.4 + (at + 0.5) * width
            axes.bar(place, record["mean"], width * 0.92, color=colour,
                     label=name if cell == cells[0] else None)  # fmt: skip
            axes.plot([place] * len(record["per_seed"]), record["per_seed"], "k.", ms=3)
    axes.axhline(0.5, color="0.6", lw=0.8)
    axes.set_xticks(range(len(cells)), [cell.replace(" ", "\n", 1) for cell in cells], fontsize=8)
    axes.set(ylim=(0, 1.03), ylabel="AUC of volumes (dots: seeds)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, ncols=3, loc="lower right")
    save(figure, path)


def _panels(names: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    across = min(4, max(1, len(names)))
    down = max(1, -(-len(names) // across))
    figure = Figure(figsize=(2.5 * across + 0.8, 2.1 * down + 0.9), layout="constrained")
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    return figure, list(np.ravel(axes))


def _finish(figure: Figure, panels: Sequence[Axes], used: int, x: str, y: str) -> None:
    for panel in panels:
        panel.grid(visible=True, color="0.92", lw=0.6)
        panel.tick_params(labelsize=8)
    for panel in panels[used:]:
        panel.set_axis_off()
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper center", ncols=3, fontsize=7)
