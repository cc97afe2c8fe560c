"""Fixtures that every kind of test may use."""

import os
from pathlib import Path

import hypothesis
import pytest

# In CI the same examples every time: a red run is the change's fault. By hand, new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


def find_real_data() -> Path | None:
    """The folder of real volumes, if this machine has it."""
    candidates = [os.environ.get("MRIQA_TEST_DATA"), ROOT.parent / "shared" / "data"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "README.md").is_file():
            return Path(candidate)
    return None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real MRI volumes; skips where there are none."""
    folder = find_real_data()
    if folder is None:
        pytest.skip("no real volumes: set MRIQA_TEST_DATA to the folder that holds them")
    return folder
