"""HyS-Net's patches from arrays and from a store: functions of seed and number, resumable."""

import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hysnet_volumes import PARTS, blobs
from image_files import blob, convert_files, nifti_bytes, save

from mriqa.errors import FAILED, MriqaError, UserError
from mriqa.images.store import open_store
from mriqa.methods.hysnet.feed import PatchFeed
from mriqa.methods.hysnet.patches import Cubes, Planes, normalised
from mriqa.methods.hysnet.target import TargetScale
from mriqa.methods.hysnet.volumes import Example, open_volumes
from mriqa.training.feed import batches

PLAIN, SERIES_4D, THIN, OTHER = "d_sub-01_T1w", "d_sub-01_dwi", "d_sub-02_T1w", "d_sub-03_T1w"
CUBES = Cubes((8, 16, 16), (4, 8, 8))
SCALE = TargetScale(10.0, 2.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hysnet")
    four = blob((24, 20, 10), n_volumes=3, seed=1).astype("f4")
    four[..., 1] = 7  # constant: without foreground
    four[10, 10, 5, 2] = np.nan
    images = {
        PLAIN: nifti_bytes(blob((24, 20, 10))),
        SERIES_4D: nifti_bytes(four, scl_slope=0.5, scl_inter=1.0),
        THIN: nifti_bytes(blob((24, 12, 5), seed=2)),
        OTHER: nifti_bytes(blob((24, 20, 10), seed=3)),
    }
    files = {name: save(folder / f"{name}.nii", made) for name, made in images.items()}
    return convert_files(files, folder)[0]


@pytest.fixture
def copied(store, tmp_path):
    return Path(shutil.copytree(store, tmp_path / "copy.zarr"))


def examples(store):
    listed = [(PLAIN, 0), (SERIES_4D, 0), (SERIES_4D, 2), (THIN, 0), (OTHER, 0)]
    return [Example(name, t, store, float(n)) for n, (name, t) in enumerate(listed)]


def feed_of(store, parts=CUBES, seed=3):
    return PatchFeed(open_volumes(examples(store), 99.5), parts, SCALE, seed)


@pytest.mark.parametrize("parts", [CUBES, Planes(16), Planes(32)])
def test_a_patch_is_a_normalised_part_of_the_stored_volume_with_its_target(store, parts):
    feed, listed = feed_of(store, parts), examples(store)
    seen = set()
    for n in range(20):
        sample, batch = feed.sample(n), feed.block(range(n, n + 1))
        one = listed[sample.volume]
        series = open_store(store).series(one.series_id)
        upper = series.attributes.percentile(one.volume, 99.5)
        volume = normalised(series.volume(one.volume), upper, 1.0)
        expected = parts.framed(volume[parts.box(sample.place, volume.shape)], sample.place)
        assert batch.images.shape == (1, 1, *parts.shape)
        np.testing.assert_allclose(batch.images[0, 0].numpy(), expected, atol=1e-5)
        assert 0 <= float(batch.images.min()) < float(batch.images.max()) <= 1
        assert float(batch.targets[0]) == pytest.approx((one.target - 10) / 2)
        seen.add(sample.volume)
    assert seen == set(range(5))


def test_a_sample_depends_on_seed_and_number_alone(store):
    feed, again, other = feed_of(store), feed_of(store), feed_of(store, seed=4)
    samples = [feed.sample(n) for n in range(40)]
    for n in np.random.default_rng(0).permutation(40).tolist():
        assert again.sample(n) == samples[n]
    assert [other.sample(n) for n in range(40)] != samples
    assert len({sample.place for sample in samples}) > 30


def test_an_epoch_shows_every_volume_nine_times_and_never_twice_in_a_turn(store):
    feed = feed_of(store)
    turns = [[feed.sample(n).volume for n in range(5 * t, 5 * t + 5)] for t in range(9)]
    assert all(sorted(turn) == [0, 1, 2, 3, 4] for turn in turns)
    assert len(set(map(tuple, turns))) > 3


def test_batches_resume_anywhere_and_ranks_share_them(store):
    feed = feed_of(store)
    whole = list(batches(feed, 0, 5, 8))
    for resumed, expected in zip(batches(feed_of(store), 3, 2, 8), whole[3:], strict=True):
        assert torch.equal(resumed.images, expected.images)
        assert torch.equal(resumed.targets, expected.targets)
    ranks = [next(batches(feed, 2, 1, 8, rank, 2)) for rank in range(2)]
    assert torch.equal(torch.cat([one.images for one in ranks]), whole[2].images)
    assert torch.equal(torch.cat([one.targets for one in ranks]), whole[2].targets)


def test_processes_give_the_same_batches(store):
    feed = feed_of(store)
    made = list(batches(feed, 1, 3, 4, workers=2))
    for one, expected in zip(made, batches(feed, 1, 3, 4), strict=True):
        assert torch.equal(one.images, expected.images)
        assert torch.equal(one.targets, expected.targets)


def test_arrays_give_what_a_store_of_them_gives(tmp_path):
    volumes = blobs(3, 0)
    names = [PLAIN, THIN, OTHER]
    files = {
        name: save(tmp_path / f"{name}.nii", nifti_bytes(np.ascontiguousarray(one.T)))
        for name, one in zip(names, volumes.volumes, strict=True)
    }
    made = convert_files(files, tmp_path, contrast="T1w")[0]
    listed = [
        Example(name, 0, made, target) for name, target in zip(names, volumes.targets, strict=True)
    ]
    stored = open_volumes(listed, 99.5)
    assert [stored.shape(n) for n in range(3)] == [volumes.shape(n) for n in range(3)]
    box = slice(2, 7), slice(3, 20), slice(0, 9)
    for n in range(3):
        assert np.array_equal(stored.content(n, box), volumes.content(n, box))
    feeds = [PatchFeed(one, PARTS, SCALE, 0) for one in (stored, volumes)]
    assert [feeds[0].sample(n) for n in range(9)] == [feeds[1].sample(n) for n in range(9)]


def test_gamma_lifts_the_air(store):
    volumes = open_volumes(examples(store), 99.5)
    plain, lifted = (PatchFeed(volumes, CUBES, SCALE, 0, gamma) for gamma in (1.0, 0.5))
    one, other = plain.block(range(4)).images, lifted.block(range(4)).images
    torch.testing.assert_close(other, one.sqrt(), rtol=1e-4, atol=1e-4)


def test_a_feed_goes_to_another_process(store):
    feed = feed_of(store)
    there = pickle.loads(pickle.dumps(feed))
    assert torch.equal(there.block(range(3)).images, feed.block(range(3)).images)


def lines_of(capsys):
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if not line.startswith("training: open: ")]


def test_what_is_not_there_is_left_out_with_a_line_each(copied, capsys):
    shutil.rmtree(copied / THIN)
    listed = [*examples(copied), Example(SERIES_4D, 1, copied, 0.0), Example(PLAIN, 4, copied, 0.0)]
    volumes = open_volumes(listed, 99.5)
    assert [volumes.name(n) for n in range(4)] == [
        f"{PLAIN}, volume 0", f"{SERIES_4D}, volume 0", f"{SERIES_4D}, volume 2",
        f"{OTHER}, volume 0",
    ]  # fmt: skip
    assert list(volumes.targets) == [0, 1, 2, 4]
    lines = lines_of(capsys)
    assert len(lines) == 3
    for name in (THIN, f"{SERIES_4D}, volume 1", f"{PLAIN}, volume 4"):
        assert sum(name in line and "left out" in line for line in lines) == 1


def test_nothing_to_learn_from_is_an_error_of_the_user(tmp_path):
    with pytest.raises(UserError, match="none of 5 volumes can be read"):
        open_volumes(examples(tmp_path), 99.5)


def test_a_volume_that_is_damaged_gives_its_place_to_the_next(store, copied, capsys):
    good, feed = feed_of(store), feed_of(copied)
    for path in (copied / PLAIN).glob("c.*"):
        path.unlink()
    hit = [n for n in range(20) if good.sample(n).volume == 0]
    for n in range(20):
        one, expected = (each.block(range(n, n + 1)) for each in (feed, good))
        same = torch.equal(one.images, expected.images)
        assert same == (n not in hit)
        if n in hit:
            others = (good.sample(n, attempt).volume for attempt in range(1, 4))
            taken = next(volume for volume in others if volume != 0)
            assert float(one.targets[0]) == pytest.approx((taken - 10) / 2)
    (line,) = lines_of(capsys)
    assert PLAIN in line
    assert line.endswith("Another volume takes its place.")


def test_a_store_that_is_gone_is_told(copied):
    feed = feed_of(copied)
    for path in copied.glob("*/c.*"):
        path.unlink()
    with pytest.raises(MriqaError, match="sample 7 found nothing to read in 5 volumes") as caught:
        feed.block(range(7, 8))
    assert caught.value.exit_code == FAILED


def test_volumes_are_drawn_evenly_over_many_turns(store):
    feed = feed_of(store)
    drawn = Counter(feed.sample(n).volume for n in range(500))
    assert set(drawn.values()) == {100}
