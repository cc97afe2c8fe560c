"""Model folders: what is written comes back, and nothing else is taken for a model."""

import json

import pytest
import torch
from torch import nn

from mriqa.errors import UserError
from mriqa.training.model_files import sha256_of
from mriqa.training.model_folder import Origin, read_model, write_model

ORIGIN = Origin("simclr-0123456789ab", "ab" * 32, seed=3, format_version=1)
FILES = ["config.json", "metrics.json", "provenance.json", "weights.safetensors"]


def net(width=4):
    torch.manual_seed(width)
    network = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Linear(2, 2))
    network[0].weight.data = network[0].weight.data.contiguous(memory_format=torch.channels_last)
    return network


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "models" / ORIGIN.model_id
    write_model(path, net(), {"encoder": "tiny", "gamma": 0.3}, {"loss": 1.25}, ORIGIN)
    return path


def test_a_model_comes_back(folder):
    assert sorted(path.name for path in folder.iterdir()) == FILES
    model = read_model(folder)
    assert model.config == {"encoder": "tiny", "gamma": 0.3}
    assert model.metrics == {"loss": 1.25}
    assert model.model_id == ORIGIN.model_id
    other = net()
    nn.init.zeros_(other[0].weight)
    model.load_into(other)
    for name, value in net().state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_who_may_read_one_file_of_a_model_may_read_all(folder):
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_provenance_says_where_it_comes_from(folder):
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["weights_sha256"] == sha256_of(folder / "weights.safetensors")
    given = {"model_id": ORIGIN.model_id, "data_sha256": "ab" * 32, "seed": 3, "format_version": 1}
    assert given.items() <= provenance.items()
    assert set(provenance["library_versions"]) == {"monai", "numpy", "safetensors", "torch"}
    assert len(provenance["config_sha256"]) == 64
    assert provenance["mriqa_version"]


def test_the_same_model_is_the_same_bytes(folder, tmp_path):
    write_model(
        tmp_path / "again", net(), {"gamma": 0.3, "encoder": "tiny"}, {"loss": 1.25}, ORIGIN
    )
    for name in ("weights.safetensors", "provenance.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "altered", "cut"])
def test_a_model_that_is_not_whole_is_refused_with_what_to_do(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif name == "weights.safetensors":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.write_bytes(b"[1]")
    with pytest.raises(UserError, match=rf"{name}.*remove the folder {folder} and run again"):
        read_model(folder)


def test_no_model_is_told(tmp_path):
    with pytest.raises(UserError, match="no model in .*train it first"):
        read_model(tmp_path / "absent")


def test_weights_of_another_network_are_refused(folder):
    with pytest.raises(UserError, match=r"do not fit.*size mismatch.*Remove the folder"):
        read_model(folder).load_into(net(width=5))


def test_a_failed_write_leaves_the_old_model(folder):
    before = {name: (folder / name).read_bytes() for name in FILES}
    with pytest.raises(ValueError, match="JSON"):
        write_model(folder, net(), {}, {"loss": float("nan")}, ORIGIN)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_model_is_replaced_whole(folder):
    write_model(folder, net(6), {"new": True}, {}, ORIGIN)
    model = read_model(folder)
    assert model.config == {"new": True}
    assert model.weights["0.weight"].shape[0] == 6
