"""What a machine of a cluster lacks is said there before it gets a trial, and before a sweep."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import ray
import torch
from commands import run, small
from ray.cluster_utils import Cluster

from orchestrator.cluster.__main__ import main
from orchestrator.cluster.node import node_lacks
from orchestrator.run import nodes
from search_spaces.errors import BadInput
from search_spaces.space import Space, load
from trainables import node
from trainables.assets import EMBEDDED
from trainables.attacks import resources

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this machine one with a driver, and a torch that finds a GPU or does not."""

    def make(
        cuda: str | None, driver: str | None, finds: bool = False, works: bool = False
    ) -> None:
        monkeypatch.setattr(node, "driver_version", lambda: driver)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: finds)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "V100")
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
        monkeypatch.setattr(node, "gpu_works", lambda: works)

    return make


@pytest.mark.parametrize(
    ("cuda", "driver", "finds", "said"),
    [
        (None, "580.95.05", False, "is built without CUDA: install the build for GPUs"),
        ("13.0", None, False, "no GPU and no NVIDIA driver (nvidia-smi)"),
        ("13.0", "570.172.08", False, "driver 570.172.08 is too old for torch"),
        ("13.0", "570.172.08", False, "whose CUDA 13.0 needs 580 or newer"),
        ("12.8", "570.172.08", False, "finds no GPU (driver 570.172.08): look at nvidia-smi"),
        ("13.0", "580.95.05", True, "V100 (compute capability 7.0) cannot compute with torch"),
    ],
)
def test_why_no_gpu_can_be_used_is_said(
    cuda: str | None, driver: str | None, finds: bool, said: str, machine: Machine
) -> None:
    machine(cuda, driver, finds)
    assert said in node.lacks_gpu()
    assert "\n" not in node.lacks_gpu()


def test_a_gpu_that_computes_is_enough(machine: Machine) -> None:
    machine("13.0", "580.95.05", finds=True, works=True)
    assert node.lacks_gpu() == ""


def test_a_disk_without_room_for_models_and_data_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3e9))
    assert node.lacks_disk(2e9) == ""
    assert f"3.0 GB are free in {tmp_path}, and models and data" in node.lacks_disk(5e9)


def test_what_is_here_already_needs_no_more_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that an earlier sweep downloaded, and an assets folder, which may be shared."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    paper = load("paper", only=["model=roberta-base"])

    def asked(space: Space) -> float:
        found: list[float] = []
        monkeypatch.setattr(node, "lacks_disk", lambda size: str(found.append(size) or ""))
        monkeypatch.setattr(node, "lacks_for_attacks", lambda resources: "")
        node_lacks(space)
        return found[0]

    before = asked(paper)
    assert before > 4e9
    model = tmp_path / "hub" / "models--FacebookAI--roberta-base"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("a" * 40)
    (model / "snapshots" / ("a" * 40)).mkdir(parents=True)
    shutil.copy(EMBEDDED / "roberta" / "config.json", model / "snapshots" / ("a" * 40))
    assert asked(paper) == before, "its weights are still to come"
    (model / "snapshots" / ("a" * 40) / "model.safetensors").write_text("weights")
    assert before - asked(paper) == pytest.approx(500e6, rel=0.2)
    assert asked(paper.model_copy(update={"assets": str(tmp_path)})) == 0


def test_another_python_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.lacks_python() == ""
    monkeypatch.setattr(sys, "version_info", (3, 13, 1))
    assert node.lacks_python().startswith("Python 3.13.1 is not <3.13,>=3.10: make")


def modules(folder: Path, content: str) -> str:
    """A folder for PYTHONPATH with a tensorflow, and a tensorflow_hub of that content."""
    folder.mkdir()
    (folder / "tensorflow.py").write_text("")
    (folder / "tensorflow_hub.py").write_text(content)
    return f"{folder}:{Path(__file__).parent.parent}"


def test_each_thing_that_a_machine_lacks_is_a_line(tmp_path: Path) -> None:
    """A tensorflow_hub that is installed and cannot be imported, and a torch without CUDA."""
    broken = modules(tmp_path / "modules", "import pkg_resources_that_is_gone")
    done = run("cluster", "node", "--space", "paper", PYTHONPATH=broken, CUDA_VISIBLE_DEVICES="")
    assert (done.returncode, done.stdout) == (2, "")
    attacks, gpu = done.stderr.splitlines()
    assert "attacks with the resources textattack cannot run (ModuleNotFoundError: No" in attacks
    assert "pkg_resources_that_is_gone" in attacks and "-e '.[textattack]'" in attacks
    assert "GPU" in gpu


def test_a_machine_that_has_all_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["node"]) == 0
    assert "has what trials of embedded need" in capsys.readouterr().out


def test_nodes_may_take_as_long_to_answer_as_an_import_may(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nodes of which none has answered when the time is over, and that time."""
    waited: list[float] = []

    def nobody(tasks: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        waited.append(timeout)
        return [], tasks

    alive = {"0" * 56: {"NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 1.0}}}
    monkeypatch.setattr(nodes, "_alive", lambda: alive)
    monkeypatch.setattr(ray, "remote", lambda **_: lambda question: Mock())
    monkeypatch.setattr(ray, "wait", nobody)
    with pytest.raises(BadInput, match=r"on node 10\.0\.0\.1: no answer within 720 s"):
        nodes.check_attacks_on_nodes({"textattack"})
    assert waited[0] > resources.IMPORTED_WITHIN, "the node says itself what takes too long"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A head that runs no trials, and a node whose TensorFlow Hub cannot be imported."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    path = modules(tmp_path / "broken", "import gone_in_82")
    cluster.add_node(num_cpus=1, node_ip_address="127.0.0.2", env_vars={"PYTHONPATH": path})
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
def test_a_node_that_cannot_run_the_attacks_is_named_before_anything_is_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The head lacks TensorFlow too, but gets no attacks; the driver's own process has it."""
    done = run(
        "sweep", *small(attack="misspellings"), "--set", "attack.resources=textattack",
        "--ray-address", cluster.address, "--store", str(tmp_path / "store"),
        PYTHONPATH=modules(tmp_path / "whole", ""),
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "not all nodes can run the attacks: on node 127.0.0.2: attacks with" in line
    assert "gone_in_82" in line and "install the extra `textattack`" in line
    assert line.count("on node ") == 1
    assert not (tmp_path / "store" / "fits").exists()
