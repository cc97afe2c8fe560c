"""Why a metric is NULL stands beside it in the table of `mriqa metrics`."""

import json
import re

import nibabel
import numpy as np
import pytest
from brain_phantoms import make_head, scan

from mriqa.cli import main
from mriqa.metrics.brain import measure_brain, tissue_of_maps
from mriqa.metrics.brain.columns import AIR_METRICS, BRAIN_COLUMNS
from mriqa.metrics.columns import AIR_METRICS as BODY_AIR_METRICS
from mriqa.metrics.null_reasons import null_reason
from mriqa.rating.one_file import BRAIN, as_table

NUMBERS = [one.name for one in BRAIN_COLUMNS if one.kind != "string"]
SPACING_MM = (4.0, 4.0, 4.0)
CSF, GM, WM = range(3)


@pytest.fixture(scope="module")
def head():
    return make_head()


def values_of(head, without=(), *, has_air=True):
    """As MRIQC's metrics of a head without some tissues, or without air around it."""
    maps = [part * (n not in without) for n, part in enumerate(head.maps)]
    nothing = np.zeros(head.air.shape, bool)
    tissue = tissue_of_maps(
        head.air.shape,
        maps,
        head=head.head if has_air else ~nothing,
        air=head.air if has_air else nothing,
        artifacts=nothing,
    )
    return measure_brain(scan(head), SPACING_MM, tissue).values


def reasons(values):
    return {name: null_reason(name, values) for name in NUMBERS}


def test_every_null_has_a_reason_and_no_value_has_one(head):
    for values in (values_of(head, (GM,)), values_of(head, (CSF,), has_air=False)):
        found = reasons(values)
        assert [
            name for name in NUMBERS if (found[name] is None) != (values[name] is not None)
        ] == []


def test_the_tissue_that_the_metric_needs_is_named_not_the_first_that_is_missing(head):
    values = values_of(head, (CSF, GM))
    assert values["brain_tissue_null_reason"] == "no_gm"
    found = reasons(values)
    assert found["snr_csf"] == found["summary_csf_mean"] == found["rpve_csf"] == "no_csf"
    assert found["snr_gm"] == found["snr_total"] == found["cjv"] == found["cnr"] == "no_gm"
    assert found["inu_med"] == "no_bias_field"
    assert found["snr_wm"] is None


def test_without_air_that_is_the_reason(head):
    found = reasons(values_of(head, has_air=False))
    assert {found[name] for name in AIR_METRICS} == {"too_little_background"}
    assert found["snr_total"] is None


@pytest.mark.parametrize("reason", ["no_brain", "maps_grid"])
def test_where_there_is_no_brain_nothing_else_is_the_reason(reason):
    values = dict.fromkeys(one.name for one in BRAIN) | {"brain_tissue_null_reason": reason}
    assert set(reasons(values).values()) == {reason}


def test_what_no_column_explains_has_no_reason():
    values = {"body_ghosting_y": None, "body_air_null_reason": None, "body_sharpness": None}
    assert null_reason("body_ghosting_y", values) is None
    assert (
        null_reason("body_sharpness", values | {"body_air_null_reason": "zeroed_background"})
        is None
    )
    assert null_reason("efc", {"brain_tissue_null_reason": "no_gm", "efc": None}) is None


def test_the_reason_stands_beside_the_metric(tmp_path, capsys):
    rng = np.random.default_rng(0)
    body = np.zeros((32, 32, 8), np.int16)
    body[6:26, 6:26] = 500 + rng.normal(0, 9, (20, 20, 8))
    path = tmp_path / "masked.nii.gz"
    nibabel.save(nibabel.Nifti1Image(body, np.diag([2.0, 2, 4, 1])), path)
    assert main(["metrics", str(path)]) == 0
    table = capsys.readouterr().out
    for name in BODY_AIR_METRICS:
        assert re.search(rf"^{name} +NULL +zeroed_background$", table, re.MULTILINE)
    told = r"^body_air_null_reason +zeroed_background +The background is exactly zero: there is no"
    assert re.search(told, table, re.MULTILINE)
    assert re.search(r"^body_snr_tissue +[0-9.]+ +higher is better$", table, re.MULTILINE)

    assert main(["metrics", str(path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["body_snr"], values["body_air_null_reason"]) == (None, "zeroed_background")


def test_a_tables_words_are_followed_by_what_they_mean():
    line = as_table({"brain_source": "maps"})
    assert re.fullmatch(r"brain_source  maps  The user's tissue maps, .*", line)
