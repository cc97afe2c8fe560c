"""Planes of generated weights, and predictions as noise is added, drawn without a display."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mriqa.evaluation.hysnet.figures import Record
from mriqa.evaluation.hysnet.networks import HYPER, PLAIN
from mriqa.evaluation.hysnet.noise import SEVERITIES
from mriqa.evaluation.plots import save

COLOURS = ("#b3352c", "#1b5e91", "#3a7d44", "#8a5a9e", "#c98a1b")
TITLES = {HYPER: "generated weights (hyper)", PLAIN: "backbone's features (plain)"}


def plot_all(folder: Path, name: str, content: Mapping[str, Any]) -> dict[str, str]:
    """Draw what there is; the files' names by what they show."""
    drawn = {}
    for what, draw in (("planes", plot_planes), ("noise", plot_noise)):
        if content[what]:
            drawn[what] = f"{name}_{what}.png"
            draw(folder / drawn[what], content[what])
    return drawn


def plot_planes(path: Path, records: Sequence[Record]) -> None:
    """By content above, by target below, a column a network."""
    figure = Figure(figsize=(4.2 * len(records), 7.4), layout="constrained")
    panels = figure.subplots(2, len(records), squeeze=False)
    for (above, below), one in zip(panels.T, records, strict=True):
        points = np.array(one["points"])
        contrasts = np.array(one["contrasts"])
        for colour, contrast in zip(COLOURS, dict.fromkeys(one["contrasts"]), strict=False):
            own = points[contrasts == contrast]
            above.plot(*own.T, "o", ms=3, color=colour, alpha=0.7, mec="none", label=contrast)
        above.legend(fontsize=8, frameon=False)
        above.set_title(TITLES[one["of"]], fontsize=10)
        drawn = below.scatter(*points.T, c=one["targets"], s=9, cmap="viridis")
        figure.colorbar(drawn, ax=below, label="target", shrink=0.8)
        for panel in (above, below):
            _axes(panel, one["explained"])
    save(figure, path)


def _axes(panel: Axes, explained: Sequence[float]) -> None:
    panel.set_xlabel(f"first axis ({explained[0]:.0%})", fontsize=8)
    panel.set_ylabel(f"second axis ({explained[1]:.0%})", fontsize=8)
    panel.tick_params(labelsize=7)


def plot_noise(path: Path, records: Sequence[Record]) -> None:
    """A line a volume and network, of its prediction without noise 0; a panel a head."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(one["volume"] for one in records))
    for panel, net in zip(panels, (PLAIN, HYPER), strict=True):
        for one in records:
            if one["net"] == net:
                said = np.array(one["predicted"])
                colour = COLOURS[names.index(one["volume"]) % len(COLOURS)]
                panel.plot(SEVERITIES, said - said[0], color=colour, lw=1, alpha=0.7)
        panel.axhline(0, color="0.6", lw=0.8, ls=":")
        panel.set_title(net, fontsize=10)
        panel.set_xlabel("severity of added noise", fontsize=9)
        panel.grid(color="0.92", lw=0.6)
    panels[0].set_ylabel("prediction − that without noise", fontsize=9)
    save(figure, path)
