"""What is due of the learned methods: models and banks are made once, lists never overwritten."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hierarchy_pieces import label, write_ratings

from mriqa.cohort.manifest import COHORT_SCHEMA
from mriqa.config import check_config
from mriqa.errors import UserError
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
    assert json.loads(learned.settings("simclr", "trusted"))["trusted"] == str(root / "mine.tsv")


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


BOTH = {"methods": ["simclr", "hierarchy"]}
ALONE = {"methods": ["hierarchy"]}
RATED = [label("c_sub-1", None, None, "fail"), label("c_sub-7", 0, None, "pass")]


@pytest.fixture
def rated(root: Path) -> Path:
    """Two more series, of which one is held out and labelled; both methods are pinned."""
    held = row(7, split="test", shard=9)
    write_cohort(root, [*(row(number) for number in range(6)), row(6, shard=8), held])
    write_ratings(root / "r", RATED)
    pinned(root, **BOTH)
    return root


def hierarchy(**learning: Any) -> dict[str, Any]:
    return {**ALONE, "hierarchy": {"learning": learning}}


def identity(root: Path, **changed: Any) -> str:
    """Of the hierarchy's model, pinned if it is not yet."""
    return pinned(root, **(ALONE | changed)).model_id("hierarchy")


def train_it(root: Path, **changed: Any) -> None:
    """As far as planning looks at it."""
    folder = root / "r" / learned_of(root, **(ALONE | changed)).model("hierarchy")
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text("{}")


def test_a_method_without_a_bank_is_due_until_its_model_is_there(rated: Path) -> None:
    learned = learned_of(rated, **BOTH)
    assert learned.methods == ("simclr", "hierarchy")
    assert (learned.banked, learned.unbanked()) == (("simclr",), ["simclr"])
    assert learned.unpinned() == []
    assert learned.untrained() == ["hierarchy"]
    train_it(rated)
    assert learned_of(rated, **ALONE).untrained() == []
    assert learned_of(rated, **ALONE).unbanked() == []


def test_what_judges_is_the_bank_or_the_model_itself(rated: Path) -> None:
    learned = learned_of(rated, **BOTH)
    simclr, own = (learned.model_id(one) for one in learned.methods)
    assert learned.judge("simclr") == Path("models", "simclr", simclr, "bank", "made_from.json")
    assert learned.judge("hierarchy") == Path("models", "hierarchy", own, "provenance.json")
    assert learned.model_ids() == {"simclr": simclr, "hierarchy": own}
    assert own.startswith("hierarchy-")


@pytest.mark.parametrize("gone", [f"hierarchy-{'?' * 12}.parquet", "hierarchy-*-labels.parquet"])
def test_series_and_labels_are_both_pinned_or_nothing_is(rated: Path, gone: str) -> None:
    (path,) = (rated / "r" / "training").glob(gone)
    path.unlink()
    learned = learned_of(rated, **BOTH)
    assert learned.unpinned() == ["hierarchy"]
    assert "hierarchy" in learned.untrained()
    assert list(learned.model_ids()) == ["simclr"]
    assert pinned(rated, **BOTH).unpinned() == []


def test_labels_of_held_out_subjects_are_learned_from_where_they_lie(rated: Path) -> None:
    learned = learned_of(rated, **BOTH)
    names = [f"shard-0000{number}" for number in (0, 1, 2, 8, 9)]
    assert learned.training_shards("hierarchy") == names
    assert "shard-00009" not in learned.training_shards("simclr")
    assert (learned.needs_scores("hierarchy"), learned.needs_scores("simclr")) == (True, False)


def test_labels_given_later_are_another_model_only_when_asked_for(rated: Path) -> None:
    before = identity(rated)
    write_ratings(rated / "r", [*RATED, label("c_sub-2", None, None, "fail")])
    assert identity(rated) == before
    after = identity(rated, training={"retrain": True})
    assert after != before
    assert identity(rated) == after


@pytest.mark.parametrize(
    "changed",
    [
        {"rating": {"stratum": ["contrast"]}},
        hierarchy(labels="simulated"),
        hierarchy(unlabelled=7),
        hierarchy(init="random"),
        hierarchy(pretraining={"seed": 3}),
        hierarchy(simulated={"copies": 2}),
        hierarchy(volumes={"seed": 1}),
        hierarchy(slices={"rounds": {"folds": 3}}),
    ],
)
def test_what_is_learned_from_is_another_model(rated: Path, changed: dict[str, Any]) -> None:
    assert identity(rated, **changed) != identity(rated)


@pytest.mark.parametrize(
    "changed",
    [
        {"rating": {"fail_below": 0.1}},
        {"training": {"workers": 8, "launcher": "ray", "nodes": 2, "threads": 4}},
        {"simclr": {"pretraining": {"gamma": 0.5}}},
        BOTH,
    ],
)
def test_how_it_is_learned_or_used_is_not(rated: Path, changed: dict[str, Any]) -> None:
    assert identity(rated, **changed) == identity(rated)


def test_of_a_trusted_list_the_content_is_learned_from_not_its_place(rated: Path) -> None:
    (rated / "one.tsv").write_text("series_id\nc_sub-3\n")
    (rated / "deep").mkdir()
    (rated / "deep" / "two.tsv").write_text("series_id\nc_sub-3\n")
    one = identity(rated, **hierarchy(simulated={"trusted": "one.tsv"}))
    assert one != identity(rated)
    two = hierarchy(simulated={"trusted": "deep/two.tsv"})
    assert identity(rated, **two) == one
    (rated / "deep" / "two.tsv").write_text("series_id\nc_sub-3\nc_sub-4\n")
    assert identity(rated, **two) != one


def test_a_job_reads_the_trusted_list_wherever_it_runs(rated: Path) -> None:
    (rated / "mine.tsv").write_text("series_id\nc_sub-3\n")
    changed = hierarchy(simulated={"trusted": "mine.tsv"})
    learned = pinned(rated, **changed)
    path = str(rated / "mine.tsv")
    assert json.loads(learned.settings("hierarchy", "trusted"))["trusted"] == path
    learning = json.loads(learned.settings("hierarchy", "learning"))
    assert learning["simulated"]["trusted"] == path
    assert learned.section_here("hierarchy").learning.simulated.trusted == Path(path)
    assert learned.reference_list("hierarchy") == Path(path)
    assert learned.reference_shards("hierarchy") == ["shard-00001"]


@pytest.mark.parametrize(
    ("labels", "due"), [("given", []), ("simulated", ["hierarchy"]), ("both", ["hierarchy"])]
)
def test_volumes_to_trust_are_proposed_only_where_copies_of_them_are_learned_from(
    rated: Path, labels: str, due: list[str]
) -> None:
    changed = hierarchy(labels=labels)
    learned = pinned(rated, **changed)
    assert learned.trusts("hierarchy") is bool(due)
    assert learned.unlisted() == due
    assert learned.unbanked() == []
    (rated / "r" / "references" / "hierarchy.tsv").write_text(LIST)
    assert learned_of(rated, **changed).unlisted() == []


def test_a_list_of_ones_own_is_never_proposed_over(rated: Path) -> None:
    (rated / "mine.tsv").write_text("series_id\nc_sub-3\n")
    assert pinned(rated, **hierarchy(simulated={"trusted": "mine.tsv"})).unlisted() == []


def test_methods_are_pinned_apart(rated: Path) -> None:
    """And each has labels only if it learns from some."""
    names = sorted(path.name for path in (rated / "r" / "training").glob("*.parquet"))
    assert [name.partition("-")[0] for name in names] == ["hierarchy", "hierarchy", "simclr"]
    assert sum(name.endswith("-labels.parquet") for name in names) == 1


def test_another_cohorts_hierarchy_needs_neither_labels_nor_references(rated: Path) -> None:
    folder = rated / "other"
    folder.mkdir()
    (folder / "provenance.json").write_text(json.dumps({"weights_sha256": "ab" * 32}))
    changed = {**ALONE, "hierarchy": {"pretrained": "other"}}
    learned = learned_of(rated, **changed)
    assert learned.unpinned() == ["hierarchy"], "it is to be copied"
    train_it(rated, **changed)
    learned = learned_of(rated, **changed)
    assert learned.model_id("hierarchy") == "hierarchy-" + "ab" * 6
    assert (learned.unpinned(), learned.untrained(), learned.unlisted()) == ([], [], [])
    assert learned.training_shards("hierarchy") == []
    assert learned.trusts("hierarchy") is False


def test_another_cohorts_hierarchy_of_other_features_stops_it_before_any_work(rated: Path) -> None:
    folder = rated / "other"
    folder.mkdir()
    (folder / "provenance.json").write_text(json.dumps({"weights_sha256": "ab" * 32}))
    (folder / "config.json").write_text(json.dumps({"method": "hierarchy", "n_fit": 3}))
    with pytest.raises(UserError, match=r"hierarchy\.pretrained: .*other features of slices"):
        pinned(rated, **ALONE, hierarchy={"pretrained": str(folder)})
    assert not (rated / "r" / "models" / "hierarchy").exists()


NUMBERS = {"target": {"table": "numbers.tsv", "column": "snr"}}


def hysnet(**learning: Any) -> dict[str, Any]:
    return {"methods": ["hysnet"], "hysnet": {"learning": learning}}


def write_numbers(root: Path, *values: float) -> None:
    lines = [f"c_sub-{number}\t{value}" for number, value in enumerate(values)]
    (root / "numbers.tsv").write_text("\n".join(["series_id\tsnr", *lines]) + "\n")


def test_hysnet_needs_scores_and_neither_references_nor_a_bank(root: Path) -> None:
    learned = pinned(root, **hysnet())
    assert (learned.unpinned(), learned.untrained()) == ([], ["hysnet"])
    assert (learned.unlisted(), learned.banked, learned.unbanked()) == ([], (), [])
    assert learned.needs_scores("hysnet")
    assert not learned.trusts("hysnet")
    assert learned.training_shards("hysnet") == [f"shard-0000{number}" for number in range(3)]
    assert learned.judge("hysnet") == learned.model("hysnet") / "provenance.json"


def test_the_target_and_how_it_is_learned_name_hysnets_model(root: Path) -> None:
    def name(**changed: Any) -> str:
        return pinned(root, **changed).model_id("hysnet")

    ids = {name(**hysnet(**one)) for one in ({}, {"epochs": 3}, {"target": {"column": "body_snr"}})}
    assert len(ids) == 3
    assert name(**hysnet(), rating={"stratum": ["contrast"]}) in ids
    assert name(**hysnet(), training={"workers": 8, "launcher": "ray"}) in ids


def test_of_a_table_of_targets_the_numbers_of_pinned_series_count(root: Path) -> None:
    write_numbers(root, 1, 2, 3)
    section = hysnet(**NUMBERS)
    own = {"methods": ["hysnet"], "hysnet": {"learning": {"target": {
        "table": str(root / "numbers.tsv"), "column": "snr"}}}}  # fmt: skip
    before = pinned(root, **own).model_id("hysnet")
    learned = learned_of(root, **section)
    assert learned.model_id("hysnet") == before
    settings = json.loads(learned.settings("hysnet", "learning"))
    assert settings["target"]["table"] == str(root / "numbers.tsv")
    assert learned.section_here("hysnet").learning.target.table == root / "numbers.tsv"
    (root / "numbers.tsv").write_text("series_id\tsnr\nc_sub-2\t3\nc_sub-1\t2\nc_sub-0\t1\n")
    assert learned_of(root, **section).model_id("hysnet") == before
    write_numbers(root, 1, 2, 4)
    assert learned_of(root, **section).model_id("hysnet") != before


def test_an_unknown_metric_stops_it_before_anything_is_pinned(root: Path) -> None:
    with pytest.raises(UserError, match="hysnet.learning.target.column"):
        pinned(root, **hysnet(target={"column": "sharpness"}))
    assert not list((root / "r" / "training").glob("hysnet-*"))
