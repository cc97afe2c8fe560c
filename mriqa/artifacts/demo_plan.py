"""Who is in the demo cohort and what is wrong with whom: every draw, nothing rendered.

Each subject is drawn from the seed, its group and its number alone: a bigger cohort begins with the
very subjects of a smaller one.
"""

from dataclasses import dataclass
from typing import Literal

from mriqa.artifacts import Artifact, Family, draw
from mriqa.artifacts.families import Acquisition
from mriqa.artifacts.phantom.brain import (
    N_B0,
    N_DIRECTIONS,
    DiffusionScan,
    brain_grid,
    draw_diffusion_scan,
)
from mriqa.artifacts.phantom.canvas import Grid, generator
from mriqa.artifacts.phantom.head import HEAD_GRID, HeadScan
from mriqa.artifacts.phantom.person import Person, draw_person
from mriqa.artifacts.phantom.scanner import PROTOCOL_A, PROTOCOL_B, PROTOCOLS, Scan, draw_scan
from mriqa.errors import ErrorCode

ABDOMEN, BREATH_HOLD, DIFFUSION, DEGRADED, FAMILIES_ORDER = 1, 2, 3, 4, 5
"""Groups of subjects, and other purposes, in the keys of `generator`."""

DEGRADED_FAMILIES = (
    Family.JUMP,
    Family.JUMPS,
    Family.BREATHING,
    Family.DRIFT,
    Family.NOISE,
    Family.GHOSTING,
    Family.SPIKES,
    Family.LOW_PASS,
    Family.WRAP,
    Family.BIAS,
    Family.DROPOUT,
)
SEVERITIES = (0.25, 0.5, 1.0)
ONE_DEGRADED_OF = 3
DIFFUSION_FAMILIES = (
    Family.DROPOUT,
    Family.NOISE,
    Family.GHOSTING,
    Family.JUMPS,
    Family.SPIKES,
    Family.BIAS,
)
FULL_COHORT, FULL_BREATH_HOLD, FULL_DIFFUSION = 150, 20, 10
SLICES = (16, 20, 24, 28, 32, 36, 40, 44)
SLICE_SHARES = (0.08, 0.1, 0.14, 0.2, 0.18, 0.14, 0.1, 0.06)


@dataclass(frozen=True)
class Site:
    """An imaging centre: how thick its slices are and whether it masks the air."""

    name: str
    share: float
    slice_mm: float
    masked_share: float


SITES = (
    Site("Fenmark", 0.45, 3.0, 0.0),
    Site("Lindholm", 0.40, 4.0, 0.0),
    Site("Westerby", 0.15, 3.0, 0.8),
)
BREATH_HOLD_SITE, DIFFUSION_SITE = "Norrvik", "Brandal"


@dataclass(frozen=True)
class Fault:
    """An artifact to put on a volume: what `mriqa.artifacts.draw` needs."""

    family: Family
    severity: float
    seed: int

    def on(self, grid: Grid, acquisition: Acquisition, *, keep_zeros: bool = False) -> Artifact:
        """The artifact of a volume on `grid`."""
        return draw(
            self.family,
            self.severity,
            grid.shape,
            grid.spacing_mm,
            self.seed,
            acquisition=acquisition,
            keep_zeros=keep_zeros,
        )


@dataclass(frozen=True)
class AbdomenSeries:
    """One Dixon water volume."""

    subject: str
    session: str | None
    person: Person
    site: str
    protocol: str
    grid: Grid
    anatomy_seed: int
    scan: Scan
    fault: Fault | None
    breath_hold: bool | None

    @property
    def artifact(self) -> Artifact | None:
        """The artifact of a degraded series."""
        if self.fault is None:
            return None
        return self.fault.on(
            self.grid,
            # Dixon is a 3D sequence, but many poses in 3D take seconds a volume: in-plane ones do.
            "3d" if self.fault.family is Family.JUMP else "2d",
            # What folds in is signal: no provider masks it.
            keep_zeros=self.scan.masked and self.fault.family is not Family.WRAP,
        )


@dataclass(frozen=True)
class DiffusionSeries:
    """One 4D diffusion series; `faults` by volume."""

    subject: str
    person: Person
    site: str
    head_seed: int
    scan: DiffusionScan
    faults: tuple[Fault | None, ...]

    def artifact(self, volume: int) -> Artifact | None:
        """The artifact of a degraded volume."""
        fault = self.faults[volume]
        return None if fault is None else fault.on(brain_grid(), "2d")


@dataclass(frozen=True)
class HeadSeries:
    """One T1-weighted head; only the graded cohort has some (`graded`)."""

    subject: str
    person: Person
    site: str
    head_seed: int
    scan: HeadScan
    fault: Fault | None

    @property
    def artifact(self) -> Artifact | None:
        """The artifact of a degraded series."""
        return None if self.fault is None else self.fault.on(HEAD_GRID, "2d")


BadKind = Literal[
    "truncated_gzip",
    "zero_bytes",
    "text",
    "nan_filled",
    "constant",
    "too_few_bytes",
    "nan_spacing",
    "wrong_checksum",
]
BAD_INPUTS: dict[BadKind, ErrorCode] = {
    "truncated_gzip": ErrorCode.TRUNCATED,
    "zero_bytes": ErrorCode.EMPTY_FILE,
    "text": ErrorCode.NOT_AN_IMAGE,
    "nan_filled": ErrorCode.ALL_NONFINITE,
    "constant": ErrorCode.CONSTANT,
    "too_few_bytes": ErrorCode.TRUNCATED,
    "nan_spacing": ErrorCode.IMPOSSIBLE_GEOMETRY,
    "wrong_checksum": ErrorCode.CORRUPT_GZIP,
}
"""What is wrong with each bad input, and the error code that its row must get."""


@dataclass(frozen=True)
class BadSeries:
    """A file that cannot be rated."""

    subject: str
    person: Person
    site: str
    kind: BadKind
    seed: int


DemoSeries = AbdomenSeries | DiffusionSeries | HeadSeries | BadSeries


@dataclass(frozen=True)
class DemoPlan:
    """The whole cohort, in the order of the participants table; `name` is that of the cohort."""

    seed: int
    subjects: int
    abdomens: tuple[AbdomenSeries, ...]
    diffusion: tuple[DiffusionSeries, ...] = ()
    bad: tuple[BadSeries, ...] = ()
    heads: tuple[HeadSeries, ...] = ()
    name: str = "demo"

    @property
    def series(self) -> tuple[DemoSeries, ...]:
        """All series of the BIDS dataset."""
        return (*self.abdomens, *self.diffusion, *self.heads, *self.bad)


def plan_demo(seed: int, subjects: int) -> DemoPlan:
    """Draw a cohort with `subjects` abdomens of the first protocol; the other parts scale with it.

    150 subjects come with 20 scanned breath-held and free-breathing, and 10 diffusion series.
    """
    held = max(2, round(subjects * FULL_BREATH_HOLD / FULL_COHORT))
    heads = max(1, round(subjects * FULL_DIFFUSION / FULL_COHORT))
    abdomens = [plan_abdomen(seed, number) for number in range(subjects)]
    for number in range(held):
        abdomens += _plan_breath_hold(seed, number)
    return DemoPlan(
        seed,
        subjects,
        tuple(abdomens),
        tuple(_plan_diffusion(seed, number) for number in range(heads)),
        tuple(_plan_bad(seed, number, kind) for number, kind in enumerate(BAD_INPUTS)),
    )


def _label(group: int, number: int) -> str:
    """Subject labels: the group's digit, then a number from 001."""
    return f"{group}{number + 1:03d}"


def plan_abdomen(seed: int, number: int) -> AbdomenSeries:
    """Draw subject `number` of the first protocol."""
    rng = generator(seed, ABDOMEN, number)
    person = draw_person(rng)
    site = SITES[int(rng.choice(len(SITES), p=[site.share for site in SITES]))]
    grid = Grid(
        (int(rng.choice(SLICES, p=SLICE_SHARES)), *PROTOCOL_A.shape_yx),
        (site.slice_mm, PROTOCOL_A.pixel_mm, PROTOCOL_A.pixel_mm),
        (float(rng.normal(8, 12)), float(rng.normal(0, 5)), float(rng.normal(0, 5))),
    )
    scan = draw_scan(PROTOCOL_A, rng, masked=bool(rng.random() < site.masked_share))
    return AbdomenSeries(
        _label(ABDOMEN, number),
        None,
        person,
        site.name,
        PROTOCOL_A.name,
        grid,
        anatomy_seed=int(rng.integers(2**53)),
        scan=scan,
        fault=_abdomen_fault(seed, number),
        breath_hold=None,
    )


def _abdomen_fault(seed: int, number: int) -> Fault | None:
    """One subject of each three is degraded; each eleven of them show each family once."""
    triple = number // ONE_DEGRADED_OF
    rng = generator(seed, DEGRADED, triple)
    if number % ONE_DEGRADED_OF != int(rng.integers(ONE_DEGRADED_OF)):
        return None
    block, place = divmod(triple, len(DEGRADED_FAMILIES))
    order = generator(seed, FAMILIES_ORDER, block).permutation(len(DEGRADED_FAMILIES))
    family = int(order[place])
    severity = SEVERITIES[(family + block) % len(SEVERITIES)]
    return Fault(DEGRADED_FAMILIES[family], severity, int(rng.integers(2**53)))


def _plan_breath_hold(seed: int, number: int) -> list[AbdomenSeries]:
    """One subject scanned twice: breath-held, and breathing freely."""
    rng = generator(seed, BREATH_HOLD, number)
    person, anatomy = draw_person(rng), int(rng.integers(2**53))
    middle = float(rng.normal(12, 8))
    pair = []
    for session, held in (("bh", True), ("fb", False)):
        centre = (middle + float(rng.normal(0, 1.5)), float(rng.normal(0, 2)), 0.0)
        grid = Grid(
            (24, *PROTOCOL_B.shape_yx), (3.0, PROTOCOL_B.pixel_mm, PROTOCOL_B.pixel_mm), centre
        )
        scan = draw_scan(PROTOCOL_B, rng, masked=False)
        strength = round(float(rng.uniform(0.4, 1.0)), 3)
        fault = None if held else Fault(Family.BREATHING, strength, int(rng.integers(2**53)))
        subject = _label(BREATH_HOLD, number)
        pair.append(
            AbdomenSeries(
                subject, session, person, BREATH_HOLD_SITE, PROTOCOL_B.name, grid, anatomy, scan,
                fault, held,
            )
        )  # fmt: skip
    return pair


def _plan_diffusion(seed: int, number: int) -> DiffusionSeries:
    """Two of three series have one to four degraded volumes."""
    rng = generator(seed, DIFFUSION, number)
    person = draw_person(rng)
    head, scan = int(rng.integers(2**53)), draw_diffusion_scan(rng)
    n_volumes = N_B0 + N_DIRECTIONS
    faults: list[Fault | None] = [None] * n_volumes
    if number % 3 != 2:
        for volume in rng.choice(n_volumes, int(rng.integers(1, 5)), replace=False):
            family = DIFFUSION_FAMILIES[int(rng.integers(len(DIFFUSION_FAMILIES)))]
            severity = SEVERITIES[int(rng.integers(len(SEVERITIES)))]
            faults[int(volume)] = Fault(family, severity, int(rng.integers(2**53)))
    return DiffusionSeries(
        _label(DIFFUSION, number), person, DIFFUSION_SITE, head, scan, tuple(faults)
    )


def _plan_bad(seed: int, number: int, kind: BadKind) -> BadSeries:
    rng = generator(seed, 9, number)
    person = draw_person(rng)
    site = SITES[number % len(SITES)].name
    return BadSeries(_label(9, number), person, site, kind, int(rng.integers(2**53)))


def protocol_name(series: DemoSeries) -> str:
    """`dixonA`, `dixonB`, `diffusion` or `t1w`; empty for a bad input."""
    if isinstance(series, AbdomenSeries):
        return PROTOCOLS[series.protocol].name
    if isinstance(series, HeadSeries):
        return "t1w"
    return "diffusion" if isinstance(series, DiffusionSeries) else ""
