"""The user's masks and maps through index, convert and score, of a real T1w volume."""

import csv
import shutil

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest

from mriqa.cohort.index import index_cohort
from mriqa.cohort.maps.publish import write_brain_maps
from mriqa.config import ConvertSection, RatingSection, check_config
from mriqa.files import MEMORY_KEY, write_parquet
from mriqa.images.convert import convert_shard
from mriqa.metrics.brain import measure_brain
from mriqa.metrics.brain.columns import BRAIN_COLUMNS
from mriqa.metrics.brain.given import Given, tissue_of_given
from mriqa.rating.one_file import measure_file
from mriqa.rating.publish import publish_tables
from mriqa.rating.score import score_shard
from mriqa.run.retry import retry_passed

NUMBERS = [column.name for column in BRAIN_COLUMNS if column.kind == "float64"]
SPACING_MM = (3.0, 3.0, 3.0)
SHARD = "shard-00000"
BAD = {
    "shape": "maps_grid",
    "affine": "maps_grid",
    "nonfinite": "maps_values",
    "intensities": "maps_values",
    "empty": "maps_empty",
    "cut": "maps_damaged",
    "gone": "maps_missing",
    "partner": "maps_incomplete",
    "sum": "maps_values",
}
"""What is wrong with the files of a subject, and what is said of it."""


class Scan:
    """The volume, brain mask and tissue maps of QAP, as (z, y, x) and on disk."""

    def __init__(self, folder):
        self.path = folder / "anat_reorient.nii.gz"
        image = nibabel.load(self.path)
        self.affine = image.affine
        self.volume = stored(image.dataobj)
        brain = np.asarray(nibabel.load(folder / "anat_brain.nii.gz").dataobj) > 0
        self.brain = brain.astype(np.uint8)
        self.maps = [
            np.asarray(nibabel.load(folder / f"anatomical_{name}_mask.nii.gz").dataobj)
            for name in ("csf", "gm", "wm")
        ]

    def image(self, values, affine=None):
        return nibabel.Nifti1Image(values, self.affine if affine is None else affine)


def stored(values):
    return np.ascontiguousarray(np.asarray(values, dtype=np.float32).T)


@pytest.fixture(scope="module")
def real(real_data):
    return Scan(real_data / "t1w" / "qap")


def write_maps(folder, real):
    """The files of every subject, by subject and role."""
    folder.mkdir()
    tissues = dict(zip(("csf", "gm", "wm"), map(real.image, real.maps), strict=True))
    mask = real.image(real.brain)
    shifted = real.affine.copy()
    shifted[2, 3] += 1.5
    nan = real.brain.astype(np.float32)
    nan[40, 30, 40] = np.nan
    fluid = real.image(real.maps[0] + 0.5)
    turned = nibabel.as_closest_canonical(mask)
    lps = nibabel.orientations.axcodes2ornt("IPL")
    own = nibabel.io_orientation(mask.affine)
    images = {
        "mask": {"mask": mask},
        "turned": {"mask": mask.as_reoriented(nibabel.orientations.ornt_transform(own, lps))},
        "canonical": {"mask": turned},
        "maps": tissues,
        "both": {"mask": mask, **tissues},
        "shape": {"mask": real.image(real.brain[:-1])},
        "affine": {"mask": real.image(real.brain, shifted)},
        "nonfinite": {"mask": real.image(nan)},
        "intensities": {"mask": real.image(stored(real.volume))},
        "empty": {"mask": real.image(real.brain * np.uint8(0))},
        "cut": {"mask": mask},
        "gone": {"mask": mask},
        "partner": {"csf": tissues["csf"], "wm": tissues["wm"]},
        "sum": {**tissues, "csf": real.image(np.minimum(fluid.get_fdata(), 1))},
    }
    files = {}
    for subject, by_role in images.items():
        files[subject] = {role: folder / f"{subject}_{role}.nii.gz" for role in by_role}
        for role, image in by_role.items():
            nibabel.save(image, files[subject][role])
    path = files["cut"]["mask"]
    path.write_bytes(path.read_bytes()[:2000])
    return files


def write_table(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, names, delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


class Study:
    """A shard of the same scan under many subjects, with the maps of each."""

    def __init__(self, folder, real):
        self.folder, self.results = folder, folder / "results"
        self.files = write_maps(folder / "maps", real)
        shutil.copy(real.path, folder / "scan.nii.gz")
        subjects = ["own", *self.files]
        rows = [{"path": "scan.nii.gz", "subject": one, "contrast": "T1w"} for one in subjects]
        rows.append({"path": "scan.nii.gz", "subject": "own", "contrast": "PDw"})
        write_table(folder / "series.tsv", rows)
        rows = [{"series_id": f"sub-{one}_T1w", **of} for one, of in self.files.items()]
        write_table(folder / "maps.tsv", rows)
        source = {"kind": "table", "path": str(folder / "series.tsv")}
        raw = {
            "results": str(self.results),
            "cohort": {"name": "t", "sources": [source]},
            "score": {"brain": {"t1w": ["T1w"]}, "slices": False},
            "brain_maps": [{"kind": "table", "path": str(folder / "maps.tsv")}],
        }
        self.config = check_config(raw, "c.yaml")

    def part(self, stage):
        return self.results / stage / f"{SHARD}.parquet"

    def index(self):
        index_cohort(self.config.cohort, self.results)
        return write_brain_maps(self.config, self.results)

    def convert(self):
        store = self.results / "zarr" / f"{SHARD}.zarr"
        convert_shard(
            self.part("shards"), store, self.part("convert"),
            settings=ConvertSection(), threads=1, mem_mb=900,
        )  # fmt: skip

    def score(self):
        """The published volumes by subject, of T1w."""
        score_shard(
            self.part("shards"), self.results / "zarr" / f"{SHARD}.zarr", self.part("convert"),
            self.part("scores"), settings=self.config.score, threads=2, mem_mb=900,
            brain_maps=self.part("brain_maps"),
        )  # fmt: skip
        publish_tables(self.results, RatingSection())
        rows = pq.read_table(self.results / "tables" / "volumes.parquet").to_pylist()
        return {row["subject"]: row for row in rows if row["contrast"] == "T1w"}


@pytest.fixture(scope="module")
def study(real, tmp_path_factory):
    made = Study(tmp_path_factory.mktemp("maps"), real)
    made.index()
    made.convert()
    made.files["gone"]["mask"].rename(made.folder / "away")  # after it was indexed
    return made


@pytest.fixture(scope="module")
def volumes(study):
    return study.score()


def expected(real, *, mask=False, maps=False):
    given = Given(
        stored(real.brain) > 0 if mask else None,
        tuple(stored(one) for one in real.maps) if maps else None,
    )
    tissue = tissue_of_given(real.volume, SPACING_MM, "T1w", given, up=(0, 1))
    return measure_brain(real.volume, SPACING_MM, tissue).values


@pytest.mark.parametrize(
    ("subject", "source", "given"),
    [
        ("own", "own", {}),
        ("mask", "mask", {"mask": True}),
        ("maps", "maps", {"maps": True}),
        ("both", "maps", {"mask": True, "maps": True}),
    ],
)
def test_values_are_those_of_the_functions(real, volumes, subject, source, given):
    row, values = volumes[subject], expected(real, **given)
    assert {name: row[name] for name in values} == values
    assert (row["brain_source"], row["brain_maps_problem"]) == (source, None)
    assert row["snr_total"] is not None
    assert row["brain_tissue_null_reason"] is None


@pytest.mark.parametrize("subject", ["turned", "canonical"])
def test_a_mask_with_other_axes_is_the_same_mask(volumes, subject):
    names = [*NUMBERS, "brain_source"]
    assert [volumes[subject][name] for name in names] == [volumes["mask"][name] for name in names]
    assert volumes["mask"]["snr_gm"] != volumes["own"]["snr_gm"]


@pytest.mark.parametrize(("subject", "reason"), BAD.items())
def test_bad_files_are_told_and_never_used(study, volumes, subject, reason):
    row = volumes[subject]
    assert row["brain_tissue_null_reason"] == reason
    assert [row[name] for name in NUMBERS] == [None] * len(NUMBERS)
    assert row["brain_source"] is None
    assert (
        str(study.files[subject].get("mask", study.files[subject].get("csf")))
        in row["brain_maps_problem"]
    )
    assert row["body_snr_tissue"] == volumes["own"]["body_snr_tissue"]
    assert row["status"] == volumes["own"]["status"]


def test_what_index_could_tell_is_a_problem(study):
    problems = pq.read_table(study.results / "brain_maps" / "problems.parquet").to_pylist()
    (problem,) = (one["problem"] for one in problems)
    assert "no map of gm beside it" in problem
    assert "the brain metrics of t_sub-partner_T1w will be NULL" in problem


def test_a_mask_that_is_back_is_read_again(study, volumes):
    memory = {"convert": 900, "scores": 900, "rate": 4000}
    assert retry_passed(study.results, [SHARD], memory) == []
    away, path = study.folder / "away", study.files["gone"]["mask"]
    away.rename(path)
    kept = study.part("scores").read_bytes()
    assert retry_passed(study.results, [SHARD], memory) == [f"scores/{SHARD}.parquet"]
    study.part("scores").write_bytes(kept)
    path.rename(away)
    assert MEMORY_KEY in pq.read_schema(study.part("scores")).metadata


def test_one_file_alone_has_the_same_values(real, study, volumes):
    from mriqa.cohort.maps.model import MapPaths

    files = study.files
    tissues = tuple(files["maps"][role] for role in ("csf", "gm", "wm"))
    for subject, paths in (
        ("mask", MapPaths(files["turned"]["mask"])),
        ("both", MapPaths(files["mask"]["mask"], tissues)),
    ):
        values = measure_file(study.folder / "scan.nii.gz", "T1w", paths)
        assert values == {name: volumes[subject][name] for name in values}
        assert {*NUMBERS, "brain_source", "body_snr_tissue"} <= values.keys()


def test_a_list_of_another_version_is_refused(study, tmp_path):
    from mriqa.cohort.maps.model import read_map_files
    from mriqa.errors import UserError

    table = pq.read_table(study.part("brain_maps")).drop_columns(["role"])
    write_parquet(tmp_path / "list.parquet", table)
    with pytest.raises(UserError, match="not a list of brain maps of this version; index again"):
        read_map_files(tmp_path / "list.parquet")
    assert read_map_files(None) == {}
