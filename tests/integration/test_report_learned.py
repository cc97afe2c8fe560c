"""The page of a cohort that SimCLR has rated: references beside volumes, model, what is missing."""

import json
import re
import shutil

import numpy as np
import parsed_page
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import synthetic_learned as learned
import synthetic_tables as synthetic
from parsed_page import HOSTILE, decoded
from PIL import Image
from synthetic_learned import STRATA

from mriqa.artifacts import Artifact, apply
from mriqa.config import ReportSection
from mriqa.files import write_parquet
from mriqa.images.store import open_store
from mriqa.report.compact import MAX_PAGE_BYTES
from mriqa.report.learned import read_learned
from mriqa.report.page import MAX_CHECKED, write_report

WORST, RANDOM = 20, 3
SECTION = ReportSection(worst=WORST, random=RANDOM)


class Page(parsed_page.Page):
    """`cards` are its worst volumes, `checks` those that pass, though a check failed, with their
    references."""

    def __init__(self, path):
        super().__init__(path)
        worst, checks, *_ = [*re.split(r'<h3 id="(?:checks|random)"', self.text), ""]
        self.cards = re.split(r'<li id="worst-\d+">', worst)[1:]
        self.checks = re.split(r'<li id="checks-\d+">', checks)[1:]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    rows = synthetic.make_rows(80, per_shard=40)
    learned.write_learned(folder, rows)
    synthetic.write_stores(folder, rows)
    return folder


@pytest.fixture(scope="module")
def page(results):
    return Page(write_report(results, SECTION))


@pytest.fixture
def copy(results, tmp_path):
    """The same results, to be changed."""
    return shutil.copytree(results, tmp_path / "results")


def volumes(results):
    return {
        (row["series_id"], row["volume"]): row
        for row in pq.ParquetFile(results / "tables/volumes.parquet").read().to_pylist()
    }


def worst(results):
    rows = [row for row in volumes(results).values() if row["quality_score"] is not None]
    best = {}
    for row in sorted(rows, key=lambda row: (-row["quality_score"], -row["volume"])):
        best[row["series_id"]] = row
    return sorted(best.values(), key=lambda row: (row["quality_score"], row["series_id"]))[:WORST]


def checked(results):
    """Volumes that pass, though a check failed, as they should be shown."""
    rows = [
        row
        for row in volumes(results).values()
        if row["rating"] == "pass" and row["flag"] and (row["metrics_score"] or 1) < 0.4
    ]
    return sorted(rows, key=lambda row: (row["metrics_score"], row["series_id"]))[:MAX_CHECKED]


def shown(results):
    """Volumes on the page, and pictures of references beside them."""
    rows = [*worst(results), *checked(results)]
    beside = 2 * sum(row["rating_source"] == "simclr" for row in rows)
    return len(rows) + RANDOM, beside


def pictures(card):
    """Alternative text and grey levels of each picture of a card."""
    found = re.findall(r'<img src="(data:image/webp;base64,[^"]+)" alt="([^"]+)"', card)
    return {alt: np.asarray(decoded(uri).convert("L"), float) for uri, alt in found}


def model_folder(results):
    (folder,) = (results / "models/simclr").iterdir()
    return folder


def bank(results):
    content = json.loads((model_folder(results) / "bank/bank.json").read_text())
    references = [one for stratum in content["strata"] for one in stratum["references"]]
    return {
        f"{one['series_id']} {one['volume']}"
        + (f" {one['family']} {one['severity']:.2f}" if one["family"] else ""): one
        for one in references
    }


def test_each_rated_volume_has_its_nearest_references_beside_it(results, page):
    rows, rated = worst(results), 0
    assert len(page.cards) == len(rows) == WORST
    for row, card in zip(rows, page.cards, strict=True):
        assert row["series_id"] in card
        is_rated = row["rating_source"] == "simclr"
        names = [row["simclr_nearest_hq"], row["simclr_nearest_lq"]] if is_rated else []
        shown = list(pictures(card))
        assert shown[0].startswith(f"Volume {row['volume']} of {row['series_id']}: ")
        assert len(shown) == 1 + len(names)
        for kind, name, alt in zip(("HQ", "LQ"), names, shown[1:], strict=bool(names)):
            assert alt.startswith(f"{kind} reference {name}: slices ")
        rated += is_rated
    assert 3 <= rated < WORST


def test_what_passes_though_a_check_failed_is_shown_too(results, page):
    rows = checked(results)
    assert len(page.checks) == len(rows) > 1
    for row, card in zip(rows, page.checks, strict=True):
        assert next(iter(pictures(card))).startswith(f"Volume {row['volume']} of ")
        assert row["series_id"] in card
        assert f"LQ reference {row['simclr_nearest_lq']}:" in list(pictures(card))[2]
    assert f"Rated pass, but a check failed ({len(rows)})" in page.words


def test_the_numbers_of_both_opinions_stand_below(results, page):
    for row, card in zip(worst(results), page.cards, strict=True):
        said = re.sub(r"<[^>]+>", " ", card).replace("−", "-")
        assert f"{row['quality_score']:.3f}" in said
        if row["rating_source"] == "simclr":
            assert f"± {row['simclr_quality_sd']:.2f}" in said
            assert f"{row['metrics_score']:.2f}" in said
            assert f"{row['simclr_margin_whitened']:+.2f}" in said
            assert f"{row['simclr_margin']:+.4f}" in said
            assert "of the same sex, and nearest in height and weight" in said


def expected(results, reference):
    """A reference as stored, as it should be shown, and what is white in both."""
    row = volumes(results)[reference["series_id"], reference["volume"]]
    store = open_store(results / "zarr" / f"shard-{row['shard']:05d}.zarr")
    series = store.series(reference["series_id"])
    image = series.volume(reference["volume"])
    high = series.attributes.percentile(reference["volume"], 99.5)
    if reference["artifact"]:
        artifact = Artifact.from_json(reference["artifact"])
        return image, np.rint(apply(image, learned.SPACING, artifact)), high
    return image, image, high


def tiles(picture):
    """The 2 × 2 slices of a picture, shrunk to half their voxels."""
    height, width = (side // 2 for side in picture.shape)
    for row in (0, 1):
        for column in (0, 1):
            top, left = row * (height + 1), column * (width + 1)
            tile = Image.fromarray(picture[top : top + height - 1, left : left + width - 1])
            yield np.asarray(tile.resize((20, 24), Image.Resampling.BOX), float)


def distance(picture, image, shown, high):
    """Mean difference of grey levels between a picture and the slices `shown` of a volume."""
    low = image[shown].min()
    grey = np.clip((image[shown] - low) / (high - low), 0, 1) * 255
    found = []
    for tile, source in zip(tiles(picture), grey, strict=True):
        turned = Image.fromarray(source[::-1, ::-1].astype(np.float32))
        wanted = np.asarray(turned.resize((20, 24), Image.Resampling.BOX))
        found.append(np.abs(tile - wanted).mean())
    return max(found)


def test_the_pictures_are_those_references_artifacts_and_all(results, page):
    seen = set()
    known = bank(results)
    for card in page.cards:
        for alt, picture in list(pictures(card).items())[1:]:
            name, _, slices = alt.split(" reference ", 1)[1].partition(": slices ")
            clean, image, high = expected(results, known[name])
            shown = [int(number) for number in slices.partition(" of ")[0].split(", ")]
            assert len(shown) == 4
            assert distance(picture, image, shown, high) < 4
            if known[name]["family"]:
                far = distance(picture, clean, shown, high)
                assert far > 3 * distance(picture, image, shown, high), name
            seen.add(known[name]["family"])
    assert seen >= {None, "noise", "dropout"}


def test_the_slice_that_an_artifact_changes_is_among_those_shown(results, page):
    known = bank(results)
    for card in page.cards:
        for alt in pictures(card):
            if " dropout " in alt:
                name, _, slices = alt.split(" reference ", 1)[1].partition(": slices ")
                changed = Artifact.from_json(known[name]["artifact"]).slices
                assert {int(n) for n in slices.partition(" of ")[0].split(", ")} & set(changed)
                return
    pytest.fail("no dropout was shown")


def test_the_section_on_the_model_says_what_it_is(results, page):
    words = page.words
    named = model_folder(results).name
    assert f"model_id {named}" in words
    series = {one[0] for one in volumes(results) if volumes(results)[one]["status"] == "ok"}
    assert f"trained on {len(series)} series of " in words
    assert "trained for 5 steps, 40 slices seen" in words
    assert "loss 2.1250 NT-Xent, lower is better; 2.71 is" in words
    assert "a person has confirmed 1 and refused 1 of 4" in words
    for stratum in learned.STRATA:
        rated = sum(
            row["rating_source"] == "simclr" and row["stratum"] == stratum
            for row in volumes(results).values()
        )
        # subjects, HQ, LQ, milder copies, not used, AUC
        assert f"{stratum} 4 4 8 4 1 0.91 {rated}" in words
        assert f"{stratum} {rated} rated {stratum}: quality_score goes from" in words
    assert "references of 1 subjects; 2 are needed" in words
    assert "Strata that SimCLR does not rate (2, " in words
    assert "one note" in words


def test_what_the_banks_doubt_is_shown_the_worst_first(page):
    assert "Listed as HQ, but not used, as the others doubt it (2)" in page.words
    first, last = (page.words.index(f"doubted_{name} 1 0.{tenths}") for name, tenths in
                   ((STRATA[1], "30"), (STRATA[0], "50")))  # fmt: skip
    assert first < last


def test_hq_references_that_are_poor_themselves_are_shown(results, page):
    rated = volumes(results)
    poor = [
        name
        for name, one in bank(results).items()
        if not one["family"] and rated[one["series_id"], one["volume"]]["rating"] != "pass"
    ]
    assert poor
    assert f"HQ references that are not rated pass themselves ({len(poor)})" in page.words


def test_provenance_names_model_and_settings(results, page):
    assert f"rating by simclr ({model_folder(results).name}); hand-made metrics where" in page.words
    assert "weights sha256 " + "w" * 64 in page.words
    assert '"min_references": 2' in page.words
    assert "calibrated on simulated ones" in page.words


def test_ids_links_and_alternative_texts(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for attributes in page.all("a")}
    assert links <= set(ids)
    assert "model" in links
    assert all(attributes["alt"] for attributes in page.all("img"))


def test_the_small_copy_stays_small(results, page):
    small = Page(results / "report/compact.html")
    assert len(small.text.encode()) <= MAX_PAGE_BYTES
    assert len(small.all("img")) == len(page.all("img"))


def test_the_same_results_give_the_same_page(results, page):
    assert write_report(results, SECTION).read_text() == page.text


def test_references_share_the_pixels_of_the_page(results, monkeypatch):
    monkeypatch.setattr("mriqa.report.pictures.FULL_SIZE_PICTURES", 12)
    page = Page(write_report(results, ReportSection(worst=80, random=0)))
    assert len(page.all("img")) > 130
    pixels = sum(int(one["width"]) * int(one["height"]) for one in page.all("img"))
    assert pixels < 1.05 * 12 * 8 * 224**2  # lines between slices


def test_without_stores_every_picture_says_so_and_nothing_else_is_lost(copy):
    shutil.rmtree(copy / "zarr")
    page = Page(write_report(copy, SECTION))
    assert page.all("img") == []
    missing = page.words.count("Picture not available: zarr/shard-0000")
    assert missing == sum(shown(copy))
    assert "Nearest LQ reference" in page.words
    assert str(copy) not in page.text


def test_a_withdrawn_reference_is_not_shown(copy):
    row = next(row for row in worst(copy) if row["rating_source"] == "simclr")
    series = row["simclr_nearest_hq"].rpartition(" ")[0]
    path = copy / "tables/volumes.parquet"
    table = pq.ParquetFile(path).read()
    gone = ["withdrawn" if one == series else None for one in table["series_id"].to_pylist()]
    at = table.column_names.index("excluded_by")
    write_parquet(path, table.set_column(at, "excluded_by", pa.array(gone, pa.string())))
    page = Page(write_report(copy, SECTION))
    assert "its series has been excluded since (withdrawn)" in page.words
    assert not any(series in alt and "reference" in alt for card in page.cards for alt in
                   pictures(card))  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "bank/bank.json").unlink(), "bank/bank.json is not there"),
        (lambda folder: (folder / "bank/bank.json").write_text("{]"), "bank.json cannot be read"),
        (lambda folder: (folder / "bank/bank.json").write_text("{}"), "bank.json cannot be read"),
        (lambda folder: (folder / "metrics.json").write_text("[]"), "metrics.json cannot be read"),
        (shutil.rmtree, "config.json is not there"),
    ],
    ids=["no bank", "damaged bank", "empty bank", "odd metrics", "no model"],
)
def test_a_missing_or_damaged_model_costs_its_part_only(copy, damage, said):
    damage(model_folder(copy))
    page = Page(write_report(copy, SECTION))
    assert said in page.words
    assert "Every indexed series is accounted for: 80 = " in page.words
    assert "Measured volumes by what rated them" in page.words
    assert len(page.all("img")) >= WORST + RANDOM
    assert str(copy) not in page.text


def test_a_list_pinned_anew_is_not_taken_for_the_models(copy):
    rows = [row for row in volumes(copy).values() if row["contrast"] == "dwi"]
    learned.write_pin(copy, rows)
    assert (
        "trained on a list of series that is not there any more"
        in Page(write_report(copy, SECTION)).words
    )


def test_a_damaged_artifact_costs_its_picture_only(copy):
    path = model_folder(copy) / "bank/bank.json"
    path.write_text(path.read_text().replace('\\"shape\\": [10,', '\\"shape\\": [11,'))
    page = Page(write_report(copy, SECTION))
    own, beside = shown(copy)
    assert page.words.count("the artifact was drawn for (11, 48, 40)") == beside // 2
    assert len(page.all("img")) == own + beside // 2


def test_hostile_names_of_references_stay_text(tmp_path):
    rows = synthetic.make_rows(40)
    for row in rows:
        row["series_id"] += HOSTILE
        row["stratum"] = row["contrast"]
    learned.write_learned(tmp_path, rows)
    page = Page(write_report(tmp_path, SECTION))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert page.words.count("document.title='owned'") > 20
    assert "<script>document" not in page.text


def test_without_a_method_there_is_no_model_on_the_page(copy):
    learned.set_methods(copy, {})
    page = Page(write_report(copy, SECTION))
    assert "a check failed (" not in page.words
    assert "Model" not in [text.strip() for text in page.data]
    assert len(page.all("img")) == WORST + RANDOM
    assert "hand-made metrics, no learned model" in page.words


def test_read_learned_never_raises_for_a_model_that_is_not_there(tmp_path):
    model = read_learned(tmp_path, "simclr-nothing")
    assert model.references is None
    assert len(model.problems) == 4
