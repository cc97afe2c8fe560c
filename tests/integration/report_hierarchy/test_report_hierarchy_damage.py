"""The page of the hierarchy where files are missing, damaged, old or hostile."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic_hierarchy as made
from hierarchy_page import QUICK, SECTION, cohort, looks, maps_of
from parsed_page import HOSTILE, Page

from mriqa.files import write_parquet
from mriqa.report.connection import connected
from mriqa.report.hierarchy import read_hierarchy_model
from mriqa.report.page import write_report
from mriqa.report.raters import read_raters
from mriqa.report.slice_maps import MAX_MAPS, gather_slice_maps


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("rounds.parquet", None, "rounds.parquet is not there"),
        ("rounds.parquet", b"PAR1", "rounds.parquet cannot be read"),
        ("second_look.parquet", None, "second_look.parquet is not there"),
        ("second_look.parquet", b"nonsense" * 9, "second_look.parquet cannot be read"),
        ("config.json", b"[1", "config.json cannot be read"),
        ("config.json", b'{"learning": 3}', "config.json cannot be read (learning is no JSON"),
        ("config.json", b'{"learning": {}, "strata": [], "fitted": {"slices": "x", "rule": 1}}',
         "config.json cannot be read (slices is no number: 'x')"),
        ("metrics.json", None, "metrics.json is not there"),
        ("metrics.json", b'{"n_volumes": "many"}', "(n_volumes is no number: 'many')"),
        ("metrics.json", b'{"n_labels": 3, "test_volumes": NaN}', "test_volumes is no number"),
        ("provenance.json", b"{}{", "provenance.json cannot be read"),
    ],
)  # fmt: skip
def test_what_is_missing_or_damaged_costs_its_part_only(copy, file, content, said):
    path = copy / "models/hierarchy" / made.MODEL_ID / file
    path.unlink() if content is None else path.write_bytes(content)
    page = Page(write_report(copy, QUICK))
    assert said in page.words
    assert str(copy) not in page.text
    assert "Who rated" in page.words
    assert len(maps_of(page)) > 1
    assert ("Items by what each round decided" in page.words) == (file != "rounds.parquet")
    assert bool(looks(page)) == (file != "second_look.parquet")


def test_columns_that_are_not_there_are_named(copy):
    path = copy / "models/hierarchy" / made.MODEL_ID / "second_look.parquet"
    write_parquet(path, pq.ParquetFile(path).read().drop_columns(["doubt"]))
    assert "it has no column doubt" in Page(write_report(copy, QUICK)).words


def test_columns_of_another_kind_are_told(copy):
    path = copy / "models/hierarchy" / made.MODEL_ID / "second_look.parquet"
    table = pq.ParquetFile(path).read()
    at = table.column_names.index("doubt")
    write_parquet(path, table.set_column(at, "doubt", pa.array(["much"] * table.num_rows)))
    page = Page(write_report(copy, QUICK))
    assert "second_look.parquet cannot be read" in page.words
    assert looks(page) == []


def test_a_model_that_is_gone_costs_its_part_only(copy):
    shutil.rmtree(copy / "models")
    page = Page(write_report(copy, QUICK))
    assert "config.json is not there" in page.words
    assert "second_look.parquet is not there" in page.words
    assert "Measured volumes by what rated them" in page.words
    assert read_hierarchy_model(copy, "hierarchy-nothing").rounds == ()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("agreement.json", None, "labels/agreement.json is not there"),
        ("agreement.json", b"{}", "labels/agreement.json cannot be read (it holds no JSON array)"),
        ("agreement.json", b'[{"level": "volume"}]', "labels/agreement.json cannot be read"),
        ("problems.parquet", None, "labels/problems.parquet is not there"),
        ("problems.parquet", b"PAR1PAR1", "labels/problems.parquet cannot be read"),
        ("ratings.parquet", b"nonsense" * 9, "labels/ratings.parquet cannot be read"),
    ],
)
def test_damaged_files_of_labels_cost_their_part_only(copy, file, content, said):
    path = copy / "labels" / file
    path.unlink() if content is None else path.write_bytes(content)
    page = Page(write_report(copy, QUICK))
    assert said in page.words
    assert ("ann 8 (100.0%)" in page.words) == (file != "ratings.parquet")
    assert "No problem was found in the labels" not in page.words
    assert "The hierarchy" in page.words
    assert str(copy) not in page.text


def test_reading_labels_never_raises(copy):
    for name in ("ratings.parquet", "problems.parquet", "agreement.json"):
        (copy / "labels" / name).write_bytes(b"PAR1 no more")
    raters = read_raters(copy)
    assert raters.counted is None
    assert len(raters.told) == 3


def test_tables_of_before_the_hierarchy_are_read(copy):
    path = copy / "tables/volumes.parquet"
    table = pq.ParquetFile(path).read()
    own = [name for name in table.column_names if name.startswith("hierarchy")]
    write_parquet(path, table.drop_columns(own))
    words = Page(write_report(copy, QUICK)).words
    assert "in which it has rated 0 measured volumes" in words
    with connected(copy) as connection:
        assert gather_slice_maps(connection).n_rated == 0


def test_hostile_names_stay_text(tmp_path):
    rows = cohort()
    for row in rows:
        row["series_id"] += HOSTILE
        row["stratum"] = row["contrast"]
    slices_of = made.write_hierarchy(tmp_path, rows)
    own = made.rated(rows)
    hostile = [
        {
            **made.contested(row, n, raters=f"{HOSTILE}: pass"),
            "action": HOSTILE,
            "likelier": HOSTILE,
        }
        for n, row in enumerate(own)
    ]
    made.write_looks(tmp_path, hostile)
    made.write_labels(
        tmp_path,
        [(own[0]["series_id"], 0, HOSTILE, "pass"), (own[0]["series_id"], 0, "b\u202eob", "fail")],
        [dict.fromkeys(("file", "column", "value", "problem"), HOSTILE)],
        0,
    )
    config = json.loads((slices_of / "config.json").read_text())
    (slices_of / "config.json").write_text(json.dumps({**config, "strata": ["dwi", HOSTILE]}))
    page = Page(write_report(tmp_path, SECTION))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert "<script>document" not in page.text
    assert page.words.count("document.title='owned'") > 40
    assert "\u202e" not in page.text
    assert len(maps_of(page)) == MAX_MAPS
