"""The command line: what it refuses, and what its exit status says."""

from pathlib import Path

import pytest

from mriqa.cli import main

JOB = ("m.parquet", "--store", "s.zarr", "--status", "s.parquet")


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", *JOB, "--threads", "0"),
        ("convert", *JOB, "--mem-mb", "-5"),
        ("merge", "results", "--threads", "1.5"),
        ("run", "c.yaml", "--cores", "0"),
    ],
)
def test_a_job_has_at_least_one_of_everything(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    option, value = arguments[-2:]
    assert f"argument {option}: '{value}' is no whole number from 1 on" in capsys.readouterr().err


def test_index_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.nii").write_bytes(b"x")
    (tmp_path / "t.csv").write_text("path,subject,contrast,age\na.nii,1,T1w,old\n")
    (tmp_path / "c.yaml").write_text(
        f"results: {tmp_path}/r\n"
        f"cohort: {{name: c, sources: [{{kind: table, path: {tmp_path}/t.csv}}]}}\n"
    )
    assert main(["index", str(tmp_path / "c.yaml")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("series 1, subjects 1, excluded 0, unreadable 0; shards 1 (1 new, 0 ch")
    assert "problems 1" in said


def test_what_the_user_must_mend_is_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family = ["simulate", "a.nii", "b.nii", "--severity", "0.5", "--family", "Noise"]
    for arguments in (["index", str(tmp_path / "gone.yaml")], family):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert said.startswith("mriqa: ")
        assert arguments[-1] in said


def test_export_tells_a_missing_store_from_a_missing_series(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "shard-00000.zarr"
    for message in ("no store", "no series 'demo_sub-1_T1w' in this shard"):
        assert main(["export", str(store), "demo_sub-1_T1w", str(tmp_path / "x.nii")]) == 2
        assert f"{store}: {message}" in capsys.readouterr().err
        store.mkdir(exist_ok=True)
        (store / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    assert not (tmp_path / "x.nii").exists()
