"""The trunk: skin, subcutaneous fat, muscular wall, ribs, cavity, spine and back muscles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mriqa.artifacts.phantom.canvas import (
    Canvas,
    Floats,
    Grid,
    Region,
    coverage,
    ellipsoid,
    smooth_field,
    tube,
)
from mriqa.artifacts.phantom.person import Body, Person
from mriqa.artifacts.phantom.tissue import Tissue

Angles = NDArray[np.float64]
N_ANGLES = 720
VERTEBRA_MM = 36.0
RIB_MM = 27.0


@dataclass(frozen=True)
class Trunk:
    """Landmarks in mm (z to the head from the middle of L1, y to the front, x to the left)."""

    body: Body
    outer: Floats
    """Radius of the skin, shape (z, angle)."""
    muscle: Floats
    """Radius of the muscular wall's outside, shape (z, angle)."""
    cavity: Floats
    """Radius of the abdominal cavity, shape (z, angle)."""
    half_width: float
    """Of the cavity."""
    front: float
    """y of the cavity's front wall."""
    spine: float
    """y of the vertebral bodies' centre at L1."""

    def spine_y(self, z: float) -> float:
        """y of the vertebral bodies' centre at height z (lordosis)."""
        return self.spine + self.body.lordosis * (1 - (z / 90) ** 2) - self.body.lordosis


def _bump(phi: Angles, centre_deg: float, width_deg: float, power: int = 2) -> Angles:
    away = np.abs((np.rad2deg(phi) - centre_deg + 180) % 360 - 180)
    return np.asarray(np.exp(-((away / width_deg) ** power)))


def shape_trunk(grid: Grid, body: Body, person: Person, rng: np.random.Generator) -> Trunk:
    """Lay out one person's trunk on a grid; draws the individual outline from `rng`."""
    z = grid.axes[0][:, None].astype(np.float64)
    phi = np.linspace(-np.pi, np.pi, N_ANGLES, endpoint=False)[None, :]
    outer = _outline(z, phi, body, person, rng)
    fat = _skin_fat(z, phi, body, person, rng)
    muscle = outer - fat
    wall = _wall(phi, body)
    side, back = 0.85 * body.skin_fat, 0.8 * body.skin_fat
    return Trunk(
        body,
        outer.astype(np.float32),
        muscle.astype(np.float32),
        np.maximum(muscle - wall, 20).astype(np.float32),
        half_width=body.half_width - side - body.wall,
        front=1.08 * body.half_depth - body.skin_fat - 0.7 * body.wall,
        spine=-0.9 * body.half_depth + back + 58 * body.scale,
    )


def _outline(
    z: Angles, phi: Angles, body: Body, person: Person, rng: np.random.Generator
) -> Angles:
    widen = 1 + body.hip_flare * ((z + 20) / 130) ** 2
    belly = 1 + 0.004 * max(person.bmi - 24, 0) * np.clip(-z / 80, -0.6, 1)
    width = body.half_width * widen
    depth = body.half_depth * np.where(np.sin(phi) > 0, 1.08 * belly, 0.92)
    exponent = 2.3
    radius = (
        np.abs(np.cos(phi) / width) ** exponent + np.abs(np.sin(phi) / depth) ** exponent
    ) ** (-1 / exponent)
    for order in range(2, 6):
        strength, phase, drift = rng.normal(0, 0.009), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.3)
        radius = radius * (1 + strength * np.cos(order * phi + phase + drift * z / 60))
    # The back lies on the table.
    flat = 0.86 * body.half_depth / np.maximum(-np.sin(phi), 0.05)
    radius = (radius**-14 + flat**-14) ** (-1 / 14)
    furrow = np.clip(9 - 0.25 * (person.bmi - 18), 1, 9)
    return np.asarray(radius - furrow * _bump(phi, -90, 9))


def _skin_fat(
    z: Angles, phi: Angles, body: Body, person: Person, rng: np.random.Generator
) -> Angles:
    flank = _bump(phi, -45, 32) + _bump(phi, -135, 32)
    if person.sex == "F":
        share = 0.92 + 0.42 * flank + 0.12 * _bump(phi, 90, 45)
    else:
        share = 0.80 + 0.50 * flank + 0.22 * _bump(phi, 90, 40)
    share = share - 0.35 * _bump(phi, -90, 12) - 0.25 * _bump(phi, 90, 5)
    share = share * (1 - 0.10 * np.clip(z / 60, -1.5, 1.5))
    for order in (1, 2, 3):
        share = share * (1 + rng.normal(0, 0.05) * np.cos(order * phi + rng.uniform(0, 2 * np.pi)))
    return np.asarray(np.maximum(body.skin_fat * share, 2.0))


def _wall(phi: Angles, body: Body) -> Angles:
    rectus = 0.75 * body.wall * np.maximum(_bump(phi, 72, 13, 4), _bump(phi, 108, 13, 4))
    lateral = body.wall * (_bump(phi, 0, 48, 4) + _bump(phi, 180, 48, 4))
    back = (44 * body.scale + 0.1 * body.half_depth) * _bump(phi, -90, 42, 4)
    return np.asarray(np.maximum(np.maximum(rectus, lateral), 4.0) + back)


@dataclass(frozen=True)
class Compartments:
    """Shares (0 to 1) of every voxel that lie inside skin, muscle and cavity; shape (z, y, x)."""

    skin: Floats
    muscle: Floats
    cavity: Floats
    deep_cavity: Floats
    """The cavity without the 3 mm next to its wall, where no organ lies."""
    depth: Floats
    """mm below the skin; negative outside."""


def paint_trunk(
    canvas: Canvas, trunk: Trunk, tissue: Tissue, rng: np.random.Generator
) -> Compartments:
    """Paint skin, fat, the muscular wall with its ribs, and the cavity's fat."""
    grid, edge = canvas.grid, canvas.edge_mm
    y, x = grid.axes[1][:, None], grid.axes[2][None, :]
    radius = np.sqrt(x * x + y * y)
    turn = np.arctan2(y, x)
    angle = np.mod(np.rint((turn + np.pi) * (N_ANGLES / (2 * np.pi))), N_ANGLES).astype(np.intp)
    depths = [np.take(t, angle, axis=1) - radius for t in (trunk.outer, trunk.muscle, trunk.cavity)]
    outer, inner, cavity = depths
    parts = Compartments(
        coverage(outer, edge),
        coverage(inner, edge),
        coverage(cavity, edge),
        coverage(cavity - 3, edge),
        outer,
    )
    streaks = smooth_field(rng, grid, 9.0, anchored=True)
    image = canvas.image
    fat = tissue.fat * (1 + 0.22 * streaks) + 0.05 * np.exp(-(((outer - 14) / 2.2) ** 2))
    image += parts.skin * fat
    image += (parts.skin - coverage(outer - 2.2, edge)) * tissue.skin
    muscle = _muscle(trunk, tissue, inner, cavity, streaks)
    muscle = _ribs(muscle, trunk, tissue, grid, angle, inner, rng)
    image += parts.muscle * (muscle - image)
    visceral = tissue.visceral_fat * (1 + 0.25 * np.roll(streaks, 7, axis=2))
    image += parts.cavity * (visceral - image)
    return parts


def _muscle(trunk: Trunk, tissue: Tissue, inner: Floats, cavity: Floats, streaks: Floats) -> Floats:
    """Muscle with fat between its layers and, growing with age, inside it."""
    marbling = np.clip(streaks * 0.9 - 0.4, 0, 1) * np.float32(2.2 * trunk.body.muscle_fat)
    seam = np.exp(-(((inner - 0.45 * trunk.body.wall) / 1.1) ** 2)) * np.float32(0.3)
    share = np.clip(1 - marbling - seam * (cavity < 0), 0.1, 1)
    return np.asarray(tissue.muscle * share, np.float32)


def _ribs(
    muscle: Floats,
    trunk: Trunk,
    tissue: Tissue,
    grid: Grid,
    angle: NDArray[np.intp],
    inner: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Ribs slope down from the spine to the front and end at the costal margin."""
    z = grid.axes[0][:, None].astype(np.float64)
    phi = np.linspace(-180, 180, N_ANGLES, endpoint=False)[None, :]
    from_back = np.abs((phi + 90 + 180) % 360 - 180)
    height = z / trunk.body.scale + 0.62 * from_back + rng.uniform(0, RIB_MM)
    along = np.abs((height + RIB_MM / 2) % RIB_MM - RIB_MM / 2)
    margin = -28 + 0.012 * from_back**2
    present = (z > margin) & (from_back > 27) & (from_back < 128)
    table = np.where(present, 5.6 - along, -9.0).astype(np.float32)
    across = np.float32(4.6) - np.abs(inner - np.float32(0.55 * trunk.body.wall))
    depth = np.minimum(np.take(table, angle, axis=1), across)
    bone = tissue.cortical_bone + coverage(depth - 2.0, 1.5) * (tissue.marrow - 0.02)
    return np.asarray(muscle + coverage(depth, 1.5) * (bone - muscle), np.float32)


def paint_spine(canvas: Canvas, trunk: Trunk, tissue: Tissue, rng: np.random.Generator) -> None:
    """Paint vertebral bodies, discs, canal and cord, arches and processes, psoas muscles."""
    s = trunk.body.scale
    first = rng.uniform(0, VERTEBRA_MM)
    _paint_psoas(canvas, trunk, tissue, s)
    for level in range(-5, 6):
        z = first + level * VERTEBRA_MM * s
        y = trunk.spine_y(z)
        _paint_arch(canvas, tissue, z, y, s)
        _paint_vertebra(canvas, tissue, z, y, s, float(np.exp(rng.normal(0, 0.05))))
    low, high = trunk.spine_y(-150) - 26 * s, trunk.spine_y(150) - 26 * s
    middle = trunk.spine_y(0) - 26 * s
    for start, end in (
        ((-150.0, low, 0.0), (0.0, middle, 0.0)),
        ((0.0, middle, 0.0), (150.0, high, 0.0)),
    ):
        canvas.paint(tube(canvas.grid, start, end, 9.0 * s), tissue.cerebrospinal_fluid)
        canvas.paint(tube(canvas.grid, start, end, 4.6 * s), tissue.cord)


def _paint_vertebra(
    canvas: Canvas, tissue: Tissue, z: float, y: float, s: float, brightness: float
) -> None:
    half = VERTEBRA_MM * s / 2
    disc = _drum(canvas.grid, (z + half, y, 0.0), (5.0 * s, 16.0 * s, 21.0 * s))
    canvas.paint(disc, tissue.disc)
    body = (half - 3.5 * s, 16.5 * s, 22.0 * s)
    canvas.paint(_drum(canvas.grid, (z, y, 0.0), body), tissue.cortical_bone + 0.05)
    inside = (body[0] - 1.5, body[1] - 1.6, body[2] - 1.6)
    canvas.paint(_drum(canvas.grid, (z, y, 0.0), inside), tissue.marrow * brightness)
    vein = ellipsoid(canvas.grid, (z, y - 9 * s, 0.0), (3.0, 6.0 * s, 2.5))
    canvas.paint(vein, tissue.blood * 0.75)


def _drum(
    grid: Grid, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> Region | None:
    """A short upright cylinder of elliptic section, the shape of a vertebral body."""
    box = grid.box(centre, (radii[0] + 5, radii[1] + 6, radii[2] + 6))
    if box is None:
        return None
    z, y, x = grid.offsets(box, centre)
    section = 1 - np.sqrt((x / np.float32(radii[2])) ** 2 + (y / np.float32(radii[1])) ** 2)
    return Region(box, np.minimum(section * np.float32(radii[1]), np.float32(radii[0]) - np.abs(z)))


def _paint_arch(canvas: Canvas, tissue: Tissue, z: float, y: float, s: float) -> None:
    """Pedicles, laminae, transverse and spinous process of one vertebra."""
    grid = canvas.grid
    back = y - 26 * s
    ring = ellipsoid(grid, (z, back, 0.0), (13.0 * s, 14.0 * s, 15.5 * s))
    canvas.paint(ring, tissue.cortical_bone + 0.06)
    for side in (-1, 1):
        root, tip = (z, back + 5 * s, side * 14 * s), (z - 2, back - 3 * s, side * 36 * s)
        canvas.paint(tube(grid, root, tip, 4.0 * s), tissue.cortical_bone + 0.04)
        canvas.paint(tube(grid, root, tip, 2.2 * s), tissue.marrow)
        facet = ellipsoid(grid, (z - 9 * s, back - 7 * s, side * 15 * s), (8.0, 6.0 * s, 6.0 * s))
        canvas.paint(facet, tissue.cortical_bone + 0.05)
    root, tip = (z - 4, back - 13 * s, 0.0), (z - 12 * s, back - 33 * s, 0.0)
    canvas.paint(tube(grid, root, tip, 5.0 * s), tissue.cortical_bone + 0.03)
    canvas.paint(tube(grid, root, tip, 3.0 * s), tissue.marrow)
    # Fat lies behind the arch, between the two columns of the back muscles.
    canvas.paint(
        tube(grid, (z + 9, back - 20 * s, 0.0), (z + 9, back - 44 * s, 0.0), 2.4), tissue.fat
    )


def _paint_psoas(canvas: Canvas, trunk: Trunk, tissue: Tissue, s: float) -> None:
    strength = np.clip(trunk.body.wall / 14, 0.7, 1.25)
    for side in (-1, 1):
        upper = (12.0, trunk.spine_y(12) - 6 * s, side * 27 * s)
        lower = (-130.0, trunk.spine_y(-130) + 6 * s, side * 46 * s)
        for share in range(6):
            a, b = share / 6, (share + 1) / 6
            start = tuple(p + a * (q - p) for p, q in zip(upper, lower, strict=True))
            end = tuple(p + b * (q - p) for p, q in zip(upper, lower, strict=True))
            radius = (8 + 15 * (share + 0.5) / 6) * s * strength
            region = tube(
                canvas.grid, (start[0], start[1], start[2]), (end[0], end[1], end[2]), radius
            )
            canvas.paint(region, tissue.muscle)
    for side in (-1, 1):
        quadratus = ellipsoid(
            canvas.grid,
            (-45.0, trunk.spine - 24 * s, side * 62 * s),
            (75.0, 9 * s, 20 * s),
            side * 25,
        )
        canvas.paint(quadratus, tissue.muscle)
