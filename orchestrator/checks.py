"""Checks that cost seconds and save hours: what is wrong is said before Ray starts.

Names, files, columns and assets are checked by loading the space and making the plan, what is in
them in inputs.py. What is left is here: whether servers answer.
"""

import re
import socket
from urllib.parse import urlparse

from search_spaces.errors import BadInput

CONNECT_TIMEOUT = 5.0  # seconds
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


def check_tracking_server(uri: str) -> None:
    """Raises BadInput for a URI that is none, shows a password, or at which nobody answers."""
    scheme = urlparse(uri).scheme.split("+")[0]
    served = scheme in ("http", "https")
    if scheme == "sqlite":
        return
    if scheme not in PORTS or (served and not urlparse(uri).netloc):
        raise BadInput(
            f"--tracking-uri {masked(uri)}: give http://HOST:PORT or a database like "
            "sqlite:///mlflow.db"
        )
    if served and ("@" in urlparse(uri).netloc or masked(uri) != uri):
        raise BadInput(
            f"--tracking-uri {masked(uri)}: leave user and password out, others can read a "
            "command line; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
        )
    try:
        host, port = urlparse(uri).hostname, urlparse(uri).port or PORTS[scheme]
    except ValueError:
        raise BadInput(f"--tracking-uri {masked(uri)}: the port is not a number") from None
    if host and (error := connection_error(host, port)):
        raise BadInput(
            f"the tracking server {masked(uri)} does not answer ({error}); start it, or leave "
            "--tracking-uri out to track into the store"
        )
