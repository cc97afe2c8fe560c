"""What holds of shards whatever the cohort."""

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from mriqa.cohort.shards import Limits, Load, assign_shards

sizes = st.integers(0, 120)
cohorts = st.lists(st.tuples(st.integers(0, 15), sizes), max_size=60)
limits = st.builds(Limits, max_bytes=st.integers(1, 200), max_series=st.integers(1, 12))


def loads_of(cohort: list[tuple[int, int]], mark: str = "") -> list[Load]:
    return [
        Load(f"{group:02d}_{mark}{number:03d}", f"{group:02d}", size)
        for number, (group, size) in enumerate(cohort)
    ]


def members(loads: list[Load], assigned: dict[str, int]) -> dict[int, list[Load]]:
    shards = defaultdict(list)
    for load in loads:
        shards[assigned[load.series_id]].append(load)
    return shards


@given(cohorts, limits)
def test_every_series_has_a_shard_and_none_overflows(cohort, limits):
    loads = loads_of(cohort)
    shards = members(loads, assign_shards(loads, {}, 0, limits))
    assert sum(map(len, shards.values())) == len(loads)
    for inside in shards.values():
        assert len(inside) <= limits.max_series
        assert len(inside) == 1 or sum(load.size_bytes for load in inside) <= limits.max_bytes
    assert sorted(shards) == list(range(len(shards)))


@given(cohorts, limits)
def test_few_shards(cohort, limits):
    loads = loads_of(cohort)
    n_shards = len(set(assign_shards(loads, {}, 0, limits).values()))
    used = sum(load.size_bytes for load in loads) / limits.max_bytes
    assert n_shards <= 2 * (used + len(loads) / limits.max_series) + 1


@given(st.lists(st.integers(1, 40), min_size=30, max_size=120))
def test_bytes_are_balanced(byte_counts):
    """The heaviest and the lightest shard differ by less than the largest subject."""
    loads = [Load(f"{number:03d}", f"{number:03d}", n) for number, n in enumerate(byte_counts)]
    limits = Limits(max_bytes=400, max_series=10_000)
    shards = members(loads, assign_shards(loads, {}, 0, limits))
    weights = [sum(load.size_bytes for load in inside) for inside in shards.values()]
    if len(shards) == -(-sum(byte_counts) // 400):  # else one had to be added in the end
        assert max(weights) - min(weights) <= max(byte_counts)


@given(cohorts, cohorts, limits)
def test_growth_moves_nothing_and_fills_no_old_shard(cohort, growth, limits):
    old = loads_of(cohort)
    new = loads_of(growth, "new")
    before = assign_shards(old, {}, 0, limits)
    first_new = max(before.values(), default=-1) + 1
    after = assign_shards(new + old, before, first_new, limits)
    assert {one: after[one] for one in before} == before
    assert all(after[load.series_id] >= first_new for load in new)


@given(cohorts, limits, st.randoms())
def test_order_of_discovery_does_not_matter(cohort, limits, random):
    loads = loads_of(cohort)
    shuffled = loads.copy()
    random.shuffle(shuffled)
    assert assign_shards(loads, {}, 5, limits) == assign_shards(shuffled, {}, 5, limits)


@given(cohorts)
def test_a_subject_that_fits_stays_together(cohort):
    loads = loads_of(cohort)
    limits = Limits(max_bytes=120 * 60, max_series=60)
    assigned = assign_shards(loads, {}, 0, limits)
    places = Counter(load.group for load in loads)
    for group in places:
        assert len({assigned[load.series_id] for load in loads if load.group == group}) == 1
