"""Putting in order what the learned methods left."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

from mriqa.files import write_parquet
from mriqa.run.learned import note_made_from
from mriqa.run.tidy import tidy_results
from mriqa.training.model_files import MODEL_FILES

SHARDS = ("shard-00000", "shard-00001")
MODEL, OLD = "simclr-0123456789ab", "simclr-ffffffffffff"
MODELS = {"simclr": MODEL}


def make_model(results: Path, model_id: str, *series: str) -> Path:
    """A model with a bank and embeddings of `series`, all made up but their checksums."""
    folder = results / "models" / "simclr" / model_id
    (folder / "bank").mkdir(parents=True)
    content = save({"weight": np.zeros(3, np.float32)})
    (folder / "weights.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (folder / "provenance.json").write_text(json.dumps({"weights_sha256": digest}))
    for name in ("config.json", "metrics.json"):
        (folder / name).write_text('{"a": 1}')
    (folder / "bank" / "bank.safetensors").write_bytes(content)
    strata = [
        {"references": [{"series_id": one} for one in series[:1]]},  # as older versions wrote it
        {"references": [], "dropped": [{"series_id": one} for one in series[1:]]},
    ]
    (folder / "bank" / "bank.json").write_text(json.dumps({"sha256": digest, "strata": strata}))
    note_made_from(folder / "bank", "0a")
    caches = results / "embeddings" / "simclr" / model_id
    caches.mkdir(parents=True)
    for name in (*SHARDS, "references"):
        listed = [[f"{one} 0", "sha", 3] for one in series] if name != SHARDS[1] else []
        about = {"maker": "m", "volumes": json.dumps(listed)}
        (caches / f"{name}.safetensors").write_bytes(save({"slices": np.zeros(3)}, about))
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / ".snakemake").mkdir()
    for shard in SHARDS:
        write_parquet(tmp_path / "scores" / "simclr" / f"{shard}.parquet", pa.table({"a": [1]}))
    make_model(tmp_path, MODEL, "a", "b")
    make_model(tmp_path, OLD, "a", "b")
    write_cohort(tmp_path, {})
    return tmp_path


def write_cohort(
    results: Path, excluded: dict[str, str], series: Sequence[str] = ("a", "b", "c")
) -> None:
    rows = [{"series_id": one, "excluded_by": excluded.get(one)} for one in series]
    schema = pa.schema([("series_id", pa.string()), ("excluded_by", pa.string())])
    write_parquet(results / "cohort.parquet", pa.Table.from_pylist(rows, schema=schema))


def files(results: Path) -> set[str]:
    return {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}


def test_what_is_whole_is_left_alone(results: Path) -> None:
    before = files(results)
    assert tidy_results(results, SHARDS, MODELS) == []
    assert files(results) == before


def test_what_is_of_vanished_shards_goes(results: Path) -> None:
    tidy_results(results, SHARDS[:1], MODELS)
    left = files(results)
    assert not [name for name in left if "shard-00001" in name]
    assert f"embeddings/simclr/{MODEL}/references.safetensors" in left
    assert "scores/simclr/shard-00000.parquet" in left


@pytest.mark.parametrize(
    "name",
    [
        "training/simclr/x/checkpoints/.step-00000002.pt.part-1f",
        "models/simclr/.simclr-0123456789ab.part-2e/weights.safetensors",
        f"models/simclr/{MODEL}/.bank.part-77/bank.json",
        f"embeddings/simclr/{MODEL}/.shard-00000.safetensors.part-3",
        "references/.simclr.tsv.part-9",
        "scores/simclr/.shard-00000.parquet.part-4",
    ],
)
def test_leftovers_of_killed_jobs_go(results: Path, name: str) -> None:
    before = files(results)
    path = results / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    assert tidy_results(results, SHARDS, MODELS) == []
    assert files(results) == before


@pytest.mark.parametrize("name", MODEL_FILES)
@pytest.mark.parametrize("how", ["missing", "cut short"])
def test_a_damaged_model_goes_with_its_bank(results: Path, name: str, how: str) -> None:
    path = results / "models" / "simclr" / MODEL / name
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:4])
    (said,) = tidy_results(results, SHARDS, MODELS)
    assert "the model will be made anew, from the beginning, as no checkpoint is left" in said
    left = files(results)
    assert not [one for one in left if one.startswith(f"models/simclr/{MODEL}/")]
    assert f"models/simclr/{OLD}/provenance.json" in left
    assert f"embeddings/simclr/{MODEL}/shard-00000.safetensors" in left


def test_weights_of_a_damaged_model_are_put_aside_not_thrown_away(results: Path) -> None:
    """They may be whole, and days of training: only a small file may be missing."""
    folder = results / "models" / "simclr" / MODEL
    weights = (folder / "weights.safetensors").read_bytes()
    for _ in range(2):  # the second time one lies there already
        (folder / "metrics.json").unlink()
        (said,) = tidy_results(results, SHARDS, MODELS)
        aside = folder.with_name(f"{MODEL}.damaged")
        assert str(aside) in said
        assert (aside / "weights.safetensors").read_bytes() == weights
        aside.rename(folder)
        (folder / "metrics.json").write_text('{"a": 1}')
        aside.mkdir()
    assert tidy_results(results, SHARDS, MODELS) == []


def test_it_is_said_whether_checkpoints_are_left(results: Path) -> None:
    (results / "models" / "simclr" / MODEL / "config.json").unlink()
    checkpoint = results / "training" / "simclr" / MODEL / "checkpoints" / "step-00000100.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    (said,) = tidy_results(results, SHARDS, MODELS)
    assert "from its checkpoints" in said


@pytest.mark.parametrize("name", ["bank.json", "bank.safetensors"])
@pytest.mark.parametrize("how", ["missing", "cut short"])
def test_a_damaged_bank_goes_alone(results: Path, name: str, how: str) -> None:
    path = results / "models" / "simclr" / MODEL / "bank" / name
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:4])
    (said,) = tidy_results(results, SHARDS, MODELS)
    assert "the bank will be built anew" in said
    assert not path.parent.exists()
    assert (path.parent.parent / "weights.safetensors").exists()


def test_the_empty_folder_of_a_model_to_come_is_no_damage(results: Path) -> None:
    """Snakemake makes it before the job."""
    new = "simclr-aaaaaaaaaaaa"
    (results / "models" / "simclr" / new / "bank").mkdir(parents=True)
    assert tidy_results(results, SHARDS, {"simclr": new}) == []


def test_damaged_scores_of_a_method_are_due_again(results: Path) -> None:
    path = results / "scores" / "simclr" / "shard-00001.parquet"
    path.write_bytes(b"PAR1")
    (said,) = tidy_results(results, SHARDS, MODELS)
    assert said == "scores/simclr/shard-00001.parquet cannot be read: it will be written again"
    assert not path.exists()


def test_nothing_of_who_withdrew_stays_in_models_that_are_not_in_use(results: Path) -> None:
    """Those in use are made again without them, as Snakemake sees."""
    before = files(results)
    write_cohort(results, {"b": "withdrawn", "c": "contrast"})
    (said,) = tidy_results(results, SHARDS, MODELS)
    assert said.startswith("removed or cleaned 3 banks, files of embeddings and lists of labels")
    gone = before - files(results)
    old = f"embeddings/simclr/{OLD}"
    assert gone == {
        f"{old}/shard-00000.safetensors",
        f"{old}/references.safetensors",
        *(f"models/simclr/{OLD}/bank/{one}" for one in
          ("bank.json", "bank.safetensors", "made_from.json")),
    }  # fmt: skip
    assert tidy_results(results, SHARDS, MODELS) == []


def test_whoever_withdrew_and_has_an_id_with_blanks_is_forgotten_too(results: Path) -> None:
    made = make_model(results, "simclr-eeeeeeeeeeee", "scan 01", "scan 0")
    write_cohort(results, {"scan 01": "withdrawn"}, ("a", "scan 01", "scan 0"))
    tidy_results(results, SHARDS, MODELS)
    assert not (made / "bank").exists()
    caches = results / "embeddings" / "simclr" / made.name
    assert [path.name for path in caches.iterdir()] == [f"{SHARDS[1]}.safetensors"]
    of_another = results / "embeddings" / "simclr" / OLD / "references.safetensors"
    assert of_another.exists()


def test_nothing_of_who_withdrew_stays_in_experiments(results: Path) -> None:
    experiments = results / "experiments"
    folders = ("simclr/embeddings/untrained", "hierarchy/embeddings/0a", "simclr/metrics")
    for folder in folders:
        (experiments / folder).mkdir(parents=True)
        for one in ("a", "b%2F1"):
            (experiments / folder / f"{one}.safetensors").touch()
    table = pa.table({"series_id": ["a", "b/1", "a"], "auc": [0.1, 0.2, 0.3]})
    write_parquet(experiments / "simclr_volumes.parquet", table)
    write_cohort(results, {"b/1": "withdrawn"}, ("a", "b/1"))
    tidy_results(results, SHARDS, MODELS)
    left = [path.name for folder in folders for path in (experiments / folder).iterdir()]
    assert left == ["a.safetensors"] * 3
    rows = pq.read_table(experiments / "simclr_volumes.parquet")
    assert rows.to_pydict() == {"series_id": ["a", "a"], "auc": [0.1, 0.3]}
