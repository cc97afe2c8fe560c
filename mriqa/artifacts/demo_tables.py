"""The tables of the demo cohort: dataset description, participants, and the truth apart."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from mriqa.artifacts import Artifact
from mriqa.artifacts.demo_names import stem
from mriqa.artifacts.demo_plan import (
    BAD_INPUTS,
    AbdomenSeries,
    BadSeries,
    DemoPlan,
    DiffusionSeries,
    Fault,
    HeadSeries,
    protocol_name,
)

COHORT_NAME = "demo"
TRUTH_COLUMNS = (
    "series_id",
    "volume",
    "subject",
    "family",
    "severity",
    "seed",
    "parameters",
    "protocol",
    "breath_hold",
    "scan",
    "error_code",
)
PARTICIPANT_COLUMNS = {
    "participant_id": {"Description": "Participant of the demo cohort; not a real person."},
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "age": {"Description": "Age at the scan", "Units": "year"},
    "height": {"Description": "Standing height", "Units": "cm"},
    "weight": {"Description": "Body weight", "Units": "kg"},
    "site": {"Description": "Imaging centre (made up)"},
}
README = """# Demo cohort of mriqa

Every image of this dataset is computed: a procedural phantom of the abdomen in the look of Dixon
water volumes (sub-1*), the same on a second scanner, breath-held (ses-bh) and breathing freely
(ses-fb) (sub-2*), a head in diffusion imaging (sub-3*), and files that cannot be read (sub-9*).
No participant is a real person. Some volumes are degraded on purpose; which ones is written in
truth.tsv outside of this dataset.

Made by `mriqa demo-data`; the same seed gives the same files.
"""


def dataset_description(seed: int, format_version: int, name: str = COHORT_NAME) -> dict[str, Any]:
    """dataset_description.json; also marks the folder as the cohort of this seed and format."""
    return {
        "Name": f"mriqa {name} cohort",
        "BIDSVersion": "1.10.0",
        "DatasetType": "raw",
        "License": "CC0",
        "GeneratedBy": [
            {"Name": "mriqa", "Description": f"demo-data, seed {seed}, format {format_version}"}
        ],
    }


def participants_tsv(plan: DemoPlan) -> str:
    """participants.tsv, a row a subject."""
    lines = ["\t".join(PARTICIPANT_COLUMNS)]
    seen: set[str] = set()
    for series in plan.series:
        if series.subject not in seen:
            seen.add(series.subject)
            who = series.person
            values = (f"sub-{series.subject}", who.sex, who.age, who.height_cm, who.weight_kg)
            lines.append("\t".join(map(str, (*values, series.site))))
    return "\n".join(lines) + "\n"


def truth_tsv(plan: DemoPlan) -> str:
    """The truth: a row a 3D series, a row a volume of a 4D series, a row a bad input."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TRUTH_COLUMNS, delimiter="\t", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(truth_rows(plan))
    return text.getvalue()


def truth_rows(plan: DemoPlan) -> Iterator[dict[str, Any]]:
    """Rows of the truth table; `parameters` is the JSON of the artifact, as `apply` takes it.

    `scan` is the JSON of the imperfections that good volumes have as well.
    """
    for series in plan.series:
        row = {
            "series_id": f"{plan.name}_{stem(series)}",
            "subject": series.subject,
            "protocol": protocol_name(series),
        }
        if isinstance(series, AbdomenSeries):
            held = {True: "true", False: "false", None: ""}[series.breath_hold]
            yield (
                row
                | {"breath_hold": held, "scan": _scan_json(series)}
                | _fault_columns(series.fault, series.artifact)
            )
        elif isinstance(series, HeadSeries):
            scan = {"scan": _scan_json(series)}
            yield row | scan | _fault_columns(series.fault, series.artifact)
        elif isinstance(series, DiffusionSeries):
            for volume, fault in enumerate(series.faults):
                artifact = series.artifact(volume)
                yield (
                    row
                    | {"volume": volume, "scan": _scan_json(series)}
                    | _fault_columns(fault, artifact)
                )
        else:
            yield row | _bad_columns(series)


def _scan_json(series: AbdomenSeries | DiffusionSeries | HeadSeries) -> str:
    return json.dumps(asdict(series.scan), sort_keys=True, allow_nan=False)


def _fault_columns(fault: Fault | None, artifact: Artifact | None) -> dict[str, Any]:
    if fault is None or artifact is None:
        return {"family": "none", "severity": 0.0}
    return {
        "family": str(fault.family),
        "severity": fault.severity,
        "seed": fault.seed,
        "parameters": artifact.to_json(),
    }


def _bad_columns(series: BadSeries) -> dict[str, Any]:
    return {
        "family": "bad_input",
        "seed": series.seed,
        "parameters": json.dumps({"kind": series.kind}),
        "error_code": str(BAD_INPUTS[series.kind]),
    }
