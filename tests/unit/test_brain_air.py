"""Where the air above a head is."""

import pytest

from mriqa.metrics.brain.air import up_of_orientation


@pytest.mark.parametrize(
    ("orientation", "up"),
    [("SAL", (0, 1)), ("IPR", (0, -1)), ("LSA", (1, 1)), ("RAI", (2, -1)), ("???", None)],
)
def test_up_is_where_superior_is(orientation, up):
    assert up_of_orientation(orientation) == up
