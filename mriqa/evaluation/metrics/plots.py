"""AUC of classifiers and of single metrics, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mriqa.evaluation.metrics.tested import Record
from mriqa.evaluation.plots import save

COLOURS = {"classifier": "#b3352c", "published": "#1b5e91", "settings": "#1b5e91",
           "training": "0.55"}  # fmt: skip
LEGEND = {"classifier": "classifier", "published": "metric, direction published or set",
          "training": "metric, direction learned"}  # fmt: skip
MOST = 30
"""So many metrics at most, the best: the table has all."""


def plot_metrics(path: Path, content: Mapping[str, Any]) -> None:
    """A panel for each way of testing: classifiers, below them metrics from the best on."""
    wheres = list(content["counts"])
    n_rows = max(len(_lines(content, where)) for where in wheres)
    size = (1.2 + 4.4 * len(wheres), 1.4 + 0.19 * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(wheres), squeeze=False)[0]
    for panel, where in zip(panels, wheres, strict=True):
        _panel(panel, where, _lines(content, where))
    handles = {kind: panels[0].plot([], [], "o", ms=4, color=COLOURS[kind])[0] for kind in LEGEND}
    figure.legend(handles.values(), LEGEND.values(), loc="outside lower center", ncols=2,
                  fontsize=8, frameon=False)  # fmt: skip
    save(figure, path)


def _lines(content: Mapping[str, Any], where: str) -> list[tuple[str, str, Record]]:
    """Name, kind and AUC of each row."""
    found = [
        (f"{one['classifier']}, {one['scaled']}", "classifier", one["auc"])
        for one in content["classifiers"]
        if one["where"] == where and one["auc"] is not None
    ]
    metrics = sorted(
        (one for one in content["metrics"] if one["where"] == where and one["auc"] is not None),
        key=lambda one: -one["auc"],
    )
    return found + [
        (one["metric"], one["direction_from"], {**one, "value": one["auc"]})
        for one in metrics[:MOST]
    ]


def _panel(panel: Axes, where: str, lines: Sequence[tuple[str, str, Record]]) -> None:
    for y, (_, kind, auc) in enumerate(lines):
        if auc["low"] is not None:
            panel.plot([auc["low"], auc["high"]], [y, y], color=COLOURS[kind], lw=1.2, alpha=0.6)
        panel.plot(auc["value"], y, "o", ms=4, color=COLOURS[kind])
    panel.axvline(0.5, color="0.6", lw=0.8, ls=":")
    panel.set_yticks(range(len(lines)), [name for name, _, _ in lines], fontsize=7)
    panel.set_ylim(len(lines) - 0.3, -0.7)
    panel.set_xlabel("AUC: bad against good", fontsize=8)
    panel.set_title(where, fontsize=9)
    panel.tick_params(axis="x", labelsize=7)
    panel.grid(axis="x", color="0.92", lw=0.6)
