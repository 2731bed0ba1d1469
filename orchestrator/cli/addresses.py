"""Network addresses: whether a server answers there, and URIs without their passwords."""

import re
import socket

CONNECT_TIMEOUT = 5.0  # seconds


def connection_error(host: str, port: int) -> OSError | None:
    """Why a connection to an address fails, or None if it succeeds."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        return error
    return None


def masked(text: str) -> str:
    """The text with every URI's password as ***: nothing else is ever shown or stored."""
    text = re.sub(r"(://[^/:@\s]*):\S*@", r"\1:***@", text)
    text = re.sub(r"://[^/:@\s]+@", "://***@", text)
    return re.sub(r"([?&]\w*(?:password|passwd|token)=)[^&\s]*", r"\1***", text, flags=re.I)
