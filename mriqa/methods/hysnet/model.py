"""A trained HyS-Net as a model folder, and as what predicts."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mriqa.config import HysnetLearningSection, TrainingSection
from mriqa.embedding.network import score_device
from mriqa.errors import UserError
from mriqa.files import read_object
from mriqa.methods.hysnet.net import make_net
from mriqa.methods.hysnet.patches import Parts, parts_from_json
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.target import TargetScale
from mriqa.training.model_files import CONFIG, PROVENANCE
from mriqa.training.model_folder import Origin, read_model, write_model

METHOD = "hysnet"


@dataclass(frozen=True)
class About:
    """What a model says of itself without its network: light, and enough where it is not used.

    `from_table`: the target is a column of a table of one's own, not a metric.
    """

    model_id: str
    target: str
    contrasts: tuple[str, ...]
    parts: Parts
    scale: TargetScale
    precision: str
    section: HysnetLearningSection
    from_table: bool

    @property
    def config(self) -> dict[str, Any]:
        """As it is written down."""
        return {
            "method": METHOD,
            "learning": self.section.identity.model_dump(mode="json"),
            "target": self.target,
            "from_table": self.from_table,
            "contrasts": list(self.contrasts),
            "parts": asdict(self.parts),  # type: ignore[call-overload]  # both kinds are dataclasses
            "scale": asdict(self.scale),
            "precision": self.precision,
        }


def write_hysnet(
    folder: Path, module: nn.Module, about: About, metrics: dict[str, Any], origin: Origin
) -> None:
    """Write the model folder."""
    write_model(folder, module, about.config, metrics, origin)


def read_about(folder: Path) -> About:
    """What the model in a folder says of itself; raises UserError if it is no whole one."""
    config, provenance = read_object(folder / CONFIG), read_object(folder / PROVENANCE)
    try:
        return About(
            str(provenance["model_id"]),
            str(config["target"]),
            tuple(config["contrasts"]),
            parts_from_json(config["parts"]),
            TargetScale.from_json(config["scale"]),
            str(config["precision"]),
            HysnetLearningSection.model_validate(config["learning"]),
            bool(config.get("from_table", False)),  # not in models of before
        )
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder}: no whole model of HyS-Net ({type(error).__name__}: {error}); remove the "
            "folder and run again, and it is made anew"
        ) from None


def open_predictor(folder: Path, about: About, settings: TrainingSection) -> Predictor:
    """The network of a model folder; of `settings`, score_device and threads count.

    The precision is that of training. Raises UserError if the folder is no whole model, or the
    device is not there.
    """
    torch.set_num_threads(settings.threads)
    module = make_net(about.section.net, about.section.seed)
    read_model(folder).load_into(module)
    return predictor_of(module, about, score_device(settings))


def predictor_of(module: nn.Module, about: About, device: str) -> Predictor:
    """`module`, trained, as what predicts."""
    gamma = about.section.patches.gamma
    return Predictor.of(module, about.parts, about.scale, gamma, device, about.precision)
