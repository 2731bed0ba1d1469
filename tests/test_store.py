"""The store keeps what it was given, whole or not at all, on a disk as on an object store."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.plan import make_plan
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.files import DamagedFile, Files, StoreError, digest
from trainables.metrics import attack_metrics
from trainables.records import weights_name
from trainables.store import Store


@pytest.fixture(params=["disk", "s3", "fsspec"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store(str(tmp_path / "store"))
    if request.param == "fsspec":
        return Store(f"memory://{tmp_path.name}-{time.time_ns()}/store")
    return Store(request.getfixturevalue("s3").url(f"{tmp_path.name}-{time.time_ns()}"))


def record(id: int, **more: Any) -> dict[str, Any]:
    texts = {"original_text": "ü – 日本", "perturbed_text": "u – 日本"}
    counts = {"queries": 3, "words": 3, "words_changed": 1, "seconds": 0.5}
    return {"id": id, "status": "failed", **texts, **counts, **more}


def fit(key: str) -> dict[str, Any]:
    spec = {"dataset": "sst2", "model": "bert", "head": "mvp"}
    figures = {"validation_accuracy": 0.5, "test_accuracy": 0.5, "seconds": 1.0, "curve": []}
    return {"key": key, "spec": spec, **figures}


def cell() -> tuple[str, dict[str, Any]]:
    """A planned cell's key, and what a store keeps of what was asked of it."""
    only = ["dataset=sst2", "model=bert-embedded", "head=mvp", "attack=textfooler"]
    plan = make_plan(load("embedded", only=only), Assets("embedded"), Store("nowhere"))
    return plan.todo[0].key, plan.todo[0].model_dump(mode="json")


def result(key: str) -> dict[str, Any]:
    axes = {"dataset": "sst2", "model": "bert", "head": "mvp", "training": "standard"}
    more = {"attack": "textfooler", "seed": 0, "fit": "fit", "sample": [1, 2]}
    return {"key": key, **axes, **more, "metrics": attack_metrics([record(1), record(2)])}


def test_what_is_written_is_read_back(store: Store) -> None:
    assert (store.fits_read(), store.cells_done(), store.attacked("log")) == ({}, set(), {})
    store.check_writable()
    store.write_fit("fit", b"weights", fit("fit"))
    store.write_evaluation("fit", "sst2-abc", {"dataset": "sst2", "accuracy": 0.5, "examples": 9})
    assert store.has_fit("fit") and store.read_weights("fit") == b"weights"
    assert store.fits_with_weights(store.fits_read()) == {"fit"}
    assert store.evaluations("fit") == {
        "sst2-abc": {"dataset": "sst2", "accuracy": 0.5, "examples": 9}
    }
    assert not store.has_cell("cell")
    key, asked = cell()
    store.write_cell(key, asked)
    assert store.read_cell(key) == asked
    store.write_cell("cell", asked)
    with pytest.raises(DamagedFile, match=f"it belongs to the cell {key}"):
        store.read_cell("cell")
    store.write_error("cell", "Traceback ...")
    assert store.cells_with("error.txt", ["cell", "other"]) == {"cell"}
    store.write_result("cell", result("cell"))
    assert store.has_cell("cell") and store.cells_done() == {"cell"}
    assert store.cells_asked() == {"cell", key}
    assert store.cells_with("error.txt", ["cell"]) == set()
    assert store.results_read() == {"cell": result("cell")} and not store.damaged


def test_a_log_is_the_same_before_and_after_it_is_merged(store: Store) -> None:
    for id in (3, 1, 2):
        store.add_attacked("log", record(id))
    before = store.attacked("log")
    assert before == {id: record(id) for id in (1, 2, 3)}
    store.merge_log("log", before)
    assert store.attacked("log") == before
    store.add_attacked("log", record(9))
    assert set(store.attacked("log")) == {1, 2, 3, 9}


@given(interrupted_after=st.integers(0, 6), again=st.integers(0, 6))
@settings(deadline=None, max_examples=30)
def test_a_merge_may_be_interrupted_anywhere(
    tmp_path_factory: pytest.TempPathFactory, interrupted_after: int, again: int
) -> None:
    """However often: no record is lost, and a merge that completes leaves one file."""

    class Killed(BaseException):
        pass

    class Interrupted(Files):
        def __init__(self, url: str, left: int) -> None:
            super().__init__(url)
            self.left = left

        def delete(self, name: str) -> None:
            self.left -= 1
            if self.left < 0:
                raise Killed
            super().delete(name)

    folder = tmp_path_factory.mktemp("merge")
    store = Store(str(folder))
    records = {id: record(id) for id in range(5)}
    for each in records.values():
        store.add_attacked("log", each)
    for left in (interrupted_after, again):
        with suppress(Killed):
            files = Interrupted(str(folder), left)
            Store(str(folder), files).merge_log("log", store.attacked("log"))
        assert store.attacked("log") == records
    store.merge_log("log", store.attacked("log"))
    assert [path.name for path in (folder / "attacks" / "log").iterdir()] == ["examples.jsonl"]


def weights_file(weights: bytes, key: str = "fit") -> str:
    return f"fits/{key}/weights-{digest(weights)[:16]}.safetensors"


def test_a_fit_is_there_only_when_its_weights_are(store: Store) -> None:
    store.files.write(weights_file(b"all of them"), b"half of them")
    assert not store.has_fit("fit")
    store.write_fit("fit", b"all of them", fit("fit"))
    assert store.has_fit("fit")
    store.files.write(weights_file(b"all of them"), b"all of the")
    with pytest.raises(DamagedFile, match=r"weights-.*\.safetensors.* is damaged \(not the wei"):
        store.read_weights("fit")
    store.files.delete(weights_file(b"all of them"))
    assert not store.has_fit("fit") and store.fits_with_weights(store.fits_read()) == set()
    with pytest.raises(FileNotFoundError):
        store.read_weights("fit")


def test_weights_under_the_name_of_an_earlier_version_are_read(store: Store) -> None:
    record = {**fit("fit"), "weights_sha256": digest(b"weights")}
    store.files.write("fits/fit/weights.safetensors", b"weights")
    store.files.write("fits/fit/fit.json", json.dumps(record).encode())
    assert store.has_fit("fit") and store.read_weights("fit") == b"weights"
    assert store.fits_with_weights(store.fits_read()) == {"fit"}
    assert store.write_fit("fit", b"others", fit("fit")) == record
    assert store.read_weights("fit") == b"weights"
    store.files.write("fits/fit/weights.safetensors", b"weigh")
    with pytest.raises(DamagedFile, match=r"weights\.safetensors"):
        store.read_weights("fit")
    store.write_fit("fit", b"weights", fit("fit"))
    assert store.read_weights("fit") == b"weights"


def test_of_two_writers_of_a_fit_the_first_wins_however_they_interleave(store: Store) -> None:
    """A's node was cut off and its fit was handed out again: B ends while A is writing."""
    one, other = b"weights of A", b"weights of B, another last bit"
    store.files.write(weights_file(one), one)
    stored = store.write_fit("fit", other, {**fit("fit"), "seconds": 2.0})
    assert store.write_fit("fit", one, fit("fit")) == stored == store.read_fit("fit")
    assert stored["seconds"] == 2.0 and store.read_weights("fit") == other
    assert "replaces_others" not in stored
    assert set(store.files.names("fits/fit")) == {"fit.json", weights_file(other)[9:]}


def test_both_of_two_writers_at_once_find_the_same_fit(tmp_path: Path) -> None:
    """Each of them has written its weights before either looks at the record."""
    store, barrier = Store(str(tmp_path)), threading.Barrier(8)

    def write(number: int) -> Any:
        mine = Store(str(tmp_path))
        create = mine.files.create
        mine.files.create = lambda *file: (barrier.wait(), create(*file))[1]  # type: ignore
        return mine.write_fit("fit", f"weights {number}".encode(), fit("fit"))

    with ThreadPoolExecutor(8) as threads:
        records = list(threads.map(write, range(8)))
    assert all(record == store.read_fit("fit") for record in records)
    assert store.has_fit("fit") and len(store.files.names("fits/fit")) == 2


def test_a_fit_whose_weights_are_damaged_or_gone_is_replaced(store: Store) -> None:
    store.write_fit("fit", b"weights", fit("fit"))
    store.files.write(weights_file(b"weights"), b"damaged")
    again = store.write_fit("fit", b"others", {**fit("fit"), "seconds": 3.0})
    assert again["replaces_others"] and store.read_weights("fit") == b"others"
    store.files.delete(weights_file(b"others"))
    same = store.write_fit("fit", b"others", fit("fit"))
    assert same == again and store.read_weights("fit") == b"others"
    store.files.write("fits/fit/fit.json", b"{}")
    store.write_fit("fit", b"weights", fit("fit"))
    assert store.read_weights("fit") == b"weights"


def test_a_file_is_created_once(store: Store) -> None:
    assert store.files.create("notes/a", b"first") and not store.files.create("notes/a", b"second")
    assert store.files.read("notes/a") == b"first" and store.files.names("notes") == ["a"]


def test_a_disk_without_links_keeps_the_first_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    test_a_file_is_created_once(Store(str(tmp_path)))


def test_what_was_measured_on_other_weights_counts_as_missing(store: Store) -> None:
    first = weights_name(store.write_fit("fit", b"weights", fit("fit")))
    accuracy: Any = {"dataset": "sst2", "accuracy": 0.5, "examples": 9}
    replayed: Any = {"replayed": [1], "right_before": [1], "fooled": []}
    of_it = {"fit": "fit", "weights": first}
    store.write_evaluation("fit", "sst2-abc", {**accuracy, **of_it})
    store.write_evaluation("fit", "sst2-old", accuracy)
    store.write_transfer("fit", {"log": {**replayed, **of_it}, "old": replayed})
    assert set(store.evaluations("fit")) == {"sst2-abc", "sst2-old"}
    assert set(store.transfer("fit")) == {"log", "old"}
    store.files.delete(weights_file(b"weights"))
    store.write_fit("fit", b"others", fit("fit"))
    assert store.evaluations("fit") == store.transfer("fit") == {}


def test_a_killed_upload_leaves_no_object_and_can_be_done_again(s3: Any) -> None:
    import boto3

    url = s3.url("killed")
    code = (
        "import sys; from trainables.store import Store;"
        "Store(sys.argv[1]).write_fit('fit', bytes(400_000_000), {})"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, url])
    client = boto3.client("s3", endpoint_url=s3.endpoint, region_name="us-east-1")
    try:
        while not client.list_multipart_uploads(Bucket="bucket").get("Uploads"):
            assert writer.poll() is None, "the writer ended before it could be killed"
            time.sleep(0.01)
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    store = Store(url)
    assert not store.has_fit("fit") and store.files.below("") == []
    store.write_fit("fit", b"weights", fit("fit"))
    assert store.read_weights("fit") == b"weights"


def test_an_attacked_example_is_one_request_and_weights_are_sent_in_parts(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication

    asked, real = [], DomainDispatcherApplication.__call__

    def noted(self: Any, environ: Any, start: Any) -> Any:
        asked.append((environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "").partition("=")[0]))
        return real(self, environ, start)

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", noted)
    store = Store(s3.url("requests"))
    store.has_cell("x")
    asked.clear()
    store.add_attacked("log", {"id": 1, "text": "a" * 2000})
    assert asked == [("PUT", "")]
    large = os.urandom(25_000_000)
    asked.clear()
    store.files.write("fits/some-fit-0123456789/weights.safetensors", large)
    assert asked[0] == ("POST", "uploads") and asked.count(("PUT", "partNumber")) > 1
    assert store.files.read("fits/some-fit-0123456789/weights.safetensors") == large
    as_asked = Store(f"{s3.url('requests')}&allow_delayed_open=false")
    as_asked.has_cell("x")
    asked.clear()
    as_asked.add_attacked("log", {"id": 2})
    assert len(asked) == 3


def test_a_listing_that_lags_loses_no_example(s3: Any) -> None:
    class Lagging(Files):
        def names(self, folder: str) -> list[str]:
            return []

    store = Store(s3.url("lagging"), Lagging(s3.url("lagging")))
    store.add_attacked("log", record(5))
    assert store.attacked("log") == {}
    assert store.attacked("log", look_for=[4, 5, 6]) == {5: record(5)}


def test_a_killed_writer_leaves_nothing_for_long(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_cell("cell-0123456789", {})
    half = tmp_path / "cells" / "cell-0123456789" / f"result.json.{'0' * 32}.part"
    half.write_text('{"half":')
    store.remove_leftovers()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["cell.json"]
    assert store.cells_done() == set()


# What other people may have put into a store


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/outside", "a//b", "a\0b", ".."])
def test_no_name_leads_out_of_the_store(store: Store, key: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="would lead outside"):
        store.write_cell(key, {})
    with pytest.raises(BadInput, match="would lead outside"):
        store.read_weights(key)
    assert not list(tmp_path.rglob("outside*"))


@given(st.text(alphabet="./a\\\0", max_size=8))
@settings(deadline=None)
def test_every_name_stays_inside_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    base = tmp_path_factory.mktemp("base")
    try:
        Store(str(base / "store")).write_cell(name, {})
    except BadInput:
        assert not list(base.iterdir())
        return
    written = [path for path in base.rglob("*") if path.is_file()]
    assert written and all((base / "store" / "cells") in path.parents for path in written)


def test_a_record_whose_id_is_a_path_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "precious.json"
    victim.write_text("{}")
    store = Store(str(tmp_path / "store"))
    with pytest.raises(BadInput, match="not an attacked example"):
        store.add_attacked("log", record("../../../precious"))  # type: ignore[arg-type]
    store._write_json("attacks/log/1.json", record("../../../precious"))  # type: ignore[arg-type]
    assert store.attacked("log") == {} and list(store.damaged) == ["attacks/log/1.json"]
    assert victim.exists()


class Malice:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_place_of_weights_is_never_run(tmp_path: Path, tiny_bert: Path) -> None:
    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec

    store = Store(str(tmp_path / "store"))
    store.write_fit("fit", pickle.dumps(Malice(tmp_path / "owned")), fit("fit"))
    head = build_head("mlp_ft", HeadSpec(tiny_bert, False, 2, None, 20))
    with pytest.raises(Exception, match="header"):
        head.load_bytes(store.read_weights("fit"))
    assert not (tmp_path / "owned").exists()


def test_a_models_pickle_is_never_loaded(tmp_path: Path, tiny_bert: Path) -> None:
    import shutil

    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec

    folder = tmp_path / "model"
    shutil.copytree(tiny_bert, folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Malice(tmp_path / "owned")))
    with pytest.raises(OSError, match="safetensors"):
        build_head("mlp_ft", HeadSpec(folder, False, 2, None, 20))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "name", ["a?b=c", "50%20 off", "[x] 'y' \"z\"", "#1", "ü 日本", "a;b&c", "~"]
)
def test_a_store_may_have_any_name_that_a_folder_can_have(name: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / name))
    store.check_writable()
    store.add_attacked("log", record(1))
    assert store.attacked("log") == {1: record(1)} and store.logs_begun() == {"log"}
    assert Path(store.place("attacks/log/1.json")).is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_no_text_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"udcff.*rename it"):
        Store(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).check_writable()


def test_keys_in_the_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(BadInput) as refused:
        Store("s3://AKIA:hunter2@bucket/results").check_writable()
    assert "hunter2" not in str(refused.value) and "environment" in str(refused.value)


def test_an_unknown_kind_of_url_is_one_line() -> None:
    with pytest.raises(BadInput, match="cannot be opened") as refused:
        Store("abc://bucket/results").check_writable()
    assert len(str(refused.value).splitlines()) == 1


def test_a_write_that_fails_names_the_store_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    place = tmp_path / "store"
    with pytest.raises(StoreError, match=f"the store {place} cannot be written: .*(exists|Not a)"):
        Store(str(place)).write_cell("cell", {})
    (tmp_path / "notes").write_text("a person's")
    with pytest.raises(BadInput, match=r"notes is a file where the store keeps a folder"):
        Store(str(tmp_path)).check_writable()
    assert (tmp_path / "notes").read_text() == "a person's"


@pytest.mark.parametrize("url", ["s3://", "file://", "file://rel/x", "file:///a%00b", "memory://"])
def test_a_url_that_names_no_folder_is_one_line(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        Store(url).check_writable()
    assert len(str(refused.value).splitlines()) == 1 and url in str(refused.value)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\r", "\n"])
def test_texts_may_hold_any_line_separator(separator: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    records = {id: record(id, original_text=f"one{separator}two") for id in range(3)}
    store.merge_log("log", records)
    assert store.attacked("log") == records
