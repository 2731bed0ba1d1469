"""Whether a tracking URI is one that MLflow can use, and whether its server answers."""

from urllib.parse import urlparse

from orchestrator.cli.addresses import connection_error, masked
from orchestrator.tracking.where import OPTION, Where, file_of, without
from search_spaces.errors import BadInput

BY_A_PROXY = (407, 502, 503, 504)  # what a proxy itself answers if it cannot reach a server
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_tracking_server(uri: str, given_by: str = OPTION) -> None:
    """Raises BadInput for a URI that is invalid, shows a password, or where no server answers.

    given_by: the option or variable that named it.
    """
    named = f"{given_by} {masked(uri)}"
    try:
        parts = urlparse(uri)
    except ValueError as error:
        raise BadInput(f"{named}: {error}; give http://HOST:PORT") from None
    scheme = parts.scheme.split("+")[0]
    instead = "" if given_by == OPTION else f", or {without(given_by)} to track into the store"
    served = scheme in ("http", "https")
    if scheme == "sqlite":
        if file_of(uri) is None:
            raise BadInput(
                f"{named}: names no file, and a database in memory keeps nothing; give one "
                f"like sqlite:///mlflow.db{instead}"
            )
        return
    if scheme == "file" or uri.startswith(("/", ".")):
        raise BadInput(
            f"{named}: MLflow 3 keeps no runs in folders; give a database like "
            f"sqlite:///mlflow.db, or http://HOST:PORT{instead}"
        )
    if scheme not in PORTS or (served and not parts.netloc):
        raise BadInput(
            f"{named}: give http://HOST:PORT or a database like sqlite:///mlflow.db{instead}"
        )
    if served and ("@" in parts.netloc or masked(uri) != uri):
        others = "others can read a command line" if given_by == OPTION else "it would be shown"
        raise BadInput(
            f"{named}: leave user and password out, {others}; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        )
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadInput(f"{named}: the port is not a number") from None
    if served:
        _check_answers(uri, given_by)
    elif host and (away := connection_error(host, port or PORTS[scheme])):
        raise BadInput(
            f"the tracking server {masked(uri)} does not answer ({away}); start it, or "
            f"{without(given_by)} to track into the store"
        )


def _check_answers(uri: str, given_by: str) -> None:
    """Raises BadInput where no tracking server answers, asked as MLflow's own client asks."""
    from orchestrator.tracking.causes import line, unreachable
    from orchestrator.tracking.client import ask, failures, import_mlflow, proxy_of

    import_mlflow()
    where = Where(uri, given_by)
    try:
        status = ask(uri)
    except failures() as error:
        raise BadInput(unreachable(where, line(error))) from None
    if status in BY_A_PROXY and proxy_of(uri) is not None:
        raise BadInput(unreachable(where, f"the answer is HTTP {status}"))
