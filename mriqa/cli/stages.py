"""Verbs of the stages that every cohort goes through; the workflow calls them, in this order."""

import argparse
from pathlib import Path

from mriqa.cli.arguments import Verbs, add_job_arguments, at_least_one


def add_verbs(verbs: Verbs) -> None:
    """Add `index`, `convert`, `score`, `merge`, `report` and `evaluate`."""
    index = verbs.add_parser("index", help="list the cohort's series and assign them to shards")
    index.add_argument("config", type=Path)
    index.set_defaults(verb=_index)

    convert = verbs.add_parser("convert", help="one shard's series to Zarr")
    convert.add_argument("manifest", type=Path)
    convert.add_argument("--store", type=Path, required=True)
    convert.add_argument("--status", type=Path, required=True)
    add_job_arguments(convert)
    convert.set_defaults(verb=_convert)

    score = verbs.add_parser("score", help="measure one shard's slices and volumes")
    score.add_argument("manifest", type=Path)
    score.add_argument("--store", type=Path, required=True)
    score.add_argument("--convert-status", type=Path, required=True)
    score.add_argument("--output", type=Path, required=True)
    score.add_argument("--brain-maps", type=Path, nargs="?", help="list of the user's own")
    add_job_arguments(score)
    score.set_defaults(verb=_score)

    for name, verb, text in (
        ("merge", _merge, "rate the cohort and write its tables"),
        ("report", _report, "write the HTML report"),
        ("evaluate", _evaluate, "compare the tables with a truth table"),
    ):
        stage = verbs.add_parser(name, help=text)
        stage.add_argument("results", type=Path)
        stage.add_argument("--settings", default="{}", help="JSON of the configuration's section")
        if name == "merge":
            stage.add_argument("--methods", nargs="*", default=(), help="learned ones that rated")
            stage.add_argument("--threads", type=at_least_one, default=2)
            stage.add_argument("--mem-mb", type=at_least_one, default=4000)
        stage.set_defaults(verb=verb)


def _index(parsed: argparse.Namespace) -> None:
    from mriqa.config import load_config
    from mriqa.run.index import index_alone

    print(index_alone(load_config(parsed.config)))


def _convert(parsed: argparse.Namespace) -> None:
    from mriqa.config import ConvertSection, load_section
    from mriqa.images.convert import convert_shard

    convert_shard(
        parsed.manifest,
        parsed.store,
        parsed.status,
        settings=load_section(ConvertSection, parsed.settings),
        threads=parsed.threads,
        mem_mb=parsed.mem_mb,
    )


def _score(parsed: argparse.Namespace) -> None:
    from mriqa.config import ScoreSection, load_section
    from mriqa.rating.score import score_shard

    score_shard(
        parsed.manifest,
        parsed.store,
        parsed.convert_status,
        parsed.output,
        settings=load_section(ScoreSection, parsed.settings),
        threads=parsed.threads,
        mem_mb=parsed.mem_mb,
        brain_maps=parsed.brain_maps,
    )


def _merge(parsed: argparse.Namespace) -> None:
    from mriqa.config import RatingSection, load_section
    from mriqa.rating.publish import publish_tables

    section = load_section(RatingSection, parsed.settings)
    published = publish_tables(
        parsed.results,
        section,
        methods=parsed.methods,
        threads=parsed.threads,
        mem_mb=parsed.mem_mb,
    )
    print(published)


def _report(parsed: argparse.Namespace) -> None:
    from mriqa.config import ReportSection, load_section
    from mriqa.report.page import write_report

    write_report(parsed.results, load_section(ReportSection, parsed.settings))


def _evaluate(parsed: argparse.Namespace) -> None:
    from mriqa.config import EvaluationSection, load_section
    from mriqa.evaluation.artifacts import evaluate

    evaluate(parsed.results, load_section(EvaluationSection, parsed.settings))
