"""HyS-Net through the Snakefile: trained once, and what growth and other settings do to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_cohort import (
    CONFIG,
    HYSNET,
    LOCAL,
    Cohort,
    changed,
    stages,
    write_participants,
    write_subject,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MODELS = ("models/*/*/*", "training/**/*")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Cohort]:
    """Seven subjects in three shards, before their first run."""
    bids = tmp_path / "bids"
    for number in range(7):
        write_subject(bids, number, noise=8.0 + 2 * number)
    write_participants(bids, dict.fromkeys(range(7), 40))
    (bids / "dataset_description.json").write_text('{"Name": "tiny", "BIDSVersion": "1.9.0"}')
    (tmp_path / "withdrawn.txt").write_text("")
    (tmp_path / "config.yaml").write_text(CONFIG + HYSNET)
    cohort = Cohort(tmp_path)
    yield cohort
    cohort.stop()


def models(cohort: Cohort) -> set[str]:
    return {path.name for path in cohort.results.glob("models/hysnet/hysnet-*")}


def targets(cohort: Cohort) -> set[str | None]:
    return {row["hysnet_target"] for row in cohort.tables()["volumes"].to_pylist()}


def test_trained_once_and_rated_again_only_where_something_changed(small: Cohort) -> None:
    small.snakemake("--profile", LOCAL)
    (first,) = models(small)
    rows = small.tables()["volumes"].to_pylist()
    assert all(row["hysnet_prediction"] is not None for row in rows)
    assert {row["rating_source"] for row in rows} == {"metrics"}
    page = (small.results / "report" / "index.html").read_text()
    assert f"hysnet ({first}), which does not rate" in page
    before = small.mtimes()
    assert "nothing to do" in small.run()
    assert changed(before, small.mtimes()) == set()

    kept = small.mtimes(*MODELS)
    write_subject(small.folder / "bids", 8, noise=9.0)  # growth: a new shard is rated
    assert stages(small.run()) == {"convert", "score", "rate", "merge", "report"}
    assert changed(kept, small.mtimes(*MODELS)) == set()

    measured = small.mtimes("zarr/**/*", "scores/shard-*")
    small.edit_config("epochs: 2", "epochs: 3")
    assert stages(small.run()) == {"train", "rate", "merge", "report"}
    assert changed(measured, small.mtimes("zarr/**/*", "scores/shard-*")) == set()
    assert len(models(small)) == 2

    numbers = "".join(f"sub-{number:02d}_T1w\t{number}\n" for number in range(7))
    table = small.folder / "group_T1w.tsv"
    table.write_text(f"bids_name\tsnr_total\n{numbers}")
    small.edit_config("  learning:\n", "  learning:\n    target: {table: group_T1w.tsv, column: "
                      "snr_total}\n")  # fmt: skip
    assert stages(small.run()) == {"train", "rate", "merge", "report"}
    assert targets(small) == {"snr_total"}
    table.write_text(f"bids_name\tsnr_total\n{numbers}sub-99_T1w\t8\n")
    assert "nothing to do" in small.run()


def test_contrasts_that_must_not_be_pooled_stop_it_before_anything_is_done(small: Cohort) -> None:
    path = next((small.folder / "bids").rglob("sub-00_T1w.nii.gz"))
    for number in range(7):
        folder = small.folder / "bids" / f"sub-{number:02d}" / "anat"
        (folder / f"sub-{number:02d}_T2w.nii.gz").write_bytes(path.read_bytes())
    output = small.run(status=2)
    assert "hysnet.learning.contrasts: not set, but there are series of 2 contrasts" in output
    assert not (small.results / "zarr").exists()
