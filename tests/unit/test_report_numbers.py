"""Aggregates of the page against the same numbers counted in pandas; picks and their metrics."""

from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import synthetic_tables as synthetic

from mriqa.errors import UserError
from mriqa.rating.rate import RATED_METRICS
from mriqa.rating.robust import adverse_z
from mriqa.report.connection import connected
from mriqa.report.parts import rounded, share
from mriqa.report.picks import pick_random, pick_worst
from mriqa.report.summary import BINS, MAX_FAILURES, OTHERS, RATINGS, STATUSES, summarise


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return synthetic.write_tables(folder, synthetic.make_rows(300))


@pytest.fixture(scope="module")
def volumes(results):
    return pq.read_table(results / "tables/volumes.parquet").to_pandas()


@pytest.fixture(scope="module")
def summary(results):
    with connected(results) as connection:
        return summarise(connection, results)


def summary_of(folder, rows):
    synthetic.write_tables(folder, rows)
    with connected(folder) as connection:
        return summarise(connection, folder)


def test_series_are_counted_once_and_add_up(summary, volumes):
    assert summary.series["indexed"] == volumes["series_id"].nunique() == 300
    assert sum(summary.series[key] for key in STATUSES) == 300
    rated = volumes[volumes["status"] == "ok"]
    assert summary.series["ok"] == rated["series_id"].nunique()
    assert not summary.unbalanced
    assert sum(row["indexed"] for row in summary.shards) == 300


def test_a_series_with_one_rated_and_one_failed_volume_is_rated(tmp_path):
    rows = synthetic.make_rows(40)
    good = next(row for row in rows if row["contrast"] == "dwi" and row["volume"] == 1)
    good |= {"status": "failed", "error_code": "constant", "error_message": "m"}
    found = summary_of(tmp_path, rows)
    assert found.series["ok"] == len({r["series_id"] for r in rows if r["status"] == "ok"})
    assert found.volumes["failed"] == sum(row["status"] == "failed" for row in rows)


def test_a_lost_series_is_reported_by_its_shard(tmp_path):
    rows = synthetic.make_rows(200, per_shard=50)
    synthetic.write_tables(tmp_path, rows)
    lost = rows[0]["series_id"]
    kept = synthetic.table_of([r for r in rows if r["series_id"] != lost], synthetic.VOLUMES_SCHEMA)
    pq.write_table(kept, tmp_path / "tables/volumes.parquet")
    with connected(tmp_path) as connection:
        found = summarise(connection, tmp_path)
    assert [row["shard"] for row in found.unbalanced] == [0]


def test_volumes_ratings_and_flags(summary, volumes):
    for key in STATUSES:
        assert summary.volumes[key] == (volumes["status"] == key).sum()
    for key in RATINGS:
        assert summary.volumes[key] == (volumes["rating"] == key).sum()
    assert summary.volumes["flagged"] == volumes["flag"].eq(True).sum()
    counted = volumes[volumes["flag"].eq(True)]["flag_reason"].value_counts()
    assert {row["name"]: row["n"] for row in summary.reasons} == counted.to_dict()


def test_histograms_and_quantiles_by_contrast_and_site(summary, volumes):
    rated = volumes[volumes["status"] == "ok"]
    for group in [*summary.groups, *summary.overall]:
        scores = rated[rated["contrast"] == group.contrast]
        if group.site is not None:
            scores = scores[scores["site"] == group.site]
        for rating in RATINGS:
            of_rating = scores[scores["rating"] == rating]["quality_score"]
            expected = np.histogram(of_rating, BINS, range=(0, 1))[0]
            assert group.bins[rating] == tuple(expected)
        expected = np.quantile(scores["quality_score"], [0.05, 0.25, 0.5, 0.75, 0.95])
        assert group.quantiles == pytest.approx(tuple(expected))
    assert len(summary.groups) == 12
    assert len(summary.overall) == 4


def test_scores_of_exactly_0_and_1_are_in_the_outer_bins(tmp_path):
    rows = [row for row in synthetic.make_rows(20) if row["status"] == "ok"][:2]
    rows[0] |= {"quality_score": 0.0, "rating": "fail", "contrast": "x"}
    rows[1] |= {"quality_score": 1.0, "rating": "pass", "contrast": "x"}
    (group,) = summary_of(tmp_path, rows).overall
    assert group.bins["fail"][0] == 1
    assert group.bins["pass"][BINS - 1] == 1


def test_many_sites_and_contrasts_are_bounded_and_none_is_lost(tmp_path):
    rows = synthetic.make_rows(400, sites=40)
    for number, row in enumerate(rows):
        row["contrast"] = f"c{number % 30}"
    found = summary_of(tmp_path, rows)
    assert len(found.groups) <= 13 * 13
    assert {OTHERS} < {group.site for group in found.groups}
    assert found.overall[-1].contrast == OTHERS
    assert sum(group.counts["rows"] for group in found.groups) == len(rows)


def test_rows_without_a_site_are_a_site_of_their_own(tmp_path):
    rows = synthetic.make_rows(20)
    for row in rows:
        row["site"] = None
    found = summary_of(tmp_path, rows)
    assert {group.site for group in found.groups} == {"(no site)"}


def test_failures_are_counted_by_code_and_listed_up_to_a_bound(tmp_path):
    rows = synthetic.make_rows(30)
    extra = [
        {**rows[0], "series_id": f"bad_{number:04d}", "status": "failed", "volume": None,
         "error_code": "truncated", "error_message": "m" * 5000}
        for number in range(500)
    ]  # fmt: skip
    found = summary_of(tmp_path, rows + extra)
    assert len(found.failed_rows) == MAX_FAILURES
    assert found.n_failed_rows >= 500
    assert found.failures[0]["name"] == "truncated"
    assert sum(row["n"] for row in found.failures) == found.n_failed_rows
    assert max(len(row["error_message"]) for row in found.failed_rows) <= 400


def test_the_worst_are_the_lowest_volume_of_the_lowest_series(results, volumes):
    rated = volumes[volumes["status"] == "ok"]
    lowest = rated.loc[rated.groupby("series_id")["quality_score"].idxmin()]
    expected = lowest.sort_values(["quality_score", "series_id"]).head(20)
    with connected(results) as connection:
        worst = pick_worst(connection, 20)
    assert [(p.series_id, p.volume) for p in worst] == list(
        zip(expected["series_id"], expected["volume"].astype(int), strict=True)
    )
    assert [pick.place for pick in worst] == list(range(1, 21))
    assert all(a.quality_score <= b.quality_score for a, b in pairwise(worst))


def test_the_random_sample_hangs_on_the_seed_alone(results):
    with connected(results) as connection:
        first, again = (pick_random(connection, 15, seed=3) for _ in range(2))
        other = pick_random(connection, 15, seed=4)
        everything = pick_random(connection, 10_000, seed=4)
    assert first == again
    assert [p.series_id for p in first] != [p.series_id for p in other]
    assert {p.status for p in everything} == {"ok", "no_reference"}
    assert len({(p.series_id, p.volume) for p in everything}) == len(everything)


def test_oddities_are_the_z_scores_that_quality_score_is_made_of(results, volumes):
    with connected(results) as connection:
        worst = pick_worst(connection, 10)
    values = {metric.name: volumes[metric.name].to_numpy() for metric in RATED_METRICS}
    strata = [np.flatnonzero(volumes["stratum"] == name) for name in volumes["stratum"].unique()]
    adverse = adverse_z(values, RATED_METRICS, strata)
    for pick in worst:
        own = (volumes["series_id"] == pick.series_id) & (volumes["volume"] == pick.volume)
        (row,) = np.flatnonzero(own)
        of_name = dict(zip(values, adverse[row], strict=True))
        largest = sorted((z for z in of_name.values() if z >= 1), reverse=True)[:3]
        assert [odd.z for odd in pick.oddities] == largest
        for odd in pick.oddities:
            stratum = volumes[volumes["stratum"] == pick.stratum]
            assert odd.z == of_name[odd.name]
            assert odd.value == values[odd.name][row]
            assert odd.median == pytest.approx(stratum[odd.name].median())
    assert len(worst[0].oddities) == 3


def test_the_slice_that_lacks_most_signal_is_known(tmp_path):
    rows = synthetic.make_rows(40)
    synthetic.write_tables(tmp_path, rows)
    measured = [row for row in rows if row["status"] == "ok"]
    slices = [
        {**row, "slice": z, "body_slice_dropout": 0.5 if z == number % 7 else 0.1}
        for number, row in enumerate(measured)
        for z in range(10)
    ]
    synthetic.write_slices(tmp_path, slices)
    expected = {(r["series_id"], r["volume"]): n % 7 for n, r in enumerate(measured)}
    with connected(tmp_path) as connection:
        worst = pick_worst(connection, 10)
    assert [pick.darkest_slice for pick in worst] == [
        expected[pick.series_id, pick.volume] for pick in worst
    ]


def test_without_measured_slices_no_slice_is_named(results):
    with connected(results) as connection:
        assert {pick.darkest_slice for pick in pick_worst(connection, 5)} == {None}


def test_no_tables_is_said_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no tables there; run"), connected(tmp_path):
        pass


def test_a_damaged_table_is_named(tmp_path):
    synthetic.write_tables(tmp_path, synthetic.make_rows(8))
    (tmp_path / "tables/runs.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match="run `mriqa merge` again"), connected(tmp_path):
        pass


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "–"),
        (0, 5, "0.0%"),
        (5, 5, "100.0%"),
        (1, 100_000, "0.1%"),
        (99_999, 100_000, "99.9%"),
    ],
)
def test_shares_never_hide_the_few(part, whole, text):
    assert share(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.123456, "0.123"), (12.345, "12.3"), (12345.6, "12,346"), (1e-5, "1.00e-05")],
)
def test_metrics_are_rounded_readably(value, text):
    assert rounded(value) == text
