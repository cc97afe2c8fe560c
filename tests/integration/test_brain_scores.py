"""MRIQC's metrics in the tables: of what the configuration calls a brain, and of nothing else."""

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from brain_phantoms import make_head
from simclr_cohort import RATING, Cohort, image, save

from mriqa.config import BrainSection, ScoreSection
from mriqa.metrics.brain import BRAIN_COLUMNS, measure_brain
from mriqa.metrics.brain.tissue import estimate_tissue
from mriqa.rating.publish import publish_tables
from mriqa.rating.score import score_shard

SPACING_MM = (4.0, 4.0, 4.0)
"""So that the small head is as large as a real one."""
NOISE = (8.0, 40.0)
NAMES = [column.name for column in BRAIN_COLUMNS if column.kind == "float64"]


def noisy(signal, sigma, seed=0):
    real, imaginary = np.random.default_rng(seed).normal(0, sigma, (2, *signal.shape))
    return np.hypot(signal + real, imaginary).astype(np.float32)


def save_head(path, volume):
    """Up is the last axis of the file, and so the slice axis."""
    voxels = np.rint(volume.T).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*SPACING_MM, 1.0])), path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brains")
    head = make_head().signal
    rows = [
        {"subject": f"{number}", "contrast": "T1w",
         "path": save_head(folder / f"head{number}.nii.gz", noisy(head, sigma))}
        for number, sigma in enumerate(NOISE)
    ]  # fmt: skip
    rows.append({"subject": "0", "contrast": "dixonW", "path": save(folder / "b.nii.gz", image(1))})
    speck = np.zeros((20, 40, 36), np.float32)
    speck[8:12, 16:24, 14:22] = 500
    rows.append({"subject": "9", "contrast": "T1w", "path": save(folder / "s.nii.gz", speck)})
    cohort = Cohort(folder, rows)
    cohort.measure()
    return cohort


def scored(cohort, brain):
    """The volumes table by subject and contrast."""
    settings = ScoreSection(brain=brain)
    for name in cohort.shards():
        results = cohort.results
        files = (results / part / f"{name}.parquet" for part in ("shards", "convert", "scores"))
        manifest, status, scores = files
        store = results / "zarr" / f"{name}.zarr"
        score_shard(manifest, store, status, scores, settings=settings, threads=1, mem_mb=900)
    publish_tables(cohort.results, RATING)
    rows = pq.read_table(cohort.results / "tables" / "volumes.parquet").to_pylist()
    return {(row["subject"], row["contrast"]): row for row in rows}


@pytest.fixture(scope="module")
def volumes(made):
    return scored(made, BrainSection(t1w=("T1w",)))


def test_brains_have_them_and_they_are_those_of_the_functions(made, volumes):
    for number, sigma in enumerate(NOISE):
        stored = np.rint(noisy(make_head().signal, sigma)).astype(np.float32)
        tissue = estimate_tissue(stored, SPACING_MM, "T1w", up=(0, 1))
        expected = measure_brain(stored, SPACING_MM, tissue).values
        row = volumes[f"{number}", "T1w"]
        assert {name: row[name] for name in expected} == expected
        assert row["brain_tissue_null_reason"] is None
    quiet, loud = (volumes[f"{number}", "T1w"] for number in (0, 1))
    assert quiet["snr_total"] > 1.5 * loud["snr_total"]
    assert quiet["cjv"] < loud["cjv"]


def test_other_contrasts_have_none_of_them(volumes):
    row = volumes["0", "dixonW"]
    assert row["body_snr"] is not None
    assert [row[name] for name in NAMES] == [None] * len(NAMES)
    assert row["brain_tissue_null_reason"] is None


def test_where_no_brain_is_found_the_volume_does_not_fail(volumes):
    row = volumes["9", "T1w"]
    assert row["status"] in ("ok", "no_reference")
    assert row["brain_tissue_null_reason"] == "no_brain"
    assert [row[name] for name in NAMES] == [None] * len(NAMES)


def test_nobody_gets_them_who_did_not_ask(made):
    row = scored(made, BrainSection())["0", "T1w"]
    assert [row[name] for name in NAMES] == [None] * len(NAMES)


def test_a_contrast_has_one_weighting():
    with pytest.raises(ValueError, match="'T1w' is in t1w and in t2w"):
        BrainSection(t1w=("T1w",), t2w=("T1w", "T2w"))
