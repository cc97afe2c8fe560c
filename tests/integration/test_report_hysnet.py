"""The page of a cohort of which HyS-Net has predicted a number: chart, accuracy, largest gaps."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic_hysnet as made
import synthetic_learned as learned
import synthetic_tables as synthetic
from parsed_page import HOSTILE, Page
from scipy.stats import pearsonr, spearmanr
from synthetic_learned import set_methods

from mriqa.config import ReportSection
from mriqa.report import predictions
from mriqa.report.hysnet import read_hysnet_model
from mriqa.report.page import MAX_GAPS, write_report
from mriqa.report.parts import rounded

SECTION = ReportSection(worst=12, random=3)
QUICK = ReportSection(worst=2, random=0)
WORDS = {
    "test": "test subjects", "validation": "validation subjects",
    "other": "others that it has not learned from", "unseen": "all that it has not seen",
    "learned": "subjects that it has learned from",
}  # fmt: skip


def written(folder, **config):
    rows = synthetic.make_rows(160, per_shard=80)
    made.write_hysnet(folder, rows, **config)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = written(tmp_path_factory.mktemp("hysnet"))
    synthetic.write_stores(folder, volumes(folder))
    return folder


@pytest.fixture(scope="module")
def page(results):
    return Page(write_report(results, SECTION))


@pytest.fixture
def copy(results, tmp_path):
    """The same results, without stores, to be changed."""
    return shutil.copytree(
        results, tmp_path / "results", ignore=shutil.ignore_patterns("zarr", "sources")
    )


def volumes(results):
    return pq.ParquetFile(results / "tables/volumes.parquet").read().to_pylist()


def compared(results):
    """Volumes with both numbers, by what the model knows of their subjects."""
    found = {}
    for row in volumes(results):
        if row["hysnet_prediction"] is None or row[made.TARGET] is None:
            continue
        kind = row["split"]
        if kind == "train":
            kind = "learned" if made.is_learned_from(row) else "other"
        found.setdefault(kind, []).append(row)
    found["unseen"] = [row for kind, own in found.items() if kind != "learned" for row in own]
    return found


def numbers(rows):
    """n, SROCC, PLCC and MAE, as the page writes them."""
    true, said = (np.array([row[name] for row in rows])
                  for name in (made.TARGET, "hysnet_prediction"))  # fmt: skip
    pair = [f"{one(true, said).statistic:.2f}".replace("-", "−") for one in (spearmanr, pearsonr)]
    return [str(len(rows)), *pair, rounded(float(np.abs(true - said).mean()))]


def gaps(results):
    """Series by their largest gap, the largest first."""
    rows = [row for kind, own in compared(results).items() if kind != "unseen" for row in own]
    return sorted(rows, key=lambda row: (-gap(row), row["series_id"]))


def gap(row):
    return abs(row["hysnet_prediction"] - row[made.TARGET])


def section_of(page):
    return page.text.partition('<section id="hysnet"')[2].partition("</section>")[0]


def test_how_near_predictions_are_is_that_of_the_tables(results, page):
    found = compared(results)
    assert set(found) == set(WORDS)
    assert min(map(len, found.values())) > 10
    for kind, rows in found.items():
        assert " ".join([WORDS[kind], *numbers(rows)]) in page.words, kind


def test_charts_part_seen_from_unseen_subjects_and_say_their_numbers(results, page):
    found, text = compared(results), section_of(page)
    charts = text.split("<figure")[1:]
    titles = ("Subjects that it has not seen", "Subjects that it has learned from")
    for chart, title, kinds in zip(
        charts, titles, (("test", "validation", "other"), ("learned",)), strict=True
    ):
        n, srocc, plcc, mae = numbers(found["unseen" if len(kinds) > 1 else "learned"])
        said = f"{title}: body_snr predicted and measured of {n} volumes; SROCC {srocc}, "
        assert f"<title>{said}PLCC {plcc}, MAE {mae}.</title>" in chart
        assert 'role="img"' in chart
        for kind in kinds:
            marks, legend = re.findall(rf'<path d="([^"]*)" class="mark {kind}"', chart)
            assert marks.count("M") == len(found[kind])
            assert legend.startswith("M6 6")
            (whiskers,) = re.findall(rf'<path d="([^"]*)" class="spread {kind}"', chart)
            own = [row for row in found[kind] if row["hysnet_spread"] is not None]
            assert whiskers.count("M") == len(own)


def test_a_mark_lies_where_its_numbers_are(results, page):
    """Further right is a larger measured number, further up a larger prediction."""
    rows = compared(results)["test"]
    (marks,) = [
        one for one in re.findall(r'<path d="([^"]*)" class="mark test"', section_of(page))
        if one.count("M") == len(rows)
    ]  # fmt: skip
    places = np.array([[float(n) for n in pair] for pair in re.findall(r"M(\S+) (\S+)h0", marks)])
    true = sorted(row[made.TARGET] for row in rows)
    assert (np.diff(places[:, 0]) >= 0).all()
    inside = (places[:, 0] > 52) & (places[:, 0] < 412)
    assert np.corrcoef(places[inside, 0], np.array(true)[inside])[0, 1] > 0.9999
    said = sorted(row["hysnet_prediction"] for row in rows)
    assert sorted(-places[:, 1])[0] == pytest.approx(-places[:, 1].max())
    assert np.corrcoef(np.sort(-places[:, 1]), said)[0, 1] > 0.9


def test_one_odd_number_does_not_squeeze_the_others(results, page):
    assert " 1 lies beyond an axis and is drawn at its end." in page.words
    (marks,) = re.findall(r'<path d="([^"]*)" class="mark learned"', section_of(page))[:1]
    x = [float(one) for one in re.findall(r"M(\S+) ", marks)]
    assert np.ptp(x) > 100


def test_the_largest_gaps_are_listed_with_their_pictures(results, page):
    rows, text = gaps(results), section_of(page)
    listed = text.partition("<tbody>")[2] and text.rpartition("<tbody>")[2]
    cells = re.findall(r"<tr>(.*?)</tr>", listed)
    assert len(cells) == predictions.MAX_GAPS
    assert gap(rows[0]) == pytest.approx(3.0)
    for place, (row, cell) in enumerate(zip(rows, cells, strict=False), start=1):
        assert row["series_id"] in cell
        assert rounded(row["hysnet_prediction"]).replace("-", "−") in cell
        assert (f'href="#gaps-{place}"' in cell) == (place <= MAX_GAPS)
    cards = re.split(r'<li id="gaps-\d+">', page.text)[1:]
    assert len(cards) == MAX_GAPS
    for row, card in zip(rows, cards, strict=False):
        assert f'alt="Volume {row["volume"]} of {row["series_id"]}: slices ' in card
        assert f"body_snr measured {rounded(row[made.TARGET])}, predicted" in card


def test_what_it_has_learned_is_said(results, page):
    named = next((results / "models/hysnet").iterdir()).name
    n_subjects = len({row["subject"] for row in compared(results)["learned"]})
    n_predicted = sum(row["hysnet_prediction"] is not None for row in volumes(results))
    for said in (
        f"model_id {named}", "target body_snr", "contrasts dixonW, T2w", "trained for 1,200 steps",
        f"trained on 17 volumes; {n_subjects} subjects are in its list",
        f"predicted {n_predicted} volumes", "Model of HyS-Net", "y" * 64,
    ):  # fmt: skip
        assert said in page.words
    assert n_predicted == 1 + sum(len(own) for kind, own in compared(results).items()
                                  if kind != "unseen")  # fmt: skip


def test_ids_links_captions_and_nothing_from_outside(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for attributes in page.all("a")}
    assert links <= set(ids)
    assert {"hysnet", "gaps-1"} <= links
    assert len(page.all("caption")) == len(page.all("table"))
    assert not [a for _, a in page.elements if "style" in a]


def test_without_it_nothing_is_said_of_it(copy):
    set_methods(copy, {})
    page = Page(write_report(copy, QUICK))
    assert "HyS-Net" not in page.words
    assert "otherwise than measured" not in page.words


def test_a_target_from_a_table_is_no_column_and_the_model_says_how_it_did(tmp_path):
    results = written(tmp_path, target="my_snr", from_table=True)
    words = Page(write_report(results, QUICK)).words
    assert "It has learned my_snr from a table of one's own" in words
    assert "validation subjects 9 0.81 0.75 2.5" in words
    assert "test subjects 2 – – 1.25" in words
    assert "Where they differ most" not in words
    assert "Subjects that it has not seen" not in words


def test_a_table_with_a_column_called_as_a_metric_is_not_the_metric(tmp_path):
    results = written(tmp_path, from_table=True)
    assert "no part of the results" in Page(write_report(results, QUICK)).words


def test_a_target_that_the_tables_have_not_is_called_so(tmp_path):
    results = written(tmp_path, target="metric_of_tomorrow")
    words = Page(write_report(results, QUICK)).words
    assert "Its target, metric_of_tomorrow, is no column of the volumes' table" in words


def test_another_cohorts_model_has_learned_from_nobody_here(copy):
    path = next((copy / "models/hysnet").iterdir()) / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "imported_from": "hysnet-0"}))
    words = Page(write_report(copy, QUICK)).words
    assert "trained on 17 volumes of another cohort, where it is hysnet-0" in words
    assert "subjects that it has learned from" not in words
    found = compared(copy)
    assert " ".join([WORDS["other"], *numbers(found["other"] + found["learned"])]) in words


def test_without_its_list_the_training_split_counts_as_learned_from(copy):
    for path in (copy / "training").glob("hysnet-*"):
        path.unlink()
    words = Page(write_report(copy, QUICK)).words
    assert "is not there any more: subjects of the training split are taken for those" in words
    found = compared(copy)
    assert " ".join([WORDS["learned"], *numbers(found["other"] + found["learned"])]) in words


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", "{}", "config.json cannot be read"),
        ("config.json", '{"learning": 3, "contrasts": [], "target": "a"}', "learning is no JSON"),
        ("metrics.json", '{"test_n": "many"}', "test_n is no number"),
        ("provenance.json", "[]", "provenance.json cannot be read"),
        (None, None, "config.json is not there"),
    ],
)
def test_a_damaged_model_costs_its_part_only(copy, name, content, said):
    folder = next((copy / "models/hysnet").iterdir())
    shutil.rmtree(folder) if name is None else (folder / name).write_text(content)
    page = Page(write_report(copy, QUICK))
    assert said in page.words
    assert " ".join([WORDS["test"], *numbers(compared(copy)["test"])]) in page.words
    assert str(copy) not in page.text


def test_of_many_volumes_a_sample_is_drawn_and_all_are_counted(copy, monkeypatch):
    monkeypatch.setattr(predictions, "MAX_POINTS", 5)
    page = Page(write_report(copy, QUICK))
    n = sum(len(own) for kind, own in compared(copy).items() if kind != "unseen")
    assert f"Of {n} volumes 20, drawn at random, are shown." in page.words
    assert " ".join([WORDS["test"], *numbers(compared(copy)["test"])]) in page.words


def test_a_constant_prediction_has_no_correlation(tmp_path):
    rows = synthetic.make_rows(40)
    made.write_hysnet(tmp_path, rows)
    for row in rows:
        if row.get("hysnet_prediction") is not None:
            row["hysnet_prediction"] = 0.75
    synthetic.write_tables(tmp_path, rows)
    set_methods(tmp_path, {"hysnet": next((tmp_path / "models/hysnet").iterdir()).name})
    page = Page(write_report(tmp_path, QUICK))
    assert re.search(r"all that it has not seen \d+ – – 0\.", page.words)
    assert "nan" not in section_of(page).lower()


def test_nobody_with_both_numbers_is_said(tmp_path):
    rows = synthetic.make_rows(40)
    made.write_hysnet(tmp_path, rows)
    for row in rows:
        row["hysnet_prediction"] = None
    synthetic.write_tables(tmp_path, rows)
    set_methods(tmp_path, {"hysnet": next((tmp_path / "models/hysnet").iterdir()).name})
    words = Page(write_report(tmp_path, QUICK)).words
    assert "No volume has a prediction; it has learned dixonW, T2w only." in words


def test_beside_a_method_that_rates_it_still_rates_nothing(tmp_path):
    rows = synthetic.make_rows(80)
    simclr = learned.write_learned(tmp_path, rows)
    named = made.write_hysnet(tmp_path, rows)
    set_methods(tmp_path, {"simclr": simclr, "hysnet": named})
    page = Page(write_report(tmp_path, QUICK))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"model", "hysnet", "gaps-1"} <= set(ids)
    assert f"rating by simclr ({simclr}); hand-made metrics" in page.words
    assert f"prediction by hysnet ({named}), which does not rate" in page.words


def test_hostile_names_stay_text(tmp_path):
    rows = synthetic.make_rows(40)
    for row in rows:
        row["series_id"] += HOSTILE
    made.write_hysnet(tmp_path, rows, contrasts=[HOSTILE])
    page = Page(write_report(tmp_path, QUICK))
    assert len(page.all("script")) == 1
    assert "<script>document" not in page.text


def test_a_model_that_is_not_there_is_told(tmp_path):
    model = read_hysnet_model(tmp_path, "hysnet-nothing")
    assert (model.target, model.subjects, dict(model.tried)) == (None, None, {})
    assert len(model.problems) == 3
