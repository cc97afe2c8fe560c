"""What the stages are told: what the tuned network itself says of a slice."""

import numpy as np
import torch

from mriqa.config import TrainingSection
from mriqa.embedding.network import make_network
from mriqa.embedding.volumes import Intensity, embed_volume
from mriqa.methods.hierarchy.reading import Reading, SliceNetwork
from mriqa.training.encoders import EMBEDDING, make_encoder
from mriqa.training.severity import SeverityNet

N_FAMILIES = 5
PLAIN = TrainingSection(precision="float32", score_device="cpu")


def tuned():
    """A network that nobody trained, with heads that say something."""
    torch.manual_seed(1)
    net = SeverityNet(make_encoder("nonlocal", seed=0), EMBEDDING["nonlocal"], N_FAMILIES).eval()
    torch.nn.init.normal_(net.head.weight)
    return net


def embedded(net, volume):
    network = make_network(net.encoder, 1.0, PLAIN)
    return embed_volume(network, volume, Intensity(1.0, 0.1), "a volume")


def test_what_is_read_is_what_the_network_says():
    net = tuned()
    volume = np.random.default_rng(0).random((3, 48, 64)).astype(np.float32)
    embedding = embedded(net, volume)
    told = Reading.of_network(net).of(embedding)
    with torch.no_grad():
        logits, severity = net(torch.from_numpy(volume)[:, None])
    expected = torch.cat([logits, severity[:, None]], dim=1).numpy()
    assert told.slices.shape == (3, N_FAMILIES + 2) == expected.shape
    np.testing.assert_allclose(told.slices, expected, rtol=0.02, atol=0.02)
    assert told.n_final == N_FAMILIES + 2
    np.testing.assert_array_equal(told.is_body, embedding.is_body)


def test_a_network_that_was_not_tuned_is_read_with_all_its_features():
    net = tuned()
    embedding = embedded(net, np.random.default_rng(0).random((2, 48, 64)).astype(np.float32))
    assert SliceNetwork(net.encoder, None).read(embedding) is embedding
    read = SliceNetwork(net.encoder, Reading.of_network(net)).read(embedding)
    assert read.slices.shape[1] == N_FAMILIES + 2


def test_without_nonlocal_blocks_it_is_another_network_of_the_same_length():
    local, whole = (make_encoder(name, seed=0).eval() for name in ("local", "nonlocal"))
    image = torch.rand(1, 1, 64, 64)
    assert local(image).shape == whole(image).shape
    names = [name for name, _ in local.named_parameters()]
    assert not any("theta" in name for name in names)
    assert any("theta" in name for name, _ in whole.named_parameters())
