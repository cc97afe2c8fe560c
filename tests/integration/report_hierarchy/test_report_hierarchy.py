"""The page of a cohort that the hierarchy has rated: raters, rounds, contested labels."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic_hierarchy as made
import synthetic_learned
import synthetic_tables as synthetic
from hierarchy_page import (
    QUICK,
    SECTION,
    change,
    cohort,
    looks,
    maps_of,
    plain,
    volumes,
)
from parsed_page import Page, decoded

from mriqa.config import ReportSection
from mriqa.report.compact import MAX_PAGE_BYTES
from mriqa.report.connection import connected
from mriqa.report.contested import LISTED, gather_second_look
from mriqa.report.page import write_report


def test_what_raters_said_is_counted_by_rater_and_rating(page):
    words = page.words
    assert "16 labels are in use (16 of volumes), of" in words
    assert "2 more not used: repeated." in words
    assert "ann 8 (100.0%) 0 (0.0%) 0 (0.0%) 8" in words
    assert "bob 5 (62.5%) 0 (0.0%) 3 (37.5%) 8" in words
    assert "all 2 raters 13 (81.2%) 0 (0.0%) 3 (18.8%) 16" in words


def test_agreement_is_said_for_all_and_for_every_two(results, page):
    (one,) = json.loads((results / "labels/agreement.json").read_text())
    fleiss = f"{one['fleiss_kappa']:.2f}".replace("-", "−")
    assert f"volume 8 2 8 3 62.5% {fleiss}" in page.words
    assert "ann and bob volume 8 62.5% 0.00 0.00" in page.words
    assert "pass and fail for twice as far" in page.words


def test_problems_of_labels_are_counted_and_their_file_is_named(page):
    assert "Problems found in the labels (1)" in page.words
    assert "labels/problems.parquet" in page.words
    assert "l.tsv 7 rating goood no rating" in page.words


def test_kappas_that_are_undefined_are_called_so(copy):
    made.write_labels(copy, [("s", 0, "ann", "pass"), ("s", 0, "bob", "pass")], [], 0)
    words = Page(write_report(copy, QUICK)).words
    assert "volume 1 2 1 0 100.0% undefined" in words
    assert "ann and bob volume 1 100.0% undefined undefined" in words
    assert "No problem was found in the labels." in words


def test_nobody_twice_is_no_agreement(copy):
    made.write_labels(copy, [("s", None, "ann", "pass")], [], 0)
    words = Page(write_report(copy, QUICK)).words
    assert "1 labels are in use (1 of series)" in words
    assert "series 1 1 0 0 – –" in words
    assert "Each two raters" not in words


def test_without_labels_nothing_is_said_of_raters(copy):
    shutil.rmtree(copy / "labels")
    page = Page(write_report(copy, QUICK))
    assert "What raters said" not in page.words
    assert "FROM labels" not in page.words
    assert "raters" not in {one["href"][1:] for one in page.all("a")}


def test_labels_are_shown_without_any_learned_method(tmp_path):
    rows = synthetic.make_rows(20)
    synthetic.write_tables(tmp_path, rows)
    made.write_labels(tmp_path, [("s", 0, "ann", "pass")], [], 0)
    words = Page(write_report(tmp_path, SECTION)).words
    assert "What raters said" in words
    assert "What raters said, beside the rating" in words
    assert "The hierarchy" not in words
    assert "Who rated" not in words


def test_what_it_learned_from_and_how_well(page):
    words = page.words
    assert f"model_id {made.MODEL_ID}" in words
    assert "trained on 121 volumes, 1,440 simulated copies" in words
    assert "labels of people 302" in words
    assert "2 proposed by the metrics; a person has confirmed 1 and refused 0" in words
    assert "validation 63 0.65" in words
    assert "test 0 –" in words
    assert "fails from 25% failed volumes on, else passes from 75% passed ones on" in words
    assert "slices 0.72, volumes 2.20" in words


def test_strata_that_it_does_not_know_and_their_volumes_are_counted(results, page):
    measured = [row for row in volumes(results) if row["status"] in ("ok", "no_reference")]
    known = [row for row in measured if row["stratum"] in made.STRATA]
    own = [row for row in known if row["hierarchy_rating"]]
    assert f"It knows 2 strata, in which it has rated {len(own)} measured volumes" in page.words
    if len(known) > len(own):
        assert f"and could not rate {len(known) - len(own)}." in page.words
    beyond = len(measured) - len(known)
    assert f"There are {beyond} measured volumes of 2 strata that it does not know" in page.words
    for name in ("T2w", "dixonF"):
        n = sum(row["stratum"] == name for row in measured)
        assert re.search(rf"Strata that it does not know \(2\).* {name} {n} ", page.words)


def test_rounds_are_told_by_level_scans_and_copies_apart(page):
    head = "of round kept relabelled dropped added left out"
    rows = (
        "slices scans 1 5 0 7 0 3 slices scans 2 8 2 2 3 0 slices simulated copies 2 11 0 0 0 0 "
        "volumes scans 1 1,234 1 0 0 0"
    )
    assert f"{head} {rows}" in page.words


def test_who_rated_and_the_metrics_beside_it(results, page):
    own = [row for row in volumes(results) if row["rating_source"] == "hierarchy"]
    assert re.search(
        rf"Measured volumes by what rated them .* the hierarchy {len(own)} ", page.words
    )
    assert (
        f"Of {len(own)} volumes that both the hierarchy and the metrics have judged" in page.words
    )
    both = sum(row["rating"] == "pass" and row["metrics_score"] >= 0.8 for row in own)
    assert f"✓ pass {both} " in page.words


def test_flags_of_networks_and_sources_have_their_words(page):
    assert "the hierarchy's networks do not rate it pass" in page.words
    assert (
        f"rating by hierarchy ({made.MODEL_ID}); hand-made metrics where it has not" in page.words
    )
    assert "Model of the hierarchy" in page.words
    assert "weights sha256 " + "h" * 64 in page.words
    assert "hierarchy_usable" in page.words
    assert "SimCLR" not in page.words


def test_pictures_say_what_the_hierarchy_thinks_and_show_its_worst_slice(results, page):
    known = {(row["series_id"], row["volume"]): row for row in volumes(results)}
    cards = re.split(r'<li id="(?:worst|random)-\d+">', page.text)[1:]
    assert len(cards) == 9
    n_rated = 0
    for card in cards:
        volume, series_id = re.search(r'alt="Volume (\d+) of (\S+): slices', card).groups()
        row = known[series_id, int(volume)]
        if row["hierarchy_rating"] is None:
            continue
        n_rated += 1
        assert f"fail {row['hierarchy_p_fail']:.2f}" in card
        assert f"worst slice {row['hierarchy_worst_slice']}" in card
        shown = re.search(r"slices ([\d, ]+) of", card).group(1)
        assert str(row["hierarchy_worst_slice"]) in shown.split(", ")
    assert n_rated > 1


def test_thresholds_are_drawn_only_where_they_rate(page):
    charts = dict(re.findall(r"<figcaption>(\w+)<span>\d+ rated.*?(<svg.*?</svg>)", page.text))
    assert 'class="threshold"' in charts["T2w"]
    assert 'class="threshold"' not in charts["dixonW"]


def test_a_contested_label_is_shown_with_who_gave_it_and_a_picture(results, page):
    first, second = looks(page)
    row = made.rated(volumes(results))[0]
    said = plain(first)
    assert "✓ pass likelier ✕ fail doubt 0.90" in said
    assert "ann: pass" in said
    assert row["series_id"] in said
    alt = re.search(r'alt="([^"]+)"', first).group(1)
    assert alt.startswith(f"Volume {row['volume']} of {row['series_id']}: slices ")
    shown = re.search(r"slices ([\d, ]+) of", alt).group(1).split(", ")
    assert len(shown) == 4
    assert str(row["hierarchy_worst_slice"]) in shown
    assert "doubt 0.90" in plain(second)
    (slice_card,) = looks(page, "slice")
    assert "slice 4" in plain(slice_card)
    assert ": slices 4 of 10" in slice_card
    picture = np.asarray(decoded(re.search(r'src="([^"]+)"', slice_card).group(1)).convert("L"))
    assert picture.max() > 150  # a body, not a blank
    assert picture.shape[0] < 130  # one slice


def test_excluded_and_vanished_series_are_left_out_and_the_rest_is_counted(copy):
    own = made.rated(volumes(copy))
    series = list({row["series_id"]: row for row in own}.values())
    gone = {"series_id": "not_there", "volume": 0}
    excluded = series[0]["series_id"]
    rows = [made.contested(row, place) for place, row in enumerate([gone, *own])]
    made.write_looks(copy, rows)
    cohort_file = copy / "cohort.parquet"
    ids = pq.ParquetFile(cohort_file).read()["series_id"].to_pylist()
    change(cohort_file, "excluded_by", ["withdrawn" if one == excluded else None for one in ids])
    page = Page(write_report(copy, QUICK))
    left = [row for row in own if row["series_id"] != excluded]
    cards = [plain(card) for card in looks(page)]
    assert len(cards) == LISTED["volume"] < len(left)
    assert [row["series_id"] in card for row, card in zip(left, cards, strict=False)] == [
        True
    ] * len(cards)
    assert not any(excluded in card or "not_there" in card for card in cards)
    n_gone = len(rows) - len(left)
    assert f"Volumes ({LISTED['volume']} of {len(left)})" in page.words
    assert f"and {len(left) - LISTED['volume']} more: models/hierarchy/" in page.words
    assert f"{n_gone} more are of series that have left the cohort or are excluded" in page.words
    assert cards[0].count("Picture not available: zarr/") == 1


def test_nothing_contested_is_said(copy):
    made.write_looks(copy, [])
    assert "contest no label that a person gave" in Page(write_report(copy, QUICK)).words


def test_accessible_and_closed(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for attributes in page.all("a")}
    assert links <= set(ids)
    assert {"raters", "second-look", "opinions", "hierarchy"} <= links
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all(attributes["href"].startswith("data:image/webp") for attributes in page.all("image"))
    assert not [a for _, a in page.elements if "style" in a or any(k.startswith("on") for k in a)]
    assert "url(" not in page.text


def test_the_small_copy_says_and_shows_the_same(results, page):
    small = Page(results / "report/compact.html")
    assert len(small.text.encode()) <= MAX_PAGE_BYTES
    assert len(small.all("img")) == len(page.all("img"))
    assert maps_of(small) == maps_of(page)


def test_the_small_copy_of_many_contested_labels_stays_small(results, tmp_path):
    shutil.copytree(results, tmp_path / "r")
    own = made.rated(volumes(results))
    made.write_looks(tmp_path / "r", [made.contested(row, n) for n, row in enumerate(own)])
    page = Page(write_report(tmp_path / "r", ReportSection(worst=12, random=4)))
    assert len(looks(page)) == LISTED["volume"]
    small = (tmp_path / "r/report/compact.html").read_bytes()
    assert len(small) <= MAX_PAGE_BYTES


def test_the_same_results_give_the_same_page(results, page):
    assert write_report(results, SECTION).read_text() == page.text


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Rated by SimCLR and, before it, by the hierarchy in its strata; without pictures."""
    folder = tmp_path_factory.mktemp("both")
    rows = cohort(80)
    named = synthetic_learned.write_learned(folder, rows)
    slices = made.add_ratings(rows)
    synthetic.write_tables(folder, rows)
    synthetic.write_slices(folder, slices)
    made.write_model(folder, [])
    synthetic_learned.set_methods(folder, {"hierarchy": made.MODEL_ID, "simclr": named})
    return folder


def test_both_methods_stand_side_by_side(both):
    page = Page(write_report(both, SECTION))
    words, rows = page.words, volumes(both)
    twice = sum(bool(r["hierarchy_rating"]) and r["simclr_quality_score"] is not None for r in rows)
    assert twice > 5
    assert f"Both learned methods have judged {twice} volumes" in words
    for name in ("SimCLR", "the hierarchy"):
        assert f"Volumes rated by {name}, by what metrics_score alone" in words
        assert f"Model of {name}" in words
    assert "Measured volumes by what rated them" in words
    assert words.count("Measured volumes by what rated them") == 1
    assert "rated by the hierarchy" in words
    assert "hand-made metrics where neither can" in words
    links = [one["href"] for one in page.all("a")]
    assert {"#hierarchy", "#model", "#opinions"} <= set(links)
    assert len(page.all("caption")) == len(page.all("table"))


def test_a_volume_that_both_have_judged_counts_for_simclrs_bank(both):
    words = Page(write_report(both, SECTION)).words
    judged = sum(
        row["simclr_quality_score"] is not None and row["stratum"] == "dixonW"
        for row in volumes(both)
    )
    assert f"dixonW 4 4 8 4 1 0.91 {judged}" in words


def test_second_look_reads_no_more_than_it_shows(results):
    with connected(results) as connection:
        found = gather_second_look(connection, results, made.MODEL_ID)
    assert dict(found.counts) == {"volume": 2, "slice": 1}
    assert [one.place for one in found.looks] == [1, 2, 1]
    assert found.told == ()


@pytest.mark.parametrize(("accuracy", "said"), [(0.6, True), (0.7, False), (None, False)])
def test_a_hierarchy_that_does_not_rate_is_said_to(copy, accuracy, said):
    path = copy / "models/hierarchy" / made.MODEL_ID / "config.json"
    config = json.loads(path.read_text())
    config["learning"]["min_accuracy"] = 0.65
    config["fitted"]["accuracy"] = accuracy
    path.write_text(json.dumps(config))
    words = Page(write_report(copy, QUICK)).words
    told = "its balanced accuracy on validation volumes is 0.60, below 0.65"
    assert (told in words) == said
