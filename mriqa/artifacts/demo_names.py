"""BIDS names of the demo cohort's files."""

from pathlib import PurePosixPath

from mriqa.artifacts.demo_plan import (
    AbdomenSeries,
    BadSeries,
    DemoSeries,
    DiffusionSeries,
    HeadSeries,
)

MAPS = PurePosixPath("derivatives/phantom")
"""Where the brain masks and tissue maps of heads lie."""
MAP_SUFFIXES = ("desc-brain_mask", "label-CSF_probseg", "label-GM_probseg", "label-WM_probseg")


def stem(series: DemoSeries) -> str:
    """The BIDS name without extension; `demo_` before it is the series id."""
    if isinstance(series, DiffusionSeries):
        return f"sub-{series.subject}_dwi"
    if isinstance(series, HeadSeries):
        return f"sub-{series.subject}_T1w"
    session = series.session if isinstance(series, AbdomenSeries) else None
    return f"sub-{series.subject}{f'_ses-{session}' if session else ''}_acq-dixonW_T1w"


def folder(series: DemoSeries) -> PurePosixPath:
    """Where the series lies below the dataset's root."""
    if isinstance(series, DiffusionSeries):
        return PurePosixPath(f"sub-{series.subject}/dwi")
    if isinstance(series, AbdomenSeries) and series.session:
        return PurePosixPath(f"sub-{series.subject}/ses-{series.session}/anat")
    return PurePosixPath(f"sub-{series.subject}/anat")


def file_names(series: DemoSeries) -> list[str]:
    """Paths of the series' files below the dataset's root; the image comes last."""
    kinds = [".json", ".nii.gz"]
    if isinstance(series, DiffusionSeries):
        kinds = [".json", ".bval", ".bvec", ".nii.gz"]
    if isinstance(series, BadSeries) and series.kind == "too_few_bytes":
        kinds = [".json", ".nii"]
    of_maps = [str(MAPS / folder(series) / name) for name in _map_names(series)]
    return of_maps + [str(folder(series) / (stem(series) + kind)) for kind in kinds]


def _map_names(series: DemoSeries) -> list[str]:
    if not isinstance(series, HeadSeries):
        return []
    return [f"sub-{series.subject}_{suffix}.nii.gz" for suffix in MAP_SUFFIXES]
