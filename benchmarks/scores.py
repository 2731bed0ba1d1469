"""What the kind of attack score changes, on a store whose sweep was run under several of them.

    python -m benchmarks.scores [--space embedded] [--store results] [the sweep's --only and --set]

By head: attacked records of which the outcome, or only the text or the number of queries, differs
from those under the space's own kind; accuracy under attack in % and the head's rank by each kind.
And by data set: the share of attacked examples that asked more than 50 queries a word, which a
query budget of `50 per word` would end.

The store is that of sweeps such as

    python -m orchestrator.sweep
    python -m orchestrator.sweep --set attack.scores=textattack
"""

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from benchmarks.side_by_side import table
from orchestrator.cli.arguments import add_plan_arguments, open_plan
from orchestrator.report.from_store import read_store
from orchestrator.report.results import CellResult, Method, Results, name_of
from search_spaces.query_budget import queries_of
from trainables.records import ExampleRecord

BUDGET = "50 per word"
Place = tuple[object, ...]


def compared(results: Results) -> str:
    """Tables of what each other kind changes, and of ranks."""
    if not results.by_scores:
        return "one kind of score only; run the sweep with --set attack.scores=KIND too"
    first, *others = results.by_scores
    own = {_place(result): result for result in results.by_scores[first]}
    rows: list[dict[str, Any]] = []
    for kind in others:
        for method in results.methods:
            there = [each for each in results.by_scores[kind] if each.method == method]
            pairs = [pair for each in there for pair in _pairs(own[_place(each)], each)]
            outcome = sum(one["status"] != other["status"] for one, other in pairs)
            found = sum(_found(one) != _found(other) for one, other in pairs)
            rows.append(
                {
                    "scores": kind,
                    "head": name_of(method),
                    "examples": len(pairs),
                    "other outcome": outcome,
                    "other text or queries": found - outcome,
                }
            )
    return f"Against {first}\n\n{table(rows)}\n\n{_ranks(results)}"


def _ranks(results: Results) -> str:
    """Over the cells that every kind has."""
    sides = {k: {_place(r): r for r in cells} for k, cells in results.by_scores.items()}
    common = set.intersection(*(set(side) for side in sides.values()))
    under = {kind: _levels(results, side, common) for kind, side in sides.items()}
    rows: list[dict[str, Any]] = []
    for method in results.methods:
        row = {"head": name_of(method)}
        for kind, levels in under.items():
            rank = 1 + sum(value > levels[method] for value in levels.values())
            row[f"{kind} (rank)"] = f"{levels[method]:.1f} ({rank})"
        rows.append(row)
    return table(rows)


def _levels(
    results: Results, side: Mapping[Place, CellResult], common: Collection[Place]
) -> dict[Method, float]:
    return {
        method: 100 * mean(_robust(side[place]) for place in common if side[place].method == method)
        for method in results.methods
    }


def over_budget(cells: Iterable[CellResult]) -> str:
    """By data set and attack: the share of attacked examples over BUDGET, in %."""
    found: dict[tuple[str, str], list[bool]] = {}
    for result in cells:
        shares = found.setdefault((result.cell.fit.dataset, result.cell.attack), [])
        right = result.outcomes.right_before
        asked = zip(
            result.outcomes.queries[right].tolist(),
            result.outcomes.words[right].tolist(),
            strict=True,
        )
        shares += [queries > queries_of(BUDGET, words) for queries, words in asked]
    attacks = list(dict.fromkeys(attack for _, attack in found))
    return table(
        [
            {f"over {BUDGET}, %": dataset}
            | {each: f"{100 * mean(found[dataset, each] or [False]):.1f}" for each in attacks}
            for dataset in dict.fromkeys(dataset for dataset, _ in found)
        ]
    )


def _place(result: CellResult) -> Place:
    return tuple(result.cell.axes().values())


def _robust(result: CellResult) -> float:
    return float(result.outcomes.right_under_attack.mean())


def _pairs(one: CellResult, other: CellResult) -> list[tuple[ExampleRecord, ExampleRecord]]:
    by_id = {record["id"]: record for record in one.records()}
    return [(by_id[r["id"]], r) for r in other.records() if r["id"] in by_id]


def _found(record: ExampleRecord) -> tuple[object, ...]:
    return record["status"], record.get("perturbed_text"), record.get("queries")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What the kind of attack score changes.")
    add_plan_arguments(parser)
    plan, store, _ = open_plan(parser.parse_args(argv))
    results = read_store(plan, store)
    print(compared(results))
    print(f"\n{over_budget(results.cells)}")


if __name__ == "__main__":
    main()
