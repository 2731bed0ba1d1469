"""Imports go one way, and each library is imported only by the packages meant for it.

What a module imports when it is imported counts, and what its functions import later counts too:
read from the source, so that a test needs no process a module.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("search_spaces", "trainables", "orchestrator")
# Packages of orchestrator/: each may import those before it, and commands (all else) any of them.
ROOMS = ("plan", "cli", "follow", "tracking", "run")


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@cache
def imported(path: Path) -> list[str]:
    """Dotted names that a module imports anywhere, except only for types."""
    return list(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for_types = [
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
    ]
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def importers(library: str) -> set[str]:
    return {
        name_of(path)
        for path in modules()
        if any(name.split(".")[0] == library for name in imported(path))
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    for path in sorted((ROOT / package).rglob("*.py")):
        upwards = [name for name in imported(path) if name.split(".")[0] in above]
        assert not upwards, f"{name_of(path)} imports {upwards}"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_orchestrator_import_one_way(room: str) -> None:
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for path in sorted((ROOT / "orchestrator" / room).glob("*.py")):
        for name in imported(path):
            package, *rest = name.split(".")
            known = package != "orchestrator" or rest == ["__version__"] or rest[0] in allowed
            assert known, f"{name_of(path)}: {name}"


def test_only_trial_knows_ray_among_the_trainables() -> None:
    assert {n for n in importers("ray") if n.startswith("trainables")} == {"trainables/trial.py"}


def test_only_run_the_transfer_and_the_cluster_know_ray_in_the_orchestrator() -> None:
    rooms = {name.split("/")[1] for name in importers("ray") if name.startswith("orchestrator")}
    assert rooms == {"run", "transfer", "cluster"}


def test_only_tracking_knows_mlflow() -> None:
    assert {name.rpartition("/")[0] for name in importers("mlflow")} == {"orchestrator/tracking"}


def test_the_orchestrator_knows_neither_torch_nor_textattack() -> None:
    for library in ("torch", "transformers", "textattack"):
        assert not {n for n in importers(library) if n.startswith("orchestrator")}, library


def test_all_rooms_are_on_the_map() -> None:
    """`orchestrator/__init__.py` and those of its folders name every file and folder."""
    for folder in sorted({path.parent for path in modules()}):
        text = (folder / "__init__.py").read_text()
        for path in sorted(folder.iterdir()):
            if path.name.startswith("__") or path.suffix not in ("", ".py"):
                continue
            if path.is_dir() and not (path / "__init__.py").exists():
                continue
            assert path.name in text, f"{name_of(folder)}/__init__.py does not name {path.name}"
