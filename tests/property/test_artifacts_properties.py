"""What must hold of every artifact that can be drawn."""

import numpy as np
from artifact_phantoms import noisy_body
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mriqa.artifacts import Artifact, Family, apply, draw
from mriqa.artifacts.background import measure_background
from mriqa.artifacts.families import NOISE_FACTOR, is_possible

FAMILIES = st.sampled_from(list(Family))
SEEDS = st.integers(0, 2**40)
SPACINGS = st.tuples(*[st.floats(0.4, 6.0)] * 3)


@settings(max_examples=120, deadline=None)
@given(family=FAMILIES, seed=SEEDS, axis=st.sampled_from(["y", "x"]), per_slice=st.booleans())
def test_damage_rises_with_severity(family: Family, seed: int, axis: str, per_slice: bool) -> None:
    volume = noisy_body((6, 96, 80))
    spacing = (4.0, 2.0, 2.0)
    timing = "per_slice" if per_slice else "shared"
    damage = [0.0]
    for severity in (0.25, 0.5, 1.0):
        artifact = draw(
            family, severity, volume.shape, spacing, seed,
            phase_axis=axis, timing=timing,  # type: ignore[arg-type]
        )  # fmt: skip
        damaged = apply(volume, spacing, artifact)
        damage.append(float(np.sqrt(np.mean((damaged - volume) ** 2))))
    assert damage == sorted(damage)
    assert damage[1] > 0
    assert damage[3] > 1.2 * damage[1]


@settings(max_examples=150, deadline=None)
@given(
    family=FAMILIES,
    severity=st.floats(0, 1),
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 6), st.integers(8, 33), st.integers(8, 33)),
    spacing=SPACINGS,
    acquisition=st.sampled_from(["2d", "3d"]),
    axis=st.sampled_from(["y", "x"]),
)
def test_anything_drawn_replays_and_stays_a_finite_magnitude(
    family: Family,
    severity: float,
    seed: int,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    acquisition: str,
    axis: str,
) -> None:
    if family is Family.INTERSLICE:
        acquisition = "2d"
        assume(is_possible(family, shape[0]))
    volume = noisy_body(shape, seed=seed % 7)
    artifact = draw(
        family, severity, shape, spacing, seed,
        phase_axis=axis, acquisition=acquisition,  # type: ignore[arg-type]
    )  # fmt: skip
    assert draw(
        family, severity, shape, spacing, seed,
        phase_axis=axis, acquisition=acquisition,  # type: ignore[arg-type]
    ) == artifact  # fmt: skip
    assert Artifact.from_json(artifact.to_json()) == artifact
    result = apply(volume, spacing, artifact)
    assert result.shape == shape
    assert np.isfinite(result).all()
    assert result.min() >= 0
    # of tiny volumes the noise is a guess, and may exceed the signal
    noise = 8 * NOISE_FACTOR[-1] * measure_background(volume).sigma
    assert result.max() <= 4 * volume.max() + (noise if family is Family.NOISE else 0)
