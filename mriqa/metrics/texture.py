"""Sharpness and noise of single slices, from finite differences."""

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

NEAR, FAR = 2, 6
"""Distances in voxels over which the differences of `edge_energy` are taken."""

RESIDUAL_GAIN = 6.0
"""Standard deviation of `noise_residual` in noise of standard deviation 1."""


def edge_energy(plane: Plane, valid: Mask) -> tuple[float, float]:
    """Energy of intensity differences over 2 and over 6 voxels, summed over both axes.

    Sharpness is their quotient: 1/3 for a step, 1/9 for an edge of 6 voxels or more. Every energy
    is the product of the differences of two adjacent lines, not a square: lines share edges
    but not noise, so that noise adds nothing on average.
    """
    near_x, far_x = _line_energy(plane, valid)
    near_y, far_y = _line_energy(plane.T, valid.T)
    return near_x + near_y, far_x + far_y


def _line_energy(plane: Plane, valid: Mask) -> tuple[float, float]:
    if plane.shape[1] <= FAR:
        return 0.0, 0.0
    inner = (FAR - NEAR) // 2
    near = plane[:, inner + NEAR : plane.shape[1] - inner] - plane[:, inner : -inner - NEAR]
    far = plane[:, FAR:] - plane[:, :-FAR]
    weight = valid[:-1, FAR // 2 : -FAR // 2]
    return (
        float(np.einsum("ij,ij,ij->", near[:-1], near[1:], weight, dtype=np.float32)),
        float(np.einsum("ij,ij,ij->", far[:-1], far[1:], weight, dtype=np.float32)),
    )


def noise_residual(plane: Plane) -> Plane:
    """What a product of second differences along y and x leaves, `(y - 2, x - 2)`: noise.

    Immerkær, Comput Vis Image Underst 64:300, 1996. Smooth tissue and straight edges along an
    axis vanish; white noise of standard deviation s comes out with 6 s.
    """
    along = plane[:, :-2] + plane[:, 2:]
    along -= 2 * plane[:, 1:-1]
    both = along[:-2] + along[2:]
    both -= 2 * along[1:-1]
    return both
