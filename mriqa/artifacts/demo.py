"""`mriqa demo-data`: the demo cohort on disk, the same bytes for the same seed.

OUT/bids      a BIDS dataset: phantoms of abdomen and head, and files that cannot be read
OUT/real      real volumes from package indexes, and real.tsv, a table source
OUT/labels.tsv what three raters say of a part of it, some of it wrong
OUT/truth.tsv what is wrong with each volume; only evaluation reads it
OUT/demo.json written last: what was asked for is there

Every file is complete or absent, so an interrupted run is finished by the next one.
"""

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mriqa.artifacts.demo_folder import FORMAT_VERSION, only_writer, prepare
from mriqa.artifacts.demo_labels import labels_tsv
from mriqa.artifacts.demo_names import file_names
from mriqa.artifacts.demo_plan import BadSeries, DemoPlan, DemoSeries, plan_demo
from mriqa.artifacts.demo_real import NIBABEL, RENAL, fetch_real
from mriqa.artifacts.demo_tables import (
    PARTICIPANT_COLUMNS,
    README,
    participants_tsv,
    truth_tsv,
)
from mriqa.errors import UserError
from mriqa.files import read_object, write_bytes, write_json, write_text
from mriqa.progress import track

INLINE_SERIES = 6
"""So few series are rendered faster here than by processes that must start first."""


@dataclass(frozen=True)
class DemoSummary:
    """What lies in the demo's folder; `written` counts series made by this call."""

    out: Path
    subjects: int
    series: int
    degraded: int
    bad_inputs: int
    real: int
    written: int
    note: str | None = None

    def __str__(self) -> str:
        """One line for a person, and a second one if something was left out."""
        done = f"{self.written} made now" if self.written else "nothing to do"
        text = (
            f"{self.out}: {self.subjects} subjects, {self.series} series "
            f"({self.degraded} with a degraded volume, {self.bad_inputs} unreadable on purpose), "
            f"{self.real} real volumes; {done}"
        )
        return f"{text}\n{self.note}" if self.note else text


def make_demo(out: Path, *, seed: int, subjects: int, download: bool) -> DemoSummary:
    """Write the demo cohort below `out`, or what is missing of it.

    `subjects` counts the abdomens of the first protocol (1 to 5000); the second protocol and the
    diffusion series scale with it. A bigger cohort keeps the files of a smaller one. Raises
    UserError if `out` holds something else, or if another process is writing there.
    """
    check_asked(seed, subjects)
    plan = plan_demo(seed, subjects)
    asked = {"format_version": FORMAT_VERSION, "seed": seed, "subjects": subjects}
    stamp = read_object(out / "demo.json")
    if _is_done(out, plan, asked, stamp, download):
        return summary_of(out, plan, int(stamp["real_volumes"]), 0, stamp.get("note"))
    with only_writer(out, plan):
        return _write_demo(out, plan, asked, download)


def check_asked(seed: int, subjects: int) -> None:
    """Raise UserError for what cannot be made."""
    if not 1 <= subjects <= 5000:
        raise UserError(f"--subjects is {subjects}; it must be 1 to 5000")
    if seed < 0:
        raise UserError(f"--seed is {seed}; it must not be negative")


def _write_demo(out: Path, plan: DemoPlan, asked: dict[str, Any], download: bool) -> DemoSummary:
    (out / "demo.json").unlink(missing_ok=True)
    prepare(out / "bids", plan)
    written = write_cohort(out, plan, README)
    _write_if_changed(out / "labels.tsv", labels_tsv(plan, plan.name))
    real, note = fetch_real(out / "real", download=download)
    if note:
        note = f"demo-data: {note}; the demo goes on without them"
        if download:
            note += f" (to try again, delete {out / 'demo.json'} first)"
        sys.stderr.write(f"{note}\n")
    stamp = {**asked, "download": download, "real_volumes": len(real), "note": note}
    write_json(out / "demo.json", stamp)
    return summary_of(out, plan, len(real), written, note)


def write_cohort(out: Path, plan: DemoPlan, readme: str) -> int:
    """Write the images that are missing, and the tables; how many series were missing."""
    missing = [series for series in plan.series if _lacks(out / "bids", series)]
    render(out / "bids", missing, workers=len(os.sched_getaffinity(0)))
    _write_if_changed(out / "bids" / "README", readme)
    _write_if_changed(out / "bids" / "participants.json", _json_text(PARTICIPANT_COLUMNS))
    _write_if_changed(out / "bids" / "participants.tsv", participants_tsv(plan))
    _write_if_changed(out / "truth.tsv", truth_tsv(plan))
    return len(missing)


def _is_done(
    out: Path, plan: DemoPlan, asked: dict[str, Any], stamp: dict[str, Any], download: bool
) -> bool:
    if any(stamp.get(key) != value for key, value in asked.items()):
        return False
    if download and not stamp.get("download"):
        return False
    rest = [out / "truth.tsv", out / "labels.tsv", out / "real" / "real.tsv"]
    rest.append(out / "bids" / "participants.tsv")
    if int(stamp["real_volumes"]) == len(RENAL) + len(NIBABEL):
        rest += [out / "real" / volume.name for volume in (*RENAL, *NIBABEL)]
    return all(path.is_file() for path in rest) and not any(
        _lacks(out / "bids", series) for series in plan.series
    )


def _lacks(bids: Path, series: DemoSeries) -> bool:
    return not all((bids / name).is_file() for name in file_names(series))


def render(bids: Path, series: Sequence[DemoSeries], workers: int) -> None:
    """Render series in parallel and write their files below `bids`."""
    if workers < 2 or len(series) <= INLINE_SERIES:
        for one in track(series, len(series), "demo-data"):
            write_series(bids, one)
        return
    # Spawned, not forked: threads of a library may hold locks at the moment of a fork.
    context = multiprocessing.get_context("spawn")
    count = min(workers, len(series))
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent)
    try:
        done = pool.map(write_series, [bids] * len(series), series)
        for _ in track(done, len(series), "demo-data"):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let a worker end when its parent is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def write_series(bids: Path, series: DemoSeries) -> None:
    """Render one series and write its files; the image comes last."""
    # nibabel takes half a second to import, which a call with nothing to do need not wait for.
    from mriqa.artifacts.demo_images import make_files

    for name, content in make_files(series).items():
        write_bytes(bids / name, content)


def _json_text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _write_if_changed(path: Path, text: str) -> None:
    """Keep the file's time where nothing changed, so that nothing reruns."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def summary_of(
    out: Path, plan: DemoPlan, real: int, written: int, note: str | None = None
) -> DemoSummary:
    """What lies in `out` now."""
    degraded = sum(one.fault is not None for one in plan.abdomens)
    degraded += sum(one.fault is not None for one in plan.heads)
    degraded += sum(any(one.faults) for one in plan.diffusion)
    return DemoSummary(
        out,
        subjects=len({series.subject for series in plan.series}),
        series=len(plan.series),
        degraded=degraded,
        bad_inputs=sum(isinstance(series, BadSeries) for series in plan.series),
        real=real,
        written=written,
        note=note,
    )
