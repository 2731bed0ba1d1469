"""`python -m orchestrator.sweep --status`: how far a sweep is, from the store alone.

What is done, failed and left is read from the store; what runs and how long it will take is read
from what the driver keeps with its heartbeat (run/lease.py). Changes nothing; imports neither torch
nor Ray.
"""

import json
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.follow.comparison import Comparison
from orchestrator.follow.live import overview, pace, packed
from orchestrator.follow.progress import RunningCell, Snapshot
from orchestrator.plan.compared import pairs
from orchestrator.plan.plan import Plan
from orchestrator.report import devices
from orchestrator.report.comparison import as_markdown
from orchestrator.report.from_store import read_store
from orchestrator.report.results import Results
from orchestrator.run.lease import DEAD_AFTER
from trainables.process import is_gone, is_here
from trainables.records import Driver, NodeHealth
from trainables.store import Store

LOOK_EVERY = 0.5  # seconds
LISTED = 20  # running cells named in the text
SHOWN = 3  # errors of a node
ENDS: dict[Literal["failed", "died", "gpu_lost"], str] = {
    "failed": "failed",
    "died": "processes died",
    "gpu_lost": "processes lost their GPU",
}


@dataclass(frozen=True)
class Sweeping:
    """The sweep at a store. state: running, dead, or none; progress: None until it has begun.

    `where` names its process, for messages.
    """

    state: str
    where: str = ""
    progress: Snapshot | None = None


def find_driver(store: Store) -> Sweeping:
    """The store's driver: the living one, else one that died, else none.

    Returns at once if the process is on this machine; one on another machine is watched until its
    heartbeat advances, at most for `DEAD_AFTER` seconds.
    """
    drivers = store.drivers()
    dead = [record for record in drivers.values() if is_gone(record)]
    alive = [record for record in drivers.values() if is_here(record) and not is_gone(record)]
    if not alive and len(dead) < len(drivers):
        alive, silent = _watch(store, drivers)
        dead += silent
    for state, records in (("running", alive), ("dead", dead)):
        for record in sorted(records, key=lambda record: record["state"] != "holding"):
            return Sweeping(state, _where(record), _progress(record))
    return Sweeping("none")


def _watch(store: Store, drivers: dict[str, Driver]) -> tuple[list[Driver], list[Driver]]:
    """Drivers elsewhere whose heartbeat advances, and silent ones. One that left is in neither."""
    elsewhere = {id: record for id, record in drivers.items() if not is_here(record)}
    deadline = time.monotonic() + DEAD_AFTER
    while elsewhere and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)
        now = store.drivers()
        elsewhere = {id: record for id, record in elsewhere.items() if id in now}
        moved = [now[id] for id in elsewhere if now[id]["count"] != elsewhere[id]["count"]]
        if moved:
            return moved, []
    return [], list(elsewhere.values())


@dataclass(frozen=True)
class Status:
    """A plan, the results of its cells so far, the store's driver, and the nodes of the sweep."""

    plan: Plan
    store: Store
    driver: Sweeping
    results: Results
    nodes: list[NodeHealth]

    @property
    def running(self) -> list[RunningCell]:
        """Cells that run now and are in the plan."""
        if self.driver.state != "running" or self.driver.progress is None:
            return []
        mine = {planned.cell.key for planned in self.plan.cells}
        return [cell for cell in self.driver.progress.running_cells if cell.key in mine]

    def totals(self) -> dict[str, int]:
        """Cells by status, each counted once: one that failed and runs again is running."""
        running = {cell.key for cell in self.running}
        statuses = [
            "running"
            if planned.cell.key in running and planned.status != "done"
            else planned.status
            for planned in self.plan.cells
        ]
        names = ("done", "running", "failed", "todo", "not_applicable")
        fits = set(self.plan.fits)
        return {
            "cells": len(statuses),
            **{name: statuses.count(name) for name in names},
            "fits": len(fits),
            "fits_done": len(fits & self.plan.fits_done),
        }

    def to_json(self) -> dict[str, Any]:
        """The documented object of `--status --json`."""
        progress = self.driver.progress
        made = devices.places(self.results.cells)
        return {
            "space": self.plan.space.name,
            "store": self.store.url,
            "sweep": {
                "state": self.driver.state,
                "process": self.driver.where,
                "progress": progress and progress.to_json(),
            },
            "last_sweep": self.store.read_times(self.plan.space.name),
            "nodes": self.nodes,
            "totals": self.totals(),
            "made_on": dict(zip(("fits", "examples"), made, strict=True)),
            "cells": [
                {
                    "key": each.cell.key,
                    **each.cell.axes(),
                    "final": each.final,
                    "examples": each.metrics["num_examples"],
                    "examples_asked": each.cell.examples,
                    "metrics": each.metrics,
                }
                for each in self.results.cells
            ],
        }

    def to_text(self, width: int) -> str:
        totals = self.totals()
        facts = [
            f"{totals['done']} of {totals['cells'] - totals['not_applicable']} cells done",
            f"{totals['running']} running",
            f"{totals['failed']} failed",
            f"{totals['todo']} to do",
            f"{totals['fits_done']} of {totals['fits']} fits",
        ]
        lines = [
            f"space {self.plan.space.name} in {self.store.local_folder or self.store.url}",
            *packed(facts, width),
            *self._of_the_sweep(width),
            *self._compared(),
            *self._of_running_cells(),
            *self._of_nodes(),
        ]
        return "\n".join([*lines, "", as_markdown(self.results)]).rstrip()

    def _of_the_sweep(self, width: int) -> list[str]:
        driver, mine = self.driver, self.plan.space.name
        progress = driver.progress
        if driver.state == "none":
            left = "run the command without --status for what is left"
            return [f"no sweep runs here; {left}" if self.plan.todo else "no sweep runs here"]
        if driver.state == "dead":
            return [
                f"the sweep here seems dead ({driver.where}); run the command without --status: it "
                "goes on from there"
            ]
        if progress is None:
            return [f"a sweep is starting here ({driver.where})"]
        if progress.space != mine:
            return [
                f"the sweep that runs here is of another space, {progress.space} ({driver.where}):",
                *packed(overview(progress), width),
            ]
        begun = f"a sweep has been running here since {progress.started} ({driver.where})"
        lines = [begun, *packed(pace(progress), width)]
        if others := len(progress.running_cells) - len(self.running):
            lines += [
                f"{others} more of its cells are not in this plan: it was started with other "
                "--only, --set or --seeds"
            ]
        return lines

    def _compared(self) -> list[str]:
        comparison = Comparison(pairs(self.plan.applicable))
        for each in self.results.cells:
            if each.final:
                comparison.note(each.cell.key, each.metrics["accuracy_under_attack"])
        compared = comparison.so_far()
        return [] if compared is None else [f"compared so far: {compared}"]

    def _of_nodes(self) -> list[str]:
        """A line of each node on which something ended badly in the last sweep."""
        bad = [node for node in self.nodes if any(node[how] for how in ENDS)]
        return [""] * bool(bad) + [_of_node(node) for node in bad]

    def _of_running_cells(self) -> list[str]:
        if not self.running:
            return []
        shown = self.running[:LISTED]
        lines = [""]
        for cell in shown:
            of_total = f"{cell.finished}/{cell.total}" if cell.total else ""
            state = f"{cell.phase:<8} {of_total:>9}  "
            lines.append(f"  {state}{cell.key}")
        if more := len(self.running) - len(shown):
            lines.append(f"  and {more} more")
        return lines


def _of_node(node: NodeHealth) -> str:
    ends = [f"{node[how]} {what}" for how, what in ENDS.items() if node[how]]
    out = "; it gets no more cells" if node["left_out"] else ""
    errors = Counter(node["errors"]).most_common(SHOWN)
    why = [f"{count} × {error}" if count > 1 else error for error, count in errors]
    return "; ".join([f"node {node['address']}: {', '.join(ends)}{out}", *why])


def status(plan: Plan, store: Store) -> Status:
    """The plan must be up to date: it says what is done and what failed."""
    nodes = store.read_nodes(plan.space.name) or {"nodes": []}
    return Status(plan, store, find_driver(store), read_store(plan, store), nodes["nodes"])


def show(plan: Plan, store: Store, as_json: bool) -> str:
    now = status(plan, store)
    if as_json:
        return json.dumps(now.to_json(), indent=2)
    return now.to_text(shutil.get_terminal_size().columns)


def _where(record: Driver) -> str:
    return f"process {record['pid']} on {record['machine'].split()[0]}"


def _progress(record: Driver) -> Snapshot | None:
    try:
        return Snapshot.from_json(record["progress"])
    except (KeyError, ValueError):
        return None
