"""From files to tables by the plain functions, without Snakemake."""

import csv
import gzip
import json
import shutil
from datetime import timedelta
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mriqa.cohort.index import index_cohort
from mriqa.cohort.manifest import shard_name
from mriqa.columns import arrow_schema
from mriqa.config import (
    CohortSection,
    ConvertSection,
    RatingSection,
    ScoreSection,
    TableSource,
)
from mriqa.errors import ReconciliationError, UserError
from mriqa.images.convert import convert_shard
from mriqa.rating import published
from mriqa.rating.publish import publish_tables
from mriqa.rating.score import score_shard
from mriqa.run.summary import last_run
from mriqa.tables.query import connect, run_query

SHAPE = (40, 36, 12)
RATING = RatingSection(min_stratum=5)


def body(seed: int, noise: float = 10.0) -> np.ndarray:
    """An ellipsoid of 400 with a darker core in Rician noise, (x, y, z) int16."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in grid) * rng.uniform(1.5, 1.9))
    image = np.where(radius < 1, 400.0, 0.0) - np.where(radius < 0.5, 150.0, 0.0)
    real, imaginary = rng.normal(0, noise, (2, *SHAPE))
    return np.hypot(image + real, imaginary).astype(np.int16)


def save(path: Path, voxels: np.ndarray) -> Path:
    image = nibabel.Nifti1Image(voxels, np.diag([2.0, 2.0, 4.0, 1.0]))
    image.header.set_zooms((2, 2, 4, 1)[: voxels.ndim])
    nibabel.save(image, path)
    return path


def write_sources(folder: Path) -> Path:
    """Eleven good bodies, a noisy one, one 4D series with a constant volume, four bad files."""
    rows = [
        {"subject": f"{i:04d}", "contrast": "T2w", "path": save(folder / f"{i}.nii.gz", body(i))}
        for i in range(11)
    ]
    noisy = save(folder / "noisy.nii.gz", body(99, noise=60))
    rows.append({"subject": "0099", "contrast": "T2w", "path": noisy})
    diffusion = np.stack([body(200), body(201), np.full(SHAPE, 7, np.int16)], axis=-1)
    rows.append(
        {"subject": "0200", "contrast": "dwi", "path": save(folder / "dwi.nii.gz", diffusion)}
    )
    whole = (folder / "0.nii.gz").read_bytes()
    for name, content in {
        "empty": b"",
        "text": b"not an image, just words" * 50,
        "cut": whole[: len(whole) // 2],
        "constant": gzip.compress(gzip.decompress(whole)[:352] + bytes(2 * int(np.prod(SHAPE)))),
    }.items():
        path = folder / f"{name}.nii.gz"
        path.write_bytes(content)
        rows.append({"subject": f"bad{name}", "contrast": "T2w", "path": path})
    table = folder / "series.csv"
    with table.open("w", newline="") as out:
        writer = csv.DictWriter(out, ["subject", "contrast", "path"])
        writer.writeheader()
        writer.writerows(rows)
    return table


def run_path(results: Path, source: Path, **cohort) -> None:
    """Index, convert, score and merge, as the rules of the workflow do."""
    section = CohortSection(
        name="t",
        sources=(TableSource(kind="table", path=source),),
        shard_mb=1,
        shard_series=7,
        **cohort,
    )
    index_cohort(section, results)
    for manifest in sorted((results / "shards").glob("shard-*.parquet")):
        store = results / "zarr" / f"{manifest.stem}.zarr"
        status = results / "convert" / manifest.name
        convert_shard(manifest, store, status, settings=ConvertSection(), threads=2, mem_mb=1000)
        score_shard(
            manifest,
            store,
            status,
            results / "scores" / manifest.name,
            settings=ScoreSection(),
            threads=2,
            mem_mb=1000,
        )
    publish_tables(results, RATING)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("path")
    run_path(folder / "results", write_sources(folder))
    return folder / "results"


@pytest.fixture(scope="module")
def volumes(results):
    return pd.read_parquet(results / "tables" / "volumes.parquet").set_index("series_id")


def test_published_schemas_are_exact(results):
    for name, columns in (
        ("volumes", published.VOLUMES),
        ("subjects", published.SUBJECTS),
        ("failures", published.FAILURES),
        ("runs", published.RUNS),
    ):
        schema = pq.read_schema(results / "tables" / f"{name}.parquet")
        assert schema.equals(arrow_schema(columns)), name
        dictionary = json.loads((results / "tables" / f"{name}.json").read_text())
        assert list(dictionary) == schema.names
    for part in (results / "tables" / "slices").glob("*/*.parquet"):
        assert pq.read_schema(part).equals(arrow_schema(published.SLICE_FILES))


def test_every_series_is_accounted_for(results, volumes):
    indexed = pq.read_table(results / "cohort.parquet")["series_id"].to_pylist()
    assert set(volumes.index) == set(indexed)
    counts = json.loads((results / "tables" / "reconciliation.json").read_text())
    for one in [counts["total"], *counts["shards"].values()]:
        assert one["indexed"] == sum(one[k] for k in one if k != "indexed")
    assert counts["total"] == {
        "indexed": 17,
        "ok": 12,
        "failed": 4,
        "excluded": 0,
        "no_reference": 1,
    }


def test_bad_files_are_rows_with_their_codes(volumes):
    codes = {
        name.removeprefix("t_sub-bad").removesuffix("_T2w"): code
        for name, code in volumes["error_code"].items()
        if "bad" in name
    }
    assert codes == {
        "empty": "empty_file",
        "text": "not_an_image",
        "cut": "truncated",
        "constant": "constant",
    }
    failed = volumes[volumes["status"] == "failed"]
    assert failed["flag"].all()
    assert (failed["flag_reason"] == "failed").all()
    assert failed["quality_score"].isna().all()
    for name, row in failed[failed["volume"].isna()].iterrows():
        assert row["source_path"] in row["error_message"], name


def test_a_bad_volume_fails_alone(volumes):
    rows = volumes.loc["t_sub-0200_dwi"].sort_values("volume")
    assert rows["volume"].tolist() == [0, 1, 2]
    assert rows["status"].tolist() == ["no_reference", "no_reference", "failed"]
    assert rows["error_code"].iloc[2] == "constant"
    assert "volume 2" in rows["error_message"].iloc[2]
    assert rows["body_snr"].iloc[:2].notna().all()


def test_nothing_comparable_is_never_judged(volumes):
    rows = volumes[volumes["status"] == "no_reference"]
    assert rows[["quality_score", "rating", "rating_source", "flag"]].isna().all(axis=None)


def test_the_noisy_one_stands_out(volumes):
    rated = volumes[volumes["status"] == "ok"]
    worst = rated["quality_score"].idxmin()
    assert worst == "t_sub-0099_T2w"
    assert rated.loc[worst, "rating"] == "fail"
    assert rated.loc[worst, "flag"]
    assert (rated["rating"] == "pass").sum() >= 8


def test_no_float_is_nan_or_infinite(results):
    for path in (results / "tables").rglob("*.parquet"):
        table = pq.ParquetFile(path).read()
        for name in table.column_names:
            if str(table[name].type) == "double":
                values = table[name].drop_null().to_numpy()
                assert np.isfinite(values).all(), (path, name)


def test_slices_belong_to_their_volumes(results):
    with connect(results) as connection:
        per_volume = connection.sql(
            "SELECT v.n_slices, count(s.slice), max(s.slice) FROM volumes v "
            "LEFT JOIN slices s USING (series_id, volume) "
            "WHERE v.status IN ('ok', 'no_reference') GROUP BY v.series_id, v.volume, v.n_slices"
        ).fetchall()
        contrasts = connection.sql("SELECT DISTINCT contrast FROM slices").fetchall()
    assert len(per_volume) == 14
    assert all(n == counted == last + 1 for n, counted, last in per_volume)
    assert sorted(contrasts) == [("T2w",), ("dwi",)]


def test_pandas_reads_the_slices_with_their_contrast(results):
    slices = pd.read_parquet(results / "tables" / "slices")
    assert set(slices["contrast"]) == {"T2w", "dwi"}
    assert len(slices) == 14 * SHAPE[2]


def test_subjects_count_their_volumes(results):
    subjects = pd.read_parquet(results / "tables" / "subjects.parquet").set_index("subject")
    row = subjects.loc["0200"]
    assert (row["n_series"], row["n_volumes"], row["n_failed"], row["n_no_reference"]) == (
        1,
        3,
        1,
        2,
    )
    assert row["flag"]
    assert row["flag_reason"] == "failed"
    assert subjects.loc["0099", "rating"] == "fail"
    text = pd.read_csv(
        results / "tables" / "subjects.tsv", sep="\t", dtype={"subject": str}, na_values="n/a"
    )
    assert text["subject"].tolist() == subjects.index.tolist()
    assert "0001" in subjects.index  # ids stay strings


def test_tables_are_sorted_by_subject(results):
    for name in ("volumes", "failures", "subjects"):
        subjects = pq.read_table(results / "tables" / f"{name}.parquet")["subject"].to_pylist()
        assert subjects == sorted(subjects), name


def test_the_same_again_but_for_the_run(results, tmp_path):
    source = results.parent / "series.csv"
    run_path(tmp_path / "again", source)
    for name in ("volumes", "subjects", "failures"):
        one, other = (
            pd.read_parquet(folder / "tables" / f"{name}.parquet").drop(columns="run_id")
            for folder in (results, tmp_path / "again")
        )
        pd.testing.assert_frame_equal(one, other)


def test_withdrawn_subjects_are_excluded_everywhere(results, tmp_path):
    listed = tmp_path / "withdrawn.txt"
    listed.write_text("0003\n")
    run_path(tmp_path / "r", results.parent / "series.csv", withdrawn=listed)
    rows = pd.read_parquet(tmp_path / "r" / "tables" / "volumes.parquet").set_index("subject")
    assert rows.loc["0003", "status"] == "excluded"
    assert rows.loc["0003", "excluded_by"] == "withdrawn"
    assert pd.isna(rows.loc["0003", "quality_score"])
    slices = pd.read_parquet(tmp_path / "r" / "tables" / "slices")
    assert "0003" not in set(slices["subject"])
    stores = list((tmp_path / "r" / "zarr").rglob("*0003*"))
    assert stores == []


def test_missing_scores_stop_the_merge_by_name(results, tmp_path):
    copy = tmp_path / "copy"
    for folder in ("shards", "convert", "scores"):
        (copy / folder).mkdir(parents=True)
        for path in (results / folder).glob("shard-*.parquet"):
            (copy / folder / path.name).write_bytes(path.read_bytes())
    (copy / "cohort.parquet").write_bytes((results / "cohort.parquet").read_bytes())
    victim = copy / "scores" / f"{shard_name(1)}.parquet"
    content = pq.read_table(victim)
    victim.unlink()
    with pytest.raises(UserError, match="1 of 3 shards have no scores yet.*shard-00001"):
        publish_tables(copy, RATING)
    lost = content["series_id"][0].as_py()
    keep = [value != lost for value in content["series_id"].to_pylist()]
    pq.write_table(content.filter(keep), victim)
    with pytest.raises(ReconciliationError, match=f"1 of 17 series have no row, e.g. {lost}"):
        publish_tables(copy, RATING)
    assert not (copy / "tables").exists()


def test_query_answers_and_refuses(results):
    assert "17" in run_query(results, "SELECT count(DISTINCT series_id) AS n FROM volumes")
    assert "problem" in run_query(results, "FROM index_problems")
    with pytest.raises(UserError, match="the query was not accepted.*no_such"):
        run_query(results, "SELECT no_such FROM volumes")
    with pytest.raises(UserError, match="no tables there"):
        run_query(results / "nowhere", "SELECT 1")
    with pytest.raises(UserError, match="Tables: cohort, failures, .*, subjects, volumes"):
        run_query(results, "FROM no_such_table")


def test_query_names_a_damaged_table(results, tmp_path):
    shutil.copytree(results / "tables", tmp_path / "tables")
    (tmp_path / "tables" / "subjects.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"^subjects: .*merge.* again"):
        run_query(tmp_path, "SELECT 1")


def test_the_run_is_the_one_of_the_tables_not_the_latest_by_the_clock(results, tmp_path):
    runs = tmp_path / "r"
    shutil.copytree(results, runs)
    path = runs / "tables" / "runs.parquet"
    table = pq.read_table(path)
    ahead = table.to_pylist()[0] | {"run_id": "by a wrong clock", "n_ok": -1}
    ahead["finished"] += timedelta(days=3)
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist([ahead], table.schema)]), path)
    assert last_run(runs)["n_ok"] == table["n_ok"][0].as_py()


def test_a_results_folder_may_have_any_name(results, tmp_path):
    odd = tmp_path / "it's [a] *good* results?"
    odd.mkdir()
    (odd / "tables").symlink_to(results / "tables", target_is_directory=True)
    answer = run_query(odd, "SELECT count(*) AS n FROM slices")
    assert str(14 * SHAPE[2]) in answer


def test_a_damaged_score_file_is_named(results, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(results, copy)
    victim = copy / "scores" / f"{shard_name(2)}.parquet"
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(UserError, match="shard-00002.parquet: cannot be read .*; delete it and"):
        publish_tables(copy, RATING)


@pytest.mark.parametrize(
    "sql",
    ["COPY volumes TO '{target}'", "SELECT 1; COPY volumes TO '{target}'", "DROP VIEW volumes"],
)
def test_a_query_only_asks(results, tmp_path, sql):
    target = tmp_path / "out.parquet"
    with pytest.raises(UserError, match="only questions are answered here"):
        run_query(results, sql.format(target=target))
    assert not target.exists()
    assert "volumes" in run_query(results, "SHOW TABLES")
    assert "n_slices" in run_query(results, "DESCRIBE volumes")
