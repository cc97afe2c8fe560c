"""The brain's surface: a sphere that grows until it meets the dark skull.

Our own code for the method of Smith (Hum Brain Mapp 17:143, 2002, "BET"), in numpy: every vertex
of a triangulated sphere moves along its normal as long as the intensities some millimetres
inwards look like brain, while smoothness pulls it to its neighbours.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from mriqa.metrics.histogram import Floats
from mriqa.metrics.regions import Mask, Volume

Spacing = tuple[float, float, float]

_SUBDIVISIONS = 4
_STEPS = 600
_DEPTH_MM = 20.0
_BRIGHT_DEPTH_MM = 10.0
_FRACTION = 0.5
"""The surface stops where intensity falls to this part of the local brain intensity."""

_CURVATURE_MM = (3.33, 10.0)
"""Radii of curvature between which smoothing sets in."""

_ROBUST_PERCENT = (2.0, 98.0)
_STEP = 0.05


@dataclass(frozen=True)
class Levels:
    """Intensities that steer the surface: robust range, threshold of the head, median of brain."""

    low: float
    threshold: float
    high: float
    brain: float


def brain_of(image: Volume, spacing_mm: Spacing, head: Mask) -> Mask:
    """The brain in `image` `(z, y, x)`, inside `head`; nothing where that is empty or flat."""
    if not head.any() or image[head].max() <= image.min():
        return head & False
    levels, centre, radius = _start(image, spacing_mm, head)
    vertices, faces = _sphere(_SUBDIVISIONS)
    mesh = _Mesh(faces, len(vertices))
    points = centre + vertices * (radius / 2)
    for step in range(_STEPS):
        points = points + _forces(points, mesh, levels, image, spacing_mm, early=step < _STEPS // 2)
    return _filled(points, faces, image.shape, spacing_mm)


def _start(image: Volume, spacing_mm: Spacing, head: Mask) -> tuple[Levels, Floats, float]:
    """Levels, centre of gravity in mm and radius in mm of a sphere as large as the head."""
    low, high = (float(np.percentile(image[head], percent)) for percent in _ROBUST_PERCENT)
    low = min(low, float(np.percentile(image, _ROBUST_PERCENT[0])))
    threshold = low + 0.1 * (high - low)
    inside = head & (image >= threshold)
    weights = np.minimum(image, high) * inside
    places = np.ix_(*(np.arange(n) * s for n, s in zip(image.shape, spacing_mm, strict=True)))
    total = float(weights.sum())
    centre = np.array([float((weights * place).sum()) / total for place in places])
    volume_mm3 = float(np.count_nonzero(inside)) * float(np.prod(spacing_mm))
    radius = float(np.cbrt(3 * volume_mm3 / (4 * np.pi)))
    distance = sum((place - c) ** 2 for place, c in zip(places, centre, strict=True))
    near = (np.asarray(distance) < (0.8 * radius) ** 2) & inside & (image < high)
    brain = float(np.median(image[near])) if near.any() else (threshold + high) / 2
    return Levels(low, threshold, high, brain), centre, radius


class _Mesh:
    """Neighbours and normals of a closed surface of triangles."""

    def __init__(self, faces: npt.NDArray[np.intp], n: int) -> None:
        self._faces = faces
        rows, columns = faces.ravel(), np.roll(faces, 1, axis=1).ravel()
        ones = np.ones(rows.size)
        both = (np.concatenate([rows, columns]), np.concatenate([columns, rows]))
        edges = sparse.csr_matrix((np.concatenate([ones, ones]), both), shape=(n, n))
        edges.data[:] = 1
        self._mean = sparse.diags(1 / np.asarray(edges.sum(axis=1)).ravel()) @ edges
        number = np.repeat(np.arange(len(faces)), 3)
        self._of_faces = sparse.csr_matrix((ones, (rows, number)), shape=(n, len(faces)))

    def neighbours(self, points: Floats) -> Floats:
        """Mean of every vertex's neighbours."""
        return np.asarray(self._mean @ points)

    def normals(self, points: Floats) -> Floats:
        """Unit vectors outwards."""
        a, b, c = (points[self._faces[:, corner]] for corner in range(3))
        normals = np.asarray(self._of_faces @ np.cross(b - a, c - a))
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return np.asarray(normals / np.maximum(length, 1e-9))

    def edge(self, points: Floats) -> float:
        """Mean length of an edge."""
        ends = points[self._faces]
        return float(np.linalg.norm(ends - np.roll(ends, 1, axis=1), axis=2).mean())


def _forces(
    points: Floats, mesh: _Mesh, levels: Levels, image: Volume, spacing_mm: Spacing, *, early: bool
) -> Floats:
    """What moves every vertex (Smith 2002, eq. 1-13)."""
    normals = mesh.normals(points)
    length = mesh.edge(points)
    pull = mesh.neighbours(points) - points
    along = (pull * normals).sum(axis=1)
    inwards = along[:, None] * normals
    curvature = 2 * np.abs(along) / length**2
    sharp, flat = (1 / radius for radius in _CURVATURE_MM)
    smooth = (1 + np.tanh(6 / (sharp - flat) * (curvature - (sharp + flat) / 2))) / 2
    push = _STEP * _drive(points, normals, levels, image, spacing_mm) * length
    # Twice the step at first: the way out is long.
    return np.asarray(
        0.5 * (pull - inwards)
        + smooth[:, None] * inwards
        + ((2 if early else 1) * push)[:, None] * normals
    )


def _drive(
    points: Floats, normals: Floats, levels: Levels, image: Volume, spacing_mm: Spacing
) -> Floats:
    """Outwards (up to 2) where it looks like brain below a vertex, inwards where it does not."""
    step = float(min(spacing_mm))
    depths = np.arange(0.0, _DEPTH_MM, step)
    places = points[:, None] - depths[:, None] * normals[:, None]
    index = np.rint(places / np.asarray(spacing_mm)).astype(np.intp)
    outside = np.zeros(index.shape[:2], np.bool_)
    for axis, size in enumerate(image.shape):
        outside |= (index[..., axis] < 0) | (index[..., axis] >= size)
        np.clip(index[..., axis], 0, size - 1, out=index[..., axis])
    along = image[index[..., 0], index[..., 1], index[..., 2]]
    along[outside] = levels.low
    darkest = np.clip(along.min(axis=1), levels.low, levels.brain)
    near = along[:, depths < _BRIGHT_DEPTH_MM].max(axis=1)
    brightest = np.clip(near, levels.threshold, levels.brain)
    local = (brightest - levels.low) * _FRACTION + levels.low
    return np.asarray(2 * (darkest - local) / np.maximum(brightest - levels.low, 1e-9))


def _sphere(subdivisions: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Vertices `(n, 3)` and faces `(m, 3)`, outwards, of an icosahedron divided so many times."""
    golden = (1 + 5**0.5) / 2
    base = [(0, one, two * golden) for one in (-1, 1) for two in (-1, 1)]
    corners = np.array([np.roll(corner, turn) for turn in range(3) for corner in base])
    distance = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    near = np.abs(distance - 2) < 1e-6
    triples = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if near[a, b] and near[b, c] and near[a, c]
    ]
    vertices, faces = corners / np.linalg.norm(corners[0]), np.array(triples)
    for _ in range(subdivisions):
        vertices, faces = _divided(vertices, faces)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    turned = (np.cross(b - a, c - a) * a).sum(axis=1) < 0
    faces[turned] = faces[turned][:, ::-1]
    return vertices, faces


def _divided(vertices: Floats, faces: npt.NDArray[np.intp]) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Every face in four, on the unit sphere."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    middle = vertices[unique].sum(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = (inverse.reshape(-1, 3) + len(vertices)).T
    a, b, c = faces.T
    four = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    divided = np.concatenate([np.stack(face, axis=1) for face in four])
    return np.concatenate([vertices, middle]), divided


def _filled(
    points: Floats, faces: npt.NDArray[np.intp], shape: tuple[int, ...], spacing_mm: Spacing
) -> Mask:
    """What lies inside the surface: its triangles drawn densely, and filled."""
    corners = points[faces] / np.asarray(spacing_mm)
    longest = float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max())
    n = int(np.clip(np.ceil(longest * 2), 2, 12))
    grid = [(i / n, j / n, 1 - (i + j) / n) for i in range(n + 1) for j in range(n + 1 - i)]
    drawn = np.rint(np.einsum("gk,fkd->gfd", np.array(grid), corners).reshape(-1, 3)).astype(int)
    drawn = np.clip(drawn, 0, np.array(shape) - 1)
    shell = np.zeros(shape, np.bool_)
    shell[tuple(drawn.T)] = True
    # Where the surface leaves the volume, the volume's edge closes it.
    return np.asarray(ndimage.binary_fill_holes(shell))
