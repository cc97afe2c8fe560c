"""What the Snakefile has to know: settings of the rules, their shards and resources.

Plain Python without Snakemake, so that it can be tested apart from it.
"""

import hashlib
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

import mriqa
from mriqa.cohort.manifest import SHARD_INDEX_NAME, shard_name
from mriqa.cohort.maps.model import FOLDER
from mriqa.config import Config, TrainingSection, check_config, section_json
from mriqa.errors import UserError
from mriqa.labels.publish import PROBLEMS
from mriqa.labels.reading import RATINGS_FILE
from mriqa.run.learned import Learned
from mriqa.run.lock import hold_for_process
from mriqa.run.versions import format_version

STAGE_MODULES = {
    "convert": "mriqa.images.store",
    "score": "mriqa.rating.score",
    "rating": "mriqa.rating.publish",
    "report": "mriqa.report.page",
    "evaluation": "mriqa.evaluation.artifacts",
    "experiment": "mriqa.evaluation.simclr.experiment",
    "hysnet_tables": "mriqa.evaluation.hysnet.experiment",
}
"""Where the FORMAT_VERSION of a stage stands, by section of the configuration."""

ROOT_VARIABLE = "MRIQA_ROOT"
MINUTES_AT_LEAST = 20
MINUTES_OF_BANK = 240
"""References of some 24 strata, each with its simulated copies, embedded on one core."""

MIB_PER_MINUTE = {"convert": 200, "score": 60, "rate": 10}
"""Source bytes. One core was measured to do some 6000, 1700 and 250: a slow disk must not end a
job."""

MEMORY_GROWS_TO = 8.0
"""Times the configured memory that the first attempt at a huge series gets at most."""

MEMORY_AS = {"reference": "rate"}
"""Stages that get the memory of another."""

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
class TrainingJob:
    """What a training job asks for; nothing of it changes what is learned."""

    section: TrainingSection

    @property
    def threads(self) -> int:
        """CPUs of one machine: for its share of the workers and of what reads slices for them."""
        workers = -(-self.section.workers // self.section.nodes)
        return workers * (self.section.threads + self.section.feed_workers)

    @property
    def resources(self) -> dict[str, Resource | int]:
        """Memory, minutes, and of a SLURM job `nodes` and `tasks`: one a machine."""
        nodes = self.section.nodes
        return {"mem_mb": self.mem_mb, "runtime": self.runtime, "nodes": nodes, "tasks": nodes}

    def mem_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Memory of one machine, as Snakemake calls for it."""
        return self.section.mem_mb * attempt

    def runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Minutes; what is not done by then goes on at the next attempt, from its checkpoint."""
        return self.section.runtime_minutes * attempt


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
    def hysnet_experiments(self) -> str | None:
        """Absolute path of the settings of HyS-Net's tables, if there is one."""
        path = self.config.evaluation.hysnet
        return None if path is None else str(self.root / path)

    @property
    def hysnet_learning(self) -> str:
        """How the networks of HyS-Net's tables learn, as canonical JSON."""
        return section_json(self.config.hysnet.learning)

    @property
    def has_truth(self) -> bool:
        """Whether ratings are compared with a truth table."""
        return self.config.evaluation.truth is not None

    @property
    def experiments(self) -> tuple[str, ...]:
        """Learned methods that are tried on simulated artifacts, as the truth says what is good."""
        return self.learned.banked if self.has_truth else ()

    @property
    def index_mark(self) -> str:
        """File that says that the cohort was indexed with these settings, relative to results."""
        return str(index_mark(self.config))

    def is_indexed(self) -> bool:
        """Whether shards and lists of training series on disk are those of this configuration."""
        return (self.results / self.index_mark).is_file() and not self.learned.unpinned()

    @cached_property
    def learned(self) -> Learned:
        """The learned methods that are switched on."""
        return Learned(self.config, self.root)

    def untrained(self) -> list[str]:
        """Methods whose model may be due: also where indexing, still to come, pins anew."""
        if self.config.training.retrain and not self.is_indexed():
            return [one for one in self.methods if self.learned.imported(one) is None]
        return self.learned.untrained()

    def unbanked(self) -> list[str]:
        """Methods whose bank may be due: all, where indexing may still find references changed."""
        return self.learned.unbanked() if self.is_indexed() else list(self.learned.banked)

    @property
    def methods(self) -> tuple[str, ...]:
        """Learned methods that are switched on."""
        return self.learned.methods

    @property
    def loads(self) -> dict[str, ShardLoad]:
        """The shards that have series, by name (`shard-00007`)."""
        return read_loads(self.results)

    def shards(self) -> list[str]:
        """Names of the shards that have series, in order."""
        return list(self.loads)

    @property
    def config_here(self) -> Config:
        """The configuration as a job needs it, which runs in the results folder."""
        own = self.config.evaluation
        paths = {"truth": own.truth, "hysnet": own.hysnet, "elsewhere": own.elsewhere}
        evaluation = own.model_copy(
            update={name: path and self.root / path for name, path in paths.items()}
        )
        # what HyS-Net's tables are of need not be switched on
        methods = {one: self.learned.section_here(one) for one in {*self.methods, "hysnet"}}
        return self.config.model_copy(
            update={"results": Path(), "evaluation": evaluation, **methods}
        )

    def settings(self, section: str) -> str:
        """One section as canonical JSON: equal settings rerun nothing."""
        value = getattr(self.config, section)
        if section == "evaluation":  # without what the comparison with the truth does not read
            truth = None if self.truth is None else Path(self.truth)
            value = value.model_copy(update={"truth": truth, "hysnet": None, "elsewhere": None})
        return section_json(value)

    def format_version(self, section: str) -> int:
        """FORMAT_VERSION of the module behind the section's stage."""
        return format_version(STAGE_MODULES[section])

    @property
    def training(self) -> TrainingJob:
        """What a training job asks for."""
        return TrainingJob(self.config.training)

    def method_version(self, method: str, part: str) -> int:
        """FORMAT_VERSION of a part of a method, such as `score`."""
        return format_version(f"mriqa.methods.{method}.{part}")

    def threads(self, stage: str) -> int:
        """Threads of a job of `convert`, `score` or `rate`."""
        return int(getattr(self.config.resources, f"{stage}_threads"))

    def resources(self, stage: str) -> dict[str, Resource]:
        """Memory and minutes of a job."""
        return {"mem_mb": self.mem_mb(stage), "runtime": self.runtime(stage)}

    def mem_mb(self, stage: str) -> Resource:
        """Memory of a job, as Snakemake calls for it: grows with every attempt.

        Shards are of one size, and jobs keep within what they are given, so all get the same; but
        one series may be larger than a whole shard should be, and a volume of it must fit.
        """
        stage = MEMORY_AS.get(stage, stage)
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
                first = MINUTES_OF_BANK if stage == "reference" else MINUTES_AT_LEAST
                return (first + len(self.loads) // 10) * attempt
            load = self.loads.get(wildcards.shard, ShardLoad(0, 0, 0))
            mib = load.size_bytes / 2**20
            return (MINUTES_AT_LEAST + round(mib / MIB_PER_MINUTE[stage])) * attempt

        return minutes

    def brain_maps(self, shard: str) -> list[str]:
        """The list of the user's brain masks and tissue maps of a shard, if there are any.

        An input of its score job alone, relative to results; the files that it names are none: it
        holds their sizes and times.
        """
        name = str(FOLDER / f"{shard}.parquet")
        return [name] if (self.results / name).is_file() else []

    def labels_digest(self) -> str:
        """Of the labels and of what was wrong with them, which the report shows."""
        told = hashlib.sha256()
        for file in (RATINGS_FILE, PROBLEMS):
            path = self.results / file
            told.update(path.read_bytes() if path.is_file() else b"")
        return told.hexdigest()[:12]

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


def index_mark(config: Config) -> Path:
    """Name, below the results folder, of the mark of a cohort indexed with this configuration.

    It stands for what indexing follows: the sections of the cohort, of the labels and of the
    brain maps with the contrasts that they are of, and of the methods that are switched on what
    they learn, whose training series are pinned with it, or whose model they use.
    """
    learned = Learned(config, Path())
    sections = [section_json(config.cohort), *map(section_json, config.labels)]
    if config.brain_maps:
        sections += [section_json(config.score.brain), *map(section_json, config.brain_maps)]
    for method in learned.methods:
        source = learned.imported(method)
        sections.append(str(source) if source else section_json(learned.learning(method).identity))
    digest = hashlib.sha256("\n".join(sections).encode()).hexdigest()[:12]
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


def shell_prefix(python: str, plan: Plan) -> str:
    """Shell text that makes `mriqa` in a rule this very package, whatever PATH says.

    `-P`: no folder of the results (`zarr/`) may stand in for a library. Sections that jobs are told
    of, but that make none due again, are shell variables. Braces are doubled because Snakemake
    formats the text.
    """
    source = shlex.quote(str(Path(mriqa.__file__).resolve().parent.parent))
    call = f'PYTHONPATH={source} {shlex.quote(python)} -P -m mriqa "$@"'
    config = plan.config
    sections = {"TRAINING": config.training, "RATING": config.rating, "CONFIG": plan.config_here}
    told = [f"{name}={shlex.quote(section_json(value))}; " for name, value in sections.items()]
    text = f"mriqa() {{ {call}; }}; {''.join(told)}"
    return text.replace("{", "{{").replace("}", "}}")
