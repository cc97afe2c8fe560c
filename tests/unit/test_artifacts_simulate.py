"""`mriqa simulate`: one NIfTI in, the same NIfTI with an artifact out, its picture and record."""

import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from artifact_phantoms import noisy_body
from matplotlib.image import imread
from numpy.typing import NDArray

from mriqa.artifacts import Artifact, Family, apply, draw
from mriqa.artifacts.picture import Picture, shown_slice, title, upright
from mriqa.artifacts.simulate import simulate_file
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.images.geometry import Placement

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2.5, 0, -60], [0, 0, 5.0, 3], [0, 0, 0, 1]])


def body_ijk(n_slices: int = 6) -> NDArray[np.float32]:
    """A body (i, j, k), k the slice axis."""
    return noisy_body((n_slices, 64, 48)).transpose(2, 1, 0)


def save(path: Path, data: NDArray[np.generic], **header: object) -> Path:
    image = nib.Nifti1Image(data, AFFINE)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def simulate(source: Path, target: Path, family: Family = Family.JUMP, **options: object) -> Path:
    values: dict[str, object] = {"severity": 1.0, "seed": 4, "phase_axis": "y"}
    return simulate_file(source, target, family=family, **(values | options))  # type: ignore[arg-type]


def test_the_header_stays_and_the_voxels_change(tmp_path: Path) -> None:
    source = save(tmp_path / "in.nii.gz", body_ijk().astype(np.int16), descrip=b"a scan")
    picture = simulate(source, tmp_path / "out.nii.gz")
    before, after = nib.load(source), nib.load(tmp_path / "out.nii.gz")
    assert before.header == after.header
    np.testing.assert_array_equal(before.affine, after.affine)
    change = np.asarray(after.dataobj) - np.asarray(before.dataobj)
    assert np.abs(change).mean() > 2
    assert picture == tmp_path / "out_before_after.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.nii.gz", "out.json", "out.nii.gz", "out_before_after.png",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_severity_zero_keeps_every_byte_of_the_voxels(
    tmp_path: Path, dtype: type, name: str
) -> None:
    data = body_ijk().astype(dtype)
    if dtype is np.int64:
        data += 2**53 + 1  # beyond what float32 and float64 hold
    source = tmp_path / "in.nii"
    nib.save(nib.Nifti1Image(data, AFFINE, dtype=dtype), source)
    simulate(source, tmp_path / name, severity=0.0)
    np.testing.assert_array_equal(np.asanyarray(nib.load(tmp_path / name).dataobj), data)


def test_scaling_of_the_file_is_undone_and_redone(tmp_path: Path) -> None:
    stored = np.rint((body_ijk() + 3) / 0.01).astype(np.int16)
    save(tmp_path / "plain.nii", (stored * 0.01 - 3).astype(np.float32))
    content = bytearray(save(tmp_path / "scaled.nii", stored).read_bytes())
    content[112:120] = struct.pack("<ff", 0.01, -3)  # scl_slope, scl_inter
    (tmp_path / "scaled.nii").write_bytes(content)
    for name in ("plain", "scaled"):
        simulate(tmp_path / f"{name}.nii", tmp_path / f"{name}_out.nii")
    plain, again = (nib.load(tmp_path / f"{n}_out.nii").get_fdata() for n in ("plain", "scaled"))
    np.testing.assert_allclose(plain, again, atol=0.006)


def test_big_endian_stays_big_endian(tmp_path: Path) -> None:
    data = body_ijk().astype(np.int16)
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "little.nii")
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(data, AFFINE, header), tmp_path / "big.nii")
    for name in ("little", "big"):
        simulate(tmp_path / f"{name}.nii", tmp_path / f"{name}_out.nii")
    big, little = (nib.load(tmp_path / f"{n}_out.nii") for n in ("big", "little"))
    assert big.header.endianness == ">"
    np.testing.assert_array_equal(np.asarray(big.dataobj), np.asarray(little.dataobj))


def test_every_volume_of_a_series_gets_its_own_artifact_that_replays(tmp_path: Path) -> None:
    data = np.stack([body_ijk()] * 3, axis=3)
    source = save(tmp_path / "in.nii.gz", data)
    simulate(source, tmp_path / "out.nii.gz", seed=10)
    result = nib.load(tmp_path / "out.nii.gz").get_fdata(dtype=np.float32)
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["slice_axis"] == "k"
    assert record["spacing_mm"] == [5.0, 2.5, 2.0]
    assert [volume["artifact"]["seed"] for volume in record["volumes"]] == [10, 11, 12]
    for t, volume in enumerate(record["volumes"]):
        artifact = Artifact.from_json(json.dumps(volume["artifact"]))
        again = apply(data[..., t].transpose(2, 1, 0), tuple(record["spacing_mm"]), artifact)
        np.testing.assert_array_equal(again.transpose(2, 1, 0), result[..., t])


def test_slices_are_found_along_the_thickest_axis(tmp_path: Path) -> None:
    data = noisy_body((6, 64, 48))  # slices along i
    affine = np.diag([6.0, 2.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(data, affine), tmp_path / "in.nii")
    simulate(tmp_path / "in.nii", tmp_path / "out.nii", Family.DROPOUT)
    result = nib.load(tmp_path / "out.nii").get_fdata()
    untouched = [i for i in range(6) if np.array_equal(result[i], data[i])]
    assert len(untouched) == 4  # four slices in ten fall out at strong


def test_values_beyond_the_type_are_clipped_and_counted(tmp_path: Path) -> None:
    data = np.clip(body_ijk() * 2, 0, 255).astype(np.uint8)
    simulate(save(tmp_path / "in.nii", data), tmp_path / "out.nii", Family.BIAS)
    result = np.asarray(nib.load(tmp_path / "out.nii").dataobj)
    record = json.loads((tmp_path / "out.json").read_text())["volumes"][0]
    assert record["n_clipped"] == pytest.approx((result == 255).sum(), rel=0.1)
    assert record["n_clipped"] > 0


def test_masked_air_stays_masked(tmp_path: Path) -> None:
    data = body_ijk()
    data[data < 20] = 0
    simulate(save(tmp_path / "in.nii", data), tmp_path / "out.nii", Family.NOISE)
    assert not nib.load(tmp_path / "out.nii").get_fdata()[data == 0].any()
    record = json.loads((tmp_path / "out.json").read_text())["volumes"][0]
    assert record["background_source"] == "tissue"
    assert record["artifact"]["keep_zeros"] is True


def test_nonfinite_voxels_stay(tmp_path: Path) -> None:
    data = body_ijk()
    data[5, 5, 2] = np.nan
    simulate(save(tmp_path / "in.nii", data), tmp_path / "out.nii")
    result = nib.load(tmp_path / "out.nii").get_fdata()
    assert np.isnan(result).sum() == 1
    assert np.isnan(result[5, 5, 2])


def test_the_same_request_gives_the_same_bytes(tmp_path: Path) -> None:
    source = save(tmp_path / "in.nii.gz", body_ijk())
    for name in ("one", "two"):
        simulate(source, tmp_path / f"{name}.nii.gz", phase_axis=None)
    for suffix in (".nii.gz", ".json"):
        one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two


def test_the_phase_axis_is_drawn_where_none_is_given(tmp_path: Path) -> None:
    source = save(tmp_path / "in.nii", body_ijk())
    drawn = set()
    for seed in range(8):
        simulate(source, tmp_path / "out.nii", Family.BREATHING, seed=seed, phase_axis=None)
        record = json.loads((tmp_path / "out.json").read_text())
        drawn.add(record["volumes"][0]["artifact"]["phase_axis"])
    assert drawn == {"y", "x"}


def test_the_picture_shows_before_after_and_difference(tmp_path: Path) -> None:
    source = save(tmp_path / "in.nii", body_ijk())
    pixels = imread(simulate(source, tmp_path / "out.nii", Family.NOISE))
    height, width = pixels.shape[:2]
    assert width > 1000
    assert height > 400
    third = width // 3
    left, middle = pixels[:, :third, :3], pixels[:, third : 2 * third, :3]
    assert np.abs(left - middle).mean() > 0.01


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("out.img", {}, "must end in .nii.gz or .nii"),
        ("in.nii", {}, "would replace its own source"),
        ("out.nii", {"severity": 1.5}, "severity is 1.5; it must lie between"),
        ("out.nii", {"seed": -3}, "seed is -3"),
        ("out.nii", {"phase_axis": "z"}, "phase axis is 'z'"),
    ],
)
def test_impossible_requests_leave_nothing(
    tmp_path: Path, target: str, options: dict[str, object], message: str
) -> None:
    source = save(tmp_path / "in.nii", body_ijk())
    before = source.read_bytes()
    with pytest.raises(UserError, match=message):
        simulate(source, tmp_path / target, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.nii"]
    assert source.read_bytes() == before


def test_a_sidecar_is_not_replaced_but_an_older_record_is(tmp_path: Path) -> None:
    source = save(tmp_path / "in.nii.gz", body_ijk())
    sidecar = tmp_path / "in.json"
    sidecar.write_text('{"EchoTime": 0.002}')
    with pytest.raises(UserError, match=r"would replace .*in\.json"):
        simulate(source, tmp_path / "in.nii")
    assert sidecar.read_text() == '{"EchoTime": 0.002}'
    assert not (tmp_path / "in.nii").exists()
    for seed in (1, 2):
        simulate(source, tmp_path / "out.nii.gz", seed=seed)
        record = json.loads((tmp_path / "out.json").read_text())
        assert record["volumes"][0]["artifact"]["seed"] == seed


@pytest.mark.parametrize("share", [0.4, 0.999])
def test_a_truncated_source_leaves_nothing(tmp_path: Path, share: float) -> None:
    source = save(tmp_path / "in.nii.gz", body_ijk())
    whole = source.read_bytes()
    source.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(SeriesError) as caught:
        simulate(source, tmp_path / "out.nii.gz")
    assert caught.value.code in {ErrorCode.TRUNCATED, ErrorCode.CORRUPT_GZIP}
    assert [path.name for path in tmp_path.iterdir()] == ["in.nii.gz"]


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="nowhere.nii") as caught:
        simulate(tmp_path / "nowhere.nii", tmp_path / "out.nii")
    assert caught.value.code is ErrorCode.FILE_MISSING


def test_the_shown_slice_is_a_changed_one_near_the_middle() -> None:
    before = np.ones((9, 4, 4), np.float32)
    after = before.copy()
    after[[1, 6, 8]] = 0
    after[4, 0, 0] += 1e-3
    assert shown_slice(before, after) == 6
    assert shown_slice(before, before) == 4


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [
        ("SAR", (3, 2)),
        ("SAL", (3, 0)),
        ("SPR", (0, 2)),
        ("SPL", (0, 0)),
        ("RIA", (0, 2)),
        ("RAS", (2, 3)),
    ],
)
def test_pictures_stand_upright(orientation: str, corner: tuple[int, int]) -> None:
    """Where the voxel at row 0, column 0 of a slice of 4 rows and 3 columns is shown."""
    before = np.zeros((1, 4, 3), np.float32)
    before[0, 0, 0] = 1
    artifact_placement = Placement((2, 1, 0), "RAS", orientation)
    picture = Picture(before, before, (1.0, 2.0, 1.0), artifact_placement, None)  # type: ignore[arg-type]
    (shown, _), aspect = upright(picture, 0)
    assert np.argwhere(shown).tolist() == [list(corner)]
    assert aspect == (0.5 if orientation == "RAS" else 2.0)


def test_motion_between_slices_is_shown_across_them() -> None:
    """Slices from the feet up, rows from front to back: the head is up, the face on the left."""
    before = np.zeros((4, 3, 5), np.float32)
    before[3, 0, 2] = 1  # the highest, foremost voxel
    placement = Placement((2, 1, 0), "RAS", "SPR")
    artifact = draw(Family.INTERSLICE, 0.5, before.shape, (3.0, 2.0, 1.0), 0)
    picture = Picture(before, before, (3.0, 2.0, 1.0), placement, artifact)
    (shown, _), aspect = upright(picture, 2, axis=2)
    assert shown.shape == (4, 3)
    assert np.argwhere(shown).tolist() == [[0, 0]]
    assert aspect == 1.5
    assert title(artifact, 2, 5, axis=2).endswith("column 2 of 5")


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize(
    "name",
    ["body/renal_t2w_sub01.nii.gz", "body/totalseg_example_mr_sm.nii.gz"],
)
def test_real_volumes_take_every_family(
    real_data: Path, tmp_path: Path, name: str, family: Family
) -> None:
    picture = simulate(real_data / name, tmp_path / "out.nii.gz", family, severity=0.5)
    before, after = nib.load(real_data / name), nib.load(tmp_path / "out.nii.gz")
    assert before.shape == after.shape
    assert before.get_data_dtype() == after.get_data_dtype()
    assert not np.array_equal(np.asanyarray(before.dataobj), np.asanyarray(after.dataobj))
    assert picture.stat().st_size > 10_000
