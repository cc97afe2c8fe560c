"""`mriqa metrics` on files of several volumes, and how contrasts may be spelled."""

import nibabel as nib
import numpy as np
import pytest

from mriqa.cli import main
from mriqa.rating.one_file import measure_file


@pytest.fixture
def series(tmp_path):
    """Two volumes of another brightness and noise."""
    rng = np.random.default_rng(0)
    data = np.zeros((40, 40, 10, 2), np.int16)
    for number, noise in enumerate((2, 30)):
        data[8:32, 8:32, :, number] = 500
        data[..., number] += np.abs(rng.normal(0, noise, (40, 40, 10))).astype(np.int16)
    path = tmp_path / "series.nii.gz"
    nib.Nifti1Image(data, np.diag([2.0, 2, 4, 1])).to_filename(path)
    return path


def test_without_a_volume_it_is_said_which_one_was_measured(series, capsys):
    first = measure_file(series)
    assert "has volumes 0 to 1; these are of volume 0" in capsys.readouterr().err
    assert measure_file(series, volume=0) == first
    assert capsys.readouterr().err == ""
    assert measure_file(series, volume=1)["body_snr"] < first["body_snr"] / 3


def test_contrasts_may_be_spelled_as_bids_does(series, capsys):
    assert main(["metrics", str(series), "--volume", "0", "--contrast", "T1w"]) == 0
    assert "brain_source" in capsys.readouterr().out
