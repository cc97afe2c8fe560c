"""Tables as rows of strings that know their line."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mriqa.cohort.tabular import read_text_table
from mriqa.errors import UserError


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(path: Path) -> list[dict[str, str | None]]:
    return [row.values for row in read_text_table(path).rows]


def test_leading_zeros_stay(tmp_path):
    assert values(write(tmp_path, "a.csv", "subject\n0012\n")) == [{"subject": "0012"}]


@pytest.mark.parametrize("text", ["", "n/a", "N/A", "NaN", "None", " null ", "<NA>"])
def test_marks_of_missing_are_none(tmp_path, text):
    assert values(write(tmp_path, "a.csv", f"subject,age\n1,{text}\n"))[0]["age"] is None


def test_bom_windows_line_ends_and_quoted_commas(tmp_path):
    content = b'\xef\xbb\xbfsubject,site\r\n1,"Mainz, Nord"\r\n'
    assert values(write(tmp_path, "a.csv", content)) == [{"subject": "1", "site": "Mainz, Nord"}]


def test_semicolons_of_a_german_spreadsheet(tmp_path):
    path = write(tmp_path, "a.csv", "subject;site\n1;Mainz, Nord\n")
    assert values(path) == [{"subject": "1", "site": "Mainz, Nord"}]


def test_lines_count_as_in_an_editor(tmp_path):
    text = 'subject,site\n1,"two\nlines"\n\n2,x\n3,y,z\n4\n5,w\n'
    table = read_text_table(write(tmp_path, "a.csv", text))
    assert [(row.line, row.values["subject"]) for row in table.rows] == [
        (2, "1"),
        (5, "2"),
        (8, "5"),
    ]
    assert [(problem.line, problem.value) for problem in table.problems] == [
        (6, "3 | y | z"),
        (7, "4"),
    ]


def test_quotation_mark_never_closed_names_its_line(tmp_path):
    path = write(tmp_path, "a.tsv", 'subject\tsite\n1\tx\n2\t"y\n3\tz\n')
    with pytest.raises(UserError, match=r"a\.tsv: the row that begins on line 3"):
        read_text_table(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n \n", "empty"),
        ("a.csv", "subject,Straße\n1,ß\n".encode("latin-1"), "is not UTF-8"),
        ("a.csv", "subject\n1\n".encode("utf-16"), "is not UTF-8"),
        ("a.csv", b"subject,Subject \n1,2\n", "column subject is there twice"),
        ("a.xlsx", b"PK", r"allowed: \.csv, \.tsv"),
        ("a.parquet", b"PAR1 not really", "cannot be read"),
    ],
)
def test_unreadable_tables_say_why(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message):
        read_text_table(write(tmp_path, name, content))


def test_absent_table(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.csv: no such table"):
        read_text_table(tmp_path / "nowhere.csv")


def test_header_alone_has_no_rows(tmp_path):
    table = read_text_table(write(tmp_path, "a.csv", "path,subject\n"))
    assert (table.columns, table.rows) == (("path", "subject"), [])


def test_parquet_numbers_become_plain_text(tmp_path):
    frame = pd.DataFrame(
        {"Subject": [12, 7], "session": [1.0, None], "age": [45.25, 1e6], "site": ["Ü", None]}
    )
    frame["contrast"] = pd.Categorical(["T1w", "T2w"])
    frame.to_parquet(tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == [
        {"subject": "12", "session": "1", "age": "45.25", "site": "Ü", "contrast": "T1w"},
        {"subject": "7", "session": None, "age": "1000000", "site": None, "contrast": "T2w"},
    ]


def test_parquet_float32_keeps_its_short_form(tmp_path):
    pq.write_table(pa.table({"age": pa.array([45.3], pa.float32())}), tmp_path / "a.parquet")
    assert values(tmp_path / "a.parquet") == [{"age": "45.3"}]


def test_parquet_without_rows_and_with_nested_columns(tmp_path):
    table = pa.table({"subject": pa.array([], pa.string()), "x": pa.array([], pa.list_(pa.int8()))})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_text_table(tmp_path / "a.parquet").rows == []
