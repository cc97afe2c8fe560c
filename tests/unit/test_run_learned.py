"""What is due of the learned methods: models and banks are made once, lists never overwritten."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mriqa.cohort.manifest import COHORT_SCHEMA
from mriqa.config import check_config
from mriqa.files import write_parquet
from mriqa.run.index import pin_methods
from mriqa.run.learned import Learned, listed_series, note_made_from

RAW: dict[str, Any] = {
    "results": "r",
    "methods": ["simclr"],
    "cohort": {"name": "c", "sources": [{"kind": "bids", "path": "bids"}]},
}
LIST = "series_id\tvolume\tconfirmed\nc_sub-0\t0\tn/a\nc_sub-4\t0\tyes\n"


def row(number: int, **changed: Any) -> dict[str, Any]:
    usual = {
        "series_id": f"c_sub-{number}", "subject": str(number), "contrast": "T1w", "split": "train",
        "source_path": "x", "source_kind": "nifti", "size_bytes": 9, "mtime_ns": 5,
        "shard": number // 2, "sex": "F", "height_cm": 160.0, "weight_kg": 60.0,
    }  # fmt: skip
    return dict.fromkeys(COHORT_SCHEMA.names) | usual | changed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six series in three shards, pinned, with a model and a list of references."""
    write_cohort(tmp_path, [row(number) for number in range(6)])
    learned = pinned(tmp_path)
    model = tmp_path / "r" / learned.model("simclr")
    model.mkdir(parents=True)
    (model / "provenance.json").write_text("{}")
    (tmp_path / "r" / "references").mkdir()
    (tmp_path / "r" / "references" / "simclr.tsv").write_text(LIST)
    return tmp_path


def write_cohort(root: Path, rows: list[dict[str, Any]]) -> None:
    write_parquet(root / "r" / "cohort.parquet", pa.Table.from_pylist(rows, schema=COHORT_SCHEMA))


def learned_of(root: Path, **changed: Any) -> Learned:
    return Learned(check_config({**RAW, **changed}, "test"), root)


def pinned(root: Path, **changed: Any) -> Learned:
    learned = learned_of(root, **changed)
    pin_methods(learned.config.model_copy(update={"results": root / "r"}))
    return learned


def build(root: Path) -> None:
    learned = learned_of(root)
    bank = root / "r" / learned.model("simclr") / "bank"
    note_made_from(bank, learned.bank_digest("simclr"))


def test_nothing_is_due_of_methods_that_are_off(root: Path) -> None:
    off = learned_of(root, methods=[])
    assert (off.unpinned(), off.untrained(), off.unlisted(), off.unbanked()) == ([], [], [], [])


def test_what_is_there_is_not_due(root: Path) -> None:
    learned = learned_of(root)
    assert (learned.unpinned(), learned.untrained(), learned.unlisted()) == ([], [], [])
    assert learned.unbanked() == ["simclr"]
    build(root)
    assert learned_of(root).unbanked() == []


def test_before_anything_is_pinned_all_is_due(tmp_path: Path) -> None:
    learned = learned_of(tmp_path)
    due = ["simclr"]
    assert learned.unpinned() == learned.untrained() == learned.unlisted() == due
    assert learned.unbanked() == due
    assert learned.model_ids() == {}


def test_shards_of_training_and_of_references(root: Path) -> None:
    learned = learned_of(root)
    assert learned.training_shards("simclr") == [f"shard-0000{number}" for number in range(3)]
    assert learned.reference_shards("simclr") == ["shard-00000", "shard-00002"]


def test_growth_makes_nothing_due(root: Path) -> None:
    build(root)
    before = learned_of(root).model_id("simclr")
    write_cohort(root, [row(number) for number in range(9)])
    learned = pinned(root)
    assert learned.model_id("simclr") == before
    assert (learned.untrained(), learned.unbanked()) == ([], [])


@pytest.mark.parametrize(
    "changed",
    [
        {"simclr": {"pretraining": {"gamma": 0.5}}},
        {"simclr": {"pretraining": {"seed": 3}}},
    ],
)
def test_another_pretraining_is_another_model(root: Path, changed: dict[str, Any]) -> None:
    build(root)
    before = learned_of(root).model_id("simclr")
    assert learned_of(root, **changed).unpinned() == ["simclr"]
    learned = pinned(root, **changed)
    assert learned.model_id("simclr") != before
    assert learned.untrained() == learned.unbanked() == ["simclr"]
    assert learned_of(root).untrained() == learned_of(root).unbanked() == [], "the old one stays"


@pytest.mark.parametrize(
    "changed",
    [
        {"simclr": {"reference": {"per_class": 3}}},
        {"rating": {"stratum": ["contrast"]}},
    ],
)
def test_another_reference_section_makes_the_bank_due_alone(
    root: Path, changed: dict[str, Any]
) -> None:
    build(root)
    learned = learned_of(root, **changed)
    assert (learned.unpinned(), learned.untrained(), learned.unbanked()) == ([], [], ["simclr"])


def test_how_training_runs_makes_nothing_due(root: Path) -> None:
    build(root)
    how = {"workers": 8, "launcher": "ray", "nodes": 2, "threads": 4, "checkpoint_every": 7}
    learned = learned_of(root, training=how)
    assert (learned.unpinned(), learned.untrained(), learned.unbanked()) == ([], [], [])


def test_an_edited_list_makes_the_bank_due(root: Path) -> None:
    build(root)
    path = root / "r" / "references" / "simclr.tsv"
    path.write_text(LIST.replace("n/a", "no"))
    assert learned_of(root).unbanked() == ["simclr"]
    path.write_text(LIST)
    assert learned_of(root).unbanked() == []


@pytest.mark.parametrize(
    "changed",
    [
        {"excluded_by": "withdrawn"},
        {"size_bytes": 10},
        {"mtime_ns": 6},
        {"height_cm": 161.0},
        {"sex": None},
    ],
)
def test_a_reference_that_is_not_what_it_was_makes_the_bank_due(
    root: Path, changed: dict[str, Any]
) -> None:
    build(root)
    rows = [row(number) for number in range(6)]
    write_cohort(root, [*rows[:4], row(4, **changed), rows[5]])
    assert learned_of(root).unbanked() == ["simclr"]
    write_cohort(root, [row(0), row(1, **changed), *rows[2:]])
    assert learned_of(root).unbanked() == [], "subject 1 is no reference"


def test_a_vanished_reference_makes_the_bank_due(root: Path) -> None:
    build(root)
    write_cohort(root, [row(number) for number in range(1, 6)])
    assert learned_of(root).unbanked() == ["simclr"]
    assert learned_of(root).reference_shards("simclr") == ["shard-00002"]


def test_a_trusted_list_is_used_and_nothing_proposed(root: Path) -> None:
    (root / "r" / "references" / "simclr.tsv").unlink()
    assert learned_of(root).unlisted() == ["simclr"]
    (root / "mine.tsv").write_text("series_id\nc_sub-3\n")
    learned = learned_of(root, simclr={"reference": {"trusted": "mine.tsv"}})
    assert learned.unlisted() == []
    assert learned.reference_list("simclr") == root / "mine.tsv"
    assert learned.reference_shards("simclr") == ["shard-00001"]
    assert json.loads(learned.settings("simclr", "reference"))["trusted"] == str(root / "mine.tsv")


def test_a_corrected_person_makes_the_rating_of_its_shard_due(root: Path) -> None:
    before = [learned_of(root).persons(f"shard-0000{number}") for number in range(3)]
    rows = [row(number) for number in range(6)]
    write_cohort(root, [*rows[:3], row(3, weight_kg=71.0), row(4, age=50.0), row(5, site="b")])
    after = [learned_of(root).persons(f"shard-0000{number}") for number in range(3)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, False, True]


@pytest.mark.parametrize("text", ["", "other\tcolumns\n1\t2\n", "series_id\n"])
def test_a_list_without_series_names_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.tsv"
    path.write_text(text)
    assert listed_series(path) == []
    assert listed_series(tmp_path / "gone.tsv") == []


def write_other(root: Path, weights: str = "ab" * 32) -> dict[str, Any]:
    """A model of another cohort, as far as planning looks at it, and the setting that names it."""
    folder = root / "other"
    folder.mkdir(exist_ok=True)
    (folder / "provenance.json").write_text(json.dumps({"weights_sha256": weights}))
    return {"simclr": {"pretrained": "other"}}


def take_over(root: Path, changed: dict[str, Any]) -> Path:
    """As indexing does."""
    folder = root / "r" / learned_of(root, **changed).model("simclr")
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text("{}")
    return folder


def test_another_cohorts_model_is_never_trained(root: Path) -> None:
    changed = write_other(root)
    learned = learned_of(root, **changed)
    assert learned.unpinned() == ["simclr"], "it is to be copied"
    assert learned.model_ids() == {}
    take_over(root, changed)
    learned = learned_of(root, **changed)
    assert (learned.unpinned(), learned.untrained(), learned.unbanked()) == ([], [], ["simclr"])
    assert learned.training_shards("simclr") == []
    assert learned.model_ids() == {"simclr": "simclr-" + "ab" * 6}
    assert learned.model_id("simclr") != learned_of(root).model_id("simclr")


def test_other_weights_of_the_other_cohort_are_due(root: Path) -> None:
    changed = write_other(root)
    take_over(root, changed)
    write_other(root, "cd" * 32)
    learned = learned_of(root, **changed)
    assert learned.unpinned() == learned.unbanked() == ["simclr"]


def test_what_is_learned_makes_nothing_due_of_another_cohorts_model(root: Path) -> None:
    changed = write_other(root)
    take_over(root, changed)
    before = learned_of(root, **changed).model_id("simclr")
    changed = {"simclr": {**changed["simclr"], "pretraining": {"gamma": 0.5}}}
    learned = learned_of(root, **changed)
    assert (learned.unpinned(), learned.model_id("simclr")) == ([], before)
