"""What a run ends with: counts, where the tables are, and a question put to them."""

import shlex
import sys
from pathlib import Path

import pyarrow.parquet as pq

from mriqa.config import Config
from mriqa.errors import MriqaError
from mriqa.files import read_object
from mriqa.run.learned import Learned
from mriqa.tables.query import run_query

QUESTION = (
    "SELECT contrast, count(*) AS volumes, count(*) FILTER (WHERE flag) AS flagged, "
    "round(median(quality_score), 2) AS median_score FROM volumes GROUP BY contrast ORDER BY 1"
)


def describe_results(config: Config) -> str:
    """The last words of a finished run."""
    results = config.results
    row = last_run(results)
    counts = (
        f"{row['n_indexed']} series: {row['n_ok']} rated, {row['n_failed']} failed, "
        f"{row['n_excluded']} excluded, {row['n_no_reference']} without reference"
    )
    lines = [
        counts,
        f"tables: {results / 'tables'}   report: {results / 'report' / 'index.html'}",
    ]
    if config.evaluation.truth is not None:
        lines.append(f"evaluation: {results / 'evaluation'}")
    lines += _unused_references(config)
    question = f'{_own_command()} query {shlex.quote(str(results))} "{QUESTION}"'
    lines += ["", f"$ {question}", run_query(results, QUESTION)]
    return "\n".join(lines)


def _unused_references(config: Config) -> list[str]:
    """A line for each list of references of which not all is used."""
    learned, said = Learned(config, Path()), []
    for method, model_id in learned.model_ids().items():
        bank = read_object(config.results / "models" / method / model_id / "bank" / "bank.json")
        n_lines = len(bank.get("notes", ()))
        n_doubtful = sum(len(one.get("dropped", ())) for one in bank.get("strata", ()))
        parts = [f"lines that cannot be used: {n_lines}"] if n_lines else []
        parts += [f"doubtful volumes, not used: {n_doubtful}"] if n_doubtful else []
        if parts:
            path = config.results / learned.reference_list(method)
            said.append(f"references: {path}: {'; '.join(parts)}; see the report")
    return said


def _own_command() -> str:
    """How this program was called, to be copied into the same shell."""
    called = sys.argv[0]
    return "python -m mriqa" if called.endswith("__main__.py") else shlex.quote(called)


def check_failed_fraction(config: Config) -> None:
    """Raise MriqaError if more series failed than the configuration allows; the tables stand."""
    row = last_run(config.results)
    failed, indexed = int(row["n_failed"]), int(row["n_indexed"])
    allowed = config.rating.max_failed_fraction
    if indexed and failed / indexed > allowed:
        raise MriqaError(
            f"{failed} of {indexed} series failed, more than rating.max_failed_fraction "
            f"{allowed:g} allows; see {config.results / 'tables' / 'failures.parquet'}"
        )


def last_run(results: Path) -> dict[str, int]:
    """Counts of the run that wrote the tables: not always the latest by the clock."""
    tables = results / "tables"
    volumes = pq.ParquetFile(tables / "volumes.parquet")
    run_id = next(volumes.iter_batches(1, columns=["run_id"]))["run_id"][0].as_py()
    runs = {
        row["run_id"]: row for row in pq.ParquetFile(tables / "runs.parquet").read().to_pylist()
    }
    return {key: value for key, value in runs[run_id].items() if key.startswith("n_")}
