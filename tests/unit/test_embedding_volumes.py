"""Embeddings: the encoder's own, whatever the chunks, and of the body alone."""

import numpy as np
import pytest
import torch
from embedding_pieces import no_metrics
from hypothesis import given, settings
from hypothesis.strategies import booleans, floats, integers
from simclr_cohort import image

from mriqa.config import TrainingSection
from mriqa.embedding import network
from mriqa.embedding.network import Network, fold_batch_norms, make_network, open_network
from mriqa.embedding.volumes import (
    METRIC_LIMIT,
    SLICE_METRICS,
    UPPER_PERCENTILE,
    Intensity,
    VolumeEmbedding,
    body_slices,
    embed_volume,
    slice_metrics,
    spread_over_body,
)
from mriqa.errors import ErrorCode, SeriesError, UserError
from mriqa.metrics import measure
from mriqa.training.encoders import EMBEDDING, make_encoder
from mriqa.training.nonlocal_net import NonlocalEncoder
from mriqa.training.views import prepare

UPPER = 400.0


@pytest.fixture(scope="module")
def encoder():
    """With batch statistics as after training, not 0 and 1."""
    return as_trained(make_encoder("resnet18", seed=0))


def as_trained(made):
    generator = torch.Generator().manual_seed(1)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
    return made.eval()


def stages_of(encoder):
    if isinstance(encoder, NonlocalEncoder):
        return list(encoder.stages)
    return [getattr(encoder, f"layer{number}") for number in (1, 2, 3, 4)]


def slow(encoder, volume):
    """Slice by slice, float32, nothing folded: what each stage gives, then the encoder's output."""
    seen = []
    hooks = [
        stage.register_forward_hook(lambda *of: seen.append(of[2])) for stage in stages_of(encoder)
    ]
    rows = []
    for one in volume:
        seen.clear()
        with torch.inference_mode():
            output = encoder(torch.from_numpy(prepare(one, UPPER, 0.3))[None, None])
        means = [stage.numpy().mean(axis=(2, 3), dtype=np.float64) for stage in seen]
        rows.append(np.concatenate([*means[:-1], output.numpy()], axis=1))
    for hook in hooks:
        hook.remove()
    return np.concatenate(rows)


def test_the_folded_network_gives_the_encoders_embeddings(encoder):
    volume = image(0)
    found = Network(encoder, 0.3, "cpu", "float32").encode(volume, UPPER)
    np.testing.assert_allclose(found, slow(encoder, volume), rtol=1e-4, atol=1e-4)


def test_bfloat16_is_near(encoder):
    volume = image(0)
    expected = slow(encoder, volume)
    found = Network(encoder, 0.3, "cpu", "bfloat16").encode(volume, UPPER)
    error = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 0.01
    assert found.dtype == np.float32


def test_chunks_change_nothing(encoder, monkeypatch):
    volume = image(0)
    made = Network(encoder, 0.3, "cpu", "float32")
    whole = made.encode(volume, UPPER)
    monkeypatch.setattr(network, "CHUNK_PIXELS", 3 * volume[0].size)
    np.testing.assert_allclose(made.encode(volume, UPPER), whole, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(network, "CHUNK_PIXELS", 1)
    assert made.encode(volume, UPPER).shape == (8, 64 + 128 + 256 + 512)
    assert made.n_final == 512


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "nonlocal"])
def test_other_encoders_are_folded_and_read_out_as_well(name):
    other = make_encoder(name, seed=0).eval()
    if name == "nonlocal":  # its blocks open when they are trained
        other = as_trained(other)
    volume = image(0)[:2]
    found = Network(other, 0.3, "cpu", "float32").encode(volume, UPPER)
    np.testing.assert_allclose(found, slow(other, volume), rtol=1e-3, atol=1e-4)
    assert Network(other, 0.3, "cpu", "float32").n_final == EMBEDDING[name]


def test_no_batch_norm_is_left(encoder):
    for one in (encoder, make_encoder("nonlocal")):
        left = [m for m in fold_batch_norms(one).modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert left == []


def test_the_nonlocal_network_takes_small_slices():
    made = Network(make_encoder("nonlocal", seed=0), 0.3, "cpu", "float32")
    assert made.encode(image(0)[:2, :9, :11], UPPER).shape == (2, 32 + 64 + 128 + 256)


def test_the_encoder_given_is_left_as_it_was(encoder):
    names = [name for name, _ in encoder.named_parameters()]
    Network(encoder, 0.3, "cpu", "bfloat16")
    assert [name for name, _ in encoder.named_parameters()] == names
    assert all(one.dtype == torch.float32 for one in encoder.parameters())


def test_holes_in_a_volume_are_no_holes_in_its_embedding(encoder):
    volume = image(0)
    volume[3, 10:14, 10:14] = np.nan
    made = Network(encoder, 0.3, "cpu", "float32")
    assert np.isfinite(made.encode(volume, UPPER)).all()


def test_slices_of_little_body_are_not_of_the_body():
    volume = np.zeros((5, 20, 20), np.float32)
    for z, size in enumerate((0, 4, 12, 10, 2)):
        volume[z, :size, :size] = 100
    np.testing.assert_array_equal(body_slices(volume, 50.0), [False, False, True, True, False])
    assert body_slices(np.zeros((3, 4, 4), np.float32), 1.0).any()


def test_a_dark_slice_within_the_body_is_of_the_body():
    volume = np.full((6, 20, 20), 100, np.float32)
    volume[[0, 3]] = 10
    np.testing.assert_array_equal(body_slices(volume, 50.0), [False] + [True] * 5)


def test_a_volume_is_the_mean_of_its_body_slices():
    rng = np.random.default_rng(0)
    slices = rng.normal(0, 1, (6, 4)).astype(np.float16)
    body = np.array([False, True, True, False, True, False])
    found = VolumeEmbedding(slices, body, 3, no_metrics(len(slices)))
    np.testing.assert_allclose(found.volume, slices[[1, 2, 4]].astype(float).mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.places, [0, 0, 1 / 3, 2 / 3, 1, 1], rtol=1e-6)


def test_some_slices_alone_are_embedded_as_in_their_volume(encoder):
    network = make_network(encoder, 0.3, TrainingSection(precision="float32"))
    volume = image(0)
    intensity = Intensity.measured(volume, "it")
    whole = embed_volume(network, volume, intensity, "it")
    kept = spread_over_body(whole.is_body, 3)
    body = np.flatnonzero(whole.is_body)
    assert kept.tolist() == [body[int(part * len(body) / 6)] for part in (1, 3, 5)]
    some = embed_volume(network, volume, intensity, "it", kept)
    np.testing.assert_allclose(
        some.slices.astype(float), whole.slices[kept].astype(float), atol=2e-3
    )
    np.testing.assert_array_equal(some.is_body, True)
    np.testing.assert_array_equal(spread_over_body(whole.is_body, 999), body)


def test_intensities_of_a_copy_are_measured_as_those_of_a_stored_volume():
    volume = np.rint(image(0))
    found = Intensity.measured(volume, "x")
    body = volume[volume > found.threshold]
    assert found.upper == pytest.approx(np.percentile(body, 99.5), rel=0.02)
    with pytest.raises(SeriesError) as error:
        Intensity.measured(np.full((2, 8, 8), 3, np.float32), "x")
    assert error.value.code == ErrorCode.NO_FOREGROUND
    with pytest.raises(SeriesError, match="no foreground"):
        Intensity.of_percentiles(None, "x")


def test_an_embedding_that_is_no_number_is_an_error():
    class Broken:
        n_final = 4

        def encode(self, volume, upper):
            return np.full((len(volume), 4), 1e6, np.float32)

    with pytest.raises(SeriesError, match="s 0: its embedding is not finite"):
        embed_volume(Broken(), image(0), Intensity(UPPER, 50.0), "s 0")


def test_a_device_that_is_not_there_is_named(encoder, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    settings = TrainingSection(score_device="cuda")
    with pytest.raises(UserError, match=r"training\.score_device is cuda"):
        make_network(encoder, 0.3, settings)
    with pytest.raises(UserError, match="no model in"):
        open_network(tmp_path / "none", TrainingSection())


def test_the_metrics_of_slices_are_those_of_the_tables():
    rng = np.random.default_rng(0)
    volume = rng.rayleigh(2, (9, 64, 64)).astype(np.float32)
    volume[:, 16:48, 16:48] += 100 + rng.normal(0, 20, (1, 32, 32)).astype(np.float32)
    volume[4, 16:48, 16:48] *= 0.3
    known = measure(volume, (3.0, 1.0, 1.0), upper=UPPER_PERCENTILE).slices
    found = dict(zip(SLICE_METRICS, slice_metrics(volume).T, strict=True))
    unbounded = {"body_snr", "body_snr_tissue", "body_fber", "body_border_y", "body_border_x"}
    for name, values in found.items():
        expected = np.log1p(known[name]) if name in unbounded else known[name]
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6, err_msg=name)
    # the share of foreground says where a slice lies, not how good it is
    assert set(found) == set(known) - {"body_foreground_fraction"}
    dropout = found["body_slice_dropout"]
    assert dropout[4] == np.nanmax(dropout) > 0.5
    assert np.isnan(dropout[[0, -1]]).all()


def test_of_a_volume_in_which_nothing_stands_out_no_metric_is_known():
    found = slice_metrics(np.ones((5, 16, 16), np.float32))
    assert found.shape == (5, len(SLICE_METRICS))
    assert np.isnan(found).all()


@settings(max_examples=20, deadline=None)
@given(seed=integers(0, 1000), zeroed=booleans(), scale=floats(1e-3, 1e4))
def test_metrics_are_numbers_or_unknown(seed, zeroed, scale):
    rng = np.random.default_rng(seed)
    volume = rng.rayleigh(2, (5, 40, 40)).astype(np.float32)
    volume[:, 10:30, 10:30] += 100
    if zeroed:
        volume[volume < 50] = 0
    found = dict(zip(SLICE_METRICS, slice_metrics(volume * np.float32(scale)).T, strict=True))
    assert np.isnan(found["body_snr"]).all() == zeroed
    assert np.isfinite(found["body_snr_tissue"]).all()
    assert np.isfinite(found["body_slice_consistency"]).all()


def test_a_slice_almost_without_signal_is_far_off_and_no_further():
    rng = np.random.default_rng(0)
    volume = rng.rayleigh(2, (9, 64, 64)).astype(np.float32)
    volume[:, 16:48, 16:48] += 100
    volume[4] *= 1e-8
    dropout = slice_metrics(volume)[:, SLICE_METRICS.index("body_slice_dropout")]
    assert np.nanmin(dropout) == -METRIC_LIMIT


class Ones:
    """An encoder that sees nothing."""

    n_final = 2

    def encode(self, volume, upper):
        return np.ones((len(volume), 2), np.float32)


def test_slices_are_measured_before_any_are_left_out():
    volume = np.random.default_rng(0).uniform(0, 100, (9, 32, 32)).astype(np.float32)
    kept = np.array([1, 4, 8])
    metrics = slice_metrics(volume)
    whole = embed_volume(Ones(), volume, Intensity(90.0, 10.0), "one", metrics=metrics)
    some = embed_volume(Ones(), volume, Intensity(90.0, 10.0), "one", kept, metrics)
    assert whole.metrics.shape == (9, len(SLICE_METRICS))
    np.testing.assert_array_equal(some.metrics, whole.metrics[kept])
    unasked = embed_volume(Ones(), volume, Intensity(90.0, 10.0), "one")
    assert unasked.metrics.shape == (9, 0)


def test_voxels_that_are_no_numbers_say_nothing():
    volume = np.random.default_rng(0).rayleigh(2, (9, 64, 64)).astype(np.float32)
    volume[:, 16:48, 16:48] += 100
    volume[3, 20:24, 20:24] = np.nan
    found = slice_metrics(volume)[:, SLICE_METRICS.index("body_slice_consistency")]
    assert np.isfinite(found).all()
