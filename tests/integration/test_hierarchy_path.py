"""The hierarchy from labels to tables: trained, killed and gone on, scored, published."""

import json
import shutil

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from hierarchy_cohort import LEARNING, TRAINING, write_labelled
from simclr_cohort import RATING

from mriqa.config import TuningSection
from mriqa.errors import UserError
from mriqa.methods.hierarchy import teaching
from mriqa.methods.hierarchy.model import read_hierarchy
from mriqa.rating.publish import publish_tables
from mriqa.tables.query import connect
from mriqa.training.model_folder import read_model


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("hierarchy"))


@pytest.fixture(scope="module")
def model(labelled):
    return labelled.train()


@pytest.fixture(scope="module")
def published(labelled, model):
    labelled.rate(model)
    publish_tables(labelled.results, RATING, methods=("hierarchy",))
    return labelled.results / "tables"


def test_the_model_says_what_it_was_made_of(labelled, model):
    folder = read_model(model)
    assert folder.model_id == labelled.pin()
    numbers = folder.metrics
    assert numbers["n_labels"] == 50
    assert numbers["n_copies"] % 3 == 0
    assert numbers["n_copies"] > 0
    assert 0 <= numbers["validation_balanced_accuracy"] <= 1
    hierarchy = read_hierarchy(model)
    assert hierarchy.levels.strata == ("T1w/none",)
    assert hierarchy.stratum_columns == RATING.stratum


def test_every_round_is_kept_with_its_decisions(model):
    rounds = pq.read_table(model / "rounds.parquet")
    assert set(rounds["level"].to_pylist()) == {"volume", "slice"}
    copies = rounds.filter(pc.is_valid(rounds["copy"]))
    assert set(copies["action"].to_pylist()) == {"kept"}  # what was simulated is never doubted
    split = pq.read_table(model.parents[2] / "cohort.parquet", columns=["series_id", "split"])
    own = dict(zip(*(split[name].to_pylist() for name in split.column_names), strict=True))
    assert {own[one] for one in rounds["series_id"].to_pylist()} == {"train"}
    folds = set(zip(*(rounds[name].to_pylist() for name in ("subject", "fold")), strict=True))
    levels = {(subject, fold) for subject, fold in folds}
    assert len(levels) <= 2 * len({subject for subject, _ in folds})  # one a level at most


def test_bad_volumes_are_found_by_the_analyst(labelled, published):
    rows = pq.read_table(published / "volumes.parquet").to_pylist()
    single = [row for row in rows if row["contrast"] == "T1w" and "4d" not in row["series_id"]]
    found = {row["series_id"] for row in single if row["rating"] != "pass"}
    assert labelled.bad <= found
    assert len(found - labelled.bad) <= 3
    for row in single:
        total = sum(row[f"hierarchy_p_{one}"] for one in ("pass", "questionable", "fail"))
        assert total == pytest.approx(1)
        assert row["rating"] == row["hierarchy_rating"]
        assert row["rating_source"] == "hierarchy"
        assert row["model_id"].startswith("hierarchy-")
    (lone,) = [row for row in rows if row["contrast"] == "T2w"]
    assert lone["hierarchy_p_pass"] is None
    assert lone["rating_source"] is None


def test_slices_and_sessions_have_their_columns(published):
    slices = pq.read_table(published / "slices" / "contrast=T1w").to_pylist()
    rated = [row for row in slices if row["hierarchy_p_pass"] is not None]
    assert len(rated) > 0.7 * len(slices)
    subjects = {
        row["subject"]: row for row in pq.read_table(published / "subjects.parquet").to_pylist()
    }
    four = subjects["4d"]
    rows = pq.read_table(published / "volumes.parquet").to_pylist()
    own = [row for row in rows if row["subject"] == "4d"]
    usable = sum(row["hierarchy_rating"] != "fail" for row in own)
    assert four["hierarchy_usable"] == f"none {usable}/3"
    mean = sum(row["hierarchy_p_fail"] for row in own) / 3
    assert four["hierarchy_share_fail"] == pytest.approx(mean)
    assert subjects["lone"]["hierarchy_rating"] is None
    for row in subjects.values():
        if (row["hierarchy_share_fail"] or 0) >= 0.3:
            assert row["rating"] == "fail"
            assert row["hierarchy_blamed"]


def test_analysts_can_ask_for_rounds_and_contested_labels(labelled, published):
    with connect(labelled.results) as connection:
        n_rounds = connection.sql("SELECT max(round) FROM label_rounds").fetchall()[0][0]
        contested = connection.sql("SELECT level, given, likelier FROM second_look").fetchall()
    assert 1 <= n_rounds <= 2
    assert all(given != likelier for _, given, likelier in contested)


def test_killed_and_started_again_it_is_the_same_model(labelled, model):
    before = read_model(model).weights
    kept = model.with_name("kept")
    shutil.copytree(model, kept)
    stages = labelled.results / "training" / "hierarchy" / model.name / "stages"
    for path in (stages / "volumes").glob("round-2*"):  # as if killed in the second round
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(stages / "checkpoints")
    shutil.rmtree(model)
    again = labelled.train()
    for name, weights in read_model(again).weights.items():
        assert torch.equal(weights, before[name]), name
    assert not (stages / "material.safetensors").exists()
    shutil.rmtree(kept)


def test_a_second_time_nothing_is_embedded_or_trained(labelled, model, monkeypatch):
    def refused(*_):
        raise AssertionError("the network is not needed")

    monkeypatch.setattr(teaching, "make_network", refused)
    before = read_model(model).weights
    shutil.rmtree(model)
    for name, weights in read_model(labelled.train()).weights.items():
        assert torch.equal(weights, before[name]), name


@pytest.mark.parametrize("labels", ["given", "simulated"])
def test_it_learns_from_raters_alone_or_from_none(labelled, labels):
    section = LEARNING.model_copy(
        update={"labels": labels, "init": "random", "tuning": TuningSection(iterations=0)}
    )
    made = labelled.train(section)
    numbers = json.loads((made / "metrics.json").read_text())
    assert (numbers["n_copies"] == 0) == (labels == "given")
    assert (numbers["n_labels"] == 0) == (labels == "simulated")
    shutil.rmtree(made)


def test_other_labels_are_another_model_only_when_asked_for(labelled, model):
    assert labelled.pin() == model.name
    ratings = labelled.results / "labels" / "ratings.parquet"
    old = pq.read_table(ratings)
    try:
        pq.write_table(old.slice(1), ratings)
        assert labelled.pin() == model.name
        assert labelled.pin(retrain=True) != model.name
    finally:
        pq.write_table(old, ratings)
        assert labelled.pin(retrain=True) == model.name


def test_without_anything_to_learn_from_it_says_so(labelled):
    ratings = labelled.results / "labels" / "ratings.parquet"
    aside = ratings.rename(ratings.with_suffix(".aside"))
    try:
        section = LEARNING.model_copy(update={"labels": "given", "unlabelled": 7})
        with pytest.raises(UserError, match="no label is given"):
            labelled.train(section)
    finally:
        aside.rename(ratings)


def test_strata_that_are_too_small_end_it_with_a_reason(labelled):
    section = LEARNING.model_copy(update={"min_subjects": 99, "init": "random"})
    with pytest.raises(UserError, match=r"no stratum has enough .*min_subjects is 99"):
        labelled.train(section, TRAINING)
