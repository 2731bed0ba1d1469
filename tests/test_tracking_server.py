"""A sweep and its MLflow server on PostgreSQL, with basic auth: the server dies midway."""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import ONE_FIT, command, options, run
from tracking_server import PASSWORD, USER, Server, check_all_is_there_once, free_port

from orchestrator.cli.arguments import add_plan_arguments, open_plan
from search_spaces.cell import Cell
from trainables.store import Store

pytestmark = pytest.mark.slow
DATABASE_PASSWORD = "staple-Database-7"
AWAY = 30  # seconds


SIZE = ["attack.examples=4", "fit.train_examples=32", "fit.max_epochs=1"]
SMALL = options(ONE_FIT, SIZE)


def postgres_programs() -> Path | None:
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent]
        if found
        else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    )
    return folders[-1] if folders else None


def as_postgres(*command: str | Path) -> list[str]:
    """PostgreSQL refuses to run as root."""
    root = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    return [*root, *map(str, command)]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URI of an empty PostgreSQL on loopback that needs a password."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("needs PostgreSQL: on Debian the package postgresql")
    port = free_port()
    # Not pytest's folder, which other users cannot read.
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        (folder / "password").write_text(DATABASE_PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        initdb = as_postgres(
            programs / "initdb", "-D", folder / "data", "-U", "mlflow", "-A", "scram-sha-256",
            f"--pwfile={folder / 'password'}",
        )  # fmt: skip
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder)
        server = as_postgres(
            programs / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1",
            "-k", folder,
        )  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                server, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        deadline = time.monotonic() + 120
        while subprocess.run(ready).returncode:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        yield f"postgresql+psycopg2://mlflow:{DATABASE_PASSWORD}@127.0.0.1:{port}/postgres"
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), database)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_USERNAME", USER)
        environment.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        yield server
    server.kill()


@contextmanager
def sweep_running(arguments: list[str], output: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with output.open("wb") as file:
        sweep = subprocess.Popen(
            command("sweep", *arguments), stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield sweep
    finally:
        if sweep.poll() is None:
            os.killpg(sweep.pid, signal.SIGKILL)


def wait_for_the_first_run(space: str, server: Server, sweep: "subprocess.Popen[bytes]") -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    deadline = time.monotonic() + 400
    while True:
        assert sweep.poll() is None and time.monotonic() < deadline
        experiment = client.get_experiment_by_name(space)
        if experiment is not None:
            finished = "tags.kind = 'cell' and attributes.status = 'FINISHED'"
            if client.search_runs([experiment.experiment_id], finished):
                return
        time.sleep(0.5)


def space_file(folder: Path, name: str) -> str:
    """The embedded space under another name, which is another experiment."""
    import search_spaces

    packaged = Path(search_spaces.__file__).parent / "embedded.yaml"
    file = folder / f"{name}.yaml"
    file.write_text(packaged.read_text().replace("name: embedded", f"name: {name}"))
    return str(file)


def finished_cells(arguments: list[str]) -> tuple[list[Cell], Store]:
    parser = argparse.ArgumentParser()
    add_plan_arguments(parser)
    plan, store, _ = open_plan(parser.parse_args(arguments))
    return plan.with_status("done"), store


def check_no_secret_in(*places: Path) -> None:
    for secret in (PASSWORD, DATABASE_PASSWORD):
        found = subprocess.run(["grep", "-rlaF", secret, *places], capture_output=True, text=True)
        assert (found.returncode, found.stdout) == (1, "")


def test_a_server_killed_in_mid_sweep_that_comes_back_misses_nothing(
    server: Server, tmp_path: Path
) -> None:
    output, store_folder = tmp_path / "output", tmp_path / "store"
    planned = ["--space", space_file(tmp_path, "back"), *SMALL, "--store", str(store_folder)]
    arguments = [*planned, "--tracking-uri", server.uri, "--max-concurrent", "1", "-v"]
    with sweep_running(arguments, output) as sweep:
        wait_for_the_first_run("back", server, sweep)
        server.kill()
        time.sleep(AWAY)
        done_while_away = len(list(store_folder.glob("cells/*/result.json")))
        server.start()
        assert sweep.wait(timeout=600) == 0, output.read_text()
    assert done_while_away > 1, "the sweep stood still while the server was away"
    said = output.read_text()
    assert "cannot be written" in said and "answers again" in said
    assert "not uploaded" not in said
    cells, store = finished_cells(planned)
    assert len(cells) == 4
    check_all_is_there_once(server.uri, "back", cells, store)
    check_no_secret_in(output, store_folder, server.folder / "artifacts")


def test_a_server_that_never_comes_back_is_filled_later_by_the_command_the_sweep_names(
    server: Server, tmp_path: Path
) -> None:
    output, store_folder = tmp_path / "output", tmp_path / "store"
    planned = ["--space", space_file(tmp_path, "gone"), *SMALL, "--store", str(store_folder)]
    planned += ["--only", "attack=misspellings,textfooler"]
    arguments = [*planned, "--tracking-uri", server.uri, "--max-concurrent", "1"]
    with sweep_running(arguments, output) as sweep:
        wait_for_the_first_run("gone", server, sweep)
        server.kill()
        assert sweep.wait(timeout=600) == 0, output.read_text()
    last = output.read_text().strip().splitlines()[-1]
    said, _, advised = last.partition("; upload later with: ")
    assert said == "1 finished cell is not uploaded to MLflow"
    server.start()
    words = [sys.executable, *shlex.split(advised)[1:]]
    for answer in ("uploaded 1 of 2 finished cells", "nothing to do"):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith(answer), done.stdout + done.stderr
    cells, store = finished_cells(planned)
    check_all_is_there_once(server.uri, "gone", cells, store)
    check_password_in_a_database_uri(server.backend, planned)


def check_password_in_a_database_uri(database: str, planned: list[str]) -> None:
    """The same cells into the database itself, without a server."""
    done = run("track", "sync", *planned, "--tracking-uri", database)
    assert done.returncode == 0 and "mlflow:***@127.0.0.1" in done.stdout
    assert DATABASE_PASSWORD not in done.stdout + done.stderr
    wrong = database.replace(DATABASE_PASSWORD, "wrong-Database-8")
    refused = run("track", "sync", *planned, "--tracking-uri", wrong)
    assert refused.returncode == 2 and "password authentication failed" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "wrong-Database-8" not in refused.stderr
