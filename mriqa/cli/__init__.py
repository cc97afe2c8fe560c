"""The command line: one thin function a verb. Heavy modules are imported inside the verbs.

A module here is a group of verbs: its `add_verbs` tells argparse of them.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from mriqa import __version__
from mriqa.cli import experiments, files, methods, stages, user
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
    for group in (user, experiments, stages, methods, files):
        group.add_verbs(verbs)
    return parser
