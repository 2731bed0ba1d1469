"""Nodes and processes die under a sweep on a real Ray; stubs replace the models."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from commands import ONE_FIT, command, options, run, wait_for
from ray import cloudpickle
from ray.cluster_utils import Cluster

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.run.cells import run_cells
from orchestrator.run.connect import open_ray
from orchestrator.run.deaths import RESTARTS
from orchestrator.run.options import RayOptions
from orchestrator.run.slots import PHASES
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.cell import Part
from trainables.records import TrialReport
from trainables.store import Store
from trainables.trial import CellTrial

PATIENCE = 300  # seconds
ATTACKS = "textfooler,misspellings"


class StandIn(CellTrial):
    """A trial whose cells only wait, or kill their own process; it logs each start in a file."""

    def setup(self, config: dict[str, Any]) -> None:
        self.worker: Any = Waiter(Path(config["store"]))
        self._begin(config)


class Waiter:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, cell: Cell, part: Part | None = None, phase: str | None = None
    ) -> Iterator[dict[str, Any]]:
        if part is not None:
            yield from self.run_part(cell, part)
            return
        fitted = self.folder / f"{cell.fit.key}.fitted"
        with (self.folder / f"{cell.attack}.starts").open("a") as file:
            file.write(f"{'attack' if fitted.exists() else 'fit'} {os.getpid()}\n")
        if not fitted.exists():
            yield {"phase": "fit"}
            if (self.folder / f"{cell.attack}.deadly").exists():
                os.kill(os.getpid(), signal.SIGKILL)
            fitted.touch()
        yield {"phase": "attack", "fit_done": True}
        while (self.folder / "wait").exists():
            time.sleep(0.1)
            yield {"phase": "attack"}
        yield {"phase": "done"}

    def run_part(self, cell: Cell, part: Part) -> Iterator[dict[str, Any]]:
        with (self.folder / f"{cell.attack}.starts").open("a") as file:
            file.write(f"part-{part.number}-of-{part.of} {os.getpid()}\n")
        yield {"phase": "attack", "finished": 0, "total": 25}
        if (self.folder / f"{cell.attack}.{part.number}.deadly").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"phase": "part_done", "attacked": 25, "spent": {"attack": 25.0}}


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("orchestrator.run.cells.CellTrial", StandIn)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    yield
    ray.shutdown()


def planned(attacks: str = ATTACKS, **settings: str) -> Plan:
    """A cell an attack, all of one fit."""
    only = [*ONE_FIT, f"attack={attacks}"]
    space = load("embedded", only=only, sets=[f"{path}={to}" for path, to in settings.items()])
    return make_plan(space, Assets("embedded"), Store("/nonexistent"))


def run_plan(
    plan: Plan,
    folder: Path,
    address: str | None = None,
    meanwhile: Callable[[Cell, dict[str, Any]], None] = lambda cell, record: None,
) -> dict[str, dict[str, Any]]:
    """The last record of each cell, by its attack; `meanwhile` gets them all."""
    last = {}

    def listener(cell: Cell, record: dict[str, Any]) -> None:
        last[cell.attack] = record
        meanwhile(cell, record)

    store = Store(str(folder))
    open_ray(plan.todo, PHASES, store, RayOptions(address))
    run_cells(plan, store, "embedded", listener, options=RayOptions(address))
    return last


def starts(folder: Path, attack: str) -> list[str]:
    file = folder / f"{attack}.starts"
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.slow
def test_a_sweep_outlives_any_number_of_lost_nodes(stand_ins: None, tmp_path: Path) -> None:
    quickly = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": quickly}
    )
    (tmp_path / "wait").touch()
    losses = 5
    nodes = [cluster.add_node(num_cpus=1)]

    def lose_a_node(cell: Cell, record: dict[str, Any]) -> None:
        now = record["phase"] == ("fit" if len(nodes) == 1 else "attack")
        if now and len(starts(tmp_path, "textfooler")) == len(nodes) <= losses:
            cluster.remove_node(nodes[-1], allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))
        elif len(nodes) > losses:
            (tmp_path / "wait").unlink(missing_ok=True)

    plan = planned("textfooler")
    try:
        last = run_plan(plan, tmp_path, cluster.address, lose_a_node)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert last["textfooler"]["phase"] == "done"
    assert starts(tmp_path, "textfooler") == ["fit", "fit", *["attack"] * (losses - 1)]


def test_a_cell_whose_process_always_dies_is_given_up_and_its_sibling_fits(
    stand_ins: None, tmp_path: Path
) -> None:
    leader = "misspellings"  # the dearest attack
    (tmp_path / f"{leader}.deadly").touch()
    plan = planned()
    last = run_plan(plan, tmp_path)
    assert last["textfooler"]["phase"] == "done"
    assert last[leader]["phase"] == "failed"
    assert last[leader]["error"] == "its process died 4 times on living nodes"
    assert starts(tmp_path, leader) == ["fit"] * 4
    (key,) = (each.cell.key for each in plan.cells if each.cell.attack == leader)
    assert "worker process has died" in (tmp_path / "cells" / key / "error.txt").read_text()


@pytest.mark.slow
@pytest.mark.skipif(psutil.cpu_count() == 1, reason="nothing is divided where nothing runs at once")
def test_a_part_whose_process_dies_twice_is_left_to_its_cell(
    stand_ins: None, tmp_path: Path
) -> None:
    for number in range(RESTARTS + 2):
        (tmp_path / f"textfooler.{number}.deadly").touch()
    plan = planned("textfooler", **{"attack.examples": "100"})
    heard: list[dict[str, Any]] = []
    last = run_plan(plan, tmp_path, meanwhile=lambda _, record: heard.append(record))
    of = min(2 * psutil.cpu_count(), 10)
    first, *parts, end = starts(tmp_path, "textfooler")
    assert (first, end) == ("fit", "attack"), "a part's death is none of its cell's"
    assert last["textfooler"]["phase"] == "done"
    died = Counter(record["part"] for record in heard if record["phase"] == "died")
    deadly = {(number, of) for number in range(min(of, RESTARTS + 2))}
    assert died == dict.fromkeys(deadly, 2), "it is handed out once more"
    begun = {f"part-{n}-of-{of}": 2 if (n, of) in deadly else 1 for n in range(of)}
    assert Counter(parts) == begun


def test_where_an_attack_wants_less_the_fit_is_a_trial_of_its_own(
    stand_ins: None, tmp_path: Path
) -> None:
    reports: list[dict[str, Any]] = []
    plan = planned(**{"resources.fit": "{cpus: 2}"})
    last = run_plan(plan, tmp_path, meanwhile=lambda _, report: reports.append(report))
    assert [record["phase"] for record in last.values()] == ["done", "done"]
    assert sorted(each["holds"] for each in reports if each["phase"] == "begun") == [1, 1, 2]
    (fit_done,) = (each for each in reports if each.get("fit_done") and each.get("last"))
    assert fit_done["phase"] == "attack", "the trial ends with its fit, and says so"
    words = {name for report in reports for name in report}
    assert words <= TrialReport.__annotations__.keys(), "Tune's own stay where Tune is"
    begun = starts(tmp_path, "textfooler") + starts(tmp_path, "misspellings")
    assert sorted(begun) == ["attack", "attack", "fit"]


def test_what_this_machine_does_not_have_is_said_at_once(stand_ins: None, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="each fit needs 9 GPUs and this machine has 0; give --set"):
        run_plan(planned(**{"resources.fit": "{gpus: 9}"}), tmp_path)
    assert not list(tmp_path.iterdir())


def name_and_addresses(process: psutil.Process) -> tuple[str, set[str]]:
    """A process's name and its ports; empty if Ray has ended it meanwhile."""
    try:
        connections = process.net_connections("inet")
        listening = [each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN]
        return process.name(), {address.removeprefix("::ffff:") for address in listening}
    except psutil.NoSuchProcess:
        return "", set()


@contextlib.contextmanager
def a_sweep(store: Path) -> Iterator["subprocess.Popen[str]"]:
    """From the command line, on a Ray of its own; its first fit is stored. It is killed at last."""
    asked = options(["dataset=sst2", "model=bert-embedded"], ["fit.train_examples=64"])
    words = command("sweep", "--store", str(store), *asked)
    with (store / "errors.txt").open("w") as errors:
        driver = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors, text=True)
    try:
        wait_for(lambda: driver.poll() is None and list(store.glob("fits/*/fit.json")))
        yield driver
    finally:
        driver.kill()
        driver.wait()


@pytest.mark.slow
def test_a_sweeps_own_ray_keeps_to_localhost_and_where_it_dies_the_sweep_says_so(
    tmp_path: Path,
) -> None:
    with a_sweep(tmp_path) as driver:
        family = [psutil.Process(driver.pid)]
        family += family[0].children(recursive=True)
        names, addresses = zip(*map(name_and_addresses, family), strict=True)
        for name in ("raylet", "gcs_server", "ray::"):
            assert any(name in each for each in names)
        assert set().union(*addresses) == {"127.0.0.1"}

        family[names.index("raylet")].kill()
        assert driver.wait(PATIENCE) == 1
    said = (tmp_path / "errors.txt").read_text()
    assert "stopped: Ray's own processes on this machine died. What is done is kept" in said


@pytest.mark.slow  # Two of Ray's processes check once a minute whether they are still needed.
def test_a_sweeps_own_ray_ends_with_its_driver(tmp_path: Path) -> None:
    with a_sweep(tmp_path) as driver:
        family = psutil.Process(driver.pid).children(recursive=True)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive, json.dumps([process.cmdline() for process in alive])


def test_a_ray_that_does_not_start_is_said_in_a_line(tmp_path: Path) -> None:
    with tempfile.NamedTemporaryFile() as no_folder:
        done = run("sweep", "--store", str(tmp_path / "store"), RAY_TMPDIR=no_folder.name)
    assert done.returncode == 2
    assert "error: Ray does not start on this machine (" in done.stderr
    assert "Traceback" not in done.stderr


LETS_RAYS_OBJECTS_GO_WHILE_RAY_ENDS = """
import gc, sys, time
from concurrent.futures import ThreadPoolExecutor
import ray
from orchestrator.run.connect import close_ray, open_ray
from orchestrator.run.options import RayOptions
from trainables.store import Store

open_ray([], [], Store(sys.argv[1]), RayOptions())
gc.disable()
for number in range(2000):
    in_a_circle = [ray.put(number)]
    in_a_circle.append(in_a_circle)
with ThreadPoolExecutor(1) as beside:
    close_ray(beside)
    while ray.is_initialized():
        time.sleep(0.001)
    gc.collect()
print("at the end")
"""


def test_what_is_let_go_while_ray_ends_does_not_end_the_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LETS_RAYS_OBJECTS_GO_WHILE_RAY_ENDS, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "at the end" in run.stdout
