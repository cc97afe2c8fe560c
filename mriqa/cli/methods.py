"""Verbs of the learned methods; the workflow calls them, in this order."""

import argparse
from pathlib import Path

from mriqa.cli.arguments import Verbs, at_least_one
from mriqa.errors import UserError
from mriqa.methods import METHODS


def add_verbs(verbs: Verbs) -> None:
    """Add `train`, `propose`, `reference` and `rate`."""
    for name, verb, text in (
        ("train", _train, "train a learned method on the pinned series"),
        ("propose", _propose, "list good volumes for a learned method to compare with"),
        ("reference", _reference, "build the bank of embeddings of a list of references"),
        ("rate", _rate, "rate one shard by a learned method"),
    ):
        stage = verbs.add_parser(name, help=text)
        stage.add_argument("method", metavar="METHOD", choices=METHODS, help=", ".join(METHODS))
        stage.add_argument("results", type=Path)
        if name == "rate":
            stage.add_argument("shard", help="e.g. shard-00007")
        if name != "propose":
            stage.add_argument("--model-id", required=True)
            stage.add_argument("--training", default="{}", help="JSON of the section `training`")
        if name != "rate":
            stage.add_argument("--settings", default="{}", help="JSON of the method's section")
        if name != "rate":
            stage.add_argument("--rating", default="{}", help="JSON of the section `rating`")
        if name == "reference":
            stage.add_argument("--digest", required=True, help="of all that it is made from")
        if name != "train":
            stage.add_argument("--threads", type=at_least_one, default=1)
            stage.add_argument("--mem-mb", type=at_least_one, default=4000)
        stage.set_defaults(verb=verb)


def _train(parsed: argparse.Namespace) -> None:
    from mriqa.config import RatingSection, TrainingSection, load_section
    from mriqa.methods import load_part

    part = load_part(parsed.method, "train")
    folder = part.train(
        parsed.results,
        parsed.model_id,
        load_section(part.SETTINGS, parsed.settings),
        load_section(TrainingSection, parsed.training),
        load_section(RatingSection, parsed.rating),
    )
    print(folder)


def _propose(parsed: argparse.Namespace) -> None:
    from mriqa.config import RatingSection, ReferenceSection, SimulatedSection, load_section
    from mriqa.rating.reference import propose_references

    settings: SimulatedSection | ReferenceSection
    if parsed.method == "hysnet":
        raise UserError("hysnet learns a number: it trusts no list of good volumes")
    if parsed.method == "hierarchy":
        settings = load_section(SimulatedSection, parsed.settings)
    else:
        settings = load_section(ReferenceSection, parsed.settings)
    proposed = propose_references(
        parsed.results,
        parsed.method,
        settings=settings,
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
    from mriqa.embedding.shard_files import ShardFiles
    from mriqa.methods import load_part

    files = ShardFiles(parsed.results, parsed.shard, parsed.method, parsed.model_id)
    settings = load_section(TrainingSection, parsed.training)
    load_part(parsed.method, "score").score_shard(
        files, settings.model_copy(update={"threads": parsed.threads}), mem_mb=parsed.mem_mb
    )
