"""TextAttack's own resources: downloaded whole, on the CPU, loaded once; and checked in time."""

import json
import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import ONE_FIT
from test_assets_command import (  # noqa: F401
    TENSORFLOW,
    TENSORFLOW_HUB,
    Server,
    packed,
    server,
    small_resources,
)

from orchestrator.assets import needed
from orchestrator.assets.needed import check_attack_resources
from orchestrator.plan.plan import make_plan
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables import speed
from trainables.assets import Assets
from trainables.attacks import downloads, resources
from trainables.attacks.downloads import ARCHIVES, Archive, here
from trainables.cell import Worker
from trainables.heads.base import Head
from trainables.ran_on import ran_on
from trainables.store import Store

ENCODER = "universal-sentence-encoder"

# On a machine with a GPU that nothing of TextAttack's may use.
ATTACKS = """
import json, os, sys
from pathlib import Path
import torch
torch.cuda.is_available = lambda: True
torch.set_num_threads(3)
from trainables.attacks import downloads, resources

archives, folder = [downloads.Archive(*each) for each in json.loads(sys.argv[1])], Path(sys.argv[2])
downloads.ARCHIVES = resources.ARCHIVES = archives
resources.prepare_textattack("textattack")
from textattack.shared import utils
from trainables.attacks import recipes, similarity

settings = {
    "min_word_cos_sim": 0.5, "min_window_sim": 0.5, "window_size": 3, "max_words_changed": None,
    "max_candidates": 5, "skip_short_texts": True,
}
said = {"tokenizers": os.environ["TOKENIZERS_PARALLELISM"], "device": str(utils.device)}

def attack():
    _, constraints, _ = recipes.textfooler(settings, "textattack", ("", None))
    tagger, encoder = constraints[3:5]
    return constraints[2].embedding, tagger._get_pos(["a"], "film", ["was"]), encoder.encode(["a"])

(vectors, said["tag"], _), (again, _, _) = attack(), attack()
said["vectors"] = [again is vectors, vectors.word2index("movie")]
said["similarity"] = similarity.Similarity("textattack")("a film", "a movie")
resources.prepare_textattack("textattack", folder)
attack()
said["similarity in a folder"] = similarity.Similarity("textattack")("a film", "a movie")
import tensorflow
print(json.dumps({**said, "calls": tensorflow.calls}))
"""


def write_modules(folder: Path, **modules: str) -> str:
    """Stand-ins for packages that are not installed here; returns a PYTHONPATH that has them."""
    folder.mkdir()
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    return f"{folder}:{Path(__file__).parent.parent}"


@pytest.fixture
def archives(
    server: Server,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> list[Archive]:
    """On a server of this machine, which has nothing of them."""
    server.content |= {name: packed(name, files) for name, files in small_resources().items()}
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    monkeypatch.delenv("TA_CACHE_DIR", raising=False)
    monkeypatch.setattr("nltk.data.path", [str(tmp_path / "home" / "nltk_data")])
    return list(needed.ARCHIVES)


def test_attacks_have_textattacks_resources_once_and_leave_the_gpu_alone(
    archives: list[Archive], tmp_path: Path
) -> None:
    """What NLTK reads and not what TextAttack asks for, the encoder of an assets folder where there
    is one, and TensorFlow told what it may use before it loads anything."""
    folder = tmp_path / "assets" / "textattack"
    for name, files in small_resources().items():
        for path, content in files.items():
            (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / path).write_bytes(content)
    path = write_modules(tmp_path / "modules", tensorflow=TENSORFLOW, tensorflow_hub=TENSORFLOW_HUB)
    given = json.dumps([(each.name, each.url) for each in archives])
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ATTACKS, given, str(folder)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path}, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["tag"] == "NOUN"
    assert said["vectors"] == [True, 1]
    assert (said["tokenizers"], said["device"]) == ("false", "cpu")
    assert said["similarity"] == said["similarity in a folder"] == 1.0
    kept = downloads.on_this_machine(next(each for each in archives if each.name == ENCODER))
    assert said["calls"] == [
        ["set_visible_devices", [], "GPU"],
        ["set_intra_op_parallelism_threads", 3],
        ["set_inter_op_parallelism_threads", 3],
        ["load", str(kept)],
        ["load", str(folder / ENCODER)],
    ]
    assert (tmp_path / "home" / "nltk_data/taggers/averaged_perceptron_tagger_eng").is_dir()


def test_processes_of_one_machine_download_a_resource_once_and_whole(
    archives: list[Archive],
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = next(each for each in archives if each.name == ENCODER)
    whole = server.content[ENCODER]
    server.content[ENCODER] = whole[: len(whole) // 2]
    with pytest.raises(BadInput, match="is not a complete zip or tar file"):
        here(archive)
    assert downloads.on_this_machine(archive) is None
    server.content[ENCODER] = whole
    loaded, real = [], downloads._download

    def counted(archive: Archive, folder: Path) -> Path:
        loaded.append(archive.name)
        return real(archive, folder)

    monkeypatch.setattr(downloads, "_download", counted)
    places: list[Path] = []
    threads = [threading.Thread(target=lambda: places.append(here(archive))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [ENCODER] and len(places) == 4 and len(set(places)) == 1
    assert (places[0] / "saved_model.pb").read_bytes() == b"x"
    assert not list(places[0].parent.glob("robustness-sweep-*"))


def test_a_place_that_cannot_be_written_is_one_line(
    archives: list[Archive], tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(BadInput, match=r"stopwords cannot be kept at .*home/nltk_data"):
        here(next(each for each in archives if each.name.endswith("stopwords")))


def test_with_an_assets_folder_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "here", lambda archive: pytest.fail(f"asks for {archive}"))
    monkeypatch.setattr(resources, "_folder", tmp_path)
    for archive in ARCHIVES:
        with pytest.raises(BadInput, match=f"no folder {tmp_path / archive.name}"):
            resources.textattacks_own(archive.name)


# Whether TensorFlow can be imported

PAPER_LIKE = ["attack.resources=textattack"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import pkg_resources_that_is_gone", "No module named 'pkg_resources_that_is_gone'"),
        ("import os; os.kill(os.getpid(), 4)", "signal 4 ended it"),
        ("import os; os.environ['CUDA_VISIBLE_DEVICES'] and 1 / 0", ""),
    ],
)
def test_a_tensorflow_that_cannot_be_imported_is_named_before_anything_runs(
    code: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """setuptools 82 has no pkg_resources; a CPU may lack an instruction; the GPU is not touched."""
    path = write_modules(tmp_path / "modules", tensorflow="", tensorflow_hub=code)
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    space = load("embedded", only=ONE_FIT, sets=PAPER_LIKE)
    if not why:
        assert check_attack_resources(space, Assets("hub"), planning=False) == []
        return
    with pytest.raises(BadInput) as refused:
        check_attack_resources(space, Assets("hub"), planning=False)
    assert why in str(refused.value) and "install the extra `textattack`" in str(refused.value)
    (note,) = check_attack_resources(space, Assets("hub"), planning=True)
    assert why in note


def test_a_space_without_textattacks_resources_imports_nothing_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process is started"))
    space = load("embedded", only=ONE_FIT)
    assert check_attack_resources(space, Assets("embedded"), planning=False) == []


# Devices

resources.prepare_textattack("embedded")


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    space = load("embedded", only=[*ONE_FIT, "attack=bert_attack"])
    (cell,) = make_plan(space, Assets("embedded"), Store(str(tmp_path_factory.mktemp("x")))).todo
    return cell


@pytest.mark.parametrize("fast", [True, False])
def test_the_masked_language_model_is_on_the_victims_device(
    fast: bool, cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device `meta` stands for a GPU: from it nothing can be moved back."""
    from trainables.attacks import recipes

    given: list[Any] = []

    class Enough(Exception):
        pass

    def build(*_: Any, masked_lm: Any, **__: Any) -> None:
        given.append(masked_lm)
        raise Enough

    monkeypatch.setattr(recipes, "build_attack", build)
    worker = Worker(Store(str(tmp_path)), Assets("embedded"))
    victim = SimpleNamespace(weights="these", head=SimpleNamespace(device="meta"))
    monkeypatch.setattr(worker, "_head", lambda fit, dtype: victim)
    monkeypatch.setattr("trainables.cell.where_runs", lambda head: ran_on("cpu"))
    with pytest.raises(Enough):
        next(worker._attack_missing(cell, [], {}, "these"))
    with nullcontext() if fast else speed.off("bert_attack"):
        swap, _, _ = recipes.bert_attack(cell.attack_settings, "embedded", given[0])
    assert swap._language_model.device.type == "meta"
    if fast:
        assert swap.guesses._guessed([[2, 3, 4]], 8).device.type == "meta"
    else:
        assert swap._encode_text("a good film")["input_ids"].device.type == "meta"
    assert resources.masked_language_model("embedded")[0].device.type == "cpu"


def test_a_masked_language_model_that_no_attack_reads_is_not_loaded(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.attacks.engine import Victim
    from trainables.attacks.recipes import build_attack

    monkeypatch.setattr(resources, "_masked_language_model", lambda *_: pytest.fail("it is loaded"))
    settings = {"max_words_changed_count": 1, "min_word_length": 4}
    model = resources.masked_language_model("textattack")
    victim = Victim(Head())
    build_attack("misspellings", victim, settings, "embedded", model, ["a"], "a")
