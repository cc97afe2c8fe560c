"""Stomach, colon and small bowel with walls, contents and gas."""

import numpy as np

from mriqa.artifacts.phantom.canvas import Floats, Point, Region, coverage, ellipsoid, tube
from mriqa.artifacts.phantom.organs import Setting

Path = list[Point]


def paint_small_bowel(setting: Setting, rng: np.random.Generator) -> None:
    """Paint loops that wander through the middle of the cavity, and mesenteric vessels."""
    count = round(24 * np.clip(setting.trunk.half_width * setting.trunk.front / 11000, 0.7, 1.7))
    for _ in range(count):
        loop = _wander(setting, rng, int(rng.integers(5, 9)))
        radius = float(rng.uniform(10, 14.5))
        content = setting.tissue.bowel_content * float(np.exp(rng.normal(0, 0.25)))
        gas = float(rng.uniform(-5, 3)) if rng.random() < 0.18 else None
        _paint_gut(setting, loop, [radius] * len(loop), content, gas, 2.6)
    for _ in range(60):
        start = _inside(setting, rng)
        end = (
            start[0] + rng.normal(0, 9),
            start[1] + rng.normal(0, 16),
            start[2] + rng.normal(0, 16),
        )
        vessel = tube(setting.grid, start, end, float(rng.uniform(1.0, 2.2)))
        setting.canvas.paint(vessel, setting.tissue.blood * 0.8, setting.parts.deep_cavity)


def _inside(setting: Setting, rng: np.random.Generator) -> Point:
    """A point of the region where small bowel lies."""
    trunk = setting.trunk
    low = trunk.spine + 42 * trunk.body.scale
    return (
        float(rng.uniform(-125, 22)),
        float(rng.uniform(low, max(trunk.front - 10, low + 12))),
        float(rng.uniform(-0.62, 0.66) * trunk.half_width),
    )


def _wander(setting: Setting, rng: np.random.Generator, steps: int) -> Path:
    here = np.array(_inside(setting, rng))
    heading = rng.normal(0, 1, 3) * (0.6, 0.8, 1.2)
    low, high = setting.trunk.spine + 38 * setting.trunk.body.scale, setting.trunk.front - 8
    path = []
    for _ in range(steps):
        path.append((float(here[0]), float(here[1]), float(here[2])))
        heading = 0.75 * heading + rng.normal(0, 0.75, 3) * (0.6, 0.8, 1.0)
        here = here + 19 * heading / max(float(np.linalg.norm(heading)), 1e-3)
        here[1] = np.clip(here[1], low, max(high, low + 5))
    return path


def _paint_gut(
    setting: Setting,
    path: Path,
    radii: list[float],
    content: float,
    gas_mm: float | None,
    wall_mm: float,
) -> None:
    """Paint the wall along a path, then its lumen; gas rises to `gas_mm` above the middle."""
    pieces = list(zip(path, path[1:], radii, strict=False))
    for start, end, radius in pieces:
        setting.organ(tube(setting.grid, start, end, radius), setting.tissue.bowel_wall, 0.6)
    for start, end, radius in pieces:
        lumen = tube(setting.grid, start, end, radius - wall_mm)
        if lumen is None:
            continue
        value: float | Floats = content
        if gas_mm is not None:
            value = _with_gas(setting, lumen, content, (start[1] + end[1]) / 2 + gas_mm)
        setting.organ(lumen, value, 0.6)


def _with_gas(setting: Setting, lumen: Region, content: float, level: float) -> Floats:
    """Contents below a horizontal level, gas above: the person lies on the back."""
    _, y, _ = setting.grid.offsets(lumen.box, (0.0, level, 0.0))
    above = coverage(y, setting.canvas.edge_mm)
    return np.asarray(content + above * (setting.tissue.gas - content), np.float32)


def paint_colon(setting: Setting, rng: np.random.Generator) -> None:
    """Paint ascending, transverse and descending colon with haustra, stool and gas."""
    trunk, s = setting.trunk, setting.trunk.body.scale
    a, front = trunk.half_width, trunk.front
    side_y = trunk.spine + 14 * s
    ascending = [(float(z), side_y + rng.normal(0, 4), -0.74 * a) for z in range(-130, -5, 24)]
    descending = [(float(z), side_y + rng.normal(0, 4), 0.80 * a) for z in range(-130, 42, 24)]
    sag = float(rng.uniform(5, 45))
    transverse = [
        (-12 - sag * float(np.cos(u * 1.5)) + 24 * u, front - 24 - 26 * abs(u) ** 3, 0.74 * a * u)
        for u in np.linspace(-1, 1, 9)
    ]
    for path, width in ((ascending, 22.0), (transverse, 18.0), (descending, 15.0)):
        content = setting.tissue.bowel_content * float(np.exp(rng.normal(0.0, 0.25)))
        gas = float(rng.uniform(-9, 6)) if rng.random() < 0.75 else None
        radii = [width * s * float(np.exp(rng.normal(0, 0.13))) for _ in path]
        _paint_gut(setting, path, radii, content, gas, 2.4)


def paint_stomach(setting: Setting, rng: np.random.Generator) -> None:
    """Paint the stomach: a wall, fluid or food, and a bubble of gas in front."""
    trunk, s = setting.trunk, setting.trunk.body.scale
    a, front = trunk.half_width, trunk.front
    fill = float(np.exp(rng.normal(0, 0.18)))
    centre = (56 * s, 0.34 * front, 0.42 * a)
    radii = (46 * s, 30 * s * fill, 36 * s * fill)
    turn = 25 + float(rng.normal(0, 8))
    setting.organ(ellipsoid(setting.grid, centre, radii, turn), setting.tissue.bowel_wall)
    inner = (radii[0] - 4, radii[1] - 4, radii[2] - 4)
    lumen = ellipsoid(setting.grid, centre, inner, turn)
    if lumen is None:
        return
    content = setting.tissue.fluid * float(np.exp(rng.normal(0.35, 0.4)))
    level = centre[1] + float(rng.uniform(-6, 20)) * s
    setting.organ(lumen, _with_gas(setting, lumen, content, level))
