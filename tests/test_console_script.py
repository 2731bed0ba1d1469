"""`robustness-sweep`, as a wheel installs it: the commands of `python -m orchestrator.…`."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import orchestrator

COMMANDS = ["sweep", "report", "track", "transfer", "assets", "catalog", "cluster"]
ONE = [
    "--only", "dataset=sst2", "--only", "model=bert-embedded", "--only", "head=mlp_ft",
    "--only", "attack=misspellings", "--set", "attack.examples=2",
    "--set", "fit.train_examples=32", "--set", "fit.max_epochs=1",
]  # fmt: skip
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed into, beside the packages it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--quiet"]
    done = subprocess.run(
        [*command, "--target", str(folder), str(wheel)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(installed: Path, here: Path, *command: str, output: int = subprocess.PIPE) -> Done:
    return subprocess.run(
        list(command), cwd=here, env=environment(installed),
        stdout=output, stderr=subprocess.PIPE, text=True, timeout=300,
    )  # fmt: skip


def start(installed: Path, here: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(command), cwd=here, env=environment(installed),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def environment(installed: Path) -> dict[str, str]:
    path = f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(installed), "PATH": path}


def test_its_help_has_a_phrase_for_each_command(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "robustness-sweep", "--help")
    assert done.returncode == 0, done.stderr
    listed = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [words[0] for words in listed][: len(COMMANDS)] == COMMANDS
    assert all(len(words) > 2 for words in listed)
    module = run(installed, tmp_path, sys.executable, "-m", "orchestrator", "--help")
    assert module.stdout == done.stdout


def test_it_says_its_version(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "robustness-sweep", "--version")
    assert done.stdout == f"robustness-sweep {orchestrator.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["swep"], "error: no command 'swep'; did you mean sweep?; see --help\n"),
        ([], "error: no command given; see --help\n"),
    ],
)
def test_what_is_no_command_is_said_in_a_line(
    arguments: list[str], said: str, installed: Path, tmp_path: Path
) -> None:
    done = run(installed, tmp_path, "robustness-sweep", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_the_name_that_was_typed(
    command: str, installed: Path, tmp_path: Path
) -> None:
    done = run(installed, tmp_path, "robustness-sweep", command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: robustness-sweep {command} ")


def test_a_dry_run_is_that_of_the_module(installed: Path, tmp_path: Path) -> None:
    arguments = ["--dry-run", *ONE]
    script = run(installed, tmp_path, "robustness-sweep", "sweep", *arguments)
    module = run(installed, tmp_path, sys.executable, "-m", "orchestrator.sweep", *arguments)
    both = run(installed, tmp_path, sys.executable, "-m", "orchestrator", "sweep", *arguments)
    assert script.returncode == 0, script.stderr
    assert "1 cells" in script.stdout
    assert script.stdout == module.stdout == both.stdout


def test_bad_input_ends_it_with_its_exit_code(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "robustness-sweep", "report", "--space", "no_such_space")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_module_in_the_current_folder_is_found(installed: Path, tmp_path: Path) -> None:
    """As with `python -m`: a head of the user's own."""
    heads = tmp_path / "catalog" / "heads"
    heads.mkdir(parents=True)
    (heads / "mine.yaml").write_text("about: Mine.\nkind: my_head:MyHead\n")
    (tmp_path / "my_head.py").write_text("from trainables.heads.mlp_ft import MlpFt as MyHead\n")
    space = (installed / "search_spaces" / "embedded.yaml").read_text()
    (tmp_path / "space.yaml").write_text(space.replace("mlp_ft,", "mine,", 1))
    arguments = ["--space", "space.yaml", "--only", "head=mine", "--dry-run"]
    done = run(installed, tmp_path, "robustness-sweep", "sweep", *arguments)
    assert done.returncode == 0, done.stderr


def test_it_outlives_who_reads_it(installed: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = run(installed, tmp_path, "robustness-sweep", "--help", output=full.fileno())
    assert (done.returncode, done.stderr) == (0, "")


def test_a_signal_before_a_command_has_begun_ends_it_with_a_line(
    installed: Path, tmp_path: Path
) -> None:
    process = start(installed, tmp_path, "robustness-sweep", "sweep", "--dry-run", *ONE)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in errors
    assert "stopp" in errors


@pytest.mark.slow
def test_a_sweep_that_is_stopped_names_the_script_and_that_goes_on(
    installed: Path, tmp_path: Path
) -> None:
    process = start(installed, tmp_path, "robustness-sweep", "sweep", *ONE)
    while not list(tmp_path.glob("results/drivers/*")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    advised = errors.splitlines()[-1].partition(" from there: ")[2]
    assert advised == shlex.join([str(installed / "bin" / "robustness-sweep"), "sweep", *ONE])
    done = run(installed, tmp_path, *shlex.split(advised))
    assert done.returncode == 0, done.stderr
    again = run(installed, tmp_path, sys.executable, "-m", "orchestrator.sweep", *ONE)
    assert again.returncode == 0, again.stderr
    assert "nothing to do: all 1 cells" in again.stdout
