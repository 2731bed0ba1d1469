"""However many workers and interruptions a sweep has, an example has the same outcome.

On 200 examples over the four attacks, by the command line, on a real Ray of eight CPUs.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import ONE_FIT, command, kill_when, options
from ray.cluster_utils import Cluster

from orchestrator.plan.plan import make_plan
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

SETS = ("attack.examples=50", "fit.train_examples=400")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 8})
    yield cluster.address
    cluster.shutdown()


def begin(store: Path, address: str, workers: int) -> subprocess.Popen[str]:
    where = ["--store", str(store), "--ray-address", address, "--max-concurrent", str(workers)]
    output = subprocess.PIPE
    return subprocess.Popen(
        command("sweep", *options(ONE_FIT, SETS), *where),
        stdout=output, stderr=output, text=True, start_new_session=True,
    )  # fmt: skip


def sweep(store: Path, address: str, workers: int) -> None:
    process = begin(store, address, workers)
    output, error = process.communicate(timeout=900)
    assert process.returncode == 0, output + error


def records(store: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Every example's record by attack and id, without times."""
    plan = make_plan(load("embedded", ONE_FIT, SETS), Assets("embedded"), Store(str(store)))
    found = {}
    for planned in plan.cells:
        cell = planned.cell
        for id, record in Store(str(store)).attacked(cell.log).items():
            found[cell.attack, id] = {
                name: value for name, value in record.items() if "seconds" not in name
            }
    return found


@pytest.fixture(scope="module")
def one_worker(address: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("one")
    sweep(store, address, 1)
    assert len(records(store)) == 200
    return store


@pytest.mark.parametrize("workers", [2, 8])
def test_the_number_of_workers_changes_nothing(
    address: str, one_worker: Path, tmp_path: Path, workers: int
) -> None:
    sweep(tmp_path, address, workers)
    assert records(tmp_path) == records(one_worker)


def test_neither_does_a_death_in_between(address: str, one_worker: Path, tmp_path: Path) -> None:
    process = begin(tmp_path, address, 2)
    kill_when(lambda: len(list(tmp_path.glob("attacks/*/*.json"))) >= 20, process)
    assert len(records(tmp_path)) < 200
    sweep(tmp_path, address, 8)
    assert records(tmp_path) == records(one_worker)
