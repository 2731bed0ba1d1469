"""cluster-slurm.sh, with programs in the place of Slurm's, of Ray and of the sweep; what it asks
Python; and how a sweep ends when it is told to.

On Slurm itself: tests/cluster/test_slurm_jobs.py.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import commands
import pytest
from commands import REPOSITORY, environment, small, wait_for
from test_schedule import FITS_ON_GPUS, ONE_CPU, sixteen_cells

from orchestrator.cluster import slurm
from orchestrator.run import connect, nodes
from orchestrator.run.budget import Budget
from orchestrator.run.options import RayOptions
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from trainables.store import Store

SCRIPT = REPOSITORY / "cluster-slurm.sh"
JOB = 4_000_000_000 + os.getpid()  # no Slurm has a job of that number

STUBS = {
    "python": """
case "$*" in
  -c*) ;;
  *cluster.slurm*check*) exit "${CHECK:-0}" ;;
  *cluster.slurm*place*) echo 127.0.0.1 6001 6002 6003 ;;
  *cluster.slurm*joined*)
    until [ -e "$CALLS/ray" ]; do sleep 0.05; done
    sleep "${JOINS_AFTER:-0}"
    exit "${JOINED:-0}" ;;
  *orchestrator.sweep*)
    printf '%s\\n' "$@" > "$CALLS/sweep"
    trap 'echo told >> "$CALLS/signals"; exit 1' USR1
    trap 'echo stopped >> "$CALLS/signals"; exit 143' TERM
    [ -n "$CODE" ] && exit "$CODE"
    touch "$CALLS/runs"
    while true; do read -r -t 0.1 < "$CALLS/never"; done ;;
esac
""",
    "ray": """
[ -n "$RAY_FAILS" ] && { echo "no port is free"; exit 1; }
trap 'echo ended >> "$CALLS/ray"; exit 0' TERM
printf '%s\\n' "$@" > "$CALLS/words"
mv "$CALLS/words" "$CALLS/ray"
while true; do read -r -t 0.1 < "$CALLS/never"; done
""",
    "srun": """
while [ "$1" != bash ]; do echo "$1" >> "$CALLS/srun"; shift; done
echo $$ > "$CALLS/step"
exec "$@"
""",
    "scontrol": 'echo "$SLURM_JOB_NODELIST" | tr , "\\n"',
    "scancel": 'kill -USR2 "$(cat "$CALLS/step")"',
    "squeue": """
echo asked >> "$CALLS/squeue"
case ",$SILENT," in *,$(wc -l < "$CALLS/squeue"),*) exit 1 ;; esac
if [ -n "$ENDS" ]; then date --date="@$ENDS" +%FT%T; else echo NONE; fi
""",
    "nproc": "echo 64",
}


@dataclass
class Job:
    """A job as Slurm would start it. calls: where the programs leave what they were asked."""

    folder: Path
    environment: dict[str, str]
    script: Path = SCRIPT
    arguments: list[str] = field(default_factory=lambda: ["--set", "a=b c", "--only", "head=mvp"])

    @property
    def calls(self) -> Path:
        return self.folder / "calls"

    def words(self, program: str) -> list[str]:
        return (self.calls / program).read_text().splitlines()

    def hurry(self) -> None:
        """Shorten what the script waits for."""
        self.script, text = self.folder / "script.sh", SCRIPT.read_text()
        for long, short in (("LAST=60", "LAST=2"), ("AGAIN=10", "AGAIN=0.2")):
            text = text.replace(long, short)
        self.script.write_text(text)

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", str(self.script), *self.arguments], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def end(self, process: "subprocess.Popen[str] | None" = None) -> tuple[int, str, str]:
        """Its exit code and what it printed."""
        process = process or self.start()
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in STUBS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}")
        (programs / name).chmod(0o755)
    (tmp_path / "calls").mkdir()
    os.mkfifo(tmp_path / "calls" / "never")
    never = os.open(tmp_path / "calls" / "never", os.O_RDWR)
    yield Job(
        tmp_path,
        {
            "PATH": f"{programs}:/usr/bin:/bin",
            "CALLS": str(tmp_path / "calls"),
            "SLURM_JOB_ID": str(JOB),
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_JOB_NODELIST": "n1",
            "SLURMD_NODENAME": "n1",
            "ENDS": str(int(time.time()) + 3630),
            "CODE": "0",
        },
    )
    os.close(never)
    shutil.rmtree(f"/tmp/sweep-{JOB}", ignore_errors=True)


def test_bash_reads_the_script() -> None:
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    found = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("lacks", ["SLURM_JOB_ID", "SLURMD_NODENAME"])  # the latter: salloc
def test_outside_a_job_is_one_line(lacks: str, job: Job) -> None:
    del job.environment[lacks]
    code, out, err = job.end()
    assert (code, out) == (2, "")
    assert err == (
        "error: this is no job of Slurm; submit it: sbatch --nodes=2 --time=24:00:00 "
        "cluster-slurm.sh ...\n"
    )


def test_no_environment_is_one_line(job: Job) -> None:
    (job.folder / "bin" / "ray").unlink()
    code, out, err = job.end()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"neither in {job.folder}/.venv nor on the PATH" in err and "make setup" in err


def test_bad_options_start_nothing(job: Job) -> None:
    job.environment["CHECK"] = "2"
    assert job.end() == (2, "", "")
    assert not (job.calls / "srun").exists()


def test_a_sweep_gets_its_options_the_address_and_the_time_that_is_left(job: Job) -> None:
    code, out, err = job.end()
    assert (code, err) == (0, "")
    assert f"job {JOB} on n1, 60 min left" in out
    module, name, budget, text, *rest = job.words("sweep")
    assert (module, name, budget) == ("-m", "orchestrator.sweep", "--budget")
    assert 3480 <= int(text.removesuffix("s")) <= 3510
    assert rest == [*job.arguments, "--ray-address", "127.0.0.1:6001"]
    assert "ended" in job.words("ray"), "Ray is told to end"
    assert not Path(f"/tmp/sweep-{JOB}").exists()


@pytest.mark.parametrize("code", ["1", "2", "137"])
def test_a_sweeps_exit_code_is_the_jobs(code: str, job: Job) -> None:
    job.environment["CODE"] = code
    ended, _, err = job.end()
    assert ended == int(code)
    assert ("goes on from there" in err) == (code != "2")
    assert "ended" in job.words("ray")


def test_without_a_time_limit_there_is_no_budget(job: Job) -> None:
    job.environment["ENDS"] = ""
    assert job.end()[0] == 0
    assert "--budget" not in job.words("sweep")


@pytest.mark.parametrize(
    ("given", "cpus", "gpus", "memory"),
    [
        ({}, 64, 0, None),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_GPUS_ON_NODE": "4"}, 8, 4, None),
        ({"SLURM_CPUS_ON_NODE": "128", "SLURM_JOB_GPUS": "0,3"}, 64, 2, None),
        ({"SLURM_MEM_PER_NODE": "1000"}, 64, 0, 1000 * 2**20),
        ({"SLURM_MEM_PER_CPU": "10", "SLURM_CPUS_ON_NODE": "8"}, 8, 0, 80 * 2**20),
        ({"SLURM_MEM_PER_NODE": "0"}, 64, 0, None),
    ],
)
def test_ray_gets_what_slurm_gave_the_job_on_the_node(
    given: dict[str, str], cpus: int, gpus: int, memory: int | None, job: Job
) -> None:
    job.environment |= given
    assert job.end()[0] == 0
    words = job.words("ray")
    assert {f"--num-cpus={cpus}", f"--num-gpus={gpus}"} <= set(words)
    of_memory = [int(word.split("=")[1]) for word in words if "memory=" in word]
    assert sum(of_memory) == (memory or 0)


def test_ray_has_ports_and_a_folder_of_its_own_and_a_token(job: Job) -> None:
    stub = job.folder / "bin" / "ray"
    stub.write_text(stub.read_text().replace("\ntrap", '\nenv > "$CALLS/env"\ntrap', 1))
    assert job.end()[0] == 0
    words = set(job.words("ray"))
    assert {"--head", "--node-ip-address=127.0.0.1", "--port=6001"} <= words
    assert {"--ray-client-server-port=6002", "--dashboard-port=6003"} <= words
    assert {"--min-worker-port=0", "--max-worker-port=0", f"--temp-dir=/tmp/sweep-{JOB}/r"} <= words
    environment = dict(word.split("=", 1) for word in job.words("env") if "=" in word)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert re.fullmatch("[0-9a-f]{64}", environment["RAY_AUTH_TOKEN"])
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"


def test_another_node_joins_the_first(job: Job) -> None:
    job.environment |= {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "n1,n2"}
    srun = job.folder / "bin" / "srun"
    srun.write_text(srun.read_text().replace("exec", "SLURMD_NODENAME=n2 exec"))
    assert job.end()[0] == 0
    words = job.words("ray")
    assert "--address=127.0.0.1:6001" in words and "--head" not in words


@pytest.mark.parametrize(
    ("sent", "heard", "code"), [(signal.SIGUSR1, "told", 1), (signal.SIGTERM, "stopped", 143)]
)
def test_the_sweep_hears_of_a_signal(sent: signal.Signals, heard: str, code: int, job: Job) -> None:
    job.environment["CODE"] = ""
    process = job.start()
    wait_for((job.calls / "runs").exists, process)
    process.send_signal(sent)
    assert job.end(process)[0] == code
    assert job.words("signals") == [heard]
    assert "ended" in job.words("ray")


def test_a_sweep_is_stopped_before_slurm_does(job: Job) -> None:
    job.hurry()
    job.environment |= {"CODE": "", "ENDS": str(int(time.time()) + 7)}
    begun = time.monotonic()
    assert job.end()[0] == 143
    assert job.words("signals") == ["stopped"]
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize("silent", ["2,3,4,5,6,7,8,9", "1,2,3,4,5,6,7,8"])
def test_a_sweep_is_stopped_also_where_slurm_does_not_answer_at_times(
    silent: str, job: Job
) -> None:
    """It knows the limit and is not heard of again; it is heard of only when the sweep runs."""
    job.hurry()
    job.environment |= {"CODE": "", "ENDS": str(int(time.time()) + 7), "SILENT": silent}
    assert job.end()[0] == 143
    assert job.words("signals") == ["stopped"]


def test_a_budget_is_known_where_slurm_answers_late(job: Job) -> None:
    job.hurry()
    job.environment["SILENT"] = "1,2"
    assert job.end()[0] == 0
    assert "--budget" in job.words("sweep")


def test_nothing_is_begun_near_the_time_limit(job: Job) -> None:
    job.environment["ENDS"] = str(int(time.time()) + 100)
    code, _, err = job.end()
    assert code == 1
    assert err.startswith("stopped before anything was begun: the time limit is near\n")
    assert not (job.calls / "sweep").exists()
    assert "ended" in job.words("ray")


def test_a_ray_that_does_not_start_ends_the_job_at_once(job: Job) -> None:
    job.environment |= {"RAY_FAILS": "yes", "JOINS_AFTER": "50"}
    begun = time.monotonic()
    code, _, err = job.end()
    assert code == 2 and time.monotonic() - begun < 20
    assert err == f"error: node {socket.gethostname()}: Ray has ended: no port is free\n"
    assert not (job.calls / "sweep").exists()


def test_nodes_that_do_not_join_end_the_job(job: Job) -> None:
    job.environment["JOINED"] = "2"
    assert job.end()[0] == 2
    assert not (job.calls / "sweep").exists()
    assert "ended" in job.words("ray")


# What the script asks Python


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (["--store", "/tmp/results"], "/tmp"),
        (["--only", "head=mvp", "--store=/dev/shm/x", "--json"], "/dev/shm"),
        (["--store", "of-the-job/results"], "of-the-job"),
    ],
)
def test_a_store_on_one_node_is_refused(
    options: list[str], place: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir("/usr")
    monkeypatch.setenv("TMPDIR", "/usr/of-the-job")
    assert slurm.main(["check", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert place in line and "a folder that the nodes share" in line


@pytest.mark.parametrize("options", [[], ["--store", "s3://bucket/tmp"], ["--store", "/usr/tmp-x"]])
def test_a_store_elsewhere_is_not(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    monkeypatch.delenv("TMPDIR", raising=False)
    assert slurm.main(["check", *options]) == 0


def test_the_place_of_a_job_on_one_node_is_reached_from_that_node_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert slurm.main(["place"]) == 0
    address, *ports = capsys.readouterr().out.split()
    assert address == "127.0.0.1" and len(set(ports)) == 3
    for port in ports:
        socket.create_server(("", int(port))).close()


def test_a_node_without_an_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm.main(["place", "no-such-node.invalid"]) == 2
    assert "node no-such-node.invalid of this job has no address" in capsys.readouterr().err


@pytest.mark.parametrize("in_a_job", [True, False])
def test_in_a_job_no_cell_waits_for_a_node_that_never_comes(
    in_a_job: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"CPU": 4.0, "GPU": 0.0}
    monkeypatch.setattr(connect, "_connect", lambda options: None)
    monkeypatch.setattr(nodes, "_alive", lambda: {"n1": {"Resources": here}})
    if in_a_job:
        monkeypatch.setenv("SLURM_JOB_ID", "1")
    else:
        monkeypatch.delenv("SLURM_JOB_ID", raising=False)

    def opens(cells: tuple[Cell, ...]) -> None:
        connect.open_ray(cells, ("fit", "attack"), Store(str(tmp_path)), RayOptions("n1:6379"))

    opens(sixteen_cells(ONE_CPU))
    if in_a_job:
        with pytest.raises(BadInput, match="no node has room for the space's fit"):
            opens(sixteen_cells(FITS_ON_GPUS))
    else:
        opens(sixteen_cells(FITS_ON_GPUS))  # An autoscaler may add one.


# A sweep that is told to end

BEGUN, FIT = {"phase": "begun"}, {"phase": "fit", "finished": 1, "total": 9}
ATTACK, LAST_ATTACK = ({"phase": "attack", "finished": n, "total": 9} for n in (3, 9))


def test_after_the_time_a_trial_that_waited_for_room_ends_and_others_go_on() -> None:
    clock = [0.0]
    budget = Budget("1h", lambda: clock[0])
    reports = [BEGUN, FIT, ATTACK, LAST_ATTACK]
    assert not any(map(budget.ends, reports)) and not budget.refused
    clock[0] = 3600.0
    assert [budget.ends(report) for report in reports] == [True, False, False, False]
    assert budget.refused and budget.what_is_left(2) == "budget of 1h used: 2 cells left"


@pytest.mark.parametrize("text", [None, "1h"])
def test_sigusr1_ends_attacks_at_an_example_and_lets_fits_end(
    text: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    budget = Budget(text)
    before = signal.getsignal(signal.SIGUSR1)
    with budget.used_up_by_signal():
        assert budget.allows(None) and not budget.ends(ATTACK)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert not budget.allows(None)
        reports = [BEGUN, FIT, ATTACK, LAST_ATTACK]
        assert [budget.ends(report) for report in reports] == [True, False, True, False]
    assert signal.getsignal(signal.SIGUSR1) == before
    assert budget.what_is_left(1) == "told to end: 1 cell left"
    said = capfd.readouterr().err
    assert said == "SIGUSR1: nothing more is begun; fits that are running may end\n"


@pytest.mark.slow
def test_a_sweep_that_is_told_to_end_keeps_its_fit_and_goes_on_later(tmp_path: Path) -> None:
    command = commands.command(
        "sweep", *small(attack="textfooler", examples=100), "--store", str(tmp_path)
    )
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    wait_for(lambda: list(tmp_path.glob("attacks/*/*[0-9].json")), process)
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    said, left = err.splitlines()
    assert said == "SIGUSR1: nothing more is begun; fits that are running may end"
    assert left.startswith("told to end: 1 cell left; the same command goes on from there: ")
    assert "0 of 1 cells done" in out
    plan = json.loads(commands.run("sweep", *command[3:], "--dry-run", "--json").stdout)
    assert [cell["status"] for cell in plan["cells"]] == ["todo"]
    assert list(tmp_path.glob("fits/*/fit.json"))
