"""Where a sweep is logged: at which server or database, and who named it.

A database's URI is checked by reading it back: MLflow and SQLAlchemy interpret a `?`, and some
versions a `%`, in a path, and the database would be created somewhere else.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.cli.addresses import masked
from trainables.store import Store

OPTION = "--tracking-uri"
VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"


@dataclass(frozen=True)
class Where:
    """A tracking server's or database's URI.

    given_by: the option or variable that named it; empty for the database in the store's folder.
    file: the database's file, or None where it has none here. artifacts: the folder of the files
    that are logged to it, or None where MLflow decides. own: whether it is the database
    that a sweep makes for its store, which moves with it and can be made again from it.
    """

    uri: str
    given_by: str = OPTION
    file: Path | None = None
    artifacts: Path | None = None
    own: bool = False

    @property
    def served(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    @property
    def shown(self) -> str:
        """For messages, without a password."""
        return str(self.file) if self.own else masked(self.uri)

    @property
    def named(self) -> str:
        """For messages: with the option or variable that was given."""
        return f"{self.given_by} {self.shown}" if self.given_by else f"the database {self.shown}"

    @property
    def to_paste(self) -> str:
        """The URI as a word of a command line."""
        return shlex.quote(masked(self.uri))


def where(store: Store, given: str | None) -> Where:
    """The server or database asked for by option or variable, or the database in the store's
    folder (here, if it has none). An empty value counts as none."""
    folder = store.local_folder
    own = Path(folder or ".", DATABASE).absolute()
    artifacts = None if folder is None else Path(folder, ARTIFACTS)
    uri, given_by = given or "", OPTION
    if not uri:
        uri, given_by = os.environ.get(VARIABLE, "").strip(), VARIABLE
    if not uri:
        return Where(uri_of(own), "", own, artifacts, own=True)
    file = file_of(uri)
    is_own = artifacts is not None and file is not None and _is_same(file, own)
    served = uri.startswith(("http://", "https://"))
    return Where(as_we_write_it(uri), given_by, file, None if served else artifacts, is_own)


def uri_of(file: Path) -> str:
    """A database's URI as MLflow's client, its server and its command line read it."""
    from sqlalchemy import URL

    plain = f"sqlite:///{file}"
    if file_of(plain) == file:
        return plain
    # A `file:` URI is pure ASCII. MLflow creates the folders after "sqlite:///" literally.
    odd = URL.create("sqlite+pysqlite", database=file.as_uri(), query={"uri": "true"})
    return odd.render_as_string(hide_password=False)


def as_we_write_it(uri: str) -> str:
    """The URI; of one that names a file as `file:` does, one for which MLflow makes no folder."""
    file = file_of(uri)
    return uri if file is None or "///file:" not in uri else uri_of(file)


def file_of(uri: str) -> Path | None:
    """The file of a database on this machine, or None for any other URI, or one in memory."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError):
        return None
    path = url.database or ""
    if url.query.get("uri") == "true" and path.startswith("file:"):
        path = unquote(urlsplit(path).path)
    in_memory = path in ("", ":memory:") or url.query.get("mode") == "memory"
    return None if in_memory else Path(path).absolute()


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one == other


def without(given_by: str) -> str:
    """How to drop the option or variable that names a tracking server."""
    return f"leave {given_by} out" if given_by == OPTION else f"unset {given_by}"
