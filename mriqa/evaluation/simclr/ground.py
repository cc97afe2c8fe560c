"""What the experiments stand on: a finished run, its truth, and which volumes test it.

Test volumes are clean by the truth table, of test subjects, or of validation subjects who were not
listed as references; nothing of them was trained on. Without a truth the HQ references themselves
can be tested (`choose_own`), each against those of the other subjects.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mriqa.cohort.manifest import read_cohort
from mriqa.config import Config, section_json
from mriqa.errors import UserError
from mriqa.evaluation.scans import rated_volumes, scan_of
from mriqa.evaluation.simclr.settings import ModeSection
from mriqa.evaluation.truth import CLEAN
from mriqa.methods.simclr.bank import Bank, read_bank
from mriqa.methods.simclr.train import FORMAT_VERSION as TRAIN_VERSION
from mriqa.methods.simclr.train import METHOD
from mriqa.references.listing import HqVolume as Scan
from mriqa.seeds import fixed_number
from mriqa.training.imported import imported_id
from mriqa.training.manifest import PinnedSeries, model_id, pin_path, read_pinned

LEAST_SUBJECTS = 3
"""A stratum with fewer test subjects tests nothing."""


class NothingToTestError(UserError):
    """The cohort has too few clean subjects that are neither references nor trained on."""


@dataclass(frozen=True)
class Ground:
    """A finished run: its model, bank and pinned series, and its volumes with their truth.

    Of a model of another cohort no series are known: nobody of this one was trained on.

    `volumes` has a row a rated volume: _COLUMNS; where there is a truth only those that it names,
    with `true_family`, `breath_hold`.
    """

    results: Path
    config: Config
    model_id: str
    pinned: list[PinnedSeries]
    bank: Bank
    volumes: pd.DataFrame

    @property
    def trained_subjects(self) -> frozenset[str]:
        """Subjects that the run's model has seen."""
        return frozenset(one.subject for one in self.pinned)

    @property
    def trains(self) -> bool:
        """Whether the run has trained its model itself."""
        return self.config.simclr.pretrained is None

    @property
    def listed_subjects(self) -> frozenset[str]:
        """Subjects whose scans the bank was to have, also those that it dropped.

        It dropped who looks bad: tested on, those would make the bank look worse than it is.
        """
        banks = self.bank.strata.values()
        return frozenset[str]().union(*(one.listed_subjects for one in banks))

    @property
    def has_truth(self) -> bool:
        """Whether it is known which scans are good."""
        return self.config.evaluation.truth is not None

    @property
    def folder(self) -> Path:
        """Of models and embeddings that the experiments make."""
        return self.results / "experiments" / METHOD


def read_ground(config: Config) -> Ground:
    """What `mriqa run` has left in `config.results`.

    Raises UserError if SimCLR is off, or the run is not finished.
    """
    if METHOD not in config.methods:
        raise UserError("methods: simclr is not switched on; set methods: [simclr] and run")
    results, section = config.results, config.simclr.pretraining
    if config.simclr.pretrained is not None:
        pinned, own = [], imported_id(METHOD, config.simclr.pretrained)
    else:
        pinned = read_pinned(pin_path(results, METHOD, section))
        own = model_id(METHOD, section_json(section), pinned, TRAIN_VERSION)
    bank = read_bank(results / "models" / METHOD / own / "bank")
    return Ground(
        results, config, own, pinned, bank, rated_volumes(results, config.evaluation.truth)
    )


def choose_tests(ground: Ground, mode: ModeSection, seed: int) -> list[Scan]:
    """One clean volume a subject and stratum, of at most `mode.subjects` subjects.

    Test subjects before validation subjects, else in an order that `seed` draws. Raises
    NothingToTestError if no stratum with a bank has enough, UserError without a truth.
    """
    if not ground.has_truth:
        raise UserError(
            "evaluation.truth: not set; the experiments must know which scans are good. Without "
            "one, --references tests the HQ references, each without those of its own subject"
        )
    rows = ground.volumes
    paired = rows["breath_hold"].map({True: True, False: True}).notna()
    rows = rows[(rows["true_family"] == CLEAN) & ~paired]
    free = ~rows["subject"].isin(ground.listed_subjects | ground.trained_subjects)
    rows = rows[free & rows["split"].isin(["test", "validation"])]
    rows = rows[rows["stratum"].isin(list(ground.bank.strata))]
    rows = rows.drop_duplicates(["subject", "stratum"])
    late = rows["split"] != "test"
    order = [fixed_number(seed, "test", subject) for subject in rows["subject"]]
    rows = rows.assign(late=late, order=order).sort_values(["late", "order"])
    counts = rows["stratum"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    strata = [str(name) for name, count in counts.items() if count >= LEAST_SUBJECTS]
    rows = rows[rows["stratum"].isin(strata[: mode.strata])]
    chosen = rows["subject"].drop_duplicates().head(mode.subjects)
    found = [scan_of(row) for row in rows[rows["subject"].isin(chosen)].to_dict("records")]
    if not found:
        there = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none"
        raise NothingToTestError(
            f"no stratum with references has {LEAST_SUBJECTS} clean subjects in test or validation "
            f"that are neither references nor trained on (there are: {there}); lower "
            "simclr.reference.proposed or raise cohort.split.test"
        )
    return sorted(found, key=lambda one: (one.shard, one.series_id, one.volume))


def choose_own(ground: Ground, mode: ModeSection, seed: int) -> list[Scan]:
    """The HQ references as tests, of at most `mode.subjects` subjects and `mode.strata` strata.

    Raises NothingToTestError if there is no bank.
    """
    counts = {name: len(bank.subjects) for name, bank in sorted(ground.bank.strata.items())}
    if not counts:
        raise NothingToTestError("no stratum has a bank of references; see the report of the run")
    strata = sorted(counts, key=lambda name: -counts[name])[: mode.strata]
    scans = choose_references(ground, strata, mode.hq_volumes)
    subjects = sorted({one.person.subject for one in scans},
                      key=lambda subject: fixed_number(seed, "test", subject))  # fmt: skip
    kept = set(subjects[: mode.subjects])
    return [one for one in scans if one.person.subject in kept]


def choose_references(ground: Ground, strata: list[str], hq_volumes: int | None) -> list[Scan]:
    """The HQ volumes of the run's own banks of `strata`, at most `hq_volumes` of each."""
    cohort = read_cohort(ground.results / "cohort.parquet")
    shards = dict(zip(*(cohort[name].to_pylist() for name in ("series_id", "shard")), strict=True))
    found = []
    for stratum in strata:
        listed = [one for one in ground.bank.strata[stratum].references if one.family is None]
        listed = sorted(listed, key=lambda one: one.order)[:hq_volumes]
        found += [
            Scan(one.series_id, one.volume, stratum, shards[one.series_id], one.person)
            for one in listed
        ]
    return sorted(found, key=lambda one: (one.shard, one.series_id, one.volume))
