"""The abdomen of one person as an ideal water image, before any scanner touched it."""

import numpy as np

from mriqa.artifacts.phantom.bowel import paint_colon, paint_small_bowel, paint_stomach
from mriqa.artifacts.phantom.canvas import (
    Canvas,
    Floats,
    Grid,
    coverage,
    ellipsoid,
    generator,
    smooth_field,
)
from mriqa.artifacts.phantom.organs import (
    Setting,
    paint_great_vessels,
    paint_kidneys,
    paint_liver,
    paint_pancreas,
    paint_spleen,
)
from mriqa.artifacts.phantom.person import Person, draw_body
from mriqa.artifacts.phantom.tissue import Tissue, personal
from mriqa.artifacts.phantom.trunk import (
    Compartments,
    Trunk,
    paint_spine,
    paint_trunk,
    shape_trunk,
)


def render_abdomen(person: Person, tissue: Tissue, grid: Grid, seed: int) -> tuple[Floats, Floats]:
    """The water signal of a person's abdomen on a grid, and the depth below the skin.

    Both (z, y, x) float32; signal 0 to about 1, depth in mm, negative outside the body (the arms
    count as outside). The same seed on another grid shows the same anatomy, but for
    the fine texture of tissue.
    """
    body = draw_body(person, generator(seed, 0))
    tissue = personal(tissue, body.liver_fat, generator(seed, 1))
    trunk = shape_trunk(grid, body, person, generator(seed, 2))
    canvas = Canvas(grid, edge_mm=1.15 * grid.spacing_mm[2])
    parts = paint_trunk(canvas, trunk, tissue, generator(seed, 3))
    setting = Setting(canvas, trunk, tissue, parts, _wobble(grid, generator(seed, 4)))
    paint_small_bowel(setting, generator(seed, 5))
    paint_colon(setting, generator(seed, 6))
    paint_pancreas(setting, generator(seed, 7))
    paint_stomach(setting, generator(seed, 8))
    paint_great_vessels(setting, generator(seed, 9))
    paint_spleen(setting, generator(seed, 11))
    paint_liver(setting, generator(seed, 12))
    paint_kidneys(setting, generator(seed, 10))
    _paint_lungs(canvas, trunk, parts, tissue)
    paint_spine(canvas, trunk, tissue, generator(seed, 13))
    _paint_arms(canvas, trunk, person, tissue, generator(seed, 14))
    _texture(canvas, generator(seed, 15))
    return canvas.image, parts.depth


def _wobble(grid: Grid, rng: np.random.Generator) -> Floats:
    coarse = smooth_field(rng, grid, 34.0, anchored=True)
    fine = smooth_field(rng, grid, 12.0, anchored=True)
    return coarse * np.float32(3.2) + fine * np.float32(1.0)


def _paint_lungs(canvas: Canvas, trunk: Trunk, parts: Compartments, tissue: Tissue) -> None:
    """Two domes of the diaphragm; between them and the wall the lung reaches down."""
    grid, s = canvas.grid, trunk.body.scale
    if grid.axes[0][-1] < 20 * s:
        return
    z, y, x = grid.offsets((slice(None),) * 3, (0.0, 0.0, 0.0))
    a = np.float32(trunk.half_width)
    right = ((x + 0.45 * a) / a) ** 2 + ((y - 5) / trunk.front) ** 2
    left = ((x - 0.45 * a) / a) ** 2 + ((y - 5) / trunk.front) ** 2
    dome = np.maximum(124 * s - 62 * s * right, 112 * s - 58 * s * left)
    behind = np.clip(-y / trunk.front, 0, 1) * np.float32(26 * s)
    depth = (z - np.maximum(dome - behind, 18 * s)) * np.float32(0.6)
    share = coverage(depth.astype(np.float32), 6.0) * parts.deep_cavity
    canvas.image += share * (np.float32(tissue.lung) - canvas.image)


def _paint_arms(
    canvas: Canvas, trunk: Trunk, person: Person, tissue: Tissue, rng: np.random.Generator
) -> None:
    """Arms beside the body, cut by the field of view in the wider ones; often raised (absent)."""
    if rng.random() < 0.35:
        return
    grid = canvas.grid
    size = (34 + 0.7 * (person.bmi - 18)) * trunk.body.scale
    for side in (-1, 1):
        gap, y = float(rng.uniform(2, 16)), float(rng.uniform(-45, 0))
        x = side * (trunk.body.half_width * (1 + trunk.body.hip_flare * 0.4) + size + gap)
        whole = ellipsoid(grid, (0.0, y, x), (900.0, size, size * 0.95))
        fat = min(0.30 * trunk.body.skin_fat + 2, 0.3 * size)
        inside = ellipsoid(grid, (0.0, y, x), (900.0, size - fat, size * 0.95 - fat))
        bone = ellipsoid(grid, (0.0, y - 4, x + side * 3), (900.0, 9.0, 9.0))
        marrow = ellipsoid(grid, (0.0, y - 4, x + side * 3), (900.0, 5.5, 5.5))
        outside = coverage(-trunk_depth(trunk, grid) - 1.5, canvas.edge_mm)
        for region, value in (
            (whole, tissue.fat),
            (inside, tissue.muscle),
            (bone, tissue.cortical_bone),
            (marrow, tissue.fat * 1.6),
        ):
            canvas.paint(region, value, outside)


def trunk_depth(trunk: Trunk, grid: Grid) -> Floats:
    """mm below the skin of the trunk (negative outside) by the mean outline; (z, y, x)."""
    y, x = grid.axes[1][:, None], grid.axes[2][None, :]
    n = trunk.outer.shape[1]
    angle = np.mod(np.rint((np.arctan2(y, x) + np.pi) * (n / (2 * np.pi))), n).astype(np.intp)
    return np.asarray(np.take(trunk.outer, angle, axis=1) - np.sqrt(x * x + y * y), np.float32)


def _texture(canvas: Canvas, rng: np.random.Generator) -> None:
    """Tissue is not uniform: variation over millimetres and over centimetres."""
    grid = canvas.grid
    fine = smooth_field(rng, grid, 3.6)
    broad = smooth_field(rng, grid, 18.0)
    canvas.image *= 1 + np.float32(0.035) * fine + np.float32(0.03) * broad
    np.clip(canvas.image, 0, None, out=canvas.image)
