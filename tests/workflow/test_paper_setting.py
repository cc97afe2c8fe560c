"""config/simclr_paper.yaml: 40,000 volumes, 8 GPUs, planned but never run here."""

import re
from pathlib import Path

import pytest
import yaml
from test_scale import load_bench
from tiny_cohort import ROOT

from mriqa.config import load_config
from mriqa.run.plan import make_plan
from mriqa.training.manifest import pin_path, read_pinned

PAPER = ROOT / "config" / "simclr_paper.yaml"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a made-up cohort with the sections of the paper, and what Snakemake plans."""
    folder = tmp_path_factory.mktemp("paper")
    bench = load_bench()
    sections = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    kept = {name: value for name, value in sections.items() if name not in ("results", "cohort")}
    config = bench.make_cohort(folder, bench.SHARDS, kept, contrast="dixonW")
    return folder, bench.dry_run(config).output


def test_the_paper_is_one_training_job(planned: tuple[Path, str]) -> None:
    _, output = planned
    for rule, jobs in (("train_method", 1), ("build_bank", 1), ("rate_shard", 500)):
        assert re.search(rf"{rule} +{jobs}\n", output), rule


def test_forty_thousand_volumes_are_pinned(planned: tuple[Path, str]) -> None:
    folder, _ = planned
    section = load_config(folder / "config.yaml").simclr.pretraining
    assert len(read_pinned(pin_path(folder / "results", "simclr", section))) == 40_000


def test_the_setting_is_that_of_the_paper() -> None:
    config = load_config(PAPER)
    learned = config.simclr.pretraining
    assert (learned.encoder, learned.views, learned.epochs) == ("resnet18", "resized_crop", 200)
    assert (learned.max_series, learned.contrasts) == (40_000, ("dixonW",))
    assert learned.warmup_share * learned.epochs == 10
    assert config.simclr.reference.per_class == 20
    assert (config.training.workers, config.training.launcher) == (8, "ray")
    assert learned.batch % config.training.workers == 0


def test_the_job_asks_for_what_eight_workers_need() -> None:
    raw = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    job = make_plan(raw, ROOT).training
    assert job.threads == 8 * (1 + 6)
    asked = {name: job.resources[name] for name in ("nodes", "tasks")}
    assert asked == {"nodes": 1, "tasks": 1}
    raw["training"]["nodes"] = 2
    two = make_plan(raw, ROOT).training
    assert (two.threads, two.resources["nodes"], two.resources["tasks"]) == (28, 2, 2)
