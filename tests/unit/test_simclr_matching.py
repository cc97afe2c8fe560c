"""Which references a person is compared with, and what is done where little is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.methods.simclr.columns import MATCHING_LEVELS
from mriqa.methods.simclr.matching import People, choose_matching, nearest
from mriqa.references.person import Person
from mriqa.seeds import fixed_number

PERSONS = [
    Person(f"{number:02d}", "FM"[number % 2], 150.0 + number, 50.0 + 2 * number)
    for number in range(20)
]
ALL = np.arange(20)


def people(persons):
    return People.of(persons, [fixed_number(0, one.subject) for one in persons])


def matched(person, persons=PERSONS, least=5, count=4):
    everyone = people(persons)
    rows = np.arange(len(persons))
    matching = choose_matching(person, everyone, (rows, rows), least)
    return matching.name, nearest(person, everyone, rows, matching, count)


def test_of_the_same_sex_and_the_most_similar_first():
    name, rows = matched(Person("x", "F", 160.2, 70.4))
    assert name == "sex_height_weight"
    assert [PERSONS[row].subject for row in rows] == ["10", "12", "08", "14"]


@pytest.mark.parametrize(
    ("person", "name"),
    [
        (Person("x", "F", 160.0, 70.0), "sex_height_weight"),
        (Person("x", "F", 160.0), "sex_height"),
        (Person("x", "F", None, 70.0), "sex_weight"),
        (Person("x", "F"), "sex"),
        (Person("x", None, 160.0, 70.0), "height_weight"),
        (Person("x", "O", 160.0, 70.0), "height_weight"),
        (Person("x", None, 160.0), "height"),
        (Person("x", None, None, 70.0), "weight"),
        (Person("x"), "none"),
        (Person("x", "F", float("nan"), 70.0), "sex_weight"),
    ],
)
def test_the_name_says_what_was_used(person, name):
    found, rows = matched(person)
    assert found == name
    assert name in MATCHING_LEVELS
    assert len(rows) == 4
    if "sex" in name:
        assert {PERSONS[row].sex for row in rows} == {person.sex}


def test_too_few_of_a_sex_are_matched_irrespective_of_it():
    mostly = [
        Person(one.subject, "M" if i > 3 else "F", 160.0 + i) for i, one in enumerate(PERSONS)
    ]
    assert matched(Person("x", "F", 161.0), mostly)[0] == "height"
    assert matched(Person("x", "F", 161.0), mostly, least=4)[0] == "sex_height"
    assert matched(Person("x", "M", 161.0), mostly)[0] == "sex_height"


def test_references_of_unknown_size_come_last():
    some = [
        Person(one.subject, "F", None if i < 15 else 160.0 + i) for i, one in enumerate(PERSONS)
    ]
    name, rows = matched(Person("x", "F", 300.0), some, count=6)
    assert name == "sex_height"
    assert rows[:5].tolist() == [19, 18, 17, 16, 15]
    assert rows[5] < 15


def test_a_height_that_hardly_a_reference_has_is_not_used():
    some = [
        Person(one.subject, "F", None if i < 17 else 160.0 + i) for i, one in enumerate(PERSONS)
    ]
    assert matched(Person("x", "F", 300.0), some)[0] == "sex"


def test_equal_persons_are_drawn_by_the_seed_not_by_their_place():
    twins = [Person(f"{number:02d}", "F", 160.0, 60.0) for number in range(20)]
    _, rows = matched(Person("x", "F", 160.0, 60.0), twins)
    order = np.random.default_rng(0).permutation(20)
    _, others = matched(Person("x", "F", 160.0, 60.0), [twins[i] for i in order])
    assert [twins[i].subject for i in rows] == [twins[order[i]].subject for i in others]
    assert sorted(rows.tolist()) != [0, 1, 2, 3]


known = st.one_of(st.none(), st.floats(100, 220))
persons = st.builds(
    Person,
    st.text("abc", min_size=1, max_size=3),
    st.sampled_from([None, "F", "M", "O"]),
    known,
    known,
)


@settings(deadline=None)
@given(st.lists(persons, min_size=2, max_size=25), persons, st.integers(1, 10), st.data())
def test_as_many_as_there_are_and_none_twice(references, person, count, data):
    name, rows = matched(person, references, least=3, count=count)
    assert name in MATCHING_LEVELS
    assert len(set(rows.tolist())) == len(rows)
    same = sum(one.sex == person.sex for one in references)
    assert len(rows) == min(count, same if name.startswith("sex") else len(references))
    assert len(rows) > 0
