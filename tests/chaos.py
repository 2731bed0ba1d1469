"""Kill a small sweep at random moments, repeatedly, and check that nothing is lost or duplicated.

    python tests/chaos.py --kills 100 --seed 0

Each round is one sweep on a fresh store that is killed a few times, run again until it ends, and
then compared with an undisturbed sweep. What is killed, with -9: the driver, a worker, the
raylet, one of Ray's agents, the MLflow server. And the store's disk is full, or read-only, for a
while. The moments are drawn from the seed; what runs at a moment depends on the machine. Exit code
0 if all rounds pass.
"""

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from commands import REPOSITORY, command, small, table

from trainables.scratch import remove_leftovers

KINDS = ("driver", "worker", "raylet", "agent", "mlflow", "store")
KILLS_A_ROUND = 5
SMALL = small("mlp_ft,project_cls", examples=6, train_examples=64)
LIBRARIES_OWN = ("ray", "torchinductor_")  # logs and a cache, one for all processes of a user


@dataclass
class Round:
    """One sweep on its own store, under its own name in MLflow; its processes have a marker."""

    folder: Path
    tracking_uri: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def name(self) -> str:
        return self.folder.name

    def start(self) -> "subprocess.Popen[str]":
        space = (REPOSITORY / "search_spaces" / "embedded.yaml").read_text()
        file = self.folder / "space.yaml"
        file.write_text(space.replace("name: embedded", f"name: {self.name}", 1))
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        stored = ["--store", str(self.store), "--tracking-uri", self.tracking_uri]
        with open(self.folder / "out.txt", "a") as out:
            return subprocess.Popen(
                command("sweep", "--space", str(file), *SMALL, *stored),
                cwd=REPOSITORY,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(temporary), "CHAOS_MARK": self.mark},
                text=True,
            )

    def processes(self) -> dict[int, str]:
        """Names of this round's processes that are alive, by process id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                mark = f"CHAOS_MARK={self.mark}".encode()
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if state != "Z":
                        found[int(folder.name)] = command.strip()
        return found

    def records(self) -> dict[tuple[str, int], str]:
        """Every stored example by log and id. A record holds the seconds that its example took."""
        found = {}
        for path in self.store.glob("attacks/*/*.json*"):
            with contextlib.suppress(FileNotFoundError):  # It was merged in the meantime.
                for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [None]:
                    record = json.loads(line if line is not None else path.read_text())
                    found[path.parent.name, record["id"]] = json.dumps(record)
        return found

    def table(self) -> list[str]:
        out = (self.folder / "out.txt").read_text()
        return table(out.rpartition("### ")[2])


def disturb(round: Round, kind: str, server: "Server", draw: random.Random) -> str:
    """Do the damage; returns a line for the log, empty if there was nothing to kill."""
    if kind == "mlflow":
        server.kill()
        away = draw.uniform(1, 10)
        time.sleep(away)
        server.start()
        return f"the MLflow server was away for {away:.0f} s"
    if kind == "store":
        away = draw.uniform(1, 8)
        with unwritable(round.store):
            time.sleep(away)
        return f"the store could not be written for {away:.0f} s"
    named = {
        "driver": r"orchestrator\.sweep",
        "raylet": r"raylet/raylet",
        "agent": r"ray::\w+Agent$",
        "worker": r"ray::(?!\w+Agent$)",
    }[kind]
    victims = [pid for pid, command in round.processes().items() if re.search(named, command)]
    if kind == "driver":
        victims = victims[:1]
    if not victims:
        return ""
    victim = draw.choice(sorted(victims))
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    return f"{kind} {victim} was killed"


def run_round(
    round: Round, kills: int, kinds: list[str], server: "Server", draw: random.Random
) -> int:
    """One sweep to its end, with a limit on disturbances; returns their number."""
    done, attempts = 0, 0
    kept: dict[tuple[str, int], str] = {}
    while True:
        driver = round.start()
        attempts += 1
        assert attempts < 4 * KILLS_A_ROUND, f"{round.name} does not end: {round.folder}/out.txt"
        while driver.poll() is None:
            if done < kills:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(draw.uniform(2, 25))
                    break
                kind = draw.choice(kinds)
                if said := disturb(round, kind, server, draw):
                    done += 1
                    print(f"{round.name}: {said}", flush=True)
                continue
            driver.wait(600)
        kept |= round.records()
        wait_for_the_dead(round)
        if driver.returncode == 0:
            check(round, kept)
            return done


def wait_for_the_dead(round: Round) -> None:
    deadline = time.monotonic() + 180
    while (alive := round.processes()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not alive, f"processes outlive their driver: {alive}"


def check(round: Round, kept: dict[tuple[str, int], str]) -> None:
    """What must hold at the end of a sweep, however often it was disturbed."""
    for log in round.store.glob("attacks/*"):
        assert [p.name for p in log.iterdir()] == ["examples.jsonl"], f"stray files in {log}"
        lines = (log / "examples.jsonl").read_text().splitlines()
        ids = [json.loads(line)["id"] for line in lines]
        assert len(ids) == len(set(ids)) == 6, f"{log}: examples {ids}"
    at_the_end = round.records()
    again = [name for name, record in kept.items() if at_the_end.get(name) != record]
    assert not again, f"examples attacked twice: {again}"
    assert not list(round.store.rglob("*.part")), "half-written files in the store"
    assert not list(round.store.glob("drivers/*")), "a driver's file is left in the store"
    # Ray kills a worker that ends slowly; the next sweep removes its leftovers.
    deadline = time.monotonic() + 30
    while (left := temporary_files(round)) and time.monotonic() < deadline:
        time.sleep(0.5)  # An ended process still exists until its parent or init has reaped it.
    assert not left, f"temporary files: {left}"
    check_mlflow(round)


def temporary_files(round: Round) -> list[str]:
    """Names of our files that remain after leftovers of ended processes are removed."""
    with patch.object(tempfile, "tempdir", str(round.folder / "tmp")):
        remove_leftovers()
    names = [path.name for path in (round.folder / "tmp").iterdir()]
    return [name for name in names if not name.startswith(LIBRARIES_OWN)]


def check_mlflow(round: Round) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=round.tracking_uri)
    experiment = client.get_experiment_by_name(round.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    keys = Counter(run.data.tags.get("cell_key", "sweep") for run in runs)
    cells = {path.parent.name for path in round.store.glob("cells/*/result.json")}
    assert set(keys) == cells | {"sweep"} and set(keys.values()) == {1}, f"runs in MLflow: {keys}"
    assert all(run.info.status == "FINISHED" for run in runs)
    for run in runs:
        if "cell_key" in run.data.tags:
            result = json.loads(
                (round.store / "cells" / run.data.tags["cell_key"] / "result.json").read_text()
            )
            for name, value in result["metrics"].items():
                assert value is None or run.data.metrics[name] == value, name
                history = client.get_metric_history(run.info.run_id, name) if value else [0]
                assert len(history) == 1, f"{name} was logged {len(history)} times"


class Server:
    """An MLflow server on this machine that can be killed and comes back on the same port.

    Not served: only its database.
    """

    def __init__(self, folder: Path, served: bool) -> None:
        self.folder, self.served = folder, served
        self.uri = f"sqlite:///{folder}/mlflow.db"
        if not served:
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not self.served:
            return
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with open(self.folder / "mlflow.txt", "a") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.folder,
            )
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{self.uri}/health", timeout=5).status == 200:
                    return
            time.sleep(0.5)
        raise AssertionError(f"the MLflow server does not start: {self.folder}/mlflow.txt")

    def kill(self) -> None:
        if not self.served:
            return
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def unwritable(store: Path) -> Iterator[None]:
    """In this block the store cannot be written: its small disk is full, or it is read-only."""
    if os.getuid() == 0:
        ballast = store / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb") as file:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        try:
            yield
        finally:
            ballast.unlink(missing_ok=True)
        return
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


@contextlib.contextmanager
def small_disk(folder: Path, kinds: list[str]) -> Iterator[None]:
    """A separate disk for the store, if possible: root can write to read-only folders. Without it
    the store is not disturbed."""
    if os.getuid() != 0:
        yield
        return
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "chaos", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        if "store" in kinds:
            kinds.remove("store")
            print("the store is not disturbed: a small disk cannot be mounted here")
        yield
        return
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def ended_with(round: Round) -> Iterator[None]:
    """None of the round's processes outlives the block."""
    try:
        yield
    finally:
        for pid in round.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def run(kills: int, seed: int, kinds: list[str], folder: Path) -> None:
    """Rounds until the number of disturbances is reached. Raises AssertionError on any loss."""
    draw = random.Random(seed)
    server = Server(folder, served="mlflow" in kinds)
    server.start()
    try:
        quiet = folder / "quiet"
        quiet.mkdir()
        undisturbed = Round(quiet, server.uri)
        run_round(undisturbed, 0, kinds, server, draw)
        print(f"undisturbed: {len(undisturbed.table())} lines of table", flush=True)
        done, number = 0, 0
        while done < kills:
            number += 1
            (folder / f"round-{number}").mkdir()
            round = Round(folder / f"round-{number}", server.uri)
            with small_disk(round.store, kinds), ended_with(round):
                done += run_round(round, min(KILLS_A_ROUND, kills - done), kinds, server, draw)
                assert round.table() == undisturbed.table(), "another table than undisturbed"
            print(f"{round.name}: held; {done} of {kills}", flush=True)
    finally:
        server.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill small sweeps and check what is left.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS), help="(all)")
    arguments = parser.parse_args()
    kinds = arguments.kinds.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown kinds {', '.join(unknown)}; valid: {', '.join(KINDS)}")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        run(arguments.kills, arguments.seed, kinds, folder)
    except AssertionError as error:
        print(f"FAILED: {error}; everything is kept in {folder}")
        return 1
    shutil.rmtree(folder)
    print(f"{arguments.kills} disturbances, seed {arguments.seed}: all sweeps held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
