"""The machines of a private Ray, and the commands that start it on them. Ray is not imported.

One node: everything listens on the loopback interface alone. Several: the nodes of the SLURM job,
reached with srun; Ray's ports ask for the run's token. `ray symmetric-run` would end with a
machine-wide `ray stop`, which kills other users' work: never used here.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mriqa.config.methods import TrainingSection
from mriqa.errors import MriqaError, UserError

LOOPBACK = "127.0.0.1"
RUN_VARIABLE = "MRIQA_RAY_RUN"
"""In the environment of every process of a private Ray: which one it is of."""
OBJECT_STORE_BYTES = 80_000_000  # Ray's least is 75 MB; nothing of ours goes through it
RAYS_OWN = "r"
"""Folder in a private one: Ray lets everybody write to its own."""
FIRST_PORT, PORTS = 20_000, 12_000  # below the ports that the kernel hands out
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # a neighbour that fills the node's memory must not get our workers killed
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # a node whose head is gone ends itself soon
    "RAY_gcs_rpc_server_reconnect_timeout_s": "30",
    # a busy machine takes its time to start ten Python processes
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Ray's default of 15 would give our cores to whatever else runs on the machine
    "RAY_worker_niceness": "0",
}
SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Node:
    """A machine and its share of the workers; `name` is SLURM's, None: this very machine."""

    name: str | None
    address: str
    workers: int


@dataclass(frozen=True)
class PrivateRay:
    """What all processes of one private Ray are told."""

    run: str
    head: Node
    port: int
    temporary: Path  # on each node; short, for it holds unix sockets
    token: Path  # a file that every node sees

    @property
    def address(self) -> str:
        """Where the head is, `host:port`."""
        return f"{self.head.address}:{self.port}"


def choose_nodes(section: TrainingSection, environment: Mapping[str, str]) -> tuple[Node, ...]:
    """This machine, or for `training.nodes` > 1 the first nodes of the SLURM job.

    Raises:
        UserError: The job has fewer nodes, or there are fewer workers than nodes.
    """
    if section.nodes == 1:
        return (Node(None, LOOPBACK, section.workers),)
    if section.workers < section.nodes:
        raise UserError(
            f"training.workers is {section.workers}, fewer than training.nodes, "
            f"{section.nodes}; each node needs a worker at least"
        )
    names = slurm_nodes(environment)
    if len(names) < section.nodes:
        raise UserError(
            f"training.nodes is {section.nodes}, but "
            + (f"this SLURM job has {len(names)}" if names else "this is no SLURM job")
            + "; ask for more (profiles/slurm does), or set training.nodes: 1"
        )
    shares = share_workers(section.workers, section.nodes)
    return tuple(
        Node(name, node_address(name), share) for name, share in zip(names, shares, strict=False)
    )


def share_workers(workers: int, nodes: int) -> list[int]:
    """Workers of each node, as evenly as can be: 5 on 2 are 3 and 2."""
    return [workers // nodes + (number < workers % nodes) for number in range(nodes)]


def slurm_nodes(environment: Mapping[str, str]) -> list[str]:
    """Names of the nodes of the SLURM job that this process belongs to; none outside of one.

    Asked of SLURM: Snakemake runs a job as a step on its first node, and inside of a step
    SLURM_JOB_NODELIST is the step's.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        return []
    return _scontrol("show", "hostnames", _field("NodeList", "job", job)).split()


def node_address(name: str) -> str:
    """IPv4 address of a node, never a loopback one: the other nodes must reach it."""
    told = _field("NodeAddr", "node", name)
    try:
        address = socket.gethostbyname(told or name)
    except OSError as error:
        raise MriqaError(f"SLURM node {name}: its address {told} is not known ({error})") from None
    return own_address() if address.startswith("127.") else address


def own_address() -> str:
    """This machine's IPv4 address as others see it. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostbyname(socket.gethostname())


def _field(name: str, kind: str, which: str) -> str:
    """What SLURM knows of a job or node under `name`; empty if nothing."""
    fields = _scontrol("show", kind, which, "--oneliner").split()
    told = [field.partition("=")[2] for field in fields if field.startswith(f"{name}=")]
    return told[0] if told else ""


def _scontrol(*arguments: str) -> str:
    tool = shutil.which("scontrol")
    if tool is None:
        raise UserError(
            "training.nodes is more than 1, which needs SLURM, but scontrol is not here"
        )
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MriqaError(f"scontrol {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def choose_port(environment: Mapping[str, str], attempt: int, *, alone: bool) -> int:
    """Port of the head: a free one here, or one that follows from the SLURM job's number."""
    if not alone:
        return FIRST_PORT + (7 * int(environment["SLURM_JOB_ID"]) + attempt) % PORTS
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def head_command(ray: PrivateRay) -> list[str]:
    """Starts Ray's head and waits for its end."""
    return [
        *_start(ray, ray.head), "--head", f"--port={ray.port}",
        "--include-dashboard=false", "--disable-usage-stats", "--no-monitor",
    ]  # fmt: skip


def member_command(ray: PrivateRay, node: Node) -> list[str]:
    """Starts Ray on another node and waits for its end."""
    return [*_start(ray, node), f"--address={ray.address}"]


def _start(ray: PrivateRay, node: Node) -> list[str]:
    return [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
        f"--node-ip-address={node.address}", f"--num-cpus={node.workers}",
        f"--object-store-memory={OBJECT_STORE_BYTES}", f"--temp-dir={ray.temporary / RAYS_OWN}",
        "--include-log-monitor=false",
        # any free port: Ray's own choice is one fixed range, whoever else is on the machine
        "--min-worker-port=0", "--max-worker-port=0",
    ]  # fmt: skip


def on_node(node: Node, command: list[str], environment: Mapping[str, str]) -> list[str]:
    """`command` for that node: itself here, a step of the job on a node of SLURM's."""
    if node.name is None:
        return command
    # --overlap: steps share the job's processors and GPUs; --mem=0: all memory that the job has
    return [
        "srun", f"--jobid={environment['SLURM_JOB_ID']}", "--overlap", "--nodes=1", "--ntasks=1",
        f"--nodelist={node.name}", "--mem=0", "--cpu-bind=none", "--input=none", *command,
    ]  # fmt: skip


def ray_environment(
    ray: PrivateRay, environment: Mapping[str, str], *, alone: bool, threads: int
) -> dict[str, str]:
    """Of all processes of a private Ray.

    SLURM's variables go, as srun takes them for options: those of an outer step would bind ours.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name == "SLURM_CONF" or not name.startswith(("SLURM_", "SRUN_", "RAY_"))
    }
    path = os.pathsep.join(filter(None, [str(SOURCE), environment.get("PYTHONPATH")]))
    ours = {
        RUN_VARIABLE: ray.run,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": str(threads),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(ray.token),
        **RAY_SETTINGS,
    }
    if alone:
        # Ray's own way (meant for other systems) to stay on the loopback interface
        ours["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return {**kept, **ours}
