"""A sweep depends neither on its terminal nor on where it runs, and stops cleanly on request."""

import argparse
import errno
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
from commands import REPOSITORY, environment, small, wait_for
from stores import SMALL, write_finished
from test_schedule import all_that_is_handed_out, fit_first, sixteen_cells

from orchestrator.assets.__main__ import main as assets_command
from orchestrator.catalog import main as catalog_command
from orchestrator.report.__main__ import main as report
from orchestrator.run import limits
from orchestrator.run.budget import Budget, duration
from orchestrator.run.deaths import memory_as_cause
from orchestrator.run.ray_folder import SOCKET_PATH, WITHIN, RayFolder
from orchestrator.run.schedule import Queue, TrialTask
from orchestrator.sweep import notify
from orchestrator.sweep.__main__ import main
from orchestrator.sweep.notify import Ending, notified
from orchestrator.track import main as sync_command
from search_spaces.errors import BadInput
from trainables.scratch import remove_leftovers

ONE = small(attack="misspellings", examples=4)
ENVIRONMENT = environment()
sweep = partial(commands.command, "sweep")


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True, text=True, timeout=60, env=ENVIRONMENT,
    )  # fmt: skip


# Printing

OUTLIVES = """
import sys
from orchestrator.cli import output
output.open_descriptors()
output.outlive_reader()
for number in range(20000):
    print("line", number)
print("caf\\xe9 \\udcff", file=sys.stderr)
open({ended!r}, "w").write("ended")
"""


@pytest.mark.parametrize(
    "where",
    ["| head -1", "> /dev/full", ">&-", ">&- 2>&- <&-", "2> /dev/full | head -1", "2>&1 | true"],
)
def test_what_cannot_be_printed_changes_nothing(where: str, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    code = OUTLIVES.format(ended=str(ended))
    done = shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} {where}")
    assert (done.returncode, ended.read_text()) == (0, "ended")
    assert "Exception ignored" not in done.stderr and "Traceback" not in done.stderr


def test_a_file_opened_where_output_was_closed_does_not_get_what_is_printed(
    tmp_path: Path,
) -> None:
    file = tmp_path / "database"
    code = (
        "import orchestrator.cli.output as o; o.open_descriptors();"
        f"f = open({str(file)!r}, 'w'); o.outlive_reader(); print('printed'); f.write('its own')"
    )
    assert shell(f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} >&- 2>&-").returncode == 0
    assert file.read_text() == "its own"


def test_characters_that_the_encoding_lacks_are_escaped() -> None:
    code = "import orchestrator.cli.output as o; o.outlive_reader(); print('caf\\xe9 \\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "caf\\xe9 \\udcff\n")


def test_a_full_disk_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.cli import output

    read, write = os.pipe()
    stream = output._lasting(None, write)
    real, full = os.write, [True]

    def write_if_room(descriptor: int, data: bytes) -> int:
        if descriptor == write and full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write_if_room)
    print("lost", file=stream)
    full[0] = False
    print("kept", file=stream, flush=True)
    assert os.read(read, 100) == b"kept\n"


def test_a_terminal_that_closes_is_replaced_by_nothing() -> None:
    from orchestrator.cli import output

    terminal, descriptor = os.openpty()
    stream = output._lasting(None, descriptor)
    assert stream.isatty()
    os.close(terminal)
    print("nobody reads this", file=stream, flush=True)
    assert not stream.isatty() and os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))


@pytest.mark.parametrize(
    "command",
    [
        "orchestrator.sweep --dry-run | head -1",
        "orchestrator.sweep --dry-run --json > /dev/full",
        "orchestrator.sweep --dry-run >&-",
        "orchestrator.catalog list | true",
        "orchestrator.assets list > /dev/full",
        "orchestrator.sweep --help | true",
    ],
)
def test_commands_that_only_print_end_well_without_a_reader(command: str) -> None:
    done = shell(f"{shlex.quote(sys.executable)} -m {command}")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_paths_are_printed_as_they_are_and_fit_for_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "a [x]\t'store' :smile: [bold]"
    write_finished(store)
    assert main([*SMALL, "--store", str(store)]) == 0
    output = capsys.readouterr().out
    (said,) = re.findall(r"^results: (.*)$", output, re.M)
    assert shlex.split(said) == [str(store)]
    (said,) = re.findall(r"^report:  (.*)$", output, re.M)
    assert shlex.split(said) == [str(store / "report/embedded/index.html")]
    (said,) = re.findall(r"^MLflow:  (.*)$", output, re.M)
    assert shlex.split(said)[-1] == str(store)
    assert report([*SMALL, "--store", str(store)]) == 0
    (said,) = re.findall(r"^report: (.*)$", capsys.readouterr().out, re.M)
    assert shlex.split(said) == [str(store / "report/embedded/index.html")]


# Places


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_plots_do_not_depend_on_a_notebook_or_a_users_settings(
    backend: str, tmp_path: Path
) -> None:
    code = (
        "from orchestrator.report.plots.style import draw; import hashlib;"
        "plot = draw('n', 't', 'a', None, 2.0, lambda f: f.add_subplot().plot([1, 3, 2]));"
        "print(hashlib.sha256(plot.svg + plot.pdf).hexdigest())"
    )
    (tmp_path / "matplotlibrc").write_text(
        f"backend: {backend}\nfont.size: 30\nlines.linewidth: 9\nno.such: 1\n"
    )
    strange = {"HOME": "/dev/null", "MPLBACKEND": backend}
    made = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
            env={**ENVIRONMENT, **more},
        )
        for folder, more in ((REPOSITORY, {}), (tmp_path, strange))
    ]  # fmt: skip
    assert [done.stderr for done in made] == ["", ""]
    assert made[0].stdout == made[1].stdout != ""


def test_a_long_tmpdir_gives_ray_a_short_private_folder_that_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert RayFolder().path is None
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 80)))
    folder = RayFolder()
    assert folder.path is not None and len(folder.path) + WITHIN <= SOCKET_PATH
    made = Path(folder.path).parent
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "beside").write_text("")
    folder.remove()
    assert not made.exists()


def test_a_long_ray_tmpdir_of_the_users_is_refused_with_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + "x" * 80)
    with pytest.raises(BadInput, match=r"RAY_TMPDIR=/tmp/x+: its path has 89 bytes .* shorter"):
        RayFolder()


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_relative_or_empty_folder_for_rays_files_is_taken_by_its_full_path(
    name: str, monkeypatch: pytest.MonkeyPatch, scratch_folder: Path
) -> None:
    from ray._common.utils import get_default_ray_temp_dir

    for variable in ("TMPDIR", "RAY_TMPDIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(scratch_folder)
    for value, expected in (("tmp", scratch_folder / "tmp"), ("", Path("/tmp"))):
        monkeypatch.setenv(name, value)
        folder = RayFolder()
        assert folder.path is None and folder.logs == expected / "ray"
        assert get_default_ray_temp_dir() == str(folder.logs)


def cgroup(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def test_limits_of_cgroups_of_both_versions_are_read_from_the_innermost_to_the_top(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own"
    two = tmp_path / "two"
    cgroup(two, cpu__max="max 100000\n", memory__max="max\n")
    cgroup(two / "job_1", cpu__max="250000 100000\n", memory__max="4000000000\n")
    cgroup(two / "job_1" / "step_0", cpu__max="max 100000\n", memory__max="8000000000\n")
    cgroup(two / "job_1" / "step_0", memory__events="low 0\noom 3\noom_kill 2\n")
    own.write_text("0::/job_1/step_0\n")
    assert limits.cpu_quota(two, own) == 2.5
    assert limits.memory_limit(two, own) == 4e9
    assert limits.oom_kills(two, own) == 2

    one = tmp_path / "one"
    cgroup(one / "cpu,cpuacct", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    cgroup(one / "cpu,cpuacct" / "j", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    cgroup(one / "memory", memory__limit_in_bytes="9223372036854771712\n")
    cgroup(one / "memory" / "j", memory__limit_in_bytes="3000000000\n")
    own.write_text("9:name=systemd:/x\n4:memory:/j\n1:cpu,cpuacct:/j\n0::/\n")
    assert limits.cpu_quota(one, own) == 0.5
    assert limits.memory_limit(one, own) == 3e9

    own.write_text("0::/of/the/host\n")  # In a container.
    assert limits.cpu_quota(two / "job_1", own) == 2.5
    assert limits.cpu_quota(tmp_path / "none", own) == float("inf")
    own.write_text("broken\n")
    assert limits.memory_limit(two, own) == float("inf")


def test_only_the_cpus_that_a_process_may_use_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {min(os.sched_getaffinity(0))}
    done = subprocess.run(
        [sys.executable, "-c", "from orchestrator.run import limits; print(limits.cpus())"],
        capture_output=True, text=True, env=ENVIRONMENT,
        preexec_fn=lambda: os.sched_setaffinity(0, one),
    )  # fmt: skip
    assert done.stdout == "1\n"
    monkeypatch.setattr(limits, "cpu_quota", lambda: 0.5)
    assert limits.cpus() == 1


# Arguments


@pytest.mark.parametrize("command", [main, report, assets_command, catalog_command, sync_command])
def test_empty_assets_are_refused_as_an_empty_store_is(
    command: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    first = {assets_command: ["list"], catalog_command: ["list"], sync_command: ["sync"]}
    assert command([*first.get(command, []), "--assets", ""]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--assets" in line and "is empty (a variable that is not set?)" in line


@pytest.mark.parametrize("place", ["a file", "a file/below"])
@pytest.mark.parametrize("command", ["status", "report", "sync", "dry run", "sweep"])
def test_a_store_that_is_a_file_is_refused(
    command: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("theirs")
    asked = [*SMALL, "--store", str(tmp_path / place)]
    run, more = {
        "status": (main, ["--status"]),
        "report": (report, []),
        "sync": (sync_command, []),
        "dry run": (main, ["--dry-run"]),
        "sweep": (main, []),
    }[command]
    assert run([*(["sync"] if command == "sync" else []), *asked, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --store {tmp_path / place}: ") and "folder" in line
    assert (tmp_path / "a file").read_text() == "theirs"


# The budget


@pytest.mark.parametrize(
    ("text", "seconds"), [("8h", 28800), ("90m", 5400), ("1h30m", 5400), ("3600s", 3600),
                          ("1d", 86400), ("1.5h", 5400),
                          (".5h", 1800)],
)  # fmt: skip
def test_a_budget_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["8", "h", "", "-1h", "0h", "8 hours", "1h30", "8H", "1:30", "1h1h", "\uff18h", "."]
)
def test_a_budget_that_is_none_is_refused_with_a_hint(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        duration(text)
    assert main([f"--budget={text}", "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "write 8h, 90m, 1h30m" in line and ("8h, 8m or 8s?" in line) == (text == "8")


def test_what_would_not_end_in_time_is_not_begun_and_what_would_is() -> None:
    clock = [0.0]
    budget = Budget("1h", lambda: clock[0])
    seconds = {"textfooler": 4000.0, "misspellings": 600.0}
    cells = sixteen_cells()

    def in_time(task: TrialTask) -> bool:
        return budget.allows(1.0 if task.phase == "fit" else seconds.get(task.cell.attack, 100.0))

    searcher = fit_first(
        cells, lambda: [(64.0, 0.0)], fits_done=[cell.fit.key for cell in cells],
        attack_cost=lambda cell: seconds.get(cell.attack, 100.0), in_time=in_time,
    )  # fmt: skip
    handed = all_that_is_handed_out(searcher)
    attacks = {cell.key: cell.attack for cell in cells}
    assert {attacks[config["key"]] for config in handed} == {
        "textbugger", "bert_attack", "misspellings",
    }  # fmt: skip
    assert budget.refused
    assert searcher.suggest("late") is None, "estimates may change while something runs"
    for number in range(len(handed)):
        searcher.on_trial_complete(f"t{number}")
    clock[0] = 3600.0
    assert searcher.suggest("later") == "FINISHED"


def test_a_fit_that_is_not_begun_ends_the_sweep_though_attacks_wait_for_it() -> None:
    searcher = fit_first(sixteen_cells(), lambda: [(4.0, 0.0)], in_time=lambda task: False)
    assert searcher.suggest("t") == "FINISHED"


def test_a_fit_goes_on_to_an_attack_only_where_that_ends_in_time() -> None:
    fit_only = fit_first(
        sixteen_cells(), lambda: [(1.0, 0.0)], in_time=lambda task: task.phase == "fit"
    )
    both = fit_first(sixteen_cells(), lambda: [(1.0, 0.0)])
    assert fit_only.suggest("t") and both.suggest("t")
    assert (fit_only.ends_with_fit("t"), both.ends_with_fit("t")) == (True, False)


def test_the_order_of_a_queue_is_kept_but_for_what_is_brought_forward() -> None:
    queue, (one, two, three, *_) = Queue(), sixteen_cells()
    tasks = [
        TrialTask(cell, "attack", None, cost) for cell, cost in ((one, 3), (two, 2), (three, 1))
    ]
    for task in tasks:
        queue.push(task)
    assert queue.bring_forward(lambda task: task.cost < 3)
    assert [queue.pop() for _ in tasks] == [tasks[1], tasks[0], tasks[2]]
    assert not queue.bring_forward(lambda task: True)


# The notice at the end


@pytest.fixture
def noticed(tmp_path: Path) -> Callable[[type[BaseException] | None, int], dict[str, str]]:
    """The command's environment variables after a sweep that ended this way."""
    file = tmp_path / "noticed"
    outcome = Ending("embedded", "/a store", 7, done=lambda: 3)

    def end(error: type[BaseException] | None, code: int) -> dict[str, str]:
        try:
            with notified(f"env > {shlex.quote(str(file))}", outcome):
                outcome.code = code
                if error is not None:
                    raise error("why")
        except BaseException as raised:
            assert type(raised) is error
        if not file.exists():
            return {}
        lines = (line.partition("=") for line in file.read_text().splitlines())
        return {name: value for name, _, value in lines if name.startswith("SWEEP_")}

    return end


@pytest.mark.parametrize(
    ("error", "code", "name", "exit_code"),
    [
        (None, 0, "done", "0"),
        (None, 1, "incomplete", "1"),
        (KeyboardInterrupt, 1, "stopped", "130"),
        (ZeroDivisionError, 1, "error", "1"),
    ],
)
def test_the_outcome_is_in_the_notices_environment(
    error: type[BaseException] | None, code: int, name: str, exit_code: str, noticed: Any
) -> None:
    found = noticed(error, code)
    assert (found.pop("SWEEP_OUTCOME"), found.pop("SWEEP_EXIT_CODE")) == (name, exit_code)
    assert found == {
        "SWEEP_SPACE": "embedded", "SWEEP_STORE": "/a store", "SWEEP_CELLS_DONE": "3",
        "SWEEP_CELLS": "7", "SWEEP_FAILED": "0", "SWEEP_SECONDS": "0", "SWEEP_REPORT": "",
    }  # fmt: skip


def test_bad_input_is_not_noticed(noticed: Any) -> None:
    assert noticed(BadInput, 2) == {}


def test_a_notice_that_fails_or_hangs_is_a_line_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "AT_MOST", 0.2)
    outcome = Ending("embedded", "s", 1, done=lambda: 1 // 0)
    for command in ("exit 3", "sleep 60 & sleep 60"):
        with notified(command, outcome):
            outcome.code = 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "--notify: the command ended with code 3",
        "--notify: the command did not end within 0 s and was killed",
    ]


def test_a_signal_during_a_notice_ends_the_notice_and_not_the_sweep_that_is_done(
    tmp_path: Path,
) -> None:
    code = """
from orchestrator.cli import command
from orchestrator.sweep.notify import Ending, notified
def main():
    outcome = Ending("embedded", "s", 1, done=lambda: 1)
    with notified("echo $$ > pid; kill -INT $PPID; exec sleep 60", outcome):
        outcome.code = 0
    return outcome.code
command.run(main, goes_on=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env=ENVIRONMENT, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "--notify: the command was ended by a signal"
    assert "stopped" not in done.stderr
    assert not is_running(int((tmp_path / "pid").read_text()))


# Memory

RAY_OOM = (  # as Ray 2.60 words it
    "Failure # 1 (occurred at 2026-01-01_00-00-00)\n1 worker(s) were killed due to the node "
    "running low on memory. Memory on the node (IP: 127.0.0.1, ID: 31) was 2.17GB used / "
    "23.54GB limit (0.092230)\nOOM kill reason: Memory usage 2323017728B exceeded threshold"
)
RAY_KILLED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
    "Worker exit detail: Worker unexpectedly exits with a connection error code 2. End of file. "
    "Some common causes include: (1) the process was killed by the OOM killer due to high memory "
    "usage, (2) ray stop --force was called"
)


def test_out_of_memory_is_told_as_such_and_nothing_else_is() -> None:
    said = memory_as_cause(RAY_OOM, False)
    assert "out of memory (2.17GB used / 23.54GB limit on its machine)" in said
    assert "--max-concurrent" in said and "fit.batch_size" in said
    assert "the kernel killed" in memory_as_cause(RAY_KILLED, True)
    assert memory_as_cause(RAY_KILLED, False) == ""


@pytest.mark.slow
def test_a_trial_that_rays_memory_monitor_ends_says_so(tmp_path: Path) -> None:
    monitor = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "100"}
    done = commands.run("sweep", *ONE, "--store", str(tmp_path), **monitor)
    assert done.returncode == 1
    assert re.search(r"^failed: .*out of memory \(.* used / .*--max-concurrent", done.stderr, re.M)


# Real sweeps


def runs_in(store: Path) -> list[str]:
    with sqlite3.connect(store / "mlflow.db") as database:
        return [status for (status,) in database.execute("select status from runs")]


@pytest.fixture
def large_folder(tmp_path: Path) -> Path:
    """More than Ray would pack for other machines, under a shell that looks like `uv run`."""
    folder = tmp_path / "large"
    folder.mkdir()
    with (folder / "fits").open("wb") as file:
        file.truncate(2**30)
    (folder / "run").write_text('"$@"\nexit $?\n')
    return folder


def test_a_sweep_ends_well_in_poor_surroundings_and_unseen(
    large_folder: Path, tmp_path: Path
) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    store, notice = tmp_path / "store", tmp_path / "notice"
    strange = {
        "HOME": "/dev/null",
        "TMPDIR": str(long),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": "",
    }
    one = {min(os.sched_getaffinity(0))}
    with open("/dev/full", "w") as full:
        process = subprocess.Popen(
            ["uv", "run", *sweep(*ONE, "--store", str(store), "--budget", "1h"),
             "--notify", f"env | grep ^SWEEP_ > {shlex.quote(str(notice))}"],
            executable="/bin/sh", cwd=large_folder, env={**ENVIRONMENT, **strange},
            stdout=subprocess.PIPE, stderr=full, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, one),
        )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "1 cells to run on 1 new fits; 0 done\n"
    process.stdout.close()
    assert process.wait(300) == 0
    assert set(runs_in(store)) == {"FINISHED"}
    found = dict(line.split("=", 1) for line in notice.read_text().splitlines())
    assert (found["SWEEP_OUTCOME"], found["SWEEP_CELLS_DONE"]) == ("done", "1")
    assert Path(found["SWEEP_REPORT"]).is_file()
    assert json.loads((store / "times" / "embedded.json").read_text())["slots"] == 1
    # A worker that Ray killed may still be ending; its leftovers are removed once it has ended.
    deadline = time.monotonic() + 30
    while list(long.glob("robustness-sweep-*")) and time.monotonic() < deadline:
        remove_leftovers(long)
        time.sleep(0.5)
    assert not list(long.glob("robustness-sweep-*"))


def processes_below(pid: int) -> set[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        parents.setdefault(int(rest.split()[1]), []).append(int(name.split()[0]))
    found, left = set[int](), [pid]
    while left:
        children = parents.get(left.pop(), [])
        found.update(children)
        left += children
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def scratch_folder() -> Iterator[Path]:
    """A short one, for TMPDIR."""
    with tempfile.TemporaryDirectory(prefix="t", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def stopped(
    store: Path,
    scratch: Path,
    moment: Callable[[subprocess.Popen[str]], object],
    number: signal.Signals,
    module: str = "orchestrator.sweep",
    asked: list[str] = ONE,
    to_group: bool = False,
) -> tuple[int, str, list[str]]:
    """The exit code, the command that was typed and what a command said that got a signal."""
    command = [sys.executable, "-m", module, *asked, "--store", str(store)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**ENVIRONMENT, "TMPDIR": str(scratch)},
    )  # fmt: skip
    while not moment(process):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    below = processes_below(process.pid)
    (os.killpg if to_group else os.kill)(process.pid, number)
    output, errors = process.communicate(timeout=60)
    for text in ("Traceback", "***", "Exception ignored"):
        assert text not in output + errors, output + errors
    wait_for(lambda: not any(map(is_running, below)))
    assert not list((store / "drivers").glob("*"))
    assert not list(scratch.glob("robustness-sweep-*"))
    return process.returncode, shlex.join(command), errors.splitlines()


def attacked(store: Path) -> Callable[[object], object]:
    return lambda _: list(store.glob("attacks/*/*.json"))


def test_a_sweep_that_is_stopped_says_how_to_go_on_and_that_goes_on(
    tmp_path: Path, scratch_folder: Path
) -> None:
    code, typed, lines = stopped(tmp_path, scratch_folder, attacked(tmp_path), signal.SIGTERM)
    assert code == 143
    assert lines[0] == "stopping: SIGTERM; a second one ends it at once"
    said, _, advised = lines[-1].partition(" from there: ")
    assert said == "stopped: what is done is kept; the same command goes on"
    assert advised == typed
    done = shell(advised)
    assert done.returncode == 0, done.stderr
    assert "1 cells to run on 0 new fits; 0 done" in done.stdout
    assert set(runs_in(tmp_path)) == {"FINISHED"}


def started(store: Path) -> Callable[[object], object]:
    """Ray is about to start."""
    return lambda _: list(store.glob("drivers/*"))


def some_processes(process: subprocess.Popen[str]) -> bool:
    """Ray starts."""
    return len(processes_below(process.pid)) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "number", "to_group"),
    [
        ("planning", signal.SIGINT, False),
        ("starting", signal.SIGHUP, True),
        ("Ray starts", signal.SIGTERM, False),
        ("Ray starts", signal.SIGINT, True),
        ("attacking", signal.SIGINT, True),
        ("attacking", signal.SIGTERM, True),
        ("attacking", signal.SIGHUP, False),
        ("reporting", signal.SIGTERM, False),
        ("reporting", signal.SIGINT, True),
    ],
)
def test_signals_at_any_moment_end_a_sweep_well(
    when: str, number: signal.Signals, to_group: bool, tmp_path: Path, scratch_folder: Path
) -> None:
    planned = time.monotonic() + 1.5
    moment: Callable[[Any], object] = {
        "planning": lambda _: time.monotonic() > planned,
        "starting": started(tmp_path),
        "Ray starts": some_processes,
        "attacking": attacked(tmp_path),
        "reporting": lambda _: list(tmp_path.glob("cells/*/result.json")),
    }[when]
    code, _, lines = stopped(tmp_path, scratch_folder, moment, number, to_group=to_group)
    assert code == 128 + number
    assert lines[-1].startswith("stopped")


@pytest.mark.slow
def test_a_second_signal_ends_a_sweep_at_once(tmp_path: Path, scratch_folder: Path) -> None:
    def twice(process: subprocess.Popen[str]) -> bool:
        if not attacked(tmp_path)(process):
            return False
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        return True

    process = subprocess.Popen(
        sweep(*ONE, "--store", str(tmp_path)), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, env={**ENVIRONMENT, "TMPDIR": str(scratch_folder)},
    )  # fmt: skip
    while not twice(process):
        time.sleep(0.05)
    below = processes_below(process.pid)
    process.send_signal(signal.SIGINT)
    assert "stopping: Ctrl-C" in process.communicate(timeout=10)[1]
    assert process.returncode == 130
    wait_for(lambda: not any(map(is_running, below)))


@pytest.mark.slow
def test_transfer_stops_as_a_sweep_does(tmp_path: Path, scratch_folder: Path) -> None:
    write_finished(tmp_path)
    for log in tmp_path.glob("attacks/*/examples.jsonl"):
        log.write_text(log.read_text().replace('"id": ', '"label": 1, "id": '))
    code, typed, lines = stopped(
        tmp_path, scratch_folder, some_processes, signal.SIGINT, "orchestrator.transfer", SMALL
    )
    assert code == 130
    assert lines[0] == "stopping: Ctrl-C; a second one ends it at once"
    assert lines[-1].endswith(f"from there: {typed}")


@pytest.mark.slow
def test_with_nohup_a_sweep_goes_on_when_the_terminal_closes(tmp_path: Path) -> None:
    process = subprocess.Popen(
        ["nohup", *sweep(*ONE, "--store", str(tmp_path))], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )  # fmt: skip
    while not attacked(tmp_path)(process):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(300) == 0
    assert set(runs_in(tmp_path)) == {"FINISHED"}


INTERRUPTS = "import os, signal; os.kill(os.getpid(), signal.{name}); import time; time.sleep(9)"


@pytest.mark.parametrize(
    ("name", "module"),
    [("SIGINT", "rich"), ("SIGTERM", "rich"), ("SIGHUP", "rich"), ("SIGINT", "socket")],
)
def test_a_signal_during_imports_is_a_line_too(name: str, module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(INTERRUPTS.format(name=name))
    done = commands.run("sweep", "--dry-run", PYTHONPATH=f"{tmp_path}:{REPOSITORY}")
    assert done.returncode == 128 + signal.Signals[name]
    assert done.stderr == f"stopped before anything was begun ({name})\n"


@pytest.mark.slow
def test_a_budget_that_is_used_leaves_cells_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = sweep(*ONE, "--store", str(tmp_path), "--budget", "1s")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("budget")]
    assert line == (
        "budget of 1s used: 1 cell left; the same command goes on from there: "
        + shlex.join(command)
    )
