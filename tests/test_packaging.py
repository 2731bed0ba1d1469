"""A wheel holds all that the space `embedded` and its report need."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
NEEDED = (".yaml", ".parquet", ".npz", ".safetensors", ".json", ".txt", "english",
          ".html", ".css", ".js")  # fmt: skip


@pytest.fixture(scope="module")
def in_wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(REPOSITORY)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_a_wheel_holds_the_yaml_and_the_embedded_assets(in_wheel: set[str]) -> None:
    needed = {
        str(path.relative_to(REPOSITORY))
        for package in ("search_spaces", "trainables", "orchestrator")
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and path.name.endswith(NEEDED)
    }
    assert len(needed) > 20
    assert needed <= in_wheel


def test_a_wheel_holds_no_program_that_makes_the_embedded_assets(in_wheel: set[str]) -> None:
    makers = {path.name for path in (REPOSITORY / "tools").rglob("make_*.py")}
    assert makers and not makers & {name.rsplit("/", 1)[-1] for name in in_wheel}
    assert not [n for n in in_wheel if n.startswith("trainables/embedded/") and n.endswith(".py")]


def test_a_wheel_holds_nothing_that_is_not_the_product(in_wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in in_wheel if ".dist-info/" not in name}
    assert tops == {"orchestrator", "trainables", "search_spaces"}
