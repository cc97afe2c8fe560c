"""The slice feed: a pure function of seed and number, and nothing damaged in it."""

import shutil
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import blob, convert_files, nifti_bytes, save

from mriqa.artifacts import Family, apply
from mriqa.config import PretrainingSection
from mriqa.errors import FAILED, MriqaError, UserError
from mriqa.images.store import open_store
from mriqa.training.feed import LEAST_SEVERITY, FeedItem, batches, open_feed
from mriqa.training.views import apply_view, prepare

SECTION = PretrainingSection(view_px=32, artifact_share=0.0, seed=3)
WITH_ARTIFACTS = SECTION.model_copy(update={"artifact_share": 1.0})
PLAIN, SERIES_4D, MASKED, HALF = "d_sub-01_T1w", "d_sub-01_dwi", "d_sub-02_T1w", "d_sub-03_T1w"
N_SLICES = 10


def images():
    """Series of 44x40x10: plain, of three volumes, with zeroed air, with air only above z = 4."""
    masked, half = blob((44, 40, N_SLICES), seed=2), blob((44, 40, N_SLICES), seed=3)
    masked[masked < 20] = 0
    half[:, :, 5:] = np.abs(np.random.default_rng(0).normal(0, 4, half[:, :, 5:].shape))
    four = blob((44, 40, N_SLICES), n_volumes=3, seed=1).astype("f4")
    four[20, 20, :, 1] = np.nan
    return {
        PLAIN: nifti_bytes(blob((44, 40, N_SLICES))),
        SERIES_4D: nifti_bytes(four, scl_slope=0.5, scl_inter=1.0),
        MASKED: nifti_bytes(masked),
        HALF: nifti_bytes(half),
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed")
    files = {name: save(folder / f"{name}.nii", made) for name, made in images().items()}
    return convert_files(files, folder)[0]


@pytest.fixture
def copied(store, tmp_path):
    return Path(shutil.copytree(store, tmp_path / "copy.zarr"))


def items(store, *names):
    return [FeedItem(name, store) for name in names or (PLAIN, SERIES_4D, MASKED, HALF)]


def test_a_sample_depends_on_seed_and_number_alone(store):
    first = open_feed(items(store), WITH_ARTIFACTS)
    in_order = [first.pair(n) for n in range(24)]
    second = open_feed(items(store), WITH_ARTIFACTS)
    for n in np.random.default_rng(0).permutation(24).tolist():
        assert np.array_equal(second.pair(n), in_order[n])
        assert second.sample(n) == first.sample(n)
    other = open_feed(items(store), WITH_ARTIFACTS.model_copy(update={"seed": 4}))
    assert sum(np.array_equal(other.pair(n), in_order[n]) for n in range(24)) == 0


@pytest.mark.parametrize("kind", ["native_patch", "resized_crop"])
def test_a_pair_is_two_prepared_views_of_the_stored_slice(store, kind):
    section = SECTION.model_copy(update={"views": kind})
    feed = open_feed(items(store), section)
    for n in range(12):
        sample, pair = feed.sample(n), feed.pair(n)
        series = open_store(store).series(sample.series_id)
        upper = series.attributes.percentile(sample.t, 99.5)
        image = prepare(series.slice(sample.t, sample.z), upper, section.gamma)
        assert pair.shape == (2, 1, 32, 32)
        assert pair.dtype == np.float32
        assert np.isfinite(pair).all()
        for view, pixels in zip(sample.views, pair[:, 0], strict=True):
            assert np.array_equal(pixels, apply_view(image, view))


def test_every_series_is_shown_once_before_any_is_shown_again(store):
    feed = open_feed(items(store), SECTION)
    assert (feed.n_volumes, feed.n_slices) == (6, 6 * N_SLICES)
    orders, volumes = [], Counter()
    for turn in range(60):
        samples = [feed.sample(n) for n in range(4 * turn, 4 * turn + 4)]
        orders.append(tuple(sample.series_id for sample in samples))
        volumes += Counter(sample.t for sample in samples if sample.series_id == SERIES_4D)
    assert len(set(orders)) > 15, "the order is a new one in every turn"
    whole = [set(order) == {PLAIN, SERIES_4D, MASKED, HALF} for order in orders]
    assert np.mean(whole) > 0.9, "but where eight draws of a slice found nothing in HALF"
    assert set(volumes) == {0, 1, 2}
    assert min(volumes.values()) > 60 / 3 / 3, "volumes of a series are drawn uniformly"


def test_slices_are_uniform_but_for_those_that_show_nothing(store):
    feed = open_feed(items(store), SECTION)
    samples = [feed.sample(n) for n in range(1200)]
    drawn = {name: Counter(s.z for s in samples if s.series_id == name) for name in (PLAIN, HALF)}
    # The ellipsoid covers less than 1% of neither the first slice nor the last.
    shown = {
        name: {
            z
            for z in range(N_SLICES)
            if np.mean(series.slice(0, z) > series.attributes.percentile(0, 1.0)) >= 0.01
        }
        for name in drawn
        for series in [open_store(store).series(name)]
    }
    assert shown[HALF] < shown[PLAIN]
    assert max(shown[HALF]) == 4
    for name, counts in drawn.items():
        assert set(counts) == shown[name]
        assert min(counts.values()) > 0.4 * 300 / len(shown[name])


def test_both_views_show_something_where_the_object_is_small(tmp_path):
    voxels = np.abs(np.random.default_rng(0).normal(0, 2, (160, 160, 4))).astype("i2")
    voxels[70:100, 75:95] += 100
    path = save(tmp_path / "a.nii", nifti_bytes(voxels))
    feed = open_feed(items(convert_files({PLAIN: path}, tmp_path)[0], PLAIN), SECTION)
    views = np.concatenate([feed.pair(n) for n in range(60)])
    # At most a fifth of all places touch the object.
    assert np.mean(views.max(axis=(1, 2, 3)) > 0.9) > 0.9
    assert np.mean((views < 0.5).mean(axis=(1, 2, 3)) > 0.5) > 0.3, "air belongs to a view"


def test_the_share_of_artifacts_is_the_configured_one(store):
    feed = open_feed(items(store), SECTION.model_copy(update={"artifact_share": 0.3}))
    found = [feed.sample(n).artifact is not None for n in range(600)]
    assert np.mean(found) == pytest.approx(0.3, abs=0.06)
    assert not any(open_feed(items(store), SECTION).sample(n).artifact for n in range(50))


def test_artifacts_are_of_all_families_axes_and_severities(store):
    feed = open_feed(items(store), WITH_ARTIFACTS)
    samples = [feed.sample(n) for n in range(400)]
    artifacts = [sample.artifact for sample in samples]
    shown_by_slices = set(Family) - {Family.INTERSLICE}
    assert {artifact.family for artifact in artifacts} == shown_by_slices
    assert {artifact.phase_axis for artifact in artifacts} == {"y", "x"}
    severities = [artifact.severity for artifact in artifacts]
    assert LEAST_SEVERITY <= min(severities) < 0.15
    assert 0.95 < max(severities) <= 1
    assert np.mean(severities) == pytest.approx(0.55, abs=0.05)
    assert len({artifact.seed for artifact in artifacts}) == 400
    for sample in samples:
        assert sample.artifact.keep_zeros == (sample.series_id == MASKED)


def test_an_artifact_changes_its_slice_alone_and_can_be_replayed(store):
    clean, feed = open_feed(items(store), SECTION), open_feed(items(store), WITH_ARTIFACTS)
    changed = n_rounded = 0
    for n in range(40):
        sample, plain = feed.sample(n), clean.sample(n)
        assert (sample.series_id, sample.t, sample.z, sample.views) == (
            plain.series_id, plain.t, plain.z, plain.views,
        )  # fmt: skip
        series = open_store(store).series(sample.series_id)
        known = series.attributes
        source = series.slice(sample.t, sample.z)
        image = apply(source[None], known.spacing_mm, sample.artifact)[0]
        if np.dtype(known.dtype).kind == "i":  # simulated values are such as the source can hold
            image = np.rint((image - known.inter) / known.slope) * known.slope + known.inter
            n_rounded += 1
        image = prepare(image, known.percentile(sample.t, 99.5), WITH_ARTIFACTS.gamma)
        pair = feed.pair(n)
        for view, pixels in zip(sample.views, pair[:, 0], strict=True):
            assert np.array_equal(pixels, apply_view(image, view))
        changed += not np.array_equal(pair, clean.pair(n))
    assert 0 < n_rounded < 40
    assert changed > 35, "all but those that change only what no view shows"


def test_batches_are_the_stream_in_order_and_resume_anywhere(store):
    feed = open_feed(items(store), SECTION)
    whole = torch.cat(list(batches(feed, 0, 5, 8)))
    assert whole.shape == (40, 2, 1, 32, 32)
    assert torch.equal(whole, feed.block(range(40)))
    resumed = list(batches(open_feed(items(store), SECTION), 3, 2, 8))
    assert [len(batch) for batch in resumed] == [8, 8]
    assert torch.equal(torch.cat(resumed), whole[24:])
    assert list(batches(feed, 5, 0, 8)) == []


@pytest.mark.parametrize("world", [2, 4])
def test_blocks_of_the_ranks_make_the_batch_of_one(store, world):
    feed = open_feed(items(store), SECTION)
    alone = list(batches(feed, 2, 3, 8))
    ranks = [list(batches(feed, 2, 3, 8, rank, world)) for rank in range(world)]
    for step, batch in enumerate(alone):
        assert torch.equal(torch.cat([blocks[step] for blocks in ranks]), batch)


def test_a_batch_that_cannot_be_shared_is_refused(store):
    with pytest.raises(UserError, match=r"batch is 8; it must be a multiple of the 3 workers"):
        batches(open_feed(items(store), SECTION), 0, 1, 8, 0, 3)


def test_processes_give_the_same_batches_and_take_none_of_the_models_random_numbers(store):
    feed = open_feed(items(store), WITH_ARTIFACTS)
    expected = list(batches(feed, 1, 5, 4, 1, 2))
    state = torch.get_rng_state()
    made = list(batches(feed, 1, 5, 4, 1, 2, workers=2))
    assert torch.equal(torch.get_rng_state(), state)
    assert len(made) == 5
    for one, other in zip(made, expected, strict=True):
        assert torch.equal(one, other)


def test_a_feed_that_is_left_early_leaves_no_thread(store):
    stream = batches(open_feed(items(store), SECTION), 0, 1000, 4)
    next(stream)
    assert any(thread.name.startswith("feed") for thread in threading.enumerate())
    stream.close()
    assert not any(thread.name.startswith("feed") for thread in threading.enumerate())


def test_an_error_in_the_feed_reaches_whoever_asks_for_the_batch(copied):
    feed = open_feed(items(copied), SECTION)
    for path in copied.glob("*/c.*"):
        path.unlink()
    for workers in (0, 1):
        with pytest.raises(MriqaError, match="found nothing to show in 4 series") as caught:
            list(batches(feed, 0, 1, 4, workers=workers))
        assert caught.value.exit_code == FAILED


def damage_slice(store, name, z):
    """Flip a bit of one slice; the index says where it stands."""
    (path,) = (store / name).glob("c.*")
    content = bytearray(path.read_bytes())
    index = np.frombuffer(bytes(content[-16 * N_SLICES - 4 : -4]), "<u8").reshape(-1, 2)
    content[int(index[z, 0]) + 20] ^= 1
    path.write_bytes(content)


def test_a_damaged_slice_is_never_shown_and_changes_no_other_sample(store, copied, capsys):
    good = open_feed(items(store), SECTION)
    hit = [n for n in range(120) if (good.sample(n).series_id, good.sample(n).z) == (PLAIN, 4)]
    assert hit
    damage_slice(copied, PLAIN, 4)
    feed = open_feed(items(copied), SECTION)
    for n in range(120):
        sample = feed.sample(n)
        assert (sample.series_id, sample.z) != (PLAIN, 4)
        assert (sample == good.sample(n)) == (n not in hit)
        if n in hit:
            assert np.array_equal(feed.pair(n), open_feed(items(copied), SECTION).pair(n))
    lines = [line for line in capsys.readouterr().err.splitlines() if "slice 4 of volume 0" in line]
    assert len(lines) == 1 + len(hit), "a line a feed"
    assert "Another slice takes its place." in lines[0]


def told(capsys):
    """Lines on stderr but for progress, which a machine that is held up for 5 s adds."""
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if not line.startswith("training: open: ")]


def test_a_volume_that_cannot_be_read_at_all_gives_its_place_to_the_next(copied, capsys):
    feed = open_feed(items(copied), SECTION)
    shutil.rmtree(copied / PLAIN)
    names = Counter(feed.sample(n).series_id for n in range(60))
    assert set(names) == {SERIES_4D, MASKED, HALF}
    assert names.total() == 60
    (line,) = told(capsys)
    assert f"{PLAIN}: cannot be read back" in line


def test_series_that_are_gone_are_left_out_with_a_line_each(store, copied, capsys):
    shutil.rmtree(copied / MASKED)
    (copied / HALF / "zarr.json").write_text("{")
    wanted = [*items(copied), FeedItem(PLAIN, copied / "gone.zarr")]
    feed = open_feed(wanted, SECTION)
    lines = told(capsys)
    assert len(lines) == 3
    assert all("left out" in line for line in lines)
    for name in (MASKED, HALF, "gone.zarr"):
        assert sum(name in line for line in lines) == 1
    only = open_feed(items(store, PLAIN, SERIES_4D), SECTION)
    assert [feed.sample(n) for n in range(20)] == [only.sample(n) for n in range(20)]


def test_nothing_left_to_train_on_is_an_error_of_the_user(tmp_path):
    with pytest.raises(UserError, match="none of 4 series can be read"):
        open_feed(items(tmp_path), SECTION)


def test_a_volume_without_foreground_is_left_out(tmp_path):
    voxels = blob((44, 40, N_SLICES), n_volumes=3).astype("f4")
    voxels[..., 1] = 7
    path = save(tmp_path / "a.nii", nifti_bytes(voxels))
    feed = open_feed(items(convert_files({PLAIN: path}, tmp_path)[0], PLAIN), SECTION)
    assert feed.n_volumes == 2
    assert {feed.sample(n).t for n in range(10)} == {0, 2}
