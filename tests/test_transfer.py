"""Transfer as a user runs it: a small sweep, its examples replayed on all fits, and the numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
from commands import kill_when, options, start

from orchestrator.plan.plan import make_plan
from orchestrator.report.from_store import read_store
from orchestrator.report.results import Transfer
from orchestrator.report.transfer import matrices
from search_spaces.catalog import Catalog, attack_settings
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables import transfer as replay_module
from trainables.assets import Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.cell import stored_head
from trainables.data import Example, load_splits
from trainables.fit import load_data
from trainables.heads.base import Head, Texts
from trainables.store import Store
from trainables.transfer import adversarial, replay

ASSETS = Assets("embedded")
ONLY = ["dataset=mrpc", "model=bert-embedded", "head=mlp_ft,mvp", "attack=textbugger,misspellings"]
SETS = ["attack.examples=6", "fit.train_examples=400", "fit.max_epochs=2"]
SMALL = options(ONLY, SETS)


def run(module: str, store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run(module, *SMALL, "--store", str(store), *arguments)


def records(store: Path) -> dict[str, Any]:
    """What is stored of the transfer, by fit."""
    return {
        path.parent.name: json.loads(path.read_text())
        for path in store.glob("fits/*/transfer.json")
    }


def finished(store: Path) -> list[Cell]:
    plan = make_plan(load("embedded", ONLY, SETS), ASSETS, Store(str(store)))
    return plan.with_status("done")


def copy(store: Path, to: Path) -> Path:
    """Only the sweep's results, without the replays."""
    for path in store.rglob("*"):
        if path.is_file() and path.name != "transfer.json" and "mlflow" not in str(path):
            target = to / path.relative_to(store)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return to


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("swept")
    done = run("sweep", store)
    assert done.returncode == 0, done.stdout + done.stderr
    return store


@pytest.fixture(scope="module")
def transferred(
    swept: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    store = copy(swept, tmp_path_factory.mktemp("transferred") / "store")
    done = run("transfer", store)
    assert done.returncode == 0, done.stdout + done.stderr
    return store, done


def test_what_is_stored_is_what_stored_weights_say_of_stored_texts(
    transferred: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Two columns, split by hand: no text of this data set holds a line break."""
    folder, _ = transferred
    store, cells = Store(str(folder)), finished(folder)
    pairs = 0
    for fit in {cell.fit.key: cell.fit for cell in cells}.values():
        head = stored_head(fit, store, ASSETS).head
        stored = store.transfer(fit.key)
        for source in cells:
            log = [r for r in store.attacked(source.log).values() if r["status"] == "successful"]
            if not log:
                assert source.log not in stored
                continue
            pairs += 1
            texts = {
                (r["id"], text): tuple(r[text].split("\n"))
                for r in log
                for text in ("original_text", "perturbed_text")
            }
            right = {
                place: int(head([text])[0].argmax()) == by_id(log)[place[0]]["label"]
                for place, text in texts.items()
            }
            before = {r["id"] for r in log if right[r["id"], "original_text"]}
            fooled = {id for id in before if not right[id, "perturbed_text"]}
            entry = stored[source.log]
            assert sorted(entry["replayed"]) == sorted(by_id(log))
            assert set(entry["right_before"]) == before
            assert set(entry["fooled"]) == fooled
    assert pairs >= 4, "hardly anything was replayed"


def by_id(log: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {record["id"]: record for record in log}


def test_every_example_fools_the_fit_it_was_found_against(
    transferred: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = transferred
    plan = make_plan(load("embedded", ONLY, SETS), ASSETS, Store(str(folder)))
    results = read_store(plan, Store(str(folder)))
    matrix: list[Transfer] = results.transfers
    own = [pair for pair in matrix if pair.source.fit.key == pair.target.key]
    assert own and len(matrix) == 2 * len(own)
    for pair in own:
        assert pair.replayed == pair.right_before == pair.fooled > 0
    others = [pair for pair in matrix if pair.source.fit.key != pair.target.key]
    assert all(pair.replayed >= pair.right_before >= pair.fooled for pair in others)
    (table,) = matrices(results)
    one, another = table.methods
    # With one fit a head, a head's own examples are left out.
    assert table.rate(one, one) is table.rate(another, another) is None
    fooled = sum(pair.fooled for pair in others if pair.source.fit.head == one[0])
    right = sum(pair.right_before for pair in others if pair.source.fit.head == one[0])
    assert table.rate(one, another) == fooled / right
    assert any(pair.fooled < pair.replayed for pair in others), "nothing to tell the fits apart"


def test_again_there_is_nothing_to_do(
    transferred: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = transferred
    written = {path: path.stat().st_mtime_ns for path in folder.glob("fits/*/transfer.json")}
    again = run("transfer", folder)
    assert again.returncode == 0, again.stderr
    assert "nothing to do: all is replayed on all 2 fits of embedded" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert not list(folder.glob("drivers/*"))


@pytest.mark.slow
def test_more_examples_replay_only_those_that_are_new(
    swept: Path, transferred: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    all_at_once, said = transferred
    store = copy(swept, tmp_path / "store")
    first = run("transfer", store, "--examples", "1")
    assert first.returncode == 0, first.stderr
    entries = [entry for record in records(store).values() for entry in record.values()]
    assert entries and all(len(entry["replayed"]) == 1 for entry in entries)
    second = run("transfer", store)
    assert second.returncode == 0, second.stderr
    assert records(store) == records(all_at_once)
    assert to_replay(second) > 0
    assert to_replay(first) + to_replay(second) == to_replay(said)


def to_replay(done: subprocess.CompletedProcess[str]) -> int:
    (line,) = [line for line in done.stdout.splitlines() if " examples to replay on " in line]
    return int(line.split()[0])


@pytest.mark.slow
def test_a_killed_transfer_goes_on_where_it_was(
    swept: Path, transferred: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    all_at_once, _ = transferred
    store = copy(swept, tmp_path / "store")
    arguments = [*SMALL, "--store", str(store), "--max-concurrent", "1"]
    kill_when(lambda: list(store.glob("fits/*/transfer.json")), start("transfer", *arguments))
    kept = {path: path.stat().st_mtime_ns for path in store.glob("fits/*/transfer.json")}
    resumed = run("transfer", store)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert records(store) == records(all_at_once)
    assert not list(store.rglob("*.part")) and not list(store.glob("drivers/*"))


def test_a_replay_that_was_cut_off_keeps_its_parts(
    swept: Path,
    transferred: tuple[Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    all_at_once, _ = transferred
    store, cells = Store(str(copy(swept, tmp_path / "store"))), finished(swept)
    fit = cells[0].fit
    rows = {e.id: e for e in load_data(fit, ASSETS).test}
    sources = {
        cell.log: adversarial([log[id] for id in store.read_result(cell.key)["sample"]], rows, 1)
        for cell in cells
        for log in [store.attacked(cell.log)]
    }
    total = sum(map(len, sources.values()))
    monkeypatch.setattr(replay_module, "KEPT_AT_ONCE", 2)
    assert next(replay(fit, sources, store, ASSETS))["replayed"] == 2
    assert sum(len(entry["replayed"]) for entry in store.transfer(fit.key).values()) == 2
    *_, last = replay(fit, sources, store, ASSETS)
    assert last["replayed"] == total - 2
    examples = [example for found in sources.values() for example in found]
    texts = {text for e in examples for text in (e.original, e.perturbed)}
    assert last["predicted"] <= len(texts), "a text was predicted twice"
    assert store.transfer(fit.key) == records(all_at_once)[fit.key]
    assert list(replay(fit, sources, store, ASSETS)) == []


@pytest.mark.slow
def test_weights_that_are_gone_are_made_again_and_all_is_replayed(
    swept: Path, tmp_path: Path
) -> None:
    store = copy(swept, tmp_path / "store")
    gone, cut = sorted(store.glob("fits/*/weights-*.safetensors"))
    weights = {path: path.read_bytes() for path in (gone, cut)}
    for path in (gone, cut):
        path.unlink()
    cut.write_bytes(weights[cut][:1000])
    done = run("transfer", store)
    assert done.returncode == 0, done.stderr
    assert set(records(store)) == {gone.parent.name, cut.parent.name}
    assert {path: path.read_bytes() for path in (gone, cut)} == weights
    assert "2 of 2 fits done" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no cell of embedded is finished in"),
        (["--examples", "0"], "'0' is not a number of examples"),
        (["--ray-address", "127.0.0.1:9"], "no Ray cluster answers at 127.0.0.1:9"),
        (["--store", ""], "--store is empty"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = run("transfer", tmp_path, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def test_a_running_sweep_refuses_a_transfer(swept: Path, tmp_path: Path) -> None:
    from orchestrator.run.lease import Lease

    store = copy(swept, tmp_path / "store")
    with Lease(Store(str(store))):
        done = run("transfer", store)
    assert done.returncode == 2 and "another sweep writes to" in done.stderr


def test_the_matrix_is_read_without_torch_and_ray(
    transferred: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    code = (
        "import sys; from orchestrator.transfer.__main__ import main; sys.argv[0] = 'transfer';"
        "code = main(); assert not {'torch', 'ray', 'mlflow', 'textattack'} & set(sys.modules);"
        "sys.exit(code)"
    )
    folder, _ = transferred
    words = [sys.executable, "-c", code, *SMALL, "--store", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and "nothing to do" in done.stdout, done.stderr


class KnowsByHeart(Head):
    """Right on the texts it was given, wrong on any other; it records its inputs."""

    def __init__(self, texts: list[tuple[str, ...]]) -> None:
        super().__init__()
        self.texts, self.asked = set(texts), set[tuple[str, ...]]()

    def forward(self, texts: Texts) -> torch.Tensor:
        self.asked.update(texts)
        return torch.tensor([[0.0, 1.0] if text in self.texts else [1.0, 0.0] for text in texts])


@pytest.mark.parametrize("attack", ["textfooler", "textbugger", "bert_attack", "misspellings"])
@pytest.mark.parametrize("dataset", ["boolq", "mrpc"])
def test_attacked_pairs_with_line_breaks_are_split_as_the_victim_saw_them(
    dataset: str, attack: str
) -> None:
    prepare_textattack("embedded")
    from trainables.attacks.engine import Victim, attack_examples
    from trainables.attacks.recipes import build_attack

    catalog = Catalog()
    data, recipe = catalog.dataset(dataset), catalog.attack(attack)
    test = load_splits(dataset, data, ASSETS.dataset_files(dataset, data)).test[:12]
    # Each text of a pair over two lines, as real ones of several sentences are.
    pairs = [tuple(text.replace(" ", "\n", 1) for text in example.texts) for example in test]
    rows = {number: Example(number, texts, 1) for number, texts in enumerate(pairs)}
    victim = KnowsByHeart(pairs)
    settings = attack_settings(recipe, data, "mvp", "embedded")
    built = build_attack(
        recipe.kind, Victim(victim), settings, "embedded",
        masked_language_model("embedded"), data.columns, data.attacked,
    )  # fmt: skip
    log = list(
        attack_examples(
            lambda: built, rows.values(), data.columns, 0, dataset, attack, attacked=data.attacked
        )
    )
    found = adversarial(log, rows, data.columns.index(data.attacked))
    assert len(found) == sum(record["status"] == "successful" for record in log) > 0
    for example in found:
        assert [text.count("\n") for text in example.original] == [1, 1]
        assert example.perturbed in victim.asked and example.perturbed != example.original


def test_an_example_of_which_another_column_changed_is_left_out() -> None:
    rows = {1: Example(1, ("who", "it was he"), 0), 2: Example(2, ("who", "it was she"), 0)}
    log = [
        {"id": 1, "status": "successful", "label": 0, "perturbed_text": "whom\nit was he"},
        {"id": 2, "status": "successful", "label": 0, "perturbed_text": "who\nit is she"},
    ]
    (found,) = adversarial(log, rows, 1)
    assert (found.id, found.perturbed) == (2, ("who", "it is she"))
