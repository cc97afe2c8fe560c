"""Exit codes: 2 where the call or the configuration is wrong, 1 where work was tried and failed."""

import errno
import re

import nibabel
import numpy as np
import pytest

from mriqa.cli import main
from mriqa.errors import NOT_ASKED_FOR, ErrorCode, MapsError, SeriesError, UserError

SIMULATED = ["--family", "noise", "--severity", "0.5"]


def image(values):
    return nibabel.Nifti1Image(values.astype(np.int16), np.diag([2.0, 2, 4, 1]))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The folder with a scan and what is none, in which the verbs are called."""
    rng = np.random.default_rng(0)
    body = np.abs(rng.normal(0, 9, (32, 32, 8)))
    body[6:26, 6:26] += 500
    nibabel.save(image(body), tmp_path / "scan.nii.gz")
    nibabel.save(image(np.zeros((32, 32, 8))), tmp_path / "constant.nii.gz")
    whole = (tmp_path / "scan.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "zero.nii.gz").write_bytes(b"")
    (tmp_path / "text.nii.gz").write_text("no image" * 100)
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom/1.dcm").write_bytes(bytes(128) + b"DICM" + bytes(400))
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = [
    ("none.nii.gz", 2, "no such file"),
    ("text.nii.gz", 2, "not an image format"),
    ("dicom/1.dcm", 2, r"DICOM, not NIfTI; convert .* `dcm2niix -z y -o OUT FOLDER`"),
    ("dicom", 2, r"dicom: a folder; name one NIfTI file, or if it holds DICOM, .*dcm2niix"),
    ("scan.nii.gz/x", 2, "Not a directory"),
    ("zero.nii.gz", 1, "zero bytes"),
    ("cut.nii.gz", 1, "breaks off"),
]


@pytest.mark.parametrize(("name", "code", "told"), [*GIVEN, ("constant.nii.gz", 1, "voxel is 0")])
def test_measuring_a_file(files, capsys, name, code, told):
    assert main(["metrics", name]) == code
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize(("name", "code", "told"), [*GIVEN, ("constant.nii.gz", 2, "0 voxels of")])
def test_a_mask_is_judged_as_the_image_would_be(files, capsys, name, code, told):
    assert main(["metrics", "scan.nii.gz", "--contrast", "t1w", "--mask", name]) == code
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize(("name", "code", "told"), GIVEN)
def test_simulating_with_a_file(files, capsys, name, code, told):
    assert main(["simulate", name, "out.nii.gz", *SIMULATED]) == code
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "scan.nii.gz", "cut.nii.gz/out.nii.gz", *SIMULATED],
        ["simulate", "scan.nii.gz", "/proc/none/out.nii.gz", *SIMULATED],
        ["demo-data", "/proc/none", "--no-download"],
        ["demo-data", "cut.nii.gz", "--graded"],
        ["docs", "cut.nii.gz"],
        ["metrics", "scan.nii.gz", "--volume", "1"],
        ["export", "dicom", "a", "out.nii.gz"],
        ["query", "dicom", "SELECT 1"],
        ["run", "none.yaml"],
        ["index", "text.nii.gz"],
        ["labels", "dicom"],
        ["config", "--check", "none.yaml"],
        ["convert", "none.parquet", "--store", "s.zarr", "--status", "s.parquet"],
        ["merge", "dicom"],
        ["report", "cut.nii.gz"],
        ["rate", "simclr", "dicom", "shard-00000", "--model-id", "x"],
        ["experiment", "simclr", "none.yaml"],
        ["experiment", "metrics", "none.tsv", "out", "--experiments", "none.yaml"],
    ],
)
def test_a_wrong_call_or_path_exits_with_2(files, capsys, arguments):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("mriqa: ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (OSError(errno.EIO, "Input/output error"), 1),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2),
        (SeriesError(ErrorCode.STORE_DAMAGED, "damaged"), 1),
        (MapsError("maps_grid", "another grid"), 1),
        (UserError("mend it"), 2),
    ],
)
def test_what_ends_a_verb_decides(monkeypatch, capsys, error, code):
    def ended(_config):
        raise error

    monkeypatch.setattr("mriqa.config.load_config", ended)
    assert main(["index", "c.yaml"]) == code


def test_a_path_that_cannot_be_written_to_is_named(files, capsys):
    main(["docs", "cut.nii.gz"])
    assert re.search(r"cut\.nii\.gz/\w+: Not a directory; name another", capsys.readouterr().err)


def test_the_rule_stands_in_the_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert re.search(r"^  1  the work was tried and failed", said, re.MULTILINE)
    assert re.search(r"^  2  the call or the configuration is wrong", said, re.MULTILINE)


@pytest.mark.parametrize("code", ErrorCode)
def test_a_broken_image_is_a_failure_and_what_is_none_a_wrong_call(code):
    assert SeriesError(code, "x").exit_code == (2 if code in NOT_ASKED_FOR else 1)
