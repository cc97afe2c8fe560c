"""What the Snakefile has to know: settings of the rules, their shards and resources.

Plain Python without Snakemake, so that it can be tested apart from it.
"""

import ast
import hashlib
import importlib.util
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

import mriqa
from mriqa.cohort.manifest import SHARD_INDEX_NAME, shard_name
from mriqa.config import CohortSection, Config, check_config, section_json
from mriqa.errors import UserError
from mriqa.run.lock import hold_for_process

STAGE_MODULES = {
    "convert": "mriqa.images.store",
    "score": "mriqa.rating.score",
    "rating": "mriqa.rating.publish",
    "report": "mriqa.report.page",
    "evaluation": "mriqa.evaluation.artifacts",
}
"""Where the FORMAT_VERSION of a stage stands, by section of the configuration."""

ROOT_VARIABLE = "MRIQA_ROOT"
MINUTES_AT_LEAST = 20
MIB_PER_MINUTE = {"convert": 200, "score": 60}
"""Source bytes. One core was measured to do some 6000 and 1700: a slow disk must not end a job."""

MEMORY_GROWS_TO = 8.0
"""Times the configured memory that the first attempt at a huge series gets at most."""

Resource = Callable[..., int]


class Wildcards(Protocol):
    """Of a rule with one shard a job."""

    shard: str


@dataclass(frozen=True)
class ShardLoad:
    """What one shard holds."""

    n_series: int
    size_bytes: int
    largest_bytes: int


@dataclass(frozen=True)
class Plan:
    """The configuration as the rules see it; paths absolute."""

    config: Config
    root: Path

    @property
    def results(self) -> Path:
        """Folder of everything that is written."""
        return self.root / self.config.results

    @property
    def config_json(self) -> str:
        """The whole configuration, for `mriqa index`; its paths are relative to `root`."""
        return section_json(self.config)

    @property
    def truth(self) -> str | None:
        """Absolute path of the truth table, if there is one."""
        truth = self.config.evaluation.truth
        return None if truth is None else str(self.root / truth)

    @property
    def has_truth(self) -> bool:
        """Whether ratings are compared with a truth table."""
        return self.config.evaluation.truth is not None

    @property
    def index_mark(self) -> str:
        """File that says that the cohort was indexed with these settings, relative to results."""
        return str(index_mark(self.config.cohort))

    def is_indexed(self) -> bool:
        """Whether the shards on disk are those of this configuration."""
        return (self.results / self.index_mark).is_file()

    @property
    def loads(self) -> dict[str, ShardLoad]:
        """The shards that have series, by name (`shard-00007`)."""
        return read_loads(self.results)

    def shards(self) -> list[str]:
        """Names of the shards that have series, in order."""
        return list(self.loads)

    def settings(self, section: str) -> str:
        """One section as canonical JSON: equal settings rerun nothing."""
        value = getattr(self.config, section)
        if section == "evaluation" and self.truth:
            value = value.model_copy(update={"truth": Path(self.truth)})
        return section_json(value)

    def format_version(self, section: str) -> int:
        """FORMAT_VERSION of the module behind the section's stage."""
        return format_version(STAGE_MODULES[section])

    def threads(self, stage: str) -> int:
        """Threads of a job of `convert` or `score`."""
        return int(getattr(self.config.resources, f"{stage}_threads"))

    def mem_mb(self, stage: str) -> Resource:
        """Memory of a job, as Snakemake calls for it: grows with every attempt.

        Shards are of one size, and jobs keep within what they are given, so all get the same; but
        one series may be larger than a whole shard should be, and a volume of it must fit.
        """
        first = int(getattr(self.config.resources, f"{stage}_mem_mb"))
        usual_bytes = self.config.cohort.shard_mb * 2**20

        def memory(wildcards: Wildcards, attempt: int) -> int:
            shard = getattr(wildcards, "shard", None)  # `merge` and training have none
            largest = self.loads[shard].largest_bytes if shard in self.loads else 0
            share = min(max(1.0, largest / usual_bytes), MEMORY_GROWS_TO)
            return round(first * share) * attempt

        return memory

    def runtime(self, stage: str) -> Resource:
        """Minutes that a job may take, as Snakemake calls for it: by bytes, and by attempt."""

        def minutes(wildcards: Wildcards, attempt: int) -> int:
            if stage not in MIB_PER_MINUTE:
                return (MINUTES_AT_LEAST + len(self.loads) // 10) * attempt
            load = self.loads.get(wildcards.shard, ShardLoad(0, 0, 0))
            mib = load.size_bytes / 2**20
            return (MINUTES_AT_LEAST + round(mib / MIB_PER_MINUTE[stage])) * attempt

        return minutes

    def hold_results(self) -> None:
        """Hold the results folder until this process ends, unless `mriqa run` already does."""
        hold_for_process(self.results)


def find_root(is_main: bool) -> Path:
    """The folder that the user's command was run in; the configuration's paths start there.

    Jobs on other machines start in the results folder or elsewhere: they get it from the
    environment, where the main process of Snakemake has put it.
    """
    if is_main:
        os.environ[ROOT_VARIABLE] = str(Path.cwd())
    return Path(os.environ[ROOT_VARIABLE])


def make_plan(raw: dict[str, Any], root: Path) -> Plan:
    """Check the configuration that Snakemake has read; raises ConfigError."""
    if not raw:
        raise UserError("no configuration: add `--configfile config/demo.yaml`, or your own")
    return Plan(check_config(raw, "configuration"), root)


def index_mark(section: CohortSection) -> Path:
    """Name, below the results folder, of the mark of a cohort indexed with `section`."""
    digest = hashlib.sha256(section_json(section).encode()).hexdigest()[:12]
    return Path("shards") / f"indexed-{digest}.txt"


def read_loads(results: Path) -> dict[str, ShardLoad]:
    """What the shards hold, by name, from `shards/index.parquet`; empty before the first index."""
    path = results / "shards" / SHARD_INDEX_NAME
    try:
        return _read_loads(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return {}


@cache
def _read_loads(path: Path, mtime_ns: int) -> dict[str, ShardLoad]:
    rows = (
        pq.ParquetFile(path)
        .read(columns=["shard", "n_series", "bytes", "largest_bytes"])
        .to_pylist()
    )
    return {
        shard_name(row["shard"]): ShardLoad(row["n_series"], row["bytes"], row["largest_bytes"])
        for row in rows
        if row["n_series"] > 0
    }


def shell_prefix(python: str) -> str:
    """Shell text that makes `mriqa` in a rule this very package, whatever PATH says.

    `-P`: no folder of the results (`zarr/`) may stand in for a library. Braces are doubled because
    Snakemake formats the text.
    """
    source = shlex.quote(str(Path(mriqa.__file__).resolve().parent.parent))
    call = f'PYTHONPATH={source} {shlex.quote(python)} -P -m mriqa "$@"'
    return f"mriqa() {{{{ {call.replace('{', '{{').replace('}', '}}')}; }}}}; "


@cache
def format_version(module: str) -> int:
    """The constant FORMAT_VERSION of a module, read without importing it (and Zarr with it)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise UserError(f"{module} is missing: this installation of mriqa is not complete")
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if names == ["FORMAT_VERSION"] and isinstance(node.value.value, int):
                return node.value.value
    raise UserError(f"{module} has no FORMAT_VERSION: state it, as a whole number")
