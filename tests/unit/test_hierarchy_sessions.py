"""A session by the hierarchy: what is left of its shells, what to blame, its rating by the rule."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mriqa.labels.model import RATINGS
from mriqa.methods.hierarchy.columns import SUBJECT_COLUMNS
from mriqa.methods.hierarchy.sessions import summarise_sessions
from mriqa.methods.hierarchy.subjects import DEFAULT, FAILS_FROM, SubjectRule

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("subject", "session", "series_id", "b_class")),
        pa.field("volume", pa.int32()),
        pa.field("hierarchy_rating", pa.string()),
        pa.field("hierarchy_p_pass", pa.float64()),
        pa.field("hierarchy_p_fail", pa.float64()),
        pa.field("hierarchy_worst_slice", pa.int32()),
    ]
)


@pytest.fixture
def model(tmp_path):
    """A model folder, as far as sessions look at it; gives back its path with another rule."""

    def with_rule(rule=DEFAULT):
        fitted = {"rule": {"fail_from": rule.fail_from, "pass_from": rule.pass_from}}
        (tmp_path / "config.json").write_text(json.dumps({"fitted": fitted}))
        return tmp_path

    return with_rule


def volume(number, rating, b_class="none", **values):
    usual = {"subject": "1", "session": None, "series_id": "a", "volume": number,
             "hierarchy_p_pass": float(rating == "pass"),
             "hierarchy_p_fail": float(rating == "fail"), "hierarchy_worst_slice": 7}  # fmt: skip
    return {**usual, "hierarchy_rating": rating, "b_class": b_class, **values}


def sessions(rows, folder):
    shuffled = random.Random(0).sample(rows, len(rows))
    found = summarise_sessions(pa.Table.from_pylist(shuffled, schema=SCHEMA), folder)
    return {(row["subject"], row["session"]): row for row in found.to_pylist()}


def only(rows, folder):
    (row,) = sessions(rows, folder).values()
    return row


def test_a_session_is_a_subject_and_a_visit_or_none(model):
    rows = [
        volume(0, "pass"),
        volume(1, "fail", session="1"),
        volume(2, "pass", session="2"),
        volume(3, "pass", subject="2"),
    ]
    found = sessions(rows, model())
    assert {key: row["hierarchy_rating"] for key, row in found.items()} == {
        ("1", None): "pass", ("1", "1"): "fail", ("1", "2"): "pass", ("2", None): "pass",
    }  # fmt: skip
    assert found["1", None]["hierarchy_usable"] == "none 1/1"
    assert found["1", None]["hierarchy_blamed"] is None
    assert found["1", "1"]["hierarchy_blamed"] == "a 1 (slice 7)"


def test_a_row_has_the_columns_that_are_declared(model):
    row = only([volume(0, "pass")], model())
    assert set(row) == {"subject", "session", *(column.name for column in SUBJECT_COLUMNS)}


def test_shells_come_by_their_b_value_what_is_no_diffusion_first(model):
    rows = [
        *(volume(number, "pass", "b2000") for number in range(3)),
        *(volume(number, "fail" if number else "pass", "b1000") for number in range(4)),
        volume(0, "questionable", "b0"),
        volume(0, "pass", "b10000"),
        volume(0, "fail", "none"),
    ]
    assert only(rows, model())["hierarchy_usable"] == (
        "none 0/1, b0 1/1, b1000 1/4, b2000 3/3, b10000 1/1"
    )


def test_the_worst_ten_are_blamed_the_worst_first(model):
    rows = [volume(number, "fail", hierarchy_p_fail=0.5 + number / 100) for number in range(14)]
    rows += [volume(99, "questionable", hierarchy_p_fail=0.99)]
    blamed = only(rows, model())["hierarchy_blamed"].split(", ")
    assert blamed == [f"a {number} (slice 7)" for number in range(13, 3, -1)]


def test_of_volumes_as_bad_the_first_is_blamed_first(model):
    rows = [
        volume(number, "fail", series_id=name, hierarchy_worst_slice=number)
        for name in ("b", "a")
        for number in (10, 9)
    ]
    assert only(rows, model())["hierarchy_blamed"] == (
        "a 9 (slice 9), a 10 (slice 10), b 9 (slice 9), b 10 (slice 10)"
    )


@pytest.mark.parametrize(
    ("fail", "questionable", "passed", "rating"),
    [
        (3, 0, 7, "fail"),  # FAILS_FROM of the volumes
        (29, 0, 71, "questionable"),
        (2, 0, 8, "pass"),
        (2, 1, 7, "questionable"),
        (0, 1, 0, "questionable"),
        (1, 0, 0, "fail"),
    ],
)
def test_the_shares_decide_by_the_models_rule(model, fail, questionable, passed, rating):
    assert (DEFAULT.fail_from, DEFAULT.pass_from) == (FAILS_FROM, 0.8)
    ratings = ["fail"] * fail + ["questionable"] * questionable + ["pass"] * passed
    row = only([volume(number, one) for number, one in enumerate(ratings)], model())
    assert row["hierarchy_rating"] == rating
    assert row["hierarchy_share_fail"] == pytest.approx(fail / len(ratings))
    assert row["hierarchy_share_pass"] == pytest.approx(passed / len(ratings))


def test_the_rule_is_that_of_the_folder(model):
    rows = [volume(number, "fail" if number < 2 else "pass") for number in range(10)]
    assert only(rows, model(SubjectRule(0.2, 0.5)))["hierarchy_rating"] == "fail"
    assert only(rows, model(SubjectRule(0.25, 0.9)))["hierarchy_rating"] == "questionable"


def test_what_the_hierarchy_has_not_rated_is_no_volume_of_the_session(model):
    rows = [volume(0, "pass"), *(volume(number, None) for number in range(1, 9))]
    row = only(rows, model())
    assert (row["hierarchy_rating"], row["hierarchy_usable"]) == ("pass", "none 1/1")
    assert sessions([volume(0, None)], model()) == {}


@pytest.mark.parametrize("config", [{}, {"fitted": {}}])
def test_another_model_has_no_rule(tmp_path, config):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(KeyError):
        summarise_sessions(SCHEMA.empty_table(), tmp_path)


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["1", "2"]),
        st.sampled_from([None, "a"]),
        st.sampled_from(["b0", "b1000"]),
        st.sampled_from([*RATINGS, None]),
        st.floats(0, 1),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_sessions_are_those_of_one_volume_after_the_other(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(
        json.dumps({"fitted": {"rule": {"fail_from": 0.25, "pass_from": 0.5}}})
    )
    rows = [
        volume(
            number,
            rating,
            shell,
            subject=subject,
            session=session,
            hierarchy_p_fail=p,
            hierarchy_p_pass=0.9 * (1 - p),
        )
        for number, (subject, session, shell, rating, p) in enumerate(drawn)
    ]
    expected = {}
    for key in {(row["subject"], row["session"]) for row in rows}:
        own = [row for row in rows if (row["subject"], row["session"]) == key]
        own = [row for row in own if row["hierarchy_rating"] is not None]
        if not own:
            continue
        told = []
        for shell in ("b0", "b1000"):
            ratings = [row["hierarchy_rating"] for row in own if row["b_class"] == shell]
            if ratings:
                told.append(f"{shell} {len(ratings) - ratings.count('fail')}/{len(ratings)}")
        failed = [row for row in own if row["hierarchy_rating"] == "fail"]
        failed.sort(key=lambda row: (-row["hierarchy_p_fail"], row["volume"]))
        fails, passes = (
            sum(row[f"hierarchy_p_{one}"] for row in own) / len(own) for one in ("fail", "pass")
        )
        assume(abs(fails - 0.25) > 1e-9 and abs(passes - 0.5) > 1e-9)
        rating = "fail" if fails >= 0.25 else "pass" if passes >= 0.5 else "questionable"
        blamed = ", ".join(f"a {row['volume']} (slice 7)" for row in failed[:10])
        worst = max(own, key=lambda row: (row["hierarchy_p_fail"], -row["volume"]))
        if rating == "fail" and not blamed:
            blamed = f"a {worst['volume']} (slice 7)"
        expected[key] = (rating, ", ".join(told), blamed or None)
    found = {
        key: (row["hierarchy_rating"], row["hierarchy_usable"], row["hierarchy_blamed"])
        for key, row in sessions(rows, folder).items()
    }
    assert found == expected


def test_no_session_at_all(model):
    found = summarise_sessions(SCHEMA.empty_table(), model())
    assert found.num_rows == 0
    assert np.isin([column.name for column in SUBJECT_COLUMNS], found.column_names).all()


def test_a_session_that_fails_by_doubts_alone_blames_the_likeliest(model):
    doubts = {"hierarchy_p_pass": 0.2, "hierarchy_p_fail": 0.38}
    rows = [volume(number, "questionable", **doubts) for number in range(4)]
    rows[2]["hierarchy_p_fail"] = 0.39
    row = only(rows, model())
    assert (row["hierarchy_rating"], row["hierarchy_blamed"]) == ("fail", "a 2 (slice 7)")
    milder = only([volume(0, "questionable", hierarchy_p_fail=0.2)], model())
    assert (milder["hierarchy_rating"], milder["hierarchy_blamed"]) == ("questionable", None)
