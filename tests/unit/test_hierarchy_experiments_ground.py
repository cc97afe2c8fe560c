"""Whose volumes the hierarchy's experiments learn from and test, and which copies of them."""

from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hierarchy_pieces import series, write_cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from simclr_cohort import image, save

from mriqa.artifacts.severity import rating_of
from mriqa.cohort.index import index_cohort
from mriqa.config import CohortSection, Config, ConvertSection, TableSource
from mriqa.config.methods import ARTIFACT_FAMILIES
from mriqa.embedding.copies import draw_copies
from mriqa.errors import UserError
from mriqa.evaluation.hierarchy.ground import draw_items, read_ground
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.items import Stores
from mriqa.files import write_parquet
from mriqa.images.convert import convert_shard
from mriqa.references.listing import HqVolume
from mriqa.references.person import Person

PEOPLE = ["train"] * 4 + ["test", "test", "validation", "test"]
"""Their splits."""


def write_run(results, strata, families=None, breath=None):
    """Tables of a run in which each of PEOPLE has a scan of each of the `strata`, all clean."""
    cohort, tables, truth = [], [], []
    for number, split in enumerate(PEOPLE):
        for stratum in strata:
            name, subject = f"{stratum}{number}", f"p{number}"
            cohort.append(series(name, subject=subject, split=split))
            person = {"sex": "F", "height_cm": 170.0, "weight_kg": None, "metrics_score": 0.9}
            tables += [
                {"series_id": name, "subject": subject, "volume": volume, "status": "ok",
                 "stratum": stratum, "contrast": "c", "split": split, "shard": 0, "run_id": "r",
                 **person}
                for volume in range(3)
            ]  # fmt: skip
            family = (families or {}).get(name, "none")
            truth.append({"series_id": name, "family": family, "severity": int(family != "none"),
                          "breath_hold": (breath or {}).get(name)})  # fmt: skip
    write_cohort(results, cohort)
    write_parquet(results / "tables" / "volumes.parquet", pa.Table.from_pylist(tables))
    pd.DataFrame(truth).to_csv(results / "truth.tsv", sep="\t", index=False)


def ground(results, *, truth=True, **values):
    source = {"kind": "folder", "path": results, "pattern": "{subject}_{contrast}.nii"}
    evaluation = {"truth": results / "truth.tsv"} if truth else {}
    config = Config.model_validate(
        {"results": results, "cohort": {"name": "t", "sources": [source]},
         "evaluation": evaluation}
    )  # fmt: skip
    return read_ground(config, HierarchyExperiments(**values))


def subjects(scans):
    found = defaultdict(set)
    for one in scans:
        found[one.stratum].add(one.person.subject)
    return dict(found)


def test_training_subjects_are_learned_from_and_all_others_test(tmp_path):
    write_run(tmp_path, ["A"])
    found = ground(tmp_path)
    assert subjects(found.learnt) == {"A": {"p0", "p1", "p2", "p3"}}
    assert subjects(found.held) == {"A": {"p4", "p5", "p6", "p7"}}
    assert [one.series_id for one in found.pinned] == ["A0", "A1", "A2", "A3"]
    assert [(one.series_id, one.volume) for one in found.held[:3]] == [("A4", 0), ("A4", 1),
                                                                       ("A4", 2)]  # fmt: skip


def test_only_good_volumes_take_part_but_slice_networks_see_all(tmp_path):
    write_run(tmp_path, ["A"], {"A0": "noise", "A7": "wrap"}, {"A1": "true", "A4": "false"})
    with pytest.raises(UserError, match="a bigger cohort is needed"):
        ground(tmp_path)  # A4, who breathed, and A7 leave two to test
    write_run(tmp_path, ["A"], {"A0": "noise"}, {"A1": "true", "A4": "false"})
    found = ground(tmp_path)
    assert subjects(found.learnt) == {"A": {"p1", "p2", "p3"}}
    assert subjects(found.held) == {"A": {"p5", "p6", "p7"}}
    assert len(found.pinned) == 4


def test_a_stratum_of_too_few_subjects_takes_no_part(tmp_path):
    write_run(tmp_path, ["A", "B", "C"], {"B0": "noise", "B1": "noise", "C4": "wrap", "C5": "wrap"})
    found = ground(tmp_path)
    assert set(subjects(found.learnt)) == set(subjects(found.held)) == {"A"}


def test_of_a_series_and_of_all_only_so_many_are_drawn(tmp_path):
    write_run(tmp_path, ["A"])
    found = ground(tmp_path, volumes_a_series=2)
    assert set(Counter(one.series_id for one in found.learnt).values()) == {2}
    assert len(found.learnt) == 8
    assert len(ground(tmp_path, held=10).held) == 10
    drawn = [ground(tmp_path, volumes_a_series=1, seed=seed).learnt for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert any(one != drawn[0] for one in drawn[2:])


@pytest.mark.parametrize("seed", range(4))
def test_a_stratum_that_the_draw_leaves_too_few_of_is_not_tested_either(tmp_path, seed):
    """Features of its held volumes could not be levelled."""
    write_run(tmp_path, ["A", "B", "C", "D"])
    limits = {"learnt": 12, "held": 12, "volumes_a_series": 1}
    found = ground(tmp_path, seed=seed, **limits)
    learnt, held = subjects(found.learnt), subjects(found.held)
    assert set(learnt) == set(held)
    assert min(len(own) for own in (*learnt.values(), *held.values())) >= 3
    assert 0 < len(learnt) < 4


def test_without_a_truth_nobody_knows_what_is_good(tmp_path):
    write_run(tmp_path, ["A"])
    with pytest.raises(UserError, match=r"evaluation\.truth: not set"):
        ground(tmp_path, truth=False)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Results with the stores of two scans, and these."""
    folder = tmp_path_factory.mktemp("stores")
    rows = ["subject,contrast,path"]
    for number in range(2):
        path = save(folder / f"{number}.nii", image(number, shape=(6, 24, 24)))
        rows.append(f"p{number},T1w,{path}")
    (folder / "series.csv").write_text("\n".join(rows) + "\n")
    source = TableSource(kind="table", path=folder / "series.csv")
    results = folder / "results"
    index_cohort(CohortSection(name="t", sources=(source,)), results)
    (manifest,) = (results / "shards").glob("shard-*.parquet")
    store = results / "zarr" / f"{manifest.stem}.zarr"
    convert_shard(
        manifest, store, results / "convert.parquet", settings=ConvertSection(), threads=1,
        mem_mb=900,
    )  # fmt: skip
    names = pd.read_parquet(manifest).sort_values("subject")["series_id"]
    found = [HqVolume(name, 0, "A", 0, Person(f"p{n}")) for n, name in enumerate(names)]
    return results, found


def test_a_scan_comes_before_its_copies_a_third_of_each_rating(scans):
    results, known = scans
    section = HierarchyExperiments(seed=3)
    items = list(draw_items(known, Stores(results), 12, section, ARTIFACT_FAMILIES))
    assert len(items) == len(set(items)) == 26
    for number, scan in enumerate(known):
        first, *copies = items[13 * number : 13 * number + 13]
        assert (first.scan, first.artifact) == (scan, None)
        assert {one.scan for one in copies} == {scan}
        assert Counter(rating_of(one.severity) for one in copies) == dict.fromkeys(
            ("pass", "questionable", "fail"), 4
        )
        assert {one.family for one in copies} == set(ARTIFACT_FAMILIES)
        assert {one.artifact.shape for one in copies} == {(6, 24, 24)}
    assert items == list(draw_items(known, Stores(results), 12, section, ARTIFACT_FAMILIES))
    (alone,) = {item.scan for item in draw_items(known[1:], Stores(results), 3, section, ["noise"])}
    assert alone == known[1]


def copies(attributes, count, *spans, seed=0):
    blank = np.zeros((6, 24, 24), np.float32)
    return list(draw_copies("s", 0, blank, attributes, ["noise", "bias"], count, seed, *spans))


@pytest.fixture(scope="module")
def attributes(scans):
    results, known = scans
    return Stores(results).attributes(known[0])


@settings(max_examples=30, deadline=None)
@given(times=st.integers(1, 5), n_spans=st.integers(1, 4), seed=st.integers(0, 99), data=st.data())
def test_each_span_has_as_many_severities_spread_evenly_over_it(attributes, times, n_spans, seed,
                                                                data):  # fmt: skip
    ends = data.draw(st.lists(st.integers(0, 100), min_size=2 * n_spans, max_size=2 * n_spans,
                              unique=True).map(sorted))  # fmt: skip
    spans = [(low / 100, high / 100) for low, high in zip(ends[::2], ends[1::2], strict=True)]
    found = sorted(one.severity for one in copies(attributes, times * n_spans, spans, seed=seed))
    for number, severity in enumerate(found):
        low, high = spans[number // times]
        width, place = (high - low) / times, number % times
        assert low + place * width - 1e-9 <= severity <= low + (place + 1) * width + 1e-9


def test_without_spans_severities_are_from_nought_to_one(attributes):
    assert copies(attributes, 7) == copies(attributes, 7, [(0.0, 1.0)])
    assert copies(attributes, 7) == copies(attributes, 7, [(0.0, 0.5), (0.5, 1.0)])


def test_spans_change_severities_and_nothing_else(attributes):
    usual, narrow = copies(attributes, 6), copies(attributes, 6, [(0.75, 1.0)])
    assert [one.family for one in usual] == [one.family for one in narrow]
    assert [one.seed for one in usual] == [one.seed for one in narrow]
    for one, other in zip(usual, narrow, strict=True):
        assert other.severity == pytest.approx(0.75 + one.severity / 4)
