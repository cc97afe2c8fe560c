"""Progress lines: often enough to see that it lives, never twice the same."""

import io

import pytest

from mriqa import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(clock, seconds_each: float, total: int = 8) -> list[str]:
    stream = io.StringIO()
    for _ in progress._log_lines(range(total), total, "convert", "series", stream):
        clock[0] += seconds_each
    return stream.getvalue().splitlines()


def test_a_line_names_count_rate_and_what_is_left():
    line = progress.progress_line("convert", "series", 12, 40, 8.0)
    assert line == "convert: 12/40 series (30%), 1.5 series/s, ETA 0:19"


def test_short_work_is_silent(clock):
    assert lines(clock, 0.1) == []


def test_work_of_a_few_seconds_says_when_it_is_done(clock):
    assert [line.split(",")[0] for line in lines(clock, 1.0)] == ["convert: 8/8 series (100%)"]


@pytest.mark.parametrize("seconds", [3.0, 4.0, 10.0, 60.0])
def test_long_work_tells_of_itself_and_ends_once(clock, seconds):
    told = lines(clock, seconds)
    assert len(told) >= 2
    assert sum("8/8" in line for line in told) == 1
    assert "8/8" in told[-1]


def test_nothing_to_do_is_no_error(clock):
    assert lines(clock, 1.0, total=0) == []
