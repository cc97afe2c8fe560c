"""What `index` finds in each kind of source, and what it says of the rest."""

import os
from pathlib import Path

import pandas as pd
import pytest
from cohort_trees import (
    add_dataset,
    add_file,
    bids,
    cohort_rows,
    folder,
    index,
    problem_rows,
    table,
)

from mriqa.cohort.manifest import COHORT_SCHEMA, read_cohort, read_shard
from mriqa.errors import ErrorCode, UserError


def test_bids_names_become_columns(tmp_path):
    root = add_dataset(tmp_path / "my data [v1.0]")
    for name in (
        "sub-0012/anat/sub-0012_acq-dixonW_chunk-2_T1w.nii.gz",
        "sub-0012/anat/sub-0012_T2w.nii",
        "sub-B/ses-1/dwi/sub-B_ses-1_dir-AP_run-01_dwi.nii.gz",
        "sub-B/ses-1/dwi/sub-B_ses-1_dir-PA_run-1_dwi.nii.gz",
        "sub-B/ses-1/dwi/sub-B_ses-1_dir-PA_run-01_dwi.nii.gz",
        "sub-B/ses-2/func/sub-B_ses-2_task-rest_echo-1_part-phase_bold.nii.gz",
        "sub-B/ses-2/func/sub-B_ses-2_task-rest_echo-2_bold.nii.gz",
        "sub-B/ses-2/fmap/sub-B_ses-2_magnitude1.nii.gz",
    ):
        add_file(root, name)
    summary = index(tmp_path / "out", bids(root))
    rows = cohort_rows(tmp_path / "out")
    assert (summary.n_series, summary.n_subjects, summary.n_problems) == (8, 2, 0)
    found = {
        one: (row["subject"], row["session"], row["contrast"], row["station"])
        for one, row in rows.items()
    }
    assert found == {
        "demo_sub-0012_acq-dixonW_chunk-2_T1w": ("0012", None, "dixonW", "2"),
        "demo_sub-0012_T2w": ("0012", None, "T2w", None),
        "demo_sub-B_ses-1_dir-AP_run-01_dwi": ("B", "1", "dwi", None),
        "demo_sub-B_ses-1_dir-PA_run-1_dwi": ("B", "1", "dwi", None),
        "demo_sub-B_ses-1_dir-PA_run-01_dwi": ("B", "1", "dwi", None),
        "demo_sub-B_ses-2_task-rest_echo-1_part-phase_bold": ("B", "2", "bold-phase", None),
        "demo_sub-B_ses-2_task-rest_echo-2_bold": ("B", "2", "bold", None),
        "demo_sub-B_ses-2_magnitude1": ("B", "2", "magnitude1", None),
    }
    path = root / "sub-0012/anat/sub-0012_T2w.nii"
    row = rows["demo_sub-0012_T2w"]
    assert (row["source_path"], row["source_kind"]) == (str(path), "bids")
    assert (row["size_bytes"], row["mtime_ns"]) == (5, path.stat().st_mtime_ns)


def test_bids_files_that_are_no_series_are_accounted_for(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=1)
    for name in (
        "derivatives/x/sub-001/anat/sub-001_T1w.nii.gz",
        "sourcedata/sub-001/anat/sub-001_T1w.nii.gz",
        "sub-001/anat/.hidden.nii.gz",
        "sub-001/anat/sub-001_defacemask.nii.gz",
        "sub-001/anat/sub-001_T1map.nii.gz",
        "sub-001/anat/sub-001_T1w (copy).nii.gz",
        "sub-001/anat/sub-002_T1w.nii.gz",
        "sub-001/anat/sub-001_ses-1_acq-a_acq-b_T1w.nii.gz",
        "sub-001/anat/sub-001_T1w.old.nii.gz",
        "sub-001/anat/scan.nii.gz",
        "sub-001/anat/sub-001_ses-2_T1w.nii.gz",
        "sub-001/Anat/sub-001_T2w.nii.gz",
        "sub-001/eeg/sub-001_eeg.edf",
        "sub-001/fmap/sub-001_phasediff.nii.gz",
        "sub-002/notes.txt",
    ):
        add_file(root, name)
    (root / "sub-003").symlink_to("not_downloaded")
    assert index(tmp_path / "out", bids(root)).n_series == 2
    said = {(Path(row["file"]).name, row["problem"]) for row in problem_rows(tmp_path / "out")}
    odd = "not a BIDS name: expected sub-001_<entities>_<suffix>"
    assert said == {
        ("sub-001_T1w (copy).nii.gz", odd),
        ("sub-002_T1w.nii.gz", odd),
        ("sub-001_ses-1_acq-a_acq-b_T1w.nii.gz", odd),
        ("sub-001_T1w.old.nii.gz", odd),
        ("scan.nii.gz", odd),
        ("sub-001_ses-2_T1w.nii.gz", odd),
        ("sub-002", "a subject's folder without any series"),
        ("sub-003", "named like a subject, but no folder"),
        ("ds", "1 anat images with suffix `defacemask` are not series"),
        ("ds", "1 anat images with suffix `T1map` are not series"),
        ("ds", "1 fmap images with suffix `phasediff` are not series"),
        ("ds", "1 folders `Anat` not entered: none of anat, dwi, func, perf, fmap"),
    }


def test_bids_sidecars_are_inherited(tmp_path):
    root = add_dataset(tmp_path / "ds")
    add_file(root, "dwi.json", '{"Manufacturer": "GE", "MagneticFieldStrength": 3}')
    add_file(root, "dwi.bval", "0 700\n")
    add_file(root, "sub-1/sub-1_dir-AP_dwi.json", '{"ManufacturersModelName": "MR750"}')
    add_file(root, "sub-1/ses-a/dwi/sub-1_ses-a_dir-AP_dwi.nii.gz")
    add_file(root, "sub-1/ses-a/dwi/sub-1_ses-a_dir-AP_dwi.bval", "0 1000")
    add_file(root, "sub-1/ses-a/dwi/sub-1_ses-a_dir-PA_dwi.nii.gz")
    add_file(root, "sub-1/ses-a/anat/sub-1_ses-a_T1w.nii.gz")
    add_file(root, "sub-2/dwi/sub-2_dwi.nii.gz")
    add_file(root, "sub-2/dwi/sub-2_dwi.bval", "0 none")
    add_file(root, "sub-2/dwi/sub-2_dwi.json", "{")
    index(tmp_path / "out", bids(root))
    rows = cohort_rows(tmp_path / "out")
    seen = {one: (row["bvals"], row["scanner"]) for one, row in rows.items()}
    assert seen == {
        "demo_sub-1_ses-a_dir-AP_dwi": ([0, 1000], "GE_MR750_3T"),
        "demo_sub-1_ses-a_dir-PA_dwi": ([0, 700], "GE_3T"),
        "demo_sub-1_ses-a_T1w": (None, None),
        "demo_sub-2_dwi": ([], "GE_3T"),
    }
    files = [Path(row["file"]).name for row in problem_rows(tmp_path / "out")]
    assert files == ["sub-2_dwi.bval", "sub-2_dwi.json"]


def test_the_more_specific_of_two_sidecars_wins_and_a_bad_one_is_named_once(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=3)
    add_file(root, "acq-dixonW_T1w.json", b'\xef\xbb\xbf{"Manufacturer": "Philips"}')
    add_file(root, "T1w.json", '{"Manufacturer": "GE"}')
    add_file(root, "task-rest_bold.json", "{")
    for subject in ("001", "002"):
        add_file(root, f"sub-{subject}/func/sub-{subject}_task-rest_bold.nii.gz")
    index(tmp_path / "out", bids(root))
    rows = cohort_rows(tmp_path / "out")
    assert rows["demo_sub-001_T1w"]["scanner"] == "GE"
    assert rows["demo_sub-001_acq-dixonW_T1w"]["scanner"] == "Philips"
    assert [row["file"] for row in problem_rows(tmp_path / "out")] == [
        str(root / "task-rest_bold.json")
    ]


def test_participants_are_joined(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=3)
    add_file(
        root,
        "participants.tsv",
        "participant_id\tage\tsex\theight\tweight\tsite\nsub-001\t44\tM\t180\t81\tMainz\n"
        "002\told\tf\t1.7\t70\tn/a\n",
    )
    index(tmp_path / "out", bids(root))
    rows = cohort_rows(tmp_path / "out")
    columns = ("sex", "age", "height_cm", "weight_kg", "site")
    assert [rows[f"demo_sub-00{n}_T1w"][name] for n in "1" for name in columns] == [
        "M",
        44,
        180,
        81,
        "Mainz",
    ]
    assert [rows["demo_sub-002_T1w"][name] for name in columns] == ["F", None, None, 70, None]
    assert [rows["demo_sub-003_T1w"][name] for name in columns] == [None] * 5
    assert [
        (Path(row["file"]).name, row["line"], row["column"], row["value"])
        for row in problem_rows(tmp_path / "out")
    ] == [("participants.tsv", 3, "age", "old"), ("participants.tsv", 3, "height", "1.7")]


def test_configured_participants_serve_sources_without_their_own(tmp_path):
    people = add_file(
        tmp_path, "people.csv", "participant_id,age,site\n001,30,shared\n1,31,shared\n"
    )
    own = add_dataset(tmp_path / "own", subjects=1)
    add_file(own, "participants.tsv", "participant_id\tage\nsub-001\t40\n")
    add_file(tmp_path, "a.nii", b"x")
    listed = add_file(
        tmp_path, "t.csv", "path,subject,contrast,age\na.nii,1,T1w,n/a\na.nii,1,T2w,50\n"
    )
    index(tmp_path / "out", bids(own), table(listed), participants=people)
    found = {one: (row["age"], row["site"]) for one, row in cohort_rows(tmp_path / "out").items()}
    assert found["demo_sub-001_T1w"] == (40, None)
    assert found["demo_sub-1_T1w"] == (31, "shared")
    assert found["demo_sub-1_T2w"] == (50, "shared")


def test_table_rows_become_series(tmp_path):
    images = tmp_path / "Bilder München"
    add_file(images, "a b.nii.gz", b"123")
    add_file(images, "c.nii.gz")
    add_file(images, "c.bval", "0 1000")
    listed = add_file(
        images,
        "list.csv",
        b"\xef\xbb\xbfPath,Subject,Session,Contrast,station,run,series_id,site,extra\r\n"
        b'a b.nii.gz,0012,ses-1,T1w,3,01,,"Mainz, Nord",x\r\n'
        + f"{images / 'c.nii.gz'},sub-0012,,dwi,,,my-id,,\r\n".encode(),
    )
    index(tmp_path / "out", table(listed))
    rows = cohort_rows(tmp_path / "out")
    first = rows["demo_sub-0012_ses-1_run-01_chunk-3_T1w"]
    assert (first["subject"], first["session"], first["station"]) == ("0012", "1", "3")
    assert (first["site"], first["size_bytes"], first["source_kind"]) == ("Mainz, Nord", 3, "table")
    second = rows["demo_my-id"]
    assert (second["subject"], second["session"], second["bvals"]) == ("0012", None, [0, 1000])
    (problem,) = problem_rows(tmp_path / "out")
    assert (problem["line"], problem["column"]) == (1, "extra")


def test_table_rows_that_are_wrong_are_named(tmp_path):
    add_file(tmp_path, "a.nii", b"x")
    add_file(tmp_path, "b.nii", b"x")
    listed = add_file(
        tmp_path,
        "list.tsv",
        "path\tsubject\tcontrast\tage\n"
        "a.nii\t1\tT1w\t44\n"
        "gone.nii\t2\tT1w\t44\n"
        "\t3\tT1w\t44\n"
        "a.nii\t\tT1w\t44\n"
        "a.nii\t4\tT1w\n"
        "b.nii\t5\tT1w\tforty\n",
    )
    summary = index(tmp_path / "out", table(listed))
    rows = cohort_rows(tmp_path / "out")
    assert {one: row["error_code"] for one, row in rows.items()} == {
        "demo_sub-1_T1w": None,
        "demo_sub-2_T1w": "file_missing",
        "demo_sub-5_T1w": None,
    }
    gone = rows["demo_sub-2_T1w"]
    assert (gone["size_bytes"], gone["mtime_ns"]) == (0, 0)
    assert str(tmp_path / "gone.nii") in gone["error_message"]
    problems = problem_rows(tmp_path / "out")
    assert [(row["line"], row["column"]) for row in problems] == [
        (3, "path"),
        (4, "path"),
        (5, "subject"),
        (6, None),
        (7, "age"),
    ]
    assert problems[4]["value"] == "forty"
    assert (summary.n_series, summary.n_failed, summary.n_problems) == (3, 1, 5)


def test_a_parquet_table_with_numbers_for_ids(tmp_path):
    add_file(tmp_path, "a.nii", b"x")
    frame = pd.DataFrame(
        {"path": ["a.nii"], "subject": [1000012], "contrast": ["T1w"], "age": [61]}
    )
    frame.to_parquet(tmp_path / "list.parquet")
    index(tmp_path / "out", table(tmp_path / "list.parquet"))
    row = cohort_rows(tmp_path / "out")["demo_sub-1000012_T1w"]
    assert (row["subject"], row["age"]) == ("1000012", 61)


def test_folder_pattern(tmp_path):
    root = tmp_path / "scans"
    for name in (
        "100001_30/T1w_1.nii.gz",
        "100001_30/T1w_2.nii.gz",
        "100001_31/nested/T1w_1.nii.gz",
        "100001_31/odd.nii.gz",
        "readme.txt",
        ".cache/100001_30/T1w_9.nii.gz",
    ):
        add_file(root, name)
    (root / "100001_30" / "again").symlink_to(root)
    index(tmp_path / "out", folder(root, "{subject}_{session}/{contrast}_{run}.nii.gz"))
    assert set(cohort_rows(tmp_path / "out")) == {
        "demo_sub-100001_ses-30_run-1_T1w",
        "demo_sub-100001_ses-30_run-2_T1w",
    }
    assert {Path(row["file"]).name for row in problem_rows(tmp_path / "out")} == {
        "odd.nii.gz",
        "T1w_1.nii.gz",
        "again",
    }


def test_many_unmatched_files_are_counted(tmp_path):
    add_file(tmp_path / "scans", "1/T1w.nii")
    for number in range(130):
        add_file(tmp_path / "scans", f"x{number}.nii")
    index(tmp_path / "out", folder(tmp_path / "scans", "{subject}/{contrast}.nii"))
    problems = problem_rows(tmp_path / "out")
    assert len(problems) == 101
    assert problems[0]["problem"].startswith("30 more files")


def test_one_id_from_two_files_makes_both_unusable(tmp_path):
    one = add_dataset(tmp_path / "one", subjects=2)
    two = add_dataset(tmp_path / "two", subjects=1)
    add_file(one, "sub-002/anat/sub-002_T1w.nii", b"the same, not compressed")
    summary = index(tmp_path / "out", bids(one), bids(two))
    rows = cohort_rows(tmp_path / "out")
    failed = {name for name, row in rows.items() if row["error_code"] == "duplicate_id"}
    assert failed == {
        "demo_sub-001_T1w",
        "demo_sub-001_acq-dixonW_T1w",
        "demo_sub-002_T1w",
    }
    message = rows["demo_sub-001_T1w"]["error_message"]
    for root in (one, two):
        assert str(root / "sub-001/anat/sub-001_T1w.nii.gz") in message
    assert (summary.n_series, summary.n_failed, summary.n_problems) == (4, 3, 6)
    manifest = read_shard(tmp_path / "out/shards/shard-00000.parquet")
    assert [one.error_code for one in manifest].count(ErrorCode.DUPLICATE_ID) == 3


def test_duplicates_in_a_table_name_both_lines(tmp_path):
    for name in ("a.nii", "b.nii"):
        add_file(tmp_path, name, b"x")
    listed = add_file(
        tmp_path, "l.csv", "path,subject,contrast\na.nii,1,T1w\nb.nii,2,T1w\na.nii,sub-1,T1w\n"
    )
    index(tmp_path / "out", table(listed))
    message = cohort_rows(tmp_path / "out")["demo_sub-1_T1w"]["error_message"]
    assert "l.csv line 2 and " in message
    assert "l.csv line 4" in message
    assert [row["line"] for row in problem_rows(tmp_path / "out")] == [2, 4]


def test_one_file_as_two_series_is_pointed_out(tmp_path):
    add_file(tmp_path, "a.nii", b"x")
    add_file(tmp_path, "b.nii", b"y")
    listed = add_file(
        tmp_path, "l.csv", "path,subject,contrast\na.nii,1,T1w\nb.nii,2,T1w\n./a.nii,3,T1w\n"
    )
    index(tmp_path / "out", table(listed))
    (problem,) = problem_rows(tmp_path / "out")
    assert (problem["file"], problem["line"], problem["column"]) == (str(listed), 4, "path")
    assert "demo_sub-1_T1w" in problem["problem"]
    assert f"{listed} line 2" in problem["problem"]


def test_left_out_on_purpose(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=3)
    add_file(root, "participants.tsv", "participant_id\tage\nsub-001\t44\nsub-002\t45\n")
    (root / "sub-001/anat/sub-001_T1w.nii.gz").unlink()
    (root / "sub-001/anat/sub-001_T1w.nii.gz").symlink_to("deleted")
    withdrawn = add_file(tmp_path, "withdrawn.txt", "# since May\nsub-001\n999\n")
    summary = index(
        tmp_path / "out", bids(root), withdrawn=withdrawn, exclude_contrasts=("dixonW",)
    )
    rows = cohort_rows(tmp_path / "out")
    assert {name: row["excluded_by"] for name, row in rows.items()} == {
        "demo_sub-001_T1w": "withdrawn",
        "demo_sub-001_acq-dixonW_T1w": "withdrawn",
        "demo_sub-002_T1w": None,
        "demo_sub-002_acq-dixonW_T1w": "contrast",
        "demo_sub-003_T1w": None,
        "demo_sub-003_acq-dixonW_T1w": "contrast",
    }
    assert (rows["demo_sub-001_T1w"]["age"], rows["demo_sub-002_T1w"]["age"]) == (None, 45)
    # the files of who withdrew are often deleted: that is no failure
    assert rows["demo_sub-001_T1w"]["error_code"] is None
    assert (summary.n_excluded, summary.n_failed, summary.n_problems) == (4, 0, 0)


def test_a_mistyped_contrast_is_pointed_out(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=1)
    index(tmp_path / "out", bids(root), exclude_contrasts=("dixonw",))
    (problem,) = problem_rows(tmp_path / "out")
    assert (problem["column"], problem["value"]) == ("cohort.exclude_contrasts", "dixonw")


def test_names_that_are_no_text_are_problems(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=1)
    bad = os.fsdecode(b"sub-001_acq-\xff_T1w.nii.gz")
    path = root / "sub-001/anat/sub-001_T1w.nii.gz"
    path.rename(path.with_name(bad))
    assert index(tmp_path / "out", bids(root)).n_series == 1
    (problem,) = problem_rows(tmp_path / "out")
    assert problem["file"].endswith(r"sub-001_acq-\xff_T1w.nii.gz")


def test_a_folder_that_may_not_be_listed_is_reported(tmp_path, monkeypatch):
    root = add_dataset(tmp_path / "ds", subjects=2)
    closed = str(root / "sub-001" / "anat")
    scandir = os.scandir

    def guarded(path):
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert index(tmp_path / "out", bids(root)).n_series == 2
    (problem,) = problem_rows(tmp_path / "out")
    assert (problem["file"], problem["problem"]) == (closed, "cannot be listed: Permission denied")


def test_participants_that_were_not_downloaded_are_reported(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=1)
    (root / "participants.tsv").symlink_to(".git/annex/objects/xx")
    assert index(tmp_path / "out", bids(root)).n_series == 2
    (problem,) = problem_rows(tmp_path / "out")
    assert problem["file"] == str(root / "participants.tsv")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (bids(Path("absent")), "absent: no such folder"),
        (bids(Path("plain")), "plain: no BIDS dataset, it has no dataset_description.json"),
        (bids(Path("empty")), r"looked for sub-\*"),
        (table(Path("absent.csv")), r"absent\.csv: no such table"),
        (table(Path("header.csv")), "looked for rows with path, subject and contrast"),
        (table(Path("short.csv")), "no column contrast; the columns are path, subject"),
        (folder(Path("absent"), "{subject}.nii"), "absent: no such folder"),
        (folder(Path("plain"), "{subject}.nii.gz"), r"none of its 1 files matches"),
    ],
)
def test_a_source_that_cannot_be_used_stops_before_anything_is_written(
    tmp_path, monkeypatch, source, message
):
    monkeypatch.chdir(tmp_path)
    add_file(tmp_path, "plain/a.nii")
    add_dataset(tmp_path / "empty")
    add_file(tmp_path, "header.csv", "path,subject,contrast\n")
    add_file(tmp_path, "short.csv", "path,subject\na,1\n")
    with pytest.raises(UserError, match=message):
        index(tmp_path / "out", source)
    assert not (tmp_path / "out").exists()


def test_a_table_of_a_header_is_fine_beside_another_source(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=1)
    header = add_file(tmp_path, "later.csv", "path,subject,contrast\n")
    assert index(tmp_path / "out", table(header), bids(root)).n_series == 2


def test_real_volumes_as_a_dataset(tmp_path, real_data):
    """Linked, as git-annex does, under a path with a blank."""
    root = add_dataset(tmp_path / "real data")
    links = {
        "sub-01/anat/sub-01_T1w.nii.gz": "t1w/studyforrest_T1w.nii.gz",
        "sub-02/anat/sub-02_acq-dixonW_chunk-1_T2w.nii.gz": "body/renal_t2w_sub01.nii.gz",
    }
    for direction, number in (("AP", 9), ("PA", 6)):
        for extension in ("nii.gz", "bval", "json"):
            links[f"sub-03/dwi/sub-03_dir-{direction}_dwi.{extension}"] = (
                f"dwi/dti_tra_dir16_{direction}_{number}_134431.{extension}"
            )
    for name, target in links.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to((real_data / target).resolve())
    echoes = folder(real_data / "body/ukat_dual_echo", "{subject}__{acq}_e{echo}.nii.gz")
    summary = index(tmp_path / "out", bids(root), echoes)
    assert (summary.n_series, summary.n_failed, summary.n_problems) == (13, 0, 0)
    rows = cohort_rows(tmp_path / "out")
    weighted = rows["demo_sub-03_dir-AP_dwi"]
    assert len(weighted["bvals"]) == 17
    assert weighted["scanner"] == "UIH_uMR-770_3T"
    assert rows["demo_sub-01_T1w"]["size_bytes"] == (
        (real_data / "t1w/studyforrest_T1w.nii.gz").stat().st_size
    )
    assert "demo_sub-ge_01_acq-00720__Magnitude_ims__B0_map_dual_echo_echo-2_unknown" in rows
    assert read_cohort(tmp_path / "out/cohort.parquet").schema.equals(COHORT_SCHEMA)
