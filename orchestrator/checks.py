"""Checks that cost seconds and save hours: what is wrong is said before Ray starts.

Names, files, columns and assets are checked by loading the space and making the plan, what is in
them in inputs.py. What is left is here: whether servers answer.
"""

import re
import socket
from urllib.parse import urlparse

from search_spaces.errors import BadInput

CONNECT_TIMEOUT = 5.0  # seconds
OPTION = "--tracking-uri"
BY_A_PROXY = (407, 502, 503, 504)  # what a proxy answers by itself where it cannot reach a server
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}


def connection_error(host: str, port: int) -> OSError | None:
    """Why nobody answers at an address, or None where somebody does."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        return error
    return None


def check_ray_address(address: str) -> None:
    """Raises BadInput where nobody answers there: Ray itself would wait for minutes."""
    if address in ("auto", "local"):
        return
    if address.startswith("ray://"):
        raise BadInput(
            f"--ray-address {address}: the driver must run on a machine of the cluster; start the "
            "sweep there with --ray-address auto (ray exec, ray submit)"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadInput(f"--ray-address {address}: give auto or HOST:PORT")
    if error := connection_error(host, int(port)):
        raise BadInput(
            f"no Ray cluster answers at {address} ({error}); "
            "leave --ray-address out to run on this machine"
        )


def masked(text: str) -> str:
    """The text with every URI's password as ***: nothing else is ever shown or stored."""
    text = re.sub(r"(://[^/:@\s]*):\S*@", r"\1:***@", text)
    text = re.sub(r"://[^/:@\s]+@", "://***@", text)
    return re.sub(r"([?&]\w*(?:password|passwd|token)=)[^&\s]*", r"\1***", text, flags=re.I)


def check_tracking_server(uri: str, given_by: str = OPTION) -> None:
    """Raises BadInput for a URI that is none, shows a password, or at which nobody answers.

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
        from orchestrator.where import file_of

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


def without(given_by: str) -> str:
    """How to do without the option or variable that names a tracking server."""
    return f"leave {given_by} out" if given_by == OPTION else f"unset {given_by}"


def _check_answers(uri: str, given_by: str) -> None:
    """Raises BadInput where no tracking server answers, asked as MLflow's own client asks."""
    from orchestrator.causes import line, unreachable
    from orchestrator.client import ask, failures, import_mlflow, proxy_of
    from orchestrator.where import Where

    import_mlflow()
    where = Where(uri, given_by)
    try:
        status = ask(uri)
    except failures() as error:
        raise BadInput(unreachable(where, line(error))) from None
    if status in BY_A_PROXY and proxy_of(uri) is not None:
        raise BadInput(unreachable(where, f"the answer is HTTP {status}"))
