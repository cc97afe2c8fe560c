"""No scan disappears, none is counted twice."""

import pytest

from mriqa.errors import ReconciliationError
from mriqa.tables.reconcile import Counts, reconcile, total

INDEXED = {"a": 0, "b": 0, "c": 1, "d": 1}
ROWS = [("a", 0, "ok"), ("a", 0, "failed"), ("b", 0, "failed"), ("c", 1, "excluded")]
COMPLETE = [*ROWS, ("d", 1, "no_reference")]
VOLUMES = {"a": 2, "d": 1}


def test_counts_by_shard_and_in_total():
    counted = reconcile(INDEXED, COMPLETE, VOLUMES)
    assert counted[0] == Counts(indexed=2, ok=1, failed=1, excluded=0, no_reference=0)
    assert counted[1] == Counts(indexed=2, ok=0, failed=0, excluded=1, no_reference=1)
    assert total(counted) == Counts(indexed=4, ok=1, failed=1, excluded=1, no_reference=1)


def test_a_lost_series_is_refused():
    with pytest.raises(ReconciliationError, match="1 of 4 series have no row, e.g. d"):
        reconcile(INDEXED, ROWS, VOLUMES)


def test_an_unknown_series_is_refused():
    with pytest.raises(ReconciliationError, match="series e: .*none"):
        reconcile(INDEXED, [*COMPLETE, ("e", 1, "ok")], VOLUMES)


def test_a_series_in_two_shards_is_refused():
    with pytest.raises(ReconciliationError, match="series a: has rows from shard 1"):
        reconcile(INDEXED, [*COMPLETE, ("a", 1, "ok")], VOLUMES)


@pytest.mark.parametrize("row", [("d", 1, "ok"), ("b", 0, "failed")])
def test_a_row_too_many_is_refused(row):
    with pytest.raises(ReconciliationError, match="2 rows for its 1 volumes"):
        reconcile(INDEXED, [*COMPLETE, row], {**VOLUMES, "b": 1})


def test_a_lost_volume_is_refused():
    with pytest.raises(ReconciliationError, match="1 rows for its 3 volumes"):
        reconcile(INDEXED, COMPLETE, {**VOLUMES, "d": 3})


def test_a_store_that_could_not_be_read_is_one_failed_row():
    counted = reconcile(INDEXED, COMPLETE, {**VOLUMES, "b": 60})
    assert counted[0].failed == 1
