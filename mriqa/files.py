"""Files that are complete or absent: written under a temporary name, synced, then renamed."""

import glob
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mriqa.errors import UserError

TEMPORARY_MARK = ".part-"
MEMORY_KEY = b"mem_mb"
"""In the metadata of a job's Parquet file: the memory that the job had, in MiB."""
MODEL_KEY = b"model_id"
"""In the metadata of a learned method's score file: the model that it is by."""


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path`, unlike that of any other process or attempt."""
    return path.with_name(f".{path.name}{TEMPORARY_MARK}{uuid.uuid4().hex[:12]}")


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success sync it and rename it to `path`, else remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if it is missing, damaged or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON to `path`; refuses NaN, which JSON does not have."""
    write_text(path, _json(content))


def write_json_if_changed(path: Path, content: Any) -> None:
    """The same unless `path` already holds it: the old mtime stays."""
    text = _json(content)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_parquet(path: Path, table: pa.Table, row_group_size: int = 65_536) -> None:
    """Write one Parquet file (zstd 1, plain strings), whole or not at all."""
    with replacing(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            row_group_size=row_group_size,
        )


def write_parquet_if_changed(path: Path, table: pa.Table) -> bool:
    """Write `table` unless `path` already holds it; keeps the old mtime, so nothing reruns.

    Returns True if the file was written.
    """
    if path.exists():
        try:
            if pq.read_table(path).equals(table, check_metadata=False):
                return False
        except (pa.ArrowInvalid, OSError):
            pass  # damaged: replaced by a good one
    write_parquet(path, table)
    return True


@contextmanager
def readable(
    path: Path,
    remedy: str = "delete it and run again",
    *,
    absent: str = "not there; run `mriqa run CONFIG`",
) -> Iterator[None]:
    """Turn what goes wrong in reading the Parquet file `path` into a UserError with the cause.

    It ends with `remedy`; of a file that is not there it says `absent`.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: {absent}") from None
    except (pa.ArrowException, OSError) as error:
        cause = str(error).partition("\n")[0]
        raise UserError(f"{path}: cannot be read ({cause}); {remedy}") from None


def read_if_sound(path: Path, schema: pa.Schema) -> pa.Table | None:
    """The table in `path`; None if it is not there, damaged, or of another schema."""
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError):
        return None
    return table if table.schema.equals(schema, check_metadata=False) else None


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it takes the place of the folder `path`.

    A reader sees the old content or the new one, but for a moment in which `path` is absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = temporary_name(path), temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        for written in temporary.rglob("*"):
            if written.is_file():
                with written.open("rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            path.rename(aside)
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path, name: str) -> None:
    """Remove what killed attempts at writing `folder/name` left behind.

    Only for a caller that owns `name`: a live writer's temporary files look the same.
    """
    for leftover in folder.glob(f".{glob.escape(name)}{TEMPORARY_MARK}*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
