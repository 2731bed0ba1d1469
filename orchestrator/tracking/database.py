"""MLflow's database as a file: what is wrong with it, and where the files of its runs are.

MLflow keeps absolute locations of artifacts. A database in a store moves with it, so when it is
opened the locations that we made are set to where the store is now, in one transaction. Locations
elsewhere, and those that people set, stay as they are. A user who may only read gets a copy.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orchestrator.tracking.where import ARTIFACTS, Where, uri_of
from search_spaces.errors import BadInput
from trainables.scratch import scratch

BESIDE = ("-journal", "-wal", "-shm")  # files that SQLite keeps next to a database, as parts of it
BUSY = 5.0  # seconds that SQLite waits for a lock
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
OURS = """
SELECT experiment_id, name, artifact_location FROM experiments AS e
WHERE (name = ? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.experiment_id = e.experiment_id))
OR EXISTS (
  SELECT 1 FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid
  WHERE runs.experiment_id = e.experiment_id AND (tags.key = 'cell_key'
    OR tags.key = 'mlflow.source.name' AND tags.value = 'orchestrator.sweep'))
"""
# Lines of `PRAGMA quick_check` without damage: a value that violates a rule of the schema is none.
NO_DAMAGE = ("ok", "NULL value", "CHECK constraint", "NUMERIC value", "TEXT value", "non-unique")
DAMAGE = ("file is not a database", "malformed", "disk image")


class Damaged(BadInput):
    """The file is not a database, or is incomplete."""


def is_locked(error: BaseException) -> bool:
    """Whether another program has locked a database, for as long as it writes."""
    return "database is locked" in str(error) or "database table is locked" in str(error)


def check(where: Where, copy: Path | None = None) -> None:
    """Raises BadInput where a database's file cannot be used, Damaged where it is no database.

    Raises sqlite3.OperationalError while another program has locked it. MLflow creates the database
    in a missing or empty file. copy: read instead of the file.
    """
    if where.file is None or not _has_content(where):
        return
    file = copy or where.file
    try:
        with closing(_connect(file)) as database:
            lines = [row[0] for row in database.execute("PRAGMA quick_check(3)")]
            version, tables = _schema(database), _tables(database)
    except sqlite3.DatabaseError as error:
        if any(sign in str(error) for sign in DAMAGE):
            raise Damaged(f"{where.named} is damaged ({error})") from None
        if is_locked(error):
            raise
        raise BadInput(f"{where.named} cannot be used: {_reason(file, error)}") from None
    if damage := [line for line in lines if not line.startswith(NO_DAMAGE)]:
        raise Damaged(f"{where.named} is damaged ({damage[0].splitlines()[-1]})")
    if version is None:
        if where.own:
            raise Damaged(f"{where.named} is not a database of MLflow")
        return
    if advice := schema_advice(where, version):
        raise BadInput(advice)
    if missing := _tables_of_mlflow() - tables:
        raise Damaged(f"{where.named} is damaged (it lacks the table {min(missing)})")


def schema_advice(where: Where, found: str) -> str:
    """What to do where a database's schema is not that of the MLflow installed here, or ""."""
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    folder = Path(mlflow.__file__).parent / "store" / "db_migrations"
    known = ScriptDirectory(str(folder))
    if found == known.get_current_head():
        return ""
    try:
        known.get_revision(found)
    except CommandError:
        instead = (
            "move the file away: all finished cells are then logged again"
            if where.own
            else "give another --tracking-uri"
        )
        return (
            f"{where.named} was made by a newer MLflow than the {mlflow.__version__} that is "
            f"installed here; install that one, or {instead}"
        )
    return (
        f"{where.named} was made by an older MLflow than the {mlflow.__version__} installed "
        f"here; keep a copy of it, then upgrade it with: mlflow db upgrade {where.to_paste}"
    )


def set_aside(file: Path) -> Path:
    """Give a damaged database, with the files that belong to it, a name that is still free."""
    number = 1
    while os.path.lexists(aside := file.with_name(f"{file.name}.damaged-{number}")):
        number += 1
    for end in BESIDE:
        with suppress(FileNotFoundError):
            os.rename(f"{file}{end}", f"{aside}{end}")
    os.rename(file, aside)
    return aside


def relocate(file: Path, artifacts: Path, space: str = "") -> bool:
    """Set locations in a store that was moved or copied to the folder where its files are now.

    space: whose experiment is about to be written; the others' are set if their files are here.
    Returns whether anything was changed. Raises sqlite3.Error.
    """
    if not file.is_file() or not file.stat().st_size:
        return False
    with closing(_connect(file)) as database:
        if not (roots := _old_roots(database, artifacts, space)):
            return False
        database.execute("BEGIN IMMEDIATE")
        for id in roots:
            database.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                (artifacts.as_uri(), id),
            )
        tables = _tables(database)
        for table, column in LOCATIONS:
            if table in tables:
                _relocate_column(database, table, column, set(roots.values()), artifacts)
        database.commit()
    return True


def relocate_run(where: Where, run_id: str, location: str) -> bool:
    """Have a run that is about to be written keep its files in the store, wherever they were.

    Returns False where it does already, or where we do not decide its location.
    """
    path = _path(location)
    if not where.own or where.file is None or where.artifacts is None or path is None:
        return False
    roots = [parent for parent in path.parents if parent.name == ARTIFACTS]
    if not roots or _is_at(location, roots[0], where.artifacts):
        return False
    new = where.artifacts / path.relative_to(roots[0])
    with closing(_connect(where.file)) as database:
        database.execute(
            "UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (new.as_uri(), run_id)
        )
        database.commit()
    return True


@contextmanager
def to_read(where: Where) -> Iterator[str]:
    """The URI of a database to read from: its own, or that of a copy with updated locations if the
    database cannot be written or its store was moved. Changes nothing.

    Raises BadInput where there is none, or it cannot be used.
    """
    file = where.file
    if file is None:
        yield where.uri
        return
    if not os.path.lexists(file):
        raise BadInput(f"{where.named}: no such file")
    if not _has_content(where):
        why = "is empty" if file.exists() else f"cannot be used: {why_not_opened(file)}"
        raise BadInput(f"{where.named} {why}")
    artifacts = file.parent / ARTIFACTS
    if is_writable(file):
        check(where)
        with closing(_connect(file)) as database:
            if _schema(database) is None:
                raise BadInput(f"{where.named} is not a database of MLflow")
            if not _old_roots(database, artifacts, ""):
                yield where.uri
                return
    with scratch("database") as folder:
        copy = Path(folder, file.name)
        _copy(where, copy)
        check(where, copy)
        relocate(copy, artifacts)
        yield uri_of(copy)


def is_writable(file: Path) -> bool:
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def _has_content(where: Where) -> bool:
    """Whether there is a file that is not empty. Raises BadInput where it cannot be a file."""
    assert where.file is not None
    try:
        if where.file.is_dir():
            raise BadInput(f"{where.named} is a folder; move it away")
        return where.file.is_file() and where.file.stat().st_size > 0
    except OSError as error:
        raise BadInput(f"{where.named} cannot be used: {_reason(where.file, error)}") from None


def why_not_opened(file: Path) -> str:
    """Why SQLite can neither open nor create a database's file, which it does not tell."""
    try:
        file.stat()
    except FileNotFoundError:
        target = Path(os.path.realpath(file))
        if not target.parent.is_dir():
            if file.is_symlink():
                return f"it is a link to {target}, whose folder does not exist"
            return f"its folder {target.parent} does not exist"
        if file.is_symlink():
            return f"it is a link to {target}, which does not exist"
    except OSError as error:
        return str(error.strerror)
    return "this user may not write to it or to its folder"


def _reason(file: Path, error: Exception) -> str:
    """Why a database's file cannot be used: SQLite says little about files."""
    if isinstance(error, OSError) and not isinstance(error, PermissionError):
        return str(error.strerror)
    if not os.access(file, os.R_OK):
        return "this user may not read it"
    if "readonly" in str(error) or "unable to open" in str(error):
        return why_not_opened(file)
    return str(error)


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY)


def _tables(database: sqlite3.Connection) -> set[str]:
    return {row[0] for row in database.execute("SELECT name FROM sqlite_master")}


def _tables_of_mlflow() -> set[str]:
    """All tables that a database of the MLflow installed here has."""
    import mlflow.store.db.utils  # noqa: F401 (it imports all models, which are the tables)
    from mlflow.store.db.base_sql_model import Base

    return set(Base.metadata.tables)


def _schema(database: sqlite3.Connection) -> str | None:
    """The version of MLflow's schema, or None where there is none."""
    if not {"alembic_version", "experiments", "runs", "tags"} <= _tables(database):
        return None
    row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _copy(where: Where, copy: Path) -> None:
    """A consistent copy; where SQLite may not make it (a journal that it would have to write back),
    a copy of all files."""
    assert where.file is not None
    address = f"{where.file.absolute().as_uri()}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(address, uri=True, timeout=BUSY)) as database,
            closing(sqlite3.connect(copy)) as made,
        ):
            database.backup(made)
        return
    except sqlite3.Error:
        copy.unlink(missing_ok=True)
    try:
        for end in ("", *BESIDE):
            if os.path.exists(f"{where.file}{end}"):
                shutil.copyfile(f"{where.file}{end}", f"{copy}{end}")
    except OSError as error:
        raise BadInput(f"{where.named} cannot be read: {_reason(where.file, error)}") from None


def _old_roots(database: sqlite3.Connection, artifacts: Path, space: str) -> dict[int, Path]:
    """Our experiments whose files are next to this database now: the folder they name, by id."""
    if _schema(database) is None:
        return {}
    roots = {}
    for id, name, location in database.execute(OURS, (space,)).fetchall():
        root = _path(location)
        if root is None or root.name != ARTIFACTS or _is_at(location, root, artifacts):
            continue
        runs = database.execute("SELECT artifact_uri FROM runs WHERE experiment_id = ?", (id,))
        here = (_moved(run, root, artifacts) for (run,) in runs)
        if name == space or any(new is not None and new.exists() for new in here):
            roots[id] = root
    return roots


def _relocate_column(
    database: sqlite3.Connection, table: str, column: str, roots: set[Path], artifacts: Path
) -> None:
    for row, location in database.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
        for root in roots:
            new = _moved(location, root, artifacts)
            # Files that are only in the old place are another store's, which logs here as well.
            if new is not None and (new.exists() or not os.path.exists(_path(location) or root)):
                database.execute(
                    f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new.as_uri(), row)
                )
                break


def _moved(location: str | None, root: Path, artifacts: Path) -> Path | None:
    """Where something below an old folder of artifacts is below the present one."""
    path = _path(location)
    return artifacts / path.relative_to(root) if path and path.is_relative_to(root) else None


def _is_at(location: str, root: Path, artifacts: Path) -> bool:
    """Whether a location needs no change: it leads to the present folder, directly or by links."""
    if "%" in location and not location.startswith("file:"):
        return False  # MLflow reads a plain path as a URI, and %20 in it as a blank.
    try:
        return root == artifacts or root.samefile(artifacts)
    except OSError:
        return False


def _path(location: str | None) -> Path | None:
    """The folder of a location; None if it is not on this machine."""
    if location is None or not location.startswith(("/", "file:///")):
        return None
    return Path(location if location.startswith("/") else unquote(urlsplit(location).path))
