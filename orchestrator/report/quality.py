"""About the attacks: how good their adversarial examples are, and what fits and attacks cost."""

from collections.abc import Callable, Iterable
from statistics import mean, median

import numpy as np

from orchestrator.report import devices
from orchestrator.report.results import CellResult, Results, fits, name_of
from orchestrator.report.tables import Entry, Figure, Table, count

HOURS = 3600.0
OUT_OF_QUERIES = "Out of queries: the query budget was spent before the attack succeeded."

Column = Callable[[CellResult], np.ndarray]
MEASURED: list[tuple[Column, int]] = [  # of successful examples, and digits shown
    (lambda r: r.outcomes.edit_distance, 1),
    (lambda r: r.outcomes.similarity, 2),
    (lambda r: r.outcomes.bits_before, 2),
    (lambda r: r.outcomes.bits_after, 2),
]


def quality(results: Results) -> Table:
    """A row per attack over all its cells: success rate, how its texts changed, and queries."""
    rows: list[list[Entry]] = []
    budgets = _out_of_queries(results.cells)
    for attack in results.attacks:
        cells = [result for result in results.cells if result.cell.attack == attack]
        final = all(result.final for result in cells)
        attacked = _joined(cells, lambda r: r.outcomes.queries[r.outcomes.right_before])
        successful = int(sum(np.sum(~np.isnan(r.outcomes.words_changed)) for r in cells))
        rows.append(
            [
                attack,
                Figure(successful / len(attacked) if len(attacked) else None, final=final),
                Figure(_mean(_joined(cells, lambda r: r.outcomes.words_changed)), final=final),
                *(
                    Figure(_mean(_joined(cells, column)), percent=False, digits=digits, final=final)
                    for column, digits in MEASURED
                ),
                Figure(_mean(attacked), percent=False, digits=0, final=final),
                Figure(
                    float(np.median(attacked)) if len(attacked) else None,
                    percent=False, digits=0, final=final,
                ),
                count(len(attacked)),
                count(successful),
                *([count(_out_of_queries(cells))] if budgets else []),
            ]
        )  # fmt: skip
    header = [
        "attack", "success rate", "words changed", "edit distance", "similarity",
        "perplexity before", "perplexity after", "queries", "median queries", "attacked",
        "successful",
        *(["out of queries"] if budgets else []),
    ]  # fmt: skip
    notes = [
        "Words changed (in %) to perplexity are means over successful attacks, queries over all "
        "attacked examples. Edit distance: in characters. Similarity: cosine of the whole texts' "
        "embeddings by the sentence encoder of the attack's resources. Perplexity: bits per "
        "character that the packaged GPT-2 needs for the text before and after the attack; more "
        "means less fluent. – if the examples were attacked before it was recorded.",
        *([OUT_OF_QUERIES] if budgets else []),
    ]
    return Table("quality", "Quality of adversarial examples", header, rows, notes=notes)


def _out_of_queries(cells: Iterable[CellResult]) -> int:
    return int(sum(result.outcomes.budget.sum() for result in cells))


def warnings(results: Results) -> list[str]:
    """What makes attacks weaker than they seem: time limits, words that the model does not read."""
    lines = []
    if timeouts := sum(int(result.outcomes.timeout.sum()) for result in results.cells):
        lines.append(
            f"Timed out (attack.seconds_per_example): {timeouts:,} attacked "
            f"example{'s' * (timeouts != 1)}, counted as failed."
        )
    if budgets := _out_of_queries(results.cells):
        lines.append(
            f"Out of queries (attack.query_budget): {budgets:,} attacked "
            f"example{'s' * (budgets != 1)}, counted as failed."
        )
    unread = _words_unread(results)
    if unread:
        shares = ", ".join(f"{share:.0%} in {dataset}" for dataset, share in unread.items())
        lines.append(
            f"Words of attacked examples beyond what the model reads (fit.max_length): {shares}; "
            "attacks spend queries on them, and changing them has no effect."
        )
    return lines


def _words_unread(results: Results) -> dict[str, float]:
    """The share of attacked examples' words by data set, if it is at least 1 %."""
    counts: dict[str, list[int]] = {}
    for result in results.cells:
        counted = counts.setdefault(result.cell.fit.dataset, [0, 0])
        counted[0] += int(result.outcomes.words_unread[result.outcomes.right_before].sum())
        counted[1] += int(result.outcomes.words[result.outcomes.right_before].sum())
    shares = {dataset: unread / max(words, 1) for dataset, (unread, words) in counts.items()}
    return {dataset: share for dataset, share in shares.items() if share >= 0.01}


def cost(results: Results) -> Table:
    """A row per head and training: seconds of its fits, seconds and queries of its attacks."""
    rows: list[list[Entry]] = []
    for method in results.methods:
        cells = [result for result in results.cells if result.method == method]
        fit_seconds = [float(result.fit["seconds"]) for result in fits(cells)]
        examples = sum(int(result.outcomes.right_before.sum()) for result in cells)
        attack_seconds = sum(float(result.metrics["attack_seconds"] or 0) for result in cells)
        queries = sum(int(r.outcomes.queries[r.outcomes.right_before].sum()) for r in cells)
        rows.append(
            [
                name_of(method),
                count(len(fit_seconds)),
                Figure(median(fit_seconds), percent=False),
                Figure(sum(fit_seconds) / HOURS, percent=False, digits=2),
                count(examples),
                Figure(attack_seconds / examples if examples else None, percent=False, digits=2),
                Figure(attack_seconds / HOURS, percent=False, digits=2),
                Figure(queries / attack_seconds if attack_seconds else None, percent=False),
            ]
        )
    header = [
        "head", "fits", "seconds per fit", "hours of fits", "attacked examples",
        "seconds per example", "hours of attacks", "queries per second",
    ]  # fmt: skip
    notes = [
        "Median seconds per fit; hours are of one trial, whatever it held (CPUs, GPUs). Attacked "
        "examples are without those the model had wrong before. Queries per second count answers "
        "from the attack's cache, over all its seconds: not the model's speed."
    ]
    mixed = devices.warnings(results.cells)
    return Table("cost", "Time and cost", header, rows, notes=notes, warnings=mixed)


def elsewhere(results: Results) -> Table | None:
    """Clean accuracy of each fit on other data sets than its own, if a space asks for it."""
    rows: list[list[Entry]] = [
        [
            result.cell.fit.dataset,
            result.cell.fit.model,
            name_of(result.method),
            str(result.seed),
            record["dataset"],
            Figure(record["accuracy"]),
            count(record["examples"]),
        ]
        for result in fits(results.cells)
        for record in result.evaluations
    ]
    if not rows:
        return None
    header = ["trained on", "model", "head", "seed", "evaluated on", "accuracy", "examples"]
    return Table("elsewhere", "Other data sets, clean", header, rows, texts=5)


def _joined(cells: Iterable[CellResult], column: Column) -> np.ndarray:
    columns = [column(result) for result in cells]
    joined = np.concatenate(columns).astype(float) if columns else np.zeros(0)
    return joined[~np.isnan(joined)]


def _mean(numbers: np.ndarray) -> float | None:
    return mean(numbers.tolist()) if len(numbers) else None
