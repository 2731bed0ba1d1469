"""Every command of the documentation runs as written, in a folder with a small sweep's results.

Commands that would take minutes run with small settings added; `make sweep` itself, the server of
`make ui` and everything else that is slow run under `make test-slow`. A block of Python or YAML
that begins with the name of a file is that file.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from commands import REPOSITORY, environment, small

SMALL = " ".join(small("mlp_ft,mvp", "misspellings"))
AT_URL = "s3://YOUR-BUCKET/assets"
RUN_BY = {  # commands that no test runs as they stand, and what runs them instead
    "make sweep": "test_make_sweep_and_the_ui",
    "make demo": "test_make_sweep_and_the_ui",
    "make ui": "test_make_sweep_and_the_ui",
    "make test": ".ci/run",
    "make chaos N=20": "test_chaos.py, in short",
    "make test-slow": "whoever types it",
    "make lint": ".ci/run",
    "python -m orchestrator.cluster check cluster-onprem.yaml --space paper": "test_cluster_files",
    "python -m orchestrator.cluster node --space paper": "test_cluster_node",
    "ray up cluster-onprem.yaml": "tests/cluster",
    "sbatch --nodes=2 --gpus-per-node=4 --cpus-per-task=32 --mem=128G --time=24:00:00 --array=1-5 "
    "cluster-slurm.sh --space paper --assets paper_assets": "tests/cluster",
    "python -m orchestrator.cluster prepare cluster.yaml": "test_cluster_stack",
    "python -m orchestrator.cluster release cluster.yaml": "test_cluster_stack",
    "python -m orchestrator.report --claims": "test_claims",
    "python -m orchestrator.report --annotate 100": "test_annotations",
    "python -m orchestrator.report --annotations ann.csv bob.csv": "test_annotations",
    "python -m orchestrator.assets list --space paper": "test_assets_command",
    "python -m orchestrator.assets fetch --space paper --to paper_assets": "test_assets_command",
    "python -m orchestrator.assets verify paper_assets": "test_assets_command",
    "python -m orchestrator.sweep --space paper --assets paper_assets": "test_assets_command",
    f"python -m orchestrator.assets upload paper_assets {AT_URL}": "test_assets_at_a_url",
    f"python -m orchestrator.sweep --space paper --assets {AT_URL} --dry-run": (
        "test_assets_at_a_url"
    ),
}
ON_RESULTS = ("sweep", "report", "transfer", "track")  # take the small sweep's settings
SAYS = {"report": "report: ", "transfer": "replay", "track": "all 2 finished cells"}


def commands(page: Path = REPOSITORY / "README.md") -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.S | re.M)
    lines = "".join(blocks).splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.split("  #")[0].strip()]


def files(page: Path) -> dict[str, str]:
    """Blocks of code that are files, by name."""
    blocks = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", page.read_text(), re.S | re.M)
    return dict(blocks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: files that the README names, and the results of a small sweep."""
    folder = tmp_path_factory.mktemp("user")
    space = (REPOSITORY / "search_spaces" / "embedded.yaml").read_text()
    (folder / "my_space.yaml").write_text(space.replace("name: embedded", "name: mine"))
    (folder / "assets").symlink_to(REPOSITORY / "trainables" / "embedded")
    done = run(f"python -m orchestrator.sweep {SMALL}", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(folder / "results", folder / "other_results")
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "python", f"not a command this test knows: {command}"
    return subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder, capture_output=True, text=True, timeout=300, env=environment(),
    )  # fmt: skip


def test_the_readme_has_the_two_commands() -> None:
    assert {"make sweep", "make test"} <= set(commands())
    assert "make test" in (REPOSITORY / ".ci" / "run").read_text()


PAGES = [REPOSITORY / "README.md", REPOSITORY / "orchestrator" / "README.md"]
COMMANDS = dict.fromkeys(c for page in PAGES for c in commands(page) if c not in RUN_BY)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_pages_runs(command: str, folder: Path) -> None:
    if "CELL" in command:
        cell = next(folder.glob("results/cells/*/cell.json")).parent.name
        command = command.replace("CELL", cell)
    module = command.removeprefix("python -m orchestrator.").split()[0]
    if module in ON_RESULTS and "--dry-run" not in command:
        command = f"{re.sub(r' --set attack.examples=[0-9]+', '', command)} {SMALL}"
    done = run(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SAYS.get(module, "") in done.stdout


def test_a_data_set_a_head_a_training_and_an_attack_of_ones_own(tmp_path: Path) -> None:
    """search_spaces/README.md from an empty folder, command by command."""
    page = REPOSITORY / "search_spaces" / "README.md"
    for name, content in files(page).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for command in commands(page):
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    table = (tmp_path / "report" / "tables" / "reviews-bert-embedded.csv").read_text()
    assert {"mean_pool", "mlp_ft", "mvp"} <= {line.split(",")[0] for line in table.splitlines()}
    columns = {f"{name} (share)" for name in ("lost_letters", "two_misspellings")}
    assert columns <= set(table.splitlines()[0].split(","))
    left_out = (tmp_path / "report" / "tables" / "not-run.csv").read_text()
    assert "not applicable,mvp,decided by the first results,2" in left_out
    assert "not applicable,mvp,tried with one head first,6" in left_out
    cells = [json.loads(path.read_text()) for path in tmp_path.glob("results/cells/*/cell.json")]
    assert len(cells) == 22
    for cell in cells:
        result = json.loads((tmp_path / f"results/cells/{cell['key']}/result.json").read_text())
        assert len(result["sample"]) == (6 if cell["attack"] == "textfooler" else 10)
        fit = json.loads((tmp_path / f"results/fits/{cell['fit']['key']}/fit.json").read_text())
        expected = 1e-3 if cell["fit"]["head"] == "mean_pool" else 3e-4
        assert fit["spec"]["settings"]["learning_rate"] == expected
        added = fit["examples_seen"] - fit["train_examples"]
        assert added > 0 if cell["fit"]["training"] == "hardened" else added == 0


OURS = [
    "*.md",
    "search_spaces/**/*.md",
    "trainables/**/*.md",
    "orchestrator/**/*.md",
    "benchmarks/*",
    "docs/*.md",
    "tools/*.md",
]
LINKING = [page for ours in OURS for page in REPOSITORY.glob(ours) if page.suffix == ".md"]


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings as GitHub writes them, and `<a id>`."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    named = re.findall(r'<a id="([^"]+)"', text)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings} | {*named}


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        there = page.parent / target if target else page
        assert there.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(there), f"{page}: {target}#{anchor}"


SOURCES = [
    path
    for package in ("search_spaces", "trainables", "orchestrator")
    for path in sorted((REPOSITORY / package).rglob("*"))
    if path.suffix in (".py", ".yaml") and ".md" in path.read_text()
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_pages_and_headings_named_in_the_code_exist(path: Path) -> None:
    """`docs/protocol.md, "Heads"` is a page and one of its headings, wherever the line breaks."""
    text = re.sub(r"\s*\n[\s#]*", " ", path.read_text())
    for name, heading in re.findall(r'((?:[\w-]+/)+[\w-]+\.md)(?:, "([^"]+)")?', text):
        page = REPOSITORY / name
        assert page.is_file(), f"{path}: {name}"
        headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
        assert not heading or heading in headings, f"{path}: {name} has no heading {heading}"


def test_files_named_in_the_code_exist() -> None:
    """`store.py` is in the folder of who names it or the one above, or a path from a root."""
    for package in ("search_spaces", "trainables", "orchestrator", "benchmarks", "tools"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            roots = path.parent, path.parent.parent, REPOSITORY / package, REPOSITORY
            named = re.findall(r'(?<![\w./"{*-])((?:[\w-]+/)*[\w-]+\.py)\b', path.read_text())
            lost = {name for name in named if not any((root / name).exists() for root in roots)}
            assert not lost, f"{path}: {lost}"


def test_targets_of_make_named_in_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    for page in LINKING:
        named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
        assert named <= targets, f"{page}: make {named - targets}"


def test_the_heads_lead_to_the_protocol() -> None:
    assert REPOSITORY / "trainables" / "heads" / "mvp.py" in SOURCES


@pytest.mark.slow
def test_make_sweep_and_the_ui(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    done = subprocess.run(["make", "demo"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 cells done" in done.stdout and "demo/report/embedded/index.html" in done.stdout
    done = subprocess.run(["make", "sweep"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "420 of 420 cells done (60 do not apply)" in done.stdout
    ui = subprocess.Popen(["make", "ui"], cwd=clone, start_new_session=True)
    try:
        assert answers("http://127.0.0.1:5000/", 120)
    finally:
        os.killpg(ui.pid, 15)


def answers(url: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            time.sleep(1)
    return False
