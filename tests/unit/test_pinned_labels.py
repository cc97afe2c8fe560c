"""The labels that are learned from: pinned once; when there are others, that is told."""

import json
from dataclasses import replace

import pytest
from hierarchy_pieces import label, series, write_cohort, write_ratings

from mriqa.config import LearningSection
from mriqa.errors import UserError
from mriqa.files import read_if_sound
from mriqa.labels.model import Label
from mriqa.training.pinned_labels import (
    SCHEMA,
    labels_digest,
    labels_path,
    learned_also,
    pin_labels,
    read_pinned_labels,
    usable_labels,
)

STRATUM = ("contrast", "b_class")
FIRST = [label("a", None, None, "pass"), label("b", 1, None, "fail"), label("b", 1, 4, "fail")]
LATER = [*FIRST, label("c", 0, None, "questionable", "bob")]


@pytest.fixture
def results(tmp_path):
    """A cohort of four series, of which two are labelled."""
    write_cohort(tmp_path, [series(name, shard=number) for number, name in enumerate("abcd")])
    write_ratings(tmp_path, FIRST)
    return tmp_path


def pin(results, *, retrain=False):
    path = results / "training" / "hierarchy-0a.parquet"
    return pin_labels(results, "hierarchy", path, retrain=retrain)


def pinned(results):
    return read_pinned_labels(labels_path(results / "training" / "hierarchy-0a.parquet"))


def content(labels):
    return [(*one.label.target, one.label.rater, one.label.rating) for one in labels]


def test_labels_lie_beside_the_series(results):
    found = pin(results)
    assert found.path == results / "training" / "hierarchy-0a-labels.parquet"
    assert (found.n_labels, found.n_now, found.is_current, found.written) == (3, 3, True, True)
    assert str(found) == f"hierarchy: 3 labels to learn from ({found.path}), pinned now"


def test_they_are_the_labels_with_what_the_cohort_says_of_their_series(results):
    rows = [series("a", subject="7", contrast="T2w", shard=3, size_bytes=8, mtime_ns=6,
                   split="test")]  # fmt: skip
    write_cohort(results, rows)
    pin(results)
    (one,) = pinned(results)
    assert isinstance(one.label, Label)
    assert content([one]) == [("a", None, None, "ann", "pass")]
    assert (one.subject, one.contrast, one.shard) == ("7", "T2w", 3)
    assert (one.size_bytes, one.mtime_ns, one.split) == (8, 6, "test")


def test_nothing_is_pinned_twice(results):
    path = pin(results).path
    before = path.read_bytes(), path.stat().st_mtime_ns
    again = pin(results)
    assert not again.written
    assert str(again).endswith("pinned before")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("now", [LATER, FIRST[:1], [], [*FIRST[:2], label("b", 1, 4, "pass")]])
def test_other_labels_change_nothing_and_are_told(results, now):
    path = pin(results).path
    before = path.read_bytes()
    write_ratings(results, now)
    found = pin(results)
    assert path.read_bytes() == before
    assert (found.n_labels, found.n_now, found.is_current) == (3, len(now), False)
    assert f"by now there are {len(now)}" in str(found)
    assert "training.retrain: true" in str(found)


def test_retraining_learns_from_the_labels_of_now(results):
    pin(results)
    write_ratings(results, LATER)
    found = pin(results, retrain=True)
    assert (found.n_labels, found.is_current, found.written) == (4, True, True)
    assert ("c", 0, None, "bob", "questionable") in content(pinned(results))
    again = pin(results, retrain=True)
    assert not again.written
    assert str(again).endswith("pinned before")


def test_only_labels_that_are_used_count_and_only_of_series_that_can_be_read(results):
    write_cohort(
        results,
        [
            series("a"),
            series("b", excluded_by="withdrawn"),
            series("c", error_code="file_missing"),
            series("d"),
        ],
    )
    unused = label("d", 0, None, "fail")
    labels = [*LATER, label("gone", None, None, "fail"), label("d", None, None, "pass")]
    write_ratings(results, labels, [unused])
    pin(results)
    assert content(pinned(results)) == [
        ("a", None, None, "ann", "pass"),
        ("d", None, None, "ann", "pass"),
    ]


def test_a_damaged_list_is_written_anew(results):
    path = pin(results).path
    good = pinned(results)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="missing or damaged; run `mriqa index"):
        pinned(results)
    assert pin(results).written
    assert pinned(results) == good


def test_a_missing_list_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"gone\.parquet: the list of pinned labels is missing"):
        read_pinned_labels(tmp_path / "gone.parquet")


def test_leftovers_of_a_killed_run_are_removed(results):
    leftover = results / "training" / ".hierarchy-0a-labels.parquet.part-0123456789ab"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    pin(results)
    assert [one.name for one in leftover.parent.iterdir()] == ["hierarchy-0a-labels.parquet"]


def test_without_labels_there_is_a_list_of_none(tmp_path):
    write_cohort(tmp_path, [series("a")])
    found = pin(tmp_path)
    assert (found.n_labels, found.written) == (0, True)
    assert read_if_sound(found.path, SCHEMA).num_rows == 0
    assert pinned(tmp_path) == []


def test_labels_come_in_one_order_whatever_that_of_their_file(results):
    before = usable_labels(results)
    write_ratings(results, FIRST[::-1])
    assert usable_labels(results).equals(before)
    assert [row["slice"] for row in before.to_pylist()] == [None, 4, None]


@pytest.fixture
def known(results):
    """The pinned labels."""
    pin(results)
    return pinned(results)


def test_the_digest_stands_for_labels_and_files_not_for_shards(known):
    before = labels_digest(known)
    assert labels_digest([replace(one, shard=one.shard + 9) for one in known]) == before
    first, *others = known
    for changed in (
        replace(first, size_bytes=10),
        replace(first, mtime_ns=6),
        replace(first, label=label("a", None, None, "fail")),
        replace(first, label=label("a", None, None, "pass", "bob")),
        replace(first, label=label("a", 0, None, "pass")),
        replace(first, label=label("z", None, None, "pass")),
    ):
        assert labels_digest([changed, *others]) != before
    assert labels_digest(others) != before


def test_comments_and_lines_decide_nothing(known):
    first, *others = known
    other = replace(first.label, comment="sharp", sha256="ab", file="x.tsv", line=9)
    assert labels_digest([replace(first, label=other), *others]) == labels_digest(known)


def test_what_is_also_learned_from_decides(known, tmp_path):
    section = LearningSection()
    before = learned_also(section, known, STRATUM)
    assert learned_also(section, known[1:], STRATUM) != before
    assert learned_also(section, known, STRATUM[:1]) != before
    assert learned_also(section, known, STRATUM[::-1]) != before
    assert learned_also(section, known, list(STRATUM)) == before
    assert json.dumps(before)  # it goes into a digest


def of_trusted(path, **changed):
    simulated = LearningSection().simulated.model_copy(update={"trusted": path})
    return LearningSection(**changed).model_copy(update={"simulated": simulated})


def test_of_a_trusted_list_the_content_decides_not_its_place(known, tmp_path):
    one, two = tmp_path / "one.tsv", tmp_path / "two.tsv"
    for path in (one, two):
        path.write_text("series_id\na\n")
    before = learned_also(of_trusted(one), known, STRATUM)
    assert before != learned_also(LearningSection(), known, STRATUM)
    assert learned_also(of_trusted(two), known, STRATUM) == before
    two.write_text("series_id\na\nb\n")
    assert learned_also(of_trusted(two), known, STRATUM) != before


def test_what_is_not_learned_from_decides_nothing(known, tmp_path):
    simulated = LearningSection(labels="simulated")
    assert learned_also(simulated, known, STRATUM) == learned_also(simulated, [], STRATUM)
    given, path = of_trusted(tmp_path / "gone.tsv", labels="given"), tmp_path / "list.tsv"
    path.write_text("series_id\na\n")
    expected = learned_also(LearningSection(labels="given"), known, STRATUM)
    assert learned_also(given, known, STRATUM) == expected  # not even looked at
    assert learned_also(of_trusted(path, labels="given"), known, STRATUM) == expected


def test_a_trusted_list_that_is_not_there_is_a_sentence(known, tmp_path):
    with pytest.raises(UserError, match=r"simulated\.trusted: .*gone\.tsv cannot be read"):
        learned_also(of_trusted(tmp_path / "gone.tsv"), known, STRATUM)
