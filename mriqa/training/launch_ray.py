"""Training with several workers under Ray Train. The only file that imports Ray.

Three kinds of processes. `train_with_ray` runs in mriqa's own process: it starts a private Ray and
a driver, shows their progress, and starts anew when Ray itself is lost. `drive` runs in the driver,
which Ray may take down with it: it hands the job to Ray Train, which replaces lost workers.
`work` runs in every worker: it joins the process group and does what a plain launch does. Whoever
starts anew goes on from the newest complete checkpoint in the run folder, which all workers see;
Ray's own checkpoints are not used.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import socket
import struct
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mriqa.config.methods import TrainingSection
from mriqa.errors import MriqaError, UserError
from mriqa.files import write_json
from mriqa.processes import stopped_by_signals
from mriqa.training.checkpoints import Checkpoint, newest
from mriqa.training.journal import print_line
from mriqa.training.launch import Job, finished, run_worker
from mriqa.training.loop import CHECKPOINTS
from mriqa.training.ray_cluster import LOGS, Cluster, Tail, held, last_line, listens, running
from mriqa.training.ray_nodes import LOOPBACK, Node, choose_nodes
from mriqa.training.world import World

if TYPE_CHECKING:
    from ray.train.torch import TorchConfig

ERROR = "error.json"
"""In Ray's folder: why training cannot go on, written by a worker or the driver."""
STORAGE = "train"
"""In Ray's folder: where Ray Train keeps its own records; not used, but Ray insists."""
FAILED = 3
"""Exit code of a driver that has recorded why."""
POLL_S = 0.2
NODE_PATIENCE_S = 3.0
_GET_INTERFACE_ADDRESS = 0x8915  # SIOCGIFADDR of Linux


@dataclass(frozen=True)
class Order:
    """What the driver and every worker are told."""

    job: str  # Job.to_json
    run_folder: str
    folder: str  # Ray's, in the run folder
    store: str  # on the node, for what several workers of one node share
    address: str
    nodes: int
    workers: int
    max_failures: int
    umask: int


def train_with_ray(job: Job, section: TrainingSection, run_folder: Path) -> Checkpoint:
    """Train `job` with `section.workers` workers; the last checkpoint.

    A lost worker is replaced by Ray, a lost Ray by this function, each up to `max_failures` times.

    Raises:
        UserError: Something to mend first: Ray or nodes are missing, the folder is in use, ...
        MriqaError: Training failed, or was stopped.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "training.launcher is ray, but Ray is not installed: "
            "pip install 'ray[train]', or set launcher: plain"
        )
    nodes = choose_nodes(section, os.environ)
    with held(run_folder) as folder, stopped_by_signals():
        for attempt in range(section.max_failures + 1):
            if _is_finished(job, run_folder):
                break
            lost = _attempt(job, section, nodes, run_folder, folder, attempt)
            if lost is None:
                break
            left = section.max_failures - attempt
            print_line(f"training: Ray was lost ({lost}); {left} new attempts are left")
        else:
            raise MriqaError(
                f"{run_folder}: Ray was lost {section.max_failures + 1} times, at last: {lost}. "
                "What was trained is kept: run again, or raise training.max_failures"
            )
        shutil.rmtree(folder / LOGS, ignore_errors=True)  # of an attempt before, or of success
    return finished(job.settings, run_folder)


def _is_finished(job: Job, run_folder: Path) -> bool:
    found = newest(run_folder / CHECKPOINTS, job.settings.identity(), print_line)
    return found is not None and found.step == job.settings.steps


def _attempt(
    job: Job,
    section: TrainingSection,
    nodes: tuple[Node, ...],
    run_folder: Path,
    folder: Path,
    attempt: int,
) -> str | None:
    """Train in one private Ray: None if that ended well, else how Ray was lost.

    Raises:
        MriqaError: Training failed for a reason that another attempt would meet again.
    """
    where = "this machine" if nodes[0].name is None else f"{len(nodes)} nodes"
    print_line(f"training: starting Ray with {section.workers} workers on {where}")
    (folder / ERROR).unlink(missing_ok=True)
    tail = Tail(folder / worker_log(0))
    with running(nodes, folder, section.threads, attempt) as cluster:
        order = Order(
            job.to_json(), str(run_folder.resolve()), str(folder.resolve()),
            str(cluster.ray.temporary), cluster.ray.address, len(nodes), section.workers,
            section.max_failures, _umask(),
        )  # fmt: skip
        try:
            code, lost = _follow(cluster, nodes[0], order, tail)
        finally:
            shutil.rmtree(folder / STORAGE, ignore_errors=True)
    _raise_recorded(folder, lost)
    if code == 0:
        return None
    return lost or f"its driver ended with {code}: {last_line(folder / 'driver.log')}"


def _follow(
    cluster: Cluster, head: Node, order: Order, tail: Tail
) -> tuple[int | None, str | None]:
    """Run the driver to its end, or to the loss of a node: (its exit code, what was lost)."""
    path = Path(order.folder) / "order.json"
    write_json(path, asdict(order))
    call = f"from {__name__} import main; main()"
    driver = cluster.start("driver", head, [sys.executable, "-c", call, str(path)])
    lost = None
    while driver.poll() is None and lost is None:
        time.sleep(POLL_S)
        tail.copy()
        lost = cluster.lost()
    # what took the workers may have been the loss of a node, which is told a little later
    until = time.monotonic() + NODE_PATIENCE_S
    while driver.poll() == FAILED and lost is None and time.monotonic() < until:
        time.sleep(POLL_S)
        lost = cluster.lost()
    tail.copy()
    return driver.poll(), lost


def _raise_recorded(folder: Path, lost: str | None) -> None:
    """Raise what was recorded; what the driver says only if no loss of a node explains it."""
    try:
        record = json.loads((folder / ERROR).read_text(encoding="utf-8"))
    except OSError:
        return
    if lost is not None and record["by"] == "driver":
        return
    raise (UserError if record["user"] else MriqaError)(record["message"])


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def worker_log(rank: int) -> str:
    """Name of the file in Ray's folder that takes what a worker says."""
    return f"worker-{rank}.log"


# --- in the driver ---


def main() -> None:
    """Entry of the driver process: its argument is the file of its order."""
    order = Order(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    code = 0
    try:
        drive(order)
    except MriqaError as error:
        if not (Path(order.folder) / ERROR).exists():  # a worker knows better
            record(order, error, "driver")
        code = FAILED
    sys.stderr.flush()
    os._exit(code)  # Ray's threads have nothing to say any more


def drive(order: Order) -> None:
    """Hand the job to Ray Train and wait for its end.

    Raises:
        UserError: The nodes lack GPUs.
        MriqaError: Workers failed more often than they may.
        Exception: Ray was lost.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    host, _, port = order.address.rpartition(":")
    while not listens(host, int(port)):
        time.sleep(POLL_S)
    ray.init(address=order.address, log_to_driver=False, configure_logging=False)
    gpu = Job.from_json(order.job).device == "cuda"
    await_resources(order, "GPU" if gpu else "CPU")
    trainer = TorchTrainer(
        work,
        train_loop_config=asdict(order),
        torch_config=without_group(),
        scaling_config=ScalingConfig(num_workers=order.workers, use_gpu=gpu),
        run_config=RunConfig(
            name=uuid.uuid4().hex,
            storage_path=str(Path(order.folder) / STORAGE),
            failure_config=FailureConfig(max_failures=order.max_failures),
        ),
    )
    try:
        trainer.fit()
    except ray.train.WorkerGroupError as error:
        traceback.print_exc()
        raise MriqaError(explain(error, order)) from error


def without_group() -> "TorchConfig":
    """Ray Train's configuration of torch, but that it joins no process group.

    Ray's group would meet on a port that is open to everybody: `work` joins one of its own.
    """
    from ray.train.backend import Backend
    from ray.train.torch import TorchConfig

    class EveryGpu(Backend):
        """Workers see all GPUs of their node, which NCCL needs to copy between them directly."""

        share_cuda_visible_devices = True

    class WithoutGroup(TorchConfig):
        @property
        def backend_cls(self) -> type[Backend]:
            return EveryGpu

    return WithoutGroup()


def await_resources(order: Order, kind: str, patience_s: float = 180.0) -> None:
    """Wait until all nodes have joined and offer what the workers need.

    Raises:
        UserError: They offer less.
        MriqaError: A node did not join.
    """
    import ray

    until = time.monotonic() + patience_s
    while True:
        nodes = sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]
        there = int(ray.cluster_resources().get(kind, 0))  # type: ignore[no-untyped-call]
        if nodes >= order.nodes and there >= order.workers:
            return
        if nodes >= order.nodes and kind == "GPU":
            raise UserError(
                f"training.workers is {order.workers}, but Ray sees {there} GPUs on {nodes} "
                "nodes; lower workers, or set training.device: cpu"
            )
        if time.monotonic() > until:
            raise MriqaError(
                f"{nodes} of {order.nodes} nodes joined Ray in {patience_s:.0f} s; see the logs "
                f"in {order.folder}"
            )
        time.sleep(POLL_S)


def explain(error: Exception, order: Order) -> str:
    """One sentence for a failure that Ray Train gave up on."""
    failures: dict[int, BaseException] = getattr(error, "worker_failures", {})
    said = [f"worker {rank}: {_one_line(failure)}" for rank, failure in sorted(failures.items())]
    return (
        f"{order.run_folder}: training failed {order.max_failures + 1} times, at last "
        f"{'; '.join(said) or _one_line(error)}. The logs are in {order.folder}; what was trained "
        "is kept, and the same command goes on from there"
    )


def _one_line(error: BaseException) -> str:
    cause = getattr(error, "_base_exc", None) or error
    text = " ".join(str(cause).split())
    return f"{type(cause).__name__}: {text[:200]}"


def record(order: Order, error: MriqaError, by: str) -> None:
    """Leave an error of ours, of a `driver` or `worker`, where mriqa's own process finds it."""
    content = {"user": isinstance(error, UserError), "message": str(error), "by": by}
    write_json(Path(order.folder) / ERROR, content)


# --- in every worker ---


def work(told: dict[str, Any]) -> None:
    """What Ray Train runs in each worker."""
    from ray.train import get_context
    from ray.train.torch import get_device

    order = Order(**told)
    folder = Path(order.folder)
    if (folder / ERROR).exists():
        return  # an error of ours ended the attempt before: nothing to repeat
    os.umask(order.umask)
    rank, size = get_context().get_world_rank(), get_context().get_world_size()
    log = folder / worker_log(rank)
    with log.open("a", buffering=1, encoding="utf-8") as sink, redirect_stderr(sink):
        try:
            job = Job.from_json(order.job)
            os.environ["LOCAL_RANK"] = str(getattr(get_device(), "index", None) or 0)
            backend = "nccl" if job.device == "cuda" else "gloo"
            with process_group(order, backend, rank, size):
                run_worker(job, World.current(), Path(order.run_folder), _unreported)
        except MriqaError as error:
            record(order, error, "worker")
            raise
        except Exception:
            # not into the log that is shown: a lost worker takes the others along, and is replaced
            with (folder / f"worker-{rank}-errors.log").open("a", encoding="utf-8") as errors:
                traceback.print_exc(file=errors)
            raise


def _unreported(_step: int, _values: Any) -> None:
    """Ray need not know of checkpoints: the loop finds its own."""


@contextmanager
def process_group(order: Order, backend: str, rank: int, size: int) -> Iterator[None]:
    """Join torch's process group, `backend` nccl or gloo.

    On one node the workers meet in a file and talk on the loopback interface alone.
    """
    import ray
    import torch.distributed as dist
    from ray.train.collective import broadcast_from_rank_zero

    if size == 1:
        yield
        return
    address = LOOPBACK
    if order.nodes > 1:
        address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if interface := interface_of(address):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    meeting = broadcast_from_rank_zero(meeting_point(order, address) if rank == 0 else None)
    dist.init_process_group(
        backend, init_method=meeting, rank=rank, world_size=size,
        timeout=timedelta(minutes=30),
    )  # fmt: skip
    try:
        yield
    finally:
        dist.destroy_process_group()


def meeting_point(order: Order, address: str) -> str:
    """A new place where the workers find one another: a file of the node, or a port."""
    if order.nodes == 1:
        return f"file://{order.store}/meeting-{uuid.uuid4().hex}"
    with socket.socket() as probe:
        probe.bind((address, 0))
        return f"tcp://{address}:{probe.getsockname()[1]}"


def interface_of(address: str) -> str | None:
    """Name of the network interface with this IPv4 address (Linux); None if it is not found.

    Without it gloo asks the host name, which many systems resolve to a loopback address.
    """
    for _, name in socket.if_nameindex():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _GET_INTERFACE_ADDRESS, request)
            except OSError:
                continue  # an interface without an IPv4 address
        if socket.inet_ntoa(answer[20:24]) == address:
            return name
    return None
