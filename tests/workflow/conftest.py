"""A tiny cohort after its first run; see tiny_cohort.py."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_cohort import CONFIG, SIMCLR, Cohort, write_participants, write_subject


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with eight subjects in three shards after a run, and a copy to restore it from.

    The folder keeps its name: the manifests hold absolute paths.
    """
    return run_study(tmp_path_factory.mktemp("cohort") / "study one", CONFIG)


def run_study(folder: Path, config: str) -> tuple[Path, Path]:
    """A run on eight subjects in three shards; its folder and the copy."""
    bids = folder / "bids"
    for number in range(8):
        write_subject(bids, number, noise=8.0 + number)
    write_participants(bids, {number: 40 + number for number in range(8)})
    (bids / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0"}')
    (folder / "withdrawn.txt").write_text("")
    (folder / "config.yaml").write_text(config)
    Cohort(folder).run()
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, symlinks=True)
    return folder, copy


@pytest.fixture(scope="session")
def finished_simclr(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same, with SimCLR: trained, its references proposed, all rated by it."""
    return run_study(tmp_path_factory.mktemp("simclr") / "study two", CONFIG + SIMCLR)


@pytest.fixture
def rated(finished_simclr: tuple[Path, Path]) -> Iterator[Cohort]:
    """The cohort after a finished run with SimCLR; whatever a test does to it is undone."""
    yield from restored(finished_simclr)


@pytest.fixture
def cohort(finished: tuple[Path, Path]) -> Iterator[Cohort]:
    """The cohort after a finished run; whatever a test does to it is undone."""
    yield from restored(finished)


def restored(study: tuple[Path, Path]) -> Iterator[Cohort]:
    """The study as it was copied; what a test leaves running is stopped."""
    folder, copy = study
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
