"""Liver with its vessels, gallbladder, spleen, kidneys, pancreas and the great vessels."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mriqa.artifacts.phantom.canvas import Canvas, Floats, Grid, Point, Region, ellipsoid, tube
from mriqa.artifacts.phantom.tissue import Tissue
from mriqa.artifacts.phantom.trunk import Compartments, Trunk


@dataclass(frozen=True)
class Setting:
    """What the painters of organs share."""

    canvas: Canvas
    trunk: Trunk
    tissue: Tissue
    parts: Compartments
    wobble: Floats
    """mm by which outlines are moved, shape (z, y, x): no organ is an ellipsoid."""

    @property
    def grid(self) -> Grid:
        """The grid painted on."""
        return self.canvas.grid

    def organ(self, region: Region | None, value: float | Floats, irregular: float = 1.0) -> None:
        """Paint a region inside the cavity with an irregular outline."""
        self.canvas.paint(region, value, self.parts.deep_cavity, self.wobble, irregular)


def paint_liver(setting: Setting, rng: np.random.Generator) -> None:
    """Paint right and left lobe, their vessels and the gallbladder."""
    trunk, grid, s = setting.trunk, setting.grid, setting.trunk.body.scale
    a, front = trunk.half_width, trunk.front
    size = float(np.exp(rng.normal(0, 0.06)))
    lower = 1 + rng.normal(0, 0.1)
    wide = (0.26 * a + 36 * s) * size
    right = ellipsoid(
        grid,
        (40 * s, 0.02 * front, wide - a - 3),
        (84 * s * size * lower, 0.5 * front + 40 * s, wide),
        8 + rng.normal(0, 4),
    )
    left = ellipsoid(
        grid,
        (62 * s, 0.46 * front, -0.06 * a + rng.normal(0, 8)),
        (56 * s * size, 0.44 * front, 0.56 * a * size),
        rng.normal(-12, 5),
    )
    caudate = ellipsoid(grid, (52 * s, trunk.spine + 44 * s, -18 * s), (30 * s, 14 * s, 20 * s), 0)
    value = setting.tissue.liver
    for lobe in (right, left, caudate):
        setting.organ(lobe, value)
    _paint_liver_vessels(setting, rng)
    _paint_gallbladder(setting, rng)


def _paint_gallbladder(setting: Setting, rng: np.random.Generator) -> None:
    if rng.random() < 0.12:
        return  # it was removed
    trunk, s = setting.trunk, setting.trunk.body.scale
    place = (2 * s, 0.48 * trunk.front, -0.42 * trunk.half_width)
    dz, dy, dx = rng.normal(0, (10, 8, 8))
    deep, wide = np.exp(rng.normal(0, (0.2, 0.3)))
    bladder = ellipsoid(
        setting.grid,
        (place[0] + dz, place[1] + dy, place[2] + dx),
        (26 * s, 15 * s * deep, 11 * s * wide),
        rng.normal(0, 30),
    )
    setting.organ(bladder, setting.tissue.fluid * float(np.exp(rng.normal(0.2, 0.5))), 0.6)


def _paint_liver_vessels(setting: Setting, rng: np.random.Generator) -> None:
    """Three hepatic veins from the caval confluence, the portal vein from the hilum."""
    trunk, s = setting.trunk, setting.trunk.body.scale
    a, front = trunk.half_width, trunk.front
    dome = (92 * s, trunk.spine + 36 * s, -24 * s)
    hilum = (34 * s, trunk.spine + 52 * s, -0.20 * a)
    goals: list[tuple[Point, Point, float]] = [
        (dome, (55 * s, 0.0, -0.85 * a), 5.8),
        (dome, (60 * s, 0.55 * front, -0.50 * a), 5.4),
        (dome, (70 * s, 0.60 * front, 0.05 * a), 5.0),
        (hilum, (18 * s, 0.0, -0.80 * a), 6.4),
        (hilum, (60 * s, 0.1 * front, -0.80 * a), 5.6),
        (hilum, (58 * s, 0.55 * front, -0.05 * a), 5.2),
    ]
    for start, goal, radius in goals:
        for begin, end, width in branches(rng, start, goal, radius, 3):
            setting.canvas.paint(
                tube(setting.grid, begin, end, width),
                setting.tissue.hepatic_blood,
                setting.parts.deep_cavity,
            )


def branches(
    rng: np.random.Generator, start: Point, goal: Point, radius: float, generations: int
) -> Iterator[tuple[Point, Point, float]]:
    """Segments (start, end, radius in mm) of a tree of vessels that grows towards `goal`."""
    here, far = np.array(start), np.array(goal)
    end = here + 0.45 * (far - here) + rng.normal(0, 3, 3)
    yield start, (float(end[0]), float(end[1]), float(end[2])), radius
    if generations == 0:
        return
    spread = 0.45 * float(np.linalg.norm(far - end))
    for _ in range(2):
        tip = far + rng.normal(0, spread, 3)
        yield from branches(
            rng,
            (float(end[0]), float(end[1]), float(end[2])),
            (float(tip[0]), float(tip[1]), float(tip[2])),
            radius * 0.72,
            generations - 1,
        )


def paint_spleen(setting: Setting, rng: np.random.Generator) -> None:
    """Paint the spleen against the left back wall."""
    trunk, s = setting.trunk, setting.trunk.body.scale
    size = float(np.exp(rng.normal(0, 0.12)))
    region = ellipsoid(
        setting.grid,
        (52 * s + rng.normal(0, 6), -0.28 * trunk.half_width, 0.80 * trunk.half_width),
        (52 * s * size, 50 * s * size, 27 * s * size),
        -22 + rng.normal(0, 8),
    )
    setting.organ(region, setting.tissue.spleen)


def paint_kidneys(setting: Setting, rng: np.random.Generator) -> None:
    """Paint both kidneys: cortex, pyramids, the fat and vessels of the sinus."""
    trunk, s = setting.trunk, setting.trunk.body.scale
    fat_room = 0.10 * (trunk.half_width - 110)
    for side, height in ((1, 8.0), (-1, -8.0)):
        size = s * float(np.exp(rng.normal(0, 0.05)))
        centre = (
            height * s + rng.normal(0, 7),
            trunk.spine - 6 * s + rng.normal(0, 3),
            side * (55 * s + fat_room + rng.normal(0, 2.5)),
        )
        turn = side * (38 + rng.normal(0, 7))
        _paint_kidney(setting, centre, size, side, turn, rng)


def _paint_kidney(
    setting: Setting,
    centre: Point,
    size: float,
    side: int,
    turn_deg: float,
    rng: np.random.Generator,
) -> None:
    grid, tissue = setting.grid, setting.tissue
    capsule = ellipsoid(grid, centre, (57 * size, 26.2 * size, 31.4 * size), turn_deg)
    setting.organ(capsule, tissue.visceral_fat, 0.45)
    cortex = ellipsoid(grid, centre, (54 * size, 24 * size, 29 * size), turn_deg)
    setting.organ(cortex, tissue.renal_cortex, 0.45)
    for number in range(18):
        around, up = 2 * np.pi * rng.random(), rng.uniform(-0.75, 0.75)
        ring = np.sqrt(1 - up * up) * 0.62
        local = (ring * 29 * size * np.cos(around), ring * 24 * size * np.sin(around))
        cos, sin = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        place = (
            centre[0] + up * 54 * size * 0.8,
            centre[1] + local[0] * sin + local[1] * cos,
            centre[2] + local[0] * cos - local[1] * sin,
        )
        pyramid = ellipsoid(grid, place, (6.5, 5.0, 5.0 + 0.1 * number))
        setting.organ(pyramid, tissue.renal_medulla, 0.2)
    inward = (centre[0], centre[1] + 7 * size, centre[2] - side * 11 * size)
    sinus = ellipsoid(grid, inward, (24 * size, 8 * size, 15 * size), turn_deg)
    setting.organ(sinus, tissue.visceral_fat, 0.8)
    gate = (centre[0], centre[1] + 12 * size, centre[2] - side * 22 * size)
    setting.organ(tube(grid, inward, gate, 3.2), tissue.blood, 0.0)
    vessel_end = (centre[0] + 6, setting.trunk.spine + 24 * size, side * 14.0)
    setting.organ(tube(grid, gate, vessel_end, 3.4), tissue.blood, 0.0)
    setting.organ(ellipsoid(grid, inward, (9.0, 3.5, 5.5), turn_deg), tissue.fluid, 0.3)


def paint_pancreas(setting: Setting, rng: np.random.Generator) -> None:
    """Paint the pancreas as a lobulated band from the duodenum to the spleen."""
    trunk, s = setting.trunk, setting.trunk.body.scale
    y = trunk.spine + 46 * s
    path = [
        (-6 * s, y + 4, -46 * s),
        (8 * s, y + 10, -24 * s),
        (16 * s, y + 14, 4 * s),
        (24 * s, y + 4, 34 * s),
        (34 * s, y - 14, 62 * s),
    ]
    for start, end in itertools.pairwise(path):
        region = tube(setting.grid, start, end, float(rng.uniform(9.0, 12.0)) * s)
        setting.organ(region, setting.tissue.pancreas, 1.2)
    vein = [(z - 5, yy - 9, x) for z, yy, x in path[1:]]
    for start, end in itertools.pairwise(vein):
        setting.organ(tube(setting.grid, start, end, 4.2), setting.tissue.blood, 0.0)


def paint_great_vessels(setting: Setting, rng: np.random.Generator) -> None:
    """Paint aorta and inferior vena cava in front of the spine, and the mesenteric vessels."""
    trunk, s = setting.trunk, setting.trunk.body.scale
    grid, tissue, cavity = setting.grid, setting.tissue, setting.parts.cavity
    shift = rng.normal(0, 3)
    knots = (-150.0, -75.0, 0.0, 75.0, 150.0)
    for low, high in itertools.pairwise(knots):
        aorta = [(z, trunk.spine_y(z) + 29 * s, 13 * s + shift + 0.03 * z) for z in (low, high)]
        cava = [(z, trunk.spine_y(z) + 27 * s + 0.06 * z, -21 * s - 0.03 * z) for z in (low, high)]
        setting.canvas.paint(
            tube(grid, aorta[0], aorta[1], 11.5 * s), tissue.cortical_bone + 0.1, cavity
        )
        setting.canvas.paint(tube(grid, aorta[0], aorta[1], 10.0 * s), tissue.blood * 1.06, cavity)
        setting.canvas.paint(tube(grid, cava[0], cava[1], 11.0 * s), tissue.blood, cavity)
    for y, x in ((44 * s, 9 * s), (46 * s, -9 * s)):
        start, end = (20.0, trunk.spine + y, x), (-120.0, trunk.spine + y + 14, x)
        setting.canvas.paint(tube(grid, start, end, 4.0), tissue.blood, cavity)
