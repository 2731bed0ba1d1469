"""Assets at a URL: uploaded from a fetched folder, and copied once to each machine."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from commands import environment
from test_sources import put_in_hub_cache

from orchestrator.assets import __main__ as command
from orchestrator.plan.plan import Plan, make_plan
from search_spaces.catalog import PACKAGED
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables import mirror
from trainables.assets import EMBEDDED, Assets, NotDownloaded
from trainables.cell import Worker
from trainables.files import file_digest
from trainables.manifest import Fetched, Manifest
from trainables.store import Store

OF_TEXTATTACK = ("word_embeddings/paragramcf", "nltk_data/corpora/stopwords")
MODEL = "models/bert-base-uncased"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    mirror.manifest_of.cache_clear()
    return tmp_path / "cache" / "robustness-sweep" / "assets"


@pytest.fixture
def space(tmp_path: Path) -> str:
    """A space of one cell, on a data set and a model of the hub."""
    written = yaml.safe_load((PACKAGED.parent / "embedded.yaml").read_text())
    written |= {"name": "from-the-hub", "assets": "hub"}
    written["axes"] |= {"dataset": ["sst2"], "model": ["bert-base-uncased"], "head": ["mlp_ft"]}
    written["axes"]["attack"] = ["misspellings"]
    written["fit"] |= {"train_examples": 32, "max_epochs": 1, "max_length": 48}
    written["attack"] |= {"examples": 2}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(written))
    return str(tmp_path / "space.yaml")


@pytest.fixture
def folder(space: str, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the space needs, fetched."""
    hub, rows = tmp_path / "hub", EMBEDDED / "datasets" / "sst2"
    parquet = {
        f"sst2/{split}-00000-of-00001.parquet": rows / f"{split}.parquet"
        for split in ("train", "validation")
    }
    put_in_hub_cache(hub, "datasets--nyu-mll--glue", parquet)
    model = {path.name: path for path in tiny_bert.iterdir()}
    put_in_hub_cache(hub, "models--google-bert--bert-base-uncased", model)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", f"{hub}/hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert command.main(["fetch", "--space", space, "--to", str(tmp_path / "fetched")]) == 0
    shutil.rmtree(hub)
    return tmp_path / "fetched"


@pytest.fixture
def url(s3: Any, tmp_path: Path) -> str:
    return str(s3.url(f"assets-{tmp_path.name}-{time.time_ns()}"))


@pytest.fixture
def filled(folder: Path, url: str) -> str:
    assert command.main(["upload", str(folder), url]) == 0
    return url


def add_textattack(folder: Path) -> None:
    """Add to a fetched folder what TextAttack would download: here a small file each."""
    listed = command.manifest.read(folder) or Manifest()
    for name in OF_TEXTATTACK:
        path = folder / "textattack" / name / "file"
        path.parent.mkdir(parents=True)
        path.write_text(name)
        files = {f"textattack/{name}/file": command.manifest.of(path)}
        listed.assets[f"textattack/{name}"] = Fetched(origin={"url": "x"}, files=files)
    command.manifest.write(folder, listed)


def planned(space: str, assets: Assets, provisional: bool = False) -> Plan:
    return make_plan(load(space), assets, Store("/nonexistent"), provisional)


def copies(cache: Path) -> set[str]:
    """Names of the files that were copied, in their assets folder."""
    folders = [path for path in cache.glob("*") if path.is_dir()]
    files = [(folder, path) for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for folder, path in files}


def objects(s3: Any, url: str) -> dict[str, int]:
    """Size of each object below a URL, by its name there."""
    client = boto3.client("s3", endpoint_url=s3.endpoint, region_name="us-east-1")
    prefix = url.split("?")[0].removeprefix("s3://bucket/") + "/"
    found = client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    return {each["Key"].removeprefix(prefix): each["Size"] for each in found}


def put(s3: Any, url: str, name: str, content: bytes) -> None:
    client = boto3.client("s3", endpoint_url=s3.endpoint, region_name="us-east-1")
    key = f"{url.split('?')[0].removeprefix('s3://bucket/')}/{name}"
    client.put_object(Bucket="bucket", Key=key, Body=content)


def test_a_cell_from_a_url_is_the_cell_from_the_folder_and_runs(
    space: str, folder: Path, filled: str, tmp_path: Path, cache: Path
) -> None:
    add_textattack(folder)
    assert command.main(["upload", str(folder), filled]) == 0
    plan = planned(space, Assets(filled))
    assert [cell.key for cell in plan.todo] == [
        cell.key for cell in planned(space, Assets(str(folder))).todo
    ]
    store = Store(str(tmp_path / "store"))
    (*_, last) = Worker(store, Assets(filled)).run(plan.todo[0])
    assert last["phase"] == "done", last
    assert not [name for name in copies(cache) if name.startswith("textattack")]


def test_only_what_is_asked_for_is_copied(filled: str, cache: Path, space: str) -> None:
    data = load(space).catalog.dataset("sst2")
    Assets(filled).dataset_files("sst2", data)
    assert copies(cache) == {
        f"datasets/sst2/{split}-00000-of-00001.parquet" for split in ("train", "validation")
    }


def test_planning_alone_copies_nothing(filled: str, cache: Path, space: str) -> None:
    (cell,) = planned(space, Assets(filled, local_only=True), provisional=True).todo
    assert not copies(cache)
    (known,) = planned(space, Assets(filled)).todo
    (again,) = planned(space, Assets(filled, local_only=True), provisional=True).todo
    assert known.key == again.key != cell.key


def test_an_upload_again_sends_what_is_missing_or_cut_off(
    folder: Path, filled: str, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = objects(s3, filled)
    assert before.keys() == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    capsys.readouterr()
    put(s3, filled, f"{MODEL}/config.json", b"{")
    assert command.main(["upload", str(folder), filled]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{MODEL}: 0.0 MB uploaded", "datasets/sst2: is already there"][::-1]
    assert objects(s3, filled) == before


def test_a_folder_that_is_not_as_it_was_fetched_is_not_uploaded(
    folder: Path, url: str, s3: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / MODEL / "config.json").write_text("{}")
    assert command.main(["upload", str(folder), url]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("config.json is missing or is not what was fetched: fetch it again")
    assert MODEL not in command.manifest.parsed(mirror.files_of(url).read("assets.json"), "").assets


def test_another_content_at_the_url_is_said_and_not_kept(
    filled: str, s3: Any, cache: Path, space: str
) -> None:
    size = objects(s3, filled)[f"{MODEL}/config.json"]
    put(s3, filled, f"{MODEL}/config.json", b"x" * size)
    with pytest.raises(BadInput, match=r"config\.json\?.* is not the file that assets\.json there"):
        planned(space, Assets(filled))
    assert not [name for name in copies(cache) if name.startswith("models")]


def test_what_changes_at_the_url_is_copied_anew(
    folder: Path, filled: str, space: str, cache: Path
) -> None:
    data = load(space).catalog.dataset("sst2")
    before = Assets(filled).dataset_files("sst2", data)
    rows = folder / "datasets" / "sst2" / "train-00000-of-00001.parquet"
    rows.write_bytes((EMBEDDED / "datasets" / "mrpc" / "train.parquet").read_bytes())
    listed = command.manifest.read(folder)
    assert listed is not None
    listed.assets["datasets/sst2"].files[f"datasets/sst2/{rows.name}"] = command.manifest.of(rows)
    command.manifest.write(folder, listed)
    assert command.main(["upload", str(folder), filled]) == 0
    assert Assets(filled).dataset_files("sst2", data) == before  # within a process, as it began
    mirror.manifest_of.cache_clear()
    after = Assets(filled).dataset_files("sst2", data)
    assert file_digest(after["train"][0]) == file_digest(rows) != file_digest(before["train"][0])


def test_what_textattack_would_download_is_copied_as_one_folder(
    tmp_path: Path, url: str, cache: Path
) -> None:
    folder = tmp_path / "fetched"
    folder.mkdir()
    add_textattack(folder)
    assert command.main(["upload", str(folder), url]) == 0
    with pytest.raises(NotDownloaded, match="textattack is not copied from"):
        _ = Assets(url, local_only=True).textattack_folder
    copy = Assets(url).textattack_folder
    assert copy is not None and copy == Assets(url, local_only=True).textattack_folder
    for name in OF_TEXTATTACK:
        assert (copy / name / "file").read_text() == name


COPY = """
import sys, time
from trainables import mirror
copy = mirror._copy
def slowly(source, folder, listed):
    with open(sys.argv[2], "a") as file:
        file.write(listed[0] + "\\n")
    time.sleep(float(sys.argv[3]))
    copy(source, folder, listed)
mirror._copy = slowly
print(mirror.copied(sys.argv[1], "models/bert-base-uncased"))
"""


def copying(url: str, log: Path, seconds: float) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", COPY, url, str(log), str(seconds)]
    return subprocess.Popen(arguments, env=environment(), stdout=subprocess.PIPE, text=True)


def test_processes_that_need_an_asset_at_once_copy_it_once(filled: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [copying(filled, log, 1.0) for _ in range(2)]
    folders = {process.communicate(timeout=60)[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(folders) == 1
    copied = log.read_text().splitlines()
    assert len(copied) == len(set(copied)) == len(list((Path(*folders) / MODEL).iterdir()))


def test_a_copy_that_was_killed_is_made_again_and_leaves_nothing(
    filled: str, tmp_path: Path, cache: Path
) -> None:
    log = tmp_path / "log"
    killed = copying(filled, log, 60.0)
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert [path for path in cache.iterdir() if path.name.startswith("robustness-sweep-assets-")]
    copy = mirror.copied(filled, MODEL)
    assert copy is not None and (copy / MODEL / "config.json").is_file()
    assert sorted(cache.iterdir()) == [copy, copy.with_name(f"{copy.name}.lock")]


def test_what_cannot_be_copied_is_said_in_a_line(
    filled: str, s3: Any, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"there is no assets\.json; fill it with"):
        Assets(s3.url("nothing-here")).check()
    with pytest.raises(BadInput, match=r"^--assets: leave credentials out of the URL"):
        Assets("s3://key:secret@bucket/assets").check()
    catalog = load("paper").catalog
    with pytest.raises(BadInput, match=r"no datasets/boolq; datasets there: sst2$"):
        Assets(filled).dataset_files("boolq", catalog.dataset("boolq"))
    with pytest.raises(BadInput, match=r"no models/gpt2; models there: bert-base-uncased$"):
        Assets(filled).model_folder("gpt2", catalog.model("gpt2"))
    assert Assets(filled).textattack_folder is None
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(BadInput, match=r"no room in .* GB are free; XDG_CACHE_HOME"):
        planned(space, Assets(filled))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    with pytest.raises(BadInput, match=r"cannot be copied to /proc/none/.*XDG_CACHE_HOME"):
        planned(space, Assets(filled))
