"""Tables of metrics and grades: what is read, what is refused, and what is said of it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from graded_tables import GRADES, QUICK, graded_rows, scans_of, write_table
from pydantic import ValidationError

from mriqa.errors import ConfigError, UserError
from mriqa.evaluation.metrics.directions import published_direction
from mriqa.evaluation.metrics.scans import NOT_GRADED, read_scans
from mriqa.evaluation.metrics.settings import ABIDE, GradesSection, MetricsExperiments
from mriqa.evaluation.metrics.verdicts import BAD, GOOD, OPEN, agreement_record, decide
from mriqa.evaluation.settings_file import load_settings
from mriqa.labels.agreement import cohen_kappa


def read(path, section=QUICK, grades=None, **more):
    return read_scans(path, grades, section, section.grades.raters, **more)


@pytest.fixture
def rows():
    return graded_rows()


@pytest.fixture
def table(tmp_path, rows):
    return write_table(tmp_path / "t.tsv", rows)


def test_ids_stay_texts(table, rows):
    scans = read(table).scans
    assert scans.keys[0] == ("0000-0",)
    assert set(scans.subjects) == {row["person"] for row in rows}
    assert scans.metrics == ("signal", "snr_total", "noise")
    assert scans.values[0, 0] == float(rows[0]["signal"])
    assert len(scans) == len(rows)


def test_the_order_of_rows_does_not_matter(tmp_path, rows):
    one = read(write_table(tmp_path / "a.csv", rows)).scans
    other = read(write_table(tmp_path / "b.csv", rows[::-1])).scans
    assert one.keys == other.keys
    np.testing.assert_array_equal(one.values, other.values)


def test_parquet_reads_the_same(tmp_path, table, rows):
    path = tmp_path / "t.parquet"
    typed = {
        name: [float(row[name]) for row in rows]
        if name in ("signal", "snr_total", "noise", "score")
        else [row[name] for row in rows]
        for name in rows[0]
    }
    pq.write_table(pa.table(typed), path)
    np.testing.assert_array_equal(read(path).scans.values, read(table).scans.values)
    np.testing.assert_array_equal(read(path).scans.grades, read(table).scans.grades)


def test_grades_of_a_second_table_are_joined_by_keys(tmp_path, table, rows):
    metrics = write_table(tmp_path / "m.csv", rows, ["scan", "signal", "snr_total", "noise"])
    some = [*rows[2:][::-1], {**rows[0], "scan": "9999-0"}]
    grades = write_table(tmp_path / "g.csv", some, ["scan", "person", "place", "score"])
    reading = read(metrics, grades=grades)
    whole = read(table).scans
    np.testing.assert_array_equal(reading.scans.values, whole.values[2:])
    np.testing.assert_array_equal(reading.scans.grades, whole.grades[2:])
    told = " ".join(reading.notes)
    assert "2 scans not in" in told
    assert "0000-0, 0000-1" in told
    assert "1 scan not in" in told
    assert "9999-0" in told


def test_lost_zeros_are_guessed_at(tmp_path, rows):
    metrics = write_table(tmp_path / "m.csv", rows)
    grades = write_table(tmp_path / "g.csv", [{**row, "scan": row["scan"][1:]} for row in rows])
    with pytest.raises(UserError, match="written alike .leading zeros"):
        read(metrics, grades=grades)


def test_a_repeated_row_counts_once(tmp_path, rows):
    reading = read(write_table(tmp_path / "t.tsv", [*rows, rows[0], rows[1]]))
    assert len(reading.scans) == len(rows)
    assert any("2 rows repeated, counted once" in one for one in reading.notes)


def test_a_scan_with_two_contents_is_refused(tmp_path, rows):
    path = write_table(tmp_path / "t.tsv", [*rows, {**rows[0], "noise": "7"}])
    with pytest.raises(UserError, match=r"0000-0 stands on lines 2 and 50, and noise differs"):
        read(path)


def test_missing_and_infinite_values_are_missing(tmp_path, rows):
    rows[0]["noise"], rows[1]["noise"], rows[2]["noise"] = None, "inf", ""
    values = read(write_table(tmp_path / "t.tsv", rows)).scans.values
    assert np.isnan(values[:3, 2]).all()
    assert np.isfinite(values[3:]).all()


def test_what_is_left_out_is_told(tmp_path, rows):
    for at, row in enumerate(rows):
        row |= {"sex": "FM"[at % 2], "flat": "3", "empty": None}
    rows[0] |= {"signal": None, "noise": None, "snr_total": None}
    rows[1]["score"] = None
    reading = read(write_table(tmp_path / "t.tsv", rows))
    told = " ".join(reading.notes)
    assert len(reading.scans) == len(rows) - 2
    assert "sex is no metric ('F' is no number)" in told
    assert "flat is always the same" in told
    assert "empty is never there" in told
    assert "1 scan without any metric" in told
    assert "1 scan without a grade by score" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"keys": ["scam"]}, "no column 'scam'; is it scan?"),
        ({"subject": "persons"}, "no column 'persons'; is it person?"),
        ({"site": "plaice"}, "no column 'plaice'; is it place?"),
        ({"metrics": ["qi_*"]}, r"metrics: no column 'qi_\*'"),
        ({"metrics": ["place2"]}, "no column 'place2'"),
        ({"leave_out": ["*"]}, "no metric that varies"),
    ],
)
def test_unknown_columns_are_named(table, changes, told):
    section = MetricsExperiments.model_validate({**QUICK.model_dump(), **changes})
    with pytest.raises(UserError, match=told):
        read(table, section)


def test_a_rater_that_is_not_there(table):
    with pytest.raises(UserError, match="no column 'scores'; is it score?"):
        read_scans(table, None, QUICK, ["scores"])


def test_a_metric_that_is_named_must_be_numbers(tmp_path, rows):
    rows[3]["noise"] = "0,5"
    section = QUICK.model_copy(update={"metrics": ("noise",)})
    with pytest.raises(UserError, match="noise: '0,5' is no number"):
        read(write_table(tmp_path / "t.tsv", rows), section)


def test_a_second_data_set_must_have_the_metrics(table):
    with pytest.raises(UserError, match="no column 'signals'; is it signal?"):
        read(table, metrics=["signals"])


def test_an_unknown_grade_is_named(tmp_path, rows):
    rows[3]["score"] = "4"
    with pytest.raises(
        UserError, match=r"score of 0001-1 is '4'; grades.values are \['1', '2', '3"
    ):
        read(write_table(tmp_path / "t.tsv", rows))


def test_without_grades_there_is_nothing(tmp_path, rows):
    for row in rows:
        row["score"] = None
    with pytest.raises(UserError, match="no grade in score of any scan"):
        read(write_table(tmp_path / "t.tsv", rows))


@pytest.mark.parametrize("name", ["person", "place"])
def test_a_graded_scan_needs_its_subject_and_site(tmp_path, rows, name):
    rows[3][name] = None
    with pytest.raises(UserError, match=f"no {name} of 0001-1, which are graded"):
        read(write_table(tmp_path / "t.tsv", rows))


def test_one_class_alone_is_refused(tmp_path, rows):
    good = [row for row in rows if row["score"] != "3"]
    scans = read(write_table(tmp_path / "t.tsv", good)).scans
    with pytest.raises(UserError, match=r"0 subjects with a scan that is bad \(grades 3\)"):
        decide(scans, 1, GRADES, "t.tsv")


def test_grades_are_numbers_or_not(tmp_path, rows):
    for row in rows:
        row["score"] += ".0"
    assert (read(write_table(tmp_path / "t.tsv", rows)).scans.grades >= 0).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bad": ["4"]}, "not in values"),
        ({"good": ["1", "3"]}, "more than once"),
        ({"values": ["1", "1", "2", "3"]}, "more than once"),
        ({"values": [True, False], "good": ["True"], "bad": ["False"]}, "quote it"),
        ({"compared": ["score"]}, "a rater more than once"),
    ],
)
def test_grades_that_contradict_themselves(changes, told):
    with pytest.raises(ValidationError, match=told):
        GradesSection.model_validate({**GRADES.model_dump(), **changes})


def test_whole_numbers_in_yaml_are_grades(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(
        "keys: [Scan]\nsubject: Person\n"
        "grades: {raters: [Score], values: [1, 0, -1.0], good: [1, 0], bad: [-1]}\n"
    )
    section = load_settings(path, MetricsExperiments)
    assert section.grades.values == ("1", "0", "-1")
    assert section.keys == ("scan",)
    path.write_text("keys: []\n")
    with pytest.raises(ConfigError, match="keys"):
        load_settings(path, MetricsExperiments)


BAD_VOTE, GOOD_VOTE, DOUBTFUL = 2, 0, 1
THREE = GradesSection(
    raters=("rater_0", "rater_1", "rater_2"), values=("1", "0", "-1"), good=("1",), bad=("-1",)
)


@pytest.mark.parametrize(
    ("grades", "said", "disputed"),
    [
        ((2, 2, 0), BAD, False),
        ((2, 0, 0), GOOD, False),
        ((2, 0, None), OPEN, True),
        ((2, 0, 1), OPEN, True),
        ((1, 1, None), OPEN, False),
        ((2, 1, 1), BAD, False),
        ((None, None, 0), GOOD, False),
    ],
)
def test_the_majority_decides(grades, said, disputed):
    scans = scans_of([grades, (2,) * 3, (2,) * 3, (0,) * 3, (0,) * 3])
    found = decide(scans, 3, THREE, "t")
    assert found.said[0] == said
    assert found.disputed[0] == disputed
    there = [one for one in grades if one is not None]
    assert found.place[0] == np.median(there)
    for rule, taken in (("bad", BAD), ("good", GOOD)):
        again = decide(scans, 3, THREE.model_copy(update={"disputed": rule}), "t")
        assert again.said[0] == (taken if disputed else said)
        assert again.disputed[0] == disputed


def test_raters_who_are_only_compared_have_no_vote():
    scans = scans_of([(0, 2, 2), *[(2, 2, 0)] * 2, *[(0, 0, 2)] * 2])
    assert decide(scans, 1, THREE, "t").said[0] == GOOD


def test_agreement_is_that_of_the_labels():
    grades = [(2, 2, None), (0, 0, 0), (0, 1, 2), (2, 0, 2), (1, None, None)]
    record = agreement_record(scans_of(grades), THREE)
    own = record["grades"]
    assert (own["n_targets"], own["n_twice"], own["n_disputed"]) == (5, 4, 2)
    table = np.zeros((3, 3))
    for first, second, _ in grades[:4]:
        table[first, second] += 1
    assert own["pairs"][0]["cohen_kappa"] == cohen_kappa(table, 1 - np.eye(3))
    # who said `doubtful` has said nothing of bad or good
    assert record["bad_or_good"]["pairs"][0]["n"] == 3


def test_of_many_grades_classes_are_compared():
    five = GradesSection(
        raters=("a", "b"), values=tuple("12345"), good=tuple("12"), bad=tuple("45")
    )
    own = agreement_record(scans_of([(0, 1), (3, 4), (2, 2), (0, 4)]), five)["grades"]
    assert own["observed"] == 0.75


def test_a_single_rater_agrees_with_nobody():
    assert agreement_record(scans_of([(0,), (2,)]), GRADES) is None


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("cjv", "lower"), ("cnr", "higher"), ("snrd_total", "higher"), ("fwhm_avg", "lower"),
        ("inu_med", None), ("wm2max", None), ("summary_bg_k", None), ("body_efc", "lower"),
        ("body_snr", "higher"), ("quality_score", "higher"), ("body_entropy", None),
    ],
)  # fmt: skip
def test_published_directions(name, better):
    assert published_direction(name) == better


def test_ungraded_by_the_judges_is_left_out(tmp_path, rows):
    for at, row in enumerate(rows):
        row |= {"rater_1": None if at == 0 else "1", "rater_2": "-1", "rater_3": "0"}
    rows[2]["rater_3"] = None
    path = write_table(tmp_path / "t.tsv", rows)
    section = MetricsExperiments.model_validate(
        {**QUICK.model_dump(), "grades": {**ABIDE.grades.model_dump(), "raters": ["rater_1"]},
         "metrics": ["noise"]}
    )  # fmt: skip
    scans = read_scans(path, None, section, ("rater_1",), ("rater_3",)).scans
    assert len(scans) == len(rows) - 1
    assert scans.raters == ("rater_1", "rater_3")
    assert scans.grades[1].tolist() == [0, NOT_GRADED]
