"""What is wrong with a tracking server or a database, in one line without passwords."""

import os
import re
from urllib.parse import urlsplit

from orchestrator.cli.addresses import masked
from orchestrator.tracking.client import proxy_of
from orchestrator.tracking.database import is_locked, schema_advice, why_not_opened
from orchestrator.tracking.where import Where, without
from search_spaces.errors import first_line
from trainables.files import DamagedFile

NO_SPACE = ("No space left", "disk is full", "Disk quota exceeded")
NOT_WRITABLE = ("attempt to write a readonly database", "unable to open database file")


def why(error: Exception, where: Where, space: str) -> str:
    """What is wrong at the start, and what to do."""
    from mlflow.exceptions import MlflowException, RestException

    if _folder_is_gone():
        return "the current folder was deleted; change to one that exists"
    status = http_status(error) if where.served else None
    through = _through(where)
    if status == 401:
        return (
            f"the tracking server {where.shown} does not accept the user or password; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if status == 403:
        return (
            f"the tracking server {where.shown}{through} does not let this user write to the "
            f"experiment {space}; ask for the permission EDIT"
        )
    if isinstance(error, RestException):
        strange = "error_code" not in error.json
    else:
        strange = isinstance(error, MlflowException) and "API request to end" in error.message
    if strange:
        return f"the server at {where.shown}{through} does not answer as MLflow does"
    return f"{where.named}{through}: cannot be used: {cause(error, where)}"


def cause(error: Exception, where: Where) -> str:
    """The innermost cause, in plain words where the exception says too little."""
    text = line(error)
    if found := re.search(r"out-of-date database schema \(found version (\w+)", str(error)):
        return schema_advice(where, found[1]) or text
    if is_locked(error):
        return "another program has locked the database; end it, or wait until it has written"
    if any(sign in text for sign in NO_SPACE):
        return f"its disk is full: {text}"
    if where.file is not None and any(sign in text for sign in NOT_WRITABLE):
        return f"{where.file}: {why_not_opened(where.file)} ({text})"
    if isinstance(error, PermissionError):
        return f"this user has no permission: {text}"
    return text


def may_pass(error: Exception) -> bool:
    """Whether a retry may succeed: the server is down or fails, the disk is full.
    A missing table does not come back, and a damaged file of the store stays damaged."""
    if "no such table" in str(error) or isinstance(error, DamagedFile):
        return False
    status = http_status(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    if is_locked(error):
        return True
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)


def line(error: Exception) -> str:
    """What happened, in one line without passwords: the innermost cause, which is most specific."""
    from mlflow.exceptions import RestException

    inner: BaseException = error
    while not isinstance(inner, (RestException, DamagedFile)):
        deeper = inner.__cause__ or inner.__context__
        if deeper is None:
            break
        inner = deeper
    return masked(first_line(inner, with_type=not isinstance(inner, RestException)))[:200]


def _folder_is_gone() -> bool:
    """Whether the folder in which this process runs was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def http_status(error: Exception) -> int | None:
    """The HTTP status of a failed call, MLflow's own for a database, or None."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.get_http_status_code()
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def unreachable(where: Where, reason: str) -> str:
    """That no server answers, and what to do."""
    instead = without(where.given_by)
    proxy = proxy_of(where.uri)
    if proxy is not None:
        host = urlsplit(where.uri).hostname
        return (
            f"the tracking server {where.shown} does not answer{_through(where)} ({reason}); "
            f"set no_proxy={host} if no proxy leads there, or {instead} to track into the store"
        )
    certificate = (
        "name its certificate in REQUESTS_CA_BUNDLE"
        if "CERTIFICATE" in reason.upper()
        else "start it"
    )
    return (
        f"the tracking server {where.shown} does not answer ({reason}); {certificate}, or "
        f"{instead} to track into the store"
    )


def _through(where: Where) -> str:
    if not where.served or (proxy := proxy_of(where.uri)) is None:
        return ""
    return f" through the proxy {masked(proxy[0])} ({proxy[1]})"
