"""Which volumes are compared with one another."""

import pyarrow as pa
import pytest

from mriqa.rating.rate import add_strata

COLUMNS = ("contrast", "protocol")


def protocols(spacings, scanner="Skyra"):
    """The protocol of volumes of the given spacing_y_mm."""
    n = len(spacings)
    volumes = pa.table(
        {
            "status": ["ok"] * n,
            "contrast": ["T1w"] * n,
            "scanner": pa.array([scanner] * n, pa.string()),
            "spacing_z_mm": [3.0] * n,
            "spacing_y_mm": spacings,
            "spacing_x_mm": [1.0] * n,
        }
    )
    return add_strata(volumes, COLUMNS)["protocol"].to_pylist()


@pytest.mark.parametrize("size", [0.75, 1.25, 2.25, 0.35, 0.95])
def test_float32_noise_of_a_voxel_size_makes_no_new_protocol(size):
    found = protocols([size, size - 2e-6, size + 2e-6])
    assert len(set(found)) == 1
    assert found[0].startswith("Skyra ")


def test_other_voxel_sizes_are_other_protocols():
    assert protocols([1.0, 1.1]) == ["Skyra 1.0x1.0x3.0mm", "Skyra 1.1x1.0x3.0mm"]
    assert protocols([1.0], None) == ["1.0x1.0x3.0mm"]
