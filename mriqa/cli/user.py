"""Verbs that a user calls."""

import argparse
from pathlib import Path

from mriqa.cli.arguments import Verbs, at_least_one


def add_verbs(verbs: Verbs) -> None:
    """Add `run`, `query`, `labels`, `demo-data`, `config` and `docs`."""
    extra = "what follows `--` goes to Snakemake, e.g. `-- --dry-run`"
    run = verbs.add_parser("run", help="index the cohort, then run all of it", epilog=extra)
    run.add_argument("config", type=Path)
    run.add_argument("--profile", type=Path, default=Path("profiles/local"))
    run.add_argument("--cores", type=at_least_one, help="overrides the profile's")
    run.set_defaults(verb=_run)

    query = verbs.add_parser("query", help="ask the tables with SQL (DuckDB)")
    query.add_argument("results", type=Path)
    tables = (
        "volumes, slices, subjects, failures, runs, cohort, index_problems, map_problems, labels, "
        "label_problems"
    )
    query.add_argument("sql", help=f"tables: {tables}")
    query.set_defaults(verb=_query)

    labels = verbs.add_parser("labels", help="check what raters said, and how far they agree")
    labels.add_argument("config", type=Path, help="of an indexed cohort")
    labels.set_defaults(verb=_labels)

    _add_demo_data(verbs)
    config = verbs.add_parser("config", help="print the default configuration with its comments")
    config.add_argument("--check", type=Path, metavar="CONFIG", help="check this file instead")
    config.set_defaults(verb=_config)

    docs = verbs.add_parser("docs", help="write the generated documents")
    docs.add_argument("root", type=Path, nargs="?", default=Path(), help="the project's folder")
    docs.set_defaults(verb=_docs)


def _add_demo_data(verbs: Verbs) -> None:
    demo = verbs.add_parser("demo-data", help="write the demo cohort, a BIDS dataset")
    demo.add_argument("out", type=Path, help="a new folder, or one of this cohort to complete")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--subjects", type=int, default=150)
    kinds = demo.add_mutually_exclusive_group()
    kinds.add_argument("--no-download", action="store_true", help="without real volumes from PyPI")
    kinds.add_argument(
        "--graded", action="store_true",
        help="instead: heads and abdomens with all grades of noise, for `experiment hysnet`",
    )  # fmt: skip
    demo.set_defaults(verb=_demo_data)


def _run(parsed: argparse.Namespace) -> None:
    from mriqa.run.launch import run_workflow

    run_workflow(parsed.config, profile=parsed.profile, cores=parsed.cores, extra=parsed.snakemake)


def _query(parsed: argparse.Namespace) -> None:
    from mriqa.tables.query import run_query

    print(run_query(parsed.results, parsed.sql))


def _labels(parsed: argparse.Namespace) -> None:
    from mriqa.config import load_config
    from mriqa.errors import UserError
    from mriqa.labels.publish import summarise
    from mriqa.labels.reading import read_labels

    config = load_config(parsed.config)
    if not config.labels:
        raise UserError(f"{parsed.config}: no labels; name their tables (see config/README.md)")
    print(summarise(read_labels(config.labels, config.results).labels).details())


def _demo_data(parsed: argparse.Namespace) -> None:
    from mriqa.artifacts.demo import make_demo
    from mriqa.artifacts.graded import make_graded

    if parsed.graded:
        print(make_graded(parsed.out, seed=parsed.seed, subjects=parsed.subjects))
        return
    summary = make_demo(
        parsed.out,
        seed=parsed.seed,
        subjects=parsed.subjects,
        download=not parsed.no_download,
    )
    print(summary)


def _config(parsed: argparse.Namespace) -> None:
    from mriqa.config import load_config
    from mriqa.documents import default_config_yaml

    if parsed.check:
        load_config(parsed.check)
        print(f"{parsed.check}: fine")
    else:
        print(default_config_yaml(), end="")


def _docs(parsed: argparse.Namespace) -> None:
    from mriqa.documents import write_documents

    for path in write_documents(parsed.root):
        print(path)
