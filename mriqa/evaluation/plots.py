"""The plots of the evaluation, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mriqa.evaluation.truth import CLEAN
from mriqa.files import replacing

Record = dict[str, Any]
COLOURS = "RdBu"
DARK = 0.28
"""Distance from the middle of the colours beyond which text is white."""


def plot_auc(path: Path, records: Sequence[Record], levels: Mapping[str, Any]) -> None:
    """Heat map of quality_score: families by levels of severity."""
    cells = {
        (one["family"], one["severity"]): one
        for one in records
        if one["measure"] == "quality_score"
    }
    families = list(dict.fromkeys(family for family, _ in cells))
    columns = [*levels, "all"]
    figure = Figure(figsize=(6.4, 1.6 + 0.38 * max(1, len(families))), layout="constrained")
    axes = figure.add_subplot()
    _heat(axes, [[cells.get((row, column)) for column in columns] for row in families],
          families, columns, with_n=True)  # fmt: skip
    axes.set_title("AUC of quality_score: degraded against clean", fontsize=11)
    axes.set_xlabel("severity")
    save(figure, path)


def plot_measures(path: Path, records: Sequence[Record]) -> None:
    """Heat map of all measures: measures by families, all severities."""
    cells = {(one["measure"], one["family"]): one for one in records if one["severity"] == "all"}
    measures = list(dict.fromkeys(measure for measure, _ in cells))
    families = list(dict.fromkeys(family for _, family in cells))
    size = (2.8 + 0.62 * max(1, len(families)), 1.9 + 0.34 * max(1, len(measures)))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    _heat(axes, [[cells.get((row, column)) for column in families] for row in measures],
          measures, families, with_n=False)  # fmt: skip
    axes.tick_params(axis="x", rotation=45)
    axes.set_title("AUC of each measure, all severities", fontsize=11)
    save(figure, path)


def _heat(
    axes: Axes,
    cells: Sequence[Sequence[Record | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    with_n: bool,
) -> None:
    if not rows:
        axes.text(0.5, 0.5, "no degraded volume", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    values = np.array(
        [[_value(cell) for cell in line] for line in cells], dtype=np.float64
    ).reshape(len(rows), len(columns))
    image = axes.imshow(values, vmin=0, vmax=1, cmap=COLOURS, aspect="auto")
    axes.set_facecolor("0.93")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelsize=9)
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            value = values[y, x]
            text = "–" if cell is None or np.isnan(value) else f"{value:.2f}"
            if with_n and cell is not None:
                text += f"  (n {cell['n_positive']})"
            dark = np.isfinite(value) and abs(value - 0.5) > DARK + 0.1
            axes.text(x, y, text, ha="center", va="center", fontsize=8,
                      color="white" if dark else "black")  # fmt: skip
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="AUC (0.5 is chance)")


def _value(cell: Record | None) -> float:
    return float("nan") if cell is None or cell["auc"] is None else float(cell["auc"])


def plot_severity(path: Path, volumes: pd.DataFrame) -> None:
    """quality_score of every degraded volume by severity, a panel a family, clean ones at 0."""
    scored = volumes[volumes["quality_score"].notna()]
    clean = scored[scored["true_family"] == CLEAN]["quality_score"].to_numpy()
    families = sorted(set(scored["true_family"]) - {CLEAN}) or ["(none)"]
    across = min(4, len(families))
    down = -(-len(families) // across)
    figure = Figure(figsize=(2.5 * across + 0.6, 2.1 * down + 0.5), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    jitter = np.random.default_rng(0).normal(0, 0.012, clean.size)
    for panel, family in zip(panels, families, strict=False):
        rows = scored[scored["true_family"] == family]
        panel.plot(jitter, clean, ".", ms=2.5, color="0.7", rasterized=True)
        panel.plot(rows["true_severity"], rows["quality_score"], "o", ms=3.5, color="#b3352c",
                   alpha=0.75, mec="none")  # fmt: skip
        panel.set_title(f"{family} (n {len(rows)})", fontsize=9)
        panel.set(xlim=(-0.08, 1.05), ylim=(-0.03, 1.03))
        panel.grid(visible=True, color="0.92", lw=0.6)
        panel.tick_params(labelsize=8)
    for panel in panels[len(families) :]:
        panel.set_axis_off()
    for panel in panels[max(0, len(families) - across) : len(families)]:
        panel.tick_params(labelbottom=True)  # the lowest of its column
    figure.supxlabel("severity (grey: clean)", fontsize=9)
    figure.supylabel("quality_score", fontsize=9)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
