"""The page as a whole, from tables and stores on disk."""

import base64
import hashlib
import re
import shutil

import numpy as np
import pyarrow as pa
import pytest
import synthetic_tables as synthetic
from parsed_page import HOSTILE, Page, decoded
from PIL import Image

from mriqa.cohort.manifest import PROBLEM_SCHEMA
from mriqa.config import ReportSection
from mriqa.files import write_parquet
from mriqa.report.compact import MAX_PAGE_BYTES, shrink
from mriqa.report.mosaic import GAP, data_uri
from mriqa.report.page import write_report
from mriqa.report.pictures import Picture

SECTION = ReportSection(worst=6, random=4)


def write(folder, rows, section=SECTION):
    synthetic.write_tables(folder, rows)
    return Page(write_report(folder, section))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    rows = synthetic.make_rows(40, per_shard=20)
    synthetic.write_tables(folder, rows)
    synthetic.write_stores(folder, rows)
    return folder


@pytest.fixture(scope="module")
def page(stored):
    return Page(write_report(stored, SECTION))


def test_it_lies_where_the_workflow_expects_it(stored, page):
    assert (stored / "report/index.html").is_file()
    assert not list((stored / "report").glob(".*"))
    assert page.text.startswith("<!doctype html>")


def test_counts_and_reconciliation_are_said(page):
    assert "Every indexed series is accounted for: 40 = " in page.words


def test_pictures_show_the_volume_the_right_way_up(page):
    images = page.all("img")
    assert len(images) == 10
    for attributes in images:
        picture = np.asarray(decoded(attributes["src"]).convert("L"), dtype=float)
        assert picture.shape == (int(attributes["height"]), int(attributes["width"]))
        # below the slices planes across ten slices of 4 mm, 40 by 96 and by 100 mm
        plane = (picture.shape[1] - GAP) // 2
        height = picture.shape[0] - GAP - round(plane * 40 / 96)
        assert picture[height + GAP :, :plane].max() > 60
        assert picture[height + GAP : -2, plane + GAP : -2].max() > 60
        tile = picture[: height // 2 - 2, : picture.shape[1] // 4 - 2]
        middle = tile[tile.shape[0] // 2]
        left, right = np.array_split(middle, 2)
        assert left[left > 60].mean() > 1.5 * right[right > 60].mean()  # patient's right: left
        assert tile[:3, :3].mean() < 25  # air is dark
        body = tile > 40
        width, height = np.ptp(np.flatnonzero(body.any(0))), np.ptp(np.flatnonzero(body.any(1)))
        assert width / height == pytest.approx((0.8 * 40 * 2.5) / (0.6 * 48 * 2.0), rel=0.12)
        assert "slices " in attributes["alt"]
        assert "of 10" in attributes["alt"]


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.elements:
        for key in ("src", "href", "action", "data", "srcset", "poster", "xlink:href"):
            value = attributes.get(key)
            assert value is None or value.startswith(("#", "data:image/webp;base64,")), (tag, value)
    assert not page.all("link")
    assert not page.all("iframe")
    assert "url(" not in page.text
    assert "@import" not in page.text


def test_the_policy_allows_this_style_and_script_only(page):
    (policy,) = [
        attributes["content"]
        for attributes in page.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not [a for _, a in page.elements if any(key.startswith("on") for key in a)]
    assert not [a for _, a in page.elements if "style" in a]


def test_hostile_names_paths_and_messages_stay_text(tmp_path):
    rows = synthetic.make_rows(40)
    for row in rows:
        row |= {"site": HOSTILE, "contrast": HOSTILE, "series_id": row["series_id"] + HOSTILE}
        if row["status"] == "failed":
            row["error_message"] = HOSTILE
    problems = [{"file": HOSTILE, "line": 3, "column": HOSTILE, "value": HOSTILE, "problem": "p"}]
    write_parquet(
        tmp_path / "index_problems.parquet", pa.Table.from_pylist(problems, schema=PROBLEM_SCHEMA)
    )
    page = write(tmp_path, rows, ReportSection(title=HOSTILE, worst=3, random=3))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.words.count("document.title='owned'") > 10
    assert "<script>document" not in page.text


def test_ids_are_unique_and_every_link_has_its_target(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for attributes in page.all("a")} <= set(ids)


def test_headers_captions_and_alternative_texts(page):
    n_tables = len(page.all("table"))
    assert len(page.all("caption")) == n_tables
    assert n_tables >= 5
    assert all(attributes.get("scope") for attributes in page.all("th"))
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert page.all("html") == [{"lang": "en"}]


def test_without_stores_every_card_says_so(tmp_path):
    page = write(tmp_path, synthetic.make_rows(40))
    assert page.all("img") == []
    assert page.words.count("Picture not available: zarr/shard-00000.zarr is not there") == 10
    assert str(tmp_path) not in page.text


def test_a_damaged_store_costs_its_pictures_only(stored, tmp_path):
    copy = tmp_path / "results"
    shutil.copytree(stored, copy)
    for thing in (copy / "zarr/shard-00000.zarr").rglob("c*"):
        if thing.is_file():
            thing.write_bytes(b"not a chunk")
    page = Page(write_report(copy, SECTION))
    assert 0 < len(page.all("img")) < 10
    assert page.words.count("Picture not available") == 10 - len(page.all("img"))
    assert str(copy) not in page.text


def test_no_rows_no_failures_no_runs_and_only_failures(tmp_path):
    nothing = write(tmp_path / "nothing", [])
    assert "There are no rated volumes." in nothing.words
    assert "Nothing failed." in nothing.words
    rows = synthetic.make_rows(60)
    fine = write(tmp_path / "fine", [row for row in rows if row["status"] == "ok"])
    assert "Nothing failed." in fine.words
    failed = write(tmp_path / "failed", [row for row in rows if row["status"] == "failed"])
    assert "There is no measured volume to show." in failed.words
    assert "no rated volume" in failed.words
    unjudged = write(tmp_path / "none", [r for r in rows if r["status"] == "no_reference"])
    assert "no_reference" in unjudged.words


def test_the_small_copy_fits_into_a_data_uri(tmp_path):
    rng = np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (300, 600), np.uint8)) for _ in range(20)]
    pictures = {("s", n): Picture(data_uri(p), 600, 300, "c") for n, p in enumerate(noise)}
    pictures["gone", 0] = Picture(None, 0, 0, "", "not there")
    pictures["tiny", 0] = Picture(data_uri(noise[0].resize((10, 5))), 10, 5, "c")
    budget = sum(len(picture.uri or "") for picture in pictures.values()) // 5
    small = shrink(pictures, budget)
    assert sum(len(picture.uri or "") for picture in small.values()) <= budget
    assert small["gone", 0] == pictures["gone", 0]
    assert small["tiny", 0] == pictures["tiny", 0]
    for key, picture in small.items():
        if key[0] == "s":
            assert decoded(picture.uri).size == (picture.width, picture.height)
            assert picture.width / picture.height == pytest.approx(2, rel=0.02)
            assert picture.width > 150
    assert {picture.problem for picture in shrink(pictures, 22 * 60).values()} == {
        "not there", "too large for this small copy of the page"
    }  # fmt: skip


def test_the_small_copy_says_what_the_page_says(stored, page):
    small = Page(stored / "report/compact.html")
    assert len(small.text.encode()) <= MAX_PAGE_BYTES
    assert "Small copy" in small.words
    assert "Small copy" not in page.words
    assert len(small.all("img")) == len(page.all("img"))


def test_no_pictures_wanted(stored):
    page = Page(write_report(stored, ReportSection(worst=0, random=0)))
    assert page.all("img") == []


def test_the_same_tables_give_the_same_page(stored):
    first = write_report(stored, SECTION).read_bytes()
    assert write_report(stored, SECTION).read_bytes() == first


def test_an_unaccounted_series_is_shouted(tmp_path):
    rows = synthetic.make_rows(60)
    synthetic.write_tables(tmp_path, rows)
    kept = [row for row in rows if row["series_id"] != rows[0]["series_id"]]
    write_parquet(
        tmp_path / "tables/volumes.parquet", synthetic.table_of(kept, synthetic.VOLUMES_SCHEMA)
    )
    page = Page(write_report(tmp_path, SECTION))
    assert "Series are unaccounted for: 60 indexed" in page.words
    assert "accounted for: 60 =" not in page.words


@pytest.mark.parametrize("name", ["re'sults", "a [b] *c?", "ü ö"])
def test_odd_names_of_the_results_folder(tmp_path, name):
    page = write(tmp_path / name, synthetic.make_rows(20))
    assert "Every indexed series is accounted for: 20" in page.words


def test_a_cohort_of_50000_series_makes_a_page_of_the_same_size(tmp_path):
    rows = synthetic.make_rows(500, sites=20)
    small = synthetic.write_tables(tmp_path, rows)
    size = write_report(small, SECTION).stat().st_size
    synthetic.enlarge(tmp_path, 100)
    page = Page(write_report(tmp_path, SECTION))
    assert "Every indexed series is accounted for: 50,000 = " in page.words
    assert len(page.text.encode()) < size + 150_000
