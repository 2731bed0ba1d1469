"""cluster-slurm.sh on a Slurm of our own: a controller and two nodes, each in namespaces.

A sweep on both nodes; one that Slurm's time limit ends, and that the next job of an array goes on
with; a second sweep on its store meanwhile; one that an urgent job drives from its nodes.
"""

import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machines import REPOSITORY, Host, missing
from slurm import PACKAGES, SHARED, TOOLS, Slurm

why_not = missing(TOOLS, PACKAGES)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not is not None, reason=why_not or "")]

ONE = (
    "--only dataset=sst2 --only model=bert-embedded --only head=mlp_ft --only attack=misspellings "
    "--set attack.examples=2 --set fit.train_examples=32"
)
MORE = (
    "--only dataset=sst2 --only model=bert-embedded --only head=mlp_ft,mvp "
    "--only attack=textfooler --set attack.examples=100 --set fit.train_examples=64 "
    "--set fit.max_epochs=1"
)
BOTH_NODES = "--nodes=2 --cpus-per-task=2 --gpus-per-node=1 --mem=3000"
TRAINED = r"\] fit  (\S+)"
DONE = r"\] cell (\S+)"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    with Slurm(tmp_path_factory.mktemp("slurm"), environment) as slurm:
        wait(
            lambda: said(slurm.controller, "sinfo -h -o '%D %t'") == "2 idle", 60, "two idle nodes"
        )
        yield slurm


def said(host: Host, command: str) -> str:
    done = host.run(f"cd {SHARED} && {command}", timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def submit(slurm: Slurm, options: str, sweep: str) -> str:
    """Submit the script as a user does, from the shared folder; returns the job's number."""
    script = shlex.quote(str(REPOSITORY / "cluster-slurm.sh"))
    return said(slurm.controller, f"sbatch --parsable {options} {script} {sweep}")


def state(slurm: Slurm, job: str) -> dict[str, str]:
    """What Slurm knows of a job."""
    text = said(slurm.controller, f"scontrol show job {job} --oneliner")
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)


def ended(slurm: Slurm, job: str, seconds: float = 600) -> dict[str, str]:
    """Wait until a job has ended; returns what Slurm knows of it."""

    def is_over() -> bool:
        return state(slurm, job)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED")

    wait(is_over, seconds, f"the end of job {job}")
    return state(slurm, job)


def log(slurm: Slurm, name: str) -> str:
    text = (slurm.shared / f"slurm-{name}.out").read_text()
    print(f"slurm-{name}.out:\n{text}")  # For who reads a failure, or the run's log.
    return text


def left_on(host: Host) -> list[str]:
    """What a job has left on a node: Ray's processes and folders."""
    processes = host.run("ps axo stat,args").stdout.splitlines()
    running = [line for line in processes if "ray" in line and not line.startswith("Z")]
    return running + host.run("ls -d /tmp/sweep-* /dev/shm/plasma* 2> /dev/null").stdout.split()


def nothing_is_left(slurm: Slurm) -> bool:
    return not any(left_on(host) for host in slurm.hosts[1:])


def attacked(store: Path) -> dict[tuple[str, int], object]:
    """The record of each attacked example, with the seconds it took, by its log and id."""
    found = {}
    for file in store.glob("attacks/*/*.json*"):
        if file.suffix == ".jsonl" or file.stem.isdecimal():
            text = file.read_text()
            for each in text.splitlines() if file.suffix == ".jsonl" else [text]:
                record = json.loads(each)
                found[file.parent.name, record["id"]] = record
    return found


def test_a_sweep_runs_on_both_nodes_and_leaves_nothing_there(slurm: Slurm) -> None:
    job = submit(slurm, f"{BOTH_NODES} --time=30", f"{ONE} --store {SHARED}/first")
    end, text = ended(slurm, job), log(slurm, job)
    assert (end["JobState"], end["ExitCode"]) == ("COMPLETED", "0:0"), text
    assert "Ray has 2 of 2 nodes (2 × 2 CPUs, 1 GPUs)" in text
    assert "1 of 1 cells done" in text
    assert "error" not in text.lower()
    wait(lambda: nothing_is_left(slurm), 30, "nothing left on the nodes")


def test_a_store_that_is_not_shared_is_one_line(slurm: Slurm) -> None:
    job = submit(slurm, f"{BOTH_NODES} --time=30", f"{ONE} --store /root/results")
    end, text = ended(slurm, job), log(slurm, job)
    assert end["ExitCode"] == "2:0"
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert f"on node {slurm.addresses['node2']}: /root/results is not shared" in line


def test_a_space_that_the_nodes_have_no_room_for_is_one_line(slurm: Slurm) -> None:
    job = submit(
        slurm, "--nodes=2 --cpus-per-task=2 --time=30",
        f"{ONE} --set resources.fit.gpus=1 --store {SHARED}/no-room",
    )  # fmt: skip
    end, text = ended(slurm, job), log(slurm, job)
    assert end["ExitCode"] == "2:0"
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert "no node has room" in line and "1 GPUs" in line


def test_the_time_limit_ends_a_job_and_the_next_of_its_array_goes_on(slurm: Slurm) -> None:
    store = slurm.shared / "second"
    options = f"{BOTH_NODES} --time=60 --array=1-2 --signal=B:USR1@180"
    # One trial at a time, so that there is something to cut off.
    array = submit(slurm, options, f"{MORE} --max-concurrent 1 --store {SHARED}/second")
    first, second = f"{array}_1", f"{array}_2"
    wait(lambda: attacked(store), 400, "an attacked example")
    # The second job of the array waits.
    assert state(slurm, second)["JobState"] == "PENDING"
    minutes, seconds = map(int, state(slurm, first)["RunTime"].split(":")[-2:])
    assert seconds < 60
    said(slurm.controller, f"scontrol update JobId={first} TimeLimit={minutes + 3}")
    end, text = ended(slurm, first), log(slurm, first)
    assert (end["JobState"], end["ExitCode"]) == ("FAILED", "1:0"), (
        "not cut off: it ended by itself"
    )
    assert "SIGUSR1: nothing more is begun" in text
    left = re.search(r"told to end: (\d) cells? left; the same command goes on", text)
    assert left and "results: /srv/second" in text
    before = attacked(store)

    end, text_2 = ended(slurm, second), log(slurm, second)
    assert (end["JobState"], end["ExitCode"]) == ("COMPLETED", "0:0"), text_2
    assert f"{left[1]} cells to run on " in text_2
    assert "2 of 2 cells done" in text_2
    trained = re.findall(TRAINED, text) + re.findall(TRAINED, text_2)
    done = re.findall(DONE, text) + re.findall(DONE, text_2)
    assert len(trained) == len(set(trained)) == 2
    assert len(done) == len(set(done)) == 2
    after = attacked(store)
    assert len(after) == 2 * 100 and before
    assert {key: after[key] for key in before} == before, "attacked twice"
    wait(lambda: nothing_is_left(slurm), 30, "nothing left on the nodes")


def test_two_jobs_at_once_on_one_store_and_on_one_node(slurm: Slurm) -> None:
    longer = MORE.replace("head=mlp_ft,mvp", "head=mlp_ft,mvp,cls_prompt,project_cls")
    store = f"{longer} --store {SHARED}/third"
    # One node, a CPU each: their ports and folders must not clash.
    one = "--nodes=1 --nodelist=node1 --cpus-per-task=1 --mem=1500 --time=30"
    first = submit(slurm, f"{one} --job-name=a", store)
    wait(lambda: attacked(slurm.shared / "third"), 400, "an attacked example")
    second = submit(slurm, f"{one} --job-name=b", store)
    end, text = ended(slurm, second), log(slurm, second)
    assert end["ExitCode"] == "2:0"
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert f"another sweep writes to {SHARED}/third" in line and "on node1" in line
    other = submit(slurm, f"{one} --job-name=b", f"{ONE} --store {SHARED}/fourth")
    assert ended(slurm, other)["ExitCode"] == "0:0", log(slurm, other)
    assert state(slurm, first)["JobState"] == "RUNNING", log(slurm, first)
    said(slurm.controller, f"scancel {first}")
    assert ended(slurm, first)["JobState"] == "CANCELLED"
    assert "stopping: SIGTERM" in log(slurm, first)
    wait(lambda: nothing_is_left(slurm), 60, "nothing left on the nodes")


def test_a_job_that_an_urgent_one_drives_away_is_requeued_and_goes_on(slurm: Slurm) -> None:
    job = submit(slurm, f"{BOTH_NODES} --time=60", f"{ONE} --store {SHARED}/fifth")
    wait(lambda: state(slurm, job)["JobState"] == "RUNNING", 60, "the job")
    wait(lambda: "cells to run" in log(slurm, job), 200, "the sweep's begin")
    urgent = "--partition=urgent --exclusive --nodes=2 --wait --wrap 'echo here'"
    said(slurm.controller, f"sbatch {urgent}")
    wait(lambda: int(state(slurm, job)["Restarts"]) == 1, 60, "the restart")
    end, text = ended(slurm, job), log(slurm, job)
    assert (end["JobState"], end["ExitCode"]) == ("COMPLETED", "0:0"), text
    assert "1 of 1 cells done" in text
    trained = re.findall(TRAINED, text)
    assert len(trained) == len(set(trained))
    wait(lambda: nothing_is_left(slurm), 30, "nothing left on the nodes")
