"""Nothing that we did not write is deleted or overwritten, wherever it is."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import run, small
from stores import SMALL, write_finished
from test_assets_command import fetch, hub, write_space  # noqa: F401

from orchestrator.report import __main__ as report
from orchestrator.report.folder import LIST, is_current, write
from search_spaces.errors import BadInput
from trainables.process import is_gone, this_process
from trainables.scratch import PREFIX, remove_leftovers, scratch
from trainables.store import Store

HEX = "0123456789abcdef" * 2
ONE_MORE = small(examples=3)


def strangers(folder: Path, key: str, log: str, fit: str) -> dict[Path, bytes]:
    """Files that a person may have in a folder that is used as a store, by name."""
    names = f"""
    videos/film.mp4.part  videos/fits/film/fit.json.{HEX}.part  film.part  results.json.part
    write-test-1.part  write-test-{HEX}.part  {HEX}.part  notes.part  .part
    thesis/cells/a/result.json
    fits/README.md  fits/model/weights.safetensors  fits/model/notes.json  fits/fit.json
    fits/{fit}/weights-mine.safetensors  fits/{fit}/snapshot.png  fits/model/snapshot.bin
    fits/{fit}/notes.txt  fits/{fit}/weights.safetensors.part  fits/{fit}/old.{HEX}.part
    fits/{fit}/fit.json.bak  fits/{fit}/nested/fit.json  fits/{fit}/on.json
    attacks/todo.txt  attacks/{log}/notes.json  attacks/{log}/notes.txt  attacks/{log}/1.json.bak
    attacks/{log}/01.txt  attacks/{log}/examples.jsonl.part  attacks/{log}/examples.csv
    cells/result.json  cells/{key}/analysis.ipynb  cells/{key}/result.json.orig
    cells/{key}/error.txt.part  cells/{key}/figures/result.json  cells/old/cells/x/result.json
    drivers/nvidia.json  drivers/README  drivers/{HEX}.txt  drivers/{HEX}.json.part
    environments/conda/history.txt  times/2026/times.txt  times/x.json.part
    notes/todo.txt  notes/{HEX}.md  notes/plan.json  report/notes.md  report/embedded/mine.md
    report/embedded/tables/mine.csv  report/embedded/plots/mine.svg.part  report/other/index.html
    mlflow-artifacts/mine.bin  mlruns/0/meta.yaml  mlflow.db.bak  datasets/sst2/train.parquet.part
    models/bert/config.json.part  assets.json.part  weights.safetensors.{HEX}.part
    """
    found = {}
    for number, name in enumerate(names.split()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"a person's file {number}".encode())
        found[path] = path.read_bytes()
    return found


def unchanged(files: dict[Path, bytes]) -> bool:
    now = {path: path.read_bytes() if path.is_file() else b"gone" for path in files}
    assert now == files, [path for path in files if now[path] != files[path]]
    return True


def test_every_command_leaves_strangers_files_in_a_store_and_in_the_temporary_folder(
    tmp_path: Path, short: Path
) -> None:
    """The store is the current folder, and has a person's files with every likely name."""
    store, temporary = tmp_path / "store", short
    cells, _ = write_finished(store)
    theirs = strangers(store, cells[0].key, cells[0].log, cells[0].fit.key)
    ours_by_name = (
        f"{PREFIX}-tune-999999-abcdefgh", f"{PREFIX}-nltk-1-x", f"{PREFIX}-notes",
        f"{PREFIX}-tune-abc/.x", "tune", "nltk", "ray-notes",
    )  # fmt: skip
    for name in ours_by_name:
        path = temporary / name / "thesis.tex"
        path.parent.mkdir(parents=True)
        path.write_text("years of work")
        theirs[path] = path.read_bytes()
    at_home = {"cwd": store, "TMPDIR": str(temporary)}
    for name in ("attacks/*/examples.jsonl", "fits/*/weights-*.safetensors"):
        for path in set(store.glob(name)) - set(theirs):
            path.unlink()  # There is something to run, too.
    asked = small(attack="misspellings")
    for module in ("sweep", "sweep", "report", "track", "transfer"):
        words = ["sync"] if module == "track" else []
        done = run(module, *words, *asked, "--store", ".", **at_home)
        assert done.returncode == 0, f"{module}: {done.stdout}{done.stderr}"
        assert unchanged(theirs), module
    status = run("sweep", *asked, "--store", ".", "--status", **at_home)
    assert "1 of 1 cells done" in status.stdout and not status.stderr


def test_a_half_written_file_of_ours_is_removed_and_no_other(tmp_path: Path) -> None:
    key = "sst2-bert-mvp-0123456789"
    theirs = strangers(tmp_path, key, key, key)
    ours = [
        f"fits/{key}/fit.json", f"fits/{key}/weights.safetensors", f"fits/{key}/on-mrpc-01234.json",
        f"fits/{key}/weights-{HEX[:16]}.safetensors", f"fits/{key}/snapshot.bin",
        f"attacks/{key}/17.json", f"attacks/{key}/examples.jsonl", f"cells/{key}/result.json",
        f"cells/{key}/error.txt", f"drivers/{HEX}.json", "times/embedded.json", f"write-test-{HEX}",
    ]  # fmt: skip
    half_written = [tmp_path / f"{name}.{HEX}.part" for name in ours]
    for path in half_written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    Store(str(tmp_path)).remove_leftovers()
    assert unchanged(theirs) and not any(path.exists() for path in half_written)


# Temporary folders


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder whose path is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


HOLD = """
import sys, time
from trainables.scratch import scratch
with scratch("nltk") as folder:
    print(folder, flush=True)
    sys.stdin.readline()
"""


def holder(temporary: Path, *before: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*before, sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip


def test_only_the_folders_of_processes_that_are_gone_are_removed(temporary: Path) -> None:
    living, killed = holder(temporary), holder(temporary)
    assert living.stdout is not None and killed.stdout is not None
    kept, left = Path(living.stdout.readline().strip()), Path(killed.stdout.readline().strip())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    named = re.fullmatch(r"(.*-)(\w{16})-(\d+)-(\d+)-\w+", left.name)
    assert named is not None
    begin, machine, pid, started = named.groups()
    others = {
        "another machine": f"{begin}{'0' * 16}-{pid}-{started}-abcdefgh",
        "not a number": f"{begin}{machine}-x-{started}-abcdefgh",
        "no start": f"{begin}{machine}-{pid}-abcdefgh",
        "a copy": f"{PREFIX}-kept-for-a-bug-report",
        "another's start": f"{begin}{machine}-{os.getpid()}-1-abcdefgh",
    }
    for name in others.values():
        shutil.copytree(left, temporary / name)
    (temporary / f"{PREFIX}-link").symlink_to(left)
    for path in left.rglob("*"):
        path.unlink()  # as after a kill while it removed its folder
    remove_leftovers()
    assert kept.is_dir() and not left.exists()
    gone = others.pop("another's start")
    assert not (temporary / gone).exists(), "its number was given out again"
    assert all((temporary / name).is_dir() for name in others.values())
    assert (temporary / f"{PREFIX}-link").is_symlink()
    living.communicate("\n")
    assert not kept.exists()


def test_containers_that_share_a_temporary_folder_leave_each_others_alone(temporary: Path) -> None:
    """In another PID namespace the same number is another process, or none."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"]).returncode:
        pytest.skip("needs leave to make a PID namespace")
    there = holder(temporary, *apart)
    assert there.stdout is not None
    theirs = Path(there.stdout.readline().strip())
    with scratch("nltk") as mine:
        remove_leftovers()
        code = "from trainables.scratch import remove_leftovers; remove_leftovers()"
        env = {**os.environ, "TMPDIR": str(temporary)}
        subprocess.run([*apart, sys.executable, "-c", code], env=env, check=True)
        assert theirs.is_dir() and Path(mine).is_dir()
    there.communicate("\n")
    assert not theirs.exists()


def test_a_number_that_was_given_out_again_is_not_the_same_process() -> None:
    mine = this_process()
    assert not is_gone(mine) and is_gone({**mine, "started": mine["started"] - 1})
    sleeper = subprocess.Popen(["sleep", "60"])
    theirs = {**mine, "pid": sleeper.pid, "started": None}
    assert not is_gone(theirs)
    sleeper.kill()
    sleeper.wait()
    assert is_gone(theirs) and not is_gone({**theirs, "machine": "elsewhere"})


# Reports


PAGE = b"<title>Robustness sweep: x</title>"
MADE = {"index.html": PAGE, "tables/a.csv": b"1", "plots/b.svg": b"2"}


def test_a_report_replaces_its_own_files_and_no_others(tmp_path: Path) -> None:
    write(MADE, tmp_path, ["cell"])
    assert is_current(tmp_path, ["cell"]) and not is_current(tmp_path, ["cell", "other"])
    (tmp_path / "mine.md").write_text("my notes")
    (tmp_path / "tables" / "b.csv").write_text("my table")
    newer = {"index.html": b"new", "tables/a.csv": b"1"}
    write(newer, tmp_path, ["cell"])
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert names == {"index.html", "tables/a.csv", "mine.md", "tables/b.csv", LIST}
    (tmp_path / "tables" / "a.csv").write_text("what a person made of it")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match=r"a\.csv already exists and is not as a report wrote it"):
        write(MADE, tmp_path, ["cell"])
    with pytest.raises(BadInput, match=r"b\.csv"):
        write({"tables/b.csv": b"our table"}, tmp_path, ["cell"])
    assert unchanged(before)


def test_a_report_that_was_cut_off_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(MADE, tmp_path, ["cell"])
    newer = {name: content + b" newer" for name, content in MADE.items()}
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if Path(target).name == "a.csv":
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(newer, tmp_path, ["cell"])
    monkeypatch.undo()
    assert not is_current(tmp_path, ["cell"])
    write({**newer, "plots/c.svg": b"3"}, tmp_path, ["cell"])
    assert (tmp_path / "tables" / "a.csv").read_bytes() == b"1 newer"
    assert not list(tmp_path.rglob("*.part"))


def test_a_list_of_files_leads_nowhere_else(tmp_path: Path) -> None:
    """Whoever wrote it: a store may come from anywhere."""
    outside, folder = tmp_path / "outside.md", tmp_path / "report"
    outside.write_text("mine")
    digest = hashlib.sha256(b"mine").hexdigest()
    names = ["../outside.md", str(outside), "tables/../../outside.md", "**", "", ".", "tables/"]
    folder.mkdir()
    (folder / "notes.md").write_text("mine")
    listed = {name: [digest, None, 1] for name in [*names, "notes.md", "tables/gone.csv"]}
    (folder / LIST).write_text(json.dumps({"of": "", "files": listed}))
    write(MADE, folder, [])
    assert outside.read_text() == (folder / "notes.md").read_text() == "mine"


def test_a_folder_with_a_page_and_a_list_of_someone_elses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my page")
    (tmp_path / LIST).write_text("my list")
    with pytest.raises(BadInput, match=r"index\.html already exists"):
        write(MADE, tmp_path, [])
    assert (tmp_path / "index.html").read_text() == "my page"


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", '{"files": ["mine"]}', "notes", ""])
def test_a_list_of_files_that_is_none_is_kept_aside(content: str, tmp_path: Path) -> None:
    write(MADE, tmp_path, [])
    (tmp_path / LIST).write_text(content)
    (tmp_path / "plots" / "mine.png").write_text("mine")
    write({**MADE, "index.html": b"new"}, tmp_path, ["cell"])
    kept = tmp_path / "before-1"
    assert (kept / LIST).read_text() == content
    assert (kept / "index.html").read_bytes() == MADE["index.html"]
    assert (tmp_path / "plots" / "mine.png").read_text() == "mine"
    assert (tmp_path / "index.html").read_bytes() == b"new" and is_current(tmp_path, ["cell"])


def test_a_report_written_before_its_files_were_listed_is_replaced(tmp_path: Path) -> None:
    write(MADE, tmp_path, [])
    (tmp_path / LIST).unlink()
    write({"index.html": b"new"}, tmp_path, [])
    assert (tmp_path / "index.html").read_bytes() == b"new"


def test_a_folder_of_someone_elses_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = tmp_path / "store", tmp_path / "paper"
    write_finished(store)
    out.mkdir()
    (out / "report.md").write_text("a report of my own")
    assert report.main([*SMALL, "--store", str(store), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "report.md already exists" in said and "--out" in said
    assert [path.name for path in out.iterdir()] == ["report.md"]


# Assets


def test_fetching_leaves_what_it_did_not_fetch(
    hub: dict[str, str],  # noqa: F811
    tmp_path: Path,
) -> None:
    space, folder = write_space(tmp_path, "embedded", "misspellings"), tmp_path / "assets"
    model = folder / "models" / "bert-base-uncased"
    names = ["models/bert-base-uncased/config.json.part", "models/bert-base-uncased/notes.md",
             "models/mine/config.json", "datasets/sst2/notes.part", "notes.txt", "assets.json.part",
             f"{PREFIX}-fetch-mine/thesis.tex"]  # fmt: skip
    theirs = {}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")
        theirs[folder / name] = (folder / name).read_bytes()
    (model / "config.json").write_text("a configuration of mine")
    done = fetch(space, folder, hub)
    assert done.returncode == 2 and "config.json already exists" in done.stderr
    assert (model / "config.json").read_text() == "a configuration of mine"
    (model / "config.json").unlink()
    assert fetch(space, folder, hub).returncode == 0
    assert fetch(space, folder, hub).returncode == 0 and unchanged(theirs)
    # What was fetched and is damaged is fetched again.
    (model / "config.json").write_text("damaged")
    assert fetch(space, folder, hub).returncode == 0
    assert json.loads((model / "config.json").read_text())["model_type"] == "bert"


@pytest.mark.slow
def test_chaos_leaves_what_lies_beside_it(tmp_path: Path) -> None:
    theirs = {}
    for name in ("chaos-mine/store/ballast", f"{PREFIX}-tune-1-x/x", "store/fits/a.part"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
        theirs[tmp_path / name] = b"mine"
    script = Path(__file__).parent / "chaos.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "2", "--kinds", "driver,worker"],
        env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert unchanged(theirs)
    deadline = time.monotonic() + 30
    while (left := list(tmp_path.glob("chaos-[!m]*"))) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left
