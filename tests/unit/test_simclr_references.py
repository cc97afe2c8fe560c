"""The list of references: read with what is wrong in it named, or proposed by the metrics."""

import numpy as np
import pyarrow as pa
import pytest

from mriqa.config import ReferenceSection
from mriqa.errors import UserError
from mriqa.references.listing import propose, read_list, resolve_list, write_list

STRATUM = ("contrast", "b_class")
HEADER = "series_id\tvolume\tconfirmed\n"


def written(tmp_path, text):
    path = tmp_path / "list.tsv"
    path.write_text(text)
    return path


def test_a_line_says_what_a_person_thinks_of_it(tmp_path):
    path = written(tmp_path, HEADER + "a\t0\tyes\nb\t\t\nc\tn/a\tn/a\nd\t2\tno\n\n")
    found = [(one.series_id, one.volume, one.line, one.confirmed) for one in read_list(path)]
    assert found == [
        ("a", 0, 2, True), ("b", None, 3, None), ("c", None, 4, None), ("d", 2, 5, False),
    ]  # fmt: skip


LINES = (
    "a\t0\tyes", "a\tn/a\tn/a", "b\tn/a\tyes", "b\t1\tno", "c\t0\tno", "c\t0\tyes", "d\t0\t",
)  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
def test_no_outweighs_yes_and_yes_outweighs_nothing_in_any_order(tmp_path, order):
    path = written(tmp_path, HEADER + "\n".join(LINES[::order]) + "\n")
    rows = volumes([{"series_id": name, "volume": v} for name in "abcd" for v in (0, 1)])
    found, notes = resolve_list(path, read_list(path), rows, STRATUM, strict=False)
    assert {(one.series_id, one.volume): one.is_confirmed for one in found} == {
        ("a", 0): True, ("a", 1): False, ("b", 0): True, ("d", 0): False,
    }  # fmt: skip
    assert notes == []


def test_a_refused_line_may_name_what_is_not_there(tmp_path):
    path = written(tmp_path, HEADER + "gone\t0\tno\na\t0\tyes\n")
    found, notes = resolve_list(
        path, read_list(path), volumes([{"series_id": "a"}]), STRATUM, strict=True
    )
    assert ([one.series_id for one in found], notes) == (["a"], [])


@pytest.mark.parametrize(("strict", "confirmed"), [(False, ["a"]), (True, ["a", "b"])])
def test_trusted_scans_are_confirmed_and_of_proposed_ones_those_that_a_person_said_so(
    tmp_path, strict, confirmed
):
    path = written(tmp_path, HEADER + "a\t0\tyes\nb\t0\tn/a\n")
    rows = volumes([{"series_id": "a"}, {"series_id": "b"}])
    found, _ = resolve_list(path, read_list(path), rows, STRATUM, strict=strict)
    assert [one.series_id for one in found if one.is_confirmed] == confirmed


def test_lines_of_blanks_alone_count_for_nothing(tmp_path):
    found = read_list(written(tmp_path, HEADER + "  \t \t\n\na\t0\tyes\n\t\t\n"))
    assert [(one.series_id, one.line) for one in found] == [("a", 4)]


def test_quoted_values_may_hold_quotation_marks(tmp_path):
    text = 'series_id\tvolume\tcomment\na\t0\t"""sharp"", take it"\nb\t1\t\n'
    found = read_list(written(tmp_path, text))
    assert [(one.series_id, one.volume) for one in found] == [("a", 0), ("b", 1)]


def test_a_list_of_ids_alone_is_enough(tmp_path):
    found = read_list(written(tmp_path, "series_id\na\nb\n"))
    assert [(one.series_id, one.volume) for one in found] == [("a", None), ("b", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("series\na\n", r"list\.tsv: line 1: no column series_id.*found: series"),
        ("", r"line 1: no column series_id.*found: nothing"),
        (HEADER + "a\t0\tyes\nb\tx\t\n", r"line 3: column volume: 'x' must be a whole number"),
        (HEADER + "a\t-1\t\n", r"line 2: column volume: '-1'"),
        (HEADER + "a\t0\tmaybe\n", r"line 2: column confirmed: 'maybe' must be yes, no or n/a"),
        (HEADER + "n/a\t0\t\n", r"line 2: column series_id: 'n/a'"),
        (HEADER + "a\t" + "9" * 5000 + "\t\n", r"line 2: column volume: '99999"),
        (
            HEADER + 'a\t0\tyes\nb\t0\t"yes\nc\t0\tno\nd\t0\tyes\n',
            r"list\.tsv: the row that begins on line 3 is not readable.*quotation mark",
        ),
        (
            HEADER + "a\t0\t" + "x" * 200_000 + "\n",
            r"the row that begins on line 2 is not readable",
        ),
    ],
)
def test_what_is_wrong_is_named_with_line_column_and_value(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_list(written(tmp_path, text))


def test_a_list_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(UserError, match="no such list"):
        read_list(tmp_path / "none.tsv")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_list(tmp_path / "bytes.tsv")


def volumes(rows):
    """Volumes as `resolve_list` gets them."""
    usual = {
        "volume": 0, "status": "ok", "error_code": None, "excluded_by": None, "contrast": "T1w",
        "b_class": "none", "stratum": "T1w/none", "shard": 0, "sex": "F", "height_cm": 160.0,
        "weight_kg": None, "session": None,
    }  # fmt: skip
    return pa.Table.from_pylist([{**usual, "subject": row["series_id"], **row} for row in rows])


def resolved(tmp_path, text, rows, strict=False):
    path = written(tmp_path, text)
    found, notes = resolve_list(path, read_list(path), volumes(rows), STRATUM, strict=strict)
    return [(one.series_id, one.volume) for one in found], notes


def test_what_cannot_be_a_reference_is_left_out_with_its_reason(tmp_path):
    rows = [
        {"series_id": "good"},
        {"series_id": "gone", "volume": None, "status": "excluded", "excluded_by": "withdrawn"},
        {"series_id": "cut", "volume": None, "status": "failed", "error_code": "truncated"},
        {"series_id": "dwi", "b_class": "unknown", "stratum": "dwi/unknown"},
    ]
    text = HEADER + "".join(f"{row['series_id']}\t0\t\n" for row in rows)
    found, notes = resolved(tmp_path, text, rows, strict=True)
    assert found == [("good", 0)]
    assert [note.partition("list.tsv: ")[2] for note in notes] == [
        "line 3: gone is excluded (withdrawn); it is no reference",
        "line 4: cut failed (truncated); it is no reference",
        (
            "line 5: dwi 0 has an unknown b-value, so that nothing is comparable to it; "
            "it is no reference"
        ),
    ]


def test_a_series_without_a_volume_stands_for_all_of_its_volumes(tmp_path):
    rows = [{"series_id": "dwi", "volume": number, "b_class": "b0"} for number in range(3)]
    rows[1] |= {"status": "failed", "error_code": "constant"}
    found, notes = resolved(tmp_path, "series_id\ndwi\n", rows)
    assert found == [("dwi", 0), ("dwi", 2)]
    assert "dwi 1 failed" in notes[0]
    assert resolved(tmp_path, HEADER + "dwi\t2\t\ndwi\t2\t\n", rows)[0] == [("dwi", 2)]


def test_unknown_ids_stop_a_trusted_list_and_are_told_of_a_proposed_one(tmp_path):
    text = HEADER + "good\t0\t\ntypo\t0\t\ngood\t7\t\n"
    with pytest.raises(UserError, match=r"line 3: no series typo.*\n.*line 4: no volume 7 of good"):
        resolved(tmp_path, text, [{"series_id": "good"}], strict=True)
    found, notes = resolved(tmp_path, text, [{"series_id": "good"}])
    assert found == [("good", 0)]
    assert len(notes) == 2


def rated(n=60, seed=0):
    """Volumes of two strata as the metrics rate them, two a subject."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        score = float(rng.uniform(0.5, 1))
        rows.append(
            {
                "series_id": f"s{number:02d}", "volume": 0, "subject": f"{number // 2:02d}",
                "session": None, "contrast": "T1w" if number % 3 else "T2w", "b_class": "none",
                "stratum": "T1w/none" if number % 3 else "T2w/none", "quality_score": score,
                "rating": "pass" if score > 0.8 else "questionable", "flag": score <= 0.8,
                "split": ("train", "validation", "test")[number // 2 % 3],
            }
        )  # fmt: skip
    rows[7] |= {"rating": "pass", "flag": True, "quality_score": 0.99}
    rows[8] |= {"rating": None, "flag": None, "quality_score": None}
    return rows


def proposed(rows, count=5, seed=0):
    section = ReferenceSection(proposed=count, min_references=2, seed=seed)
    schema = pa.schema([("session", pa.string())])
    table = pa.Table.from_pylist(rows)
    table = table.set_column(
        table.column_names.index("session"), schema.field(0), pa.nulls(len(rows), pa.string())
    )
    return propose(table, STRATUM, section)


def fit_to_be_proposed(rows, stratum):
    """Subjects of a stratum, not of the test split, with a volume that passes without a flag."""
    return {
        row["subject"]
        for row in rows
        if row["stratum"] == stratum
        and row["split"] != "test"
        and row["rating"] == "pass"
        and row["flag"] is False
    }


@pytest.mark.parametrize("count", [5, 1000])
def test_of_what_the_metrics_pass_some_are_drawn_one_a_subject_never_of_the_test_split(count):
    rows = rated()
    by_id = {row["series_id"]: row for row in rows}
    found = proposed(rows, count).to_pylist()
    for stratum in ("T1w/none", "T2w/none"):
        own = [by_id[row["series_id"]] for row in found if row["stratum"] == stratum]
        able = fit_to_be_proposed(rows, stratum)
        assert len(own) == min(count, len(able))
        assert {row["subject"] for row in own} <= able
        assert len({row["subject"] for row in own}) == len(own)
        assert all(row["rating"] == "pass" and not row["flag"] for row in own)
        scores = [row["quality_score"] for row in own]
        assert scores == sorted(scores, reverse=True)
        for row in own:  # of a person scanned twice, the better scan
            assert row["quality_score"] == max(
                other["quality_score"] or 0
                for other in rows
                if (other["subject"], other["stratum"]) == (row["subject"], stratum)
                and not other["flag"]
            )


def test_ordinary_volumes_are_proposed_as_often_as_the_best():
    """The best alone would make whoever is ordinary look bad."""
    rows = rated(n=600)
    able = [
        row["quality_score"] for row in rows
        if row["split"] != "test" and row["rating"] == "pass" and row["flag"] is False
    ]  # fmt: skip
    places = [
        np.mean(np.array(able) < row["quality_score"]) for row in proposed(rows, 40).to_pylist()
    ]
    assert 0.4 < np.mean(places) < 0.6
    assert min(places) < 0.1
    assert max(places) > 0.9


def test_who_has_many_volumes_is_drawn_no_more_often():
    many = [
        row | {"series_id": f"{row['series_id']}_{number}", "volume": number}
        for row in rated(n=600)
        for number in range(20 if int(row["subject"]) % 2 else 1)
    ]
    drawn = [
        int(row["subject"]) % 2
        for seed in range(4)
        for row in proposed(many, 30, seed=seed).to_pylist()
    ]
    assert 0.35 < np.mean(drawn) < 0.65


def test_another_seed_draws_others():
    drawn = [
        {row["series_id"] for row in proposed(rated(), 5, seed=seed).to_pylist()} for seed in (0, 1)
    ]
    assert drawn[0] != drawn[1]


def test_the_order_of_volumes_does_not_matter():
    rows = rated()
    for row in rows:
        row["quality_score"] = 0.9 if row["rating"] == "pass" else row["quality_score"]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert proposed(rows).equals(proposed(shuffled))


def test_a_written_list_can_be_read(tmp_path):
    table = proposed(rated())
    path = tmp_path / "list.tsv"
    write_list(path, table)
    found = [(one.series_id, one.volume) for one in read_list(path)]
    assert found == [(row["series_id"], row["volume"]) for row in table.to_pylist()]
    header, first = path.read_text().splitlines()[:2]
    assert header.split("\t")[-1] == "confirmed"
    assert first.split("\t")[4] == first.split("\t")[-1] == "n/a"
