"""A wheel has all that the space `embedded` and its report need, and complete metadata."""

import re
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import orchestrator
from orchestrator.run.environment import environment
from orchestrator.tracking.runs import sweep_tags

NEEDED = (".yaml", ".parquet", ".npz", ".safetensors", ".json", ".txt", "english",
          ".html", ".css", ".js")  # fmt: skip


@pytest.fixture(scope="module")
def in_wheel(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    return message_from_bytes(file_in(wheel, "METADATA"))


def file_in(wheel: Path, name: str) -> bytes:
    """A file of the wheel's .dist-info folder."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (each for each in archive.namelist() if each.endswith(f".dist-info/{name}"))
        return archive.read(path)


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


@pytest.mark.parametrize("name", ["LICENSE", "NOTICE"])
def test_a_wheel_holds_its_licence_and_what_is_owed_to_others(
    name: str, wheel: Path, metadata: Message
) -> None:
    assert file_in(wheel, f"licenses/{name}") == (REPOSITORY / name).read_bytes()
    assert name in (metadata.get_all("License-File") or [])
    assert metadata["License-Expression"] == "Apache-2.0"


def test_what_the_notice_speaks_of_is_in_the_wheel(in_wheel: set[str]) -> None:
    notice = (REPOSITORY / "NOTICE").read_text()
    files = set(re.findall(r"trainables/[a-z0-9_/]+\.[a-z]+|trainables/\S+/english", notice))
    assert "trainables/embedded/word_vectors.npz" in files
    assert files <= in_wheel


def test_code_wheel_and_mlflow_have_one_version(metadata: Message) -> None:
    tags = sweep_tags(environment([]))
    assert metadata["Version"] == orchestrator.__version__ == tags["version"]


def test_the_citation_is_of_this_software(metadata: Message) -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == metadata["Version"]
    assert citation["license"] == metadata["License-Expression"]
    assert citation["title"] == metadata["Name"]


def of_python(lines: list[str], python: str, extra: str = "") -> dict[str, list[SpecifierSet]]:
    """The requirements among the lines that apply to a version of Python, and to an extra."""
    found: dict[str, list[SpecifierSet]] = {}
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or marker.evaluate({"python_version": python, "extra": extra}):
            name = canonicalize_name(requirement.name)
            found.setdefault(name, []).append(requirement.specifier)
    return found


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
@pytest.mark.parametrize("extra", ["", "embedded", "textattack", "cluster", "dev"])
def test_every_requirement_has_one_version_in_the_constraints(
    extra: str, python: str, metadata: Message
) -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = of_python([line for line in lines if line and line[0] != "#"], python)
    needed = of_python(metadata.get_all("Requires-Dist") or [], python, extra)
    for name in needed.keys() - {"robustness-sweep"}:
        (only,) = pinned[name]
        (version,) = (each.version for each in only)
        assert all(each.contains(version) for each in needed[name]), name


def test_tensorflow_hub_has_the_pkg_resources_that_it_imports(metadata: Message) -> None:
    needed = of_python(metadata.get_all("Requires-Dist") or [], "3.12", "textattack")
    assert not any(each.contains("82.0.0") for each in needed["setuptools"])
