"""`index` run again: what changed is written, nothing else; a kill or damage loses nothing."""

import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohort_trees import (
    add_dataset,
    add_file,
    bids,
    cohort_rows,
    file_states,
    index,
    problem_rows,
    table,
    touched,
)

from mriqa.cohort import ledger
from mriqa.cohort.manifest import (
    SHARD_INDEX_SCHEMA,
    list_shards,
    read_cohort,
    read_shard,
    shard_name,
)
from mriqa.errors import UserError
from mriqa.run.plan import read_loads

ALWAYS = {"cohort.parquet", "shards/index.parquet"}
"""Rewritten whenever the cohort grows or shrinks."""


@pytest.fixture
def grown(tmp_path):
    """Ten subjects of two series in shards of at most eight series."""
    root = add_dataset(tmp_path / "ds", subjects=10)
    out = tmp_path / "out"
    assert index(out, bids(root), shard_series=8).shards_new == 3
    return root, out


def again(root, out, **more):
    return index(out, bids(root), **{"shard_series": 8, **more})


def shards_of(out) -> dict[str, int]:
    return {name: row["shard"] for name, row in cohort_rows(out).items()}


def test_files_agree_with_one_another(grown):
    _, out = grown
    assert list_shards(out) == [0, 1, 2]
    assert_consistent(out)
    assert sum(load.size_bytes for load in read_loads(out).values()) == 20 * 100
    listed = pq.read_table(out / "shards/index.parquet")
    assert listed.schema.equals(SHARD_INDEX_SCHEMA)
    assert listed["n_series"].to_pylist() == [
        list(shards_of(out).values()).count(number) for number in range(3)
    ]
    subjects = [row["subject"] for row in cohort_rows(out).values()]
    assert subjects == sorted(subjects)


def test_nothing_changed_nothing_written(grown):
    root, out = grown
    before = file_states(out)
    summary = again(root, out)
    assert touched(before, file_states(out)) == set()
    assert (summary.shards_total, summary.shards_new, summary.shards_changed) == (3, 0, 0)


def test_growth_touches_no_old_shard(grown):
    root, out = grown
    before, placed = file_states(out), shards_of(out)
    add_dataset(root, subjects=20, first=11)
    add_file(root, "sub-001/anat/sub-001_T2w.nii.gz")
    summary = again(root, out)
    new = {f"shards/{shard_name(number)}.parquet" for number in range(3, 9)}
    assert touched(before, file_states(out)) == ALWAYS | new
    assert (summary.shards_total, summary.shards_new, summary.shards_changed) == (9, 6, 0)
    assert {name: shards_of(out)[name] for name in placed} == placed


def test_one_replaced_file_rewrites_one_manifest(grown):
    root, out = grown
    before = file_states(out)
    shard = shards_of(out)["demo_sub-005_T1w"]
    add_file(root, "sub-005/anat/sub-005_T1w.nii.gz", b"a new reconstruction")
    assert again(root, out).shards_changed == 1
    assert touched(before, file_states(out)) == {*ALWAYS, f"shards/{shard_name(shard)}.parquet"}
    assert cohort_rows(out)["demo_sub-005_T1w"]["size_bytes"] == 20


def test_same_size_but_later_is_a_change(grown):
    root, out = grown
    path = root / "sub-005/anat/sub-005_T1w.nii.gz"
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert again(root, out).shards_changed == 1


def test_demographics_touch_no_shard(grown):
    root, out = grown
    before = file_states(out)
    add_file(root, "participants.tsv", "participant_id\tage\tsite\nsub-001\t50\tMainz\n")
    assert again(root, out).shards_changed == 0
    assert touched(before, file_states(out)) == {"cohort.parquet"}


def test_a_withdrawal_rewrites_the_shard_of_the_subject(grown):
    root, out = grown
    withdrawn = add_file(root.parent, "withdrawn.txt", "sub-004\n")
    assert again(root, out, withdrawn=withdrawn).shards_changed == 1
    assert again(root, out, withdrawn=withdrawn).shards_changed == 0


def test_a_vanished_series_leaves_its_shard_and_comes_back_to_a_new_one(grown):
    root, out = grown
    path = root / "sub-003/anat/sub-003_T1w.nii.gz"
    path.rename(root.parent / "aside")
    assert again(root, out).shards_changed == 1
    assert "demo_sub-003_T1w" not in shards_of(out)
    (root.parent / "aside").rename(path)
    assert again(root, out).shards_new == 1
    assert shards_of(out)["demo_sub-003_T1w"] == 3


def test_an_emptied_shard_is_removed_and_its_number_never_used_again(grown):
    root, out = grown
    last = [name for name, number in shards_of(out).items() if number == 2]
    for name in last:
        subject = name.split("_")[1]
        shutil.rmtree(root / subject, ignore_errors=True)
    assert again(root, out).shards_removed == 1
    assert list_shards(out) == [0, 1]
    assert list(read_loads(out)) == ["shard-00000", "shard-00001"]
    assert again(root, out).shards_total == 2
    add_dataset(root, subjects=2, first=20)
    again(root, out)
    assert list_shards(out) == [0, 1, 3]


def test_stale_outputs_block_their_number_too(grown):
    root, out = grown
    (out / "zarr/shard-00007.zarr").mkdir(parents=True)
    (out / "shards/index.parquet").unlink()
    add_dataset(root, subjects=1, first=20)
    again(root, out)
    assert list_shards(out) == [0, 1, 2, 8]


@pytest.mark.parametrize("damage", ["gone", b"", b"not parquet"])
def test_a_lost_or_damaged_cohort_is_rebuilt_from_the_shards(grown, damage):
    root, out = grown
    placed, before = shards_of(out), file_states(out)
    if damage == "gone":
        (out / "cohort.parquet").unlink()
    else:
        (out / "cohort.parquet").write_bytes(damage)
    again(root, out)
    assert shards_of(out) == placed
    assert touched(before, file_states(out)) == {"cohort.parquet"}


@pytest.mark.parametrize("damage", ["gone", b"", b"not parquet"])
def test_a_lost_or_damaged_manifest_is_rebuilt_from_the_cohort(grown, damage):
    root, out = grown
    placed, before = shards_of(out), file_states(out)
    if damage == "gone":
        (out / "shards/shard-00001.parquet").unlink()
    else:
        (out / "shards/shard-00001.parquet").write_bytes(damage)
    again(root, out)
    assert shards_of(out) == placed
    assert touched(before, file_states(out)) == {"shards/shard-00001.parquet"}


def assert_consistent(out):
    from_manifests = [
        (series.series_id, number)
        for number in list_shards(out)
        for series in read_shard(out / "shards" / f"{shard_name(number)}.parquet")
    ]
    assert len(from_manifests) == len(dict(from_manifests))
    assert dict(from_manifests) == shards_of(out)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the package may catch it."""


@pytest.mark.parametrize("survived", range(7))
def test_killed_between_any_two_files_the_next_run_mends_it(tmp_path, monkeypatch, survived):
    """Growth, one replaced file and one emptied shard, interrupted after `survived` files."""
    root, out = add_dataset(tmp_path / "ds", subjects=10), tmp_path / "out"
    again(root, out)
    placed = shards_of(out)
    for name in [name for name, number in placed.items() if number == 2]:
        shutil.rmtree(root / name.split("_")[1], ignore_errors=True)
    kept = {name: number for name, number in placed.items() if number != 2}
    add_dataset(root, subjects=9, first=30)
    subject = next(iter(kept)).split("_")[1]
    add_file(root, f"{subject}/anat/{subject}_T1w.nii.gz", b"replaced")

    left = [survived]
    for name in ("write_parquet", "write_parquet_if_changed"):
        real = getattr(ledger, name)

        def write(*arguments, real=real):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*arguments)

        monkeypatch.setattr(ledger, name, write)
    with pytest.raises(Killed):
        again(root, out)
    monkeypatch.undo()

    again(root, out)
    after = shards_of(out)
    assert {name: after[name] for name in kept} == kept
    assert len(after) == len(kept) + 18
    assert_consistent(out)
    assert 2 not in list_shards(out)
    before = file_states(out)
    again(root, out)
    assert touched(before, file_states(out)) == set()


def add_status(out, number, digests) -> None:
    """A convert status as a finished job leaves it."""
    (out / "convert").mkdir(exist_ok=True)
    status = pa.table({"series_id": list(digests), "sha256": list(digests.values())})
    pq.write_table(status, out / "convert" / f"{shard_name(number)}.parquet")


def made_outputs(out) -> set[str]:
    """Outputs of all later stages, made by a machine whose clock is a day ahead."""
    for number in list_shards(out):
        for stage in ("convert", "scores"):
            add_file(out, f"{stage}/{shard_name(number)}.parquet", b"made from the manifest")
    add_file(out, "tables/reconciliation.json", b"{}")
    add_file(out, "tables/volumes.parquet", b"the analyst's")
    made = {
        str(path.relative_to(out)) for path in out.glob("[cst]*/*") if "shards" not in str(path)
    }
    for name in made:
        os.utime(out / name, ns=(2**62, 2**62))
    return made


def left_outputs(out, made) -> set[str]:
    return {name for name in made if (out / name).exists()}


def test_nothing_made_from_an_old_manifest_survives_whatever_the_clocks_say(grown):
    root, out = grown
    made = made_outputs(out)
    again(root, out)
    assert left_outputs(out, made) == made, "nothing changed"
    changed = shards_of(out)["demo_sub-003_T1w"]
    path = next(root.glob("sub-003/**/*_T1w.nii.gz"))
    path.write_bytes(b"x" * 137)
    again(root, out)
    shard = f"{shard_name(changed)}.parquet"
    gone = {f"convert/{shard}", f"scores/{shard}", "tables/reconciliation.json"}
    assert made - left_outputs(out, made) == gone


def test_a_corrected_age_makes_the_tables_due_whatever_the_clocks_say(grown):
    root, out = grown
    made = made_outputs(out)
    add_file(root, "participants.tsv", b"participant_id\tage\nsub-003\t40\n")
    again(root, out)
    assert made - left_outputs(out, made) == {"tables/reconciliation.json"}


def test_checksums_come_with_the_next_change_and_only_for_the_same_file(grown):
    root, out = grown
    names = [name for name, number in shards_of(out).items() if number == 1]
    add_status(out, 1, {name: f"digest of {name}" for name in names})
    before = file_states(out)
    again(root, out)
    assert touched(before, file_states(out)) == set(), "a checksum alone must rerun nothing"

    subject = names[0].split("_")[1]
    add_file(root, f"{subject}/anat/{subject}_T1w.nii.gz", b"another")
    again(root, out)
    known = {name: row["sha256"] for name, row in cohort_rows(out).items() if row["sha256"]}
    same = [name for name in names if name != f"demo_{subject}_T1w"]
    assert known == {name: f"digest of {name}" for name in same}

    # the status is now older than the manifest: what it says of the new file would be wrong
    add_file(root, "participants.tsv", "participant_id\tage\nsub-001\t50\n")
    again(root, out)
    known = {name: row["sha256"] for name, row in cohort_rows(out).items() if row["sha256"]}
    assert known == {name: f"digest of {name}" for name in same}


def test_a_damaged_status_is_no_obstacle(grown):
    root, out = grown
    add_file(out, "convert/shard-00000.parquet", b"rubbish")
    add_dataset(root, subjects=1, first=50)
    again(root, out)
    assert {row["sha256"] for row in cohort_rows(out).values()} == {None}


def test_leftovers_of_a_killed_run_are_removed(grown):
    root, out = grown
    left = add_file(out, "shards/.shard-00009.parquet.part-0123456789ab")
    again(root, out)
    assert not left.exists()


def test_an_image_that_arrives_later_is_no_longer_missing(tmp_path):
    listed = add_file(tmp_path, "t.csv", "path,subject,contrast\na.nii,1,T1w\n")
    index(tmp_path / "out", table(listed))
    assert cohort_rows(tmp_path / "out")["demo_sub-1_T1w"]["error_code"] == "file_missing"
    add_file(tmp_path, "a.nii")
    assert index(tmp_path / "out", table(listed)).shards_changed == 1
    assert cohort_rows(tmp_path / "out")["demo_sub-1_T1w"]["error_code"] is None
    assert problem_rows(tmp_path / "out") == []


def test_the_same_cohort_gives_the_same_files(tmp_path):
    root = add_dataset(tmp_path / "ds", subjects=12)
    for name in ("one", "two"):
        index(tmp_path / name, bids(root), shard_series=5)
    one, two = (pq.read_table(tmp_path / name / "cohort.parquet") for name in ("one", "two"))
    assert one.equals(two)


def test_images_are_never_opened(tmp_path):
    """Index knows nothing of pixels: it must not fail, or take long, on any image."""
    root = add_dataset(tmp_path / "ds", subjects=2)
    for path in root.rglob("*.nii.gz"):
        path.chmod(0)
    assert index(tmp_path / "out", bids(root)).n_failed == 0


def test_reading_what_is_not_there_says_what_to_do(tmp_path):
    assert list_shards(tmp_path) == []
    assert read_loads(tmp_path) == {}
    with pytest.raises(UserError, match="mriqa index CONFIG"):
        read_cohort(tmp_path / "cohort.parquet")
    add_file(tmp_path, "cohort.parquet", b"rubbish")
    with pytest.raises(UserError, match="cannot be read .*index again"):
        read_cohort(tmp_path / "cohort.parquet")


def test_a_full_disk_leaves_the_old_state(grown, monkeypatch):
    root, out = grown
    before = file_states(out)
    add_dataset(root, subjects=1, first=40)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ledger, "write_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        again(root, out)
    assert touched(before, file_states(out)) == set()
    monkeypatch.undo()
    assert again(root, out).n_series == 22
    assert_consistent(out)
