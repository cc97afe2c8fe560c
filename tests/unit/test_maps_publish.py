"""Listing the user's masks: only a changed list is written, and only its shard is scored anew."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cohort_trees import add_dataset, add_file, cohort_rows, file_states, touched

from mriqa.cohort.index import index_cohort
from mriqa.cohort.maps.model import read_map_files
from mriqa.cohort.maps.publish import write_brain_maps
from mriqa.config import Config, check_config
from mriqa.errors import ConfigError, UserError
from mriqa.run.plan import Plan, index_mark

LAST = "tables/reconciliation.json"


def config_of(folder: Path, maps=({"kind": "derivatives", "path": "d"},), **more) -> Config:
    sources = [{**one, "path": str(folder / one["path"])} for one in maps]
    cohort = {"name": "demo", "sources": [{"kind": "bids", "path": str(folder / "ds")}]}
    return check_config(
        {
            "results": str(folder / "out"),
            "cohort": {**cohort, "shard_series": 4, **more},
            "score": {"brain": {"t1w": ["T1w"]}},
            "brain_maps": sources,
        },
        "c.yaml",
    )


def add_mask(folder: Path, number: int, content: bytes = b"mask") -> Path:
    name = f"sub-{number:03d}"
    return add_file(folder / "d", f"{name}/anat/{name}_desc-brain_mask.nii.gz", content)


@pytest.fixture
def listed(tmp_path):
    """Six subjects of two series in three shards, masks of the T1w of all but sub-006."""
    add_dataset(tmp_path / "ds", subjects=6)
    for number in range(1, 6):
        add_mask(tmp_path, number)
    add_file(tmp_path, "d/sub-004/anat/sub-004_acq-dixonW_desc-brain_mask.nii.gz")
    index(tmp_path)
    made_of(tmp_path)
    return tmp_path


def index(folder: Path, config: Config | None = None):
    config = config or config_of(folder)
    index_cohort(config.cohort, folder / "out")
    return write_brain_maps(config, folder / "out")


def made_of(folder: Path) -> None:
    """As after a run: files of all stages."""
    for path in (folder / "out" / "shards").glob("shard-*"):
        for stage in ("convert", "scores"):
            add_file(folder / "out", f"{stage}/{path.name}")
    add_file(folder / "out", LAST)


def again(folder: Path, config: Config | None = None) -> set[str]:
    """What indexing again touches."""
    before = file_states(folder / "out")
    index(folder, config)
    return touched(before, file_states(folder / "out"))


def shard_of(folder: Path, number: int) -> str:
    row = cohort_rows(folder / "out")[f"demo_sub-{number:03d}_T1w"]
    return f"shard-{row['shard']:05d}.parquet"


def rows_of(folder: Path) -> dict[str, dict]:
    rows = [
        row
        for path in (folder / "out" / "brain_maps").glob("shard-*")
        for row in pq.read_table(path).to_pylist()
    ]
    return {row["series_id"]: row for row in rows}


def test_the_lists_say_which_file_with_size_and_time(listed):
    rows = rows_of(listed)
    assert sorted(rows) == [f"demo_sub-00{number}_T1w" for number in range(1, 6)]
    path = listed / "d/sub-002/anat/sub-002_desc-brain_mask.nii.gz"
    assert rows["demo_sub-002_T1w"] == {
        "series_id": "demo_sub-002_T1w", "role": "mask", "path": str(path), "size_bytes": 4,
        "mtime_ns": path.stat().st_mtime_ns,
    }  # fmt: skip
    assert list(listed.glob("out/brain_maps/.*")) == []


def test_nothing_changed_touches_nothing(listed):
    assert again(listed) == set()


@pytest.mark.parametrize("change", ["content", "time", "added", "removed"])
def test_a_change_makes_its_shards_score_due_alone(listed, change):
    number = 6 if change == "added" else 2
    path = listed / f"d/sub-{number:03d}/anat/sub-{number:03d}_desc-brain_mask.nii.gz"
    if change == "removed":
        path.unlink()
    elif change == "time":
        os.utime(path, ns=(1, 1))
    else:
        add_mask(listed, number, b"other mask")
    shard = shard_of(listed, number)
    assert again(listed) == {f"brain_maps/{shard}", f"scores/{shard}", LAST}
    assert again(listed) == set()


def test_the_last_mask_of_a_shard_takes_its_list_along(listed):
    for path in (listed / "d").rglob("*mask*"):
        path.unlink()
    assert {name for name in again(listed) if name.startswith("brain_maps/shard")}
    assert rows_of(listed) == {}
    assert not list((listed / "out/scores").iterdir())
    (problem,) = pq.read_table(listed / "out/brain_maps/problems.parquet").to_pylist()
    assert problem["file"] == str(listed / "d")


def test_without_the_section_there_are_no_lists(listed):
    index(listed, config_of(listed, maps=()))
    assert not list((listed / "out/brain_maps").iterdir())
    assert again(listed, config_of(listed, maps=())) == set()


def test_who_withdrew_has_none(listed):
    add_file(listed, "withdrawn.txt", "003\n")
    index(listed, config_of(listed, withdrawn=str(listed / "withdrawn.txt")))
    assert "demo_sub-003_T1w" not in rows_of(listed)
    assert len(rows_of(listed)) == 4


def test_who_withdrew_has_none_even_if_a_source_is_away(listed):
    add_file(listed, "withdrawn.txt", "003\n")
    (listed / "d").rename(listed / "away")
    before = rows_of(listed)
    with pytest.raises(UserError, match="no such folder"):
        index(listed, config_of(listed, withdrawn=str(listed / "withdrawn.txt")))
    del before["demo_sub-003_T1w"]
    assert rows_of(listed) == before


def test_the_first_source_that_knows_a_series_counts(listed):
    text = "series_id\tmask\nsub-002_T1w\tmine.nii\nsub-006_T1w\tmine.nii\n"
    add_file(listed, "maps.tsv", text)
    both = ({"kind": "table", "path": "maps.tsv"}, {"kind": "derivatives", "path": "d"})
    summary = index(listed, config_of(listed, maps=both))
    rows = rows_of(listed)
    mine = str(listed / "mine.nii")
    assert [rows[f"demo_sub-00{number}_T1w"]["path"] == mine for number in (1, 2, 6)] == [
        False, True, True]  # fmt: skip
    assert rows["demo_sub-006_T1w"]["size_bytes"] is None
    # of two it is known already that their files cannot be used
    assert str(summary).startswith("brain maps found of 4 of 6 brains, changed in 2 shards; prob")
    assert summary.n_problems == 2


def test_the_counts_say_that_grids_and_values_are_checked_later(listed):
    """Files that are no masks at all are found, and refused when they are read."""
    first, second = str(index(listed)).splitlines()
    assert first.startswith("brain maps found of 5 of 6 brains")
    assert second.endswith("refused are in the column brain_maps_problem of the table volumes")


MNI = "space-MNI152NLin2009cAsym_res-2"


def test_maps_in_another_space_alone_are_told_once(listed):
    for number in (1, 6):
        for name in ("desc-brain_mask", "label-GM_probseg"):
            subject = f"sub-{number:03d}"
            add_file(listed, f"d/{subject}/anat/{subject}_{MNI}_{name}.nii.gz")
    summary = index(listed)
    path = listed / f"d/sub-001/anat/sub-001_{MNI}_label-GM_probseg.nii.gz"
    told = f"3 masks and maps of 2 brains left aside, e.g. {path}: in another space"
    assert [told in line for line in str(summary).splitlines()] == [False, False, True]
    (problem,) = pq.read_table(listed / "out/brain_maps/problems.parquet").to_pylist()
    assert (problem["file"], problem["problem"].startswith(told)) == (str(path), True)


def test_maps_in_another_space_beside_the_scans_own_are_usual(listed):
    """fMRIPrep writes both."""
    add_file(listed, f"d/sub-001/anat/sub-001_{MNI}_desc-brain_mask.nii.gz")
    summary = index(listed)
    assert (summary.elsewhere, summary.n_problems) == (None, 0)


def test_where_all_maps_are_in_another_space_that_is_the_reason(listed):
    for path in (listed / "d").rglob("*_desc-brain_mask.nii.gz"):
        path.rename(path.with_name(path.name.replace("_desc-", f"_{MNI}_desc-")))
    summary = index(listed)
    assert (summary.n_series, summary.n_problems) == (0, 1)
    assert "5 masks and maps of 5 brains left aside" in summary.elsewhere


def test_incomplete_and_ambiguous_maps_are_told(listed):
    add_file(listed, "d/sub-001/anat/sub-001_label-GM_probseg.nii.gz")
    add_file(listed, "d/sub-002/anat/sub-002_space-T1w_desc-brain_mask.nii.gz")
    assert index(listed).n_series == 3
    problems = pq.read_table(listed / "out/brain_maps/problems.parquet")["problem"].to_pylist()
    assert any("no map of csf and of wm beside it" in one for one in problems)
    assert any("2 files are the brain mask" in one for one in problems)


def test_damaged_lists_are_written_again(listed):
    shard = shard_of(listed, 2)
    (listed / "out/brain_maps" / shard).write_bytes(b"nothing")
    assert f"brain_maps/{shard}" in again(listed)
    files = read_map_files(listed / "out/brain_maps" / shard)
    assert [one.role for one in files["demo_sub-002_T1w"]] == ["mask"]


def test_the_score_job_of_a_shard_has_its_list_as_input(listed):
    plan = Plan(config_of(listed), listed)
    shard = shard_of(listed, 2).removesuffix(".parquet")
    assert plan.brain_maps(shard) == [f"brain_maps/{shard}.parquet"]
    (listed / "out" / plan.brain_maps(shard)[0]).unlink()
    assert plan.brain_maps(shard) == []


def test_the_mark_follows_the_sources(tmp_path):
    marks = {
        index_mark(config_of(tmp_path, maps))
        for maps in ((), ({"kind": "derivatives", "path": "d"},), ({"kind": "table", "path": "d"},))
    }
    assert len(marks) == 3


def test_maps_of_no_brains_are_a_mistake():
    raw = {
        "results": "r",
        "cohort": {"name": "c", "sources": [{"kind": "bids", "path": "b"}]},
        "brain_maps": [{"kind": "derivatives", "path": "d"}],
    }
    with pytest.raises(ConfigError, match=r"brain_maps: score\.brain names no contrast"):
        check_config(raw, "c.yaml")
    raw["brain_maps"] = [{"kind": "fmriprep", "path": "d"}]
    with pytest.raises(ConfigError, match="brain_maps.0: .* 'derivatives', 'table'"):
        check_config(raw, "c.yaml")
