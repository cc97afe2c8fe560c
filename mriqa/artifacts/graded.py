"""`mriqa demo-data --graded`: heads and abdomens with all grades of noise, and artifacts.

What experiments with numeric targets need, and the demo cohort has not: signal-to-noise ratios
spread over a factor of ten, T1-weighted heads, and their true brain masks and tissue maps.

OUT/bids       a BIDS dataset; below derivatives/phantom masks and maps of the heads
OUT/truth.tsv  noise and artifact of each volume
OUT/graded.json written last: what was asked for is there
"""

from dataclasses import replace
from pathlib import Path

from mriqa.artifacts.demo import DemoSummary, check_asked, summary_of, write_cohort
from mriqa.artifacts.demo_folder import only_writer, prepare
from mriqa.artifacts.demo_names import MAPS
from mriqa.artifacts.demo_plan import (
    DEGRADED_FAMILIES,
    SEVERITIES,
    AbdomenSeries,
    DemoPlan,
    Fault,
    HeadSeries,
    plan_abdomen,
)
from mriqa.artifacts.families import Family
from mriqa.artifacts.phantom.canvas import generator
from mriqa.artifacts.phantom.head import draw_head_scan
from mriqa.files import write_json

NAME = "graded"
GRADED = 6
"""In the keys of `generator`."""
SNR = (6.0, 60.0)
DEGRADED_SHARE = 1 / 3
HEAD_FAMILIES = tuple(one for one in DEGRADED_FAMILIES if one is not Family.BREATHING)
README = """# Graded cohort of mriqa

Every image of this dataset is computed: each participant has a T1-weighted head and a Dixon water
volume of the abdomen, with noise of all grades, and in a third of them an artifact. The masks and
tissue maps of the heads in derivatives/phantom are those that they were computed from. No
participant is a real person.

Made by `mriqa demo-data --graded`; the same seed gives the same files.
"""
MAPS_DESCRIPTION = {
    "Name": "tissues of the graded cohort's heads",
    "BIDSVersion": "1.10.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "mriqa"}],
}


def plan_graded(seed: int, subjects: int) -> DemoPlan:
    """Draw a head and an abdomen of each subject; a bigger cohort begins with a smaller one."""
    pairs = [_plan_subject(seed, number) for number in range(subjects)]
    heads, abdomens = zip(*pairs, strict=True)
    return DemoPlan(seed, subjects, tuple(abdomens), heads=tuple(heads), name=NAME)


def make_graded(out: Path, *, seed: int, subjects: int) -> DemoSummary:
    """Write the graded cohort below `out`, or what is missing of it; see `make_demo`."""
    check_asked(seed, subjects)
    plan = plan_graded(seed, subjects)
    with only_writer(out, plan):
        stamp = out / "graded.json"
        stamp.unlink(missing_ok=True)
        prepare(out / "bids", plan)
        written = write_cohort(out, plan, README)
        write_json(out / "bids" / MAPS / "dataset_description.json", MAPS_DESCRIPTION)
        write_json(stamp, {"seed": seed, "subjects": subjects})
    return summary_of(out, plan, real=0, written=written)


def _plan_subject(seed: int, number: int) -> tuple[HeadSeries, AbdomenSeries]:
    abdomen = plan_abdomen(seed, number)
    rng = generator(seed, GRADED, number)
    snr = draw_head_scan(rng, SNR).snr
    graded = replace(
        abdomen,
        scan=replace(abdomen.scan, snr=snr),
        fault=_fault(seed, number, 0, DEGRADED_FAMILIES),
    )
    head = HeadSeries(
        abdomen.subject,
        abdomen.person,
        abdomen.site,
        head_seed=int(rng.integers(2**53)),
        scan=draw_head_scan(rng, SNR),
        fault=_fault(seed, number, 1, HEAD_FAMILIES),
    )
    return head, graded


def _fault(seed: int, number: int, part: int, families: tuple[Family, ...]) -> Fault | None:
    rng = generator(seed, GRADED, number, part)
    is_bad = rng.random() < DEGRADED_SHARE
    family = families[int(rng.integers(len(families)))]
    severity = SEVERITIES[int(rng.integers(len(SEVERITIES)))]
    return Fault(family, severity, int(rng.integers(2**53))) if is_bad else None
