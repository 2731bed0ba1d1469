"""MLflow's database of a store moves with the store, and what people add to it stays.

The store is written by hand and logged once; each test works on a copy of it. MLflow is real.
"""

import json
import os
import shlex
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import wait_for
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import SMALL, write_finished
from tracking_server import check_all_is_there_once, free_port

from orchestrator import track
from orchestrator.tracking import database, notes, options
from orchestrator.tracking.read import read_runs
from orchestrator.tracking.runs import FORMAT, Summary
from orchestrator.tracking.tracker import Tracker
from orchestrator.tracking.upload import Uploader
from orchestrator.tracking.where import file_of, uri_of, where
from search_spaces.cell import Cell
from trainables.assets import Assets
from trainables.store import Store

ASSETS = Assets("embedded")
# Each is the name of a folder; a path of any characters is a path.
NAMES = ["a b+100%", "a%20b", "?mode=memory", "wh?at=[x]&{y}#ü;'\"$`\\~!@:*"]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cell], Path]:
    """Two finished cells in a store whose database has them: what the tests copy."""
    folder = tmp_path_factory.mktemp("logged") / "store"
    cells, store = write_finished(folder)
    assert sync(folder) == 0
    check_all_is_there_once(uri_of(folder / "mlflow.db"), "embedded", cells, store)
    return cells, folder


@pytest.fixture
def copied(logged: tuple[list[Cell], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(logged[1], tmp_path / "copy"))


def sync(store: Path, *more: str) -> int:
    return track.main(["sync", *SMALL, "--store", str(store), *more])


def client_of(store: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri_of(store / "mlflow.db"))


def runs_of(store: Path, filter_string: str = "") -> list[Any]:
    return list(client_of(store).search_runs(["1"], filter_string))


def parent_of(store: Path) -> Any:
    (parent,) = runs_of(store, "tags.kind = 'sweep'")
    return parent


def log_again(store: Path) -> None:
    """Make the next sync log everything again, as after a change of format."""
    with closing(sqlite3.connect(store / "mlflow.db")) as db:
        db.execute("UPDATE tags SET value = '0' WHERE key = 'log_format'")
        db.commit()


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder below: its times and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            stat.S_IMODE(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in [folder, *folder.rglob("*")]
    }


def locations(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as db:
        rows = db.execute("SELECT artifact_uri FROM runs").fetchall()
        rows += db.execute("SELECT artifact_location FROM experiments").fetchall()
    return [row[0] for row in rows]


def test_a_copy_is_a_store_of_its_own(logged: tuple[list[Cell], Path], copied: Path) -> None:
    cells, original = logged
    before = snapshot(original)
    log_again(copied)
    assert sync(copied) == 0
    check_all_is_there_once(uri_of(copied / "mlflow.db"), "embedded", cells, Store(str(copied)))
    assert snapshot(original) == before
    assert all(str(copied) in uri for uri in locations(copied / "mlflow.db") if "artifacts" in uri)


def test_a_moved_store_brings_no_old_folder_back(
    logged: tuple[list[Cell], Path], copied: Path, tmp_path: Path
) -> None:
    assert sync(copied) == 0
    moved = copied.rename(tmp_path / "moved")
    log_again(moved)
    assert sync(moved) == 0
    check_all_is_there_once(uri_of(moved / "mlflow.db"), "embedded", logged[0], Store(str(moved)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved"]


def test_a_store_from_where_the_old_path_cannot_be_made_is_logged_at_once(
    logged: tuple[list[Cell], Path], copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As from another machine; and as an older version wrote it, a path and no URI."""
    with closing(sqlite3.connect(copied / "mlflow.db")) as db:
        old = (f"file://{logged[1]}/", "/dev/null/none/")
        db.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", old)
        db.execute("UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
                   old)  # fmt: skip
        db.commit()
    log_again(copied)
    assert sync(copied) == 0
    assert capsys.readouterr().err == ""
    check_all_is_there_once(uri_of(copied / "mlflow.db"), "embedded", logged[0], Store(str(copied)))


def test_a_copy_without_its_artifacts_writes_nothing_to_the_original(
    logged: tuple[list[Cell], Path], copied: Path
) -> None:
    before = snapshot(logged[1])
    shutil.rmtree(copied / "mlflow-artifacts")
    log_again(copied)
    assert sync(copied) == 0
    assert snapshot(logged[1]) == before
    check_all_is_there_once(uri_of(copied / "mlflow.db"), "embedded", logged[0], Store(str(copied)))


def test_a_move_that_is_interrupted_is_made_again(copied: Path) -> None:
    """Killed between two rows: the transaction is rolled back, and the next one is complete."""
    script = """
import os, signal, sys
from pathlib import Path
from orchestrator.tracking import database
whole = database._relocate_column
def killed(*arguments):
    whole(*arguments)
    if arguments[1] == "runs":
        os.kill(os.getpid(), signal.SIGKILL)
database._relocate_column = killed
store = Path(sys.argv[1])
database.relocate(store / "mlflow.db", store / "mlflow-artifacts", "embedded")
"""
    before = locations(copied / "mlflow.db")
    done = subprocess.run([sys.executable, "-c", script, str(copied)])
    assert done.returncode == -signal.SIGKILL
    assert locations(copied / "mlflow.db") == before
    assert database.relocate(copied / "mlflow.db", copied / "mlflow-artifacts", "embedded")
    assert all(str(copied) in uri for uri in locations(copied / "mlflow.db") if "artifacts" in uri)


def test_peoples_experiments_and_runs_stay_where_they_are_but_for_files_in_our_folder(
    logged: tuple[list[Cell], Path], copied: Path, tmp_path: Path
) -> None:
    client = client_of(copied)
    elsewhere = tmp_path / "theirs" / "mlflow-artifacts"
    theirs = client.create_experiment("theirs", artifact_location=elsewhere.as_uri())
    client.log_text(client.create_run(theirs).info.run_id, "mine", "mine.txt")
    within = client.create_run("1", tags={"kind": "cell", "mlflow.source.name": "notebook"})
    client.log_text(within.info.run_id, "mine", "mine.txt")
    moved = copied.rename(tmp_path / "moved")
    # The run within our experiment was made before anything was set right: its file lies in the
    # first store's folder, which a copy never changes. Here it is brought along.
    left = logged[1] / "mlflow-artifacts" / within.info.run_id
    shutil.move(left, moved / "mlflow-artifacts" / within.info.run_id)
    assert sync(moved) == 0
    client = client_of(moved)
    assert client.get_experiment(theirs).artifact_location == elsewhere.as_uri()
    (run,) = client.search_runs([theirs])
    assert Path(client.download_artifacts(run.info.run_id, "mine.txt")).read_text() == "mine"
    file = client.download_artifacts(within.info.run_id, "mine.txt")
    assert Path(file).read_text() == "mine"
    assert str(moved) in client.get_run(within.info.run_id).info.artifact_uri
    assert client.get_run(within.info.run_id).data.tags["kind"] == "cell"


def test_one_store_seen_through_a_link_is_not_moved(copied: Path, tmp_path: Path) -> None:
    assert sync(copied) == 0
    (tmp_path / "link").symlink_to(copied)
    before = snapshot(copied)
    assert sync(tmp_path / "link") == 0
    assert snapshot(copied) == before


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if "?" in name else pytest.mark.slow) for name in NAMES],
)
def test_a_database_lies_in_its_store_whatever_the_path(
    name: str, logged: tuple[list[Cell], Path], tmp_path: Path
) -> None:
    folder = tmp_path / name
    shutil.copytree(logged[1], folder)
    os.remove(folder / "mlflow.db")
    shutil.copy(logged[1] / "mlflow.db", folder)
    log_again(folder)
    there = where(Store(str(folder)), None)
    assert file_of(there.uri) == there.file == folder / "mlflow.db"
    assert sync(folder) == 0
    cells = read_runs("embedded", there.uri).cells
    assert {len(cell.examples()) for cell in cells} == {2}
    assert all(uri.startswith("file:") for uri in locations(folder / "mlflow.db") if name in uri)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    words = shlex.split(options.to_see(there, Store(str(folder))))
    assert words[-1] == str(folder)


def test_the_report_from_a_copied_database_reads_the_copys_files_and_changes_nothing(
    logged: tuple[list[Cell], Path], copied: Path
) -> None:
    for file in (copied / "mlflow-artifacts").rglob("examples.json"):
        file.write_text(file.read_text().replace("naive", "na1ve"))
    before = snapshot(copied)
    cells = read_runs("embedded", f"sqlite:///{copied}/mlflow.db").cells
    assert {each["perturbed_text"] for cell in cells for each in cell.examples()} == {"na1ve"}
    assert snapshot(copied) == before


def test_a_database_that_cannot_be_written_is_read_from_a_copy(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "is_writable", lambda file: False)
    before = snapshot(copied)
    cells = read_runs("embedded", uri_of(copied / "mlflow.db")).cells
    assert [len(cell.examples()) for cell in cells] == [2, 2]
    assert snapshot(copied) == before


READ = """
import sys
from orchestrator import track
from orchestrator.tracking import options
from orchestrator.tracking.read import read_runs
from orchestrator.tracking.where import uri_of
from pathlib import Path
uri = uri_of(Path(sys.argv[1], "mlflow.db"))
print(sum(len(cell.examples()) for cell in read_runs("embedded", uri).cells), flush=True)
sys.exit(track.main(["ui", "--store", sys.argv[1], "--port", sys.argv[2]]))
"""
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a store that is read-only")
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_store_that_one_may_only_read_is_read_and_served(
    journal: str, logged: tuple[list[Cell], Path], tmp_path: Path
) -> None:
    store = Path(shutil.copytree(logged[1], tmp_path / "wh?at"))
    with closing(sqlite3.connect(store / "mlflow.db")) as db:
        db.execute(f"PRAGMA journal_mode={journal}")
    before = snapshot(store)
    port = free_port()
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(store),
         sys.executable, "-c", READ, str(store), str(port)],
        stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    ) as ui:  # fmt: skip
        try:
            assert ui.stdout is not None and ui.stdout.readline() == "4\n"
            wait_for(lambda: answers(f"http://127.0.0.1:{port}/health"), ui)
            run = next(run for run in runs_of_server(port) if "cell_key" in run.data.tags)
            address = f"http://127.0.0.1:{port}/get-artifact?path=examples.json"
            with urllib.request.urlopen(f"{address}&run_uuid={run.info.run_id}") as answer:
                assert json.load(answer)["data"][0][2] == "naïve"
        finally:
            ui.send_signal(signal.SIGTERM)
            assert ui.wait(timeout=60) == 0
    assert snapshot(store) == before
    assert not answers(f"http://127.0.0.1:{port}/health")


def runs_of_server(port: int) -> list[Any]:
    from mlflow import MlflowClient

    return list(MlflowClient(tracking_uri=f"http://127.0.0.1:{port}").search_runs(["1"]))


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# What people add


def add_notes(store: Path) -> None:
    client, parent = client_of(store), parent_of(store)
    client.log_text(parent.info.run_id, "mine", "mine.txt")
    client.log_text(parent.info.run_id, "mine", "report/mine.txt")
    note = parent.data.tags["mlflow.note.content"]
    client.set_tag(parent.info.run_id, "mlflow.note.content", f"{note}\n\nBeware of seed 3.")
    note = client.get_experiment("1").tags["mlflow.note.content"]
    client.set_experiment_tag("1", "mlflow.note.content", f"My thesis.\n\n{note}")
    client.set_experiment_tag("1", "mlflow.experimentKind", "evaluation")
    for run in runs_of(store, "tags.kind = 'cell'"):
        client.set_tag(run.info.run_id, "mlflow.note.content", "Odd.")
        client.set_tag(run.info.run_id, "star", "yes")
        client.update_run(run.info.run_id, name="the odd one")
        client.log_text(run.info.run_id, "mine", "mine.txt")


def test_what_people_add_to_runs_and_experiments_stays(
    logged: tuple[list[Cell], Path], copied: Path
) -> None:
    assert sync(copied) == 0
    add_notes(copied)
    for _ in range(2):
        log_again(copied)
        assert sync(copied) == 0
        client, parent = client_of(copied), parent_of(copied)
        files = {file.path for file in client.list_artifacts(parent.info.run_id)}
        assert files >= {"mine.txt", "report", "plan.json"}
        within = {file.path for file in client.list_artifacts(parent.info.run_id, "report")}
        assert {"report/mine.txt", "report/index.html"} <= within
        note = parent.data.tags["mlflow.note.content"]
        assert note.startswith("Beware of seed 3.") and note.count("Beware") == 1
        assert note.count("| mlp_ft |") == 1
        tags = client.get_experiment("1").tags
        assert tags["mlflow.note.content"].startswith("My thesis.")
        assert tags["mlflow.note.content"].count("viewStateShareKey=cells") == 1
        assert tags["mlflow.experimentKind"] == "evaluation"
        for run in runs_of(copied, "tags.kind = 'cell'"):
            assert run.data.tags["log_format"] == FORMAT
            assert run.data.tags["mlflow.note.content"] == "Odd." and run.data.tags["star"] == "yes"
            assert run.info.run_name == "the odd one"
            files = {file.path for file in client.list_artifacts(run.info.run_id)}
            assert files == {"cell.json", "examples.json", "mine.txt"}


def test_a_description_of_an_older_version_is_replaced_and_one_of_a_person_is_not(
    copied: Path,
) -> None:
    """Older versions did not record what they wrote."""
    with closing(sqlite3.connect(copied / "mlflow.db")) as db:
        for table in ("tags", "experiment_tags"):
            db.execute(f"DELETE FROM {table} WHERE key IN ('log_note', 'log_files', 'log_name')")
        db.execute("UPDATE experiment_tags SET value = 'Mine.' WHERE key = 'mlflow.note.content'")
        # Nor on which devices the figures were made, the last line now.
        made_on = "substr(value, 1, instr(value, char(10) || 'Fits: ') - 1)"
        db.execute(f"UPDATE tags SET value = {made_on} WHERE key = 'mlflow.note.content'")
        db.commit()
    log_again(copied)
    assert sync(copied) == 0
    assert parent_of(copied).data.tags["mlflow.note.content"].count("| mlp_ft |") == 1
    note = client_of(copied).get_experiment("1").tags["mlflow.note.content"]
    assert note.startswith("Mine.\n") and "viewStateShareKey=cells" in note


@settings(max_examples=60, deadline=None)
@given(
    above=st.text(max_size=60),
    below=st.text(max_size=60),
    ours=st.lists(st.text(max_size=80), min_size=2, max_size=4),
)
def test_no_word_of_a_person_is_lost_from_a_description(
    above: str, below: str, ours: list[str]
) -> None:
    note, remembered = notes.merged("", f"Running. {ours[0]}", "")
    note = above + note + below
    for each in ours[1:]:
        note, remembered = notes.merged(note, f"Running. {each}", remembered)
        assert note.startswith(f"{above}{below}".strip().replace(notes.BELOW, "").strip())
        assert note.count("Running.") == 1 + above.count("Running.") + below.count("Running.")


def test_a_later_report_has_other_files_and_figures(copied: Path) -> None:
    """A file that it lacks is gone; of a figure the last one is shown, if it is smaller too."""
    log_again(copied)
    uri, store = uri_of(copied / "mlflow.db"), Store(str(copied))
    axes = {"dataset": ["sst2"], "head": ["mlp_ft"], "attack": ["textfooler"]}

    def upload(files: dict[str, bytes], worst_case: float) -> set[str]:
        log_again(copied)
        figures = {"worst_case/mvp": worst_case}
        tracker = Tracker(uri, "embedded", f"{copied}/mlflow-artifacts", ASSETS)
        tracker.open(to_write=True)
        with Uploader(tracker, store, lambda line: None) as uploader:
            assert uploader.finish(lambda: Summary("| t |", files, axes, None, figures)) == []
        assert parent_of(copied).data.metrics["worst_case/mvp"] == worst_case
        found = client_of(copied).list_artifacts(parent_of(copied).info.run_id, "report")
        return {file.path for file in found}

    assert sync(copied) == 0
    both = {"report/a.csv": b"a", "report/b.csv": b"b"}
    assert upload(both, 0.25) == both.keys()
    assert upload({"report/a.csv": b"a"}, 0.125) == {"report/a.csv"}


def test_of_two_runs_of_a_cell_the_one_with_a_persons_note_stays(copied: Path) -> None:
    assert sync(copied) == 0
    client = client_of(copied)
    run = runs_of(copied, "tags.kind = 'cell'")[0]
    second = client.create_run("1", tags=run.data.tags)
    client.set_tag(second.info.run_id, "mlflow.note.content", "Keep me.")
    log_again(copied)
    assert sync(copied) == 0
    left = {each.info.run_id for each in runs_of(copied)}
    assert len(left) == 3 and second.info.run_id in left and run.info.run_id not in left
    assert client.get_run(second.info.run_id).info.status == "FINISHED"


def test_cells_of_a_deleted_sweeps_run_come_under_the_new_one(copied: Path) -> None:
    client, parent = client_of(copied), parent_of(copied)
    client.delete_run(parent.info.run_id)
    cell = runs_of(copied, "tags.kind = 'cell'")[0]
    client.delete_run(cell.info.run_id)
    assert sync(copied) == 0
    new = parent_of(copied)
    cells = runs_of(copied, "tags.kind = 'cell'")
    assert len(cells) == 2 and cell.info.run_id not in {run.info.run_id for run in cells}
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {new.info.run_id}


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, pytest.param(SystemExit, marks=pytest.mark.slow)]
)
def test_a_sweep_that_is_interrupted_leaves_no_run_running(
    kind: type[BaseException], logged: tuple[list[Cell], Path], copied: Path
) -> None:
    log_again(copied)
    cells, store = logged[0], Store(str(copied))
    there = where(store, None)
    tracker = Tracker.at(there, "embedded", ASSETS)
    tracker.open(to_write=True)
    with pytest.raises(kind), Uploader(tracker, store, lambda line: None) as uploader:
        uploader.begin(Summary("Running.", {}, {"dataset": [], "head": [], "attack": []}))
        while uploader._pending:
            pass
        raise kind
    assert parent_of(copied).info.status == "KILLED"
    assert sync(copied) == 0
    check_all_is_there_once(there.uri, "embedded", cells, store)


def test_a_start_that_fails_leaves_a_finished_run_finished(copied: Path) -> None:
    tracker = Tracker.at(where(Store(str(copied)), None), "embedded", ASSETS)
    tracker.open(to_write=True)
    assert parent_of(copied).info.status == "RUNNING"
    tracker.end()
    assert parent_of(copied).info.status == "FINISHED"
