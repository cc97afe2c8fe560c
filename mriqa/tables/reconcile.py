"""No scan disappears: every indexed series is accounted for exactly once, or nothing is written."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mriqa.errors import ReconciliationError

_PRECEDENCE = ("ok", "no_reference", "failed", "excluded")
"""A series with volumes of several statuses counts as the first of these that occurs."""


@dataclass(frozen=True)
class Counts:
    """Series by status; `indexed` is the sum of the others."""

    indexed: int
    ok: int
    failed: int
    excluded: int
    no_reference: int


def reconcile(
    indexed: Mapping[str, int],
    rows: Iterable[tuple[str, int, str]],
    n_volumes: Mapping[str, int],
) -> dict[int, Counts]:
    """Counts of series by shard.

    `indexed` maps series_id to shard; `rows` are (series_id, shard, status) of the volumes table;
    `n_volumes` says how many volumes a converted series has. Raises ReconciliationError when a
    series is missing, unknown, in the wrong shard, or has too few or too many rows.
    """
    statuses: dict[str, list[str]] = {}
    for series_id, shard, status in rows:
        if indexed.get(series_id) != shard:
            raise ReconciliationError(
                f"series {series_id}: has rows from shard {shard}, but the index puts it into "
                f"{indexed.get(series_id, 'none')}; delete scores/ and run again"
            )
        statuses.setdefault(series_id, []).append(status)
    missing = sorted(set(indexed) - set(statuses))
    if missing:
        raise ReconciliationError(
            f"{len(missing)} of {len(indexed)} series have no row, e.g. {missing[0]}: no table is "
            "written; run again, and report it if it stays"
        )
    for series_id, found in statuses.items():
        expected = n_volumes.get(series_id)
        if expected is not None and len(found) != expected and found != ["failed"]:
            raise ReconciliationError(
                f"series {series_id}: {len(found)} rows for its {expected} volumes"
            )
    return _count(indexed, statuses)


def _count(indexed: Mapping[str, int], statuses: Mapping[str, list[str]]) -> dict[int, Counts]:
    by_shard: dict[int, Counter[str]] = {}
    for series_id, found in statuses.items():
        status = next(one for one in _PRECEDENCE if one in found)
        by_shard.setdefault(indexed[series_id], Counter())[status] += 1
    return {
        shard: Counts(
            indexed=counter.total(),
            ok=counter["ok"],
            failed=counter["failed"],
            excluded=counter["excluded"],
            no_reference=counter["no_reference"],
        )
        for shard, counter in sorted(by_shard.items())
    }


def total(by_shard: Mapping[int, Counts]) -> Counts:
    """The sum over shards."""
    return Counts(
        indexed=sum(one.indexed for one in by_shard.values()),
        ok=sum(one.ok for one in by_shard.values()),
        failed=sum(one.failed for one in by_shard.values()),
        excluded=sum(one.excluded for one in by_shard.values()),
        no_reference=sum(one.no_reference for one in by_shard.values()),
    )
