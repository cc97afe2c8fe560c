"""Which shard a series belongs to: append-only, balanced by bytes.

A series keeps its shard for ever. New series fill new shards only, so that growth reruns nothing.
A subject's series share a shard where they fit: replacing or withdrawing a subject touches one.
"""

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What one series weighs; `group` (the subject) is kept together where it fits."""

    series_id: str
    group: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What one shard holds at most; a single larger series has a shard to itself."""

    max_bytes: int
    max_series: int


@dataclass(frozen=True, slots=True)
class _Unit:
    ids: tuple[str, ...]
    size_bytes: int
    weight: float


def assign_shards(
    loads: Iterable[Load], kept: Mapping[str, int], first_new: int, limits: Limits
) -> dict[str, int]:
    """Shard number by series id.

    `kept` holds the numbers of earlier runs, which never change; new shards are numbered from
    `first_new` on. The result does not depend on the order of `loads`.
    """
    loads = sorted(loads, key=lambda load: (load.group, load.series_id))
    result = {load.series_id: kept[load.series_id] for load in loads if load.series_id in kept}
    new = [load for load in loads if load.series_id not in kept]
    for number, ids in enumerate(_pack(_units(new, limits), limits), start=first_new):
        result.update(dict.fromkeys(ids, number))
    return result


def _units(loads: list[Load], limits: Limits) -> list[_Unit]:
    """Groups that fit into one shard whole; a group that does not is cut in its own order."""
    units: list[_Unit] = []
    members: list[Load] = []
    size = 0
    for load in loads:
        fits = _weight(size + load.size_bytes, len(members) + 1, limits) <= 1
        if members and (members[0].group != load.group or not fits):
            units.append(_unit(members, limits))
            members, size = [], 0
        members.append(load)
        size += load.size_bytes
    if members:
        units.append(_unit(members, limits))
    return units


def _unit(loads: list[Load], limits: Limits) -> _Unit:
    size = sum(load.size_bytes for load in loads)
    return _Unit(tuple(load.series_id for load in loads), size, _weight(size, len(loads), limits))


def _weight(size_bytes: int, n_series: int, limits: Limits) -> float:
    """Share of a shard that is used: of its bytes or its series, whichever is more."""
    return max(size_bytes / limits.max_bytes, n_series / limits.max_series)


def _pack(units: list[_Unit], limits: Limits) -> list[list[str]]:
    """Heaviest unit first into the lightest shard; a further shard where it would overflow."""
    if not units:
        return []
    size = sum(unit.size_bytes for unit in units)
    count = sum(len(unit.ids) for unit in units)
    contents: list[list[str]] = [[] for _ in range(max(1, math.ceil(_weight(size, count, limits))))]
    heap = [(0.0, number, 0) for number in range(len(contents))]
    for unit in sorted(units, key=lambda unit: (-unit.weight, unit.ids)):
        _, number, used = heap[0]
        if contents[number] and not _fits(used, len(contents[number]), unit, limits):
            number, used = len(contents), 0
            contents.append([])
            heapq.heappush(heap, (0.0, number, 0))
        contents[number] += unit.ids
        used += unit.size_bytes
        weight = _weight(used, len(contents[number]), limits)
        heapq.heapreplace(heap, (weight, number, used))
    return sorted(sorted(ids) for ids in contents if ids)


def _fits(size_bytes: int, n_series: int, unit: _Unit, limits: Limits) -> bool:
    return _weight(size_bytes + unit.size_bytes, n_series + len(unit.ids), limits) <= 1
