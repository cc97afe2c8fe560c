"""Demographics, checked value by value."""

import pytest

from mriqa.cohort.exclusions import read_exclusions
from mriqa.cohort.found import Person
from mriqa.cohort.participants import read_participants
from mriqa.config import CohortSection, TableSource
from mriqa.errors import UserError


def read(tmp_path, text):
    (tmp_path / "participants.tsv").write_text(text)
    return read_participants(tmp_path / "participants.tsv")


def test_values_and_their_other_names(tmp_path):
    found = read(
        tmp_path,
        "participant_id\tgender\tage\theight\tweight\tcentre\nsub-01\tFemale\t50.5\t170\t70\tMainz\n",
    )
    assert found.person("01", None) == Person("F", 50.5, 170, 70, "Mainz")
    assert found.person("01", "2") == found.person("01", None)
    assert found.person("1", None) == Person()
    assert found.problems == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("age", "89+"),
        ("age", "-1"),
        ("age", "inf"),
        ("age", "1e999"),
        ("age", "nan7"),
        ("height", "1.75"),
        ("height", "1_70"),
        ("weight", "72,5"),
        ("weight", "0"),
        ("sex", "1"),
        ("sex", "weiblich"),
    ],
)
def test_a_value_that_makes_no_sense_is_not_known(tmp_path, column, value):
    found = read(tmp_path, f"participant_id\tsite\t{column}\n01\tA\t5\n02\tB\t{value}\n")
    assert found.person("02", None) == Person(site="B")
    problem = found.problems[-1]
    assert (problem.line, problem.column, problem.value) == (3, column, value)


def test_not_known_is_no_problem(tmp_path):
    found = read(tmp_path, "participant_id\tage\tsex\n01\tn/a\t\n")
    assert (found.person("01", None), found.problems) == (Person(), [])


def test_rows_of_sessions(tmp_path):
    found = read(tmp_path, "participant_id\tsession_id\tage\n01\tses-a\t40\n01\tb\t42\n02\t\t9\n")
    assert [found.person("01", session).age for session in ("a", "b", "c", None)] == [
        40,
        42,
        None,
        None,
    ]
    assert found.person("02", "x").age == 9


def test_a_decimal_comma_is_told_from_other_text(tmp_path):
    found = read(tmp_path, "participant_id\tage\tweight\n01\t40,5\tseventy\n")
    comma, word = sorted(problem.problem for problem in found.problems)
    assert comma == "age is not a number (write a decimal point, not a comma); taken as not known"
    assert word == "weight_kg is not a number; taken as not known"


def test_two_rows_that_disagree_are_both_distrusted(tmp_path):
    found = read(tmp_path, "participant_id\tage\n01\t40\n02\t7\n01\t41\n02\t7\n\t3\n")
    assert found.person("01", None) == Person()
    assert found.person("02", None).age == 7
    assert [(problem.line, problem.value) for problem in found.problems] == [(4, "01"), (6, None)]


def test_no_subject_column(tmp_path):
    with pytest.raises(UserError, match="no column participant_id; the columns are name, age"):
        read(tmp_path, "name\tage\nx\t1\n")


def section(tmp_path, **more) -> CohortSection:
    source = TableSource(kind="table", path=tmp_path / "t.csv")
    return CohortSection(name="c", sources=(source,), **more)


def test_withdrawal_list(tmp_path):
    path = tmp_path / "withdrawn.csv"
    path.write_bytes(
        b'\xef\xbb\xbf# of May\r\nsub-01\r\n"0012", \r\n\r\n77 # asked twice\r\n77\r\n'
    )
    found = read_exclusions(section(tmp_path, withdrawn=path, exclude_contrasts=("T2w",)))
    assert found.withdrawn == {"01": 2, "0012": 3, "77": 5}
    assert found.excluded_by("01", "T2w") == "withdrawn"
    assert found.excluded_by("02", "T2w") == "contrast"
    assert found.excluded_by("02", "T1w") is None


def test_a_withdrawn_id_without_its_zeros_stops(tmp_path):
    path = tmp_path / "withdrawn.txt"
    path.write_text("0007\n99\n12\n")
    found = read_exclusions(section(tmp_path, withdrawn=path))
    found.check({"0007", "1200"})
    with pytest.raises(UserError, match=r"line 3: '12' is no subject.*'0012' is"):
        found.check({"0012", "0007"})


def test_an_excluded_contrast_that_nobody_has_is_pointed_out(tmp_path):
    found = read_exclusions(section(tmp_path, exclude_contrasts=("T9w", "T1w")))
    assert [problem.value for problem in found.problems({"T1w"})] == ["T9w"]


@pytest.mark.parametrize(
    "line", ["01,2026-05-01", "01;asked", "01\tasked", "01 asked", "subject id"]
)
def test_a_withdrawal_line_that_is_more_than_an_id_stops(tmp_path, line):
    path = tmp_path / "withdrawn.csv"
    path.write_text(f"02\n{line}\n")
    found = read_exclusions(section(tmp_path, withdrawn=path))
    with pytest.raises(UserError, match=r"withdrawn\.csv: line 2: '.*an id a line"):
        found.check({"01", "02"})


def test_a_subject_may_have_a_blank_in_its_name(tmp_path):
    path = tmp_path / "withdrawn.txt"
    path.write_text("A 1\n")
    found = read_exclusions(section(tmp_path, withdrawn=path))
    found.check({"A 1", "A"})
    assert found.excluded_by("A 1", "T1w") == "withdrawn"


def test_absent_withdrawal_list_stops(tmp_path):
    with pytest.raises(UserError, match="no such list of withdrawn subjects"):
        read_exclusions(section(tmp_path, withdrawn=tmp_path / "gone.txt"))
