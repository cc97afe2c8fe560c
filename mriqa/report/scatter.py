"""The chart of predictions against measured numbers: each volume a mark, its spread a whisker.

Marks of a kind are one path: thousands of them cost the page little. Kinds differ in shape, too.
"""

from collections.abc import Mapping, Sequence
from math import floor, log10

from mriqa.report.html import Html, element
from mriqa.report.parts import rounded
from mriqa.report.predictions import Point

LEFT, TOP, SIDE, RIGHT, BELOW = 52, 22, 360, 12, 34
ROOM = 0.03
"""Of the axes' length, left free at both ends."""
MOST_TICKS = 6
LONG = 1e4
"""From such steps on ticks are written with three digits."""
MARKS = {"other": "m-3 -3l6 6m0 -6l-6 6"}
"""What is drawn at a point; others have a dot, which is round or square by the class."""
DOT = "h0"


class _Scale:
    """Numbers as places in the chart; what lies beyond it is drawn at its rim."""

    def __init__(self, limits: tuple[float, float]) -> None:
        room = ROOM * (limits[1] - limits[0]) or abs(limits[0]) or 1.0
        self.low, self.high = limits[0] - room, limits[1] + room

    def x(self, value: float) -> float:
        return LEFT + SIDE * self._share(value)

    def y(self, value: float) -> float:
        return TOP + SIDE * (1 - self._share(value))

    def _share(self, value: float) -> float:
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers, at most MOST_TICKS, with as many digits as tell them apart."""
        span = self.high - self.low
        power = floor(log10(span / MOST_TICKS))
        steps = (one * 10.0**power for one in (1, 2, 5, 10))
        step = next(one for one in steps if span / one <= MOST_TICKS)
        first, last = floor(self.low / step) + 1, floor(self.high / step)
        digits = max(0, -floor(log10(step)))
        values = [number * step for number in range(first, last + 1)]
        return [(one, rounded(one) if step >= LONG else f"{one:.{digits}f}") for one in values]


def scatter(
    described: str, points: Mapping[str, Sequence[Point]], limits: tuple[float, float]
) -> Html:
    """Predicted (upwards) against measured, both from `limits`; dashed: where they are equal.

    `points` are by kind, which is the class of their marks; `described` is for screen readers.
    """
    scale = _Scale(limits)
    return element(
        "svg",
        element("title", described),
        *_axes(scale),
        _equal(scale),
        *(_whiskers(kind, own, scale) for kind, own in points.items()),
        *(_marks(kind, own, scale) for kind, own in points.items()),
        viewBox=f"0 0 {LEFT + SIDE + RIGHT} {TOP + SIDE + BELOW}",
        role="img",
        class_="distribution scatter",
    )


def legend_mark(kind: str) -> Html:
    """The mark of a kind, for a legend."""
    path = element("path", d=f"M6 6{MARKS.get(kind, DOT)}", class_=f"mark {kind}")
    return element("svg", path, viewBox="0 0 12 12", aria_hidden="true")


def _marks(kind: str, points: Sequence[Point], scale: _Scale) -> Html:
    mark = MARKS.get(kind, DOT)
    places = (f"M{scale.x(one.measured):.1f} {scale.y(one.predicted):.1f}{mark}" for one in points)
    return element("path", d="".join(places), class_=f"mark {kind}")


def _whiskers(kind: str, points: Sequence[Point], scale: _Scale) -> Html | None:
    """One standard deviation over the patches, up and down."""
    places = [
        f"M{scale.x(one.measured):.1f} {scale.y(one.predicted - one.spread):.1f}"
        f"V{scale.y(one.predicted + one.spread):.1f}"
        for one in points
        if one.spread is not None
    ]
    return element("path", d="".join(places), class_=f"spread {kind}") if places else None


def _equal(scale: _Scale) -> Html:
    low, high = scale.low, scale.high
    return element(
        "line", x1=f"{scale.x(low):.1f}", y1=f"{scale.y(low):.1f}", x2=f"{scale.x(high):.1f}",
        y2=f"{scale.y(high):.1f}", class_="threshold",
    )  # fmt: skip


def _axes(scale: _Scale) -> list[Html]:
    bottom, right = TOP + SIDE, LEFT + SIDE
    ticks = [(value, text.replace("-", "−")) for value, text in scale.ticks()]
    return [
        element("line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis"),
        element("line", x1=LEFT, x2=LEFT, y1=TOP, y2=bottom, class_="axis"),
        *(
            element("text", text, x=f"{scale.x(value):.1f}", y=bottom + 15, class_="mid soft")
            for value, text in ticks
        ),
        *(
            element("text", text, x=LEFT - 6, y=f"{scale.y(value) + 4:.1f}", class_="end soft")
            for value, text in ticks
        ),
        element("text", "predicted", x=LEFT - 40, y=TOP - 9, class_="soft"),
        element("text", "measured", x=right, y=bottom + 30, class_="end soft"),
    ]
