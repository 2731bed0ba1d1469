"""MLflow's own client, as this package uses it: quiet, and quick to fail.

tracker.py and read.py talk to MLflow with it.
"""

import logging
import os
from typing import Any

# MLflow's own client retries for minutes, and a retried call can create a duplicate run.
CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds
    # Every failure is also raised, and reported here in one line; its own log lines are redundant.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
ASK_TIMEOUT = 5.0, 20.0  # seconds to connect, and to answer


def import_mlflow() -> None:
    for name, value in CLIENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow  # noqa: F401

    # MLflow reads its level when it is first imported, which may have been before this.
    level = os.environ["MLFLOW_LOGGING_LEVEL"] or CLIENT["MLFLOW_LOGGING_LEVEL"]
    logging.getLogger("mlflow").setLevel(level.upper())


def connect(uri: str) -> Any:
    """MLflow's client. Raises what is wrong with a database; does not contact a server yet."""
    import_mlflow()
    from mlflow import MlflowClient

    if not uri.startswith(("http://", "https://")):
        _connect_once(uri)
    return MlflowClient(tracking_uri=uri)


def ask(server: str) -> int:
    """The HTTP status that a tracking server answers with. Raises what `failures` names.

    Asked as MLflow's client asks: with its user, proxies and certificates.
    """
    import_mlflow()
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(
        get_default_host_creds(server),
        "/health",
        "GET",
        max_retries=0,
        timeout=ASK_TIMEOUT,
        raise_on_status=False,
    )
    return int(answer.status_code)


def proxy_of(server: str) -> tuple[str, str] | None:
    """The proxy between this machine and a server, and the variable that names it, or None."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(server, get_environ_proxies(server, no_proxy=None))
    if not proxy:
        return None
    scheme = server.partition(":")[0].lower()
    names = [
        name for kind in (scheme, "all") for name in (f"{kind}_proxy", f"{kind}_PROXY".upper())
    ]
    variable = next((name for name in names if os.environ.get(name) == proxy), names[0])
    return str(proxy), variable


def failures() -> tuple[type[Exception], ...]:
    """The exceptions of a server or a database that cannot be used."""
    import sqlite3

    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError


def search(client: Any, experiment_id: str, filter_string: str) -> list[Any]:
    """All runs of an experiment that match, however many."""
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_string, max_results=1000, page_token=token
        )
        runs += page
        token = page.token
        if not token:
            return runs


def artifacts_of(run: Any, uri: str) -> Any:
    """Where a run keeps its files. The client itself would request the run again."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri, tracking_uri=uri)


def _connect_once(uri: str) -> None:
    """Raises what is wrong with a database at once; MLflow would retry for two minutes."""
    from sqlalchemy import create_engine

    engine = create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()
