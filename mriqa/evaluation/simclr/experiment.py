"""`mriqa experiment simclr`: the paper's experiments, on the results of a finished run.

Writes `results/experiments/simclr.json` (its keys: `run_experiments`), simclr.md, simclr_auc.png,
simclr_severity.png, simclr_encoders.png and simclr_volumes.parquet; in the small mode the same as
simclr_small.*, and of the references as simclr_references.*. What the experiments make for
themselves lies in `results/experiments/simclr/`.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from mriqa.cohort.manifest import shard_name
from mriqa.config import Config, TrainingSection, load_config
from mriqa.evaluation.about import about_run
from mriqa.evaluation.items import Item, Stores
from mriqa.evaluation.one_pass import (
    EmbeddingReader,
    MetricsReader,
    forget_strangers,
    look_at_all,
)
from mriqa.evaluation.simclr.ablation import ablation_records
from mriqa.evaluation.simclr.cells import METRICS, Design
from mriqa.evaluation.simclr.encoder_results import (
    Findings,
    Setup,
    encoder_findings,
    metrics_findings,
)
from mriqa.evaluation.simclr.encoders import (
    ABLATION,
    TRAINED,
    UNTRAINED,
    EncoderPlan,
    open_encoder,
    plan_encoders,
    train_missing,
)
from mriqa.evaluation.simclr.ground import (
    Ground,
    NothingToTestError,
    choose_own,
    choose_references,
    choose_tests,
    read_ground,
)
from mriqa.evaluation.simclr.items import draw_references, draw_tests, is_compared
from mriqa.evaluation.simclr.markdown import printed, written
from mriqa.evaluation.simclr.metrics import read_metrics
from mriqa.evaluation.simclr.plots import plot_auc, plot_encoders, plot_severity
from mriqa.evaluation.simclr.protocol import find_protocol, protocol_metrics
from mriqa.evaluation.simclr.settings import (
    ExperimentsSection,
    Mode,
    ModeSection,
    load_experiments,
)
from mriqa.evaluation.simclr.summary import SIX_CELLS, check_targets, summarise, summarise_six
from mriqa.evaluation.truth import CLEAN
from mriqa.files import write_json, write_parquet, write_text
from mriqa.methods.simclr.train import METHOD
from mriqa.progress import track

FORMAT_VERSION = 1


def run_experiments(
    config: Config, section: ExperimentsSection, *, mode: Mode, seeds: int | None, threads: int
) -> Path:
    """Run them and write `results/experiments/simclr.json` (or simclr_<mode>.json); returns it.

    Keys: `format_version`; `mode` full, small or references; `date` (UTC) and `minutes` it took;
    `machine` (cpu, cores, threads, precision, versions); `model_id` of the run; `settings`: of the
    experiments; `reference`: of the run's banks; `tests`: series_id, volume, subject, stratum;
    `counts`; `notes`: what took no part, and why.
    `cells`: an AUC each (`auc`, `low`, `high`: 95% bootstrap interval by subject, `n_positive`,
    `n_positive_subjects`, `n_negative`, `n_without_value`: degraded ones without a score) by `kind`
    of encoder (trained, untrained, metrics), `encoder` (name), `seed`, `rule` (paper, whitened,
    metrics), `bank` (all, or the family held out), `unit` (slice, volume, subject), `family`,
    `severity` and `level`.
    `summary`: the same over seeds: `worst`, `mean`, `per_seed`. `six_cells`: those of the targets,
    by `cell`, with `target`. `targets`: `name`, `value`, `target`, `met`.
    `strata`: AUC (the mean from medium severity on) by stratum, family, `bank` (all, held out:
    without the family), `unit` and rule, and `paired`: the share of copies worse than their scan.
    `shuffled`: by encoder and rule, mean AUC over cells of banks with labels dealt out anew:
    `mean`, `low`, `high` over `n_shuffles`.
    `rising`: Spearman's ρ of severity and badness by family and `measure` (quality: 1 -
    quality_score; whitened, paper: minus the margin; s_lq; metrics), 1 is best: `median` over
    `n_subjects` of ρ within the subject over `n_levels`, `pooled` over `n_volumes`.
    `second_protocol`: `n_trained_scans`, and `auc` of free-breathing against breath-held by
    `bank` (own, or the stratum of the first protocol's), with `paired`: the share of subjects
    whose free-breathing scan is the worse one.
    `ablation`: by `name`: the six cells and their mean by rule. What cannot be computed is null.

    Raises UserError if the run is not finished, has no truth (but for the references), or no test
    subjects.
    """
    started = time.monotonic()
    setup = prepare(config, section, mode, threads, seeds)
    plans = [plan for plan in setup.plans if plan.kind != ABLATION]
    told = track(plans, len(plans), "experiment: judge", "encoders")
    findings = [encoder_findings(setup, plan) for plan in told]
    findings.append(metrics_findings(setup))
    content = {
        **_about(setup, mode, threads),
        **_results(setup, findings),
        "ablation": ablation_records(setup) if setup.mode.ablation else [],
    }
    # They were set for subjects who lent no reference.
    content["targets"] = [] if mode == "references" else check_targets(content)
    content["minutes"] = round((time.monotonic() - started) / 60, 1)
    return _write(setup.ground, content, findings, mode)


def experiment(
    config: Path, experiments: Path | None, *, mode: Mode, seeds: int | None, threads: int
) -> Path:
    """`run_experiments` of two YAML files; without the second, of the defaults.

    In the small mode, which the workflow runs on any cohort that has a truth, a cohort too small to
    be tested on is told in the files (`skipped`), and is no error.
    """
    loaded, section = load_config(config), load_experiments(experiments)
    try:
        return run_experiments(loaded, section, mode=mode, seeds=seeds, threads=threads)
    except NothingToTestError as error:
        if mode != "small":
            raise
        sys.stderr.write(f"nothing to test: {error}\n")
        path = loaded.results / "experiments" / f"{METHOD}_small.json"
        content = {"format_version": FORMAT_VERSION, "mode": "small", "skipped": str(error)}
        write_text(path.with_suffix(".md"), f"# SimCLR against simulated artifacts\n\n{error}\n")
        write_json(path, content)
        return path


def limited(mode: ModeSection, seeds: int | None) -> ModeSection:
    """With `seeds` trained and untrained encoders, where that is asked for."""
    if seeds is None:
        return mode
    return mode.model_copy(update={"trained": seeds, "untrained": seeds})


def prepare(
    config: Config, section: ExperimentsSection, name: Mode, threads: int, seeds: int | None = None
) -> Setup:
    """Train and embed what is missing; everything that the results are computed from."""
    ground, mode = read_ground(config), limited(section.of_mode(name), seeds)
    forget_strangers(ground.folder, ground.results)  # whatever becomes of the experiments
    choose = choose_own if name == "references" else choose_tests
    tests = choose(ground, mode, section.seed)
    plans = plan_encoders(ground, mode, section)
    strata = sorted({one.stratum for one in tests})
    reference, stores = ground.bank.section, Stores(ground.results)
    lenders = choose_references(ground, strata, mode.hq_volumes)
    references = tuple(draw_references(lenders, stores, reference))
    items = tuple(draw_tests(tests, stores, mode, section.seed))
    protocol = None
    if mode.second_protocol and ground.has_truth:
        protocol = find_protocol(ground, stores, reference, section.bootstraps, section.seed)
    plain = config.training.model_copy(
        update={"launcher": "plain", "workers": 1, "threads": threads}
    )
    train_missing(ground, plans, plain)
    others = tuple(protocol.items) if protocol else ()
    readers = _readers(ground, plans, plain, mode, references, items, others)
    metrics = _metrics_reader(ground, items)
    everything = (*references, *items, *others)
    failed = look_at_all(_by_series(everything), [*readers.values(), metrics], stores)
    design = Design.of(items, section.bootstraps, section.seed)
    return Setup(
        ground, section, mode, plans, references, design, protocol, readers, metrics,
        read_metrics(ground.results), stores, failed,
    )  # fmt: skip


def _by_series(items: Iterable[Item]) -> list[Item]:
    """Each once, those of a series together, shard by shard."""
    unique = {item.key: item for item in items}
    return sorted(unique.values(), key=lambda one: (one.scan.shard, one.scan.series_id))


def _readers(
    ground: Ground, plans: Sequence[EncoderPlan], training: TrainingSection, mode: ModeSection,
    references: Sequence[Item], tests: Sequence[Item], others: Sequence[Item],
) -> dict[EncoderPlan, EmbeddingReader]:  # fmt: skip
    """What embeds by each encoder, at the precision of the run's own bank."""
    precision = ground.bank.precision
    settings = training.model_copy(update={"precision": precision})
    own = ground.results / "embeddings" / METHOD / ground.model_id
    shards = sorted({shard_name(item.scan.shard) for item in tests})
    below = [own / f"{name}.safetensors" for name in ("references", *shards)]
    return {
        plan: EmbeddingReader(
            lambda plan=plan: open_encoder(ground, plan, settings),  # type: ignore[misc]
            ground.folder / "embeddings" / plan.maker,
            f"{plan.maker} {precision}",
            below if plan.model_id == ground.model_id and not plan.whole_slice_px else (),
            _asked(plan, mode, references, tests, others).__contains__,
        )
        for plan in plans
    }


def _asked(
    plan: EncoderPlan, mode: ModeSection, references: Sequence[Item], tests: Sequence[Item],
    others: Sequence[Item],
) -> frozenset[Item]:  # fmt: skip
    """What an encoder is asked for.

    Trained ones of everything; untrained ones neither of what only the calibration needs nor of
    what only rising severity does; those of the ablation of the six cells.
    """
    compared = [item for item in references if is_compared(item)]
    if plan.kind == TRAINED:
        return frozenset((*(references if mode.calibrate else compared), *tests, *others))
    if plan.kind == UNTRAINED:
        levels: set[tuple[str, float]] = {
            (name, one) for name, some in mode.levels.items() for one in some
        }
        levels.add((CLEAN, 0.0))
        kept = [item for item in tests if (item.family, item.severity) in levels]
        return frozenset((*compared, *kept, *others))
    six = {(one.family, one.severity) for one in SIX_CELLS} | {(CLEAN, 0.0)}
    return frozenset((*compared, *(one for one in tests if (one.family, one.severity) in six)))


def _metrics_reader(ground: Ground, tests: Sequence[Item]) -> MetricsReader:
    asked = {one.key for one in tests}
    upper = ground.config.score.foreground_percentile
    return MetricsReader(ground.folder / METRICS, upper, lambda item: item.key in asked)


def _about(setup: Setup, mode: Mode, threads: int) -> dict[str, Any]:
    ground, design = setup.ground, setup.design
    scans = [item.scan for item in design.items if item.artifact is None]
    return {
        "format_version": FORMAT_VERSION,
        "mode": mode,
        **about_run(threads, precision=ground.bank.precision),
        "model_id": ground.model_id,
        "settings": {
            "seed": setup.section.seed,
            "bootstraps": setup.section.bootstraps,
            **setup.mode.model_dump(mode="json"),
            "pretraining": ground.config.simclr.pretraining.model_dump(mode="json"),
        },
        "reference": ground.bank.section.model_dump(mode="json"),
        "tests": [
            {
                "series_id": one.series_id,
                "volume": one.volume,
                "subject": one.person.subject,
                "stratum": one.stratum,
            }
            for one in scans
        ],
        "counts": {
            "n_subjects": len({one.person.subject for one in scans}),
            "n_strata": len({one.stratum for one in scans}),
            "n_simulated": len(design.items) - len(scans),
            "n_hq_references": sum(one.artifact is None for one in setup.references),
            "n_trained_on": len(ground.pinned),
        },
        "notes": list(setup.failed.values()),
    }


def _results(setup: Setup, findings: Sequence[Findings]) -> dict[str, Any]:
    cells = [record for one in findings for record in one.cells]
    protocol: list[dict[str, Any]] = []
    if setup.protocol is not None:
        protocol = [record for one in findings for record in one.protocol]
        protocol.append(protocol_metrics(setup.protocol))
    return {
        "cells": cells,
        "summary": summarise(cells),
        "six_cells": summarise_six(cells),
        "shuffled": [record for one in findings for record in one.shuffled],
        "rising": [record for one in findings for record in one.rising],
        "strata": [record for one in findings for record in one.strata],
        "second_protocol": {
            "n_trained_scans": setup.protocol.n_trained if setup.protocol else None,
            "n_scans": len(setup.protocol.design.items) if setup.protocol else None,
            "auc": protocol,
        },
    }


def _write(
    ground: Ground, content: dict[str, Any], findings: Sequence[Findings], mode: Mode
) -> Path:
    """The JSON is written last: with it, all is there."""
    folder = ground.results / "experiments"
    name = METHOD if mode == "full" else f"{METHOD}_{mode}"
    plots = {one: f"{name}_{one}.png" for one in ("auc", "severity", "encoders")}
    rows = pd.concat([one.volumes for one in findings], ignore_index=True)
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(None)
    write_parquet(folder / f"{name}_volumes.parquet", table)
    plot_auc(folder / plots["auc"], content["summary"])
    plot_severity(folder / plots["severity"], rows)
    plot_encoders(folder / plots["encoders"], content["six_cells"])
    write_text(folder / f"{name}.md", written(content, plots))
    write_json(folder / f"{name}.json", content)
    sys.stdout.write(printed(content))
    return folder / f"{name}.json"
