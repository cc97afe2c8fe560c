"""Every file of the real data set runs through the Snakefile and ends as rows, none is lost."""

import csv
import gzip
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
SIDECARS = {".json", ".md", ".bval", ".bvec", ".csv", ".tsv"}
CODES = {
    "annex_pointer_T1w.nii.gz": "annex_pointer",
    "complex.nii.gz": "complex_values",
    "rgb_test_file.nii.gz": "rgb_values",
    "truncated_gzip_T1w.nii.gz": "truncated",
    "zero_byte.nii.gz": "empty_file",
    "mriqc_ds000005_header_only_T1w.nii.gz": "too_small",
    "standard.nii.gz": "too_small",
    "csa_slice_norm.dcm": "unsupported_format",
    "decimal_rescale.dcm": "unsupported_format",
    "slicethickness_empty_string.dcm": "unsupported_format",
    "phantom_truncated.PAR": "unsupported_format",
    "tiny.mnc": "unsupported_format",
    "minc2_baddim.mnc": "unsupported_format",
    "minc1-no-att.mnc": "unsupported_format",
    "test.mgz": "unsupported_format",
}
"""Files that cannot be rated; every other NIfTI of the data set is measured."""

CONFIG = """\
results: results
cohort:
  name: real
  sources:
  - {kind: table, path: series.tsv}
  shard_mb: 20
rating:
  min_stratum: 3
  max_failed_fraction: 0.9
report: {worst: 6, random: 4}
"""


def series_table(data: Path, target: Path) -> list[Path]:
    """A row a file: the subject from its name, the contrast from its folder."""
    files = [
        path
        for path in sorted(data.rglob("*"))
        if path.is_file() and path.suffix not in SIDECARS and "tables" not in path.parts
    ]
    with target.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, delimiter="\t")
        writer.writerow(["subject", "contrast", "path"])
        for path in files:
            subject = re.sub(r"[^A-Za-z0-9]", "", path.name)
            contrast = re.sub(r"[^A-Za-z0-9]", "", str(path.parent.relative_to(data)))
            writer.writerow([subject, contrast, path])
    return files


@pytest.fixture(scope="module")
def finished(real_data, tmp_path_factory):
    """The folder of the run, and the files that went in."""
    folder = tmp_path_factory.mktemp("real")
    files = series_table(real_data, folder / "series.tsv")
    (folder / "config.yaml").write_text(CONFIG)
    done = subprocess.run(
        [
            *[sys.executable, "-m", "mriqa", "run", "config.yaml"],
            *["--profile", str(ROOT / "profiles" / "local")],
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, files


@pytest.fixture(scope="module")
def volumes(finished):
    return pd.read_parquet(finished[0] / "results" / "tables" / "volumes.parquet")


def test_every_file_has_its_rows(finished, volumes):
    _, files = finished
    assert set(volumes["source_path"]) == {str(path) for path in files}


def test_what_cannot_be_rated_says_why(volumes):
    for name, rows in volumes.groupby(volumes["source_path"].map(lambda path: Path(path).name)):
        if name in CODES:
            assert rows["error_code"].tolist() == [CODES[name]], name


def test_no_image_is_refused(volumes):
    """What is merely unusual is measured: odd orientations, NIfTI-2, sheared, big-endian."""
    names = volumes["source_path"].map(lambda path: Path(path).name)
    nifti = names.str.contains(r"\.nii(?:\.gz)?$") & ~names.isin(list(CODES))
    failed = volumes[nifti & (volumes["status"] == "failed") & volumes["volume"].isna()]
    assert failed[["source_path", "error_code"]].to_dict("records") == []
    assert volumes[nifti].groupby("source_path").size().loc[lambda n: n > 1].size >= 5  # 4D


def test_nothing_failed_inside_mriqa(volumes):
    assert "internal" not in set(volumes["error_code"].dropna())


def test_zeroed_background_has_no_metrics_of_air(volumes):
    zeroed = volumes[volumes["background"] == "zeroed"]
    folders = zeroed["source_path"].map(lambda path: Path(path).parent.name)
    assert (folders == "open_ms").sum() == 7  # all that the provider masked
    assert zeroed[["body_snr", "body_fber"]].isna().all(axis=None)
    assert (zeroed["body_air_null_reason"] == "zeroed_background").all()
    assert zeroed["body_snr_tissue"].notna().all()


@pytest.mark.parametrize(
    "name",
    [
        "studyforrest_T1w.nii.gz",
        "siemens_prisma_HFS.nii.gz",
        "renal_t2w_sub01.nii.gz",
        "sub-01_run-1_T2w.nii.gz",
        "ALS.nii.gz",
    ],
)
def test_export_gives_the_file_back(finished, volumes, tmp_path, name):
    folder, files = finished
    row = volumes[volumes["source_path"].str.endswith("/" + name)].iloc[0]
    store = folder / "results" / "zarr" / f"shard-{row['shard']:05d}.zarr"
    target = tmp_path / "out.nii"
    subprocess.run(
        [sys.executable, "-m", "mriqa", "export", store, row["series_id"], target], check=True
    )
    source = next(path for path in files if path.name == name)
    assert target.read_bytes() == gzip.decompress(source.read_bytes())


def test_the_report_names_every_failure_code(finished, volumes):
    page = (finished[0] / "results" / "report" / "index.html").read_text(encoding="utf-8")
    for code in volumes["error_code"].dropna().unique():
        assert code in page
