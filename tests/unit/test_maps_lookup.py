"""Which of the user's masks and maps are whose: by BIDS names, and by a table."""

from pathlib import Path

import pytest
from cohort_trees import add_file

from mriqa.cohort.maps.derivatives import find_derivatives, owners, role_of
from mriqa.cohort.maps.model import MapFile, MapPaths, paths_of
from mriqa.cohort.maps.table import find_table_maps
from mriqa.cohort.maps.wanted import Brains, Wanted, parse_name
from mriqa.errors import MapsError, UserError


def wanted(name: str, shard: int = 0) -> Wanted:
    suffix = name.rpartition("_")[2]
    return Wanted(f"c_{name}", suffix, shard, suffix == "T1w", "c")


def found_of(root: Path, files: list[str], series: list[str]):
    """(series without the cohort's name, role) of every file that is taken, and the problems."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    root.mkdir(exist_ok=True)
    found = find_derivatives(root, [wanted(name) for name in series])
    return sorted((one.series_id[2:], one.role) for one in found.files), found.problems


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("sub-01_ses-a_acq-x_run-02_T1w",
         ({"sub": "01", "ses": "a", "acq": "x", "run": "2"}, "T1w")),
        ("sub-01_T1w", ({"sub": "01"}, "T1w")),
        ("myscan17", None),
        ("sub-01_strange_T1w", None),
        ("sub-01_acq-a_acq-b_T1w", None),
        ("ses-01_T1w", None),
        ("sub-01_acq-_T1w", None),
        ("", None),
    ],
)  # fmt: skip
def test_names(stem, expected):
    assert parse_name(stem) == expected


@pytest.mark.parametrize(
    ("stem", "role"),
    [
        ("sub-1_desc-brain_mask", "mask"),
        ("sub-1_space-orig_desc-brain_mask", "mask"),
        ("sub-1_label-GM_probseg", "gm"),
        ("sub-1_label-WM_probseg", "wm"),
        ("sub-1_label-CSF_probseg", "csf"),
        ("sub-1_label-brain_mask", None),
        ("sub-1_desc-ribbon_mask", None),
        ("sub-1_mask", None),
        ("sub-1_label-SCGM_probseg", None),
        ("sub-1_desc-preproc_T1w", None),
        ("sub-1_dseg", None),
    ],
)
def test_what_a_file_is_by_its_name(stem, role):
    assert role_of(*parse_name(stem)) == role


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("desc-brain_mask", "T1w"),
        ("space-orig_desc-brain_mask", "T1w"),
        ("space-T1w_desc-brain_mask", "T1w"),
        ("space-T2w_desc-brain_mask", "T2w"),
        ("mod-T2w_desc-brain_mask", "T2w"),
        ("space-MNI152NLin2009cAsym_desc-brain_mask", None),
        ("space-fsnative_desc-brain_mask", None),
        ("space-MNIPediatricAsym_res-2_desc-brain_mask", None),
        ("mod-PDw_desc-brain_mask", None),
        ("res-2_desc-brain_mask", None),
        ("run-1_desc-brain_mask", None),
    ],
)
def test_the_space_says_of_which_scan(tmp_path, name, expected):
    files = [f"sub-1/anat/sub-1_{name}.nii.gz"]
    found, problems = found_of(tmp_path, files, ["sub-1_T1w", "sub-1_T2w"])
    assert found == ([] if expected is None else [(f"sub-1_{expected}", "mask")])
    is_elsewhere = "space-MNI" in name or "fsnative" in name or "res-" in name
    assert len(problems) == (expected is None and not is_elsewhere)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("space-MNI152NLin2009cAsym_desc-brain_mask", "T1w"),
        ("space-MNIPediatricAsym_cohort-2_res-2_label-CSF_probseg", "T1w"),
        ("space-fsnative_desc-brain_mask", "T1w"),
        ("space-T1w_res-2_desc-brain_mask", "T1w"),
        ("mod-T2w_space-MNI152NLin6Asym_desc-brain_mask", "T2w"),
        ("desc-brain_mask", None),
        ("space-T2w_desc-brain_mask", None),
        ("run-1_desc-brain_mask", None),
        ("run-1_space-MNI152NLin6Asym_desc-brain_mask", None),
        ("space-MNI152NLin6Asym_desc-preproc_T1w", None),
    ],
)
def test_what_lies_in_another_space_is_known_to_be_left_aside(tmp_path, name, expected):
    add_file(tmp_path, f"sub-1/anat/sub-1_{name}.nii.gz")
    found = find_derivatives(tmp_path, [wanted("sub-1_T1w"), wanted("sub-1_T2w")])
    of = [one.series_id for one in found.elsewhere]
    assert of == ([] if expected is None else [f"c_sub-1_{expected}"])


def test_where_there_is_no_t1w_it_is_of_the_t2w(tmp_path):
    found, _ = found_of(tmp_path, ["sub-1/anat/sub-1_desc-brain_mask.nii"], ["sub-1_T2w"])
    assert found == [("sub-1_T2w", "mask")]


def test_all_entities_must_agree(tmp_path):
    files = [
        "sub-1/ses-a/anat/sub-1_ses-a_acq-x_run-1_desc-brain_mask.nii.gz",
        "sub-1/ses-a/anat/sub-1_ses-a_desc-brain_mask.nii.gz",  # an average of both runs
        "sub-1/anat/sub-1_desc-brain_mask.nii.gz",  # of all sessions
        "sub-1/ses-a/anat/sub-1_ses-a_acq-x_run-2_label-GM_probseg.nii.gz",
        "sub-2/anat/sub-2_desc-brain_mask.nii.gz",  # of nobody in the cohort
        "sub-1/ses-a/func/sub-1_ses-a_acq-x_run-1_desc-brain_mask.nii.gz",
    ]
    series = ["sub-1_ses-a_acq-x_run-01_T1w", "sub-1_ses-a_acq-x_run-02_T1w"]
    found, problems = found_of(tmp_path, files, series)
    assert found == [(series[0], "mask"), (series[1], "gm")]
    assert problems == []


def test_a_file_that_may_be_of_two_series_is_a_problem(tmp_path):
    files = ["sub-1/anat/sub-1_run-1_desc-brain_mask.nii.gz"]
    found, problems = found_of(tmp_path, files, ["sub-1_run-1_T1w", "sub-1_run-01_T1w"])
    assert found == []
    assert "sub-1_run-1_T1w and c_sub-1_run-01_T1w" in problems[0].problem


def test_a_folder_without_any_is_a_problem_and_none_an_error(tmp_path):
    found, (problem,) = found_of(tmp_path / "d", ["sub-1/x"], ["sub-1_T1w"])
    assert found == []
    assert "looked for" in problem.problem
    with pytest.raises(UserError, match="no such folder"):
        find_derivatives(tmp_path / "none", [wanted("sub-1_T1w")])
    with pytest.raises(UserError, match=r"no subject's folder .* is it mounted"):
        find_derivatives(tmp_path / "d" / "sub-1", [wanted("sub-1_T1w")])


def test_ids_that_are_no_bids_names_have_no_derivatives(tmp_path):
    found, _ = found_of(tmp_path, ["sub-1/anat/sub-1_desc-brain_mask.nii.gz"], ["myscan"])
    assert found == []
    assert owners({"sub": "1"}, []) == []


def files_of(**by_role: str) -> list[MapFile]:
    roles = (role for role in by_role)
    return [MapFile("s", role, by_role[role]) for role in roles]


def test_what_the_user_has_of_a_series():
    assert paths_of([]) == MapPaths()
    assert paths_of(files_of(mask="m")) == MapPaths(Path("m"))
    tissues = (Path("c"), Path("g"), Path("w"))
    assert paths_of(files_of(wm="w", csf="c", gm="g")) == MapPaths(None, tissues)
    assert paths_of(files_of(mask="m", wm="w", csf="c", gm="g")) == MapPaths(Path("m"), tissues)


@pytest.mark.parametrize(
    ("files", "reason", "told"),
    [
        (files_of(csf="c", wm="w"), "maps_incomplete", "c: there is no map of gm beside it"),
        (files_of(mask="m", gm="g"), "maps_incomplete", "no map of csf and of wm"),
        ([*files_of(mask="m"), *files_of(mask="n")], "maps_ambiguous", "m and n: 2 files"),
    ],
)
def test_maps_that_do_not_belong_together(files, reason, told):
    with pytest.raises(MapsError, match=told) as caught:
        paths_of(files)
    assert caught.value.reason == reason


def table_of(folder: Path, text: str, name: str = "maps.tsv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


BRAINS = Brains([wanted("sub-1_T1w"), wanted("mine")], frozenset({"c_sub-9_T1w", "sub-9_T1w"}))


def test_a_table_names_them(tmp_path):
    text = (
        "series_id\tmask\tcsf\tgm\twm\tnote\n"
        "c_sub-1_T1w\tmasks/1.nii\tn/a\t\t\tx\n"
        "mine\t\t/data/c.nii\tg.nii\tw.nii\tx\n"
        "sub-9_T1w\tmasks/9.nii\t\t\t\tx\n"
        "sub-7_T1w\tmasks/7.nii\t\t\t\tx\n"
        "mine\t\t\t\t\tx\n"
    )
    found = find_table_maps(table_of(tmp_path, text), BRAINS)
    assert found.files == [
        MapFile("c_sub-1_T1w", "mask", str(tmp_path / "masks/1.nii")),
        MapFile("c_mine", "csf", "/data/c.nii"),
        MapFile("c_mine", "gm", str(tmp_path / "g.nii")),
        MapFile("c_mine", "wm", str(tmp_path / "w.nii")),
    ]
    assert [(one.line, one.value, one.problem.partition(" ")[0]) for one in found.problems] == [
        (1, None, "not"), (5, "sub-7_T1w", "no"), (6, "mine", "a")]  # fmt: skip


@pytest.mark.parametrize("header", ["series_id,path", "mask,csf", "id,mask"])
def test_a_table_without_the_columns_is_refused(tmp_path, header):
    with pytest.raises(UserError, match="series_id and one or more of mask, csf, gm, wm"):
        find_table_maps(table_of(tmp_path, f"{header}\n", "maps.csv"), BRAINS)
