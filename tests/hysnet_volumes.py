"""Made-up volumes whose noise is what HyS-Net has to tell, and small networks to tell it with."""

import numpy as np
import torch
from scipy import ndimage

from mriqa.config.hysnet import HysnetLearningSection, HysnetNetSection, HysnetPatchSection
from mriqa.methods.hysnet.feed import PatchFeed
from mriqa.methods.hysnet.learning import HysnetTask, loop_settings, source_of
from mriqa.methods.hysnet.net import make_net
from mriqa.methods.hysnet.patches import Cubes
from mriqa.methods.hysnet.target import TargetScale
from mriqa.methods.hysnet.volumes import ArrayVolumes
from mriqa.training.loop import train
from mriqa.training.world import World

CPU = torch.device("cpu")
PARTS = Cubes((24, 24, 24), (12, 12, 12))
SMALL = HysnetNetSection(width=0.125, branch=(32, 16), predictor=(16, 8))
SECTION = HysnetLearningSection(
    net=SMALL,
    patches=HysnetPatchSection(sides=PARTS.sides, steps=PARTS.steps),
    batch=12,
    epochs=3,
    halve_epochs=1.5,
    learning_rate=2e-3,
    hyper_rate=3,
)


def blobs(n, seed) -> ArrayVolumes:
    """Ellipsoids of any place, size and texture in Rician noise; the target is log SNR."""
    rng = np.random.default_rng(seed)
    volumes, targets = [], []
    for _ in range(n):
        shape = tuple(rng.integers(24, 40, 3).tolist())
        axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
        centre, radius = rng.uniform(-0.3, 0.3, 3), rng.uniform(0.5, 0.8, 3)
        body = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radius, strict=True)) < 1
        texture = ndimage.gaussian_filter(rng.normal(size=shape), 2)
        clean = body * (1 + rng.uniform(0, 0.35) / texture.std() * texture)
        noise = rng.uniform(0.02, 0.3)
        real, imaginary = noise * rng.normal(size=(2, *shape))
        volumes.append((100 * np.hypot(clean + real, imaginary)).astype(np.float32))
        targets.append(float(np.log(1 / noise)))
    return ArrayVolumes(volumes, [float(np.percentile(one, 99.5)) for one in volumes], targets)


def task_of(volumes, section=SECTION, parts=PARTS) -> HysnetTask:
    """The task of learning `volumes`, from the untrained network."""
    scale = TargetScale.of(volumes.targets, "snr")
    feed = PatchFeed(volumes, parts, scale, section.seed, section.patches.gamma)
    net = make_net(section.net, section.seed)
    return HysnetTask(net, source_of(feed, section.batch, 0), section.hyper_rate)


def learn(task, n_volumes, folder, section=SECTION, every=1000, precision="float32"):
    """Train `task` in this process; the state after the last step."""
    settings = loop_settings(section, n_volumes, "hysnet-0", every, precision)
    return train(task, settings, folder, world=World(), device=CPU, report=lambda *_: None)
