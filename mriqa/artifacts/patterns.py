"""When and how a subject moves: the lines of one track and their poses.

Lines are acquired in ascending or descending frequency. Motion at the outer lines is mild, at the
centre severe: the moved lines begin at the outside and reach the centre at strong.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.families import (
    INTERSLICE_DEG,
    INTERSLICE_MM,
    MOTION_DEG,
    MOTION_MM,
    MOTION_SHARE,
    Acquisition,
    at_severity,
)
from mriqa.artifacts.model import Move, Pose

Vector = tuple[float, float, float]
Weights = NDArray[np.float64]
DRIFT_GROUPS = 16


def jump_moves(
    severity: float, lines: int, acquisition: Acquisition, rng: np.random.Generator
) -> tuple[Move, ...]:
    """One jump: the subject stays in the new pose to the end of the acquisition."""
    rotation, translation = _unit_pose(acquisition, rng)
    late = bool(rng.integers(2))
    count = moved_lines(severity, lines)
    start, stop = (lines - count, lines) if late else (0, count)
    return _present([_move(start, stop, severity, rotation, translation)])


def jumps_moves(
    severity: float, lines: int, acquisition: Acquisition, rng: np.random.Generator
) -> tuple[Move, ...]:
    """Two to four excursions, each to its own pose and back; together the stated share of lines.

    The lines of an excursion grow from its outer end towards the centre of k-space; one of them
    reaches the centre at strong.
    """
    count = int(rng.integers(2, 5))
    parts, gaps = rng.dirichlet(np.full(count, 4.0)), rng.dirichlet(np.full(count, 2.0))
    late = bool(rng.integers(2))
    poses = [_unit_pose(acquisition, rng) for _ in range(count)]
    middle = lines // 2 if late else lines // 2 + 1
    fraction = moved_lines(severity, lines) / moved_lines(1.0, lines)
    moves = []
    for number, start, stop in _excursions(parts, gaps, lines, middle, late=late):
        length = stop - start
        kept = length if severity == 1 else min(round(fraction * length), length - 1)
        start, stop = (stop - kept, stop) if start >= middle else (start, start + kept)
        moves.append(_move(start, stop, severity, *poses[number]))
    return _present(moves)


def _excursions(
    parts: Weights, gaps: Weights, lines: int, middle: int, *, late: bool
) -> list[tuple[int, int, int]]:
    """(number, start, stop) of the excursions at strong; none crosses `middle`.

    Excursions and gaps alternate around the circle of lines; it is turned until the first one
    begins (late) or ends at `middle`. One that then crosses the last line is cut in two.
    """
    moved = moved_lines(1.0, lines)
    edges = (np.concatenate([[0], np.cumsum(parts)]) * moved).round().astype(int)
    before = (np.concatenate([[0], np.cumsum(gaps)]) * (lines - moved)).round().astype(int)
    turn = middle if late else middle - int(edges[1])
    pieces = []
    for number in range(len(parts)):
        start = int(edges[number] + before[number] + turn) % lines
        stop = start + int(edges[number + 1] - edges[number])
        pieces.append((number, start, min(stop, lines)))
        if stop > lines:
            pieces.append((number, 0, stop - lines))
    return pieces


def drift_moves(
    severity: float, lines: int, acquisition: Acquisition, rng: np.random.Generator
) -> tuple[Move, ...]:
    """Steady motion in up to 16 steps, at rest at the centre of k-space.

    It reaches the rotation and translation of a jump at the outermost lines on either side.
    """
    rotation, translation = _unit_pose(acquisition, rng)
    groups = min(DRIFT_GROUPS, lines)
    edges = np.linspace(0, lines, groups + 1).round().astype(int)
    moves = []
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        place = ((start + stop - 1) / 2 - lines // 2) / (lines / 2)
        moves.append(_move(start, stop, severity, rotation, translation, place))
    return _present(moves)


def excitation_order(slices: int, interleave: int) -> NDArray[np.int64]:
    """Slices in the order of their excitation: every `interleave`-th, then the next ones."""
    return np.concatenate([np.arange(start, slices, interleave) for start in range(interleave)])


def interslice_poses(
    severity: float, slices: int, interleave: int, rng: np.random.Generator
) -> tuple[Pose, ...]:
    """Two to four stays in time, each in a pose of its own, the longest at rest; a pose a slice.

    Of the other stays the longest has the whole rotation and translation of the severity, the
    others at least half of it, in any direction of space.
    """
    count = int(rng.integers(2, 5))
    shares = rng.dirichlet(np.full(count, 4.0))
    directions = [_unit_pose("3d", rng) for _ in range(count)]
    scales = rng.uniform(0.5, 1.0, count)
    stay = np.searchsorted(np.cumsum(shares)[:-1], (np.arange(slices) + 0.5) / slices)
    rest, largest = np.argsort(-np.bincount(stay, minlength=count), kind="stable")[:2].tolist()
    if (stay == rest).all():  # of few slices
        stay[-1] = largest
    scales[rest], scales[largest] = 0.0, 1.0
    degrees, millimetres = (
        at_severity(anchors, severity) for anchors in (INTERSLICE_DEG, INTERSLICE_MM)
    )
    poses = [
        Pose(_scaled(rotation, scale * degrees), _scaled(translation, scale * millimetres))
        for (rotation, translation), scale in zip(directions, scales.tolist(), strict=True)
    ]
    by_slice = np.empty(slices, dtype=int)
    by_slice[excitation_order(slices, interleave)] = stay
    return tuple(poses[number] for number in by_slice.tolist())


def moved_lines(severity: float, lines: int) -> int:
    """How many of `lines` see the motion; at strong one more than half, so that all orders of
    acquisition have the centre among them.
    """
    share = at_severity(MOTION_SHARE, severity)
    return lines // 2 + 1 if severity == 1 else min(round(share * lines), lines // 2 - 1)


def _unit_pose(acquisition: Acquisition, rng: np.random.Generator) -> tuple[Vector, Vector]:
    """Directions of rotation and translation, each of length 1."""
    if acquisition == "3d":
        return _unit(rng.normal(size=3).tolist()), _unit(rng.normal(size=3).tolist())
    angle = rng.uniform(0, 2 * math.pi)
    turn = 1.0 if rng.integers(2) else -1.0
    return (turn, 0.0, 0.0), (0.0, math.sin(angle), math.cos(angle))


def _unit(vector: list[float]) -> Vector:
    length = math.hypot(*vector)
    return vector[0] / length, vector[1] / length, vector[2] / length


def _move(
    start: int,
    stop: int,
    severity: float,
    rotation: Vector,
    translation: Vector,
    scale: float = 1.0,
) -> Move:
    degrees = scale * at_severity(MOTION_DEG, severity)
    millimetres = scale * at_severity(MOTION_MM, severity)
    return Move(start, stop, _scaled(rotation, degrees), _scaled(translation, millimetres))


def _scaled(direction: Vector, length: float) -> Vector:
    return length * direction[0], length * direction[1], length * direction[2]


def _present(moves: list[Move]) -> tuple[Move, ...]:
    return tuple(move for move in moves if move.stop > move.start)
