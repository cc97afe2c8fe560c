"""Arguments that several verbs take."""

import argparse
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Of a job on one shard."""
    parser.add_argument("--settings", default="{}", help="JSON of the configuration's section")
    parser.add_argument("--threads", type=at_least_one, default=1)
    parser.add_argument("--mem-mb", type=at_least_one, default=2000)


def at_least_one(text: str) -> int:
    """The type of an argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)
