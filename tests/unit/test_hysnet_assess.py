"""How well a model tells the numbers of subjects that it has not seen: figures, never NaN."""

import numpy as np
import pytest
from hysnet_volumes import SMALL

from mriqa.methods.hysnet.assess import assess, correlation
from mriqa.methods.hysnet.net import make_net
from mriqa.methods.hysnet.patches import Cubes, Planes
from mriqa.methods.hysnet.predicting import BATCH, Predictor, working_mb
from mriqa.methods.hysnet.target import TargetScale
from mriqa.methods.hysnet.volumes import Example


@pytest.mark.parametrize(
    ("said", "true", "found"),
    [([1, 2, 3], [2, 4, 6], 1), ([1, 2, 3], [3, 2, 1], -1), ([1, 2], [1, 2], None),
     ([1, 1, 1], [1, 2, 3], None), ([1, 2, 3], [5, 5, 5], None), ([], [], None)],
)  # fmt: skip
def test_a_correlation_is_a_number_or_there_is_none(said, true, found):
    value = correlation(np.array(said, float), np.array(true, float))
    assert value == (None if found is None else pytest.approx(found))


def test_what_cannot_be_read_is_not_tried(tmp_path, capsys):
    net = make_net(SMALL, 0)
    parts, scale = Cubes((16,) * 3, (16,) * 3), TargetScale(0.0, 1.0)
    predictor = Predictor.of(net, parts, scale, 1.0, "cpu", "float32")
    gone = Example("c_gone", 0, tmp_path / "none.zarr", 3.0)
    found = assess(predictor, {"validation": [gone], "test": []}, 99.9)
    assert (found["validation_n"], found["test_n"]) == (0, 0)
    assert {value for name, value in found.items() if not name.endswith("_n")} == {None}
    assert "c_gone, volume 0, is not tried" in capsys.readouterr().err


def test_memory_of_a_batch_follows_its_parts_and_its_channels():
    wide = SMALL.model_copy(update={"width": 1.0})
    assert 500 < working_mb(Cubes((96,) * 3, (48,) * 3), wide) < 700
    assert working_mb(Cubes((48,) * 3, (24,) * 3), wide) < 100
    flat = wide.model_copy(update={"dimensions": 2})
    assert working_mb(Planes(384), flat) > BATCH * 384**2 * 64 / 2**20, "the stem's output alone"
