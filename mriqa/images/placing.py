"""A store that is complete or absent: built beside its place under a hidden name, then renamed."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mriqa.errors import UserError
from mriqa.files import TEMPORARY_MARK, sync_folder, temporary_name
from mriqa.processes import lock_at_once

SYNCS_AT_A_TIME = 8


@contextmanager
def building(store: Path) -> Iterator[Path]:
    """Yield a new path; what was built there is renamed to `store`, or removed after an error.

    Leftovers of killed jobs are removed first. Raises UserError while another job builds `store`.
    """
    store.parent.mkdir(parents=True, exist_ok=True)
    with _only_builder(store):
        remove_leftovers(store)
        temporary = temporary_name(store)
        try:
            yield temporary
            put_in_place(temporary, store)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(temporary: Path, store: Path) -> None:
    """Rename `temporary` to `store`; an old store is moved aside first and removed after."""
    sync_tree(temporary)
    old = temporary_name(store)
    with suppress(FileNotFoundError):
        store.rename(old)
    temporary.rename(store)
    sync_folder(store.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Make a folder durable with all it holds; several at a time share the journal's commits."""
    for path, _, files in os.walk(folder):
        with ThreadPoolExecutor(SYNCS_AT_A_TIME) as pool:
            list(pool.map(_sync_file, (Path(path, name) for name in files)))
        sync_folder(Path(path))


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(store: Path) -> None:
    """Remove what killed jobs left of `store`."""
    for path in store.parent.glob(f".{store.name}{TEMPORARY_MARK}*"):
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _only_builder(store: Path) -> Iterator[None]:
    """Hold the lock of `store`; the operating system frees it when the job dies."""
    path = store.with_name(f".{store.name}.lock")
    with path.open("w") as handle:
        _lock(handle, store)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock(handle: IO[str], store: Path) -> None:
    ours = lock_at_once(handle.fileno())  # without locks the one live `mriqa run` must do
    if not ours or os.fstat(handle.fileno()).st_nlink == 0:  # the file of one that has just ended
        raise UserError(
            f"{store}: another job is writing this store; wait until it ends or stop it"
        )
