"""Serve MLflow's pages over a database: `mlflow ui` on this machine alone, as its own process.

Locations in a moved store are updated first; one that cannot be written is served from a copy.
"""

import os
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext, suppress
from types import FrameType

from orchestrator.cli.command import called
from orchestrator.tracking.causes import why
from orchestrator.tracking.client import CLIENT, failures, import_mlflow
from orchestrator.tracking.database import Damaged, check, is_writable, relocate, to_read
from orchestrator.tracking.where import Where, without
from search_spaces.errors import BadInput

HOST = "127.0.0.1"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEVEL = "MLFLOW_LOGGING_LEVEL"  # our client's must not apply to the server
STOP_WITHIN = 10.0  # seconds that MLflow has to end


def serve(where: Where, port: int) -> int:
    """Serve until a signal comes; returns MLflow's exit code, 0 if a signal ended it.

    Raises BadInput where the database cannot be read or the port is taken.
    """
    assert where.file is not None
    if not where.file.exists():
        raise BadInput(f"{where.named}: no such file; a sweep creates it")
    import_mlflow()
    try:
        if where.own and where.artifacts is not None and is_writable(where.file):
            check(where)
            relocate(where.file, where.artifacts)
        with to_read(where) if where.own else nullcontext(where.uri) as uri:
            _check_port(port)
            if uri != where.uri:
                print(f"{where.shown} cannot be written: changes on the pages are not kept")
            return _run(uri, port, os.path.dirname(where.file))
    except Damaged as damage:
        raise BadInput(
            f"{damage}; {called('track')} sync rebuilds it from the store"
            if where.own
            else f"{damage}; {without(where.given_by)} to see the store's"
        ) from None
    except failures() as error:
        raise BadInput(why(error, where, "")) from None


def _check_port(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise BadInput(f"--port {port}: {error.strerror}; give another --port") from None


def _run(uri: str, port: int, folder: str) -> int:
    """Run MLflow in a session of its own, so that each signal reaches it once: from here.

    It runs in the database's folder, where what people log through it is kept.
    """
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port)]
    environment = dict(os.environ)
    if environment.get(LEVEL) == CLIENT[LEVEL]:
        del environment[LEVEL]
    stopped = False
    server = subprocess.Popen(
        [*command, "--backend-store-uri", uri], cwd=folder, env=environment, start_new_session=True
    )

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        print(f"MLflow: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
        while not stopped:
            with suppress(subprocess.TimeoutExpired):
                return server.wait(timeout=0.2)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=STOP_WITHIN)
        return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        # Its workers are in its session, and must not outlive it.
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
