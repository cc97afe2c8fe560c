"""What holds of names, tables and splits whatever they contain."""

import csv
import io
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from mriqa.cohort.entities import ENTITY_ORDER, build_series_id
from mriqa.cohort.inspection import parse_bvals
from mriqa.cohort.split import split_of
from mriqa.cohort.tabular import known, read_text_table
from mriqa.config import SplitSection

# values made to run into one another: pieces of ids themselves, and the escape character
pieces = st.sampled_from(
    ["a", "_", "-", "%", "5F", "run", "run-1", "_run-", "_ses-", "/", " ", "é"]
)
values = st.lists(pieces, min_size=1, max_size=5).map("".join)
entities = st.dictionaries(st.sampled_from(["acq", "run", "echo", "chunk"]), values, max_size=3)
names = st.tuples(values, st.none() | values, entities, values)


@settings(max_examples=400)
@given(names, names)
def test_different_entities_have_different_ids(one, other):
    ids = [build_series_id("c", *name) for name in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)


@given(names)
def test_ids_hold_nothing_that_breaks_a_path_or_a_line(name):
    series_id = build_series_id("c", *name)
    assert not set("/ \n\0") & set(series_id)


@given(values, st.permutations(ENTITY_ORDER[:6]))
def test_the_order_of_columns_does_not_matter(value, order):
    shuffled = dict.fromkeys(order, value)
    straight = dict.fromkeys(ENTITY_ORDER[:6], value)
    assert build_series_id("c", "1", None, shuffled, "T1w") == build_series_id(
        "c", "1", None, straight, "T1w"
    )


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=12)
records = st.lists(st.lists(cells, min_size=2, max_size=2), max_size=8)


@settings(max_examples=80, deadline=None)
@given(records, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_csv_writer_wrote_is_read_back_with_its_line(
    tmp_path_factory, records, line_end, bom
):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(["subject", "site"])
    starts, expected = [], []
    for record in records:
        if any(cell.strip() for cell in record):
            starts.append(text.getvalue().count("\n") + 1)
            expected.append([known(cell) for cell in record])
        writer.writerow(record)
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(text.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    table = read_text_table(path)
    assert [list(row.values.values()) for row in table.rows] == expected
    assert [row.line for row in table.rows] == starts
    assert table.problems == []


@given(st.text(string.printable + "\ufeffé", max_size=40))
def test_bvals_are_numbers_or_refused(text):
    try:
        values = parse_bvals(text)
    except ValueError:
        return
    assert values
    assert all(0 <= value < float("inf") for value in values)


@given(st.text(min_size=1), st.integers(0, 2**40), st.integers(0, 100), st.integers(0, 100))
def test_a_smaller_training_share_only_ever_takes_subjects_away(subject, seed, one, other):
    """Shares may be changed later; those who stay in `train` were there before."""
    less, more = sorted((one, other))
    shares = [SplitSection(train=n / 100, validation=1 - n / 100, test=0) for n in (less, more)]
    splits = [split_of(subject, seed, share) for share in shares]
    assert splits != ["train", "validation"]
