"""MLflow as a service: every finished cell is logged once, whatever happens to server and driver.

The store is written by hand (one fit, two attacked cells); server, network and processes are real.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from commands import run
from stores import A10G, SMALL, write_finished
from tracking_server import (
    PASSWORD,
    USER,
    Network,
    Server,
    check_all_is_there_once,
    free_port,
)

from orchestrator.run.environment import environment
from orchestrator.tracking import upload
from orchestrator.tracking.check import check_tracking_server
from orchestrator.tracking.read import read_runs
from orchestrator.tracking.runs import Summary, records_of, table
from orchestrator.tracking.tracker import Tracker
from orchestrator.tracking.upload import Uploader
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.ran_on import short
from trainables.store import Store

ASSETS = Assets("embedded")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cell], Store]:
    return write_finished(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder, f"sqlite:///{folder}/runs.db")
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_USERNAME", USER)
        environment.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        yield server
    server.kill()


@pytest.fixture
def network(server: Server) -> Iterator[Network]:
    network = Network(server)
    yield network
    network.close()


def shown() -> Summary:
    axes = {"dataset": ["sst2"], "head": ["mlp_ft"], "attack": ["textfooler", "misspellings"]}
    return Summary("| the | table |", {"report/report.md": b"| the | table |"}, axes)


def sync(uri: str, space: str, cells: list[Cell], store: Store) -> tuple[int, list[str], list[str]]:
    """Upload in this process; returns the number of cells, the keys left out, and the output."""
    said: list[str] = []
    tracker = Tracker(uri, space, None, ASSETS)
    tracker.open(to_write=True)
    with Uploader(tracker, store, said.append) as uploader:
        uploader.begin(shown())
        for cell in cells:
            uploader.add(cell)
        left_out = uploader.finish(shown)
    return uploader.uploaded, left_out, said


def test_track_sync_uploads_once_and_then_has_nothing_to_do(
    server: Server, finished: tuple[list[Cell], Store]
) -> None:
    cells, store = finished
    arguments = ["sync", *SMALL, "--store", store.url, "--tracking-uri", server.uri]
    first = run("track", *arguments)
    assert (first.returncode, first.stderr) == (0, "")
    assert "uploaded 2 of 2 finished cells of embedded" in first.stdout
    check_all_is_there_once(server.uri, "embedded", cells, store)
    second = run("track", *arguments)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout.startswith("nothing to do")
    check_all_is_there_once(server.uri, "embedded", cells, store)


def test_lost_requests_and_answers_leave_every_run_complete_and_once(
    network: Network, finished: tuple[list[Cell], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, store = finished
    monkeypatch.setattr(upload, "RETRY_AFTER", 0.05)
    fates = random.Random(0)
    for round in range(3):
        tracker = Tracker(network.uri, f"lost-{round}", None, ASSETS)
        tracker.open(to_write=False)
        network.reset(lambda n: fates.choice(["pass"] * 9 + ["drop", "lose", "fail"]))
        with Uploader(tracker, store, lambda line: None) as uploader:
            for cell in cells:
                uploader.add(cell)
            assert uploader.finish(shown) == []
        network.reset()
        check_all_is_there_once(network.uri, f"lost-{round}", cells, store)


@pytest.mark.parametrize("moment", [pytest.param("drop", marks=pytest.mark.slow), "lose"])
def test_a_driver_killed_at_any_request_leaves_nothing_double_or_missing(
    moment: str, network: Network, finished: tuple[list[Cell], Store]
) -> None:
    cells, store = finished[0][:1], finished[1]
    sync(network.uri, f"undisturbed-{moment}", cells, store)
    requests = network.requests
    assert requests > 10
    for killed_at in range(requests):
        space = f"killed-{moment}-{killed_at}"
        driver: Any = multiprocessing.get_context("fork").Process(
            target=sync, args=(network.uri, space, cells, store)
        )
        network.reset(
            lambda n, at=killed_at: moment if n == at else "pass",
            on_loss=lambda driver=driver: os.kill(driver.pid, signal.SIGKILL),
        )
        driver.start()
        driver.join()
        assert driver.exitcode == -signal.SIGKILL
        network.reset()
        sync(network.uri, space, cells, store)
        check_all_is_there_once(network.uri, space, cells, store)


def test_a_server_that_stays_away_ends_the_wait_and_the_next_sync_catches_up(
    network: Network, finished: tuple[list[Cell], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, store = finished
    monkeypatch.setattr(upload, "RETRY_AFTER", 0.05)
    tracker = Tracker(network.uri, "away", None, ASSETS)
    tracker.open(to_write=True)
    network.reset(lambda n: "drop")
    said: list[str] = []
    with monkeypatch.context() as soon, Uploader(tracker, store, said.append) as uploader:
        soon.setattr(upload, "GIVE_UP_AFTER", 1.0)
        for cell in cells:
            uploader.add(cell)
        assert set(uploader.finish(shown)) == {cell.key for cell in cells}
    assert len(said) == 1 and "cannot be written" in said[0]
    assert network.requests > 5
    network.reset()
    assert sync(network.uri, "away", cells, store) == (2, [], [])
    assert sync(network.uri, "away", cells, store) == (0, [], [])
    check_all_is_there_once(network.uri, "away", cells, store)


def test_a_server_that_hangs_holds_up_neither_the_sweep_nor_its_end(
    network: Network, finished: tuple[list[Cell], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, store = finished
    monkeypatch.setattr(upload, "GIVE_UP_AFTER", 1.0)
    tracker = Tracker(network.uri, "hangs", None, ASSETS)
    tracker.open(to_write=False)
    network.reset(lambda n: "hang")
    with Uploader(tracker, store, lambda line: None) as uploader:
        uploader.add(cells[0])
        assert uploader.finish(shown) == [cells[0].key]
    assert network.requests == 1, "the first request timed out before the end was reached"


def test_runs_that_are_there_twice_become_one(
    server: Server, finished: tuple[list[Cell], Store]
) -> None:
    from mlflow import MlflowClient

    cells, store = finished
    sync(server.uri, "twice", cells, store)
    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.get_experiment_by_name("twice")
    assert experiment is not None
    finished_before = {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    second = client.create_run(experiment.experiment_id, tags={"kind": "sweep"}, run_name="sweep")
    parent = {"mlflow.parentRunId": second.info.run_id}
    for cell in cells:
        tags = {"kind": "cell", "cell_key": cell.key, **parent}
        client.create_run(experiment.experiment_id, tags=tags)
    sync(server.uri, "twice", cells, store)
    check_all_is_there_once(server.uri, "twice", cells, store)
    left = {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    assert left == finished_before


def test_runs_of_an_older_version_are_logged_anew_in_place(
    server: Server, finished: tuple[list[Cell], Store]
) -> None:
    from mlflow import MlflowClient

    cells, store = finished
    client = MlflowClient(tracking_uri=server.uri)
    experiment = client.create_experiment("old")
    parent = client.create_run(experiment, tags={"kind": "sweep"}, run_name="sweep").info.run_id
    before = [parent]
    for cell in cells:
        tags = {"kind": "cell", "cell_key": cell.key, "mlflow.parentRunId": parent}
        run = client.create_run(experiment, tags=tags)
        client.log_param(run.info.run_id, "attack", cell.attack)
        client.log_text(run.info.run_id, "{}", "examples.jsonl")
        before.append(run.info.run_id)
    for run_id in before:
        client.set_terminated(run_id)
    with pytest.raises(BadInput, match=r"2 of 2 runs of old .* older version; log them"):
        read_runs("old", server.uri)
    assert sync(server.uri, "old", cells, store) == (2, [], [])
    check_all_is_there_once(server.uri, "old", cells, store)
    assert {run.info.run_id for run in client.search_runs([experiment])} == set(before)
    assert sync(server.uri, "old", cells, store) == (0, [], [])


def test_the_sweeps_run_has_the_plan_the_space_and_the_environment(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    cells, store = write_finished(tmp_path)
    store.write_environment("embedded", environment([]))
    uri = f"sqlite:///{tmp_path}/runs.db"
    done = run("track", "sync", *SMALL, "--store", store.url, "--tracking-uri", uri)
    assert done.returncode == 0, done.stderr
    check_all_is_there_once(uri, "embedded", cells, store)
    logged = read_runs("embedded", uri)
    assert logged.plan is not None
    planned = {each["key"]: each["status"] for each in logged.plan["cells"]}
    assert planned == {cell.key: "done" for cell in cells}
    client = MlflowClient(tracking_uri=uri)
    on_the_gpu = client.search_runs(["1"], "tags.fit_device = 'NVIDIA A10G'")
    assert len(on_the_gpu) == len(cells)
    assert {run.data.tags["attack_ran_on"] for run in on_the_gpu} == {short(A10G)}
    (parent,) = client.search_runs(["1"], "tags.kind = 'sweep'")
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"report", "plan.json", "space.yaml", "environment.json"}
    file = client.download_artifacts(parent.info.run_id, "environment.json")
    kept = json.loads(Path(file).read_text())
    assert kept["versions"]["textattack"] and kept["hardware"]["cores"] >= 1
    space = client.download_artifacts(parent.info.run_id, "space.yaml")
    assert load(shutil.copy(space, tmp_path / "again.yaml")).axes.dataset == ["sst2"]
    if kept["git"] is not None:
        assert parent.data.tags["mlflow.source.git.commit"] == kept["git"]["commit"]


def test_what_a_table_cannot_say_is_left_out_of_no_record() -> None:
    records = [
        {"id": 4, "status": "error", "original_text": 'naïve \n"x"', "error": "E: no", "label": 1},
        {"id": 2, "status": "failed", "original_text": "", "scores": [0.1, 0.9], "queries": 7},
    ]
    shown = json.loads(table(records))
    assert shown["columns"][:3] == ["id", "status", "original_text"]
    assert records_of(table(records)) == records
    assert records_of(table([])) == []


def test_what_cannot_be_read_from_mlflow_is_one_line_and_makes_nothing(tmp_path: Path) -> None:
    Tracker(f"sqlite:///{tmp_path}/runs.db", "embedded", None, ASSETS).open(to_write=False)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BadInput, match=r"no experiment 'embeded' .* did you mean embedded"):
        read_runs("embeded", f"sqlite:///{tmp_path}/runs.db")
    with pytest.raises(BadInput, match="no such file"):
        read_runs("embedded", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(BadInput, match="does not answer"):
        read_runs("embedded", f"http://127.0.0.1:{free_port()}")
    assert sorted(tmp_path.iterdir()) == before


def test_a_result_that_cannot_be_read_is_said_once_and_holds_up_nothing(
    server: Server, tmp_path: Path
) -> None:
    cells, store = write_finished(tmp_path)
    broken = tmp_path / "cells" / cells[0].key / "result.json"
    broken.write_text("{")
    uploaded, left_out, said = sync(server.uri, "broken", cells, store)
    assert (uploaded, left_out) == (1, [cells[0].key])
    assert len(said) == 1 and "result.json is damaged (it is not JSON" in said[0]


def test_what_a_user_may_not_write_is_said_before_anything_is_run(
    server: Server, finished: tuple[list[Cell], Store], tmp_path: Path
) -> None:
    from mlflow.server import get_app_client

    sync(server.uri, "embedded", *finished)
    accounts: Any = get_app_client("basic-auth", tracking_uri=server.uri)
    accounts.create_user("reader", "another-Secret-12")
    arguments = [*SMALL, "--store", str(tmp_path), "--tracking-uri", server.uri]
    reader = {"MLFLOW_TRACKING_USERNAME": "reader", "MLFLOW_TRACKING_PASSWORD": "another-Secret-12"}
    forbidden = run("sweep", *arguments, **reader)
    assert_one_line(forbidden, "does not let this user write", "another-Secret-12")
    unknown = run("sweep", *arguments, MLFLOW_TRACKING_PASSWORD="wrong-Secret-34")
    assert_one_line(unknown, "does not accept the user or password", "wrong-Secret-34")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_token_comes_from_the_environment_and_is_kept_nowhere(
    server: Server, finished: tuple[list[Cell], Store]
) -> None:
    cells, store = finished
    gate = Network(server, token="tok-Secret-56")
    arguments = [*SMALL, "--store", store.url, "--tracking-uri", gate.uri]
    nobody = {"MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}
    refused = run("track", "sync", *arguments, MLFLOW_TRACKING_TOKEN="tok-wrong-78", **nobody)
    assert_one_line(refused, "does not accept the user or password", "tok-wrong-78")
    done = run("track", "sync", *arguments, MLFLOW_TRACKING_TOKEN="tok-Secret-56", **nobody)
    gate.close()
    assert done.returncode == 0, done.stderr
    check_all_is_there_once(server.uri, "embedded", cells, store)
    assert "tok-Secret-56" not in done.stdout + done.stderr
    places = [Path(store.url), server.folder / "runs.db", server.folder / "artifacts"]
    for secret in ("tok-Secret-56", PASSWORD):
        found = subprocess.run(["grep", "-rlaF", secret, *places], capture_output=True, text=True)
        assert (found.returncode, found.stdout) == (1, "")


def assert_one_line(done: subprocess.CompletedProcess[str], message: str, secret: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert secret not in done.stdout + done.stderr


class Anything(SimpleHTTPRequestHandler):
    """A web server that is not MLflow: an empty JSON object for every request."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}" if self.path.startswith("/api") else b"<html>")

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("handler", [Anything, SimpleHTTPRequestHandler])
def test_a_server_that_is_not_mlflow_is_one_line(handler: Any, tmp_path: Path) -> None:
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=web.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{web.server_port}"
    done = run("sweep", *SMALL, "--store", str(tmp_path), "--tracking-uri", uri)
    web.shutdown()
    web.server_close()
    assert_one_line(done, "does not answer as MLflow does", "\n\n")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://me:hush@127.0.0.1:5000", "set MLFLOW_TRACKING_USERNAME"),
        ("http://me:hu/sh@127.0.0.1:5000", "set MLFLOW_TRACKING_USERNAME"),
        ("https://hush@127.0.0.1", "set MLFLOW_TRACKING_USERNAME"),
        ("postgresql://me:hu@sh@127.0.0.1:9/runs", "does not answer"),
        ("postgresql+psycopg2://127.0.0.1:9/runs?user=me&password=hush", "does not answer"),
        ("ftp://me:hush@127.0.0.1", "give http://HOST:PORT"),
        ("http://", "give http://HOST:PORT"),
        ("mysql://me:hush@127.0.0.1:port/runs", "the port is not a number"),
    ],
)
def test_a_bad_tracking_uri_is_refused_without_showing_its_password(uri: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        check_tracking_server(uri)
    assert "hu" not in str(refused.value) and "sh@" not in str(refused.value)


def test_the_command_line_never_repeats_a_password(tmp_path: Path) -> None:
    arguments = ["--store", str(tmp_path), *SMALL, "--tracking-uri"]
    for uri in (
        "http://me:hush-1@127.0.0.1:9",
        f"postgresql://me:hush-1@127.0.0.1:{free_port()}/x",
    ):
        assert_one_line(run("sweep", *arguments, uri), "127.0.0.1", "hush-1")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a disk of its own that is full")
def test_a_full_disk_under_the_database_ends_nothing(
    finished: tuple[list[Cell], Store], tmp_path: Path
) -> None:
    """The driver's database is on a disk of 3 MB, filled when the schema is made."""
    store = finished[1]
    script = f"""
set -e
mount -t tmpfs -o size=3m none {tmp_path}
sync="{sys.executable} -m orchestrator.track sync {" ".join(SMALL)} --store {store.url}"
sync="$sync --tracking-uri sqlite:///{tmp_path}/runs.db"
{sys.executable} -c "
from orchestrator.run.environment import environment
from orchestrator.tracking.read import read_runs
from orchestrator.tracking.runs import Summary, records_of, table
from orchestrator.tracking.tracker import Tracker
from trainables.assets import Assets
assets = Assets('embedded')
tracker = Tracker('sqlite:///{tmp_path}/runs.db', 'embedded', '{tmp_path}/artifacts', assets)
tracker.open(to_write=True)"
cat /dev/zero > {tmp_path}/full 2> /dev/null || true
{sys.executable} -c "
import sys
from orchestrator import track
from orchestrator.tracking import upload
upload.GIVE_UP_AFTER, upload.RETRY_AFTER = 3.0, 0.5
sys.exit(track.main(sys.argv[4:]))" $sync || echo "exit code $?"
rm {tmp_path}/full
$sync
$sync
"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    full, after, again = done.stdout.splitlines()
    assert full == "exit code 1"
    assert after.startswith("uploaded 2 of 2") and again.startswith("nothing to do")
    assert "cannot be written" in done.stderr and "disk is full" in done.stderr
    assert "2 finished cells are not uploaded to MLflow; upload later with: python" in done.stderr
    assert "Traceback" not in done.stderr
