"""The chart of predictions against measured numbers."""

import re

import pytest

from mriqa.report.predictions import Point
from mriqa.report.scatter import LEFT, MOST_TICKS, SIDE, TOP, scatter

TEXT = re.compile(r"<text [^>]*>([^<]*)</text>")


@pytest.mark.parametrize(
    "limits", [(4.4, 36.4), (0.0, 1.0), (-0.003, 0.0021), (99_000.0, 1.2e6), (-5.0, -4.99)]
)
def test_few_round_numbers_stand_at_both_axes(limits):
    *ticks, up, across = TEXT.findall(scatter("said", {}, limits))
    assert (up, across) == ("predicted", "measured")
    half = len(ticks) // 2
    assert ticks[:half] == ticks[half:]
    assert 2 <= half <= MOST_TICKS
    values = [float(one.replace("−", "-").replace(",", "")) for one in ticks[:half]]
    assert values == sorted(set(values))
    assert limits[0] - 1 <= values[0]


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_single_number_lies_in_the_middle(value):
    chart = scatter("said", {"test": [Point(value, value, None)]}, (value, value))
    assert f'd="M{LEFT + SIDE / 2:.1f} {TOP + SIDE / 2:.1f}h0"' in chart
    assert "spread" not in chart


def test_what_lies_beyond_is_drawn_at_the_rim():
    chart = scatter("said", {"other": [Point(50.0, -50.0, 1.0)]}, (0.0, 10.0))
    assert f"M{LEFT + SIDE:.1f} {TOP + SIDE:.1f}m-3 -3" in chart
    assert f"M{LEFT + SIDE:.1f} {TOP + SIDE:.1f}V{TOP + SIDE:.1f}" in chart


def test_a_whisker_goes_one_standard_deviation_up_and_down():
    chart = scatter("said", {"test": [Point(5.0, 5.0, 2.0)]}, (0.0, 10.0))
    ((low, high),) = re.findall(r"M\S+ (\S+)V(\S+)\"", chart)
    assert (float(low) - float(high)) / SIDE == pytest.approx(4 / 10.6, abs=1e-3)
