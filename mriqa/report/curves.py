"""The chart of a calibration: from the whitened margin to the score, and where the cohort lies."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mriqa.methods.simclr.calibration import Calibration
from mriqa.report.charts import shortened
from mriqa.report.html import Html, element
from mriqa.report.likeness import MARGIN_BINS, MARGIN_LIMIT, Stratum

LEFT, WIDTH, RIGHT = 40, 476, 14
TOP, TALL, LOW = 8, 150, 40
"""Of the curve, and below it of the histogram of the cohort's margins."""
LEVELS = (0.0, 0.5, 1.0)
STEPS = (0.05, 0.1, 0.2, 0.5, 1.0)
POINTS = 80


def calibration_chart(
    name: str,
    calibration: Calibration,
    stratum: Stratum | None,
    thresholds: tuple[float | None, float | None],
) -> Html:
    """The score by margin with a band of one standard deviation, over the cohort's margins."""
    low, high = margin_range(calibration, stratum)
    scale = _Scale(low, high)
    bottom = TOP + TALL + LOW
    parts = [
        _band(calibration, scale),
        *(_threshold(value) for value in thresholds if value is not None),
        *_axes(scale, bottom),
        _curve(calibration, scale),
        *(_bars(stratum.margins, scale, bottom) if stratum else ()),
    ]
    return element(
        "svg",
        element("title", described(name, calibration, stratum)),
        *parts,
        viewBox=f"0 0 {LEFT + WIDTH + RIGHT} {bottom + 20}",
        role="img",
        class_="distribution",
    )


def margin_range(calibration: Calibration, stratum: Stratum | None) -> tuple[float, float]:
    """What is worth showing: the fitted margins and those of nearly all of the cohort."""
    spans = [(calibration.margin[0], calibration.margin[-1])]
    if stratum is not None and stratum.span is not None:
        spans.append(stratum.span)
    low, high = min(span[0] for span in spans), max(span[1] for span in spans)
    room = max(0.03 * (high - low), 0.01)
    return low - room, high + room


def described(name: str, calibration: Calibration, stratum: Stratum | None) -> str:
    """One sentence with the numbers behind the chart."""
    first, last = calibration.margin[0], calibration.margin[-1]
    text = (
        f"{shortened(name, 80)}: quality_score goes from {calibration.quality(first):.2f} at a "
        f"whitened margin of {first:.2f} to {calibration.quality(last):.2f} at {last:.2f}"
    )
    if stratum is None or not stratum.n_simclr:
        return text + "; no volume of the cohort was rated by it."
    return text + f"; {stratum.n_simclr} volumes were rated by it."


class _Scale:
    """Margins and scores as places in the chart."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def x(self, margin: float) -> float:
        return LEFT + WIDTH * (margin - self.low) / (self.high - self.low)

    def margins(self) -> NDArray[np.float64]:
        """Equal steps from end to end."""
        return np.linspace(self.low, self.high, POINTS)


def _y(score: float) -> float:
    return TOP + TALL * (1 - min(max(score, 0.0), 1.0))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _band(calibration: Calibration, scale: _Scale) -> Html:
    margins = scale.margins()
    scores, sds = calibration.quality(margins).tolist(), calibration.quality_sd(margins).tolist()
    upper = [(scale.x(m), _y(s + d)) for m, s, d in zip(margins, scores, sds, strict=True)]
    lower = [(scale.x(m), _y(s - d)) for m, s, d in zip(margins, scores, sds, strict=True)]
    return element("path", d=_path([*upper, *reversed(lower)]) + "Z", class_="band")


def _curve(calibration: Calibration, scale: _Scale) -> Html:
    margins = np.unique([scale.low, *calibration.margin, scale.high])
    scores = calibration.quality(margins).tolist()
    points = [(scale.x(margin), _y(score)) for margin, score in zip(margins, scores, strict=True)]
    return element("path", d=_path(points), class_="curve")


def _threshold(value: float) -> Html:
    y = f"{_y(value):.1f}"
    return element("line", x1=LEFT, x2=LEFT + WIDTH, y1=y, y2=y, class_="threshold")


def _axes(scale: _Scale, bottom: int) -> list[Html]:
    base = TOP + TALL
    step = next((one for one in STEPS if (scale.high - scale.low) / one <= 8), STEPS[-1])
    first, last = int(scale.low // step) + 1, int(scale.high // step)
    digits = 2 if step < 0.1 else 1
    margins = [(scale.x(at * step), f"{at * step:.{digits}f}") for at in range(first, last + 1)]
    return [
        element("line", x1=LEFT, x2=LEFT + WIDTH, y1=base, y2=base, class_="axis"),
        *(
            element("text", f"{level:g}", x=LEFT - 6, y=f"{_y(level) + 4:.1f}", class_="end soft")
            for level in LEVELS
        ),
        *(
            element("text", text.replace("-", "−"), x=f"{x:.1f}", y=bottom + 14, class_="mid soft")
            for x, text in margins
        ),
        element("line", x1=LEFT, x2=LEFT + WIDTH, y1=bottom, y2=bottom, class_="axis"),
    ]


def _bars(counts: Sequence[int], scale: _Scale, bottom: int) -> list[Html]:
    """A histogram, as tall as LOW at its highest bin."""
    highest = max(counts, default=0)
    width = 2 * MARGIN_LIMIT / MARGIN_BINS
    bars = []
    for index, number in enumerate(counts):
        start = -MARGIN_LIMIT + index * width
        left, right = max(scale.x(start), LEFT), min(scale.x(start + width), LEFT + WIDTH)
        if not number or right <= left:
            continue
        size = (LOW - 4) * number / highest
        bars.append(
            element("rect", x=f"{left:.1f}", y=f"{bottom - size:.1f}",
                    width=f"{max(right - left - 0.6, 0.6):.1f}", height=f"{size:.1f}",
                    class_="idle")
        )  # fmt: skip
    return bars
