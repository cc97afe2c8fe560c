"""Files and their sidecars, looked at without reading a pixel."""

import os

import pytest

from mriqa.cohort.found import FoundSeries
from mriqa.cohort.inspection import (
    Inspection,
    SidecarReader,
    inspect_series,
    parse_bvals,
    scanner_name,
)
from mriqa.errors import ErrorCode


def look(path, **more) -> Inspection:
    values = {"kind": "table", "origin_file": "t.csv", "origin_line": 3, **more}
    series = FoundSeries("c_x", "1", None, "dwi", None, str(path), **values)
    return inspect_series(series, SidecarReader())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0 1000 1000\n", (0, 1000, 1000)),
        ("0\n5\n2000\n", (0, 5, 2000)),
        ("0, 1e3,\t1000.5", (0, 1000, 1000.5)),
        ("\ufeff0 1000\r\n", (0, 1000)),
    ],
)
def test_bvals_are_read(text, values):
    assert parse_bvals(text) == values


@pytest.mark.parametrize("text", ["", " \n", "0 1000 x", "0 nan", "0 -5", "inf", "<html>"])
def test_bvals_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="."):
        parse_bvals(text)


@pytest.mark.parametrize(
    ("sidecar", "name"),
    [
        (
            {"Manufacturer": "Siemens ", "ManufacturersModelName": "Prisma_fit"},
            "Siemens_Prisma-fit",
        ),
        (
            {
                "Manufacturer": "GE",
                "ManufacturersModelName": "Signa HDxt",
                "MagneticFieldStrength": 3,
            },
            "GE_Signa-HDxt_3T",
        ),
        ({"Manufacturer": "Siemens", "MagneticFieldStrength": "1.5"}, "Siemens_1.5T"),
        ({"MagneticFieldStrength": float("nan"), "Manufacturer": 7}, None),
        ({}, None),
    ],
)
def test_scanner_name(sidecar, name):
    assert scanner_name(sidecar) == name


def test_files_beside_a_listed_image_are_used(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"12345")
    (tmp_path / "a.bval").write_text("0 1000")
    (tmp_path / "a.json").write_text('{"Manufacturer": "Philips"}')
    seen = look(tmp_path / "a.nii.gz")
    assert (seen.size_bytes, seen.bvals, seen.scanner) == (5, (0, 1000), "Philips")
    assert seen.mtime_ns == (tmp_path / "a.nii.gz").stat().st_mtime_ns
    assert (seen.error_code, seen.problems) == (None, ())


@pytest.mark.parametrize("content", ["{", "[1, 2]", "\udcff"])
def test_damaged_sidecars_are_problems_not_failures(tmp_path, content):
    (tmp_path / "a.nii").write_bytes(b"x")
    (tmp_path / "a.json").write_bytes(content.encode(errors="surrogateescape"))
    (tmp_path / "a.bval").write_text("b")
    seen = look(tmp_path / "a.nii")
    assert (seen.error_code, seen.scanner, seen.bvals) == (None, None, ())
    assert sorted(problem.file for problem in seen.problems) == [
        str(tmp_path / "a.bval"),
        str(tmp_path / "a.json"),
    ]


def test_sidecars_that_never_end_are_problems_and_no_hang(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"x")
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "a.bval").symlink_to("/dev/zero")
    seen = look(tmp_path / "a.nii")
    assert (seen.error_code, seen.bvals, seen.scanner) == (None, (), None)
    assert [problem.file for problem in seen.problems] == [
        str(tmp_path / "a.bval"),
        str(tmp_path / "a.json"),
    ]
    assert all("not a regular file" in problem.problem for problem in seen.problems)


def test_a_bval_that_the_table_names_and_is_not_there(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"x")
    seen = look(tmp_path / "a.nii", bval_path=str(tmp_path / "b.bval"))
    assert seen.bvals == ()
    assert "No such file" in seen.problems[0].problem


def test_missing_file_names_the_row_that_lists_it(tmp_path):
    seen = look(tmp_path / "a.nii")
    assert (seen.error_code, seen.size_bytes, seen.mtime_ns) == (ErrorCode.FILE_MISSING, 0, 0)
    (problem,) = seen.problems
    assert (problem.file, problem.line, problem.column) == ("t.csv", 3, "path")
    assert problem.value == str(tmp_path / "a.nii")


def test_broken_links(tmp_path):
    (tmp_path / "annex.nii").symlink_to("../.git/annex/objects/xx/yy")
    (tmp_path / "lost.nii").symlink_to("elsewhere.nii")
    (tmp_path / "loop.nii").symlink_to("loop.nii")
    assert look(tmp_path / "annex.nii").error_code is ErrorCode.ANNEX_POINTER
    assert "datalad get" in str(look(tmp_path / "annex.nii").error_message)
    assert look(tmp_path / "lost.nii").error_code is ErrorCode.FILE_MISSING
    assert "elsewhere.nii" in str(look(tmp_path / "lost.nii").error_message)
    assert look(tmp_path / "loop.nii").error_code is ErrorCode.FILE_UNREADABLE


def test_a_good_link_has_the_size_of_its_target(tmp_path):
    (tmp_path / "real.nii").write_bytes(b"1234567")
    (tmp_path / "link.nii").symlink_to("real.nii")
    assert look(tmp_path / "link.nii").size_bytes == 7


def test_folders_pipes_and_impossible_names_are_failures(tmp_path):
    (tmp_path / "folder.nii").mkdir()
    os.mkfifo(tmp_path / "pipe.nii")
    assert look(tmp_path / "folder.nii").error_code is ErrorCode.FILE_UNREADABLE
    assert look(tmp_path / "pipe.nii").error_code is ErrorCode.FILE_UNREADABLE
    assert look(tmp_path / ("x" * 300)).error_code is ErrorCode.FILE_UNREADABLE
    assert look(f"{tmp_path}/a\0b.nii").error_code is ErrorCode.FILE_MISSING
