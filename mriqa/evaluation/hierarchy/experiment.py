"""`mriqa experiment hierarchy`: what the hierarchy learns from few and wrong labels.

Writes `results/experiments/hierarchy.json` (its keys: `run_experiments`), hierarchy.md and
hierarchy_curves.png. What the experiments make for themselves lies in
`results/experiments/hierarchy/`; killed, they go on from there.
"""

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from mriqa.config import Config, VolumeStageSection, load_config
from mriqa.evaluation.about import about_run
from mriqa.evaluation.hierarchy.curves import SELF_TRAINED, TRUE, Exam, Marks, learn_curves
from mriqa.evaluation.hierarchy.elsewhere import elsewhere_records, embed_series
from mriqa.evaluation.hierarchy.encoders import (
    ABLATION,
    ELSEWHERE,
    LEFT_OUT,
    MAIN,
    EncoderPlan,
)
from mriqa.evaluation.hierarchy.figures import Record, sampling_of
from mriqa.evaluation.hierarchy.markdown import written
from mriqa.evaluation.hierarchy.plots import plot_curves
from mriqa.evaluation.hierarchy.sessions import (
    calibration_record,
    cross_calibrated,
    session_record,
)
from mriqa.evaluation.hierarchy.settings import HierarchyExperiments
from mriqa.evaluation.hierarchy.setup import Setup, prepare
from mriqa.evaluation.hierarchy.summary import check_targets
from mriqa.evaluation.hierarchy.unseen import unseen_records
from mriqa.evaluation.settings_file import load_settings
from mriqa.files import write_json, write_text
from mriqa.methods.hierarchy.model import METHOD
from mriqa.progress import track

FORMAT_VERSION = 1
OF_VOLUMES: dict[str, tuple[str, dict[str, Any]]] = {
    "local_volumes": ("no nonlocal block over slices", {"blocks": 0}),
    "forest": ("random forests", {"kind": "forest"}),
}
"""Ablations of the volume stage: their names, and what is changed."""


def run_experiments(config: Config, section: HierarchyExperiments, *, threads: int) -> Path:
    """Run them and write `results/experiments/hierarchy.json`; returns it.

    Keys: `format_version`, `date` (UTC), `minutes`, `machine`, `settings`, `counts`, `notes` (what
    took no part, and why).
    `curves`: by `seed`, `fraction` (labelled), `noise` (share of them wrong) and `how` (once,
    self-trained, all true): balanced `accuracy` over pass, questionable and fail, `recall` of each,
    `auc_fail` and `auc_questionable` against pass; of the self-trained also `gain` over once,
    `short` of all true, `n_rounds`, and `contested`: what the list of contested labels is worth.
    `ablation`: the same by `name` at `fraction_at` and `noise_at`. `calibration` and `sessions`: of
    the networks of `how`, by `seed`. `unseen`: AUC by `family` that was not simulated before, and
    `rater` (hierarchy; SimCLR, whitened). `elsewhere`: of series of another cohort, by `severity`
    the `auc` of volumes with a simulated artifact against the others. `targets`: `name`, `value`,
    `target`, `met`.
    Values have `value`, `low`, `high`: 95% bootstrap intervals by subject.

    Raises UserError if the run is not finished, has no truth, or too few good volumes.
    """
    started = time.monotonic()
    setup = prepare(config, section, threads)
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        **about_run(threads),
        "settings": section.model_dump(mode="json"),
        "counts": _counts(setup),
        "notes": list(setup.failed.values()),
        **_results(setup),
    }
    content["targets"] = check_targets(content)
    content["minutes"] = round((time.monotonic() - started) / 60, 1)
    path = _write(setup, content)
    # rounds name persons' series: what is withdrawn later must not stay there
    for name in ("lessons", ELSEWHERE):
        shutil.rmtree(setup.ground.folder / name, ignore_errors=True)
    return path


def experiment(config: Path, experiments: Path | None, *, seeds: int | None, threads: int) -> Path:
    """`run_experiments` of two YAML files; without the second, of the defaults."""
    section = load_settings(experiments, HierarchyExperiments)
    if seeds is not None:
        section = section.model_copy(update={"seeds": seeds})
    return run_experiments(load_config(config), section, threads=threads)


def _counts(setup: Setup) -> dict[str, int]:
    ground = setup.ground
    return {
        "n_learnt_scans": len(ground.learnt),
        "n_learnt": len(setup.learnt),
        "n_learnt_subjects": len({one.person.subject for one in ground.learnt}),
        "n_held_scans": len(ground.held),
        "n_held": len(setup.held),
        "n_held_subjects": len({one.person.subject for one in ground.held}),
        "n_strata": len({one.stratum for one in (*ground.learnt, *ground.held)}),
        "n_tuned_on": len(ground.pinned),
    }


def _results(setup: Setup) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {
        name: [] for name in ("curves", "calibration", "sessions", "ablation", "unseen")
    }
    found["elsewhere"] = _elsewhere(setup)
    for plan in track(setup.plans, len(setup.plans), "experiment: learn", "slice networks"):
        if plan.kind == MAIN:
            for name, some in _main(setup, plan).items():
                found[name] += some
        elif plan.kind == ABLATION:
            found["ablation"] += _ablation(setup, plan, plan.name)
        elif plan.kind == LEFT_OUT:
            pupil, held = setup.pupil(plan)
            sampling = sampling_of(held, setup.section.bootstraps, setup.section.seed)
            about = {"seed": plan.seed, "without": list(plan.without)}
            found["unseen"] += unseen_records(about, pupil, held, sampling, setup.rater)
    return found


def _elsewhere(setup: Setup) -> list[Record]:
    """By the first slice network; nothing where no other cohort is named."""
    own, results, plan = setup.section, setup.section.elsewhere, setup.plans[0]
    if results is None or setup.elsewhere is None:
        return []
    reader, series = setup.elsewhere
    embedded = embed_series(series, results, setup.networks[plan], reader)
    return elsewhere_records(series, embedded, setup.pupil(plan)[0], own.seed)


def _main(setup: Setup, plan: EncoderPlan) -> dict[str, list[Record]]:
    section, about = setup.section, {"seed": plan.seed}
    exam = _exam(setup, plan)
    marks = learn_curves(exam, about, section.conditions, plan.seed)
    found = {"curves": marks.records, **_calibrated(setup, exam, marks, about)}
    if section.ablations and plan.seed == section.seed:
        found["ablation"] = _ablation(setup, plan, "as it is")
        for name, (told, changes) in OF_VOLUMES.items():
            if name in section.ablations:
                found["ablation"] += _ablation(setup, plan, told, **changes)
    return found


def _calibrated(
    setup: Setup, exam: Exam, marks: Marks, about: dict[str, Any]
) -> dict[str, list[Record]]:
    section, held = setup.section, exam.held
    found: dict[str, list[Record]] = {"calibration": [], "sessions": []}
    learned = {
        TRUE: marks.probabilities[1.0, 0.0, TRUE],
        SELF_TRAINED: marks.probabilities[section.fraction_at, section.noise_at, SELF_TRAINED],
    }
    for how, probabilities in learned.items():
        scaled = cross_calibrated(probabilities, held, section.seed)
        here = {**about, "how": how}
        error = calibration_record(scaled, held, section.bootstraps, section.seed)
        found["calibration"].append({**here, **error})
        found["sessions"].append({**here, **session_record(scaled, held, section.seed)})
    return found


def _exam(setup: Setup, plan: EncoderPlan) -> Exam:
    pupil, held = setup.pupil(plan)
    return Exam(pupil, held, sampling_of(held, setup.section.bootstraps, setup.section.seed))


def _ablation(setup: Setup, plan: EncoderPlan, name: str, **changes: Any) -> list[Record]:
    exam, section = _exam(setup, plan), setup.section
    own = VolumeStageSection.model_validate({**section.volumes.model_dump(), **changes})
    pupil = replace(exam.pupil, section=own, folder=exam.pupil.folder / name.replace(" ", "-"))
    changed = replace(exam, pupil=pupil)
    about = {"name": name, "seed": plan.seed}
    condition = section.fraction_at, section.noise_at
    return learn_curves(changed, about, [condition], plan.seed).records


def _write(setup: Setup, content: dict[str, Any]) -> Path:
    """The JSON is written last: with it, all is there."""
    folder = setup.ground.results / "experiments"
    plot = f"{METHOD}_curves.png"
    plot_curves(folder / plot, content["curves"], setup.section)
    text = written(content, plot)
    write_text(folder / f"{METHOD}.md", text)
    write_json(folder / f"{METHOD}.json", content)
    sys.stdout.write(text)
    return folder / f"{METHOD}.json"
