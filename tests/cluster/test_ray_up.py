"""`ray up` over ssh on hosts of our own making, a sweep on all of them, and hosts lost in mid-run.

The cluster file is the shipped cluster-onprem.yaml, with the hosts' addresses filled in; only its
installation is left out, since the hosts see this machine's. The store is a server that speaks S3,
on a host of its own, so that a host that is cut off loses the store too.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from machines import REPOSITORY, Host, Network, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]

SMALL = (
    "--only dataset=sst2 --only model=bert-embedded --only head=mlp_ft,mvp,cls_prompt "
    "--set attack.examples=8 --set fit.train_examples=64 --set fit.max_epochs=1"
)
FIRST = f"{SMALL} --only attack=misspellings"
SECOND = f"{SMALL} --only attack=misspellings,textfooler --seeds 1"
SWEEP = (
    'python -m orchestrator.sweep --ray-address auto --store "$SWEEP_STORE" '
    "--tracking-uri http://127.0.0.1:5000"
)
TRIAL = "ray::ResourceTrainable.train"  # what Ray calls a process that is running a trial


@dataclass
class Cluster:
    operator: Host
    head: Host
    workers: list[Host]
    folder: Path

    @property
    def hosts(self) -> list[Host]:
        return [self.head, *self.workers]

    def ray(self, command: str) -> list[str]:
        """Command line of a `ray` command for the operator, who must not reach beyond the test."""
        assert cannot_leave(self.operator)
        return self.operator.command(f"ray {command}")

    def nodes(self) -> int:
        code = (
            "import ray; ray.init('auto', log_to_driver=False);"
            "print('alive:', sum(node['Alive'] for node in ray.nodes()))"
        )
        alive = re.search(r"alive: (\d+)", self.head.run(f'python -c "{code}"').stdout)
        return int(alive[1]) if alive else 0

    def start_sweep(self, arguments: str, name: str) -> tuple["subprocess.Popen[bytes]", Path]:
        """Start a sweep on the head, as the file's comments say; returns it and what it prints."""
        output = self.folder / f"{name}.log"
        command = self.ray(f"exec cluster.yaml '{SWEEP} {arguments}'")
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
            )
        return process, output


def cannot_leave(host: Host) -> bool:
    """Whether a host is in a network of its own, with no route to any other."""
    own = os.readlink("/proc/self/ns/net")
    there = host.run("readlink /proc/self/ns/net; ip route show default; ip -6 route show default")
    lines = there.stdout.splitlines()
    return there.returncode == 0 and len(lines) == 1 and lines != [own]


def wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.3)


def runs_a_trial(host: Host) -> bool:
    return TRIAL in host.run("ps axo args").stdout


def ended(host: Host) -> bool:
    """Whether Ray runs no more on a host."""
    return "raylet" not in host.run("ps axo comm").stdout


def table(output: str) -> list[str]:
    return [line.rstrip() for line in output.splitlines() if line.startswith("|")]


def filled_in(head: Host, workers: list[Host], store: str) -> dict[str, Any]:
    """The shipped file for these hosts: small nodes, which get the checkout and install nothing."""
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / "cluster-onprem.yaml").read_text())
    config["provider"] |= {"head_ip": head.address, "worker_ips": [w.address for w in workers]}
    config["auth"] = {"ssh_user": "root", "ssh_private_key": "~/.ssh/id"}
    config["file_mounts"] = {"~/robustness-sweep": str(REPOSITORY)}
    checkout = "test -f ~/robustness-sweep/constraints.txt && ! test -e ~/robustness-sweep/.git"
    config["setup_commands"] = [checkout]
    config["head_setup_commands"] = [f"echo \"export SWEEP_STORE='{store}'\" >> ~/.bashrc"]
    small = "ray start --num-cpus=1 --object-store-memory=100000000"
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[name] = [command.replace("ray start", small) for command in config[name]]
    return config


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "RAY_USAGE_STATS_ENABLED": "0",
        "AWS_ACCESS_KEY_ID": "of-the-test",
        "AWS_SECRET_ACCESS_KEY": "of-the-test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with Network(folder, environment) as network:
        operator, store, head, first, second = (
            network.host(name) for name in ("operator", "store", "head", "worker1", "worker2")
        )
        cluster = Cluster(operator, head, [first, second], folder)
        server = f"http://{store.address}:9000"
        store.popen("moto_server -H 0.0.0.0 -p 9000", folder / "s3.log")
        make = f"import boto3; boto3.client('s3', 'us-east-1', endpoint_url='{server}')"
        bucket = f"{make}.create_bucket(Bucket='sweep')"
        wait(lambda: head.run(f'python -c "{bucket}"').returncode == 0, 120, "a bucket")
        url = f"s3://sweep/results?scheme=http&endpoint_override={store.address}:9000"
        text = yaml.safe_dump(filled_in(head, cluster.workers, url))
        operator.write("cluster.yaml", text)
        operator.write(".ssh/id", network.key)
        operator.run("chmod 600 .ssh/id")
        head.write("cluster.yaml", text)
        up = subprocess.run(cluster.ray("up -y cluster.yaml"), capture_output=True, text=True)
        assert up.returncode == 0, up.stdout + up.stderr
        yield cluster
        down = subprocess.run(cluster.ray("down -y cluster.yaml"), capture_output=True, text=True)
        assert down.returncode == 0, down.stdout + down.stderr
        for host in [head, *(worker for worker in cluster.workers if worker.is_on)]:
            wait(partial(ended, host), 240, f"the end of Ray on {host.name}")


@pytest.fixture(scope="module")
def on_one_machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    """The table of the second sweep, and the example ids of each attack log, without a cluster."""
    store = tmp_path_factory.mktemp("one-machine")
    command = [sys.executable, "-m", "orchestrator.sweep", *SECOND.split(), "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return table(done.stdout), {
        log.parent.name: sorted(json.loads(line)["id"] for line in log.read_text().splitlines())
        for log in store.glob("attacks/*/examples.jsonl")
    }


ATTACKED = """
import json, os
from pyarrow.fs import FileSelector, FileSystem, FileType
files, base = FileSystem.from_uri(os.environ["SWEEP_STORE"])
logs = {}
for info in files.get_file_info(FileSelector(base + "/attacks", recursive=True)):
    if info.type == FileType.File:
        text = files.open_input_stream(info.path).read().decode()
        lines = text.splitlines() if info.path.endswith(".jsonl") else [text]
        log = info.path.split("/")[-2]
        logs.setdefault(log, []).extend(json.loads(line)["id"] for line in lines)
print(json.dumps({log: sorted(ids) for log, ids in logs.items()}))
"""


def attacked(cluster: Cluster) -> dict[str, list[int]]:
    """Ids of all attacked examples in the store as they stand there, log by log."""
    cluster.head.write("attacked.py", ATTACKED)
    done = cluster.head.run("python attacked.py")
    assert done.returncode == 0, done.stderr
    logs: dict[str, list[int]] = json.loads(done.stdout)
    return logs


def test_no_host_has_a_way_out(cluster: Cluster) -> None:
    assert all(cannot_leave(host) for host in [cluster.operator, *cluster.hosts])


def test_all_hosts_join(cluster: Cluster) -> None:
    wait(lambda: cluster.nodes() == 3, 240, "three nodes in the cluster")


def test_every_node_is_asked_whether_it_sees_the_store(cluster: Cluster) -> None:
    wait(lambda: cluster.head.run("</dev/tcp/127.0.0.1/5000").returncode == 0, 120, "MLflow")
    check = "python -m orchestrator.cluster check cluster.yaml --ray-address auto"
    seen = cluster.head.run(check)
    assert (seen.returncode, "nothing wrong" in seen.stdout) == (0, True), seen.stderr
    of_its_own = cluster.head.run(f"{SWEEP.replace('$SWEEP_STORE', '/root/results')} {FIRST}")
    assert of_its_own.returncode == 2
    assert len(of_its_own.stderr.strip().splitlines()) == 1, of_its_own.stderr
    for worker in cluster.workers:
        said = f"on node {worker.address}: /root/results is not shared with the driver"
        assert said in of_its_own.stderr
    assert f"on node {cluster.head.address}" not in of_its_own.stderr


def test_a_sweep_runs_on_all_hosts(cluster: Cluster) -> None:
    process, output = cluster.start_sweep(FIRST, "first")
    seen: set[str] = set()
    while process.poll() is None:
        seen |= {host.name for host in cluster.hosts if runs_a_trial(host)}
        time.sleep(0.3)
    text = output.read_text()
    assert process.returncode == 0, text
    assert "3 of 3 cells done" in text
    assert seen == {"head", "worker1", "worker2"}
    runs = (
        "from mlflow import MlflowClient; client = MlflowClient('http://127.0.0.1:5000');"
        "found = client.search_runs(['1']); print(len(found), {r.info.status for r in found})"
    )
    # A run a cell, and the sweep's own.
    assert "4 {'FINISHED'}" in cluster.head.run(f'python -c "{runs}"').stdout


def test_a_sweep_outlives_a_host_cut_off_and_a_host_killed(
    cluster: Cluster, on_one_machine: tuple[list[str], dict[str, Any]]
) -> None:
    expected_table, expected_ids = on_one_machine
    before = attacked(cluster)
    cut_off, killed = cluster.workers
    process, output = cluster.start_sweep(SECOND, "second")
    wait(lambda: all(map(runs_a_trial, cluster.hosts)), 200, "trials on all hosts")
    assert " fit " not in output.read_text(), "the first fits were to be running still"
    cut_off.unplug()
    wait(lambda: output.read_text().count(" fit ") >= 2, 200, "fits on the two others")
    wait(lambda: runs_a_trial(killed), 100, "a trial on the host to be killed")
    killed.kill()
    assert process.poll() is None, output.read_text()
    assert process.wait(600) == 0, output.read_text()
    text = output.read_text()
    assert "6 of 6 cells done" in text
    assert table(text) == expected_table

    def second() -> dict[str, list[int]]:
        return {log: ids for log, ids in attacked(cluster).items() if log not in before}

    assert second() == expected_ids
    cut_off.plug()
    wait(lambda: cluster.nodes() == 2, 200, "the host that was cut off back in the cluster")
    assert second() == expected_ids
