"""What goes wrong within a cell is recorded, retried where that helps, and reported in one line."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import ONE_FIT

from orchestrator.plan.plan import Plan, PlannedCell, make_plan
from orchestrator.report.comparison import as_markdown
from orchestrator.report.from_store import read_store
from orchestrator.run.lease import Lease
from orchestrator.sweep.driver import Stop
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.cell import Part, Worker
from trainables.data import Example, attacked_examples
from trainables.files import StoreError
from trainables.fit import gradients, load_data
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec, Texts
from trainables.optimizer import adamw
from trainables.store import Store
from trainables.training.base import FromFunction
from trainables.training.standard import standard_loss

ASSETS = Assets("embedded")
SMALL = ["fit.train_examples=16", "attack.examples=8"]
BAD = """
from pathlib import Path
from textattack.constraints import Constraint
from trainables.attacks.recipes import misspellings

class Picky(Constraint):
    def __init__(self):
        super().__init__(compare_against_original=True)
    def _check_constraint(self, transformed, reference):
        if any(bad in reference.text for bad in Path({file!r}).read_text().splitlines()):
            raise ZeroDivisionError("a text that it cannot bear")
        return True

def picky(settings, resources, masked_lm):
    transformation, constraints, search = misspellings(settings, resources, masked_lm)
    return transformation, [*constraints, Picky()], search
"""


@pytest.fixture
def picky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Cell, Path]]:
    """A cell with a user's own attack that raises on the texts that a file names, and that file."""
    bad = tmp_path / "bad_texts"
    bad.write_text("")
    (tmp_path / "picky_attack.py").write_text(BAD.format(file=str(bad)))
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = {
        "about": "Cannot bear some texts.",
        "kind": "picky_attack:picky",
        "settings": {"max_words_changed_count": 1, "min_word_length": 4},
    }
    (tmp_path / "catalog" / "attacks").mkdir(parents=True)
    (tmp_path / "catalog" / "attacks" / "picky.yaml").write_text(yaml.safe_dump(entry))
    space = yaml.safe_load(
        (Path(__file__).parent.parent / "search_spaces/embedded.yaml").read_text()
    )
    space["axes"]["attack"] = ["picky"]
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    plan = make_plan(
        load(str(tmp_path / "space.yaml"), only=ONE_FIT, sets=SMALL),
        ASSETS,
        Store(str(tmp_path / "x")),
    )
    (cell,) = plan.todo
    yield cell, bad
    sys.modules.pop("picky_attack", None)


def attacked_texts(cell: Cell) -> list[str]:
    sample = attacked_examples(load_data(cell.fit, ASSETS).test, cell.examples)
    return [example.texts[0] for example in sample]


def run(cell: Cell, store: Store) -> dict[str, Any]:
    *_, last = Worker(store, ASSETS).run(cell)
    return last


def ended(last: dict[str, Any]) -> tuple[float | None, float | None]:
    """How many examples ended in errors, and how many in the averages, of a cell that is done."""
    assert last["phase"] == "done", last
    return last["metrics"]["num_errors"], last["metrics"]["num_examples"]


def test_one_bad_example_is_recorded_and_left_out(picky: tuple[Cell, Path], tmp_path: Path) -> None:
    cell, bad = picky
    store = Store(str(tmp_path / "store"))
    texts = attacked_texts(cell)
    bad.write_text("nothing of this kind")
    assert run(cell, Store(str(tmp_path / "all_well")))["metrics"]["num_errors"] == 0
    well = Store(str(tmp_path / "all_well")).attacked(cell.log)
    victim = next(id for id, r in well.items() if r["status"] != "skipped")
    bad.write_text(well[victim]["original_text"])
    last = run(cell, store)
    assert ended(last) == (1, len(texts) - 1)
    records = store.attacked(cell.log)
    assert records[victim]["status"] == "error"
    assert "ZeroDivisionError" in records[victim]["traceback"]
    times = dict.fromkeys(("seconds", "victim_seconds", "constraint_seconds"), 0)
    timeless = [{**r, **times} for r in records.values() if r["status"] != "error"]
    assert timeless == [{**well[r["id"]], **times} for r in timeless]
    plan = Plan(load("embedded"), [PlannedCell(cell, "done")], frozenset())
    assert "| 7 (1 more: errors) | 1 |" in as_markdown(read_store(plan, store))


def test_an_attack_that_fails_on_all_fails_the_cell_and_can_be_run_again(
    picky: tuple[Cell, Path], tmp_path: Path
) -> None:
    cell, bad = picky
    store = Store(str(tmp_path / "store"))
    bad.write_text("\n".join(attacked_texts(cell)))
    last = run(cell, store)
    assert last["phase"] == "failed" and "so the attack or the model is broken" in last["error"]
    assert "a text that it cannot bear" in last["error"]
    bad.write_text("nothing of this kind")
    last = run(cell, store)
    assert ended(last) == (0, 8)


class Full(Store):
    def add_attacked(self, log: str, *records: Any) -> None:
        raise StoreError("the disk is full")


def test_parts_of_a_cell_attack_their_examples_and_leave_what_fails_to_the_cell(
    picky: tuple[Cell, Path], tmp_path: Path
) -> None:
    cell, _ = picky
    store = Store(str(tmp_path / "store"))
    worker = Worker(store, ASSETS)
    assert next(record for record in worker.run(cell) if record.get("fit_done"))
    *_, first = worker.run(cell, Part(0, 2))
    assert (first["phase"], first["attacked"]) == ("part_done", 4)
    *_, second = Worker(Full(store.url), ASSETS).run(cell, Part(1, 2))
    assert second["phase"] == "part_done" and "the disk is full" in second["error"]
    assert not store.cells_done() and not Path(store.error_path(cell.key)).exists()
    kept = store.attacked(cell.log)
    assert {r["original_text"] for r in kept.values()} == set(attacked_texts(cell)[:4])

    *_, again = worker.run(cell, Part(0, 2))
    assert (again["attacked"], again["spent"]["attack"]) == (0, 0.0)
    last = run(cell, store)
    assert ended(last) == (0, 8)
    assert {id: store.attacked(cell.log)[id] for id in kept} == kept, "attacked twice"


class Narrow(Head):
    """Memory for three texts at once, no more."""

    def __init__(self) -> None:
        super().__init__()
        self.model = torch.nn.Embedding(2, 2)
        self.sizes: list[int] = []

    def forward(self, texts: Texts) -> torch.Tensor:
        self.sizes.append(len(texts))
        if len(texts) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory (as a small GPU would say)")
        return torch.tensor([[float(len(text)), 0.0] for (text,) in texts])


def test_a_batch_too_large_for_memory_is_halved_and_stays_so() -> None:
    head = Narrow()
    texts = [("a" * length,) for length in range(1, 21)]
    logits = head.predict(texts)
    assert logits[:, 0].tolist() == [float(len(text)) for (text,) in texts]
    assert head.sizes[:4] == [20, 10, 5, 2] and set(head.sizes[3:]) == {2}
    before = len(head.sizes)
    head.predict(texts)
    assert set(head.sizes[before:]) == {2}


def test_half_a_batch_at_a_time_is_the_same_training_step(tiny_bert: Path) -> None:
    batch = [Example(i, (text,), i % 2) for i, text in enumerate(["good film", "bad", "dull plot"])]

    def gradients_with(memory_for: int) -> tuple[torch.Tensor, int, list[torch.Tensor]]:
        torch.manual_seed(0)
        head = build_head("mlp_ft", HeadSpec(tiny_bert, False, 2, None, 20)).eval()
        optimizer = adamw(head, 0.1, 0.0, True)

        def loss_of(head: Head, encoded: Any, labels: torch.Tensor, given: Any) -> torch.Tensor:
            if len(labels) > memory_for:
                raise torch.OutOfMemoryError("CUDA out of memory (as a small GPU would say)")
            return standard_loss(head, encoded, labels, given)

        loss, at_once = gradients(head, optimizer, batch, FromFunction(loss_of, {}), 8)
        return loss, at_once, [p.grad for p in head.parameters() if p.grad is not None]

    whole_loss, whole, expected = gradients_with(8)
    part_loss, parts, found = gradients_with(1)
    assert (whole, parts) == (8, 1)
    torch.testing.assert_close(part_loss, whole_loss)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    with pytest.raises(torch.OutOfMemoryError):
        gradients_with(0)


def test_a_disk_that_fills_up_is_said_in_a_line_and_a_rerun_completes(tmp_path: Path) -> None:
    """No file may grow over 1 MB: the weights do not fit."""
    plan = make_plan(
        load("embedded", only=[*ONE_FIT, "attack=misspellings"], sets=SMALL),
        ASSETS,
        Store(str(tmp_path / "store")),
    )
    (cell,) = plan.todo
    (tmp_path / "cell.json").write_text(cell.model_dump_json())
    command = [
        sys.executable, "-m", "trainables.cell", str(tmp_path / "cell.json"),
        "--store", str(tmp_path / "store"),
    ]  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6)),
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, last["phase"]) == (1, "failed")
    assert f"the store {tmp_path / 'store'} cannot be written: " in last["error"]
    assert not list((tmp_path / "store").rglob("*.part"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Store(str(tmp_path / "store")).cells_done() == {cell.key}


def test_an_object_store_that_goes_away_is_said_in_a_line_and_a_rerun_completes(
    s3: Any, tmp_path: Path
) -> None:
    store = Store(s3.url("goes-away"))
    plan = make_plan(
        load("embedded", only=[*ONE_FIT, "attack=misspellings"], sets=SMALL), ASSETS, store
    )
    (cell,) = plan.todo
    progress = Worker(store, ASSETS).run(cell)
    assert any(report.get("fit_done") for report in progress)
    s3.stop()
    try:
        *_, last = progress
    finally:
        s3.start()
    assert last["phase"] == "failed" and "the store s3://" in last["error"], last
    assert "cannot be" in last["error"]
    last = run(cell, store)
    assert ended(last) == (0, 8)
    assert Store(store.url).cells_done() == {cell.key}


def test_a_store_that_can_no_longer_be_written_stops_the_sweep(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path / "store"))
    stop = Stop(store, Lease(store))
    stop.after_failure()
    assert stop.reason() == "", "a cell that failed for a reason of its own stops nothing"
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").write_text("in the way")
    stop.after_failure()
    assert stop.reason().startswith(f"the store {store.url} cannot be written: ")


def test_a_store_that_was_taken_over_stops_the_sweep(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    lease = Lease(store)
    lease.lost.set()
    assert "another sweep took over" in Stop(store, lease).reason()
