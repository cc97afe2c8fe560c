"""Verbs of single files."""

import argparse
from pathlib import Path

from mriqa.cli.arguments import Verbs
from mriqa.errors import UserError


def add_verbs(verbs: Verbs) -> None:
    """Add `metrics`, `export` and `simulate`."""
    _add_metrics(verbs)
    export = verbs.add_parser("export", help="give back a series as the NIfTI it came from")
    export.add_argument("store", type=Path, help="e.g. results/demo/zarr/shard-00007.zarr")
    export.add_argument("series_id")
    export.add_argument("out", type=Path, help="a .nii or .nii.gz file")
    _add_force(export)
    export.set_defaults(verb=_export)

    simulate = verbs.add_parser("simulate", help="put a simulated artifact into one NIfTI")
    simulate.add_argument("source", type=Path)
    simulate.add_argument("target", type=Path)
    simulate.add_argument("--family", required=True, help="breathing, jump, noise, ghosting, ...")
    simulate.add_argument("--severity", type=float, required=True, help="0 (none) to 1 (strong)")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--phase-axis", choices=("y", "x"), help="default: drawn by the seed")
    _add_force(simulate)
    simulate.set_defaults(verb=_simulate)


def _add_metrics(verbs: Verbs) -> None:
    metrics = verbs.add_parser("metrics", help="measure one NIfTI")
    metrics.add_argument("image", type=Path)
    metrics.add_argument(
        "--contrast", type=str.lower, choices=("t1w", "t2w"),
        help="a brain of this weighting: MRIQC's metrics, too",
    )  # fmt: skip
    metrics.add_argument("--mask", type=Path, help="your own brain mask, on the image's grid")
    metrics.add_argument(
        "--probseg", type=Path, nargs=3, metavar=("CSF", "GM", "WM"), help="your own tissue maps"
    )
    metrics.add_argument("--volume", type=int, help="of a 4D image; default: 0, the first")
    metrics.add_argument("--json", action="store_true", help="instead of a table")
    metrics.set_defaults(verb=_metrics)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")


def _refuse_existing(target: Path, parsed: argparse.Namespace) -> None:
    """Scans cannot be replaced: no file is overwritten by a slip of the keyboard."""
    if target.exists() and not parsed.force:
        raise UserError(f"{target}: is there already; choose another name, or add --force")


def _metrics(parsed: argparse.Namespace) -> None:
    import json

    from mriqa.cohort.maps.model import MapPaths
    from mriqa.rating.one_file import WEIGHTINGS, as_table, measure_file

    if parsed.contrast is None and (parsed.mask or parsed.probseg):
        given = "--mask" if parsed.mask else "--probseg"
        raise UserError(f"{given}: add --contrast t1w or t2w; only brains are measured with it")
    paths = MapPaths(parsed.mask, tuple(parsed.probseg) if parsed.probseg else None)
    weighting = WEIGHTINGS.get(parsed.contrast)
    values = measure_file(parsed.image, weighting, paths, volume=parsed.volume)
    print(json.dumps(values, indent=2) if parsed.json else as_table(values))


def _export(parsed: argparse.Namespace) -> None:
    from mriqa.images.export import export_series

    _refuse_existing(parsed.out, parsed)
    export_series(parsed.store, parsed.series_id, parsed.out)


def _simulate(parsed: argparse.Namespace) -> None:
    from mriqa.artifacts import Family
    from mriqa.artifacts.simulate import simulate_file

    _refuse_existing(parsed.target, parsed)
    if parsed.family not in set(Family):
        allowed = ", ".join(family.value for family in Family)
        raise UserError(f"--family: {parsed.family!r} is none of {allowed}")
    picture = simulate_file(
        parsed.source,
        parsed.target,
        family=Family(parsed.family),
        severity=parsed.severity,
        seed=parsed.seed,
        phase_axis=parsed.phase_axis,
    )
    print(f"{parsed.target}\n{picture}")
