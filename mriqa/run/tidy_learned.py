"""Putting in order what the learned methods left: models, banks, embeddings, their scores.

Only for the holder of the results' lock. What is damaged goes, so that it is due; what a person who
withdrew left in any model's bank or embeddings, or in experiments, goes too. Models themselves
stay: see docs/learned_methods.md.
"""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mriqa.files import TEMPORARY_MARK, read_object, write_parquet
from mriqa.images.array_names import store_array_name
from mriqa.run.learned import MADE_FROM
from mriqa.training.model_files import damage_of_model, sha256_of

FOLDERS = ("training", "models", "references", "embeddings", "scores")
"""Where the learned methods write."""

EMBEDDINGS = "embeddings/*/*"
SCORES = "scores/*"
COPIES = "copies.safetensors"
"""Features of simulated copies: only training reads them, so nothing else makes them anew."""
DAMAGED = ".damaged"
"""At the end of a model's name: put aside."""
ROWS = (
    "experiments/*_volumes.parquet",
    "models/*/*/rounds.parquet",
    "models/*/*/second_look.parquet",
    "training/*/*/stages/*/round-*.parquet",
)


def tidy_learned(results: Path, shards: Collection[str], models: Mapping[str, str]) -> list[str]:
    """Make everything fit; returns a sentence for what was done.

    `shards` are those that have series; `models` the ids of the models that are wanted, by method.
    """
    remove_temporary(results)
    remove_vanished(results, shards)
    said = []
    for method, model_id in models.items():
        folder = results / "models" / method / model_id
        if what := damage_of_model(folder):
            said.append(f"{folder}: {what}; {_set_aside(folder, results, method)}")
        elif what := damage_of_bank(folder / "bank"):
            shutil.rmtree(folder / "bank")
            said.append(f"{folder / 'bank'}: {what}; the bank will be built anew")
    if forgotten := forget_withdrawn(results, set(models.values())):
        said.append(
            f"removed or cleaned {forgotten} banks, files of embeddings and lists of labels, as "
            "they held subjects who withdrew"
        )
    return said


def _set_aside(folder: Path, results: Path, method: str) -> str:
    """Put a damaged model where it is not found; a sentence about what comes of it. Its weights
    may be whole, and days of training."""
    kept = folder.with_name(f"{folder.name}{DAMAGED}")
    remove(kept)
    folder.rename(kept)
    checkpoints = any((results / "training" / method / folder.name).glob("**/step-*.pt"))
    how = "from its checkpoints" if checkpoints else "from the beginning, as no checkpoint is left"
    return f"the model will be made anew, {how}; what there is of it was moved to {kept}"


def remove_temporary(results: Path) -> None:
    """Remove what killed jobs had begun to write."""
    for folder in FOLDERS:
        for path in list((results / folder).rglob(f".*{TEMPORARY_MARK}*")):
            remove(path)


def remove_vanished(results: Path, shards: Collection[str]) -> None:
    """Remove scores and embeddings of shards that do not exist any more."""
    for folder in (SCORES, EMBEDDINGS):
        for path in list(results.glob(f"{folder}/shard-*")):
            if path.name.partition(".")[0] not in shards:
                remove(path)


def damage_of_bank(folder: Path) -> str | None:
    """What is wrong with the files of a bank; None if nothing is, or no bank is there."""
    if not (folder / MADE_FROM).exists():
        return None
    said = read_object(folder / "bank.json").get("sha256")
    if said is None:
        return "bank.json is missing or cannot be read"
    tensors = folder / "bank.safetensors"
    if not tensors.is_file() or said != sha256_of(tensors):
        return "bank.safetensors is not the file that was written"
    return None


def forget_withdrawn(results: Path, wanted: Collection[str]) -> int:
    """Remove banks and embeddings that hold series of subjects who withdrew; returns how many.

    Those of the `wanted` models are due anyway, and made again without these series.
    """
    withdrawn = withdrawn_series(results)
    if not withdrawn:
        return 0
    caches = [
        path
        for path in results.glob(f"{EMBEDDINGS}/*.safetensors")
        if path.parent.name not in wanted and embedded_series(path) & withdrawn
    ]
    banks = [
        path.parent
        for path in results.glob("models/*/*/bank/bank.json")
        if path.parent.parent.name not in wanted and banked_series(path) & withdrawn
    ]
    copies = [
        path for path in results.glob(f"{EMBEDDINGS}/{COPIES}") if embedded_series(path) & withdrawn
    ]
    names = {store_array_name(one) for one in withdrawn}
    of_experiments = [
        path
        for folder in ("embeddings/*", "metrics")
        for path in results.glob(f"experiments/*/{folder}/*")
        if path.stem in names
    ]
    gone = {*caches, *banks, *copies, *of_experiments}
    for path in gone:
        remove(path)
    return len(gone) + sum(forget_rows(results, withdrawn))


def embedded_series(path: Path) -> set[str]:
    """Series in a file of embeddings, from its header alone; see mriqa.embedding.cache.

    A key is an id, a blank and more; as ids may have blanks, too, every beginning is given.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        volumes = json.loads(header["__metadata__"]["volumes"])
        return {key[:place] for key, *_ in volumes for place, sign in enumerate(key) if sign == " "}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError):
        return set()


def banked_series(path: Path) -> set[str]:
    """Series of which a `bank.json` knows: its references, and what it dropped."""
    try:
        strata = json.loads(path.read_text(encoding="utf-8"))["strata"]
        return {
            one["series_id"]
            for stratum in strata
            for one in (*stratum["references"], *stratum.get("dropped", ()))
        }
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def forget_rows(results: Path, withdrawn: Collection[str]) -> Iterator[bool]:
    """Take the rows of `withdrawn` series out of what says how labels were doubted; True for
    each table that had any. Pinned lists stay: a model's id follows from them."""
    gone = pa.array(sorted(withdrawn), pa.string())
    for pattern in ROWS:
        for path in results.glob(pattern):
            try:
                table = pq.ParquetFile(path).read()
                theirs = pc.is_in(table["series_id"], value_set=gone)
            except (pa.ArrowException, OSError, KeyError):
                continue  # whoever reads it says so
            if pc.any(theirs).as_py():
                write_parquet(path, table.filter(pc.invert(theirs)))
                yield True


def withdrawn_series(results: Path) -> set[str]:
    """Ids of the series of subjects who withdrew."""
    try:
        columns = ["series_id", "excluded_by"]
        table = pq.ParquetFile(results / "cohort.parquet").read(columns=columns)
    except (pa.ArrowException, OSError, KeyError):
        return set()
    return set(table.filter(pc.equal(table["excluded_by"], "withdrawn"))["series_id"].to_pylist())


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
