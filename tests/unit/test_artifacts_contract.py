"""What callers rely on: anchors, replay, errors, odd inputs."""

import dataclasses
import json

import numpy as np
import pytest
from artifact_phantoms import SPACING_MM, noisy_body

from mriqa.artifacts import Artifact, Family, apply, draw
from mriqa.artifacts.families import at_severity, is_possible
from mriqa.artifacts.model import Breathing, Dropout, Motion, Noise

SHAPE = (10, 64, 48)
OPTIONS = [
    {},
    {"phase_axis": "x"},
    {"timing": "per_slice"},
    {"acquisition": "3d"},
    {"keep_zeros": True},
]


@pytest.mark.parametrize("family", Family)
def test_severity_zero_changes_no_bit(family: Family) -> None:
    volume = noisy_body(SHAPE)
    volume[0, 0, 0] = -0.0
    result = apply(volume, SPACING_MM, draw(family, 0, SHAPE, SPACING_MM, 1))
    assert result.tobytes() == volume.tobytes()
    assert not np.shares_memory(result, volume)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        (family, options)
        for family in Family
        for options in OPTIONS
        if family is not Family.INTERSLICE or options.get("acquisition") != "3d"
    ],
)
def test_json_replays_the_very_same_volume(family: Family, options: dict[str, str]) -> None:
    volume = noisy_body(SHAPE)
    kept = volume.copy()
    artifact = draw(family, 0.37, SHAPE, SPACING_MM, 11, **options)  # type: ignore[arg-type]
    again = Artifact.from_json(artifact.to_json())
    assert again == artifact
    first, second = (apply(volume, SPACING_MM, a) for a in (artifact, again))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(volume, kept)  # the input is left alone
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert np.abs(first - volume).max() > 0


def test_every_severity_has_the_stated_anchors() -> None:
    for family, name, expected in (
        (Family.BREATHING, "peak_to_peak_mm", (2, 5, 9)),
        (Family.NOISE, "sigma_factor", (1.5, 2.5, 4)),
        (Family.GHOSTING, "amplitude", (0.1, 0.2, 0.4)),
        (Family.LOW_PASS, "kept", (0.8, 0.65, 0.5)),
        (Family.WRAP, "share", (0.05, 0.1, 0.2)),
        (Family.BIAS, "amplitude", (0.2, 0.4, 0.7)),
        (Family.DROPOUT, "factor", (0.7, 0.5, 0.2)),
        (Family.SPIKES, "amplitude", (0.1, 0.3, 1.0)),
    ):
        drawn = [draw(family, severity, SHAPE, SPACING_MM, 2) for severity in (0.25, 0.5, 1)]
        assert [getattr(artifact, name) for artifact in drawn] == pytest.approx(expected)


def test_between_anchors_severity_is_linear() -> None:
    assert at_severity((1.0, 1.5, 2.5, 4.0), 0.125) == pytest.approx(1.25)
    assert at_severity((1.0, 1.5, 2.5, 4.0), 0.375) == pytest.approx(2.0)
    assert at_severity((1.0, 1.5, 2.5, 4.0), 0.75) == pytest.approx(3.25)


@pytest.mark.parametrize("acquisition", ["2d", "3d"])
@pytest.mark.parametrize(
    ("severity", "size", "share"), [(0.25, 1, 0.2), (0.5, 3, 0.35), (1, 6, 0.5)]
)
@pytest.mark.parametrize("family", [Family.JUMP, Family.JUMPS])
def test_jumps_have_the_anchored_size_and_lines(
    family: Family, severity: float, size: float, share: float, acquisition: str
) -> None:
    lines = 160
    for seed in range(40):
        artifact = draw(family, severity, (8, lines, 48), SPACING_MM, seed, acquisition=acquisition)  # type: ignore[call-overload]
        assert isinstance(artifact, Motion)
        (moves,) = artifact.tracks
        for move in moves:
            assert np.linalg.norm(move.rotation_deg) == pytest.approx(size)
            assert np.linalg.norm(move.translation_mm) == pytest.approx(size)
            if acquisition == "2d":
                assert move.rotation_deg[1:] == (0, 0)
                assert move.translation_mm[0] == 0
        moved = {line for move in moves for line in range(move.start, move.stop)}
        assert len(moved) == sum(move.stop - move.start for move in moves)  # none twice
        assert moved <= set(range(lines))
        assert len(moved) == pytest.approx(share * lines, abs=4)
        assert (lines // 2 in moved) == (severity == 1)
        assert len({(m.rotation_deg, m.translation_mm) for m in moves}) == (
            1 if family is Family.JUMP else len({m.translation_mm for m in moves})
        )


def test_a_jump_lasts_to_an_end_of_kspace_in_either_order() -> None:
    ends = set()
    for seed in range(20):
        artifact = draw(Family.JUMP, 0.5, SHAPE, SPACING_MM, seed)
        assert isinstance(artifact, Motion)
        ((move,),) = artifact.tracks
        ends.add("high" if move.stop == SHAPE[1] else "low" if move.start == 0 else "none")
    assert ends == {"high", "low"}


def test_drift_rests_at_the_centre_and_reaches_a_jump_at_the_edge() -> None:
    artifact = draw(Family.DRIFT, 1.0, (4, 160, 48), SPACING_MM, 3)
    assert isinstance(artifact, Motion)
    (moves,) = artifact.tracks
    assert [move.start for move in moves[1:]] == [move.stop for move in moves[:-1]]
    assert (moves[0].start, moves[-1].stop) == (0, 160)
    sizes = [np.linalg.norm(move.translation_mm) for move in moves]
    assert max(sizes) == pytest.approx(6, rel=0.1)
    middle = next(move for move in moves if move.start <= 80 < move.stop)
    assert np.linalg.norm(middle.translation_mm) < 0.5
    assert np.dot(moves[0].translation_mm, moves[-1].translation_mm) < 0


def test_a_seed_is_one_artifact_that_grows() -> None:
    weak, strong = (draw(Family.DROPOUT, s, SHAPE, SPACING_MM, 9) for s in (0.25, 1))
    assert isinstance(weak, Dropout)
    assert isinstance(strong, Dropout)
    assert set(weak.slices) < set(strong.slices)
    weak_breath, strong_breath = (
        draw(Family.BREATHING, s, SHAPE, SPACING_MM, 9) for s in (0.25, 1)
    )
    assert isinstance(weak_breath, Breathing)
    assert isinstance(strong_breath, Breathing)
    assert weak_breath.period_lines == strong_breath.period_lines
    assert weak_breath.phases_rad == strong_breath.phases_rad


@pytest.mark.parametrize("family", Family)
def test_other_seeds_give_other_artifacts(family: Family) -> None:
    drawn = {draw(family, 0.5, SHAPE, SPACING_MM, seed).to_json() for seed in range(5)}
    assert len(drawn) == 5


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 9, 8), (3, 9, 11), (2, 40, 8)])
def test_tiny_volumes_pass(family: Family, shape: tuple[int, int, int]) -> None:
    volume = noisy_body(shape)
    acquisitions = ("2d",) if family is Family.INTERSLICE else ("2d", "3d")
    for seed in range(3 if is_possible(family, shape[0]) else 0):
        for acquisition in acquisitions:
            artifact = draw(family, 1.0, shape, (9.0, 0.7, 1.3), seed, acquisition=acquisition)  # type: ignore[arg-type]
            assert np.isfinite(apply(volume, (9.0, 0.7, 1.3), artifact)).all()


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("level", [0.0, 70.0])
def test_constant_volumes_pass(family: Family, level: float) -> None:
    volume = np.full(SHAPE, level, np.float32)
    result = apply(volume, SPACING_MM, draw(family, 1.0, SHAPE, SPACING_MM, 1))
    assert np.isfinite(result).all()
    if level == 0:
        assert not result.any()


@pytest.mark.parametrize("family", Family)
def test_nonfinite_voxels_count_as_zero_and_stay(family: Family) -> None:
    volume = noisy_body(SHAPE)
    zeroed = volume.copy()
    volume[2, 5, 6], volume[3, 20, 20], volume[4, 30, 30] = np.nan, np.inf, -np.inf
    bad = ~np.isfinite(volume)
    zeroed[bad] = 0
    artifact = draw(family, 0.5, SHAPE, SPACING_MM, 1)
    result = apply(volume, SPACING_MM, artifact)
    np.testing.assert_array_equal(result[bad], volume[bad])
    np.testing.assert_array_equal(result[~bad], apply(zeroed, SPACING_MM, artifact)[~bad])


@pytest.mark.parametrize("family", sorted(set(Family) - {Family.BIAS, Family.DROPOUT}))
def test_masked_air_stays_zero_when_asked(family: Family) -> None:
    volume = noisy_body(SHAPE)
    volume[volume < 20] = 0
    open_air, kept_air = (
        apply(volume, SPACING_MM, draw(family, 1.0, SHAPE, SPACING_MM, 1, keep_zeros=keep))
        for keep in (False, True)
    )
    assert open_air[volume == 0].any()
    assert not kept_air[volume == 0].any()
    np.testing.assert_array_equal(kept_air[volume > 0], open_air[volume > 0])


def test_other_dtypes_are_taken() -> None:
    volume = noisy_body(SHAPE).astype(np.int16)
    artifact = draw(Family.JUMP, 1.0, SHAPE, SPACING_MM, 1)
    result = apply(volume, SPACING_MM, artifact)
    np.testing.assert_array_equal(result, apply(volume.astype(np.float64), SPACING_MM, artifact))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "blur"}, "family is 'blur'; it must be one of jump, jumps, breathing"),
        ({"severity": 1.01}, "severity is 1.01; it must lie between 0"),
        ({"severity": -0.1}, "severity is -0.1"),
        ({"severity": float("nan")}, "severity is nan"),
        ({"shape": (0, 8, 8)}, "shape is .0, 8, 8."),
        ({"spacing_mm": (1.0, 0.0, 1.0)}, "spacing_mm is"),
        ({"seed": -1}, "seed is -1"),
        ({"phase_axis": "z"}, "phase_axis is 'z'; it must be one of y, x"),
        ({"acquisition": "4d"}, "acquisition is '4d'"),
        ({"timing": "own"}, "timing is 'own'"),
        ({"acquisition": "3d", "timing": "per_slice"}, "per_slice needs acquisition 2d"),
    ],
)
def test_impossible_requests_are_named(arguments: dict[str, object], message: str) -> None:
    values: dict[str, object] = {
        "family": Family.JUMP, "severity": 0.5, "shape": SHAPE, "spacing_mm": SPACING_MM, "seed": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        draw(**(values | arguments))  # type: ignore[arg-type]


def test_a_volume_of_another_shape_is_refused() -> None:
    artifact = draw(Family.NOISE, 0.5, SHAPE, SPACING_MM, 0)
    with pytest.raises(ValueError, match="drawn for"):
        apply(np.zeros((10, 64, 47), np.float32), SPACING_MM, artifact)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.pop("family"), "`family` is missing"),
        (lambda values: values.update(family="blur"), "family is 'blur'"),
        (lambda values: values.update(family="bias"), "not the JSON of a bias artifact"),
        (lambda values: values.update(extra=1), "unexpected keyword"),
        (lambda values: values.pop("noise_seed"), "missing 1 required"),
        (lambda values: values.update(severity=7), "severity is 7"),
        (lambda values: values.update(phase_axis="z"), "phase_axis is 'z'"),
    ],
)
def test_damaged_json_is_named(change: object, message: str) -> None:
    values = json.loads(draw(Family.NOISE, 0.5, SHAPE, SPACING_MM, 0).to_json())
    change(values)  # type: ignore[operator]
    with pytest.raises(ValueError, match=message):
        Artifact.from_json(json.dumps(values))


def test_text_that_is_no_json_is_named() -> None:
    with pytest.raises(ValueError, match="not the JSON of an artifact"):
        Artifact.from_json("{")


def test_artifacts_are_frozen_and_hold_only_their_families() -> None:
    artifact = draw(Family.NOISE, 0.5, SHAPE, SPACING_MM, 0)
    assert isinstance(artifact, Noise)
    with pytest.raises(dataclasses.FrozenInstanceError):
        artifact.sigma_factor = 9.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="Noise cannot hold"):
        dataclasses.replace(artifact, family=Family.BIAS)
