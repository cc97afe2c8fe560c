"""Which volumes the hierarchy learns from: a small made-up results folder, and who is in it."""

from dataclasses import replace

import pytest
from hierarchy_pieces import label, series, write_cohort, write_scores

from mriqa.config import LearningSection
from mriqa.embedding.collect import Wanted
from mriqa.errors import UserError
from mriqa.methods.hierarchy.gather import Sources, choose_items
from mriqa.references.listing import HqVolume
from mriqa.references.person import Person
from mriqa.training.manifest import PinnedSeries

STRATUM = ("contrast", "b_class")
PLAIN = "T1w/none"


def pinned(rows):
    """All training series of the cohort, as they are."""
    names = ("series_id", "subject", "contrast", "shard", "size_bytes", "mtime_ns")
    return [PinnedSeries(*(row[name] for name in names)) for row in rows if row["split"] == "train"]


def trust(series_id, volume=0):
    return HqVolume(series_id, volume, PLAIN, 0, Person(series_id), True)


def section(**changed):
    return LearningSection(**({"min_subjects": 2, "unlabelled": 1000} | changed))


class Results:
    """A results folder of the series `rows`, of which everything was measured."""

    def __init__(self, folder, rows, volumes=1, **of_series):
        self.folder, self.rows = folder, rows
        write_cohort(folder, rows)
        write_scores(folder, rows, volumes, **of_series)

    def chosen(self, labels=(), trusted=(), pins=None, **changed):
        """The items by (series, volume); the places are checked."""
        sources = Sources(pinned(self.rows if pins is None else pins), labels, trusted)
        found = choose_items(self.folder, sources, section(**changed), STRATUM)
        shards = {row["series_id"]: row["shard"] for row in self.rows}
        for wanted, one in found.items():
            assert wanted == Wanted(shards[one.series_id], one.series_id, one.volume)
        return {(one.series_id, one.volume): one for one in found.values()}


def names(found):
    return sorted({name for name, _ in found})


@pytest.fixture
def results(tmp_path):
    """Ten training subjects, two of validation, two of test, in three shards."""
    rows = [series(f"t{number}", shard=number % 3) for number in range(10)]
    for split, letter in (("validation", "v"), ("test", "x")):
        rows += [series(f"{letter}{number}", split=split, shard=number) for number in range(2)]
    return Results(tmp_path, rows)


def test_of_training_subjects_all_and_of_others_what_is_labelled_or_trusted(results):
    found = results.chosen([label("x1", None, None, "fail")], [trust("v0")])
    assert names(found) == [*(f"t{number}" for number in range(10)), "v0", "x1"]
    assert found["x1", 0].split == "test"
    assert found["v0", 0].split == "validation"
    assert {one.stratum for one in found.values()} == {PLAIN}


def test_items_know_whose_they_are(tmp_path):
    rows = [series(name, subject=name.upper(), session="2") for name in "abc"]
    found = Results(tmp_path, rows).chosen()["b", 0]
    assert (found.subject, found.session, found.copy, found.affected) == ("B", "2", None, ())


def test_a_trusted_volume_passes_and_a_labelled_one_says_nothing_by_itself(results):
    found = results.chosen([label("t2", 0, None, "fail")], [trust("t0")])
    ratings = {name: found[name, 0].rating for name in ("t0", "t2", "t3")}
    assert ratings == {"t0": "pass", "t2": None, "t3": None}


def test_withdrawn_series_are_never_learned_from(tmp_path):
    """Whatever was pinned, labelled or listed before."""
    gone = {"excluded_by": "withdrawn"}
    rows = [series(f"t{number}", **(gone if number < 3 else {})) for number in range(6)]
    folder = Results(tmp_path, rows)
    found = folder.chosen([label("t1", None, None, "fail")], [trust("t2")])
    assert names(found) == ["t3", "t4", "t5"]


def test_a_series_that_has_left_the_cohort_is_passed_over(results):
    pins = [*results.rows, series("vanished")]
    found = results.chosen([label("lost", None, None, "fail")], [trust("gone")], pins=pins)
    assert names(found) == [f"t{number}" for number in range(10)]


def test_what_failed_or_cannot_be_compared_is_passed_over(tmp_path):
    rows = [series(f"t{number}", contrast="dwi") for number in range(5)]
    failed, unknown, excluded = {"status": "failed"}, {"b_class": "unknown"}, {"status": "excluded"}
    folder = Results(tmp_path, rows, t0=failed, t1=unknown, t2=excluded)
    labels = [label("t0", None, None, "fail"), label("t1", None, None, "fail")]
    assert names(folder.chosen(labels)) == ["t3", "t4"]


def test_a_stratum_of_too_few_training_subjects_is_left_out_with_a_line(tmp_path, capsys):
    rows = [series(f"a{number}") for number in range(3)]
    rows += [series(f"b{number}", contrast="T2w", subject="one") for number in range(4)]
    rows += [series("b-held", contrast="T2w", split="test")]
    folder = Results(tmp_path, rows)
    found = folder.chosen([label("b-held", None, None, "fail")], min_subjects=3)
    assert names(found) == ["a0", "a1", "a2"]
    said = capsys.readouterr().err
    assert "T2w/none" in said
    assert "min_subjects" in said
    assert PLAIN not in said


def test_held_out_subjects_do_not_make_a_stratum(tmp_path):
    rows = [series("t0"), *(series(f"v{number}", split="validation") for number in range(9))]
    folder = Results(tmp_path, rows)
    labels = [label(f"v{number}", None, None, "fail") for number in range(9)]
    assert folder.chosen(labels) == {}


def test_nothing_is_said_where_nothing_is_left_out(results, capsys):
    results.chosen()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("count", [0, 1, 7, 10, 99])
def test_so_many_unlabelled_volumes_are_looked_at(tmp_path, count):
    rows = [series(f"t{number}") for number in range(10)]
    folder = Results(tmp_path, rows)
    labels = [label("t0", None, None, "fail"), label("t1", 0, None, "pass")]
    found = folder.chosen(labels, [trust("t2")], unlabelled=count)
    assert {"t0", "t1", "t2"} <= set(names(found))
    assert len(found) == 3 + min(count, 7)


def test_a_larger_draw_has_the_smaller_one_in_it(tmp_path):
    folder = Results(tmp_path, [series(f"t{number}") for number in range(20)])
    few, more = (set(folder.chosen(unlabelled=count)) for count in (5, 9))
    assert len(few) == 5
    assert few < more
    other = section().volumes.model_copy(update={"seed": 1})
    assert set(folder.chosen(unlabelled=5, volumes=other)) != few


def test_growth_of_the_cohort_changes_nothing_of_what_was_pinned(tmp_path):
    rows = [series(f"t{number}") for number in range(20)]
    before = Results(tmp_path / "a", rows).chosen(unlabelled=5)
    grown = [*rows, *(series(f"new{number}", shard=1) for number in range(20))]
    assert Results(tmp_path / "b", grown).chosen(unlabelled=5, pins=rows) == before


def test_a_larger_pinned_list_draws_the_same_ones_and_some_of_the_new(tmp_path):
    rows = [series(f"t{number}") for number in range(20)]
    before = set(Results(tmp_path / "a", rows).chosen(unlabelled=10))
    grown = [*rows, *(series(f"new{number}") for number in range(20))]
    after = set(Results(tmp_path / "b", grown).chosen(unlabelled=10))
    assert after - before <= {(f"new{number}", 0) for number in range(20)}
    assert after & before


def test_volumes_of_a_series_are_labelled_and_drawn_one_by_one(tmp_path):
    shells = [{"b_class": "b0"}, {"b_class": "b1000"}, {"b_class": "b1000"}]
    rows = [series(f"d{number}", contrast="dwi") for number in range(3)]
    folder = Results(tmp_path, rows, d0=shells, d1=shells, d2=shells)
    labels = [label("d0", 1, None, "fail"), label("d1", 2, 4, "fail")]
    found = folder.chosen(labels, [trust("d2", 0)], unlabelled=0, min_subjects=2)
    assert {key: one.stratum for key, one in found.items()} == {
        ("d0", 1): "dwi/b1000", ("d1", 2): "dwi/b1000",
    }  # fmt: skip  # b0 has one subject alone
    whole = folder.chosen([label("d0", None, None, "fail")], unlabelled=0, min_subjects=2)
    assert whole == {}
    whole = folder.chosen([label("d0", None, None, "fail"), label("d1", None, None, "pass")],
                          unlabelled=0)  # fmt: skip
    assert sorted(whole) == [(name, number) for name in ("d0", "d1") for number in range(3)]


def test_of_held_out_subjects_unlabelled_volumes_are_no_items(tmp_path):
    """Nobody could say whether the networks are right about them, and they must not be learned."""
    rows = [*(series(f"t{number}") for number in range(3)), series("x", split="test")]
    folder = Results(tmp_path, rows, volumes=3)
    found = folder.chosen([label("x", 1, None, "fail")])
    assert sorted(key for key in found if key[0] == "x") == [("x", 1)]
    assert len(found) == 3 * 3 + 1


def test_a_labelled_series_outside_the_pinned_ones_is_learned_from(results):
    pins = [row for row in results.rows if row["series_id"] != "t5"]
    assert ("t5", 0) not in results.chosen(pins=pins)
    found = results.chosen([label("t5", None, None, "fail")], pins=pins)
    assert found["t5", 0].split == "train"


def test_nothing_is_learned_from_shards_without_scores(results):
    (results.folder / "scores" / "shard-00001.parquet").unlink()
    with pytest.raises(UserError, match=r"shard-00001\.parquet: not there"):
        results.chosen()


def test_who_has_changed_the_split_is_believed(results):
    """Of a subject that is held out now nothing is learned, whatever was pinned."""
    rows = [row | {"split": "test"} if row["series_id"] == "t0" else row for row in results.rows]
    write_cohort(results.folder, rows)
    found = results.chosen([label("t1", None, None, "fail")])
    assert ("t0", 0) not in found
    found = results.chosen([label("t0", None, None, "fail")])
    assert found["t0", 0] == replace(found["t1", 0], series_id="t0", subject="t0", split="test")
