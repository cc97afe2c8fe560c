"""A SimCLR step, NT-Xent at 4096, scoring a volume, and two workers against one.

Ours and the peer alternate in one run, on one core; two workers get two. NT-Xent's peer is
lightly's NTXentLoss (lightly 1.6.0, lightly/loss/ntx_ent_loss.py, without a memory bank and with
one process), written out here operation by operation, for lightly needs torchvision to be imported:
four N×N logits, their diagonals cut out with a boolean mask, joined, cross-entropy.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mriqa.training.allocator import keep_freed_memory
from mriqa.training.contrastive import ContrastiveTask, make_contrastive_net, nt_xent
from mriqa.training.encoders import EMBEDDING, make_encoder
from mriqa.training.loop import Gradient, LoopSettings, backward, place
from mriqa.training.world import World

REPEATS = 5
VIEW_PX = 128
PAIRS = 64
N = 4096
VOLUME = (44, 224, 168)
STEPS = 4
CPU = torch.device("cpu")
TEMPERATURE = 0.1


def milliseconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def alternating(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple:
    """Median times of ours and theirs, and the median of the ratios of turns."""
    ours()
    theirs()
    turns = [(milliseconds(ours), milliseconds(theirs)) for _ in range(repeats)]
    columns = [statistics.median(column) for column in zip(*turns, strict=True)]
    return *columns, statistics.median(peer / own for own, peer in turns)


def row(name: str, times: tuple, target: str, note: str, floor_ms: float | None = None) -> dict:
    """One line of the results."""
    return {
        "name": name, "ours_ms": times[0], "peer_ms": times[1], "floor_ms": floor_ms,
        "ratio": times[2], "target": target, "note": note,
    }  # fmt: skip


def random_views(pairs: int) -> Callable[[int, int, World], Iterator[Tensor]]:
    """The same random views at every step: the feed has a benchmark of its own."""

    def source(_first: int, count: int, world: World) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(world.rank)
        batch = torch.rand(pairs // world.size, 2, 1, VIEW_PX, VIEW_PX, generator=generator)
        for _ in range(count):
            yield batch

    return source


def stepper(precision: str, world: World, pairs: int) -> Callable[[], None]:
    """A whole step of the training loop: forward, backward, exchange, Adam."""
    encoder = make_encoder("resnet18", seed=0)
    net = make_contrastive_net(encoder, EMBEDDING["resnet18"], 128, seed=0)
    module = place(net, CPU, precision).train()
    task = ContrastiveTask(net, random_views(pairs), TEMPERATURE)
    settings = LoopSettings("bench", "bench", 10_000, pairs, 1, 1e-3, 0.0, 0, 0, 1, precision)
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    gradient = Gradient(module, world)
    batches = task.batches(0, 10_000, world)

    def step() -> None:
        gradient.clear()
        backward(task, module, batches, settings, world, CPU)
        gradient.average()
        optimizer.step()

    return step


def eager_stepper(pairs: int) -> Callable[[], None]:
    """The same in plain torch: float32, channels first, nn.BatchNorm, plain NT-Xent, Adam."""
    from monai.networks.nets import resnet18

    torch.manual_seed(0)
    encoder = resnet18(
        spatial_dims=2, n_input_channels=1, conv1_t_stride=2, feed_forward=False,
        bias_downsample=False,
    )  # fmt: skip
    net = nn.Sequential(encoder, nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128)).train()
    optimizer = torch.optim.Adam(net.parameters())
    batch = next(random_views(pairs)(0, 1, World()))

    def step() -> None:
        optimizer.zero_grad()
        z1, z2 = net(batch.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
        lightly_nt_xent(z1, z2, TEMPERATURE).backward()
        optimizer.step()

    return step


def lightly_nt_xent(out0: Tensor, out1: Tensor, temperature: float) -> Tensor:
    """lightly's NTXentLoss.forward without gathering and memory bank, operation by operation."""
    out0 = nn.functional.normalize(out0, dim=1)
    out1 = nn.functional.normalize(out1, dim=1)
    n = len(out0)
    diagonal = torch.eye(n, dtype=torch.bool)
    logits_00 = torch.einsum("nc,mc->nm", out0, out0) / temperature
    logits_01 = torch.einsum("nc,mc->nm", out0, out1) / temperature
    logits_10 = torch.einsum("nc,mc->nm", out1, out0) / temperature
    logits_11 = torch.einsum("nc,mc->nm", out1, out1) / temperature
    logits_00 = logits_00[~diagonal].view(n, -1)
    logits_11 = logits_11[~diagonal].view(n, -1)
    logits = torch.cat(
        [torch.cat([logits_01, logits_00], dim=1), torch.cat([logits_10, logits_11], dim=1)]
    )
    return nn.functional.cross_entropy(logits, torch.arange(n).repeat(2))


def measure_step() -> dict:
    """bfloat16 and channels-last against float32 eager."""
    times = alternating(stepper("bfloat16", World(), PAIRS), eager_stepper(PAIRS), 3)
    note = f"ResNet18, {PAIRS}×2 views of {VIEW_PX}², bfloat16 + channels last; peer float32 eager"
    return row("simclr_step", times, "≥2.2", note)


def measure_nt_xent() -> dict:
    """The loss alone, forward and backward, at 2 × 4096 projections."""
    generator = torch.Generator().manual_seed(0)
    views = [torch.randn(N, 128, generator=generator).requires_grad_() for _ in range(2)]

    ours, theirs = nt_xent(*views, TEMPERATURE, World()), lightly_nt_xent(*views, TEMPERATURE)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)

    def floor() -> None:
        z = torch.cat([view.detach() for view in views])
        for start in range(0, 2 * N, 128):
            similarity = z[start : start + 128] @ z.T
            similarity @ z
            similarity.T @ z[start : start + 128]

    times = alternating(
        lambda: nt_xent(*views, TEMPERATURE, World()).backward(),
        lambda: lightly_nt_xent(*views, TEMPERATURE).backward(),
        REPEATS,
    )
    floor_ms = statistics.median(milliseconds(floor) for _ in range(REPEATS))
    note = f"{N} pairs, 128-d, forward + backward; peer lightly's formula; floor its products"
    return row("nt_xent_4096", times, "≥2.5", note, floor_ms)


def measure_scoring() -> dict:
    """A volume's slices in one batch as scoring runs them, against one by one in float32."""
    from mriqa.config import TrainingSection
    from mriqa.embedding.network import make_network

    volume = torch.rand(VOLUME, generator=torch.Generator().manual_seed(0)).numpy()
    encoder = make_encoder("resnet18", seed=0).eval()
    settings = TrainingSection(precision="bfloat16", score_device="cpu", threads=1)
    network = make_network(encoder, 0.3, settings)

    @torch.inference_mode()
    def one_by_one() -> None:
        prepared = torch.from_numpy(volume).clamp(0, 4) ** 0.3
        for image in prepared:
            encoder(image[None, None])

    times = alternating(lambda: network.encode(volume, 1.0), one_by_one, REPEATS)
    note = (
        "44 slices of 224×168, bfloat16 + channels last; peer float32, slice by slice; floor its "
        "products at the speed of a 2048² bfloat16 product"
    )
    return row("simclr_score_volume", times, "≥4", note, floor_of_encoding(encoder, volume))


def floor_of_encoding(encoder: nn.Module, volume: np.ndarray) -> float:
    """Milliseconds of the encoder's multiplications at the speed of a large bfloat16 product."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        encoder(torch.from_numpy(volume[:1, None]))
    square = torch.rand(2048, 2048, dtype=torch.bfloat16)
    once = statistics.median(milliseconds(lambda: square @ square) for _ in range(REPEATS))
    return once * len(volume) * counter.get_total_flops() / (2 * 2048**3)


def worker(rank: int, size: int, folder: str, together: bool) -> None:
    """Time some steps as one of `size` workers, a core each; leave the seconds in a file.

    Not `together`: each trains for itself on its share of the batch.
    """
    keep_freed_memory()  # as the feed does
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[rank % len(cores)]})
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    if together:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size
        )
    step = stepper("bfloat16", World.current(), PAIRS if together else PAIRS // size)
    step()
    World.current().barrier()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    World.current().barrier()
    (Path(folder) / f"seconds-{rank}").write_text(str(time.perf_counter() - start))
    if together:
        torch.distributed.destroy_process_group()


def step_with(size: int, together: bool) -> float:
    """Milliseconds of a step of PAIRS pairs shared by `size` workers."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            context.Process(target=worker, args=(rank, size, folder, together))
            for rank in range(size)
        ]
        for process in workers:
            process.start()
        for process in workers:
            process.join()
        if any(process.exitcode for process in workers):
            raise RuntimeError(f"a worker of {size} failed")
        seconds = [float(path.read_text()) for path in Path(folder).glob("seconds-*")]
    return 1000 * max(seconds) / STEPS


def measure_workers() -> dict:
    """The same global batch by two workers and by one: samples a second.

    Floor: both cores at once without any exchange, half of the batch each. What lies between is
    waiting: on 2026-11-30 (float32, a step of 5.8 s, floor 4.6 s) .5 to .7 s a step in 44
    exchanges, whose messages themselves take some .1 s, as the same convolutions' backward took
    3.1 to 5.3 s from one turn to the next on that virtual machine: the slower worker decides.
    """
    turns = [(step_with(2, True), step_with(1, False), step_with(2, False)) for _ in range(3)]
    ours, theirs, floor = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio = statistics.median(one / two for two, one, _ in turns)
    note = f"{PAIRS} pairs a step, one thread each, gloo; peer one worker; floor no exchange"
    return row("simclr_two_workers", (ours, theirs, ratio), "≥1.6", note, floor)


def run() -> list[dict]:
    """The four comparisons; all but that of workers, which other processes do, on one core."""
    workers = measure_workers()
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(cores)})
    try:
        alone = [measure_step(), measure_nt_xent(), measure_scoring()]
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
    return [*alone, workers]
