"""Folders of a private Ray on other nodes: removed, asked for again, or told."""

import os
import secrets
from pathlib import Path

import pytest

from mriqa.training.ray_cluster import Cluster
from mriqa.training.ray_nodes import Node, PrivateRay

NODES = (Node("n1", "10.0.0.1", 1), Node("n2", "10.0.0.2", 1))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """On two nodes that are this machine: `srun` runs what it is given, counting."""
    tools = tmp_path / "tools"
    tools.mkdir()
    srun = tools / "srun"
    srun.write_text(
        "#!/bin/sh\n"
        f'echo called >> "{tmp_path}/calls"\n'
        'while [ "${1#--}" != "$1" ]; do shift; done\n'
        'exec "$@"\n'
    )
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    # a name of its own: stopping kills all processes that carry it, also another test's
    run = secrets.token_hex(8)
    ray = PrivateRay(run, NODES[0], 20_000, tmp_path / "ray", tmp_path / "token")
    return Cluster(ray, NODES, tmp_path, 1)


def calls(cluster) -> int:
    return len((cluster.ray.temporary.parent / "calls").read_text().splitlines())


def test_the_folder_is_removed_on_every_node_and_nothing_is_said(cluster, capfd):
    (cluster.ray.temporary / "session").mkdir(parents=True)
    cluster.stop()
    assert not cluster.ray.temporary.exists()
    assert calls(cluster) == 2
    assert capfd.readouterr().err == ""


def test_what_is_written_while_it_is_removed_is_removed_as_well(cluster, monkeypatch, capfd):
    """rm fails at first, as where a process that ends still writes into the folder."""
    rm = Path(os.environ["PATH"].split(":")[0]) / "rm"
    rm.write_text(f'#!/bin/sh\n[ -e "{rm}.failed" ] || {{ touch "{rm}.failed"; exit 1; }}\n'
                  'exec /bin/rm "$@"\n')  # fmt: skip
    rm.chmod(0o755)
    cluster.ray.temporary.mkdir()
    cluster._clear(NODES[1])
    assert not cluster.ray.temporary.exists()
    assert capfd.readouterr().err == ""


def test_a_folder_that_stays_is_told_with_its_node(cluster, capfd):
    srun = Path(os.environ["PATH"].split(":")[0]) / "srun"
    srun.write_text("#!/bin/sh\nexit 3\n")
    cluster._clear(NODES[1])
    said = capfd.readouterr().err
    assert f"{cluster.ray.temporary} on n2 was not removed: exit code 3" in said
