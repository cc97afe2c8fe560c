"""What the hierarchy says of a volume, as rows of its score file; and of what it cannot rate."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hierarchy_pieces import embedding
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.config import LearningSection, RoundsSection, SliceStageSection, VolumeStageSection
from mriqa.embedding.judging import judge_shard
from mriqa.embedding.measured import Measured
from mriqa.embedding.volumes import SLICE_METRICS
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy import features
from mriqa.methods.hierarchy.assess import Fitted
from mriqa.methods.hierarchy.columns import PROBABILITY_COLUMNS, SCORE_SCHEMA
from mriqa.methods.hierarchy.learning import untrained
from mriqa.methods.hierarchy.levels import fit_levels
from mriqa.methods.hierarchy.model import Hierarchy, Trained, read_hierarchy, write_hierarchy
from mriqa.methods.hierarchy.score import HierarchyJudge
from mriqa.references.person import Person
from mriqa.training.model_folder import Origin

LENGTH = 6
ROUNDS = RoundsSection(folds=2)
SECTION = LearningSection(
    slices=SliceStageSection(channels=8, rounds=ROUNDS),
    volumes=VolumeStageSection(channels=8, rounds=ROUNDS, seed=3),
)
N_METRICS = len(SLICE_METRICS)
P = [column.name for column in PROBABILITY_COLUMNS]


def volume(seed, body=None, strength=1.0):
    rng = np.random.default_rng(seed)
    depth = 7 if body is None else len(body)
    values = strength * rng.normal(0, 1, (depth, LENGTH + N_METRICS)).astype(np.float16)
    metrics = values[:, LENGTH:].astype(np.float32)
    return replace(embedding(values[:, :LENGTH], body), metrics=metrics)


def hierarchy(slices=1.0, volumes=1.0):
    """Of networks that nobody trained, with weights large enough to be of different minds."""
    networks = untrained(LENGTH + N_METRICS + 1, SECTION)
    with torch.no_grad():
        for parameter in [*networks.slices.parameters(), *networks.volumes.parameters()]:
            parameter *= 3
        generator = torch.Generator().manual_seed(0)
        for net in [*networks.slices.nets, *networks.volumes.nets]:  # as if they had learned
            net.direct.weight.normal_(0, 0.03, generator=generator)
            net.scale.running_mean.normal_(generator=generator)
            net.scale.running_var.uniform_(0.5, 2, generator=generator)
    levels = fit_levels({"T1w/none": [volume(seed) for seed in range(5)]})
    fitted = Fitted(slices, volumes)
    return Hierarchy(
        "hierarchy-1", networks, None, levels, fitted, ("contrast", "b_class"), "float32", 0.5
    )


def measured(stratum="T1w/none", number=2, *, with_slices=True):
    return Measured("a", number, stratum, Person("1"), with_slices)


def judged(made, one, what=None, **temperatures):
    judge = HierarchyJudge(hierarchy(**temperatures) if made is None else made)
    table = judge.rows(what or measured(), one)
    assert table.schema.equals(SCORE_SCHEMA)
    return table.to_pylist()


BODIES = st.lists(st.booleans(), min_size=1, max_size=9).filter(any)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), BODIES, st.sampled_from([0.3, 1.0, 4.0]))
def test_a_volume_and_each_of_its_body_slices_have_probabilities(seed, body, temperature):
    first, last = body.index(True), len(body) - 1 - body[::-1].index(True)
    within = [first <= number <= last for number in range(len(body))]
    made = hierarchy(slices=temperature, volumes=temperature)
    of_volume, *slices = judged(made, volume(seed, within))
    assert [row["slice"] for row in slices] == list(range(len(body)))
    assert of_volume["slice"] is None
    for row, is_body in zip([of_volume, *slices], [True, *within], strict=True):
        assert (row["series_id"], row["volume"]) == ("a", 2)
        assert row["problem"] is None
        if is_body:
            assert sum(row[name] for name in P) == pytest.approx(1)
            assert all(0 <= row[name] <= 1 for name in P)
        else:
            assert [row[name] for name in P] == [None] * 3
    p = [of_volume[name] for name in P]
    assert of_volume["hierarchy_rating"] == RATINGS[p.index(max(p))]
    expected = 0.9 * p[0] + 0.6 * p[1] + 0.2 * p[2]
    assert of_volume["hierarchy_quality_score"] == pytest.approx(expected)
    p_fail = [row["hierarchy_p_fail"] if row["hierarchy_p_fail"] is not None else -1.0
              for row in slices]  # fmt: skip
    assert of_volume["hierarchy_worst_slice"] == p_fail.index(max(p_fail))
    assert within[of_volume["hierarchy_worst_slice"]]
    classes = [max(P, key=lambda name: row[name]) for row in slices if row[P[0]] is not None]
    assert of_volume["hierarchy_n_slices_fail"] == classes.count("hierarchy_p_fail")


def test_slices_of_a_volume_are_of_different_minds():
    """Else the tests here could not tell much."""
    found = [judged(None, volume(seed, strength=4.0))[0] for seed in range(12)]
    assert {row["hierarchy_rating"] for row in found} == set(RATINGS)
    assert len({row["hierarchy_worst_slice"] for row in found}) > 3
    assert len({row["hierarchy_n_slices_fail"] for row in found}) > 2


def test_slices_outside_the_body_change_nothing():
    body = np.array([False, True, True, True, False])
    one = volume(3, body)
    other = replace(one, slices=np.where(body[:, None], one.slices, np.float16(999)))
    assert judged(None, one) == judged(None, other)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.sampled_from([0.05, 0.4, 3.0, 20.0]))
def test_a_temperature_makes_more_or_less_sure_but_changes_no_rating(seed, temperature):
    one = volume(seed, strength=3.0)
    plain = judged(None, one)
    scaled = judged(None, one, slices=temperature, volumes=temperature)
    for name in ("hierarchy_rating", "hierarchy_n_slices_fail"):
        assert scaled[0][name] == plain[0][name]
    for first, second in zip(plain, scaled, strict=True):
        sure, then = (max(row[name] for name in P) for row in (first, second))
        assert then >= sure - 1e-9 if temperature < 1 else then <= sure + 1e-9


def test_each_stage_has_its_own_temperature():
    one = volume(1, strength=3.0)
    plain = judged(None, one)
    hot = judged(None, one, slices=5.0)
    assert hot[0]["hierarchy_p_fail"] == plain[0]["hierarchy_p_fail"]
    assert hot[1]["hierarchy_p_fail"] != plain[1]["hierarchy_p_fail"]


def test_rows_of_slices_are_written_where_the_metrics_have_them():
    one = volume(0)
    (row,) = judged(None, one, measured(with_slices=False))
    assert row == judged(None, one)[0]


def test_what_cannot_be_compared_is_not_rated():
    judge = HierarchyJudge(hierarchy())
    assert judge.obstacle(measured()) is None
    assert judge.obstacle(measured(None)) == "unknown b-value"
    assert judge.obstacle(measured("T2w/none")) == "nothing of this stratum was learned from"


class Embeds:
    """Instead of reader and embedder: series `b` cannot be read."""

    def series(self, series_id):
        if series_id == "b":
            raise SeriesError(ErrorCode.STORE_DAMAGED, "b: the store is damaged")
        return series_id

    def embed_stored(self, _stored, number):
        return volume(number)


def test_what_is_not_rated_has_a_row_that_says_why(capsys):
    shard = [
        measured(),
        replace(measured(), volume=3, stratum=None),
        replace(measured(), series_id="b"),
        replace(measured("PD/none"), series_id="c"),
    ]
    table = judge_shard(shard, Embeds(), Embeds(), HierarchyJudge(hierarchy()), "hierarchy s")
    assert table.schema.equals(SCORE_SCHEMA)
    rows = [row for row in table.to_pylist() if row["slice"] is None]
    assert [(row["series_id"], row["volume"], row["problem"]) for row in rows] == [
        ("a", 2, None),
        ("a", 3, "unknown b-value"),
        ("b", 2, "b: the store is damaged"),
        ("c", 2, "nothing of this stratum was learned from"),
    ]
    for row in rows[1:]:
        assert {row[name] for name in SCORE_SCHEMA.names if name.startswith("hierarchy")} == {None}
    assert "not rated by hierarchy: b: the store is damaged" in capsys.readouterr().err


def test_a_model_says_the_same_when_it_is_read_again(tmp_path):
    made = hierarchy(slices=0.7, volumes=1.6)
    trained = Trained(torch.nn.Linear(2, 2), made, SECTION, {})
    write_hierarchy(tmp_path / "m", trained, Origin("hierarchy-1", "0" * 64, 0, 1), {})
    found = read_hierarchy(tmp_path / "m")
    assert (found.model_id, found.stratum_columns, found.precision, found.fitted) == (
        made.model_id, made.stratum_columns, made.precision, made.fitted,
    )  # fmt: skip
    for seed in range(3):
        assert judged(found, volume(seed)) == judged(made, volume(seed))


def test_a_model_of_other_features_is_refused(tmp_path, monkeypatch):
    trained = Trained(torch.nn.Linear(2, 2), hierarchy(), SECTION, {})
    write_hierarchy(tmp_path / "m", trained, Origin("hierarchy-1", "0" * 64, 0, 1), {})
    monkeypatch.setattr(features, "MEASURED", "2 body_snr")
    with pytest.raises(UserError, match=r"another version of mriqa.*remove the folder"):
        read_hierarchy(tmp_path / "m")
    path = tmp_path / "m" / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"imported_from": "hierarchy-2"}))
    with pytest.raises(UserError, match=r"hierarchy\.pretrained: .*in its own cohort"):
        read_hierarchy(tmp_path / "m")


@pytest.mark.parametrize(("accuracy", "counts"), [(None, True), (0.5, True), (0.49, False)])
def test_networks_that_validation_showed_to_tell_badly_say_it_but_do_not_count(accuracy, counts):
    made = hierarchy()
    made = replace(made, fitted=replace(made.fitted, accuracy=accuracy))
    row = judged(made, volume(0))[0]
    assert row["hierarchy_rating"] in RATINGS
    assert (row["hierarchy_quality_score"] is not None) == counts
