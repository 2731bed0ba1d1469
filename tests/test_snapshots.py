"""A fit that was stopped goes on from its last snapshot, to the same bits and the same record."""

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import A10G

from orchestrator.plan.plan import make_plan
from search_spaces.catalog import Prompts
from search_spaces.cell import Cell, Fit
from search_spaces.space import load
from trainables import fit as fit_module
from trainables import probe as probe_module
from trainables.assets import Assets
from trainables.attacks.in_fits import Tried
from trainables.cell import StoredHead, fit_and_store, stored_head
from trainables.data import Example, Splits
from trainables.files import StoreError
from trainables.fit import Fitted, fine_tune
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec
from trainables.ran_on import line_of, ran_on, short
from trainables.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
ASSETS = Assets("embedded")
SMALL = [
    "fit.train_examples=20", "fit.max_length=24", "fit.batch_size=4", "fit.max_epochs=2",
    "fit.evaluate_every=8", "fit.patience=2", "fit.learning_rate=0.003", "attack.examples=1",
    "fit.schedule=cosine", "fit.warmup=0.2", "fit.max_grad_norm=0.5",
    "fit.decay_norms_and_biases=false", "fit.dropout=0.1",
    "axes.training=[standard, adversarial, infobert, amda_embedded]",
]  # fmt: skip
ONLY = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft,mvp,lpft_dense", "attack=misspellings"]
PROMPTS = Prompts(templates=["[SEP] the film is [MASK]"], label_words=[["bad"], ["good"]])
WORDS = ["the", "film", "movie", "was", "good", "bad", "great", "dull", "plot"]
KINDS = {
    "mlp_ft": ("bert", "mlp_ft", "standard"),
    "mvp": ("roberta", "mvp", "standard"),
    "causal": ("gpt2", "mlp_ft", "standard"),
    "probed first": ("bert", "lpft_dense", "standard"),
    "adversarial": ("bert", "mvp", "adversarial"),
    "a critic": ("roberta", "mvp", "infobert"),
    "added rows": ("bert", "mlp_ft", "amda_embedded"),
}


@pytest.fixture(autouse=True)
def a_snapshot_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "SNAPSHOT_EVERY", 0.0)


@cache
def cells() -> list[Cell]:
    return make_plan(load("embedded", ONLY, SMALL), ASSETS, Store("nowhere")).todo


def fit_of(head: str, training: str) -> Fit:
    fit = next(c.fit for c in cells() if (c.fit.head, c.fit.training) == (head, training))
    return fit if fit.attack is None else often_attacked(fit)


def often_attacked(fit: Fit) -> Fit:
    """With rounds after every 12 examples, of a quick attack."""
    assert fit.attack is not None
    settings = {**fit.training_entry.settings, "attacked_rows": 6, "every": 12}
    attack = {"name": "misspellings", "kind": "misspellings", "settings": {
        "max_words_changed_count": 1, "min_word_length": 4}}  # fmt: skip
    return fit.model_copy(
        update={
            "training_entry": fit.training_entry.model_copy(update={"settings": settings}),
            "attack": fit.attack.model_copy(update=attack),
        }
    )


def reverse(head: Head, rows: Sequence[Example], round: int) -> Iterator[Tried]:
    """An attack that takes no time: of every other row, its words in reverse order and one more."""
    for row in rows:
        more = random.Random(f"{row.id}/{round}").choice(WORDS)  # of the row alone, as an attack's
        text = f"{' '.join(reversed(row.texts[0].split()))} {more}"
        yield Tried(row.id, Example(row.id, (text,), row.label) if row.id % 2 else None, False)


def splits() -> Splits:
    draw = random.Random(0)
    every = [Example(id, (" ".join(draw.choices(WORDS, k=6)),), id % 2) for id in range(60)]
    return Splits(every[:20], every[20:40], every[40:])


@dataclass(repr=False)
class Whole:
    """A fit that nothing interrupted, its fresh head, and its snapshot after each step."""

    fit: Fit
    folder: Path
    causal: bool
    snapshots: list[bytes]
    reports: list[Any]
    fitted: Fitted

    def head(self) -> Head:
        return head_of(self.fit, self.folder, self.causal)


def head_of(fit: Fit, folder: Path, causal: bool) -> Head:
    torch.manual_seed(fit.seed)
    return build_head(fit.head_entry.kind, HeadSpec(folder, causal, 2, PROMPTS, 24))


@pytest.fixture(scope="module", params=KINDS)
def whole(request: pytest.FixtureRequest, one_thread: None) -> Whole:
    name, head, training = KINDS[request.param]
    return made(fit_of(head, training), request.getfixturevalue(f"tiny_{name}"), name == "gpt2")


def made(fit: Fit, folder: Path, causal: bool = False) -> Whole:
    snapshots: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "SNAPSHOT_EVERY", 0.0)
        head = head_of(fit, folder, causal)
        *reports, fitted = fine_tune(fit, head, splits(), snapshots.append, attack=reverse)
    assert isinstance(fitted, Fitted) and len(snapshots) >= fitted.record["examples_seen"] / 4 > 4
    assert fit.attack is None or any(fitted.record["added_rows"])
    return Whole(fit, folder, causal, snapshots, reports, fitted)


def sha(fitted: Fitted) -> str:
    return hashlib.sha256(fitted.head.to_bytes()).hexdigest()


def record(fitted: Fitted) -> dict[str, Any]:
    return {name: value for name, value in fitted.record.items() if name != "seconds"}


def use_up_random_numbers() -> None:
    """As in a process that did other things before."""
    random.seed(9)
    np.random.seed(9)
    torch.manual_seed(9)


@given(data=st.data())
@settings(
    deadline=None, max_examples=5, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_a_fit_that_stops_at_any_step_goes_on_to_the_same_bits(
    whole: Whole, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, len(whole.snapshots) - 1))
    head = whole.head()
    use_up_random_numbers()
    snapshots: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_module, "probe", lambda *_: pytest.fail("probed again"))
        kept = whole.snapshots[step]
        steps = fine_tune(whole.fit, head, splits(), snapshots.append, kept, attack=reverse)
        first, *reports, fitted = steps
    assert isinstance(fitted, Fitted)
    assert len(snapshots) == len(whole.snapshots) - 1 - step
    assert sha(fitted) == sha(whole.fitted)
    assert record(fitted) == record(whole.fitted)
    assert first["finished"] == first["found"] > step
    assert reports == whole.reports[len(whole.reports) - len(reports) :]
    assert all(report["finished"] > first["finished"] for report in reports)


def test_the_seconds_of_a_fit_are_those_of_all_its_processes(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(perf_counter=partial(next, count()))  # a second each time it is read
    monkeypatch.setattr(fit_module, "time", clock)
    whole = made(fit_of("mlp_ft", "standard"), tiny_bert)
    assert whole.fitted.record["seconds"] > 10
    first, *_ = fine_tune(whole.fit, whole.head(), splits(), None, whole.snapshots[-1])
    *_, fitted = fine_tune(whole.fit, whole.head(), splits(), None, whole.snapshots[-1])
    assert first["finished"] == whole.fitted.record["examples_seen"]
    assert isinstance(fitted, Fitted)
    assert fitted.record["seconds"] == pytest.approx(whole.fitted.record["seconds"], abs=4)


def test_a_fit_that_goes_on_on_another_device_names_both(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it goes on from there once more, on the first device again."""
    whole = made(fit_of("mlp_ft", "standard"), tiny_bert)
    assert "begun_on" not in whole.fitted.record
    here, kept = short(ran_on("cpu")), list[bytes]()
    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "where_runs", lambda head: A10G)
        steps = fine_tune(whole.fit, whole.head(), splits(), kept.append, whole.snapshots[2])
        *_, fitted = steps
        assert isinstance(fitted, Fitted) and fitted.record["begun_on"] == [here]
        there = {**fitted.record, "ran_on": A10G}
        assert line_of(there) == f"{short(A10G)}, begun on {here}"
    *_, fitted = fine_tune(whole.fit, whole.head(), splits(), None, kept[0])
    assert isinstance(fitted, Fitted) and fitted.record["begun_on"] == [short(A10G)]


def test_a_fit_of_less_than_ten_minutes_keeps_no_snapshot(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "SNAPSHOT_EVERY", 600.0)
    fit, kept = fit_of("mlp_ft", "standard"), list[bytes]()
    list(fine_tune(fit, head_of(fit, tiny_bert, False), splits(), kept.append))
    assert not kept


@pytest.mark.parametrize("foreign", ["key", "torch", "weights"])
def test_a_snapshot_of_another_fit_or_torch_counts_as_none(
    foreign: str, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(fit_of("mlp_ft", "standard"), tiny_bert)
    fit, snapshot = whole.fit, whole.snapshots[2]
    if foreign == "key":
        fit = fit.model_copy(update={"key": "another"})
    if foreign == "torch":
        monkeypatch.setattr(torch, "__version__", "2.99.0")
    if foreign == "weights":
        mvp = made(fit_of("mvp", "standard").model_copy(update={"key": fit.key}), tiny_bert)
        snapshot = mvp.snapshots[2]
    *reports, fitted = fine_tune(fit, whole.head(), splits(), None, snapshot)
    assert isinstance(fitted, Fitted) and sha(fitted) == sha(whole.fitted)
    assert reports == whole.reports


# In a store


@pytest.fixture
def tiny(tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """A fit that `fit_and_store` makes with a tiny model and few rows."""
    fit = fit_of("mlp_ft", "standard")
    monkeypatch.setattr(fit_module, "fresh_head", lambda fit, *_: head_of(fit, tiny_bert, False))
    monkeypatch.setattr(fit_module, "load_data", lambda *_: splits())
    return fit


class Killed(BaseException):
    pass


def stop_after(store: Store, fit: Fit, snapshots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write, left = store.write_snapshot, [snapshots]

    def killing(key: str, content: bytes) -> None:
        write(key, content)
        left[0] -= 1
        if not left[0]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_snapshot", killing)
        with pytest.raises(Killed):
            list(fit_and_store(fit, store, ASSETS))


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store(str(tmp_path / "store"))
    return Store(request.getfixturevalue("s3").url(f"{tmp_path.name}-{time.time_ns()}"))


def test_a_stored_snapshot_is_gone_on_from_and_removed_with_the_fit(
    store: Store, tiny: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, undisturbed = fit_and_store(tiny, Store(str(tmp_path / "undisturbed")), ASSETS)
    stop_after(store, tiny, 3, monkeypatch)
    assert not store.has_fit(tiny.key) and store.fits_read() == {}
    stop_after(store, tiny, 2, monkeypatch)
    assert store.files.names(f"fits/{tiny.key}") == ["snapshot.bin"]
    first, *_, fitted = fit_and_store(tiny, store, ASSETS)
    assert first["found"] == 4 * (3 + 2)
    assert isinstance(undisturbed, StoredHead) and isinstance(fitted, StoredHead)
    assert fitted.record["weights_sha256"] == undisturbed.record["weights_sha256"]
    assert "snapshot.bin" not in store.files.names(f"fits/{tiny.key}")


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "a folder"])
def test_a_damaged_snapshot_counts_as_none(
    damage: str, tiny: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    stop_after(store, tiny, 3, monkeypatch)
    path = tmp_path / "fits" / tiny.key / "snapshot.bin"
    content = path.read_bytes()
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    else:
        changed = content[:5000] + b"x" + content[5001:]
        path.write_bytes({"cut": content[:9999], "changed": changed, "empty": b""}[damage])
    first, *_, fitted = fit_and_store(tiny, store, ASSETS)
    assert "found" not in first and isinstance(fitted, StoredHead) and store.has_fit(tiny.key)
    assert not store.damaged


def test_a_store_that_takes_no_snapshot_costs_only_the_snapshot(
    tiny: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))

    def full(*_: Any) -> None:
        raise StoreError("no space left")

    monkeypatch.setattr(store, "write_snapshot", full)
    *_, fitted = fit_and_store(tiny, store, ASSETS)
    assert isinstance(fitted, StoredHead) and store.has_fit(tiny.key)


def test_what_a_fit_left_behind_is_removed_once_it_is_stored(
    store: Store, tiny: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process was killed after it stored the fit; another one lost to it and was killed, too."""
    stop_after(store, tiny, 1, monkeypatch)
    monkeypatch.setattr(store, "remove_snapshot", lambda _: None)
    *_, fitted = fit_and_store(tiny, store, ASSETS)
    assert isinstance(fitted, StoredHead)
    lost = f"weights-{'0' * 16}.safetensors"
    store.files.write(f"fits/{tiny.key}/{lost}", b"others")
    store.files.write("fits/begun-0123456789/snapshot.bin", b"of a fit that is not stored")
    store.files.write(f"fits/begun-0123456789/{lost}", b"a record of which may yet come")
    names = {"fit.json", f"weights-{fitted.weights}.safetensors"}
    assert set(store.files.names(f"fits/{tiny.key}")) == names | {lost, "snapshot.bin"}
    store.remove_leftovers()
    assert set(store.files.names(f"fits/{tiny.key}")) == names
    assert set(store.files.names("fits/begun-0123456789")) == {"snapshot.bin", lost}


def test_a_snapshot_that_nobody_goes_on_from_is_removed_after_a_month(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not the one of a fit that is to be made now, nor files with other names."""
    for key in ("left-0123456789", "asked-0123456789"):
        store.write_snapshot(key, b"state")
    store.files.write("fits/left-0123456789/mine.bin", b"the user's")
    snapshots = {f"fits/{key}-0123456789/snapshot.bin" for key in ("left", "asked")}
    store.remove_leftovers()
    assert snapshots < set(store.files.below("fits"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 29 * 86400)
    store.remove_leftovers()
    assert snapshots < set(store.files.below("fits"))
    monkeypatch.setattr(time, "time", lambda: now + 31 * 86400)
    store.remove_leftovers({"asked-0123456789"})
    assert set(store.files.below("fits")) == {
        "fits/asked-0123456789/snapshot.bin",
        "fits/left-0123456789/mine.bin",
    }


def test_a_fit_that_is_made_again_for_an_attack_uses_the_threads_of_its_key(
    tiny: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def load_data(*_: Any) -> Splits:
        threads.append(torch.get_num_threads())
        return splits()

    monkeypatch.setattr(fit_module, "load_data", load_data)
    torch.set_num_threads(2)
    try:
        stored_head(tiny, Store(str(tmp_path)), ASSETS)
        assert threads == [tiny.identity["threads"]] == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_fit_that_another_process_stored_meanwhile_is_that_ones(
    store: Store, tiny: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU their weights differ: here by the random numbers that the other one drew."""
    elsewhere = Store(str(tmp_path / "elsewhere"))
    with monkeypatch.context() as patch:
        fresh_head = fit_module.fresh_head

        def drawn_on(fit: Fit, assets: Assets, device: str) -> Head:
            head = fresh_head(fit, assets, device)
            torch.rand(1)
            return head

        patch.setattr(fit_module, "fresh_head", drawn_on)
        *_, other = fit_and_store(tiny, elsewhere, ASSETS)
    assert isinstance(other, StoredHead)

    def meanwhile(key: str, _: bytes) -> None:
        store.write_fit(key, elsewhere.read_weights(key), elsewhere.read_fit(key))

    *_, alone = fit_and_store(tiny, Store(str(tmp_path / "alone")), ASSETS)
    monkeypatch.setattr(store, "write_snapshot", meanwhile)
    *_, mine = fit_and_store(tiny, store, ASSETS)
    assert isinstance(alone, StoredHead) and isinstance(mine, StoredHead)
    assert mine.record == other.record == store.read_fit(tiny.key)
    assert mine.weights == other.weights != alone.weights
    assert mine.head.to_bytes() == store.read_weights(tiny.key)
    assert len(store.files.names(f"fits/{tiny.key}")) == 2


RUN = """
import sys, trainables.fit, trainables.cell
trainables.fit.SNAPSHOT_EVERY = 0.0
sys.exit(trainables.cell.main())
"""


def test_a_fit_that_is_killed_goes_on_in_another_process(tmp_path: Path) -> None:
    """`python -m trainables.cell`, killed as a machine is that is taken away, in a fit with rows
    that it made by attacking."""
    cell = next(c for c in cells() if (c.fit.head, c.fit.training) == ("mlp_ft", "amda_embedded"))
    cell = cell.model_copy(update={"fit": often_attacked(cell.fit)})
    folder = tmp_path / "killed" / "fits" / cell.fit.key
    asked = tmp_path / "cell.json"
    asked.write_text(cell.model_dump_json())

    def run_until(file: str) -> str:
        """Run the cell and kill it when the fit's folder has the file; returns what it said."""
        command = [sys.executable, "-c", RUN, str(asked), "--store", str(tmp_path / "killed")]
        run = subprocess.Popen(
            [*command, "--assets", "embedded"], stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 300
        try:
            while not (folder / file).exists():
                assert run.poll() is None and time.monotonic() < deadline
                time.sleep(0.005)
        finally:
            run.send_signal(signal.SIGKILL)
        return run.communicate()[0]

    run_until("snapshot.bin")
    assert not (folder / "fit.json").exists()
    assert '"found"' in run_until("fit.json")
    *_, undisturbed = fit_and_store(cell.fit, Store(str(tmp_path / "undisturbed")), ASSETS)
    assert isinstance(undisturbed, StoredHead)
    resumed = Store(str(tmp_path / "killed")).read_fit(cell.fit.key)
    assert resumed["weights_sha256"] == undisturbed.record["weights_sha256"]
    assert {**resumed, "seconds": 0} == {**undisturbed.record, "seconds": 0}
