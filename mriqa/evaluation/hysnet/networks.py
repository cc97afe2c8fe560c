"""The networks that are compared: which there are, how each is trained, what it says of volumes.

Each is kept when it is trained (a model folder), and its predictions when they are made, so that a
killed run goes on from there, and other experiments on the same volumes need not train again.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from mriqa.config import HysnetLearningSection, TrainingSection
from mriqa.errors import SeriesError, UserError
from mriqa.evaluation.hysnet.ground import Held, kept_as
from mriqa.evaluation.hysnet.settings import Comparator, HysnetExperiments
from mriqa.files import write_parquet
from mriqa.methods.hysnet.learning import make_job, make_task
from mriqa.methods.hysnet.net import make_net
from mriqa.methods.hysnet.patches import parts_from_json
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.target import Floats, TargetScale
from mriqa.methods.hysnet.volumes import Example, open_volumes, say
from mriqa.progress import track
from mriqa.training.launch import Worker, launch
from mriqa.training.loop import Task
from mriqa.training.model_folder import Origin, read_model, write_model

FORMAT_VERSION = 1
"""Raise it when the same settings give other networks or predictions."""
PLAIN, HYPER = "plain", "hyper"


@dataclass(frozen=True)
class NetPlan:
    """One network: a HyS-Net, its plain counterpart, or a comparator, which learns alike."""

    learning: HysnetLearningSection
    comparator: Comparator | None = None

    @property
    def seed(self) -> int:
        """Of weights, volumes and places."""
        return self.learning.seed

    @property
    def head(self) -> str:
        """PLAIN or HYPER."""
        return HYPER if self.learning.net.hyper else PLAIN

    @property
    def label(self) -> str:
        """For progress and notes."""
        net = self.learning.net
        what = self.comparator or f"{net.backbone} {net.dimensions}D {self.head}"
        of = "+".join(self.learning.contrasts)
        return f"{what}{f' on {of}' if of else ''}, seed {self.seed}"


def changed_net(base: HysnetLearningSection, seed: int, **net: Any) -> HysnetLearningSection:
    """`base` with another seed and other settings of its network."""
    section = base.net.model_copy(update=net)
    return base.model_copy(update={"net": section, "seed": seed})


def main_pair(base: HysnetLearningSection, section: HysnetExperiments) -> list[NetPlan]:
    """Plain and hyper with the first backbone in 3D, all seeds."""
    return [
        NetPlan(changed_net(base, seed, backbone=section.backbones[0], dimensions=3, hyper=hyper))
        for seed in range(section.seed, section.seed + section.seeds)
        for hyper in (False, True)
    ]


def plan_ablation(base: HysnetLearningSection, section: HysnetExperiments) -> list[NetPlan]:
    """The paper's Table 1: the main pair first, then all others."""
    main = main_pair(base, section)
    others = [
        NetPlan(changed_net(base, seed, backbone=backbone, dimensions=dimensions, hyper=hyper))
        for backbone in section.backbones
        for dimensions in section.dimensions
        for seed in range(section.seed, section.seed + section.other_seeds)
        for hyper in (False, True)
    ]
    return [*main, *(one for one in others if one not in main)]


def plan_comparators(base: HysnetLearningSection, section: HysnetExperiments) -> list[NetPlan]:
    """Those that are networks; they see slices."""
    return [
        NetPlan(changed_net(base, seed, dimensions=2, hyper=False), name)
        for name in section.comparators
        if name != "brisque"
        for seed in range(section.seed, section.seed + section.other_seeds)
    ]


def identify(plan: NetPlan, learnt: Sequence[Example]) -> str:
    """Sixteen hex digits that stand for all that the network depends on."""
    about = {
        "learning": plan.learning.identity.model_dump(mode="json", exclude={"held_out"}),
        "comparator": plan.comparator,
        "examples": _examples_json(learnt),
        "version": FORMAT_VERSION,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]


def trained(
    plan: NetPlan, learnt: Sequence[Example], folder: Path, training: TrainingSection
) -> Predictor:
    """Train the network, or go on where a killed training was; at once if it is done.

    If another process trains it, wait for that. What training needs lies in `folder`/training, the
    model in `folder`/models.
    """
    identity = identify(plan, learnt)
    model = folder / "models" / identity
    with _alone(folder / "training" / f"{identity}.lock"):
        if not model.is_dir():
            _train(plan, learnt, folder, identity, training)
    found = read_model(model)
    module = make_module(plan)
    found.load_into(module)
    return Predictor.of(
        module,
        parts_from_json(found.config["parts"]),
        TargetScale.from_json(found.config["scale"]),
        plan.learning.patches.gamma,
        found.config["device"],
        found.config["precision"],
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock, which ends with the process; wait for whoever has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def make_module(plan: NetPlan) -> nn.Module:
    """The untrained network."""
    own = plan.learning
    if plan.comparator is None:
        return make_net(own.net, own.seed)
    from mriqa.evaluation.hysnet.comparators.nets import make_comparator

    if plan.comparator == "brisque":
        raise ValueError("BRISQUE is no network")
    return make_comparator(plan.comparator, own.net.width, own.seed)


def comparator_task(arguments: dict[str, Any], worker: Worker) -> Task:
    """As `learning.make_task`, with the comparator that `arguments` names as network."""
    task = make_task(arguments, worker)
    section = HysnetLearningSection.model_validate(arguments["learning"])
    task.module = make_module(NetPlan(section, arguments["comparator"]))
    return task


def _train(
    plan: NetPlan, learnt: Sequence[Example], folder: Path, identity: str,
    training: TrainingSection,
) -> None:  # fmt: skip
    own, run = plan.learning, folder / "training" / identity
    scale = TargetScale.of([one.target for one in learnt], own.target.column)
    job = make_job(learnt, scale, own, identity, training)
    if plan.comparator is not None:
        arguments = {**job.arguments, "comparator": plan.comparator}
        job = replace(job, factory=f"{__name__}:comparator_task", arguments=arguments)
    checkpoint = launch(job, run, training)
    module = make_module(plan)
    module.load_state_dict(checkpoint.weights)
    config = {
        "label": plan.label,
        "comparator": plan.comparator,
        "learning": own.identity.model_dump(mode="json"),
        "parts": job.arguments["parts"],
        "scale": asdict(scale),
        "precision": job.settings.precision,
        "device": job.device,
    }
    data = hashlib.sha256(json.dumps(_examples_json(learnt)).encode()).hexdigest()
    metrics = {"steps": checkpoint.step, "n_volumes": len(learnt), **checkpoint.watched}
    origin = Origin(identity, data, own.seed, FORMAT_VERSION)
    write_model(folder / "models" / identity, module, config, metrics, origin)
    shutil.rmtree(run)


def _examples_json(examples: Sequence[Example]) -> list[list[Any]]:
    return sorted([one.series_id, one.volume, one.target] for one in examples)


def predictions(
    open_predictor: Callable[[], Predictor], held: Sequence[Held], path: Path, percentile: float
) -> Floats:
    """What a network says of `held` (n), NaN of what cannot be read; `path` keeps it.

    The network is opened, or trained, only if something is asked for that is not kept.
    """
    keys = [kept_as(one.example) for one in held]
    known = _kept(path)
    missing = [row for row, key in enumerate(keys) if key not in known]
    predictor = open_predictor() if missing else None
    for row in track(missing, len(missing), f"experiment: predict {path.stem}", "volumes"):
        one = held[row].example
        assert predictor is not None
        try:
            known[keys[row]] = predictor.predict(open_volumes([one], percentile), 0).value
        except (SeriesError, UserError) as error:
            say(f"experiment: {one.series_id}, volume {one.volume}, is not tried: {error}")
    if missing:
        kept = {key: known[key] for key in keys if key in known}
        write_parquet(path, pa.table({"key": list(kept), "value": list(kept.values())}))
    return np.array([known.get(key, np.nan) for key in keys], np.float64)


def _kept(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    table = pq.read_table(path, columns=["key", "value"]).to_pydict()
    return dict(zip(table["key"], table["value"], strict=True))
