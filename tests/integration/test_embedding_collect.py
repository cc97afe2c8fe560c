"""Embeddings of all volumes of some series, shard by shard, whatever is wrong with a few."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from simclr_cohort import MODEL, TRAINING, write_cohort, write_untrained

from mriqa.cohort.manifest import read_cohort
from mriqa.embedding.collect import embedded_volumes
from mriqa.embedding.embedder import model_embedder
from mriqa.training.manifest import PIN_SCHEMA, PinnedSeries


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    made = write_cohort(tmp_path_factory.mktemp("collect"), n_good=5)
    made.measure()
    write_untrained(made.model)
    return made


def pinned(cohort):
    rows = read_cohort(cohort.results / "cohort.parquet").select(PIN_SCHEMA.names).to_pylist()
    return [PinnedSeries(**row) for row in rows]


def collected(cohort, series, model=None):
    def embedder_of(shard):
        cache = cohort.cache(f"shard-{shard:05d}")
        return model_embedder(model or cohort.model, MODEL, cache, "float32", TRAINING)

    return list(embedded_volumes(cohort.results, series, embedder_of))


def test_every_volume_that_can_be_read_is_embedded_and_the_rest_is_told(cohort, capsys):
    found = collected(cohort, pinned(cohort))
    names = {(one.series.subject, one.volume) for one in found}
    assert names == {(f"00{n}", 0) for n in range(5)} | {
        ("bad0", 0), ("bad1", 0), ("4d", 0), ("lone", 0),
    }  # fmt: skip
    assert [one.series.shard for one in found] == sorted(one.series.shard for one in found)
    assert {one.embedding.slices.shape for one in found} == {(8, 960)}
    said = capsys.readouterr().err
    assert "volume 1: " in said  # constant
    assert said.count("it is left out") == 2
    assert "cut" in said


def test_a_second_time_no_network_is_needed(cohort, tmp_path):
    first = collected(cohort, pinned(cohort))
    again = collected(cohort, pinned(cohort), model=tmp_path / "none")
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.embedding.slices, other.embedding.slices)


def test_series_of_a_store_that_is_gone_are_left_out(cohort, capsys):
    gone = replace(pinned(cohort)[0], shard=77)
    assert collected(cohort, [gone]) == []
    assert "it is left out" in capsys.readouterr().err
    shutil.rmtree(cohort.results / "embeddings")
