"""Which volumes are compared with one another."""

import numpy as np
import pyarrow as pa
import pytest

from mriqa.config import RatingSection
from mriqa.rating.rate import RATED_METRICS, rate_volumes
from mriqa.tables.strata import add_strata

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


def rated(stratum):
    """Statuses by b_class: 20 subjects, each a volume of unknown shell and one of b1000."""
    n = 40
    volumes = pa.table(
        {
            "subject": [f"{row // 2:02d}" for row in range(n)],
            "session": pa.nulls(n, pa.string()),
            "status": ["ok"] * n,
            "contrast": ["dwi"] * n,
            "b_class": ["unknown", "b1000"] * (n // 2),
            "scanner": pa.nulls(n, pa.string()),
            "nonfinite_fraction": [0.0] * n,
            **{f"spacing_{axis}_mm": [2.0] * n for axis in "zyx"},
            **{
                metric.name: np.random.default_rng(seed).uniform(1, 2, n)
                for seed, metric in enumerate(RATED_METRICS)
            },
        }
    )
    section = RatingSection(stratum=stratum)
    found = rate_volumes(add_strata(volumes, section.stratum), section)
    rows = zip(found["b_class"].to_pylist(), found["status"].to_pylist(), strict=True)
    return set(rows)


def test_volumes_of_unknown_shell_are_not_compared():
    """Else b0 and weighted volumes would be taken for good and bad ones."""
    assert rated(("contrast", "b_class")) == {("unknown", "no_reference"), ("b1000", "ok")}
    assert rated(("contrast",)) == {("unknown", "ok"), ("b1000", "ok")}
