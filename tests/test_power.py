"""Which gain a plan can tell, before anything is run and with what the store has."""

import json
from pathlib import Path

import numpy as np
import pytest
from stores import EXAMPLES, write

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.report.claim import gains
from orchestrator.report.from_store import read_store
from orchestrator.sweep.__main__ import main
from orchestrator.sweep.power import power_of
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

ONLY = ("dataset=sst2,mrpc", "model=bert-embedded", "head=mlp_ft,mvp", "attack=textfooler")


def planned(store: Store, only: tuple[str, ...] = ONLY, examples: int = EXAMPLES,
            seeds: list[int] | None = None) -> Plan:  # fmt: skip
    space = load("embedded", only=only, sets=[f"attack.examples={examples}"], seeds=seeds)
    return make_plan(space, Assets("embedded"), store)


def status(cell: Cell, id: int) -> str:
    """A quarter of pairs differ, half of them each way."""
    right = id % 8 != 0 if cell.fit.head == "mvp" else id % 8 != 4
    return "failed" if right else "successful"


def test_without_results_the_variance_is_assumed_and_said_to_be(tmp_path: Path) -> None:
    found = power_of(planned(Store(str(tmp_path)), examples=100), Store(str(tmp_path)))
    assert found is not None and found.measured == []
    # Two data sets of 100 examples of which 35 % differ.
    assert found.expected.error == pytest.approx(np.sqrt(0.35 / 200))
    assert found.expected.detectable == pytest.approx(2.8 * np.sqrt(0.35 / 200), rel=0.02)
    assert "35% of pairs differ" in " ".join(found.in_words())
    assert "these fits only" in " ".join(found.in_words())


def test_attacks_on_the_same_examples_are_no_independent_evidence(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    one, four = (power_of(planned(store, only), store) for only in (ONLY, ONLY[:-1]))
    assert one is not None and four is not None
    assert one.expected.error / 2 < four.expected.error < one.expected.error


def test_seeds_count_and_with_fits_that_differ_examples_alone_do_not_do(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    found = power_of(planned(store, seeds=[0, 1, 2]), store)
    assert found is not None and found.expected.seeds == 3
    assert found.expected.examples_for(0.04) is None
    assert "no number of examples" in " ".join(found.in_words())


def test_the_stores_variance_is_used_where_it_has_both_heads(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for cell in planned(store).todo:
        if cell.fit.dataset == "sst2":
            write(cell, store, status)
    part = power_of(planned(store), store)
    assert part is not None and part.measured == ["sst2"] and list(part.assumed())
    for cell in planned(store).todo:
        write(cell, store, status)
    plan = planned(store)
    whole = power_of(plan, store)
    assert whole is not None and whole.measured == ["sst2", "mrpc"] and not list(whole.assumed())
    gain = gains(read_store(plan, store))[0].gain
    assert gain is not None
    assert whole.expected.error == pytest.approx(gain.error, rel=1e-6)
    assert whole.expected.detectable == pytest.approx(gain.detectable, rel=1e-6)


def test_the_dry_run_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--store", str(tmp_path), "--dry-run", *(w for o in ONLY for w in ("--only", o))]
    assert main(asked) == 0
    assert "power: mvp over mlp_ft on 2 data sets × models, 1 attack" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["power"]
    assert told["compared"] == ["mvp", "mlp_ft"] and 0 < told["detectable"] < 1
    alone = ["--only", "dataset=sst2", "--only", "head=mvp", "--json"]
    assert main([*asked[:3], *alone]) == 0
    assert json.loads(capsys.readouterr().out)["power"] is None
