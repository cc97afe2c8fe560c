"""A tiny cohort after its first run; see tiny_cohort.py."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_cohort import CONFIG, Cohort, write_participants, write_subject


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with eight subjects in three shards after a run, and a copy to restore it from.

    The folder keeps its name: the manifests hold absolute paths.
    """
    folder = tmp_path_factory.mktemp("cohort") / "study one"
    bids = folder / "bids"
    for number in range(8):
        write_subject(bids, number, noise=8.0 + number)
    write_participants(bids, {number: 40 + number for number in range(8)})
    (bids / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0"}')
    (folder / "withdrawn.txt").write_text("")
    (folder / "config.yaml").write_text(CONFIG)
    Cohort(folder).run()
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, symlinks=True)
    return folder, copy


@pytest.fixture
def cohort(finished: tuple[Path, Path]) -> Iterator[Cohort]:
    """The cohort after a finished run; whatever a test does to it is undone."""
    folder, copy = finished
    shutil.rmtree(folder)
    shutil.copytree(copy, folder, symlinks=True)
    cohort = Cohort(folder)
    yield cohort
    cohort.stop()


@pytest.fixture
def fresh(cohort: Cohort) -> Cohort:
    """The same cohort before its first run."""
    shutil.rmtree(cohort.results)
    return cohort
