"""The verb `experiment`: one below it for each experiment."""

import argparse
import os
from pathlib import Path

from mriqa.cli.arguments import Verbs, at_least_one

SETTINGS = {
    "simclr": "config/experiments.yaml",
    "hierarchy": "config/hierarchy_experiments.yaml",
    "hysnet": "config/hysnet_experiments.yaml",
    "metrics": "config/metrics_mrart.yaml or metrics_abide.yaml",
}


def add_verbs(verbs: Verbs) -> None:
    """Add `experiment`."""
    experiment = verbs.add_parser("experiment", help="the experiments with methods and metrics")
    experiments = experiment.add_subparsers(required=True, metavar="EXPERIMENT")
    for name, verb, text in (
        ("simclr", _simclr, "what the paper asks of SimCLR"),
        ("hierarchy", _hierarchy, "what the hierarchy learns from few and wrong labels"),
    ):
        learned = experiments.add_parser(name, help=text)
        learned.add_argument("config", type=Path, help="of a finished `mriqa run`, with a truth")
        _add_learned(learned)
        learned.add_argument("--experiments", type=Path, help=f"like {SETTINGS[name]}")
        learned.set_defaults(verb=verb)
    hysnet = experiments.add_parser("hysnet", help="HyS-Net's tables: ablation, comparators, shift")
    _add_hysnet(hysnet)
    hysnet.set_defaults(verb=_hysnet)
    metrics = experiments.add_parser("metrics", help="what metrics alone say of raters' grades")
    _add_metrics(metrics)
    metrics.set_defaults(verb=_metrics)
    for one in experiments.choices.values():
        one.add_argument("--threads", type=at_least_one, default=os.cpu_count() or 1)


def _add_learned(parser: argparse.ArgumentParser) -> None:
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--small", dest="mode", action="store_const", const="small", help="a minute's worth of it"
    )
    modes.add_argument(
        "--references", dest="mode", action="store_const", const="references",
        help="without a truth: test the HQ references, each without those of its own subject",
    )  # fmt: skip
    parser.add_argument("--seeds", type=at_least_one, help="networks that are trained")
    parser.set_defaults(mode="full")


def _add_hysnet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        type=Path,
        help="of a finished `mriqa run`; hysnet.learning says how networks learn",
    )
    parser.add_argument("--experiments", type=Path, help=f"like {SETTINGS['hysnet']}")
    parser.add_argument("--part", choices=("all", "ablation", "comparators"), default="all")
    parser.add_argument("--seeds", type=at_least_one, help="of the main pair of networks")


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("table", type=Path, help="of metrics, a row a scan: TSV, CSV or Parquet")
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument(
        "--experiments", type=Path, required=True, help=f"like {SETTINGS['metrics']}"
    )
    parser.add_argument("--grades", type=Path, help="the table of grades, where it is another")
    parser.add_argument("--test", type=Path, help="also test on the scans of this table")
    parser.add_argument("--test-grades", type=Path, help="their grades, where apart")


def _simclr(parsed: argparse.Namespace) -> None:
    from mriqa.evaluation.simclr.experiment import experiment

    how = {name: getattr(parsed, name) for name in ("mode", "seeds", "threads")}
    print(experiment(parsed.config, parsed.experiments, **how))


def _hierarchy(parsed: argparse.Namespace) -> None:
    from mriqa.errors import UserError
    from mriqa.evaluation.hierarchy.experiment import experiment

    if parsed.mode != "full":
        raise UserError(f"--{parsed.mode} is for simclr; shorten it with --experiments FILE")
    how = {name: getattr(parsed, name) for name in ("seeds", "threads")}
    print(experiment(parsed.config, parsed.experiments, **how))


def _hysnet(parsed: argparse.Namespace) -> None:
    from mriqa.evaluation.hysnet.experiment import experiment

    how = {name: getattr(parsed, name) for name in ("seeds", "threads", "part")}
    print(experiment(parsed.config, parsed.experiments, **how))


def _metrics(parsed: argparse.Namespace) -> None:
    from mriqa.errors import UserError
    from mriqa.evaluation.metrics.experiment import Tables, experiment

    if parsed.test_grades is not None and parsed.test is None:
        raise UserError("--test-grades names grades of --test, which is missing")
    tables = Tables(parsed.table, parsed.grades, parsed.test, parsed.test_grades)
    print(experiment(tables, parsed.out, parsed.experiments, parsed.threads))
