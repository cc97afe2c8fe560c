"""The demo cohort on disk: a small one, made once, and what a second call makes of it."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pytest

from mriqa.artifacts import Artifact, apply
from mriqa.artifacts.demo import make_demo, render
from mriqa.artifacts.demo_images import clean_abdomen, clean_diffusion
from mriqa.artifacts.demo_names import stem
from mriqa.artifacts.demo_plan import AbdomenSeries, plan_demo
from mriqa.artifacts.phantom.scanner import to_int16
from mriqa.cohort.index import index_cohort
from mriqa.config import ConvertSection, load_config
from mriqa.errors import UserError
from mriqa.images.convert import convert_shard

SEED, SUBJECTS = 3, 3
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that no test changes."""
    out = tmp_path_factory.mktemp("demo")
    make_demo(out, seed=SEED, subjects=SUBJECTS, download=False)
    return out


@pytest.fixture
def own_folder(demo_folder: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(demo_folder, tmp_path / "demo"))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by path, but of the lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".demo.lock"
    }


def times(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".demo.lock"
    }


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def is_alive(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def truth(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.tsv").open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def image(folder: Path, name: str) -> np.ndarray:
    """Voxels as (z, y, x) or (t, z, y, x)."""
    (path,) = (folder / "bids").rglob(f"{name}.nii.gz")
    return np.asarray(nib.load(path).dataobj).T


def test_one_process_writes_the_same_bytes_as_several(demo_folder, tmp_path):
    plan = plan_demo(SEED, SUBJECTS)
    render(tmp_path, plan.series, workers=1)
    made = {
        name.removeprefix("bids/"): digest
        for name, digest in digests(demo_folder).items()
        if name.startswith("bids/sub-")
    }
    assert digests(tmp_path) == made
    assert len(made) > 2 * len(plan.series) - 1


def test_a_second_call_touches_nothing(own_folder):
    before = times(own_folder)
    summary = make_demo(own_folder, seed=SEED, subjects=SUBJECTS, download=False)
    assert summary.written == 0
    assert "nothing to do" in str(summary)
    assert times(own_folder) == before


def test_an_interrupted_run_is_finished(own_folder, demo_folder):
    (own_folder / "demo.json").unlink()
    gone = own_folder / "bids/sub-1002"
    shutil.rmtree(gone)
    leftover = own_folder / "bids/sub-1001/anat/.sub-1001_acq-dixonW_T1w.nii.gz.part-0123456789ab"
    leftover.write_bytes(b"half")
    kept = own_folder / "bids/sub-1001/anat/sub-1001_acq-dixonW_T1w.nii.gz"
    before = kept.stat().st_mtime_ns
    summary = make_demo(own_folder, seed=SEED, subjects=SUBJECTS, download=False)
    assert summary.written == 1
    assert digests(own_folder) == digests(demo_folder)
    assert kept.stat().st_mtime_ns == before


def test_a_killed_run_leaves_no_process_and_is_finished(tmp_path, demo_folder):
    command = [sys.executable, "-m", "mriqa", "demo-data", str(tmp_path), "--no-download"]
    command += ["--seed", str(SEED), "--subjects", str(SUBJECTS)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as running:
        wait_for(lambda: list(tmp_path.rglob("sub-*.nii.gz")) or running.poll() is not None)
        assert running.poll() is None, "it ended before it could be killed"
        kept = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        running.kill()
    assert not (tmp_path / "demo.json").exists()
    wait_for(lambda: not any(is_alive(child) for child in kept))
    make_demo(tmp_path, seed=SEED, subjects=SUBJECTS, download=False)
    assert digests(tmp_path) == digests(demo_folder)


def test_a_missing_file_is_noticed_in_spite_of_the_stamp(own_folder, demo_folder):
    (own_folder / "bids/sub-3001/dwi/sub-3001_dwi.bval").unlink()
    make_demo(own_folder, seed=SEED, subjects=SUBJECTS, download=False)
    assert digests(own_folder) == digests(demo_folder)


def test_more_subjects_leave_the_first_ones_alone_and_fewer_remove_the_rest(own_folder):
    before = {name: t for name, t in times(own_folder).items() if name.startswith("bids/sub-")}
    summary = make_demo(own_folder, seed=SEED, subjects=SUBJECTS + 1, download=False)
    assert summary.written == 1
    after = times(own_folder)
    assert {name: after[name] for name in before} == before
    assert any(name.startswith("bids/sub-1004/") for name in after)
    make_demo(own_folder, seed=SEED, subjects=SUBJECTS, download=False)
    assert {n: t for n, t in times(own_folder).items() if n.startswith("bids/sub-")} == before


def test_another_seed_is_refused_and_this_one_left_as_it_is(own_folder):
    before = times(own_folder)
    with pytest.raises(UserError, match=f"bids: holds the demo cohort of seed {SEED}; .*another"):
        make_demo(own_folder, seed=SEED + 1, subjects=1, download=False)
    assert times(own_folder) == before


def test_an_older_format_is_made_again(own_folder, demo_folder):
    path = own_folder / "bids/dataset_description.json"
    path.write_text(path.read_text().replace("format 1", "format 0"))
    (own_folder / "demo.json").unlink()
    stale = own_folder / "bids/sub-1001/sub-1001_ses-9_T1w.json"  # which the plan no longer has
    stale.write_text("of the older format")
    summary = make_demo(own_folder, seed=SEED, subjects=SUBJECTS, download=False)
    assert summary.written == summary.series
    assert digests(own_folder) == digests(demo_folder)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "bids").mkdir()
    precious = tmp_path / "bids" / "dataset_description.json"
    precious.write_text('{"Name": "My thesis"}')
    with pytest.raises(UserError, match=r"bids: holds another dataset \(My thesis\)"):
        make_demo(tmp_path, seed=0, subjects=1, download=False)
    assert precious.read_text() == '{"Name": "My thesis"}'


def test_two_runs_at_once_are_refused(tmp_path):
    holder = (
        "import fcntl, sys, time; h = open(sys.argv[1], 'w'); "
        "fcntl.flock(h, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / ".demo.lock")], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UserError, match="another"):
            make_demo(tmp_path, seed=0, subjects=1, download=False)
        other.kill()


@pytest.mark.parametrize(("subjects", "seed"), [(0, 0), (6000, 0), (5, -1)])
def test_impossible_arguments_are_named(tmp_path, subjects, seed):
    with pytest.raises(UserError, match=r"--subjects|--seed"):
        make_demo(tmp_path, seed=seed, subjects=subjects, download=False)


def test_every_degraded_volume_is_its_clean_one_with_the_stored_artifact(demo_folder):
    plan = {f"demo_{stem(one)}": one for one in plan_demo(SEED, SUBJECTS).series}
    rows = [row for row in truth(demo_folder) if row["family"] not in ("bad_input",)]
    assert sum(row["family"] != "none" for row in rows) >= 3
    for row in rows:
        series = plan[row["series_id"]]
        stored = image(demo_folder, stem(series))
        if isinstance(series, AbdomenSeries):
            clean, spacing = clean_abdomen(series), series.grid.spacing_mm
        else:
            volume = int(row["volume"])
            if volume > 3 and row["family"] == "none":
                continue
            clean, stored, spacing = clean_diffusion(series)[volume], stored[volume], (2.5, 2, 2)
        if row["family"] != "none":
            assert (to_int16(clean) != stored).mean() > 0.01
            clean = apply(clean, spacing, Artifact.from_json(row["parameters"]))
        np.testing.assert_array_equal(to_int16(clean), stored)


def test_headers_say_what_the_images_are(demo_folder):
    (path,) = (demo_folder / "bids").rglob("sub-1001_acq-dixonW_T1w.nii.gz")
    header = nib.load(path).header
    assert nib.aff2axcodes(nib.load(path).affine) == ("L", "A", "S")
    assert header.get_dim_info() == (0, 1, 2)
    assert header.get_xyzt_units() == ("mm", "sec")
    assert header.get_data_dtype() == np.int16
    assert header.get_zooms()[:2] == pytest.approx((2.232, 2.232))
    assert header.get_data_shape()[:2] == (224, 168)
    assert json.loads(path.with_suffix("").with_suffix(".json").read_text())["Manufacturer"]


def test_good_volumes_look_like_acquired_ones(demo_folder):
    """Noise in the air of those that are not masked; tissue well above it."""
    for row in truth(demo_folder):
        if row["protocol"] != "dixonA" or row["family"] != "none":
            continue
        volume = image(demo_folder, row["series_id"].removeprefix("demo_"))
        corner = np.concatenate([volume[:, :8, :8].ravel(), volume[:, -8:, -8:].ravel()])
        masked = json.loads(row["scan"])["masked"]
        assert (corner == 0).all() if masked else 0 < corner.std() < 0.1 * np.percentile(volume, 99)
        assert 150 < np.percentile(volume, 99) < 3000


def test_the_cohort_goes_through_index_and_convert_with_the_expected_codes(
    demo_folder, tmp_path, monkeypatch
):
    section = load_config(ROOT / "config/demo.yaml").cohort
    (tmp_path / "data").mkdir()
    (tmp_path / "data/demo").symlink_to(demo_folder)
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    index_cohort(section, results)
    assert pq.read_table(results / "index_problems.parquet").num_rows == 0
    cohort = pq.read_table(results / "cohort.parquet").to_pandas()
    rows = truth(demo_folder)
    listed = set(cohort.loc[~cohort["subject"].str.startswith("nibabel"), "series_id"])
    assert {row["series_id"] for row in rows} == listed
    assert cohort.set_index("series_id").loc["demo_sub-3001_dwi", "bvals"].max() == 1000
    phantoms = cohort[cohort["series_id"].isin(row["series_id"] for row in rows)]
    known = phantoms[["sex", "age", "height_cm", "weight_kg", "site", "scanner"]]
    assert known.notna().to_numpy().all()
    found = {}
    for shard in sorted((results / "shards").glob("shard-*.parquet")):
        status = tmp_path / f"status-{shard.name}"
        convert_shard(
            shard, tmp_path / f"{shard.stem}.zarr", status,
            settings=ConvertSection(), threads=1, mem_mb=2000,
        )  # fmt: skip
        table = pq.read_table(status)
        found |= dict(
            zip(*(table[n].to_pylist() for n in ("series_id", "error_code")), strict=True)
        )
    expected = {row["series_id"]: row["error_code"] or None for row in rows}
    assert {series_id: found[series_id] for series_id in expected} == expected


def test_the_command_says_what_it_made(tmp_path, demo_folder):
    out = shutil.copytree(demo_folder, tmp_path / "demo")
    command = [sys.executable, "-m", "mriqa", "demo-data", str(out), "--no-download"]
    command += ["--seed", str(SEED), "--subjects", str(SUBJECTS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "nothing to do" in done.stdout
    assert "--no-download" in done.stdout
