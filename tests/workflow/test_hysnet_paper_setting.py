"""config/hysnet_paper.yaml: 3,257 T1w volumes, 8 GPUs, planned but never run here."""

import re
from pathlib import Path

import pytest
import yaml
from test_scale import load_bench
from tiny_cohort import ROOT

from mriqa.config import load_config
from mriqa.run.plan import make_plan
from mriqa.training.manifest import pin_path, read_pinned

PAPER = ROOT / "config" / "hysnet_paper.yaml"
SHARDS = 33


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a made-up cohort with the sections of the paper, and what Snakemake plans."""
    folder = tmp_path_factory.mktemp("paper")
    bench = load_bench()
    sections = yaml.safe_load(PAPER.read_text(encoding="utf-8"))
    kept = {name: value for name, value in sections.items() if name not in ("results", "cohort")}
    table = folder / "group_T1w.tsv"
    kept["hysnet"]["learning"]["target"]["table"] = table.name
    names = [f"sub-{number:06d}_T1w" for number in range(SHARDS * bench.SERIES)]
    rows = [f"{name}\t0.5\t{5 + place % 7}" for place, name in enumerate(names)]
    table.write_text("\n".join(["bids_name\tcjv\tsnr_total", *rows]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = bench.make_cohort(folder, SHARDS, kept)
    return folder, bench.dry_run(config).output


def test_the_paper_is_one_training_job_and_needs_no_bank(planned: tuple[Path, str]) -> None:
    _, output = planned
    for rule, jobs in (("train_method", 1), ("score_shard", SHARDS), ("rate_shard", SHARDS)):
        assert re.search(rf"{rule} +{jobs}\n", output), rule
    assert "build_bank" not in output
    assert "propose_references" not in output


def test_all_volumes_are_pinned(planned: tuple[Path, str]) -> None:
    folder, _ = planned
    section = load_config(folder / "config.yaml").hysnet.learning
    assert len(read_pinned(pin_path(folder / "results", "hysnet", section))) == 3300


def test_the_setting_is_that_of_the_paper() -> None:
    config = load_config(PAPER)
    learned, patches = config.hysnet.learning, config.hysnet.learning.patches
    assert (learned.net.backbone, learned.net.dimensions, learned.net.hyper) == (
        "resnet18",
        3,
        True,
    )
    assert (patches.sides, patches.steps, patches.per_volume) == ((96,) * 3, (48,) * 3, 9)
    assert (learned.epochs, learned.learning_rate, learned.halve_epochs) == (50, 1e-4, 10)
    assert (learned.target.column, learned.contrasts) == ("snr_total", ("T1w",))
    assert (config.cohort.split.train, config.cohort.split.test) == (0.5, 0.5)
    assert (config.training.workers, config.training.launcher) == (8, "ray")
    assert learned.batch % config.training.workers == 0


def test_the_job_asks_for_what_eight_workers_need() -> None:
    job = make_plan(yaml.safe_load(PAPER.read_text(encoding="utf-8")), ROOT).training
    assert job.threads == 8 * (1 + 4)
