"""Checkpoints of a training run: complete or absent, checked when read, the last two kept.

`checkpoints/step-00000100.pt` is what training needs after 100 steps: weights, optimizer, what was
watched. The feed's position and every random draw are functions of the seed and the step, so the
step restores them too. A digest of the content is inside: torch checks no checksum of its own.
"""

import errno
import hashlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mriqa.errors import UserError
from mriqa.files import TEMPORARY_MARK, write_bytes

FORMAT_VERSION = 1
KEPT = 2
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NAME = re.compile(r"step-(\d{8,})\.pt")

Identity = Mapping[str, str | int | float]
"""What fixes the outcome of a run; a checkpoint of another is never resumed."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps."""

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    watched: dict[str, float]


class DamagedError(Exception):
    """A checkpoint that cannot be trusted; says why."""


def _feed(hasher: Any, value: Any) -> None:
    """Add `value` (nested dicts, lists, tensors, plain values) to `hasher`."""
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        hasher.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        hasher.update(plain.flatten().view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            hasher.update(f"{key!r}:".encode())
            _feed(hasher, value[key])
    elif isinstance(value, list | tuple):
        hasher.update(f"[{len(value)}]".encode())
        for item in value:
            _feed(hasher, item)
    else:
        hasher.update(f"{value!r};".encode())


def digest(value: Any) -> str:
    """sha256 of nested tensors and plain values: equal for equal bits."""
    hasher = hashlib.sha256()
    _feed(hasher, value)
    return hasher.hexdigest()


def path_of(folder: Path, step: int) -> Path:
    """The file of the checkpoint after `step` steps."""
    return folder / f"step-{step:08d}.pt"


def steps_in(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`, complete or damaged, newest first."""
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def save(folder: Path, checkpoint: Checkpoint, identity: Identity) -> None:
    """Write `checkpoint`, whole or not at all, then remove all but the newest KEPT.

    Where there is no room, the older of the kept ones is given up for it, never the newest.

    Raises:
        OSError: It cannot be written (no room, ...); the newest before it is still there.
    """
    state = {
        "step": checkpoint.step,
        "weights": checkpoint.weights,
        "optimizer": checkpoint.optimizer,
        "watched": checkpoint.watched,
        "identity": _versioned(identity),
    }
    content = io.BytesIO()  # torch writing to a full disk raises RuntimeErrors of all kinds
    torch.save(state | {"sha256": digest(state)}, content)
    path = path_of(folder, checkpoint.step)
    try:
        write_bytes(path, content.getvalue())
    except OSError as error:
        if error.errno not in _NO_ROOM or len(steps_in(folder)) < KEPT:
            raise
        prune(folder, 1)
        write_bytes(path, content.getvalue())
    prune(folder, KEPT)


def prune(folder: Path, kept: int) -> None:
    """Keep the newest `kept` checkpoints, and nothing that killed writers left behind."""
    for step in steps_in(folder)[kept:]:
        path_of(folder, step).unlink(missing_ok=True)
    for leftover in folder.glob(f".step-*{TEMPORARY_MARK}*"):
        leftover.unlink(missing_ok=True)


def load(path: Path) -> tuple[Checkpoint, Identity]:
    """The checkpoint in `path`, on the CPU, and the run that it belongs to.

    Raises:
        DamagedError: Truncated, altered, or no checkpoint at all.
        OSError: The file cannot be read.
    """
    content = io.BytesIO(path.read_bytes())
    try:
        state = torch.load(content, map_location="cpu", weights_only=True)
        sha256 = state.pop("sha256")
    except Exception as error:  # a damaged zip or pickle raises anything
        raise DamagedError(f"it cannot be read ({type(error).__name__})") from error
    if digest(state) != sha256:
        raise DamagedError("its content does not match its checksum")
    found = Checkpoint(state["step"], state["weights"], state["optimizer"], state["watched"])
    return found, state["identity"]


def _versioned(identity: Identity) -> dict[str, str | int | float]:
    return {**identity, "checkpoint_format": FORMAT_VERSION}


def check_identity(path: Path, found: Identity, wanted: Identity) -> None:
    """Refuse a checkpoint of another run.

    Raises:
        UserError: Names what differs and what to do.
    """
    for key in sorted({*found, *wanted}):
        if found.get(key) != wanted.get(key):
            raise UserError(
                f"{path}: this checkpoint is of a run with {key} = {found.get(key)!r}, but "
                f"{wanted.get(key)!r} is wanted; remove the folder {path.parent} to train anew, "
                "or restore the settings that it was made with"
            )


def newest(folder: Path, identity: Identity, tell: Callable[[str], None]) -> Checkpoint | None:
    """The newest complete checkpoint in `folder`, or None; newer damaged ones are removed.

    `tell(sentence)` is called for each of those. Only for the run's worker 0.

    Raises:
        UserError: The newest complete one is of another run, or a file cannot be read just now.
    """
    for step in steps_in(folder):
        path = path_of(folder, step)
        try:
            found, of = load(path)
        except DamagedError as error:
            tell(f"training: {path} is damaged and removed: {error}")
            path.unlink()
            continue
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error}): mend that and run again, or remove the file to "
                "go on from the checkpoint before it"
            ) from error
        check_identity(path, of, _versioned(identity))
        return found
    return None
