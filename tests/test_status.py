"""`--status`, asked from another process while a real sweep runs, after it died, and at its end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import kill, options, run, small, start, table, wait_for
from stores import write

from orchestrator.follow.progress import Progress
from orchestrator.plan.plan import make_plan
from orchestrator.report.tables import NOT_FINAL_NOTE
from orchestrator.run import lease
from orchestrator.run.lease import Lease
from orchestrator.sweep import status
from orchestrator.sweep.status import find_driver, show
from search_spaces.space import load
from trainables.assets import Assets
from trainables.records import NodeHealth
from trainables.store import Store

SMALL = small(examples=24)


def sweep(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("sweep", *arguments, "--store", str(store))


def asked(store: Path, *arguments: str) -> Any:
    done = sweep(store, *(arguments or SMALL), "--status", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_sweep_is_seen_running_then_dead_then_done(tmp_path: Path) -> None:
    driver = start("sweep", *SMALL, "--store", str(tmp_path))
    try:

        def in_mid_run() -> Any:
            now = asked(tmp_path)
            begun = [cell for cell in now["cells"] if not cell["final"]]
            return now if now["totals"]["running"] and begun else None

        now = wait_for(in_mid_run, driver)
        running = sweep(tmp_path, *SMALL, "--status")
    finally:
        kill(driver)
    assert now["sweep"]["state"] == "running" and f"process {driver.pid}" in now["sweep"]["process"]
    assert now["totals"]["done"] + now["totals"]["running"] + now["totals"]["todo"] == 2
    progress = now["sweep"]["progress"]
    assert (progress["space"], progress["cells"], progress["fits_done"]) == ("embedded", 2, 1)
    assert "attack" in {cell["phase"] for cell in progress["running_cells"]}
    (part, *_) = [cell for cell in now["cells"] if not cell["final"]]
    assert 0 < part["examples"] < part["examples_asked"] == 24
    assert "a sweep has been running here since" in running.stdout
    (row,) = table(running.stdout, "| mlp_ft")
    assert "\\*" in row and NOT_FINAL_NOTE in running.stdout

    dead = sweep(tmp_path, *SMALL, "--status")
    assert dead.returncode == 0
    assert f"seems dead (process {driver.pid} on" in dead.stdout
    assert "it goes on from there" in dead.stdout
    assert len(table(dead.stdout, "| mlp_ft")) == 1

    done = sweep(tmp_path, *SMALL)
    assert done.returncode == 0, done.stderr
    at_the_end = sweep(tmp_path, *SMALL, "--status")
    assert "2 of 2 cells done  ·  0 running" in at_the_end.stdout
    assert "no sweep runs here" in at_the_end.stdout and "dead" not in at_the_end.stdout
    assert "*" not in at_the_end.stdout


FOUR = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft,mvp", "attack=textfooler,misspellings"]
OTHERS = options(FOUR)


@pytest.fixture
def half_done(tmp_path: Path) -> tuple[Store, Any]:
    """A store with one cell finished, one half done, one failed, one not started."""
    store = Store(str(tmp_path))
    plan = make_plan(load("embedded", only=FOUR), Assets("embedded"), store)
    first, second, third, _ = plan.todo
    write(first, store, lambda _, id: "failed" if id < 8 else "successful")
    write(second, store, lambda _, id: ("failed", "successful", "skipped")[id], finished=3)
    store.write_error(third.key, "FloatingPointError: nan\n")
    return store, make_plan(plan.space, Assets("embedded"), store)


def test_without_a_sweep_it_says_what_is_done_failed_and_left(
    half_done: tuple[Store, Any], tmp_path: Path
) -> None:
    done = sweep(tmp_path, *OTHERS, "--status")
    assert done.returncode == 0, done.stderr
    assert "1 of 4 cells done  ·  0 running  ·  1 failed  ·  2 to do" in done.stdout
    assert "no sweep runs here; run the command without --status" in done.stdout
    (row,) = table(done.stdout, "| mlp_ft")
    assert row == "| mlp_ft | 100.0 | 33.3\\* | 40.0 | 33.3\\* | 3–20 | 1 |"


def test_a_cell_that_failed_and_runs_again_is_running(half_done: tuple[Store, Any]) -> None:
    store, plan = half_done
    progress = Progress(plan)
    (failed,) = plan.with_status("failed")
    with Lease(store) as mine:
        progress.update(failed, {"phase": "begun", "node": "1"})
        mine.progress = lambda: progress.snapshot().to_json()
        mine._say("holding")
        now = json.loads(show(plan, store, as_json=True))
        words = show(plan, store, as_json=False)
    assert (now["totals"]["running"], now["totals"]["failed"], now["totals"]["todo"]) == (1, 0, 2)
    assert ["starting", failed.key] in [line.split() for line in words.splitlines()]


def test_the_sweep_of_another_space_is_named(half_done: tuple[Store, Any]) -> None:
    store, plan = half_done
    progress = Progress(plan)
    other = plan.space.model_copy(update={"name": "mine"})
    asked_for = make_plan(other, Assets("embedded"), store)
    with Lease(store) as lease_:
        lease_.progress = lambda: progress.snapshot().to_json()
        lease_._say("holding")
        words = show(asked_for, store, as_json=False)
    assert "the sweep that runs here is of another space, embedded" in words


def test_progress_that_cannot_be_told_does_not_stop_the_heart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    store = Store(str(tmp_path))

    def broken() -> dict[str, Any]:
        raise RuntimeError("dictionary changed size during iteration")

    with Lease(store) as mine:
        before = store.drivers()[mine.id]["count"]
        mine.progress = broken
        wait_for(lambda: store.drivers()[mine.id]["count"] >= before + 3)
        assert find_driver(store).state == "running" and find_driver(store).progress is None


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(status, "DEAD_AFTER", 1.0)
    monkeypatch.setattr(status, "LOOK_EVERY", 0.05)
    yield


def test_a_driver_elsewhere_is_alive_when_it_counts_on_and_else_seems_dead(
    in_a_hurry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.1)
    store = Store(str(tmp_path))
    elsewhere = {"machine": "elsewhere", "pid": 1, "count": 7, "state": "holding"}
    store.write_driver("0" * 32, elsewhere)
    assert find_driver(store).state == "dead"
    assert find_driver(store).where == "process 1 on elsewhere"
    store.remove_driver("0" * 32)
    with Lease(store) as mine:
        mine.says["machine"] = "elsewhere boot 1"
        mine._say("holding")
        assert find_driver(store).state == "running"
    assert find_driver(store).state == "none"


def test_it_needs_neither_torch_nor_ray_and_leaves_the_store_as_it_is(
    half_done: tuple[Store, Any], tmp_path: Path
) -> None:
    before = sorted(path for path in tmp_path.rglob("*"))
    code = (
        "import sys; from orchestrator.sweep.__main__ import main;"
        f"code = main({[*OTHERS, '--status', '--store', str(tmp_path)]!r});"
        "assert not {'torch', 'ray', 'mlflow', 'textattack'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "embeded"], "unknown space 'embeded'"),
        (["--dry-run"], "not allowed with argument"),
        (["--store", ""], "--store is empty"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    where = [] if arguments[0] == "--store" else ["--store", str(tmp_path)]
    done = run("sweep", "--status", *arguments, *where)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_ended_badly_is_told_by_node(half_done: tuple[Store, Any]) -> None:
    store, plan = half_done
    well: NodeHealth = {
        "node": "1", "address": "10.0.0.1", "done": 7, "failed": 0, "died": 0, "gpu_lost": 0,
        "left_out": False, "errors": {},
    }  # fmt: skip
    sick = well | {"node": "2", "address": "10.0.0.2", "failed": 1, "gpu_lost": 3, "left_out": True}
    errors = {"no disk": 1, "CUDA error: Xid 79": 3}
    store.write_nodes("embedded", {"nodes": [well, sick | {"errors": errors}]})
    (line,) = [row for row in show(plan, store, as_json=False).splitlines() if "10.0.0." in row]
    assert line == (
        "node 10.0.0.2: 1 failed, 3 processes lost their GPU; it gets no more cells; "
        "3 × CUDA error: Xid 79; no disk"
    )
    assert len(json.loads(show(plan, store, as_json=True))["nodes"]) == 2


def test_what_the_compared_heads_have_in_common_so_far_is_told(
    half_done: tuple[Store, Any],
) -> None:
    """Once it is under two attacks."""
    store, plan = half_done
    assert "compared so far" not in show(plan, store, as_json=False)
    for cell in plan.todo:
        write(cell, store, lambda _, id: "failed" if id < 12 else "successful")
    now = make_plan(plan.space, Assets("embedded"), store)
    (line,) = [row for row in show(now, store, False).splitlines() if "compared so far" in row]
    heads = "mlp_ft 50.0 → mvp 60.0 under textfooler, misspellings"
    assert line == f"compared so far: sst2, bert-embedded: {heads} (4 of 4 cells)"
