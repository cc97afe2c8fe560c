"""Series of another cohort: what is mixed, how it is levelled, and what is counted."""

from dataclasses import replace

import numpy as np
import pytest
from embedding_pieces import no_metrics
from hierarchy_exam import SHAPE, SPACING
from sklearn.metrics import roc_auc_score

from mriqa.artifacts import Family, draw
from mriqa.embedding.volumes import VolumeEmbedding
from mriqa.evaluation.hierarchy import elsewhere
from mriqa.evaluation.hierarchy.elsewhere import (
    DRAWS,
    LEAST_VOLUMES,
    SEVERITIES,
    OneSeries,
    elsewhere_records,
)
from mriqa.evaluation.items import Item
from mriqa.references.listing import HqVolume
from mriqa.references.person import Person


class Listener:
    """Takes the first value of a slice, levelled, for how bad a volume is; remembers all."""

    def __init__(self):
        self.asked = []
        self.learnt = type("Learnt", (), {"truth": np.array([0, 1, 2])})
        self.section = type("Section", (), {"seed": 0})

    def once(self, _labels, bags):
        self.asked.append(bags)
        first = bags.values[bags.first, 0].astype(np.float64)
        worse = 1 / (1 + np.exp(-first))
        return np.stack([1 - worse, np.zeros(len(bags)), worse], axis=1)


def embedding(value: float) -> VolumeEmbedding:
    values = np.full((2, 3), value, dtype=np.float16)
    values[1] += np.float16(0.01)
    return VolumeEmbedding(values, np.ones(2, dtype=bool), 3, no_metrics(2))


def series(n=9, name="dwi", raised=(0.5, 5.0, 50.0)):
    """n volumes of which copies lie higher by `raised`, by severity; and what they embed to."""
    rng = np.random.default_rng(n)
    scans, copies, embedded = [], [], {}
    for number in range(n):
        scan = Item(HqVolume(name, number, "b1000", 0, Person("s")))
        usual = rng.normal()
        embedded[scan] = embedding(usual)
        scans.append(scan)
        for severity, added in zip(SEVERITIES, raised, strict=True):
            for seed in range(elsewhere.ARTIFACTS_EACH):
                artifact = draw(Family.NOISE, severity, SHAPE, SPACING, seed=100 * number + seed)
                copies.append(Item(scan.scan, artifact))
                embedded[copies[-1]] = embedding(usual + added)
    shaped = np.array(copies, dtype=object).reshape(n, len(SEVERITIES), elsewhere.ARTIFACTS_EACH)
    return OneSeries(name, "b1000", tuple(scans), shaped), embedded


def test_a_record_of_each_severity_and_what_is_far_off_is_found():
    one, embedded = series()
    records = elsewhere_records([one], embedded, Listener(), 0)
    assert [one["severity"] for one in records] == list(SEVERITIES)
    mild, medium, strong = (one["auc"] for one in records)
    assert mild < medium <= strong
    assert strong == 1.0
    for record in records:
        assert record["lowest"] <= record["auc"] <= record["highest"]
        assert (record["n_affected"], record["n_untouched"]) == (3, 6)
        assert (record["series_id"], record["stratum"]) == ("dwi", "b1000")


def test_nothing_found_where_an_artifact_changes_nothing():
    one, embedded = series(n=30, raised=(0.0, 0.0, 0.0))
    for record in elsewhere_records([one], embedded, Listener(), 0):
        assert record["lowest"] < 0.5 < record["highest"]
        assert record["auc"] == pytest.approx(0.5, abs=0.15)


def test_what_is_usual_is_the_series_own():
    """Shifted and scaled as a whole, a series gets the same answers."""
    one, embedded = series()
    there = Listener()
    elsewhere_records([one], embedded, there, 0)
    moved = {
        item: replace(one, slices=(one.slices.astype(np.float32) * 4 + 20).astype(np.float16))
        for item, one in embedded.items()
    }
    here = Listener()
    elsewhere_records([one], moved, here, 0)
    np.testing.assert_allclose(here.asked[0].values, there.asked[0].values, atol=0.08)


def test_the_mean_over_draws_of_what_scikit_learn_says():
    one, embedded = series(raised=(0.8, 0.8, 0.8))
    listener = Listener()
    records = elsewhere_records([one], embedded, listener, 5)
    worse = listener.once(None, listener.asked[0])[:, 2]
    per_draw = worse.reshape(len(SEVERITIES), DRAWS, len(one.scans))
    for place, record in enumerate(records):
        aucs = []
        for draw_number in range(DRAWS):
            seed = elsewhere.fixed_number(5, one.name, one.stratum, draw_number)
            _, affected = elsewhere._mixed(one, place, embedded, seed)
            aucs.append(roc_auc_score(affected, per_draw[place, draw_number]))
        assert record["auc"] == pytest.approx(np.mean(aucs))
        assert record["lowest"] == pytest.approx(np.min(aucs))


def test_affected_are_the_same_volumes_at_every_severity_and_others_in_every_draw():
    one, embedded = series()
    chosen = [
        [elsewhere._mixed(one, place, embedded, seed)[1].tolist() for place in range(3)]
        for seed in range(5)
    ]
    assert all(a == b == c for a, b, c in chosen)
    assert len({tuple(own[0]) for own in chosen}) > 1


def test_volumes_that_could_not_be_embedded_take_no_part_nor_do_few_volumes():
    one, embedded = series()
    lost = [one.copies[4, 1, 0], one.scans[6]]
    for item in lost:
        del embedded[item]
    records = elsewhere_records([one], embedded, Listener(), 0)
    assert not records  # 7 of 9 are left
    more, known = series(n=LEAST_VOLUMES + 1)
    del known[more.copies[0, 0, 0]]
    (record, *_) = elsewhere_records([more], known, Listener(), 0)
    assert record["n_affected"] + record["n_untouched"] == LEAST_VOLUMES
