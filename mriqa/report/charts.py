"""Charts as inline SVG, coloured by the classes of page.css, with a sentence for screen readers."""

from collections.abc import Sequence
from math import ceil

from mriqa.report.html import Html, element, joined
from mriqa.report.summary import BINS, RATINGS, Group

LEFT, WIDTH, RIGHT = 118, 330, 82
TALL = 110
ROW = 22
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def distribution(
    overall: Group, sites: Sequence[Group], thresholds: tuple[float | None, float | None]
) -> Html:
    """quality_score of one contrast: a histogram stacked by rating, below it a strip a site.

    A strip goes from the 5 to the 95% point, its box from 25 to 75%, with a tick at the median.
    """
    shown = [site for site in sites if site.quantiles]
    bottom = TALL + 16
    height = bottom + 22 + ROW * len(shown)
    parts = [
        _bars(overall, bottom),
        *(
            _threshold(value, bottom, height)
            for value in thresholds
            if value is not None and overall.quantiles
        ),
        _axis(bottom),
        *(_strip(site, bottom + 22 + ROW * index) for index, site in enumerate(shown)),
    ]
    return element(
        "svg",
        element("title", described(overall, overall.contrast)),
        *parts,
        viewBox=f"0 0 {LEFT + WIDTH + RIGHT} {height + 6}",
        role="img",
        class_="distribution",
    )


def described(group: Group, name: str) -> str:
    """One sentence with the numbers behind the chart of `group`, called `name`."""
    n_rated = group.counts["ok"]
    if not group.quantiles:
        return f"{name}: no rated volume."
    shares = ", ".join(f"{group.counts[key]} {key}" for key in RATINGS)
    low, quarter, median, three, high = (f"{value:.2f}" for value in group.quantiles)
    return (
        f"{name}: {n_rated} rated volumes, {shares}; quality_score median {median}, "
        f"quartiles {quarter} to {three}, 5 to 95% {low} to {high}."
    )


def share_bar(counts: Sequence[tuple[str, int]]) -> Html:
    """A thin bar of shares; `counts` are (class, number)."""
    total = sum(number for _, number in counts)
    parts, at = [], 0.0
    for name, number in counts:
        width = 100 * number / total if total else 0
        parts.append(element("rect", x=f"{at:.2f}", width=f"{width:.2f}", height=8, class_=name))
        at += width
    return element(
        "svg", *parts, viewBox="0 0 100 8", preserveAspectRatio="none", class_="share",
        aria_hidden="true",
    )  # fmt: skip


def _bars(group: Group, bottom: int) -> Html:
    highest = max((sum(column) for column in zip(*group.bins.values(), strict=True)), default=0)
    if not highest:
        return element("text", "no rated volume", x=LEFT + WIDTH / 2, y=60, class_="mid soft")
    bars, width = [], WIDTH / BINS
    for index in range(BINS):
        top = float(bottom)
        for rating in reversed(RATINGS):
            size = TALL * group.bins[rating][index] / highest
            top -= size
            if size:
                x = f"{LEFT + index * width + 0.75:.2f}"
                bars.append(
                    element("rect", x=x, y=f"{top:.2f}", width=f"{width - 1.5:.2f}",
                            height=f"{size:.2f}", class_=rating)
                )  # fmt: skip
    scale = element("text", f"{highest:,}", x=LEFT - 6, y=bottom - TALL + 9, class_="end soft")
    unit = element("text", "volumes", x=LEFT - 6, y=bottom - TALL + 22, class_="end soft")
    return joined([*bars, scale, unit])


def _threshold(value: float, bottom: int, height: int) -> Html:
    x = f"{LEFT + value * WIDTH:.2f}"
    return element("line", x1=x, x2=x, y1=8, y2=max(bottom, height), class_="threshold")


def _axis(bottom: int) -> Html:
    line = element("line", x1=LEFT, x2=LEFT + WIDTH, y1=bottom, y2=bottom, class_="axis")
    ticks = [
        element("text", f"{tick:g}", x=LEFT + tick * WIDTH, y=bottom + 14, class_="mid soft")
        for tick in TICKS
    ]
    return joined([line, *ticks])


def _strip(site: Group, top: float) -> Html:
    assert site.quantiles is not None, site
    low, quarter, median, three, high = (LEFT + value * WIDTH for value in site.quantiles)
    middle = top + ROW / 2
    label = shortened(site.site or "", 18)
    name = f"{site.contrast}, {site.site}"
    return element(
        "g",
        element("title", described(site, name)),
        element("text", label, x=LEFT - 6, y=middle + 4, class_="end"),
        element("line", x1=f"{low:.2f}", x2=f"{high:.2f}", y1=middle, y2=middle, class_="whisker"),
        element("rect", x=f"{quarter:.2f}", y=middle - 5, width=f"{max(1.0, three - quarter):.2f}",
                height=10, rx=2, class_="box"),
        element("line", x1=f"{median:.2f}", x2=f"{median:.2f}", y1=middle - 7, y2=middle + 7,
                class_="median"),
        element("text", f"{site.quantiles[2]:.2f}", x=LEFT + WIDTH + 10, y=middle + 4),
        element("text", f"n {site.counts['ok']:,}", x=LEFT + WIDTH + RIGHT, y=middle + 4,
                class_="end soft"),
    )  # fmt: skip


def shortened(text: str, length: int) -> str:
    """`text`, its middle left out if it is longer than `length`."""
    if len(text) <= length:
        return text
    half = ceil((length - 1) / 2)
    return f"{text[:half]}…{text[len(text) - (length - 1 - half) :]}"
