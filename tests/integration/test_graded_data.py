"""The graded cohort on disk, and what its metrics say of its noise."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.stats import spearmanr

from mriqa.artifacts.graded import make_graded, plan_graded
from mriqa.cli import main
from mriqa.errors import UserError
from mriqa.metrics.brain import measure_brain, tissue_of_maps

SEED, SUBJECTS = 2, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("graded")
    assert main(["demo-data", str(out), "--graded", "--seed", "2", "--subjects", "5"]) == 0
    return out


def test_images_maps_and_truth_are_of_the_same_subjects(folder):
    images = sorted((folder / "bids").glob("sub-*/anat/*.nii.gz"))
    assert len(images) == 2 * SUBJECTS
    maps = sorted((folder / "bids" / "derivatives" / "phantom").glob("sub-*/anat/*.nii.gz"))
    assert len(maps) == 4 * SUBJECTS
    rows = list(csv.DictReader((folder / "truth.tsv").read_text().splitlines(), delimiter="\t"))
    ids = {f"graded_{path.name.removesuffix('.nii.gz')}" for path in images}
    assert {row["series_id"] for row in rows} == ids
    plan = plan_graded(SEED, SUBJECTS)
    snr = {f"graded_sub-{one.subject}_T1w": one.scan.snr for one in plan.heads}
    for row in rows:
        if row["protocol"] == "t1w":
            assert json.loads(row["scan"])["snr"] == snr[row["series_id"]]


def test_maps_lie_on_their_image(folder):
    for image in (folder / "bids").glob("sub-*/anat/*_T1w.nii.gz"):
        if "acq-" in image.name:
            continue
        stem = image.name.removesuffix("_T1w.nii.gz")
        known = nib.load(image)
        for suffix in ("desc-brain_mask", "label-GM_probseg"):
            path = folder / "bids/derivatives/phantom" / stem / "anat" / f"{stem}_{suffix}.nii.gz"
            one = nib.load(path)
            assert one.shape == known.shape
            assert np.array_equal(one.affine, known.affine)
            assert 0 <= one.get_fdata().min() < one.get_fdata().max() <= 1


def test_mriqcs_snr_falls_with_the_noise_that_was_drawn(folder):
    plan = plan_graded(SEED, SUBJECTS)
    found = [snr_total(folder, one.subject) for one in plan.heads if one.fault is None]
    drawn = [one.scan.snr for one in plan.heads if one.fault is None]
    assert len(drawn) >= 3
    assert spearmanr(found, drawn).statistic == 1


def snr_total(folder, subject):
    """By the true maps."""
    anat = folder / "bids" / f"sub-{subject}" / "anat"
    image = nib.load(anat / f"sub-{subject}_T1w.nii.gz").get_fdata(dtype=np.float32)
    maps = folder / "bids" / "derivatives" / "phantom" / f"sub-{subject}" / "anat"
    shares = tuple(
        nib.load(maps / f"sub-{subject}_label-{label}_probseg.nii.gz").get_fdata(dtype=np.float32)
        for label in ("CSF", "GM", "WM")
    )
    head = image > 0
    tissue = tissue_of_maps(
        image.shape, shares, head=head, air=~head, artifacts=np.zeros_like(head), frame=None,
        bias=None,
    )  # fmt: skip
    return measure_brain(image, (2.0, 2.0, 2.0), tissue).values["snr_total"]


def test_a_second_call_makes_nothing_and_a_smaller_cohort_forgets(folder, tmp_path):
    assert make_graded(tmp_path / "g", seed=1, subjects=2).written == 4
    assert make_graded(tmp_path / "g", seed=1, subjects=2).written == 0
    make_graded(tmp_path / "g", seed=1, subjects=1)
    left = {path.name for path in (tmp_path / "g" / "bids").rglob("sub-*") if path.is_dir()}
    assert left == {"sub-1001"}


def test_the_demo_is_not_overwritten(folder):
    with pytest.raises(UserError, match="graded cohort of seed 2; the demo cohort of seed 0"):
        from mriqa.artifacts.demo import make_demo

        make_demo(folder, seed=0, subjects=1, download=False)
