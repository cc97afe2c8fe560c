"""The hierarchy's speed on one core: its slice stage beside SimCLR's scoring, its volume stage.

Ours and the peer alternate in one run.
"""

import os
import statistics

import numpy as np
import torch
from bench_training import REPEATS, VOLUME, alternating, milliseconds, row
from torch import nn

from mriqa.config import LearningSection, TrainingSection
from mriqa.embedding.network import make_network
from mriqa.embedding.volumes import SLICE_METRICS, VolumeEmbedding, slice_metrics
from mriqa.methods.hierarchy.bags import Bags
from mriqa.methods.hierarchy.learning import untrained
from mriqa.methods.hierarchy.reading import Reading
from mriqa.training.encoders import make_encoder
from mriqa.training.severity import SeverityNet

FAMILIES = 11
FEATURES = FAMILIES + 2 + len(SLICE_METRICS) + 1
"""Of a slice: logits of the families and of none, severity, metrics, place."""
LEAST_A_SECOND = 25.0
"""Volumes a second that the volume stage must rate, given their slices' features."""


def measure_slices() -> dict:
    """Features of a volume's slices, and what the slice stage says of them, against SimCLR's."""
    volume = torch.rand(VOLUME, generator=torch.Generator().manual_seed(0)).numpy()
    settings = TrainingSection(precision="bfloat16", score_device="cpu", threads=1)
    ours, theirs = (
        make_network(make_encoder(name, seed=0), 0.3, settings) for name in ("nonlocal", "resnet18")
    )
    networks = untrained(FEATURES, LearningSection())
    tuned = SeverityNet(nn.Identity(), ours.n_final, FAMILIES)
    reading = Reading.of_network(tuned)
    places, is_body = np.zeros((VOLUME[0], 1), np.float32), np.ones(VOLUME[0], dtype=bool)
    scan = volume * 1000

    def rate() -> None:
        slices = ours.encode(volume, 1.0).astype(np.float16)
        metrics = slice_metrics(scan)
        told = reading.of(VolumeEmbedding(slices, is_body, ours.n_final, metrics)).slices
        features = np.concatenate([told, np.nan_to_num(metrics), places], axis=1, dtype=np.float32)
        networks.rate(Bags(features, np.array([VOLUME[0]])))

    times = alternating(rate, lambda: theirs.encode(volume, 1.0), REPEATS)
    note = "features and both stages of 44 slices of 224×168; peer SimCLR's embeddings of the same"
    return row("hierarchy_score_volume", times, "≥1", note)


def measure_volumes() -> dict:
    """The volume stage alone, one volume after the other; the peer is what was asked for."""
    networks = untrained(FEATURES, LearningSection())
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (VOLUME[0], FEATURES)).astype(np.float32)
    bag = Bags(values, np.array([VOLUME[0]]))
    networks.rate(bag)
    ours = statistics.median(milliseconds(lambda: networks.rate(bag)) for _ in range(20 * REPEATS))
    asked = 1000 / LEAST_A_SECOND
    note = f"slice and volume networks, given 44 slices' features; asked for {asked:.0f} ms"
    return row("hierarchy_volume_stage", (ours, asked, asked / ours), "≥1", note)


def run() -> list[dict]:
    """Both, on one core."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(cores)})
    try:
        return [measure_slices(), measure_volumes()]
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
