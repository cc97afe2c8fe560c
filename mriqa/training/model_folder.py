"""A trained model: a folder with weights, configuration, metrics and provenance, and no pickle.

`weights.safetensors`, `config.json`, `metrics.json`, `provenance.json`. The folder is written under
another name and renamed, so that it is complete or absent; reading it checks the weights' sha256.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import safetensors.torch
from torch import Tensor, nn

from mriqa import __version__
from mriqa.errors import UserError
from mriqa.files import replacing_folder, write_json, write_parquet
from mriqa.training.model_files import CONFIG, METRICS, PROVENANCE, WEIGHTS, sha256_of

_LIBRARIES = ("torch", "monai", "numpy", "safetensors")


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as its method knows it; the rest of provenance.json is added."""

    model_id: str
    data_sha256: str  # of the pinned training manifest
    seed: int
    format_version: int  # of the method's training code


@dataclass(frozen=True)
class ModelFolder:
    """A model as read: its weights match `provenance["weights_sha256"]`."""

    path: Path
    weights: dict[str, Tensor]
    config: dict[str, Any]
    metrics: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def model_id(self) -> str:
        """The model's id; also the folder's name."""
        return str(self.provenance["model_id"])

    def load_into(self, module: nn.Module, part: str = "") -> None:
        """Give `module` these weights, or those whose names begin with `part`.

        Raises:
            UserError: They are those of another network.
        """
        try:
            own = {k.removeprefix(part): v for k, v in self.weights.items() if k.startswith(part)}
            module.load_state_dict(own)
        except RuntimeError as error:
            raise UserError(
                f"{self.path}: the weights do not fit the network of this version of mriqa "
                f"({__version__}; the model was written by "
                f"{self.provenance.get('mriqa_version')}): {str(error).splitlines()[-1].strip()}. "
                "Remove the folder to train anew"
            ) from error


def _provenance(origin: Origin, config: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return {
        **asdict(origin),
        "mriqa_version": __version__,
        "config_sha256": hashlib.sha256(canonical.encode()).hexdigest(),
        "weights_sha256": sha256_of(weights),
        "python_version": platform.python_version(),
        "library_versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }


def write_model(
    folder: Path,
    module: nn.Module,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    origin: Origin,
    tables: Mapping[str, pa.Table] | None = None,
) -> None:
    """Write `module` and what describes it, in place of the model that may be there.

    `config` and `metrics` are written as JSON (no NaN); `tables` by the names of their files.
    """
    with replacing_folder(folder) as temporary:
        weights = {
            name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()
        }
        # save_file would make a file that its owner alone may read
        (temporary / WEIGHTS).write_bytes(safetensors.torch.save(weights))
        for name, table in (tables or {}).items():
            write_parquet(temporary / name, table)
        write_json(temporary / CONFIG, dict(config))
        write_json(temporary / METRICS, dict(metrics))
        write_json(temporary / PROVENANCE, _provenance(origin, config, temporary / WEIGHTS))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: {_remedy(path.parent)}") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}): {_remedy(path.parent)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object: {_remedy(path.parent)}")
    return content


def _remedy(folder: Path) -> str:
    return (
        f"remove the folder {folder} and run again, and the model is made anew (its training goes "
        "on from the checkpoints, where they are left)"
    )


def read_model(folder: Path) -> ModelFolder:
    """The model in `folder`, with its weights on the CPU.

    Raises:
        UserError: It is missing, incomplete, or its weights are not those that were written.
    """
    if not folder.is_dir():
        raise UserError(f"there is no model in {folder}: train it first (mriqa run)")
    provenance = _read_json(folder / PROVENANCE)
    path = folder / WEIGHTS
    try:
        found = sha256_of(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}): {_remedy(folder)}") from error
    if found != provenance.get("weights_sha256"):
        raise UserError(
            f"{path} is not the file that was written: its sha256 is {found}, provenance.json says "
            f"{provenance.get('weights_sha256')}; {_remedy(folder)}"
        )
    return ModelFolder(
        folder,
        safetensors.torch.load_file(path),
        _read_json(folder / CONFIG),
        _read_json(folder / METRICS),
        provenance,
    )
