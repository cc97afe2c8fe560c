"""The command line: one thin function a verb. Heavy modules are imported inside the verbs.

A module here is a group of verbs: its `add_verbs` tells argparse of them.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from mriqa import __version__
from mriqa.cli import experiments, files, methods, stages, user
from mriqa.errors import FAILED, TO_MEND, MriqaError

EXIT_CODES = """\
exit codes:
  0  all went well
  1  the work was tried and failed: a damaged image, a job that failed, a full disk, more
     failed series than rating.max_failed_fraction
  2  the call or the configuration is wrong, or a file or folder that they name is not there,
     is not what is asked for, or is in use by another run: to be mended before work can start
"""
WRONG_PATH = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""What the operating system says of a path, not of the disk; no verb makes its paths up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code (EXIT_CODES)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # argparse would take what follows `--` for `run`'s own, or refuse it after an option
    cut = given.index("--") if given[:1] == ["run"] and "--" in given else len(given)
    parsed = _parser().parse_args(given[:cut], argparse.Namespace(snakemake=given[cut + 1 :]))
    try:
        parsed.verb(parsed)
    except MriqaError as error:
        print(f"mriqa: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        print(f"mriqa: {_explained(error)}", file=sys.stderr)
        return TO_MEND if isinstance(error, WRONG_PATH) else FAILED
    return 0


def _explained(error: OSError) -> str:
    """The path and what the operating system says of it; what to do if it is the path's fault."""
    said = ": ".join(str(one) for one in (error.filename, error.strerror or error) if one)
    return f"{said}; name another path" if isinstance(error, WRONG_PATH) else said


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mriqa",
        description="Automatic quality assessment of MRI for large cohorts.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mriqa {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for group in (user, experiments, stages, methods, files):
        group.add_verbs(verbs)
    return parser
