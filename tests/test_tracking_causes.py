"""Errors of MLflow name their cause, and printed commands work when pasted.

Databases, servers, proxies and MLflow's command line are real. The store is written by hand.
"""

import logging
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from stores import SMALL, write_finished
from tracking_server import check_all_is_there_once, free_port

from orchestrator import track
from orchestrator.cli.arguments import Parser, add_plan_arguments
from orchestrator.run.environment import environment
from orchestrator.tracking import database, options
from orchestrator.tracking import tracker as tracking
from orchestrator.tracking.causes import cause, may_pass
from orchestrator.tracking.check import check_tracking_server
from orchestrator.tracking.client import connect
from orchestrator.tracking.read import read_runs
from orchestrator.tracking.tracker import Tracker
from orchestrator.tracking.where import VARIABLE, Where, uri_of, where
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.store import Store

ASSETS = Assets("embedded")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cell], Path]:
    folder = tmp_path_factory.mktemp("logged") / "store"
    cells, _ = write_finished(folder)
    assert sync(folder) == 0
    return cells, folder


@pytest.fixture
def store(logged: tuple[list[Cell], Path], tmp_path: Path) -> Path:
    """A copy, at a path that needs quoting."""
    return Path(shutil.copytree(logged[1], tmp_path / "it's wh?at"))


def sync(store: Path, *more: str) -> int:
    return track.main(["sync", *SMALL, "--store", str(store), *more])


def tracker_of(store: Path) -> Tracker:
    return Tracker.at(where(Store(str(store)), None), "embedded", ASSETS)


def paste(command: str, folder: Path) -> None:
    """Run a printed command in a shell, in an empty folder, and leave it empty."""
    folder.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(folder.iterdir())


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1, said
    return said.strip()


def test_mlflow_is_quiet_also_when_it_was_imported_before(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("mlflow").setLevel(logging.INFO)  # as MLflow does without our settings
    (store / "mlflow.db").unlink()
    tracker_of(store).open(to_write=True)
    assert capsys.readouterr().err == ""


def test_an_empty_level_of_mlflows_log_is_none(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "")
    assert sync(store) == 0
    assert capsys.readouterr().err == ""


def test_a_second_run_of_the_sweep_itself_goes(store: Path) -> None:
    Store(str(store)).write_environment("embedded", environment([]))
    (store / "mlflow.db").unlink()
    assert sync(store) == 0
    client = connect(uri_of(store / "mlflow.db"))
    experiment = client.get_experiment_by_name("embedded").experiment_id
    (first,) = client.search_runs([experiment], "tags.kind = 'sweep'")
    tags = {name: value for name, value in first.data.tags.items() if name != "mlflow.runName"}
    second = client.create_run(experiment, run_name="sweep", tags=tags)
    client.set_terminated(second.info.run_id, "FINISHED")
    assert sync(store) == 0
    assert len(client.search_runs([experiment], "tags.kind = 'sweep'")) == 1


def test_a_deleted_experiment_is_restored_by_the_command_that_is_printed(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = tracker_of(store)
    tracker.open(to_write=False)
    tracker.client.delete_experiment("1")
    capsys.readouterr()
    assert sync(store) == 2
    said = one_line(capsys)
    with pytest.raises(BadInput, match="is deleted; restore it with"):
        read_runs("embedded", uri_of(store / "mlflow.db"))
    paste(said.partition("restore it with: ")[2], tmp_path / "elsewhere")
    assert sync(store) == 0


@pytest.mark.slow
def test_an_experiment_that_is_gone_for_good_is_logged_anew(
    logged: tuple[list[Cell], Path], store: Path
) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as db:
        for table in ("latest_metrics", "metrics", "params", "tags", "runs"):
            db.execute(f"DELETE FROM {table}")
        db.execute("DELETE FROM experiment_tags")
        db.execute("DELETE FROM experiments WHERE name = 'embedded'")
        db.commit()
    assert sync(store) == 0
    check_all_is_there_once(uri_of(store / "mlflow.db"), "embedded", logged[0], Store(str(store)))


@pytest.mark.slow
def test_an_older_schema_is_upgraded_by_the_command_that_is_printed(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.remove(store / "mlflow.db")
    make_older(store / "mlflow.db")
    before = (store / "mlflow.db").read_bytes()
    assert sync(store) == 2
    said = one_line(capsys)
    assert "made by an older MLflow" in said and "--tracking-uri" not in said
    assert (store / "mlflow.db").read_bytes() == before
    paste(said.partition("upgrade it with: ")[2], tmp_path / "elsewhere")
    assert sync(store) == 0


def make_older(file: Path) -> None:
    """A database as an MLflow of some versions ago made it."""
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = uri_of(file)
    engine = utils.create_sqlalchemy_engine(uri)
    Base.metadata.create_all(engine)
    config = utils._get_alembic_config(uri)
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revisions[3].revision)
    engine.dispose()


def test_a_newer_schema_is_said_to_be_newer(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as db:
        db.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        db.commit()
    for run in (sync, lambda store: track.main(["ui", "--store", str(store)])):
        assert run(store) == 2
        said = one_line(capsys)
        assert "made by a newer MLflow" in said and "move the file away" in said
        assert "--tracking-uri" not in said
    with pytest.raises(BadInput, match=r"--tracking-uri .* made by a newer MLflow"):
        read_runs("embedded", uri_of(store / "mlflow.db"))


@pytest.mark.parametrize("lock", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_database_that_is_locked_for_a_while_is_waited_for(
    lock: str, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY", 0.1)
    monkeypatch.setattr(tracking, "LOOK_EVERY", 0.1)
    other = sqlite3.connect(store / "mlflow.db", check_same_thread=False)
    other.execute(f"BEGIN {lock}")
    said: list[str] = []

    def let_go(line: str) -> None:
        said.append(line)
        other.rollback()

    tracker_of(store).open(to_write=True, say=let_go)
    other.close()
    assert len(said) == 1 and "is locked by another program; waiting" in said[0]


def test_a_database_that_stays_locked_is_named(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY", 0.1)
    monkeypatch.setattr(tracking, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(tracking, "LOCKED_FOR", 0.3)
    with closing(sqlite3.connect(store / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BadInput, match="another program has locked") as refused:
            tracker_of(store).open(to_write=True, say=lambda line: None)
    assert "--tracking-uri" not in str(refused.value) and "mlflow.db" in str(refused.value)


def damage(file: Path, kind: str) -> None:
    content = file.read_bytes()
    if kind == "another":
        os.remove(file)
        with closing(sqlite3.connect(file)) as db:
            db.execute("CREATE TABLE songs (name TEXT)")
        return
    file.write_bytes(
        {
            "text": b"see the other folder\n" * 50,
            "zeros": bytes(len(content)),
            "a few bytes": content[:50],
            "half": content[: len(content) // 2],
            "a hole": content[:8192] + bytes(65536) + content[8192 + 65536 :],
        }[kind]
    )


DAMAGES = ["text", "zeros", "a few bytes", "half", "a hole", "another"]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_database_is_one_line_for_who_reads_it(kind: str, store: Path) -> None:
    damage(store / "mlflow.db", kind)
    before = (store / "mlflow.db").read_bytes()
    with pytest.raises(BadInput, match=r"is damaged|is not a database of MLflow"):
        read_runs("embedded", uri_of(store / "mlflow.db"))
    assert (store / "mlflow.db").read_bytes() == before
    assert track.main(["ui", "--store", str(store)]) == 2


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind == "half" else pytest.mark.slow) for kind in DAMAGES],
)
def test_a_damaged_database_is_set_aside_and_all_is_logged_anew(
    kind: str,
    logged: tuple[list[Cell], Path],
    store: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (store / "mlflow.db.damaged-1").write_text("of another time")
    damage(store / "mlflow.db", kind)
    content = (store / "mlflow.db").read_bytes()
    assert sync(store) == 0
    assert "it is kept as" in one_line(capsys)
    assert (store / "mlflow.db.damaged-1").read_text() == "of another time"
    assert (store / "mlflow.db.damaged-2").read_bytes() == content
    check_all_is_there_once(uri_of(store / "mlflow.db"), "embedded", logged[0], Store(str(store)))


@pytest.mark.parametrize("table", ["metrics", "latest_metrics", "inputs"])
def test_a_database_that_lacks_a_table_is_set_aside_and_all_is_logged_anew(
    table: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as db:
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(f"DROP TABLE {table}")
        db.commit()
    tracker = tracker_of(store)
    with pytest.raises(BadInput, match=rf"is damaged \(it lacks the table {table}\)"):
        read_runs("embedded", uri_of(store / "mlflow.db"))
    tracker.open(to_write=True)
    said = one_line(capsys)
    assert f"lacks the table {table}" in said and "mlflow.db.damaged-1" in said
    assert tracker._complete_cells() == set()


def test_a_table_that_is_gone_is_not_waited_for() -> None:
    from mlflow.exceptions import MlflowException

    error = MlflowException("(sqlite3.OperationalError) no such table: inputs")
    assert error.get_http_status_code() == 500 and not may_pass(error)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:",
        "sqlite:///file::memory:?uri=true", "sqlite:///file:a?mode=memory&uri=true",
    ],
)  # fmt: skip
def test_a_database_in_memory_is_refused(
    uri: str, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sync(store, "--tracking-uri", uri) == 2
    said = one_line(capsys)
    assert f"--tracking-uri {uri}: names no file" in said and "in memory keeps nothing" in said
    monkeypatch.setenv(VARIABLE, uri)
    assert sync(store) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{VARIABLE} {uri}: names no file" in said and f"unset {VARIABLE}" in said


@pytest.mark.parametrize("kind", ["dangling", "loop"])
def test_a_link_that_leads_to_no_database_is_said_to_be_one(
    kind: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = store / "mlflow.db"
    os.remove(file)
    file.symlink_to(file if kind == "loop" else "no/mlflow.db")
    expected = {
        "loop": "Too many levels of symbolic links",
        "dangling": f"it is a link to {store}/no/mlflow.db, whose folder does not exist",
    }[kind]
    assert sync(store) == 2
    said = one_line(capsys)
    assert expected in said and "may not write" not in said
    with pytest.raises(BadInput, match=f"cannot be used: {re.escape(expected)}"):
        read_runs("embedded", uri_of(file))


def test_a_folder_that_does_not_exist_is_the_cause_and_no_permission(tmp_path: Path) -> None:
    file = tmp_path / "no" / "x.db"
    there = Where(uri_of(file), file=file)
    said = cause(sqlite3.OperationalError("unable to open database file"), there)
    assert f"its folder {tmp_path}/no does not exist" in said and "may not write" not in said


def test_a_file_uri_makes_no_folder_of_its_name(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    shutil.copy(store / "mlflow.db", tmp_path / "theirs.db")
    uri = f"sqlite:///file:{tmp_path}/theirs.db?uri=true"
    assert sync(store, "--tracking-uri", uri) == 0
    assert read_runs("embedded", uri).cells
    assert not list(elsewhere.iterdir())


def test_a_folder_in_the_databases_place_is_left_alone(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.remove(store / "mlflow.db")
    (store / "mlflow.db").mkdir()
    assert sync(store) == 2
    assert "mlflow.db is a folder; move it away" in one_line(capsys)


def test_a_place_outside_of_the_store_that_may_not_be_written_is_not_waited_for(
    store: Path,
) -> None:
    tracker = tracker_of(store)
    assert not tracker.may_pass(PermissionError(13, "Permission denied", "/srv/runs"))
    assert tracker.may_pass(PermissionError(13, "Permission denied", f"{store}/mlflow-artifacts"))
    assert tracker.may_pass(OSError(28, "No space left on device", "/srv/runs"))


def test_a_deleted_current_folder_is_said(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    before = os.getcwd()
    os.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    try:
        results = sync(store), track.main(["sync", *SMALL]), track.main(["ui"])
    finally:
        os.chdir(before)
    assert results == (2, 2, 2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all("the current folder was deleted" in line for line in lines)


# What names the server


def test_the_variable_is_used_and_said_and_the_option_wins(
    logged: tuple[list[Cell], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cells, store = write_finished(tmp_path / "store")
    uri = f"sqlite:///{tmp_path}/theirs.db"
    shutil.copy(logged[1] / "mlflow.db", tmp_path / "theirs.db")
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as db:
        db.execute("UPDATE experiments SET name = 'another' WHERE name = 'embedded'")
        db.commit()
    monkeypatch.setenv(VARIABLE, uri)
    assert sync(tmp_path / "store") == 0
    assert f"logging to MLflow at {uri}, as MLFLOW_TRACKING_URI says" in one_line(capsys)
    check_all_is_there_once(uri, "embedded", cells, store)
    assert not (tmp_path / "store" / "mlflow.db").exists()
    assert where(store, "http://other:5000").uri == "http://other:5000"
    for empty in ("", " "):
        monkeypatch.setenv(VARIABLE, empty)
        assert where(store, None).own and where(store, "").own


def test_the_command_that_uploads_later_works_from_any_folder(
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = Parser()
    add_plan_arguments(parser)
    track.add_tracking_argument(parser)
    monkeypatch.chdir(store.parent)
    shutil.copy(store / "mlflow.db", "it's.db")
    given = [*SMALL, "--store", store.name, "--tracking-uri", "sqlite:///it's.db"]
    said = options.not_uploaded(["a key"], parser.parse_args(given))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    words = shlex.split(said.partition("upload later with: ")[2])
    assert words[:3] == ["python", "-m", "orchestrator.track"]
    os.remove(store / "mlflow.db")
    assert track.main(words[3:]) == 0
    assert "nothing to do: MLflow at sqlite:///" in capsys.readouterr().out
    assert not (store / "mlflow.db").exists()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "/tmp/mlruns", "./mlruns", "databricks"])
def test_a_variable_that_cannot_be_used_is_named_and_no_option(
    uri: str,
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(VARIABLE, uri)
    assert sync(store) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{VARIABLE} {uri}" in said and "sqlite:///" in said and "--tracking-uri" not in said
    assert "unset MLFLOW_TRACKING_URI" in said


def test_the_ui_of_a_server_is_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert track.main(["ui", "--tracking-uri", "http://mlflow.example:5000"]) == 0
    assert "http://mlflow.example:5000" in capsys.readouterr().out


# Proxies


@contextmanager
def proxy(status: int) -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback that answers for every server; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", asked
    finally:
        http.shutdown()
        http.server_close()


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_a_server_that_only_a_proxy_reaches_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(200) as (address, asked):
        monkeypatch.setenv("http_proxy", address)
        check_tracking_server("http://mlflow.invalid:5000")
        assert asked == ["http://mlflow.invalid:5000/health"]


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_that_does_not_answer_is_named_with_its_variable(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = f"http://me:hush@127.0.0.1:{free_port()}"
    monkeypatch.setenv(variable, dead)
    with pytest.raises(
        BadInput, match=rf"through the proxy .* \({variable}\).*no_proxy"
    ) as refused:
        check_tracking_server("http://127.0.0.1:5000")
    assert "hush" not in str(refused.value)
    with proxy(200) as (server, _):
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        check_tracking_server(server)


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_that_reaches_no_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy(502) as (address, _):
        monkeypatch.setenv("http_proxy", address)
        with pytest.raises(BadInput, match=r"\(http_proxy\) \(the answer is HTTP 502\)"):
            check_tracking_server("http://mlflow.invalid:5000")
