"""Tuning by simulated artifacts: what is shown is what the truth says, and it is learned."""

import math

import pytest
import torch
from test_feed import WITH_ARTIFACTS, items, store  # noqa: F401 # a fixture
from torch import nn

from mriqa.artifacts import Family
from mriqa.config import TuningSection
from mriqa.training.feed import batches, open_feed
from mriqa.training.severity import (
    SEVERITY_SCALE,
    SeverityFeed,
    SeverityNet,
    SeverityTask,
    Told,
    Tuning,
)
from mriqa.training.world import World

FAMILIES = (Family.NOISE, Family.GHOSTING, Family.DROPOUT)
MIXED = WITH_ARTIFACTS.model_copy(update={"artifact_share": 0.6})


@pytest.fixture(scope="module")
def feeds(store):  # noqa: F811
    """The plain feed, and the one that tells the truth about it."""
    plain = open_feed(items(store), MIXED, FAMILIES)
    return plain, SeverityFeed(open_feed(items(store), MIXED, FAMILIES), FAMILIES)


def test_both_views_of_each_sample_are_told_as_the_feed_drew_them(feeds):
    plain, told = feeds
    block = told.block(range(40))
    assert len(block.views) == 2 * 40
    for place in range(80):
        number, view = divmod(place, 2)
        artifact = plain.sample(number).artifact
        torch.testing.assert_close(block.views[place], torch.from_numpy(plain.pair(number)[view]))
        family = 0 if artifact is None else 1 + FAMILIES.index(artifact.family)
        assert block.families[place] == family
        severity = 0.0 if artifact is None else artifact.severity
        assert float(block.severities[place]) == pytest.approx(severity)
    assert set(block.families.tolist()) == {0, 1, 2, 3}


def test_families_that_are_left_out_are_never_shown(store):  # noqa: F811
    feed = open_feed(items(store), WITH_ARTIFACTS, (Family.WRAP,))
    assert {feed.sample(n).artifact.family for n in range(20)} == {Family.WRAP}


def test_workers_share_each_batch(feeds):
    _, told = feeds
    (whole,) = batches(told, 3, 1, 8)
    halves = [next(batches(told, 3, 1, 8, rank, 2)) for rank in range(2)]
    for name in Told._fields:
        parts = torch.cat([getattr(half, name) for half in halves])
        torch.testing.assert_close(parts, getattr(whole, name))


class Flat(nn.Module):
    """An encoder of two features: mean and standard deviation."""

    def forward(self, x):
        return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1)


def test_the_loss_is_cross_entropy_and_hubers():
    net = SeverityNet(Flat(), 2, 3)
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    severities = torch.tensor([0.0, 0.25, 1.0])
    batch = Told(torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 3]), severities)
    loss, seen = SeverityTask(net, lambda *_: iter([])).loss(net, batch, World())
    wanted = [SEVERITY_SCALE * one for one in severities.tolist()]
    huber = sum(0.5 * one**2 if one < 1 else one - 0.5 for one in wanted) / 3
    assert float(seen["family"]) == pytest.approx(math.log(4))
    assert float(seen["severity"]) == pytest.approx(huber)
    assert float(loss.detach()) == pytest.approx(math.log(4) + huber)


def test_what_is_shown_follows_the_tuning_and_not_the_pretraining():
    settings = TuningSection(view_px=64, artifact_share=0.9)
    resized = MIXED.model_copy(update={"views": "resized_crop"})
    shown = Tuning("x", settings, resized, FAMILIES).shown
    assert (shown.view_px, shown.artifact_share, shown.views) == (64, 0.9, "native_patch")
    assert shown.gamma == resized.gamma
