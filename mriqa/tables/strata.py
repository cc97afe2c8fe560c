"""Which volumes are compared with one another: `protocol` and `stratum` of each."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

NEEDED = ("status", "scanner", "spacing_z_mm", "spacing_y_mm", "spacing_x_mm")
"""Columns that `add_strata` reads, beside those that make a stratum."""


def add_strata(volumes: pa.Table, stratum: Sequence[str]) -> pa.Table:
    """Add `protocol` and `stratum` (the given columns, joined by `/`); NULL for unread series."""
    protocol = [
        _protocol(scanner, z, y, x)
        for scanner, z, y, x in zip(
            *(volumes[name].to_pylist() for name in NEEDED[1:]), strict=True
        )
    ]
    volumes = volumes.append_column("protocol", pa.array(protocol, pa.string()))
    parts = [pc.fill_null(volumes[name], "-") for name in stratum]
    joined = pc.binary_join_element_wise(*parts, "/") if parts else pa.repeat("all", len(volumes))
    measured = pc.equal(volumes["status"], "ok")
    return volumes.append_column(
        "stratum", pc.if_else(measured, joined, pa.scalar(None, pa.string()))
    )


def comparable(volumes: pa.Table, stratum: Sequence[str]) -> pa.Array:
    """Whether a volume of `add_strata` can be compared at all, as booleans.

    Where shells are told apart, a volume of unknown b-value cannot: b0 and weighted volumes would
    be taken for good and bad ones.
    """
    known = pc.is_valid(volumes["stratum"])
    if "b_class" not in stratum:
        return known
    unknown = pc.fill_null(pc.equal(volumes["b_class"], "unknown"), False)
    return pc.and_(known, pc.invert(unknown))


def _protocol(scanner: str | None, z: float | None, y: float | None, x: float | None) -> str | None:
    if z is None or y is None or x is None:
        return None
    # to 3 places first: 2.2499998 and 2.2500002 are one protocol
    voxel = "x".join(f"{round(size, 3):.1f}" for size in (y, x, z)) + "mm"
    return f"{scanner} {voxel}" if scanner else voxel
