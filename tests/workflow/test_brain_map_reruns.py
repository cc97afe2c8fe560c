"""The user's brain masks in a real run: a changed mask scores its own shard anew, nothing else."""

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny_cohort import LOCAL, Cohort, changed, stages

SECTIONS = """\
score: {brain: {t1w: [T1w]}}
brain_maps: [{kind: derivatives, path: derivatives}]
rating:"""
OF_SHARDS = ("shards/shard*", "convert/*", "zarr/**/*", "scores/*", "brain_maps/shard*")
MASKED = range(3, 8)


def write_mask(cohort: Cohort, number: int, radius: float = 10.0) -> None:
    subject = f"sub-{number:02d}"
    path = cohort.folder / "derivatives" / subject / "anat" / f"{subject}_desc-brain_mask.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y, _ = np.mgrid[:32, :32, :24]
    inside = ((x - 16) ** 2 + (y - 16) ** 2 < radius**2).astype(np.uint8)
    nib.save(nib.Nifti1Image(inside, np.diag([2.0, 2.0, 4.0, 1.0])), path)


def sources(cohort: Cohort) -> dict[str, str | None]:
    rows = cohort.tables()["volumes"].to_pylist()
    return {row["subject"]: row["brain_source"] for row in rows}


def shard_of(cohort: Cohort, subject: str) -> str:
    for path in (cohort.results / "shards").glob("shard-*"):
        if subject in pq.ParquetFile(path).read(columns=["subject"])["subject"].to_pylist():
            return path.stem
    raise AssertionError(subject)


@pytest.fixture
def masked(cohort: Cohort) -> Cohort:
    """After a run with masks of five of eight subjects."""
    for number in MASKED:
        write_mask(cohort, number)
    cohort.edit_config("rating:", SECTIONS)
    before = cohort.mtimes("shards/*", "convert/*", "zarr/**/*")
    output = cohort.run()
    assert "index: brain maps found of 5 of 8 brains" in output
    assert stages(output) == {"score", "merge", "report"}
    after = cohort.mtimes("shards/*", "convert/*", "zarr/**/*")
    assert {name for name in changed(before, after) if "indexed-" not in name} == set()
    assert sources(cohort) == {
        f"{number:02d}": "mask" if number in MASKED else "own" for number in range(8)
    }
    return cohort


def test_masks_score_their_shards_and_nothing_else(masked: Cohort) -> None:
    assert "nothing to do" in masked.run()

    before, values = masked.mtimes(*OF_SHARDS), masked.tables()["volumes"].to_pylist()
    write_mask(masked, 6, radius=9.0)
    assert stages(masked.run()) == {"score", "merge", "report"}
    shard = shard_of(masked, "06")
    assert changed(before, masked.mtimes(*OF_SHARDS)) == {
        f"scores/{shard}.parquet", f"brain_maps/{shard}.parquet"}  # fmt: skip
    new = masked.tables()["volumes"].to_pylist()
    differs = [one["subject"] for one, old in zip(new, values, strict=True) if one != old]
    assert differs == ["06"]

    before = masked.mtimes(*OF_SHARDS)
    of_shard = pq.read_table(masked.results / "brain_maps" / f"{shard_of(masked, '03')}.parquet")
    (masked.folder / "derivatives/sub-03/anat/sub-03_desc-brain_mask.nii.gz").unlink()
    assert stages(masked.run()) == {"score", "merge", "report"}
    shard = shard_of(masked, "03")
    assert of_shard.num_rows >= 1
    assert changed(before, masked.mtimes(*OF_SHARDS)) == {
        f"scores/{shard}.parquet", f"brain_maps/{shard}.parquet"}  # fmt: skip
    assert sources(masked)["03"] == "own"


@pytest.mark.slow
def test_without_the_section_the_lists_are_gone(masked: Cohort) -> None:
    masked.edit_config("brain_maps: [{kind: derivatives, path: derivatives}]\n", "")
    masked.run()
    assert not list((masked.results / "brain_maps").glob("shard*"))
    assert set(sources(masked).values()) == {"own"}
    assert "nothing to do" in masked.run()


@pytest.mark.slow
def test_plain_snakemake_indexes_the_masks(cohort: Cohort) -> None:
    for number in MASKED:
        write_mask(cohort, number)
    cohort.edit_config("rating:", SECTIONS)
    cohort.snakemake("--profile", LOCAL)
    assert sources(cohort)["06"] == "mask"
