"""How many files a series gets, and which voxels share one."""

import numpy as np
import pytest

from mriqa.images.layout import MIB, plan_layout


@pytest.mark.parametrize(
    ("n_volumes", "shape", "itemsize", "n_objects"),
    [
        (1, (44, 168, 224), 2, 1),
        (13, (25, 128, 128), 2, 1),
        (65, (10, 10, 10), 2, 1),
        (1, (274, 384, 384), 2, 2),  # 77 MiB
        (600, (40, 128, 128), 2, 12),  # 750 MiB
        (3, (320, 260, 316), 4, 6),  # 100 MiB a volume
    ],
)
def test_objects_are_few(n_volumes, shape, itemsize, n_objects):
    layout = plan_layout(n_volumes, shape, itemsize, 64 * MIB)
    assert len(list(layout.blocks())) == n_objects
    total_mib = n_volumes * np.prod(shape) * itemsize / MIB
    assert n_objects + 1 <= 3 + 1.2 * total_mib / 64


@pytest.mark.parametrize("object_bytes", [1, 700, 5_000, 20_000, 10**6])
@pytest.mark.parametrize("n_volumes", [1, 2, 7])
def test_blocks_cover_every_slice_once_in_the_order_of_the_file(n_volumes, object_bytes):
    layout = plan_layout(n_volumes, (9, 10, 12), 2, object_bytes)
    seen = [
        (t, z)
        for block in layout.blocks()
        for t in range(block.t0, block.t1)
        for z in range(block.z0, block.z1)
    ]
    assert seen == [(t, z) for t in range(n_volumes) for z in range(9)]
    assert layout.object_bytes <= max(object_bytes, 240)
    assert all(a % b == 0 for a, b in zip(layout.shards, layout.chunks, strict=True))
