"""Whose the folder of a demo cohort is: what is not this very cohort is left as it is."""

import json
from dataclasses import replace

import pytest

from mriqa.artifacts.demo_folder import only_writer, prepare
from mriqa.artifacts.demo_plan import plan_demo
from mriqa.artifacts.demo_tables import dataset_description
from mriqa.artifacts.graded import make_graded, plan_graded
from mriqa.cli import main
from mriqa.errors import UserError

SEED = 4


@pytest.fixture(scope="module")
def plans():
    """Of both kinds of cohort."""
    return {"demo": plan_demo(SEED, 1), "graded": plan_graded(SEED, 1)}


def described(folder, **content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps(content))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def a_dataset(out):
    described(out, Name="My thesis")


def subjects_only(out):
    (out / "sub-01/anat").mkdir(parents=True)


def a_dataset_in_bids(out):
    described(out / "bids", Name="My thesis")


def files_in_bids(out):
    (out / "bids/sub-01").mkdir(parents=True)


def another_seed(out):
    described(out / "bids", **dataset_description(SEED + 1, 1, "graded"))


def another_kind(out):
    described(out / "bids", **dataset_description(SEED, 1, "demo"))


def a_cohort_itself(out):
    described(out, **dataset_description(SEED, 1, "graded"))


def a_truth(out):
    out.mkdir(exist_ok=True)
    (out / "truth.tsv").write_text("mine")


def a_stamp_of_another_seed(out):
    out.mkdir(exist_ok=True)
    (out / "graded.json").write_text(json.dumps({"seed": SEED + 1}))


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (a_dataset, r"out: holds another dataset \(My thesis\); the graded cohort of seed 4"),
        (subjects_only, r"out: holds other files \(e\.g\. sub-01\)"),
        (a_dataset_in_bids, r"out/bids: holds another dataset \(My thesis\)"),
        (files_in_bids, r"out/bids: holds other files \(e\.g\. sub-01\)"),
        (another_seed, r"out/bids: holds the graded cohort of seed 5; the graded cohort of seed 4"),
        (another_kind, r"out/bids: holds the demo cohort of seed 4; the graded cohort of seed 4"),
        (a_cohort_itself, r"out: holds the graded cohort of seed 4"),
        (a_truth, r"out: holds truth\.tsv, of something else"),
        (a_stamp_of_another_seed, r"out: holds graded\.json, of something else"),
    ],
)
def test_what_is_there_is_named_and_nothing_is_written(tmp_path, there, told):
    out = tmp_path / "out"
    there(out)
    before = names(out)
    with pytest.raises(UserError, match=f"{told}.*name another folder"):
        make_graded(out, seed=SEED, subjects=1)
    assert names(out) == before


def test_the_command_exits_with_2_also_for_a_file(tmp_path, capsys):
    a_dataset(tmp_path)
    file = tmp_path / "dataset_description.json"
    for out, told in ((tmp_path, "holds another dataset"), (file, "is a file; name a folder")):
        assert main(["demo-data", str(out), "--no-download"]) == 2
        assert f"{out}: {told}" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["demo", "graded"])
def test_the_same_cohort_is_gone_on_with(tmp_path, plans, kind):
    plan = plans[kind]
    subject = next(iter(plan.series)).subject
    for _ in range(2):
        with only_writer(tmp_path, plan):
            prepare(tmp_path / "bids", plan)
            (tmp_path / f"bids/sub-{subject}").mkdir(exist_ok=True)
    assert (tmp_path / f"bids/sub-{subject}").is_dir()


def test_a_run_killed_before_the_description_was_written_is_gone_on_with(tmp_path, plans):
    half = tmp_path / "bids/.dataset_description.json.part-0123456789ab"
    half.parent.mkdir()
    half.write_text("{")
    with only_writer(tmp_path, plans["demo"]):
        prepare(tmp_path / "bids", plans["demo"])
    assert not half.exists()


def test_a_cohort_whose_images_were_removed_is_made_again(tmp_path, plans):
    (tmp_path / "graded.json").write_text(json.dumps({"seed": SEED, "subjects": 1}))
    (tmp_path / "truth.tsv").write_text("its truth")
    with only_writer(tmp_path, plans["graded"]):
        pass
    with pytest.raises(UserError, match="holds truth"), only_writer(tmp_path, plans["demo"]):
        pass


def test_whose_folder_it_is_is_seen_again_once_it_is_locked(tmp_path, plans, monkeypatch):
    """Another process may have made its cohort since the first look."""
    other = replace(plans["demo"], seed=SEED + 1)

    def lock(_handle):
        prepare(tmp_path / "bids", other)
        return True

    monkeypatch.setattr("mriqa.artifacts.demo_folder.lock_at_once", lock)
    with pytest.raises(UserError, match="of seed 5"), only_writer(tmp_path, plans["demo"]):
        pass


def test_nothing_that_somebody_put_into_the_cohort_is_removed(tmp_path, plans):
    own, bids = plans["demo"], tmp_path / "bids"
    prepare(bids, own)
    mine = bids / "sub-9999" / "anat" / "mine.nii.gz"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"scan")
    with pytest.raises(UserError, match=r"mine\.nii\.gz: is no file of this cohort"):
        prepare(bids, own)
    assert mine.read_bytes() == b"scan"
    mine.rename(mine.with_name("sub-9999_acq-dixonW_T1w.nii.gz"))  # as of a bigger cohort
    prepare(bids, own)
    assert not mine.parent.exists()


def test_an_older_cohort_with_something_of_somebody_else_is_left(tmp_path, plans):
    own, bids = plans["demo"], tmp_path / "bids"
    described(bids, **dataset_description(SEED, 0, "demo"))
    mine = bids / "derivatives" / "fmriprep" / "x.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"x\.txt: is no file of this cohort"):
        prepare(bids, own)
    assert mine.read_text() == "mine"
