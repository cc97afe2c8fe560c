"""Networks that HyS-Net is compared with: as slow loops, blind to padding, able to learn."""

import pytest
import torch
import torch.nn.functional as F

from mriqa.evaluation.hysnet.comparators.content import boxes, gathered, tiles, weighted_means
from mriqa.evaluation.hysnet.comparators.nets import (
    NETS,
    bilinear,
    gradient,
    make_comparator,
    normalised,
)

WIDTH = 1 / 16
every_net = pytest.mark.parametrize("name", NETS)


def slices(n=3, y=70, x=90, seed=0):
    """Without a single 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, y, x, generator=generator) * 0.99 + 0.01


def settled(name, seed=0):
    """In evaluation, its batch norms having seen some images."""
    net = make_comparator(name, WIDTH, seed).train()
    with torch.no_grad():
        for batch in range(3):
            net(slices(4, seed=100 + batch))
    return net.eval()


@every_net
@pytest.mark.parametrize("shape", [(64, 64), (65, 130), (97, 71), (20, 300)])
def test_slices_of_any_size(name, shape):
    for net in (make_comparator(name, WIDTH, 0), make_comparator(name, WIDTH, 0).eval()):
        said = net(slices(2, *shape))
        assert said.shape == (2,)
        assert said.dtype == torch.float32
        assert said.isfinite().all()


@every_net
def test_the_seed_fixes_the_weights_and_the_callers_state_stays(name):
    state = torch.get_rng_state()
    one, same, other = (make_comparator(name, WIDTH, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@every_net
def test_evaluation_and_training_draw_nothing(name):
    net, x = settled(name), slices()
    state = torch.get_rng_state()
    assert torch.equal(net(x), net(x))
    net.train()(x)
    assert torch.equal(torch.get_rng_state(), state)


@every_net
def test_an_image_is_judged_as_if_alone(name):
    """Also beside one of another content."""
    net, x = settled(name), slices(4)
    x[1, :, :30] = 0
    x[2, :, :, 20:] = 0
    x[3] = 0
    together = net(x)
    alone = torch.cat([net(x[row : row + 1]) for row in range(4)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert together.detach().unique().numel() == 4


@every_net
@pytest.mark.parametrize("training", [False, True])
def test_zeros_around_a_slice_change_nothing(name, training):
    net, x = settled(name).train(training), slices(3, 70, 90)
    expected = net(x)
    for padding in [(3, 0, 0, 5), (147, 147, 157, 157)]:
        torch.testing.assert_close(net(F.pad(x, padding)), expected, rtol=1e-4, atol=1e-5)


@every_net
def test_every_parameter_gets_a_gradient(name):
    net = make_comparator(name, WIDTH, 0).train()
    (net(slices(6)) - torch.arange(6)).abs().mean().backward()
    assert [key for key, p in net.named_parameters() if not p.grad.abs().max() > 0] == []
    assert all(p.grad.isfinite().all() for p in net.parameters())


@every_net
def test_a_slice_of_zeros_has_a_prediction_and_gradients(name):
    net = make_comparator(name, WIDTH, 0).train()
    said = net(torch.zeros(2, 1, 64, 64))
    said.sum().backward()
    assert said.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@every_net
def test_predictions_are_not_in_half_precision(name):
    net, x = settled(name), slices(4)
    with torch.no_grad():
        expected = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, expected, rtol=0.1, atol=0.1)
    assert not torch.equal(half, half.bfloat16().float())


@every_net
def test_width_multiplies_channels(name):
    small, large = (make_comparator(name, width, 0) for width in (0.25, 0.5))
    counts = [sum(p.numel() for p in net.parameters()) for net in (small, large)]
    assert 3.5 < counts[1] / counts[0] < 4.1  # weights between two layers: width squared


def test_channels_of_the_papers():
    def convolutions(module):
        return [one for one in module.modules() if isinstance(one, torch.nn.Conv2d)]

    net = make_comparator("deepiqa", 1, 0)
    channels = [one.out_channels for one in convolutions(net)]
    assert channels == [32, 32, 64, 64, 128, 128, 256, 256, 512, 512]
    assert [one.in_features for one in net.score if isinstance(one, torch.nn.Linear)] == [512] * 2
    net = make_comparator("dbcnn", 1, 0)
    assert len(convolutions(net.contents)) == 13
    strides = [one.stride[0] for one in convolutions(net.distortions)]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 2]
    assert net.fc.in_features == 512 * 128


def test_content_is_the_smallest_box_around_what_is_not_zero():
    images = torch.zeros(3, 1, 9, 12)
    images[0, 0, 2, 3] = images[0, 0, 6, 10] = 0.1
    images[1, 0, 8, 11] = -1
    assert boxes(images) == [(2, 7, 3, 11), (8, 9, 11, 12), (0, 9, 0, 12)]
    content, mask = gathered(images, 4)
    assert content.shape == mask.shape == (3, 1, 12, 12)
    assert torch.equal(content[0, 0, :5, :8], images[0, 0, 2:7, 3:11])
    assert mask.sum((1, 2, 3)).tolist() == [5 * 8, 1, 9 * 12]
    assert float(content[1].sum()) == float(content[1, 0, 0, 0]) == -1


def test_tiles_are_cut_as_a_loop_would():
    images = F.pad(slices(2, 50, 70), (5, 6, 7, 8))
    images[1, :, :20] = 0
    found = tiles(images, 32)
    expected, shares, owners = [], [], []
    for number, (top, bottom, left, right) in enumerate(boxes(images)):
        for y in range(top, bottom, 32):
            for x in range(left, right, 32):
                piece = images[number, :, y : min(y + 32, bottom), x : min(x + 32, right)]
                tile = torch.zeros(1, 32, 32)
                tile[:, : piece.shape[1], : piece.shape[2]] = piece
                expected.append(tile)
                shares.append(piece.numel() / 32**2)
                owners.append(number)
    assert torch.equal(found.images, torch.stack(expected))
    assert found.shares.tolist() == pytest.approx(shares)
    assert found.owners.tolist() == owners


@torch.no_grad()
def test_deepiqa_is_the_weighted_mean_of_its_patches():
    net = settled("deepiqa")
    images = F.pad(slices(3, 70, 40), (10, 10, 0, 9))
    expected = []
    for image in images:
        total = weight = 0.0
        for y in range(0, 70, 32):
            for x in range(10, 50, 32):
                patch = torch.zeros(1, 1, 32, 32)
                piece = image[0, y : min(y + 32, 70), x : min(x + 32, 50)]
                patch[0, 0, : piece.shape[0], : piece.shape[1]] = piece
                feature = net.features(patch).flatten(1)
                own = float(net.weight(feature).clamp_min(0) + 1e-6) * piece.numel() / 32**2
                total += own * float(net.score(feature))
                weight += own
        expected.append(total / weight)
    assert net(images).tolist() == pytest.approx(expected, rel=1e-4)


def test_deepiqa_starts_near_the_plain_mean():
    net = make_comparator("deepiqa", 0.25, 0)
    weights = net.judged(slices(50, 32, 32))[1].detach()
    assert 0.5 < float(weights.min()) < float(weights.max()) < 1.5


def test_a_weighted_mean_of_no_weight_but_one():
    values, weights = torch.tensor([1.0, 5, 7, 2]), torch.tensor([1.0, 3, 0, 2])
    found = weighted_means(values, weights, torch.tensor([0, 0, 1, 1]), 2)
    assert found.tolist() == pytest.approx([4, 2])


def test_the_gradient_of_a_ramp_is_its_slope():
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    found = gradient((0.03 * y + 0.04 * x)[None, None])[0, 0, 1:-1, 1:-1]
    torch.testing.assert_close(found, torch.full_like(found, 2 * 0.05))


def test_two_streams_see_the_gradient_of_the_whole_slice():
    """At the edges of patches there are none of their own."""
    flat = torch.full((1, 1, 128, 128), 0.5)
    seen = []
    net = settled("two_stream")
    net.gradient.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(flat)
    assert seen[0].shape == (4, 1, 64, 64)
    assert float(seen[0][0, 0, 1:, 1:].max()) < 1e-6  # its right and lower edges are inside
    assert float(seen[0][0, 0, 0].min()) > 0.1  # its upper one is the slice's


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_bilinear_pooling_is_the_mean_of_outer_products(dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    first, second = (
        torch.rand(2, c, 4, 5, generator=generator, dtype=dtype).requires_grad_() for c in (3, 7)
    )
    found = bilinear(first, second, torch.tensor([20, 10], dtype=dtype))
    expected = torch.einsum("nayx,nbyx->nab", first, second).flatten(1)
    expected = expected / torch.tensor([[20], [10]], dtype=dtype)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    one = sum(
        torch.outer(first[0, :, y, x], second[0, :, y, x]) for y in range(4) for x in range(5)
    )
    torch.testing.assert_close(found[0], one.flatten() / 20, rtol=tolerance, atol=tolerance)


def test_normalised_are_signed_roots_of_length_one():
    features = torch.tensor([[4.0, -9, 0], [0, 0, 0]], requires_grad=True)
    found = normalised(features)
    expected = torch.tensor([[2, -3, 0], [0, 0, 0]]) / 13**0.5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    found.sum().backward()
    assert features.grad.isfinite().all()


def lit(generator, n, side):
    """Images of any texture and level; the level, standardised."""
    level = torch.rand(n, generator=generator)
    texture = 0.5 + 0.5 * torch.rand(n, side, side, generator=generator)
    return (0.1 + 0.9 * level[:, None, None] * texture)[:, None], (level - 0.5) * 12**0.5


@pytest.mark.parametrize(
    ("name", "side", "steps"), [("deepiqa", 32, 70), ("two_stream", 64, 24), ("dbcnn", 64, 24)]
)
def test_the_level_of_an_image_is_learned(name, side, steps):
    """The absolute error of knowing nothing is 0.87: numbers equally likely within ±√3."""
    net, generator = make_comparator(name, 0.125, 0).train(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(steps):
        images, levels = lit(generator, 8, side)
        loss = (net(images) - levels).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-6:]) / 6 < 0.87 / 2
