"""A model of another cohort: taken over whole, without anything of that cohort's persons."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from mriqa.errors import UserError
from mriqa.training.imported import import_model, imported_id
from mriqa.training.model_files import MODEL_FILES, damage_of_model
from mriqa.training.model_folder import Origin, read_model, write_model

ID = "simclr-0123456789ab"


def write(folder: Path, fill: float = 1.0, method: str = "simclr") -> Path:
    module = nn.Linear(3, 2)
    nn.init.constant_(module.weight, fill)
    nn.init.zeros_(module.bias)
    config: dict[str, Any] = {"method": method, "pretraining": {"encoder": "resnet18"}}
    write_model(folder, module, config, {"steps": 3}, Origin(ID, "ab" * 32, 0, 2))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A model with a bank of its own cohort beside it."""
    folder = write(tmp_path / "other" / "models" / "simclr" / ID)
    (folder / "bank").mkdir()
    (folder / "bank" / "bank.json").write_text('{"series_id": "other_sub-secret"}')
    return folder


def test_the_model_comes_whole_and_says_where_it_is_from(source: Path, tmp_path: Path) -> None:
    made = import_model("simclr", source, tmp_path / "own")
    folder = tmp_path / "own" / "models" / "simclr" / made.model_id
    assert made.written
    assert made.model_id == imported_id("simclr", source) != ID
    model, origin = read_model(folder), read_model(source)
    assert model.model_id == made.model_id
    assert model.provenance == {
        **origin.provenance, "model_id": made.model_id, "imported_from": ID,
    }  # fmt: skip
    assert (model.config, model.metrics) == (origin.config, origin.metrics)
    for name, value in origin.weights.items():
        assert value.equal(model.weights[name])


def test_nothing_of_the_other_cohorts_persons_comes_along(source: Path, tmp_path: Path) -> None:
    made = import_model("simclr", source, tmp_path / "own")
    folder = tmp_path / "own" / "models" / "simclr" / made.model_id
    assert sorted(path.name for path in folder.rglob("*")) == sorted(MODEL_FILES)


def test_a_model_that_is_there_stays_with_its_bank(source: Path, tmp_path: Path) -> None:
    made = import_model("simclr", source, tmp_path / "own")
    bank = tmp_path / "own" / "models" / "simclr" / made.model_id / "bank"
    bank.mkdir()
    again = import_model("simclr", source, tmp_path / "own")
    assert (again.model_id, again.written) == (made.model_id, False)
    assert bank.is_dir()


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_damaged_copy_is_copied_again(source: Path, tmp_path: Path, name: str) -> None:
    made = import_model("simclr", source, tmp_path / "own")
    folder = tmp_path / "own" / "models" / "simclr" / made.model_id
    (folder / name).write_bytes(b"\0")
    assert import_model("simclr", source, tmp_path / "own").written
    assert damage_of_model(folder) is None


def test_other_weights_are_another_model_whatever_they_are_called(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a" / ID, 1.0), write(tmp_path / "b" / ID, 2.0)
    assert imported_id("simclr", one) != imported_id("simclr", other)
    shutil.copytree(one, tmp_path / "renamed")
    assert imported_id("simclr", tmp_path / "renamed") == imported_id("simclr", one)


def test_an_imported_model_can_be_handed_on(source: Path, tmp_path: Path) -> None:
    made = import_model("simclr", source, tmp_path / "own")
    folder = tmp_path / "own" / "models" / "simclr" / made.model_id
    third = import_model("simclr", folder, tmp_path / "third")
    assert third.model_id == made.model_id
    read = read_model(tmp_path / "third" / "models" / "simclr" / third.model_id)
    assert read.provenance["imported_from"] == ID


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("absent", r"simclr\.pretrained: .* is no folder of a trained model"),
        ("provenance", r"simclr\.pretrained: .*missing or damaged.*results/models/simclr"),
        ("hash", "is no folder of a trained model"),
        ("weights", r"weights\.safetensors is not the file that was written; copy the model again"),
        ("config", r"config\.json cannot be read"),
    ],
)
def test_what_cannot_be_taken_over_is_told_and_leaves_nothing(
    source: Path, tmp_path: Path, damage: str, message: str
) -> None:
    path = source / "provenance.json"
    if damage == "absent":
        shutil.rmtree(source)
    elif damage == "provenance":
        path.write_text("no JSON")
    elif damage == "hash":
        path.write_text(json.dumps({"weights_sha256": "../../etc"}))
    else:
        (source / {"weights": "weights.safetensors", "config": "config.json"}[damage]).write_text(
            ""
        )
    with pytest.raises(UserError, match=message):
        import_model("simclr", source, tmp_path / "own")
    assert not list((tmp_path / "own").rglob("*.safetensors"))


def test_a_model_of_another_method_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "other", method="hierarchy")
    with pytest.raises(UserError, match="a model of 'hierarchy', not of simclr"):
        import_model("simclr", source, tmp_path / "own")
