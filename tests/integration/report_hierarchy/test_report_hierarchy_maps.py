"""The maps of long series on the page of the hierarchy."""

import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hierarchy_page import (
    N_LONG,
    QUICK,
    change,
    maps_of,
    volumes,
)
from parsed_page import Page, decoded

from mriqa.report.connection import connected
from mriqa.report.page import write_report
from mriqa.report.slice_chart import SCALE, WIDTH, cell_picture, heat_map, worst_of
from mriqa.report.slice_maps import MAX_MAPS, gather_slice_maps


def test_the_series_with_most_failed_volumes_have_maps(results, page):
    failing = {}
    for row in volumes(results):
        if row["hierarchy_rating"] == "fail" and row["contrast"] == "dwi":
            failing[row["series_id"]] = failing.get(row["series_id"], 0) + 1
    order = sorted(failing, key=lambda one: (-failing[one], one))[:MAX_MAPS]
    titles = [re.search(r"<title>(.*?)</title>", one).group(1) for one in maps_of(page)]
    assert [one.partition(":")[0] for one in titles] == order
    assert f"volume ({N_LONG}) and slice (10); {failing[order[0]]} volumes fail" in titles[0]
    assert f"{failing[order[0]]} of {N_LONG} fail" in page.words
    assert "slice 0 at the bottom" in page.words
    assert "Hatched cells have no rating" in page.words


def nearest(pixel):
    """Place of a colour on the scale, 0 to 1; None if it is none of it."""
    scale = np.array([[int(one[at : at + 2], 16) for at in (1, 3, 5)] for one in SCALE], float)
    fine = np.stack([np.interp(np.linspace(0, 9, 200), range(10), c) for c in scale.T], axis=1)
    away = np.abs(fine - pixel[:3]).sum(axis=1)
    return away.argmin() / 199 if away.min() < 8 else None


def test_a_map_shows_each_slices_probability_in_its_place(results, page):
    with connected(results) as connection:
        one = gather_slice_maps(connection).maps[0]
    uri = re.search(r'<image href="([^"]+)"', maps_of(page)[0]).group(1)
    picture = np.asarray(decoded(uri).convert("RGBA"), float)
    n_slices, n_volumes = one.p_fail.shape
    high, wide = picture.shape[0] / n_slices, picture.shape[1] / n_volumes
    for z in range(n_slices):
        for column in range(n_volumes):
            pixel = picture[int((n_slices - 1 - z + 0.5) * high), int((column + 0.5) * wide)]
            p = one.p_fail[z, column]
            assert np.isnan(p) == (z == 0)
            if not np.isnan(p):
                assert nearest(pixel) == pytest.approx(p, abs=0.04)
    blank = picture[-int(high) :]
    assert set(blank[..., 3].ravel()) == {0, 255}  # hatched


def test_the_scale_gets_darker_all_the_way():
    grey = cell_picture(np.linspace(0, 1, 12)[None], 90).convert("L")
    levels = np.asarray(grey)[0, :: grey.width // 12].astype(int)
    assert (np.diff(levels) < -5).all()


def test_ratings_and_b_values_of_a_map_stand_in_order(results):
    with connected(results) as connection:
        one = gather_slice_maps(connection).maps[0]
    svg = heat_map(one)
    bars = re.findall(r'<path d="([^"]+)" class="weighting">', svg)[0].split("z")[:-1]
    tall = [float(re.search(r"v([\d.]+)", bar).group(1)) for bar in bars]
    assert len(tall) == N_LONG
    assert [one < 2 for one in tall] == [number % 6 == 0 for number in range(N_LONG)]
    failing = re.findall(r'<path d="([^"]+)" class="fail">', svg)[0].split("z")[:-1]
    left = [float(re.match(r"M([\d.]+)", bar).group(1)) for bar in failing]
    places = [round((x - 56) / (WIDTH / N_LONG)) for x in left]
    assert places == [v.volume for v in one.volumes if v.rating == "fail"]


def test_a_map_of_very_many_volumes_keeps_the_worst():
    p_fail = np.full((3, 1000), 0.1)
    p_fail[1, 777], p_fail[2, :4] = 0.99, np.nan
    small = worst_of(p_fail, 3)
    assert small.shape == (3, 334)
    assert small[1, 777 // 3] == 0.99
    assert np.isnan(small[2, 0])
    assert np.isfinite(small[2, 1:]).all()


def test_volumes_without_rating_are_blank_and_said(copy):
    path = copy / "tables/volumes.parquet"
    first = next(row for row in volumes(copy) if row["series_id"] == "demo_sub-long1_dwi")
    gone = lambda row: row["series_id"] == first["series_id"] and row["volume"] in (0, 6)  # noqa: E731
    values = [None if gone(row) else row["hierarchy_rating"] for row in volumes(copy)]
    change(path, "hierarchy_rating", values)
    slices = copy / "tables/slices/contrast=dwi/part-0.parquet"
    rows = pq.ParquetFile(slices).read().to_pylist()
    change(slices, "hierarchy_p_fail", [None if gone(r) else r["hierarchy_p_fail"] for r in rows])
    page = Page(write_report(copy, QUICK))
    assert "2 volumes have no rating of the hierarchy and are hatched." in page.words
    with connected(copy) as connection:
        one = gather_slice_maps(connection).maps[0]
    assert np.isnan(one.p_fail[:, [0, 6]]).all()
    assert np.isfinite(one.p_fail[1:, 1]).all()


def test_where_no_long_series_was_learned_that_is_said(copy):
    path = copy / "tables/volumes.parquet"
    kept = [None if r["contrast"] == "dwi" else r["hierarchy_rating"] for r in volumes(copy)]
    change(path, "hierarchy_rating", kept)
    words = Page(write_report(copy, QUICK)).words
    assert "series of several volumes has a volume that the hierarchy has rated" in words
    assert "no map of slices" in words


def test_without_slices_there_are_no_maps(copy):
    shutil.rmtree(copy / "tables/slices")
    page = Page(write_report(copy, QUICK))
    assert maps_of(page) == []
    assert "The table of slices is not there" in page.words
