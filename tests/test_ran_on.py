"""Every number says where it was made, and what is compared across devices is warned of."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import ONE_FIT, options
from stores import A10G, Place, write

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.report import devices
from orchestrator.report.ablations import ablations
from orchestrator.report.baseline import against
from orchestrator.report.claim import claim, compare
from orchestrator.report.comparison import overall_table, place_tables
from orchestrator.report.contents import files
from orchestrator.report.from_store import read_store
from orchestrator.report.quality import cost
from orchestrator.report.results import Results
from orchestrator.report.tables import latex, markdown
from orchestrator.run.environment import environment
from orchestrator.run.nodes import nodes
from orchestrator.sweep.__main__ import main
from orchestrator.sweep.explain import explain
from orchestrator.tracking.runs import places, records_of, table
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables import cell as cells
from trainables import ran_on as module
from trainables.assets import Assets
from trainables.cell import Worker
from trainables.metrics import why_not_of
from trainables.ran_on import cpu_name, device_of, driver_version, ran_on, short
from trainables.records import RanOn, digest
from trainables.store import Store

ASSETS = Assets("embedded")
T4: RanOn = {**A10G, "device": "Tesla T4"}
OLDER_TORCH: RanOn = {**A10G, "torch": "2.12.0+cu126"}
CPU: RanOn = {**A10G, "device": "cpu", "threads": 4, "torch": "2.13.0+cpu", "driver": None}


# What is recorded


@pytest.fixture
def precision() -> Iterator[None]:
    """Puts back the settings that a test changes."""
    before, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    yield
    torch.set_float32_matmul_precision(before)
    torch.set_num_threads(threads)


def test_a_cpu_comes_with_its_model_and_threads(precision: None) -> None:
    torch.set_num_threads(2)
    made = ran_on("cpu")
    assert (made["device"], made["threads"], made["driver"]) == ("cpu", 2, None)
    assert (
        made["cpu"] in Path("/proc/cpuinfo").read_text()
        or "model name" not in Path("/proc/cpuinfo").read_text()
    )
    assert (made["torch"], made["dtype"]) == (torch.__version__, "float32")
    torch.set_num_threads(1)
    assert ran_on(torch.device("cpu"), torch.bfloat16) == {
        **made, "threads": 1, "dtype": "bfloat16",
    }  # fmt: skip


def test_tf32_is_seen_by_whichever_of_torchs_interfaces_it_was_set(precision: None) -> None:
    assert ran_on("cpu")["tf32"] is False
    torch.set_float32_matmul_precision("high")
    assert ran_on("cpu")["tf32"] is True
    torch.set_float32_matmul_precision("highest")
    newer: Any = torch.backends.cuda.matmul
    if hasattr(newer, "fp32_precision"):
        newer.fp32_precision = "tf32"
        try:
            assert ran_on("cpu")["tf32"] is True
        finally:
            newer.fp32_precision = "none"


PROPRIETARY = """\
NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023
GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1)
"""
OPEN = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)
GCC version:  gcc version 13.2.0
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without a driver: its /proc is empty, and so is its path."""
    monkeypatch.setattr(module, "PROC", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for cached in (driver_version, cpu_name):
        cached.cache_clear()
    yield tmp_path
    for cached in (driver_version, cpu_name):
        cached.cache_clear()


@pytest.mark.parametrize(("text", "version"), [(PROPRIETARY, "535.104.05"), (OPEN, "580.65.06")])
def test_a_gpu_comes_with_its_name_and_driver(
    machine: Path, monkeypatch: pytest.MonkeyPatch, text: str, version: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"NVIDIA A10G {place}")
    (machine / "driver/nvidia").mkdir(parents=True)
    (machine / "driver/nvidia/version").write_text(text)
    made = ran_on("cuda:1")
    assert (made["device"], made["driver"]) == ("NVIDIA A10G cuda:1", version)
    assert made["threads"] is None


def test_the_driver_is_asked_of_nvidia_smi_where_the_kernel_does_not_say(machine: Path) -> None:
    assert driver_version() is None
    driver_version.cache_clear()
    program = machine / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 570.1.2\necho 570.1.2\n")
    program.chmod(0o755)
    assert driver_version() == "570.1.2"


def test_a_line_names_what_can_change_a_number() -> None:
    assert short(A10G) == "NVIDIA A10G, torch 2.13.0+cu130, float32"
    assert short({**A10G, "tf32": True}) == "NVIDIA A10G, torch 2.13.0+cu130, tf32"
    assert short(CPU) == "cpu (Xeon, 4 threads), torch 2.13.0+cpu, float32"
    assert short({**CPU, "threads": 1}).startswith("cpu (Xeon, 1 thread), ")
    assert short({"device": "cpu", "torch": "2.6.0"}) == "cpu (unknown), torch 2.6.0, float32"
    assert [device_of(short(made)) for made in (A10G, T4, CPU)] == [
        "NVIDIA A10G",
        "Tesla T4",
        "cpu",
    ]


# Where it is kept


def planned(store: Store, *more: str, only: tuple[str, ...] = ONE_FIT) -> Plan:
    sets = ["fit.train_examples=32", "fit.max_epochs=1", *more]
    return make_plan(load("embedded", (*only, "attack=misspellings"), sets), ASSETS, store)


def run(cell: Cell, store: Store) -> None:
    *_, last = Worker(store, ASSETS).run(cell)
    assert last["phase"] == "done", last


def test_fits_examples_and_results_say_where_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More examples, attacked on another device, extend a log: the result names both."""
    store = Store(str(tmp_path))
    (first,) = planned(store, "attack.examples=2").todo
    run(first, store)
    fit, here = store.read_fit(first.fit.key), store.read_result(first.key)["ran_on"]
    assert fit["ran_on"] == ran_on("cpu")
    assert fit["ran_on"]["threads"] == first.resources.fit.cpus
    before = store.attacked(first.log)
    assert here == [short({**ran_on("cpu"), "threads": first.resources.attack.cpus})]
    assert {record["ran_on"] for record in before.values()} == set(here)

    monkeypatch.setattr(cells, "where_runs", lambda head: A10G)
    (second,) = planned(store, "attack.examples=4").todo
    run(second, store)
    result, attacked = store.read_result(second.key), store.attacked(second.log)
    assert result["ran_on"] == sorted([*here, short(A10G)])
    assert {id: attacked[id] for id in before} == before
    assert store.read_fit(first.fit.key) == fit and not store.damaged

    moved = {id: {**record, "ran_on": short(T4)} for id, record in attacked.items()}
    assert [digest(record) for record in moved.values()] == [r["digest"] for r in attacked.values()]
    store.merge_log(second.log, moved)
    assert not why_not_of(result, store.attacked(second.log)) and not store.damaged
    assert planned(store, "attack.examples=4").with_status("done") == [second]


def test_what_is_not_a_place_is_damage(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (cell,) = planned(store).todo
    write(cell, store, lambda cell, id: "failed", place=lambda cell: A10G)
    path = tmp_path / "fits" / cell.fit.key / "fit.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "ran_on": "a GPU"}))
    assert store.sound(store.read_fit, cell.fit.key) is None and store.damaged


# Where it is shown


def results(
    folder: Path, place: Place | None, *only: str, seeds: list[int] | None = None
) -> Results:
    """mvp withstands all, other heads every second example."""

    def ends(cell: Cell, id: int) -> str:
        return "failed" if cell.fit.head == "mvp" or id % 2 else "successful"

    store = Store(str(folder))
    space = load("embedded", only=only or HEADS, sets=["attack.examples=20"], seeds=seeds)
    for cell in make_plan(space, ASSETS, store).todo:
        write(cell, store, ends, place=place)
    return read_store(make_plan(space, ASSETS, store), store)


HEADS = ("dataset=sst2,mrpc", "model=bert-embedded", "attack=textfooler", "head=mlp_ft,mvp")
VARIANTS = (*HEADS[:3], "head=mvp,untrained_mvp")


def by_head(cell: Cell) -> RanOn:
    return T4 if cell.fit.head == "mvp" else A10G


def compared(found: Results) -> list[list[str]]:
    made = [overall_table(found), claim(compare(found)), *place_tables(found), cost(found)]
    return [table.warnings for table in made if table is not None]


@pytest.mark.parametrize("place", [None, lambda cell: A10G])
def test_tables_made_on_one_device_have_no_warning(tmp_path: Path, place: Place | None) -> None:
    assert compared(results(tmp_path, place)) == [[]] * 5


def test_heads_that_were_fitted_on_different_devices_are_named_above_each_table(
    tmp_path: Path,
) -> None:
    found = results(tmp_path, by_head)
    summary, of_claim, sst2, mrpc, times = compared(found)
    assert summary == of_claim == times
    fits, attacks = summary
    assert fits.startswith("Warning: heads that are compared here were fitted on different devices")
    assert "for 2 of 2 combinations of data set, model and seed" in fits
    assert f"2 of mlp_ft on {short(A10G)}; 2 of mvp on {short(T4)}." in fits
    assert f"40 on {short(A10G)}; 40 on {short(T4)}." in attacks
    assert "for 1 of 1 combinations" in sst2[0] and "1 of mvp" in mrpc[0]
    table = place_tables(found)[0]
    shown = markdown(table)
    assert f"**{sst2[0]}**" in shown and shown.index("Warning") < shown.index("| head |")
    assert "Warning: heads" in latex(table)
    page = files(found)["index.html"].decode()
    assert page.count('<p class="warning"><strong>Warning: heads that are compared') == 6
    verdict, header = page.index('<p class="verdict">'), page.index("</header>")
    assert verdict < page.index("Warning: heads") < header
    assert page.index("Warning: heads", header) < page.index('<table id="table-summary">')
    report = files(found)["report.md"].decode()
    assert report.index(summary[0]) < report.index("## ")


@pytest.mark.parametrize("other", [CPU, OLDER_TORCH, {**A10G, "tf32": True}])
def test_a_cpu_another_build_of_torch_and_tf32_are_other_devices(
    tmp_path: Path, other: RanOn
) -> None:
    found = results(tmp_path, lambda cell: other if cell.fit.head == "mvp" else A10G)
    assert all("heads that are compared" in warnings[0] for warnings in compared(found))


def test_another_driver_is_no_other_device(tmp_path: Path) -> None:
    older: RanOn = {**A10G, "driver": "570.1.2"}
    found = results(tmp_path, lambda cell: older if cell.fit.head == "mvp" else A10G)
    assert compared(found) == [[]] * 5
    rows = devices.devices(found).rows
    assert [row[2] for row in rows if row[0] == "fits"] == ["570.1.2", "580.65.06"]


def test_a_fit_that_was_begun_on_another_device_is_not_as_one_that_was_not(tmp_path: Path) -> None:
    results(tmp_path, lambda cell: A10G)
    for path in tmp_path.glob("fits/*-mvp-*/fit.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "begun_on": [short(T4)]}))
    for first, *_ in compared(results(tmp_path, None)):
        assert "fitted on different devices" in first
        assert f"of mvp on {short(A10G)}, begun on {short(T4)}" in first


def test_seeds_on_different_devices_are_a_milder_warning(tmp_path: Path) -> None:
    """Both heads' fits of a seed were made on one device: their difference is not the device's."""
    found = results(tmp_path, lambda cell: T4 if cell.fit.seed else A10G, seeds=[0, 1])
    for first, *_ in compared(found):
        assert first.startswith("Warning: fits were made on different devices, those of one data")


def test_an_ablation_on_another_device_is_warned_of(tmp_path: Path) -> None:
    table = ablations(results(tmp_path, by_head, *VARIANTS))
    assert table is not None and "2 of untrained_mvp" in table.warnings[0]


def test_a_baseline_on_another_device_is_warned_of(tmp_path: Path) -> None:
    now = results(tmp_path / "now", lambda cell: A10G)
    assert against(now, results(tmp_path / "same", lambda cell: A10G))[0].warnings == []
    assert against(now, results(tmp_path / "unknown", None))[0].warnings == []
    (warning,) = against(now, results(tmp_path / "before", by_head))[0].warnings
    assert "the fits of 2 of 4 compared cells were made on another device before" in warning
    assert f"2 on {short(T4)} before, on {short(A10G)} now" in warning


def test_the_report_counts_where_fits_and_attacks_were_made(tmp_path: Path) -> None:
    """Cells of an older version beside them are counted as such."""
    results(tmp_path, None, *HEADS[:3], "head=mlp_ft")
    found = results(tmp_path, by_head)
    table = devices.devices(found)
    assert table is not None and table.rows == [
        ["fits", short(T4), "580.65.06", "–", "2"],
        ["fits", "not recorded", "–", "–", "2"],
        ["attacked examples", short(T4), "–", "–", "40"],
        ["attacked examples", "not recorded", "–", "–", "40"],
    ]
    assert compared(found) == [[]] * 5
    made = files(found)
    assert b"Where the numbers were made" in made["index.html"]
    assert made["tables/cells.csv"].decode().count(f'"{short(T4)}","{short(T4)}"') == 2


def test_a_store_of_an_older_version_has_the_report_that_it_had(tmp_path: Path) -> None:
    made = files(results(tmp_path, None))
    assert "tables/devices.csv" not in made and b"fitted_on" not in made["tables/cells.csv"]
    assert b"Fits:" not in made["report.md"]


@pytest.mark.parametrize(
    ("said", "shown"), [(True, "yes"), (False, "no"), ("cumsum", "cumsum"), (None, "–")]
)
def test_whether_a_fit_is_deterministic_is_shown(tmp_path: Path, said: Any, shown: str) -> None:
    results(tmp_path, by_head)
    for path in tmp_path.glob("fits/*/fit.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record if said is None else {**record, "deterministic": said}))
    table = devices.devices(results(tmp_path, None))
    assert {row[3] for row in table.rows if row[0] == "fits"} == {shown}


def test_status_has_a_line_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results(tmp_path, by_head)
    asked = [*options(HEADS, ["attack.examples=20"]), "--store", str(tmp_path), "--status"]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    fits = f"2 on {short(A10G)}; 2 on {short(T4)}."
    examples = f"40 on {short(A10G)}; 40 on {short(T4)}."
    assert f"Fits: {fits} Attacked examples: {examples}" in lines
    assert main([*asked, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)["made_on"]
    assert made["fits"] == {short(A10G): 2, short(T4): 2}
    assert made["examples"] == {short(A10G): 40, short(T4): 40}


def test_explain_says_where_a_cell_was_made(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    plan = planned(store)
    (cell,) = plan.todo
    assert "made on" not in explain(cell.key, plan, store)
    write(cell, store, lambda cell, id: "failed", place=lambda cell: A10G)
    store.add_attacked(cell.log, {**store.attacked(cell.log)[0], "ran_on": short(T4)})
    for seen in (planned(store), planned(store, "fit.learning_rate=2e-4")):
        text = explain(cell.key, seen, store)
        assert f"its fit was made on {short(A10G)}, driver 580.65.06" in text
        assert f"19 of its attack's examples were made on {short(A10G)}" in text
        assert f"1 of its attack's examples were made on {short(T4)}" in text


def test_mlflow_has_it_as_tags_and_in_the_table_of_examples(tmp_path: Path) -> None:
    found = results(tmp_path, by_head)
    store = Store(str(tmp_path))
    (cell, *_) = [each.cell for each in found.cells if each.cell.fit.head == "mvp"]
    fit, result = store.read_fit(cell.fit.key), store.read_result(cell.key)
    assert places(result, fit) == {
        "fit_ran_on": short(T4), "fit_device": "Tesla T4",
        "attack_ran_on": short(T4), "attack_device": "Tesla T4",
    }  # fmt: skip
    several = {**result, "ran_on": [short(CPU), short({**CPU, "threads": 1}), short(T4)]}
    assert places(several, fit)["attack_device"] == "Tesla T4; cpu"
    assert places(result, {**fit, "deterministic": False})["fit_deterministic"] == "false"
    assert places({}, {}) == {}
    records = list(store.attacked(cell.log).values())
    assert {record["ran_on"] for record in records_of(table(records))} == {short(T4)}


def test_the_environment_lists_the_clusters_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's machine may have no GPU, and compute nothing."""
    import ray

    def node(address: str, alive: bool = True, **has: float) -> dict[str, Any]:
        return {
            "NodeID": address, "NodeManagerAddress": address, "Alive": alive, "Resources": has,
        }  # fmt: skip

    on_a_gpu = {"CPU": 16.0, "GPU": 1.0, "accelerator_type:A10G": 1.0}
    there = [node("10.0.0.2", **on_a_gpu), node("10.0.0.1", memory=9.0), node("10.0.0.3", False)]
    monkeypatch.setattr(ray, "nodes", lambda: there)
    assert nodes() == []
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    found = environment(nodes())["nodes"]
    assert found == [
        {"address": "10.0.0.1", "cpus": 0.0, "gpus": 0.0, "accelerator": ""},
        {"address": "10.0.0.2", "cpus": 16.0, "gpus": 1.0, "accelerator": "A10G"},
    ]
