"""For the tests of tracking: a real MLflow server with basic auth, and a bad network before it."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.tracking.read import LoggedCell, read_runs
from search_spaces.cell import Cell
from trainables.store import Store

USER, PASSWORD = "sweeper", "correct-horse-Battery-9"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
AUTH = f"""
[mlflow]
default_permission = READ
database_uri = sqlite:///auth.db
admin_username = {USER}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check_all_is_there_once(uri: str, space: str, cells: list[Cell], store: Store) -> None:
    """MLflow has exactly the store's cells: complete, none twice, and nothing else."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(space)
    assert experiment is not None
    assert "viewStateShareKey=cells" in experiment.tags["mlflow.note.content"]
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * (len(cells) + 1)
    by_key = {run.data.tags.get("cell_key", "sweep"): run for run in runs}
    parent = by_key.pop("sweep")
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files >= {"report"}
    assert parent.data.tags["mlflow.note.content"]
    assert set(by_key) == {cell.key for cell in cells}
    logged = {each.cell["key"]: each for each in read_runs(space, uri).cells}
    for cell in cells:
        run = by_key[cell.key]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        check_figures(client, run, cell, store)
        check_inputs(run, cell)
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert files == {"cell.json", "examples.json"}
        check_read_back(logged[cell.key], cell, store)


def check_figures(client: Any, run: Any, cell: Cell, store: Store) -> None:
    result, fit = store.read_result(cell.key), store.read_fit(cell.fit.key)
    assert run.data.params.items() >= {k: str(v) for k, v in cell.axes().items()}.items()
    assert run.data.params["fit.max_epochs"] == str(cell.fit.settings.max_epochs)
    expected = {(name, 0): value for name, value in result["metrics"].items()}
    expected |= {(name, 0): fit[name] for name in ("validation_accuracy", "test_accuracy")}
    expected["fit_seconds", 0] = fit["seconds"]
    for point in fit["curve"]:
        for name in ("train_loss", "validation_accuracy"):
            expected[f"curve/{name}", point["examples_seen"]] = point[name]
    points = [
        ((name, point.step), point.value)
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    ]
    assert len(dict(points)) == len(points)
    assert dict(points) == pytest.approx({k: v for k, v in expected.items() if v is not None})


def check_inputs(run: Any, cell: Cell) -> None:
    inputs = {each.tags[0].value: each.dataset for each in run.inputs.dataset_inputs}
    assert len(inputs) == len(run.inputs.dataset_inputs)
    names = {context: dataset.name for context, dataset in inputs.items()}
    fit = cell.fit
    assert names == {"training": f"{fit.dataset}-train", "attack": f"{fit.dataset}-test"}
    for dataset in inputs.values():
        assert fit.dataset_digest.startswith(dataset.digest)
        columns = [each["name"] for each in json.loads(dataset.schema)["mlflow_colspec"]]
        assert columns == [*fit.data.columns, fit.data.label]
        profile = json.loads(dataset.profile)
        assert profile["num_rows"] > 0 and profile["labels"] == fit.data.labels


def check_read_back(logged: LoggedCell, cell: Cell, store: Store) -> None:
    """Exactly what the store has, without the store."""
    assert Cell.model_validate(logged.cell) == cell
    assert logged.result == store.read_result(cell.key)
    fit = store.read_fit(cell.fit.key)
    assert logged.fit == {name: value for name, value in fit.items() if name != "spec"}
    assert logged.evaluations == store.evaluations(cell.fit.key)
    attacked = store.attacked(cell.log)
    # A table has no value for what an example lacks: it comes back without that field.
    there = [
        {k: v for k, v in attacked[id].items() if v is not None} for id in logged.result["sample"]
    ]
    assert logged.examples() == there


class Server:
    """`mlflow server` on loopback; it can be killed, and started again on the same port."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder, self.backend, self.port = folder, backend, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        (folder / "auth.ini").write_text(AUTH)

    def start(self) -> None:
        """Returns when it answers."""
        environment = {
            **os.environ,
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        arguments = {
            "--app-name": "basic-auth", "--host": "127.0.0.1", "--port": str(self.port),
            "--workers": "1", "--backend-store-uri": self.backend,
            "--artifacts-destination": str(self.folder / "artifacts"),
        }  # fmt: skip
        words = [word for pair in arguments.items() for word in pair]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *words],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 240
        while not self._is_healthy():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def kill(self) -> None:
        """Like a power cut: the whole process group at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return answer.read() == b"OK"
        except OSError:
            return False


class Network:
    """A loopback proxy before a server, which asks `fate(n)` about its n-th request (from 0).

    The fate: `pass`, `drop` (the server never sees it), `lose` (its answer is lost), `fail` (503)
    or `hang` (no answer until `close`). `on_loss` is called whenever a request is dropped or an
    answer lost. With a token it is an authenticating proxy: requests with the token may pass.
    """

    def __init__(self, server: Server, token: str = "") -> None:
        self.reset()
        self._closed = threading.Event()
        network = self

        class Handler(BaseHTTPRequestHandler):
            def forward(self) -> None:
                number, network.requests = network.requests, network.requests + 1
                fate = network.fate(number)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = dict(self.headers)
                if token and headers.pop("Authorization", "") != f"Bearer {token}":
                    self.send_error(401)
                    return
                if token:
                    headers["Authorization"] = f"Basic {BASIC}"
                if fate == "fail":
                    self.send_error(503)
                if fate == "hang":
                    network._closed.wait(timeout=60)
                if fate == "drop":
                    network.on_loss()
                if fate in ("fail", "hang", "drop"):
                    return
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                if fate == "lose":
                    network.on_loss()
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def reset(
        self,
        fate: Callable[[int], str] = lambda n: "pass",
        on_loss: Callable[[], None] = lambda: None,
    ) -> None:
        self.fate, self.on_loss, self.requests = fate, on_loss, 0

    def close(self) -> None:
        self._closed.set()
        self._http.shutdown()
        self._http.server_close()
