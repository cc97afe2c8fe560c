"""The heat map of a series, volume by slice, as SVG around a small picture of its cells.

Colours go from light to dark with the probability of fail (cividis, reversed): they keep their
order for colour-blind eyes and in grey. What has no rating is hatched.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mriqa.report.charts import shortened
from mriqa.report.html import Html, element, joined, table
from mriqa.report.mosaic import lossless_uri
from mriqa.report.parts import count, decimal, note
from mriqa.report.slice_maps import MappedVolume, SliceMap, SliceMaps
from mriqa.report.summary import RATINGS

LEFT, WIDTH, RIGHT = 56, 460, 16
TOP, STRIP, GAP, B_TALL = 4, 12, 4, 32
LEAST_TALL, MOST_TALL, SLICE_TALL = 90, 230, 3
MAX_COLUMNS = 460
"""Of longer series each column is the worst of several neighbouring volumes."""
PIXELS = 2
"""Pixels of the picture of cells a unit of the chart: it stays sharp on a dense screen."""
HATCH = 8
"""Pixels between two lines of the hatching."""
LEVELS = 24
"""So many colours: what differs by less does not differ to the eye, and makes the page larger."""
SCALE = ("#fee838", "#e1cc55", "#c3b369", "#a59c74", "#8a8678", "#707173", "#575d6d", "#3b496c",
         "#123570", "#00224e")  # fmt: skip
HATCH_GREY = 150
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
MAX_TOLD = 10
MAX_LISTED = 20
HEIGHTS = {"pass": 0.3, "questionable": 0.65, "fail": 1.0}
"""Of the bars that rate volumes: what is read without colour."""
EXPLAINED = (
    "One column a volume, in the order of the series; one row a slice, slice 0 at the bottom. The "
    "darker a cell, the more probable it is to the networks that the slice fails: a lone dark cell "
    "is a slice lost to motion, a dark column a volume that is bad throughout, a dark row a place "
    "that is bad in all volumes. Above it the volume's own rating as a bar, the taller the worse: "
    "low pass, middle questionable, full fail. Below it, where there are any, b-values as bars. "
    "Hatched cells have no rating: slices in which no body was found, and volumes of strata "
    "that the hierarchy has not learned or that could not be rated."
)


def slice_maps_part(found: SliceMaps) -> list[Html | None]:
    """Heading, how to read the maps, the maps."""
    heading = element("h3", "Volume by slice")
    if not found.n_series:
        return []
    if not found.n_rated:
        text = (
            f"None of the {count(found.n_series)} series of several volumes has a volume that the "
            "hierarchy has rated: their strata were not learned. So there is no map of slices."
        )
        return [heading, note(text)]
    if not found.maps:
        text = "No volume of a series of several volumes is rated fail by the hierarchy."
        if found.n_failing:
            text = "The table of slices is not there, or has no probabilities: there is no map."
        return [heading, note(text)]
    said = (
        f"Of {count(found.n_rated)} series of several volumes that the hierarchy has rated, "
        f"{count(found.n_failing)} have a volume that fails; here "
    )
    said += "is the one." if len(found.maps) == 1 else f"are the {len(found.maps)} that have most."
    panels = [_panel(one) for one in found.maps]
    return [
        heading,
        note(said, " ", EXPLAINED),
        _legend(),
        element("div", *panels, class_="panels maps"),
    ]


def _panel(one: SliceMap) -> Html:
    failed = element("span", f"{count(len(one.failed))} of {count(len(one.volumes))} fail")
    together = columns_together(one)
    return element(
        "figure",
        element("figcaption", element("span", one.series_id, class_="id"), failed),
        heat_map(one),
        note(f"Each column is the worst of {together} neighbouring volumes.")
        if together > 1
        else None,
        note(f"{count(one.n_unrated)} volumes have no rating of the hierarchy and are hatched.")
        if one.n_unrated
        else None,
        _listed(one),
        class_="panel",
    )


def _legend() -> Html:
    steps = [
        element("rect", x=12 * place, width=12, height=12, fill=colour)
        for place, colour in enumerate(SCALE)
    ]
    width = 12 * len(SCALE)
    bar = element("svg", *steps, viewBox=f"0 0 {width} 12", class_="scale", aria_hidden="true")
    lines = [element("path", d=f"M{x} 12L{x + 12} 0", class_="hatch") for x in (-6, 0, 6)]
    hatch = element("svg", *lines, viewBox="0 0 12 12", aria_hidden="true")
    return element(
        "ul",
        element("li", "probability of fail 0 ", bar, " 1"),
        element("li", hatch, "no rating"),
        class_="legend",
    )


def described(one: SliceMap) -> str:
    """One sentence with what the map shows."""
    failed = one.failed
    named = [
        f"{volume.volume}"
        + ("" if volume.worst_slice is None else f" (slice {volume.worst_slice})")
        for volume in failed[:MAX_TOLD]
    ]
    left = len(failed) - len(named)
    text = (
        f"{shortened(one.series_id, 80)}: probability of fail by volume "
        f"({len(one.volumes)}) and slice ({len(one.p_fail)}); {len(failed)} volumes fail"
    )
    text += f", the worst first: {', '.join(named)}" if named else ""
    text += f" and {left} more" if left > 0 else ""
    return f"{text}; {one.n_unrated} have no rating."


def columns_together(one: SliceMap) -> int:
    """How many volumes share a column."""
    return -(-len(one.volumes) // MAX_COLUMNS)


def heat_map(one: SliceMap) -> Html:
    """The chart: ratings of volumes, cells of slices, b-values."""
    tall = min(MOST_TALL, max(LEAST_TALL, SLICE_TALL * len(one.p_fail)))
    top = TOP + STRIP + GAP
    bottom = top + tall
    has_b = any(volume.b_value is not None for volume in one.volumes)
    height = bottom + 18 + (B_TALL + 12 if has_b else 0)
    picture = cell_picture(worst_of(one.p_fail, columns_together(one)), tall)
    cells = element(
        "image", href=lossless_uri(picture), x=LEFT, y=top,
        width=WIDTH, height=tall, preserveAspectRatio="none", class_="cells",
    )  # fmt: skip
    parts = [
        _ratings(one.volumes),
        cells,
        element("rect", x=LEFT, y=top, width=WIDTH, height=tall, class_="frame"),
        *_slice_axis(len(one.p_fail), top, tall),
        *_volume_axis(one.volumes, bottom),
        *(_b_values(one.volumes, bottom + 22) if has_b else ()),
    ]
    return element(
        "svg", element("title", described(one)), *parts,
        viewBox=f"0 0 {LEFT + WIDTH + RIGHT} {height}", role="img", class_="distribution heat",
    )  # fmt: skip


def worst_of(p_fail: NDArray[np.float64], per_column: int) -> NDArray[np.float64]:
    """The greatest of every `per_column` neighbouring columns; NaN where all of them are."""
    if per_column <= 1:
        return p_fail
    missing = -p_fail.shape[1] % per_column
    padded = np.pad(p_fail, ((0, 0), (0, missing)), constant_values=np.nan)
    grouped = padded.reshape(len(p_fail), -1, per_column)
    return np.asarray(np.fmax.reduce(grouped, axis=2))


def cell_picture(p_fail: NDArray[np.float64], tall: int) -> Image.Image:
    """Cells of `p_fail` (slices, volumes) in colour, slice 0 at the bottom; NaN is hatched.

    All cells are of one size: that which comes next to filling a chart `tall` units high.
    """
    stops = np.array([[int(one[at : at + 2], 16) for at in (1, 3, 5)] for one in SCALE], float)
    steps = np.linspace(0, len(SCALE) - 1, LEVELS)
    colours = np.stack(
        [np.interp(steps, np.arange(len(SCALE)), stops[:, channel]) for channel in range(3)], axis=1
    )
    level = np.rint(np.clip(np.nan_to_num(p_fail), 0, 1) * (LEVELS - 1)).astype(int)
    pixels = np.zeros((*p_fail.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = np.rint(colours[level]), 255
    down, across = (
        max(1, round(PIXELS * side / cells))
        for side, cells in zip((tall, WIDTH), p_fail.shape, strict=True)
    )
    large = pixels[::-1].repeat(down, axis=0).repeat(across, axis=1)
    blank = np.isnan(p_fail)[::-1].repeat(down, axis=0).repeat(across, axis=1)
    row, column = np.indices(blank.shape)
    large[blank] = 0
    large[blank & ((row + column) % HATCH < PIXELS)] = (HATCH_GREY, HATCH_GREY, HATCH_GREY, 255)
    return Image.fromarray(large)


def _ratings(volumes: Sequence[MappedVolume]) -> Html:
    """A bar a volume above the cells, one path a rating."""
    step = WIDTH / len(volumes)
    wide = max(step - (0.6 if step > 3 else 0), 0.5)
    paths = []
    for rating in RATINGS:
        tall = STRIP * HEIGHTS[rating]
        bars = [
            f"M{LEFT + at * step:.2f} {TOP + STRIP - tall:.1f}h{wide:.2f}v{tall:.1f}h-{wide:.2f}z"
            for at, volume in enumerate(volumes)
            if volume.rating == rating
        ]
        if bars:
            paths.append(element("path", d="".join(bars), class_=rating))
    label = element("text", "rating", x=LEFT - 6, y=TOP + STRIP - 2, class_="end soft")
    return joined([label, *paths])


def _slice_axis(n_slices: int, top: float, tall: float) -> list[Html]:
    shown = sorted({0, n_slices // 2, n_slices - 1})
    ticks = [
        element(
            "text", z, x=LEFT - 6, y=f"{top + tall * (1 - (z + 0.5) / n_slices) + 4:.1f}",
            class_="end soft",
        )
        for z in shown
    ]  # fmt: skip
    if tall >= 60:
        y = f"{top + tall * 0.25 + 4:.1f}"
        ticks.append(element("text", "slice", x=LEFT - 6, y=y, class_="end soft"))
    return ticks


def _volume_axis(volumes: Sequence[MappedVolume], bottom: float) -> list[Html]:
    step = next((one for one in TICKS if len(volumes) / one <= 8), TICKS[-1])
    each = WIDTH / len(volumes)
    ticks = [
        element(
            "text", volume.volume, x=f"{LEFT + (at + 0.5) * each:.1f}", y=bottom + 13,
            class_="mid soft",
        )
        for at, volume in enumerate(volumes)
        if at % step == 0
    ]  # fmt: skip
    return [element("text", "volume", x=LEFT - 6, y=bottom + 13, class_="end soft"), *ticks]


def _b_values(volumes: Sequence[MappedVolume], top: float) -> list[Html]:
    """A bar a volume below the cells, as tall as its b-value; one of b 0 is a line."""
    most = max((volume.b_value or 0 for volume in volumes), default=0)
    step = WIDTH / len(volumes)
    wide = max(step - (0.6 if step > 3 else 0), 0.5)
    bars = []
    for at, volume in enumerate(volumes):
        if volume.b_value is not None:
            tall = max(1.0, B_TALL * volume.b_value / most if most else 0)
            x, y = LEFT + at * step, top + B_TALL - tall
            bars.append(f"M{x:.2f} {y:.1f}h{wide:.2f}v{tall:.1f}h-{wide:.2f}z")
    return [
        element("path", d="".join(bars), class_="weighting"),
        element("text", f"b {most:g}", x=LEFT - 6, y=top + 9, class_="end soft"),
        element("text", "0", x=LEFT - 6, y=top + B_TALL + 2, class_="end soft"),
        element("text", "s/mm²", x=LEFT - 6, y=top + 20, class_="end soft"),
    ]


def _listed(one: SliceMap) -> Html | None:
    failed = one.failed
    if not failed:
        return None
    rows = [
        [
            volume.volume,
            "–" if volume.b_value is None else f"{volume.b_value:g}",
            decimal(volume.p_fail, 2),
            "–" if volume.worst_slice is None else volume.worst_slice,
            "–" if volume.n_slices_fail is None else volume.n_slices_fail,
        ]
        for volume in failed[:MAX_LISTED]
    ]  # fmt: skip
    head = ["volume", "b (s/mm²)", "p(fail)", "worst slice", "slices that fail"]
    left = len(failed) - len(rows)
    listed = table(f"Volumes of {one.series_id} that fail", head, rows, class_="sortable")
    more = note(f"and {count(left)} more.") if left > 0 else None
    return element("details", element("summary", "Volumes that fail"), listed, more)
