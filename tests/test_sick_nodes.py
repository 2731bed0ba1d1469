"""GPUs that fail, processes that lost theirs, nodes on which nothing works: no cell pays for it."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import ray
import torch
from commands import ONE_FIT
from hypothesis import given
from hypothesis import strategies as st
from ray import cloudpickle
from ray.cluster_utils import Cluster

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.run.cells import CannotGoOn, run_cells
from orchestrator.run.connect import open_ray
from orchestrator.run.deaths import NODE_DEATH_KNOWN_AFTER
from orchestrator.run.health import IN_A_ROW, PROBATION, Health
from orchestrator.run.options import RayOptions
from orchestrator.run.slots import PHASES
from orchestrator.transfer import on_ray
from orchestrator.transfer.on_ray import run_replays
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.space import PhaseResources, Resources, load
from trainables import device
from trainables.assets import Assets
from trainables.cell import Part, Worker
from trainables.device import NoGPU, device_of, is_gpu_error, prepare
from trainables.heads.base import Head
from trainables.store import Store
from trainables.trial import CellTrial

ASSETS = Assets("embedded")
NODES = {"a", "b", "c"}
LOST = RuntimeError("CUDA error: device-side assert triggered")
ON_A_GPU = Resources(fit=PhaseResources(cpus=1, gpus=1), attack=PhaseResources(cpus=1, gpus=1))


def planned(*only: str, examples: int = 4) -> Plan:
    sets = ["fit.train_examples=16", f"attack.examples={examples}"]
    space = load("embedded", only=only or ONE_FIT, sets=sets)
    return make_plan(space, ASSETS, Store("/nonexistent"))


# The device


def test_without_a_gpu_of_its_own_a_process_sees_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    prepare(0.25)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    prepare(0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("has_one", [True, False])
def test_the_device_is_what_the_phase_holds_not_what_the_machine_has(
    has_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_one)
    monkeypatch.setattr(device, "gpu_works", lambda: True)
    assert device_of(0) == "cpu"
    if has_one:
        assert device_of(0.25) == "cuda"
    else:
        with pytest.raises(NoGPU, match="finds no GPU on this machine"):
            device_of(0.25)


def test_what_is_the_gpus_error() -> None:
    assert is_gpu_error(LOST)
    assert is_gpu_error(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_gpu_error(RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"))
    assert not is_gpu_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_gpu_error(ValueError("CUDA error"))


# The worker


@pytest.fixture(autouse=True)
def no_gpu_is_known_yet() -> Iterator[None]:
    device._check_gpu.cache_clear()
    yield
    device._check_gpu.cache_clear()


@pytest.fixture
def gpu_that_breaks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A GPU, played by the CPU, that breaks after some predictions and never works again."""
    state: dict[str, Any] = {"left": 10**6, "lost": False}
    predict, move = Head.predict, Head.to

    def check() -> None:
        state["left"] -= 1
        state["lost"] |= state["left"] < 0
        if state["lost"]:
            raise LOST

    def predicting(head: Head, *arguments: Any) -> Any:
        check()
        return predict(head, *arguments)

    def moving(head: Head, device: str) -> Any:
        if device == "cuda":
            check()
        return move(head, "cpu")

    def synchronize() -> None:
        if state["lost"]:
            raise LOST

    monkeypatch.setattr(Head, "predict", predicting)
    monkeypatch.setattr(Head, "to", moving)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch, "ones", lambda *size, device=None, real=torch.ones: real(*size))
    return state


def test_no_record_is_made_of_a_gpus_error_and_the_process_is_known_to_be_lost(
    gpu_that_breaks: dict[str, Any], tmp_path: Path
) -> None:
    cell = next(iter(planned().todo)).model_copy(update={"resources": ON_A_GPU})
    store = Store(str(tmp_path))
    worker = Worker(store, ASSETS)
    reports = worker.run(cell)
    assert next(each for each in reports if each.get("fit_done"))
    gpu_that_breaks["left"] = 5
    *_, last = reports
    assert last["phase"] == "gpu_lost" and "device-side assert" in last["error"]
    assert "error" not in {record["status"] for record in store.attacked(cell.log).values()}
    *_, part = worker.run(cell, Part(0, 2))
    assert part["phase"] == "gpu_lost"

    gpu_that_breaks.update(lost=False, left=10**6)
    *_, last = Worker(store, ASSETS).run(cell)
    assert last["phase"] == "done" and last["metrics"]["num_errors"] == 0


def test_a_gpu_that_still_works_blames_the_cell(
    gpu_that_breaks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Head, "predict", out_of_memory)
    cell = next(iter(planned().todo)).model_copy(update={"resources": ON_A_GPU})
    *_, last = Worker(Store(str(tmp_path)), ASSETS).run(cell)
    assert last["phase"] == "failed" and "out of memory" in last["error"]


def test_a_phase_that_holds_a_gpu_where_there_is_none_trains_nothing(tmp_path: Path) -> None:
    cell = next(iter(planned().todo)).model_copy(update={"resources": ON_A_GPU})
    store = Store(str(tmp_path))
    *_, last = Worker(store, ASSETS).run(cell)
    assert last["phase"] == "no_gpu" and "NoGPU" in last["error"]
    assert not store.has_fit(cell.fit.key)


# The health of nodes


def test_a_node_is_left_out_after_different_cells_in_a_row() -> None:
    health = Health()
    for cell in "xyx":
        health.ended_badly("a", cell, "failed", "an error")
        assert health.left_out(NODES) == set()
    health.ended_well("a")
    for cell in "uvw":
        assert health.left_out(NODES) == set()
        health.ended_badly("a", cell, "failed", "an error")
    assert health.left_out(NODES) == {"a"}
    assert health.avoid("other", NODES) == {"a"}


def test_cells_that_fail_on_a_node_that_is_well_say_nothing_about_another() -> None:
    health = Health()
    for cell in "xyz":
        health.ended_badly("a", cell, "failed", "an error")
    assert health.left_out(NODES) == {"a"}
    health.ended_badly("b", "x", "failed", "an error")
    assert health.left_out(NODES) == set()


def test_two_sick_nodes_do_not_excuse_each_other() -> None:
    health = Health()
    for cell in "xyz":
        for node in "ab":
            health.ended_badly(node, cell, "failed", "an error")
    assert health.left_out(NODES) == {"a", "b"}


def test_a_cell_that_ended_badly_goes_where_nothing_did_lately() -> None:
    health = Health()
    health.ended_badly("a", "x", "failed", "an error")
    health.ended_badly("b", "y", "failed", "an error")
    assert health.avoid("x", NODES) == {"a", "b"}
    assert health.avoid("z", NODES) == set()
    assert health.avoid("x", {"a", "b"}) == {"a"}, "if there is no such node, on another one"
    assert health.avoid("x", {"a"}) == set(), "and if there is no other, where it was"


def test_deaths_count_once_the_node_outlives_them_and_a_gpu_that_is_missing_at_once() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    for cell in "xyz":
        health.ended_badly("a", cell, "no_gpu", "NoGPU")
        health.ended_badly("b", cell, "no_gpu", "NoGPU")
    for cell in "uvw":
        health.ended_badly("c", cell, "died", "killed")
    assert health.left_out(NODES) == {"a", "b"}
    now[0] = NODE_DEATH_KNOWN_AFTER + 1
    assert health.left_out(NODES | {"d"}) == NODES
    assert health.left_out(NODES) == {"a", "b"}, "the last node may be right, and the cells wrong"
    assert health.left_out({"a", "b"}) == {"a", "b"}, "but nothing runs without a GPU"


def test_a_node_gets_another_chance_and_one_bad_end_is_enough_then() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    for cell in "xyz":
        health.ended_badly("a", cell, "failed", "an error")
    now[0] = PROBATION + 1
    assert health.left_out(NODES) == set()
    health.ended_badly("a", "u", "failed", "an error")
    assert health.left_out(NODES) == {"a"}
    now[0] *= 2
    health.ended_well("a")
    health.ended_badly("a", "v", "failed", "an error")
    assert health.left_out(NODES) == set()


def test_a_fit_is_not_made_again_on_what_an_attack_holds(tmp_path: Path) -> None:
    """Its weights are damaged, and the trial that attacks has no GPU where the fit had one."""
    cell = next(iter(planned().todo))
    store = Store(str(tmp_path))
    assert list(Worker(store, ASSETS).run(cell))[-1]["phase"] == "done"
    shutil.rmtree(tmp_path / "cells")
    shutil.rmtree(tmp_path / "attacks")
    (weights,) = tmp_path.glob("fits/*/weights-*")
    weights.write_bytes(b"cut")
    fits = PhaseResources(cpus=1, gpus=1)
    other = Resources(fit=fits, attack=PhaseResources(cpus=1))
    *_, last = Worker(store, ASSETS).run(
        cell.model_copy(update={"resources": other}), phase="attack"
    )
    assert last["phase"] == "failed" and "run the sweep again" in last["error"]
    assert not weights.exists() and list(tmp_path.glob("fits/*/weights-*.damaged-1"))


ends = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("uvwxyz"), st.booleans()), max_size=60
)


@given(ends)
def test_some_node_always_goes_on_while_gpus_work(ends: list[tuple[str, str, bool]]) -> None:
    health = Health()
    in_a_row: dict[str, set[str]] = {node: set() for node in NODES}
    for node, cell, well in ends:
        if well:
            health.ended_well(node)
            in_a_row[node] = set()
        else:
            health.ended_badly(node, cell, "failed", "an error")
            in_a_row[node].add(cell)
        left_out = health.left_out(NODES)
        assert left_out < NODES
        assert all(len(in_a_row[node]) >= IN_A_ROW for node in left_out)
        assert left_out <= health.avoid(cell, NODES) < NODES


# On Ray


def bad_ends(folder: Path, node: str) -> list[str]:
    """The cells that ended badly on a node, which write them down."""
    file = folder / f"{node}.ended"
    return file.read_text().split() if file.exists() else []


class StandIn(CellTrial):
    """A trial whose cells only say where they ran, but on sick nodes."""

    def setup(self, config: dict[str, Any]) -> None:
        self.worker: Any = OnANode(Path(config["store"]))
        self._begin(config)


class OnANode:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = ray.get_runtime_context().get_node_id()

    def waits(self) -> bool:
        """Well nodes are slow: they leave a sick one the time to begin a few cells."""
        sick = {file.stem for file in self.folder.glob("*.sick")}
        return any(len(bad_ends(self.folder, node)) < IN_A_ROW for node in sick)

    def run(
        self, cell: Cell, part: Part | None = None, phase: str | None = None
    ) -> Iterator[dict[str, Any]]:
        how = self.folder / f"{self.node}.sick"
        if how.exists():
            with (self.folder / f"{self.node}.ended").open("a") as file:
                file.write(f"{cell.key}\n")
            yield {"phase": how.read_text(), "error": "RuntimeError: CUDA error: it is broken"}
            return
        yield {"phase": "attack", "fit_done": True, "fit_seconds": 1.0}
        while self.waits():
            time.sleep(0.1)
            yield {"phase": "attack"}
        (self.folder / f"{cell.key}.done").touch()
        yield {"phase": "done"}


# Transfer


def replays(fit: str, sources: Any, store: str, *others: Any) -> tuple[dict[str, int], str, str]:
    """Replays nothing; the file <node>.sick in the store says that a node's GPU is lost."""

    def none(*arguments: Any) -> Iterator[dict[str, int]]:
        time.sleep(0.5)  # so that a sick node would take most
        yield {"replayed": 1}

    def device(gpus: float) -> str:
        if Path(store, f"{ray.get_runtime_context().get_node_id()}.sick").exists():
            raise NoGPU("1 GPUs are held, but torch finds none")
        return "cpu"

    with patch.multiple(on_ray, replay=none, device_of=device):
        return on_ray._replay_all(fit, sources, store, *others)


@pytest.mark.slow
@pytest.mark.parametrize("well", [True, False])
def test_no_target_pays_for_a_node_without_a_working_gpu(
    well: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.transfer.on_ray._replay_all", replays)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    targets = [
        cell.model_copy(update={"resources": ON_A_GPU})
        for cell in planned("dataset=sst2", "model=bert-embedded", "attack=textfooler").todo
    ]
    ends: dict[str, str] = {}
    try:
        nodes = [cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(1 + well)]
        (tmp_path / f"{nodes[0].node_id}.sick").write_text("")
        with nullcontext() if well else pytest.raises(BadInput, match="NoGPU: 1 GPUs are held"):
            run_replays(
                targets, {"sst2": {}}, Store(str(tmp_path)), ASSETS,
                lambda cell, counts, error: ends.update({cell.fit.key: error}),
                lambda: "", RayOptions(cluster.address),
            )  # fmt: skip
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert len(targets) > 2
    assert ends == ({cell.fit.key: "" for cell in targets} if well else {})


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[tuple[str, list[str]]]:
    """The address of a cluster, and the ids of its workers."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    workers = [cluster.add_node(num_cpus=1).node_id for _ in range(3)]
    yield cluster.address, workers
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("orchestrator.run.cells.CellTrial", StandIn)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    yield
    ray.shutdown()


def run_on(
    address: str, folder: Path, heard: Callable[[Any], None] = lambda report: None
) -> tuple[dict[str, str], list[str], Store]:
    """How each cell ended, what was said, and the store. heard: called with each report."""
    plan = planned("dataset=sst2", "head=mlp_ft,mvp,cls_prompt", "model=bert-embedded")
    last: dict[str, str] = {cell.key: "nothing" for cell in plan.todo}
    said: list[str] = []
    store = Store(str(folder))
    options = RayOptions(address)

    def listen(cell: Cell, report: Any) -> None:
        last[cell.key] = report["phase"]
        heard(report)

    open_ray(plan.todo, PHASES, store, options)
    run_cells(plan, store, "embedded", listen, options=options, say=said.append)
    return last, said, store


@pytest.mark.parametrize("how", ["gpu_lost", pytest.param("failed", marks=pytest.mark.slow)])
def test_one_sick_node_of_three_costs_no_cell(
    three_nodes: tuple[str, list[str]], how: str, tmp_path: Path
) -> None:
    address, (sick, *well) = three_nodes
    (tmp_path / f"{sick}.sick").write_text(how)
    last, said, store = run_on(address, tmp_path)
    assert set(last.values()) == {"done"}
    there = bad_ends(tmp_path, sick)
    assert IN_A_ROW <= len(there) <= IN_A_ROW + 2
    assert [line for line in said if "gets no more cells" in line and "it is broken" in line]
    nodes = store.read_nodes("embedded")
    assert nodes is not None
    by_id = {each["node"]: each for each in nodes["nodes"]}
    assert by_id[sick]["left_out"] and by_id[sick][how] == len(there)
    assert sum(by_id[node]["done"] for node in well if node in by_id) >= len(last)


@pytest.mark.slow
def test_a_node_that_goes_bad_in_mid_sweep_costs_no_cell(
    three_nodes: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, _ = three_nodes
    gone_bad: list[str] = []

    def goes_bad(report: Any) -> None:
        if report["phase"] == "begun" and not gone_bad and list(tmp_path.glob("*.done")):
            gone_bad.append(report["node"])
            (tmp_path / f"{report['node']}.sick").write_text("gpu_lost")

    last, said, store = run_on(address, tmp_path, goes_bad)
    assert set(last.values()) == {"done"} and gone_bad
    assert sum("gets no more cells" in line for line in said) == 1
    nodes = store.read_nodes("embedded")
    assert nodes is not None
    (sick,) = [each for each in nodes["nodes"] if each["left_out"]]
    assert sick["node"] in gone_bad and sick["gpu_lost"] >= IN_A_ROW


@pytest.mark.slow
def test_where_no_gpu_can_be_used_the_sweep_ends(
    three_nodes: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, workers = three_nodes
    for node in workers:
        (tmp_path / f"{node}.sick").write_text("no_gpu")
    monkeypatch.setattr("orchestrator.run.cells.OTHER_NODE_WITHIN", 2.0)
    with pytest.raises(CannotGoOn, match="no node is left whose GPUs work"):
        run_on(address, tmp_path)


@pytest.mark.slow
def test_a_cell_does_not_wait_for_ever_for_another_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed on one node, and the other is lost before the cell gets there."""
    monkeypatch.setattr("orchestrator.run.cells.OTHER_NODE_WITHIN", 5.0)
    quickly = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": quickly}
    )
    try:
        sick, well = (cluster.add_node(num_cpus=1) for _ in range(2))
        (tmp_path / f"{sick.node_id}.sick").write_text("failed")

        def loses_the_other(report: Any) -> None:
            if report["phase"] == "died" and well in cluster.worker_nodes:
                cluster.remove_node(well, allow_graceful=False)

        with pytest.raises(CannotGoOn, match="wait for another node"):
            run_on(cluster.address, tmp_path, loses_the_other)
    finally:
        ray.shutdown()
        cluster.shutdown()
