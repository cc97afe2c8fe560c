"""Every command that the README shows runs, in the order in which it stands there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The lines of all console blocks of README.md."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [line for block in BLOCK.findall(text) for line in block.splitlines() if line]


def test_the_readme_shows_its_two_commands():
    assert commands()[:2] == ["make demo", "make test"]


def test_every_shown_file_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
@pytest.mark.demo
@pytest.mark.timeout(3600)
def test_every_command_runs():
    """In the checkout itself, where `make demo` leaves what the later commands read."""
    for made in ("same.nii.gz", "breathing.nii.gz"):
        (ROOT / "results" / made).unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    for command in commands():
        if command == "make test":  # this very run
            command = "make --dry-run test"
        done = subprocess.run(
            command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
