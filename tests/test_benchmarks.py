"""What the benchmarks of whole grids compare with, and how they measure."""

import sys
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest
import torch

from benchmarks import decision_rule
from benchmarks.grid import MODEL, Slice
from benchmarks.one_cell import HEADS
from benchmarks.side_by_side import described, machine, measure, spread
from trainables.assets import Assets
from trainables.data import load_splits
from trainables.fit import fresh_head
from trainables.store import Store

CHILD = "import time\nwhile time.process_time() < 1.5: pass"
LEAVES_A_CHILD = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {CHILD!r}])
time.sleep(1)
"""


def test_the_decision_rules_tables_are_headed_as_its_script_heads_them() -> None:
    written = Path(decision_rule.__file__).with_name("RESULTS.md").read_text()
    for header in (decision_rule.PAIRS, decision_rule.BOLDS):
        assert f"\n| {' | '.join(header)} |\n" in written


def test_the_decision_rule_draws_as_often_as_it_is_told() -> None:
    """Intervals of two draws are not those of a thousand, by the rule now as by that before."""
    now = decision_rule.PAIRS.index("holds the gain, now")
    few, many = ([row[now] for row in islice(decision_rule.pairs(40, n, 0), 3)] for n in (2, 1000))
    assert few != many


def test_the_scripts_mvp_scores_as_our_head(tmp_path: Path) -> None:
    """A long text too, which both cut at the same token."""
    only = ("dataset=sst2", MODEL, "head=mvp", "attack=textfooler")
    (cell,) = Slice(only, (), 1, tmp_path).cells(Store(str(tmp_path)))
    assets, data = Assets("embedded"), cell.fit.data
    rows = load_splits("sst2", data, assets.dataset_files("sst2", data)).test[:20]
    texts = [*(row.texts[0] for row in rows), "a long and dull film " * 50]
    folder = assets.model_folder(cell.fit.model, cell.fit.language_model)
    theirs = HEADS["mvp"](cell, folder).victim()(texts)
    ours = fresh_head(cell.fit, assets).predict([(text,) for text in texts])
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


def test_workers_attack_what_one_process_does(tmp_path: Path) -> None:
    from benchmarks.attack import Workers, load_rows  # Sets TextAttack up.

    only = ("dataset=ag_news", MODEL, "head=mlp_ft", "attack=textfooler")
    (cell,) = Slice(only, (), 1, tmp_path).cells(Store(str(tmp_path)))
    head = fresh_head(cell.fit, Assets("embedded")).eval()
    queries = []
    for cores in (1, 2):
        with closing(Workers(head, cores)) as workers:
            queries.append(workers.run("textfooler", load_rows().test[:4])[0])
    assert queries[0] == queries[1] > 0


def test_what_descends_from_a_command_is_measured_too(tmp_path: Path) -> None:
    usage = measure([sys.executable, "-c", LEAVES_A_CHILD], {}, tmp_path / "log")
    assert usage.processes == 2
    assert usage.wall >= 1.0
    assert 0.0 < usage.pss <= usage.rss


def test_a_command_that_fails_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        measure([sys.executable, "-c", "raise SystemExit('no such thing')"], {}, tmp_path / "log")


def test_a_figure_is_the_median_with_lowest_and_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2.0 (1.0–3.0)"
    assert spread([1.25], 2) == "1.25"


def test_a_measurement_says_on_which_machine() -> None:
    assert "cores of" in described(machine())
