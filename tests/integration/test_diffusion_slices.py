"""A diffusion series with slices that lack signal, from its file to the tables."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from simclr_cohort import RATING, Cohort, image, save

from mriqa.rating.publish import publish_tables

N_WEIGHTED, DARK = 8, (6, 3)
"""Weighted volumes after two b0; the volume and the slice that lacks half of its signal."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion")
    rows = []
    for subject, broken in (("torn", True), ("whole", False)):
        volumes = [image(1), image(1, noise=7.0)]
        volumes += [0.5 * image(1, noise=9 + 0.1 * number) for number in range(N_WEIGHTED)]
        if broken:
            volumes[DARK[0]][DARK[1]] *= 0.5
        path = save(folder / f"sub-{subject}_dwi.nii.gz", *volumes)
        bvals = "0 0" + " 1000" * N_WEIGHTED
        (folder / f"sub-{subject}_dwi.bval").write_text(bvals + "\n")
        rows.append({"subject": subject, "contrast": "dwi", "path": path})
    anatomy = save(folder / "t1.nii.gz", image(2))
    rows.append({"subject": "whole", "contrast": "T1w", "path": anatomy})
    cohort = Cohort(folder, rows)
    cohort.measure()
    publish_tables(cohort.results, RATING)
    found = {
        name: pq.read_table(cohort.results / "tables" / f"{name}.parquet").to_pandas()
        for name in ("volumes", "subjects")
    }
    found["slices"] = pq.read_table(cohort.results / "tables" / "slices").to_pandas()
    return found


def test_the_slice_is_found_in_its_volume_alone(tables):
    volumes = tables["volumes"].set_index(["subject", "volume"])
    found = volumes["dwi_n_outlier_slices"]
    assert found["torn", DARK[0]] == 1
    weighted = [number + 2 for number in range(N_WEIGHTED)]
    others = [found["torn", one] for one in weighted if one != DARK[0]]
    assert others == [0] * (N_WEIGHTED - 1)
    assert [found["whole", one] for one in weighted] == [0] * N_WEIGHTED
    assert volumes["dwi_slice_lacking"]["torn", DARK[0]] == pytest.approx(0.5, abs=0.06)


def test_two_volumes_are_no_shell_and_anatomy_is_no_diffusion(tables):
    volumes = tables["volumes"]
    apart = volumes[(volumes["b_class"] == "b0") | (volumes["contrast"] == "T1w")]
    assert len(apart) == 5
    assert apart["dwi_n_outlier_slices"].isna().all()
    assert apart["dwi_slice_lacking"].isna().all()


def test_slices_say_how_much_they_lack(tables):
    slices = tables["slices"]
    own = slices[slices["series_id"].str.contains("torn") & (slices["volume"] == DARK[0])]
    values = own.sort_values("slice")["dwi_slice_lacking"].to_numpy()
    assert int(np.nanargmax(values)) == DARK[1]
    assert np.nanmax(np.delete(values, DARK[1])) < 0.1


def test_a_session_counts_them_by_shell(tables):
    subjects = tables["subjects"].set_index("subject")["dwi_outlier_slices"]
    assert subjects["torn"] == f"b1000 1/{8 * N_WEIGHTED}"
    assert subjects["whole"] == f"b1000 0/{8 * N_WEIGHTED}"
