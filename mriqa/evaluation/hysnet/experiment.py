"""`mriqa experiment hysnet`: the paper's tables and figure, on the cohort of a finished run.

Writes `results/experiments/hysnet.json` (its keys: `run_experiments`), hysnet.md and plots. What
the experiments make for themselves lies in `results/experiments/hysnet/`; killed, they go on from
there.
"""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mriqa.config import Config, TrainingSection, load_config
from mriqa.evaluation.about import about_run
from mriqa.evaluation.hysnet.brisque_rater import brisque_said
from mriqa.evaluation.hysnet.figures import (
    Record,
    agreement,
    family_records,
    margin,
)
from mriqa.evaluation.hysnet.ground import Ground, experiments_folder
from mriqa.evaluation.hysnet.markdown import written
from mriqa.evaluation.hysnet.networks import (
    HYPER,
    PLAIN,
    NetPlan,
    identify,
    main_pair,
    plan_ablation,
    plan_comparators,
    predictions,
    trained,
)
from mriqa.evaluation.hysnet.noise import graded_volumes, noise_records
from mriqa.evaluation.hysnet.plots import plot_all
from mriqa.evaluation.hysnet.settings import HysnetExperiments
from mriqa.evaluation.hysnet.setup import ABLATION, ALL, COMPARATORS, Setup, prepare
from mriqa.evaluation.hysnet.shift import (
    learnt_of,
    mixes,
    plan_shift,
    plane_record,
    shift_exams,
    shift_records,
)
from mriqa.evaluation.hysnet.summary import check_targets
from mriqa.evaluation.settings_file import load_settings
from mriqa.files import write_json, write_text
from mriqa.methods.hysnet.predicting import Predictor
from mriqa.methods.hysnet.target import Floats
from mriqa.methods.hysnet.volumes import Example, say

FORMAT_VERSION = 1


@dataclass
class _Bench:
    """Trains and asks networks, each once; remembers which files are in use."""

    folder: Path
    training: TrainingSection
    percentile: float
    used: set[str] = field(default_factory=set)

    def predictor(self, plan: NetPlan, learnt: Sequence[Example]) -> Predictor:
        self.used.add(identify(plan, learnt))
        say(f"experiment: {plan.label}")
        return trained(plan, learnt, self.folder, self.training)

    def said(self, plan: NetPlan, ground: Ground, learnt: Sequence[Example]) -> Floats:
        """Predictions of all held volumes (n); NaN of what cannot be predicted."""
        path = self.folder / "predicted" / f"{identify(plan, learnt)}.parquet"
        self.used.add(path.stem)
        return predictions(lambda: self.predictor(plan, learnt), ground.held, path, self.percentile)

    def forget_others(self) -> None:
        """Remove what no network of this run needs: it may be of people who have withdrawn."""
        for path in self.folder.glob("predicted/*.parquet"):
            if path.stem not in self.used:
                path.unlink()
        for path in (*self.folder.glob("models/*"), *self.folder.glob("training/*")):
            if path.is_dir() and path.name not in self.used:
                shutil.rmtree(path)


def run_experiments(
    config: Config, section: HysnetExperiments, *, threads: int, part: str = ALL
) -> Path:
    """Run them and write `results/experiments/hysnet.json`, or hysnet_<part>.json; returns it.

    Keys: `format_version`, `date` (UTC), `minutes`, `machine`, `settings`, `learning` (how networks
    learn), `counts`. `ablation`: the paper's Table 1, by `dimensions`, `head` and `backbone`, and
    `margins` of hyper over plain networks; `families`: of its main pair, by artifact
    (`figures.family_records`). `comparators`: its Table 2, by `name`. `shift`: networks
    by what they `learned` and on what they are `tested`. `planes`: Fig. 3 (`shift.plane_record`).
    `noise`: `noise.noise_records`. `targets`: `name`, `value`, `target`, `met`.
    Values have `value`, `low`, `high`: 95% bootstrap intervals by subject.

    Raises UserError if the run is not finished, or has too few volumes with the target.
    """
    started = time.monotonic()
    setup = prepare(config, section, part)
    bench = _bench(config, threads)
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        **about_run(threads),
        "part": part,
        "settings": section.model_dump(mode="json"),
        "learning": config.hysnet.learning.identity.model_dump(mode="json"),
        "counts": _counts(setup.ground),
        **_results(setup, bench, part),
    }
    content["targets"] = check_targets(content)
    content["minutes"] = round((time.monotonic() - started) / 60, 1)
    if part == ALL:
        bench.forget_others()
    return _write(config.results / "experiments", content, part)


def _bench(config: Config, threads: int) -> _Bench:
    torch.set_num_threads(threads)  # of what predicts; training sets its own
    training = config.training
    if training.launcher == "plain":
        training = training.model_copy(update={"threads": threads})
    percentile = config.hysnet.learning.patches.upper_percentile
    return _Bench(experiments_folder(config.results), training, percentile)


def experiment(
    config: Path, experiments: Path | None, *, seeds: int | None, threads: int, part: str = ALL
) -> Path:
    """`run_experiments` of two YAML files; without the second, of `evaluation.hysnet`, or else of
    the defaults."""
    known = load_config(config)
    section = load_settings(experiments or known.evaluation.hysnet, HysnetExperiments)
    if seeds is not None:
        section = section.model_copy(update={"seeds": seeds})
    return run_experiments(known, section, threads=threads, part=part)


def _counts(ground: Ground) -> dict[str, int]:
    return {
        "n_learnt": len(ground.learnt),
        "n_learnt_subjects": len({ground.subjects[one.series_id] for one in ground.learnt}),
        "n_held": len(ground.held),
        "n_held_subjects": len({one.subject for one in ground.held}),
    }


def _results(setup: Setup, bench: _Bench, part: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {
        name: []
        for name in ("ablation", "margins", "families", "comparators", "shift", "planes", "noise")
    }
    if part != COMPARATORS:
        found |= _ablation(setup, bench)
        found["families"] = _families(setup, bench)
        found["noise"] = _noise(setup, bench)
        found |= _shift(setup, bench)
    if part != ABLATION:
        found["comparators"] = _comparators(setup, bench)
    return found


def _ablation(setup: Setup, bench: _Bench) -> dict[str, list[Record]]:
    said: dict[tuple[str, int, str], list[Floats]] = {}
    for plan in plan_ablation(setup.config.hysnet.learning, setup.section):
        net = plan.learning.net
        key = net.backbone, net.dimensions, plan.head
        said.setdefault(key, []).append(bench.said(plan, setup.ground, setup.ground.learnt))
    records = [
        {"backbone": backbone, "dimensions": dimensions, "head": head, **agreement(own, setup.exam)}
        for (backbone, dimensions, head), own in said.items()
    ]
    margins = [
        {
            "backbone": backbone,
            "dimensions": dimensions,
            **margin(own, said[backbone, dimensions, PLAIN], setup.exam),
        }
        for (backbone, dimensions, head), own in said.items()
        if head == HYPER
    ]
    return {"ablation": records, "margins": margins}


def _main_said(setup: Setup, bench: _Bench, head: str) -> list[Floats]:
    """Predictions of the main pair's networks with this head, a seed each."""
    plans = main_pair(setup.config.hysnet.learning, setup.section)
    ground = setup.ground
    return [bench.said(one, ground, ground.learnt) for one in plans if one.head == head]


def _families(setup: Setup, bench: _Bench) -> list[Record]:
    """Of the main pair, where there is a truth."""
    return [
        {"head": head, **record}
        for head in (PLAIN, HYPER)
        for record in family_records(_main_said(setup, bench, head), setup.exam, setup.families)
    ]


def _comparators(setup: Setup, bench: _Bench) -> list[Record]:
    section, ground = setup.section, setup.ground
    said = {"hysnet": _main_said(setup, bench, HYPER)}
    if "brisque" in section.comparators:
        path = bench.folder / "predicted" / "brisque.parquet"
        said["brisque"] = [brisque_said(ground, path, section.seed, bench.percentile)]
        bench.used.add(path.stem)
    for plan in plan_comparators(setup.config.hysnet.learning, section):
        said.setdefault(str(plan.comparator), []).append(bench.said(plan, ground, ground.learnt))
    return [{"name": name, **agreement(own, setup.exam)} for name, own in said.items()]


def _shift(setup: Setup, bench: _Bench) -> dict[str, list[Record]]:
    section, ground = setup.section, setup.shift
    if ground is None:
        return {}
    exams = shift_exams(ground, section)
    found: dict[str, list[Record]] = {"shift": [], "planes": []}
    for mix in mixes(section):
        learnt = learnt_of(ground, mix)
        said: dict[str, list[Floats]] = {PLAIN: [], HYPER: []}
        for plan in plan_shift(setup.config.hysnet.learning, section, mix):
            said[plan.head].append(bench.said(plan, ground, learnt))
            if len(mix) > 1 and plan.seed == section.seed:
                predictor = bench.predictor(plan, learnt)
                found["planes"].append(
                    plane_record(plan.head, predictor, ground.held, bench.percentile)
                )
        found["shift"] += shift_records(mix, said, exams)
    return found


def _noise(setup: Setup, bench: _Bench) -> list[Record]:
    """By the main pair."""
    results, section = setup.config.evaluation.elsewhere, setup.section
    if results is None:
        return []
    networks = [
        (one.head, one.seed, bench.predictor(one, setup.ground.learnt))
        for one in main_pair(setup.config.hysnet.learning, section)
    ]
    volumes = graded_volumes(results, setup.elsewhere, bench.percentile, section.seed)
    return noise_records(volumes, networks)


def _write(folder: Path, content: Mapping[str, Any], part: str) -> Path:
    """The JSON is written last: with it, all is there."""
    name = "hysnet" if part == ALL else f"hysnet_{part}"
    plots = plot_all(folder, name, content)
    text = written(content, plots)
    write_text(folder / f"{name}.md", text)
    write_json(folder / f"{name}.json", dict(content))
    sys.stdout.write(text)
    return folder / f"{name}.json"
