"""What each fast path of trainables/speed saves alone: fits and attacks with it and without.

    python -m benchmarks.fast_paths [--paths linear] [--rounds N] [--json FILE]

Whole fits of the embedded space (sst2, packaged models), from building the head to the record of
the fit, and attacks on the last of them. Sides take turns in one process with one thread, and its
CPU time is measured, so other load on the machine does not count. A figure is the time without the
path divided by the time with it: the median of all rounds, with lowest and highest.

The path `imports` is not measured: it acts before any of this.

`same bits`: whether fits end with the same weights, and attacks with the same records.

BERT-Attack has 3 candidates a word, because TextAttack's own class tries all combinations of
pieces.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.side_by_side import described, machine, spread, table
from orchestrator.plan.plan import make_plan
from search_spaces.cell import Cell, Fit
from search_spaces.space import load
from trainables import speed
from trainables.assets import Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.data import attacked_examples
from trainables.fit import Fitted, fine_tune, fresh_head, load_data
from trainables.store import Store

OF_FITS = ("linear", "last_layer", "templates", "gelu")
OF_ATTACKS = (
    "linear", "last_layer", "templates", "texts", "bert_attack", "sentences", "pieces", "lockstep",
    "first_layer", "beginnings",
)  # fmt: skip
ONLY = ("dataset=sst2", "head=mlp_ft,mvp")
FEWER = {"bert_attack": {"max_candidates": 3}}
ASSETS = Assets("embedded")
UNTIMED = ("seconds", "victim_seconds", "constraint_seconds")


class Round(NamedTuple):
    """CPU seconds, and a digest of what came out."""

    seconds: float
    digest: str


def fit_of(fit: Fit) -> Fitted:
    *_, done = fine_tune(fit, fresh_head(fit, ASSETS), load_data(fit, ASSETS))
    assert isinstance(done, Fitted)
    return done


def fit_digest(fit: Fit) -> str:
    return hashlib.sha256(fit_of(fit).head.to_bytes()).hexdigest()


def attack_digest(cell: Cell, head: Any) -> str:
    from trainables.attacks.engine import Victim, attack_examples
    from trainables.attacks.recipes import build_attack

    columns, attacked = cell.fit.data.columns, cell.fit.data.attacked

    def attack() -> Any:
        return build_attack(
            cell.attack_kind,
            Victim(head),
            {**cell.attack_settings, **FEWER.get(cell.attack, {})},
            cell.attack_resources,
            masked_language_model(cell.attack_resources, head.device),
            columns,
            attacked,
        )

    sample = attacked_examples(load_data(cell.fit, ASSETS).test, cell.examples)
    place = (columns, cell.fit.seed, cell.fit.dataset, cell.attack)
    at_once = cell.at_once if speed.is_on("lockstep") else 1
    found = attack_examples(attack, sample, *place, attacked=attacked, at_once=at_once)
    records = sorted(found, key=lambda record: record["id"])
    said = [{k: v for k, v in record.items() if k not in UNTIMED} for record in records]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def in_turns(run: Callable[[], str], paths: Sequence[str], rounds: int) -> dict[str, list[Round]]:
    """Rounds with all fast paths (empty name) and without each of them, after one warm-up."""
    names = ["", *paths]
    run()
    found: dict[str, list[Round]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            with speed.off(*name.split("+")) if name else nullcontext():
                began = time.process_time()
                digest = run()
                found[name].append(Round(time.process_time() - began, digest))
    return found


def figures(found: dict[str, dict[str, list[Round]]]) -> str:
    rows = []
    for what, rounds in found.items():
        with_all = rounds[""]
        for name, without in rounds.items():
            if name:
                ratios = [a.seconds / b.seconds for a, b in zip(without, with_all, strict=True)]
                same = {each.digest for each in without} == {each.digest for each in with_all}
                rows.append(
                    {
                        "what": what,
                        "without": name,
                        "CPU s with all": spread([each.seconds for each in with_all], 2),
                        "× as long": spread(ratios, 3),
                        "same bits": "yes" if same else "no",
                    }
                )
    return table(rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What each fast path saves.")
    parser.add_argument(
        "--paths",
        default=",".join(dict.fromkeys(OF_FITS + OF_ATTACKS)),
        help="some of them; `one+other`: both at once",
    )
    parser.add_argument("--only", action="append", help="AXIS=VALUES, as of a sweep")
    parser.add_argument("--rows", type=int, default=400, help="training examples (default: 400)")
    parser.add_argument("--examples", type=int, default=3, help="attacked examples (default: 3)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args(argv)
    paths = arguments.paths.split(",")
    where = machine()
    torch.set_num_threads(1)
    prepare_textattack("embedded")
    sets = [f"fit.train_examples={arguments.rows}", f"attack.examples={arguments.examples}"]
    space = load("embedded", only=[*ONLY, *(arguments.only or [])], sets=sets)
    found: dict[str, dict[str, list[Round]]] = {}
    for cells in make_plan(space, ASSETS, Store("no_such_store")).fits.values():
        fit = cells[0].fit
        name = f"{fit.model} {fit.head}"
        if of_fits := [path for path in paths if set(path.split("+")) <= set(OF_FITS)]:
            run = partial(fit_digest, fit)
            found[f"fit {name}"] = in_turns(run, of_fits, arguments.rounds)
        if of_attacks := [path for path in paths if set(path.split("+")) <= set(OF_ATTACKS)]:
            head = fit_of(fit).head
            for cell in cells:
                run = partial(attack_digest, cell, head)
                found[f"{cell.attack} {name}"] = in_turns(run, of_attacks, arguments.rounds)
        print(figures({k: v for k, v in found.items() if k.endswith(name)}), flush=True)
    print(f"\n{described(where)}\n\n{figures(found)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": where, "rounds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
