import csv
import io
from collections import Counter

import pytest

from mriqa.artifacts import Artifact, Family
from mriqa.artifacts.demo_names import file_names, stem
from mriqa.artifacts.demo_plan import BAD_INPUTS, DEGRADED_FAMILIES, SEVERITIES, plan_demo
from mriqa.artifacts.demo_tables import participants_tsv, truth_rows, truth_tsv
from mriqa.errors import ErrorCode

PLAN = plan_demo(0, 150)
FIRST = [series for series in PLAN.abdomens if series.session is None]
SECOND = [series for series in PLAN.abdomens if series.session is not None]


def test_the_cohort_has_the_parts_that_it_should():
    assert len(FIRST) == 150
    assert len({series.subject for series in SECOND}) == 20
    assert len(SECOND) == 40
    assert len(PLAN.diffusion) == 10
    assert {series.kind for series in PLAN.bad} == set(BAD_INPUTS)


def test_a_bigger_cohort_begins_with_the_smaller_one():
    small = plan_demo(7, 40)
    big = plan_demo(7, 60)
    planned = {stem(series): series for series in big.series}
    assert all(planned[stem(series)] == series for series in small.series)
    assert len(big.series) > len(small.series)


def test_another_seed_draws_another_cohort():
    assert plan_demo(1, 5).abdomens[0] != plan_demo(2, 5).abdomens[0]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_third_is_degraded_over_all_families_and_severities(seed):
    series = plan_demo(seed, 3 * 11 * 3).abdomens[:99]
    faults = [one.fault for one in series if one.fault]
    assert len(faults) == 33
    assert Counter(fault.family for fault in faults) == dict.fromkeys(DEGRADED_FAMILIES, 3)
    pairs = Counter((fault.family, fault.severity) for fault in faults)
    assert set(pairs) == {(f, s) for f in DEGRADED_FAMILIES for s in SEVERITIES}


def test_every_family_of_the_simulator_that_slices_show_is_there():
    assert set(DEGRADED_FAMILIES) == set(Family) - {Family.INTERSLICE}


def test_strata_are_large_enough_to_be_rated():
    strata = Counter((one.grid.spacing_mm, one.scan.masked) for one in PLAN.abdomens)
    assert min(strata.values()) >= 10
    assert 0.06 <= sum(one.scan.masked for one in FIRST) / 150 <= 0.18
    assert {one.grid.shape[0] for one in FIRST} <= set(range(16, 45))


def test_free_breathing_is_degraded_and_breath_held_is_not():
    assert all((one.session, one.fault is None) in {("bh", True), ("fb", False)} for one in SECOND)
    strengths = [one.fault.severity for one in SECOND if one.fault]
    assert 0.4 <= min(strengths) < 0.6 < 0.8 < max(strengths) <= 1
    held, free = SECOND[0], SECOND[1]
    assert held.person == free.person
    assert held.anatomy_seed == free.anatomy_seed
    assert held.scan.seed != free.scan.seed


def test_some_diffusion_series_have_degraded_volumes_and_some_have_none():
    counts = [sum(fault is not None for fault in one.faults) for one in PLAN.diffusion]
    assert 0 in counts
    assert max(counts) <= 4
    assert sum(count > 0 for count in counts) >= 5


def test_truth_rows_are_unique_replayable_and_complete():
    rows = list(truth_rows(PLAN))
    keys = [(row["series_id"], row.get("volume")) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["series_id"] for row in rows} == {f"demo_{stem(one)}" for one in PLAN.series}
    for row in rows:
        if row["family"] == "none":
            assert row["severity"] == 0
        elif row["family"] == "bad_input":
            assert ErrorCode(row["error_code"])
        else:
            artifact = Artifact.from_json(row["parameters"])
            assert (artifact.family, artifact.severity) == (row["family"], row["severity"])
            assert artifact.seed == row["seed"]


def test_the_truth_table_can_be_read_back():
    rows = list(csv.DictReader(io.StringIO(truth_tsv(PLAN)), delimiter="\t"))
    assert len(rows) == 150 + 40 + 10 * 14 + len(BAD_INPUTS)
    assert all(row["scan"] for row in rows if row["family"] != "bad_input")


def test_every_subject_stands_once_in_the_participants_table():
    rows = list(csv.DictReader(io.StringIO(participants_tsv(PLAN)), delimiter="\t"))
    ids = [row["participant_id"] for row in rows]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {f"sub-{one.subject}" for one in PLAN.series}
    assert {row["sex"] for row in rows} == {"F", "M"}


def test_files_of_different_series_never_collide():
    names = [name for one in plan_demo(0, 1200).series for name in file_names(one)]
    assert len(set(names)) == len(names)
