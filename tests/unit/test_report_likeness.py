"""What the page says of SimCLR, against the same numbers counted in pandas."""

import math
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic_learned as learned
import synthetic_tables as synthetic

from mriqa.files import write_parquet
from mriqa.methods.simclr.calibration import Calibration, calibrate
from mriqa.report.connection import connected
from mriqa.report.curves import LEFT, TALL, TOP, WIDTH, calibration_chart, margin_range
from mriqa.report.likeness import (
    MARGIN_BINS,
    MARGIN_LIMIT,
    MAX_STRATA,
    UNJUDGED,
    Stratum,
    gather_opinions,
    name_parts,
    poor_references,
)
from mriqa.report.picks import pick_checked, pick_random, pick_worst

LIMITS = (0.4, 0.8)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    rows = synthetic.make_rows(300)
    rows[0]["metrics_score"] = None
    learned.write_learned(folder, rows)
    return folder


@pytest.fixture(scope="module")
def volumes(results):
    table = pq.read_table(results / "tables/volumes.parquet").to_pandas()
    return table[table["status"].isin(["ok", "no_reference"])]


@pytest.fixture(scope="module")
def opinions(results):
    with connected(results) as connection:
        return gather_opinions(connection, *LIMITS)


def rating_of(score):
    if score is None or math.isnan(score):
        return UNJUDGED
    return "pass" if score >= 0.8 else "fail" if score < 0.4 else "questionable"


def test_who_rated_how_many(opinions, volumes):
    found = volumes["rating_source"].value_counts()
    assert opinions.sources["simclr"] == found["simclr"] == opinions.n_simclr > 50
    assert opinions.sources["metrics"] == found["metrics"]
    assert opinions.sources[None] == volumes["rating_source"].isna().sum()
    assert sum(opinions.sources.values()) == len(volumes)


def test_ratings_are_crossed_with_what_the_metrics_would_have_said(opinions, volumes):
    own = volumes[volumes["rating_source"] == "simclr"]
    pairs = list(zip(own["rating"], own["metrics_score"].map(rating_of), strict=True))
    assert opinions.crossed == {pair: pairs.count(pair) for pair in set(pairs)}
    assert sum(opinions.crossed.values()) == opinions.n_simclr
    assert len(opinions.crossed) > 4


def test_a_volume_without_metrics_score_is_not_judged_by_them(tmp_path):
    rows = synthetic.make_rows(60)
    learned.write_learned(tmp_path, rows)
    row = next(row for row in rows if row.get("rating_source") == "simclr")
    row["metrics_score"] = None
    synthetic.write_tables(tmp_path, rows)
    with connected(tmp_path) as connection:
        found = gather_opinions(connection, *LIMITS)
    assert {key: n for key, n in found.crossed.items() if key[1] == UNJUDGED} == {
        (row["rating"], UNJUDGED): 1
    }


def test_where_the_scores_differ_most_comes_first(opinions, volumes):
    own = volumes[volumes["rating_source"] == "simclr"]
    difference = (own["quality_score"] - own["metrics_score"]).abs()
    largest = difference.sort_values(ascending=False).head(len(opinions.disagreements))
    shown = [abs(row["quality_score"] - row["metrics_score"]) for row in opinions.disagreements]
    assert shown == pytest.approx(list(largest))
    assert len(shown) == 10


def test_strata_count_their_volumes_and_margins(opinions, volumes):
    for one in opinions.strata:
        own = volumes[volumes["stratum"] == one.name]
        margins = own["simclr_margin_whitened"].dropna()
        assert one.n_volumes == len(own)
        assert one.n_simclr == (own["rating_source"] == "simclr").sum()
        assert one.n_metrics == (own["rating_source"] == "metrics").sum()
        assert one.n_unrated == own["rating_source"].isna().sum()
        edges = np.linspace(-MARGIN_LIMIT, MARGIN_LIMIT, MARGIN_BINS + 1)
        assert one.margins == tuple(np.histogram(margins, edges)[0])
        expected = tuple(np.quantile(margins, [0.01, 0.99])) if len(margins) else None
        assert one.span == (pytest.approx(expected) if expected else None)
    assert {one.name for one in opinions.strata} == set(volumes["stratum"])
    sizes = [one.n_volumes for one in opinions.strata]
    assert sizes == sorted(sizes, reverse=True)


def test_many_strata_are_bounded_and_the_largest_stay(tmp_path):
    rows = [row for row in synthetic.make_rows(400) if row["status"] == "ok"]
    for number, row in enumerate(rows):
        row["stratum"] = "large" if number < 100 else f"s{number % 120}"
    synthetic.write_tables(tmp_path, rows)
    with connected(tmp_path) as connection:
        found = gather_opinions(connection, *LIMITS)
    assert len(found.strata) == MAX_STRATA < found.n_strata == 121
    assert (found.strata[0].name, found.strata[0].n_volumes) == ("large", 100)


def test_without_thresholds_nothing_is_crossed(results):
    with connected(results) as connection:
        assert gather_opinions(connection, None, 0.8).crossed == {}


def test_references_that_are_not_rated_pass_are_named(results, volumes):
    asked = list(zip(volumes["series_id"], volumes["volume"].astype(int), strict=True))[:80]
    rated = volumes.set_index(["series_id", "volume"])["rating"].to_dict()
    with connected(results) as connection:
        gather_opinions(connection, *LIMITS)
        found = poor_references(connection, [*asked, ("not there", 0)])
    keys = {(row["series_id"], row["volume"]) for row in found}
    assert keys == {key for key in asked if rated[key] in ("fail", "questionable")}
    assert len(keys) > 3


def test_picks_carry_simclrs_opinion_where_there_is_one(results, volumes):
    rows = volumes.set_index(["series_id", "volume"])
    with connected(results) as connection:
        picks = [*pick_worst(connection, 40), *pick_random(connection, 40, seed=0)]
    for pick in picks:
        row = rows.loc[(pick.series_id, pick.volume)]
        rated = row["rating_source"] == "simclr"
        assert (pick.likeness is not None) == rated
        if rated:
            assert pick.likeness.quality_score == pick.quality_score
            assert pick.likeness.margin_whitened == row["simclr_margin_whitened"]
            assert pick.likeness.references == (row["simclr_nearest_hq"], row["simclr_nearest_lq"])
            assert pick.metrics_score == row["metrics_score"]
    assert {pick.likeness is None for pick in picks} == {True, False}


def test_what_passes_though_a_check_failed_is_picked_lowest_first(results, volumes):
    wanted = volumes[
        (volumes["rating"] == "pass") & volumes["flag"].eq(True) & (volumes["metrics_score"] < 0.4)
    ].sort_values("metrics_score")
    with connected(results) as connection:
        picks = pick_checked(connection, 3, 0.4)
        everything = pick_checked(connection, 1000, 0.4)
    assert [pick.series_id for pick in picks] == list(wanted["series_id"])[:3]
    assert len(everything) == wanted["series_id"].nunique() > 3
    assert [pick.place for pick in picks] == [1, 2, 3]


def test_tables_of_before_simclr_are_read(tmp_path):
    synthetic.write_tables(tmp_path, synthetic.make_rows(40))
    path = tmp_path / "tables/volumes.parquet"
    table = pq.ParquetFile(path).read()
    newer = [name for name in table.column_names if name.startswith(("simclr", "metrics_score"))]
    assert len(newer) > 9
    write_parquet(path, table.drop_columns(newer))
    with connected(tmp_path) as connection:
        assert {pick.likeness for pick in pick_worst(connection, 5)} == {None}
        assert gather_opinions(connection, *LIMITS).n_simclr == 0


@pytest.mark.parametrize(
    ("name", "simulated", "parts"),
    [
        ("a b_T1w 0", False, ("a b_T1w", "volume 0")),
        ("a b_T1w 3 low_pass 0.75", True, ("a b_T1w", "volume 3 with low pass, severity 0.75")),
        ("odd", True, ("odd", "")),
    ],
)
def test_names_of_references_are_said_in_words(name, simulated, parts):
    assert name_parts(name, is_simulated=simulated) == parts


CALIBRATION = Calibration((-0.5, 0.0, 0.1, 0.6), (0.8, 0.5, 0.1, 0.0), (-0.4, 0.5), (0.2, 0.1))


def stratum(*margins, span=None):
    counts = np.histogram(margins, MARGIN_BINS, (-MARGIN_LIMIT, MARGIN_LIMIT))[0]
    return Stratum("s", len(margins), len(margins), 0, 0, tuple(counts.tolist()), span)


def points(svg, class_):
    path = re.search(rf'<path d="M([^"]*?)Z?" class="{class_}">', svg).group(1)
    return np.array([point.split(" ") for point in path.split("L")], dtype=float)


def test_the_curve_is_the_calibration():
    cohort = stratum(-0.2, 0.3, span=(-0.2, 0.3))
    svg = calibration_chart("s", CALIBRATION, cohort, LIMITS)
    low, high = margin_range(CALIBRATION, cohort)
    curve = points(svg, "curve")
    margins = low + (curve[:, 0] - LEFT) / WIDTH * (high - low)
    shown = 1 - (curve[:, 1] - TOP) / TALL
    assert np.abs(shown - CALIBRATION.quality(margins)).max() < 0.02
    assert (curve[0, 0], curve[-1, 0]) == (LEFT, LEFT + WIDTH)
    band = points(svg, "band")
    heights = band[: len(band) // 2, 1] - band[len(band) // 2 :][::-1, 1]
    assert (heights <= 0).all()
    assert np.ptp(heights) > 5
    assert svg.count('class="threshold"') == 2
    assert svg.count('class="idle"') == 2


def test_the_chart_reaches_over_the_cohorts_margins_and_nothing_leaves_it():
    cohort = stratum(-0.95, 0.95, 0.2, span=(-0.7, 0.7))
    assert margin_range(CALIBRATION, cohort)[0] < -0.7
    assert margin_range(CALIBRATION, None)[0] > -0.6
    svg = calibration_chart("s", CALIBRATION, cohort, LIMITS)
    for name in ("curve", "band"):
        found = points(svg, name)
        assert LEFT - 0.1 <= found[:, 0].min() <= found[:, 0].max() <= LEFT + WIDTH + 0.1
        assert TOP - 0.1 <= found[:, 1].min() <= found[:, 1].max() <= TOP + TALL + 0.1
    bars = [float(x) for x in re.findall(r'<rect x="([\d.-]+)"', svg)]
    assert len(bars) == 1  # the outermost two lie beyond
    assert LEFT <= bars[0] <= LEFT + WIDTH


def test_a_flat_calibration_and_no_cohort_can_be_drawn():
    flat = calibrate(np.zeros(8), np.repeat([0.0, 0.5], 4), 0.8)
    svg = calibration_chart("<b>", flat, None, (None, None))
    assert "no volume of the cohort" in svg
    assert "<b>" not in svg
    assert np.isfinite(points(svg, "curve")).all()
