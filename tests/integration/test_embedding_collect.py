"""Embeddings of some volumes, shard by shard, whatever is wrong with a few."""

import shutil

import numpy as np
import pytest
from simclr_cohort import MODEL, TRAINING, write_cohort, write_untrained

from mriqa.cohort.manifest import read_cohort
from mriqa.embedding.collect import Wanted, embedded_volumes
from mriqa.embedding.embedder import model_embedder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    made = write_cohort(tmp_path_factory.mktemp("collect"), n_good=5)
    made.measure()
    write_untrained(made.model)
    return made


def wanted(cohort):
    """Two volumes of every series, also where there is one."""
    table = read_cohort(cohort.results / "cohort.parquet")
    names = zip(table["shard"].to_pylist(), table["series_id"].to_pylist(), strict=True)
    n_volumes = {one: 2 if "4d" in one else 1 for one in table["series_id"].to_pylist()}
    return [
        Wanted(shard, series_id, volume)
        for shard, series_id in names
        for volume in range(n_volumes[series_id])
    ]


def collected(cohort, series, model=None):
    def embedder_of(shard):
        cache = cohort.cache(f"shard-{shard:05d}")
        return model_embedder(model or cohort.model, MODEL, cache, "float32", TRAINING)

    return list(embedded_volumes(cohort.results, series, embedder_of))


def test_every_volume_that_can_be_read_is_embedded_and_the_rest_is_told(cohort, capsys):
    found = collected(cohort, wanted(cohort))
    names = {(one.series_id.partition("sub-")[2].partition("_")[0], one.volume) for one, _ in found}
    assert names == {(f"00{n}", 0) for n in range(5)} | {
        ("bad0", 0), ("bad1", 0), ("4d", 0), ("lone", 0),
    }  # fmt: skip
    assert [one.shard for one, _ in found] == sorted(one.shard for one, _ in found)
    assert {embedding.slices.shape for _, embedding in found} == {(8, 960)}
    said = capsys.readouterr().err
    assert "volume 1: " in said  # constant
    assert said.count("it is left out") == 2
    assert "cut" in said


def test_a_second_time_no_network_is_needed(cohort, tmp_path):
    first = collected(cohort, wanted(cohort))
    again = collected(cohort, wanted(cohort), model=tmp_path / "none")
    for (_, one), (_, other) in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.slices, other.slices)


def test_series_of_a_store_that_is_gone_are_left_out(cohort, capsys):
    gone = wanted(cohort)[0]._replace(shard=77)
    assert collected(cohort, [gone]) == []
    assert "it is left out" in capsys.readouterr().err
    shutil.rmtree(cohort.results / "embeddings", ignore_errors=True)
