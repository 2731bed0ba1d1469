"""The comparison: heads × attacks, over all data sets and models together and for each.

Accuracies are shares. The best of a column is marked only if it is significantly better than each
of the others, by the one rule of `statistics.Decision`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import mean, stdev

import numpy as np

from orchestrator.report import devices
from orchestrator.report.quality import elsewhere, warnings
from orchestrator.report.results import (
    CLEAN,
    UNDER_ATTACK,
    WORST,
    CellResult,
    Method,
    Place,
    Results,
)
from orchestrator.report.statistics import Estimate, Values, decide, estimate
from orchestrator.report.tables import Entry, Figure, Table, markdown

RULE = (
    "the 95 % interval of the difference, with a part for seeds where there are several, leaves 0 "
    "out, and p < 0.05 in the exact paired test over examples"
)
ONE_SEED = "With one seed that is about these fits, not about the methods."
BEST_NOTE = (
    f"Bold: significantly better than every other row of its column: against each, {RULE}. Not "
    "adjusted for the number of columns and tables."
)
UNSEEN = "unseen by all"
NO_BOLD = (
    f"Where a row of a column is seen, nothing in it is bold: its rows do not compare. Those of "
    f"{UNSEEN} do: under the attacks that no row's training has seen."
)
WORST_NOTE = (
    "Worst case: right under every one of the attacks, each chosen for the example; of the "
    "examples that all of a fit's attacks attacked."
)


def values(results: Sequence[CellResult], outcome: str = UNDER_ATTACK) -> Values:
    """A method's outcomes, a row per seed, with nan where an example was not attacked or in error.

    results: its cells at one place; of CLEAN and WORST, those of one data set and model under
    several attacks. Whether an example is right before it is attacked does not depend on the
    attack, so it is counted once a fit. WORST are the examples that all of these attacks attacked;
    a seed that lacks one of the attacks is left out.
    """
    by_seed: dict[int, list[CellResult]] = {}
    for result in results:
        by_seed.setdefault(result.seed, []).append(result)
    if outcome == WORST:
        most = len({result.cell.attack for result in results})
        by_seed = {seed: cells for seed, cells in by_seed.items() if len(cells) == most}
    rows = [_outcomes(cells, outcome) for cells in by_seed.values()]
    ids = sorted(set().union(*rows))
    matrix = np.array([[row.get(id, np.nan) for id in ids] for row in rows], dtype=float)
    group = results[0].cell.fit.dataset, results[0].cell.fit.dataset_digest
    return Values(group, tuple(by_seed), tuple(ids), matrix.reshape(len(rows), len(ids)))


def _outcomes(cells: Sequence[CellResult], outcome: str) -> dict[int, bool]:
    """Of a fit's cells, by example; where several have one, that of the cell with most examples."""
    cells = sorted(cells, key=lambda result: len(result.outcomes.ids))
    column = UNDER_ATTACK if outcome == WORST else outcome
    of_cells = [
        dict(zip(r.outcomes.ids.tolist(), getattr(r.outcomes, column).tolist(), strict=True))
        for r in cells
    ]
    if outcome != WORST:
        return {id: right for each in of_cells for id, right in each.items()}
    shared = set(of_cells[0]).intersection(*of_cells)
    return {id: all(each[id] for each in of_cells) for id in shared}


def sites(places: Iterable[Place], outcome: str) -> list[list[Place]]:
    """Places grouped as an outcome has them: each by itself, or all of a data set and model."""
    grouped: dict[tuple[str, ...], list[Place]] = {}
    for place in places:
        site = place if outcome == UNDER_ATTACK else place[:2]
        grouped.setdefault(site, []).append(place)
    return list(grouped.values())


def levels(
    results: Results, method: Method, places: Iterable[Place], outcome: str = UNDER_ATTACK
) -> list[Values]:
    """A method's outcomes at each site; none at all if it lacks one of the places."""
    found = []
    for site in sites(places, outcome):
        cells = [results.at(method, place) for place in site]
        if not all(cells):
            return []
        found.append(values([result for at in cells for result in at], outcome))
    return found


def differences(
    results: Results,
    first: Method,
    second: Method,
    places: Iterable[Place],
    outcome: str = UNDER_ATTACK,
) -> list[Values]:
    """First minus second at each site of the places that both were run at, for seeds and examples
    of both."""
    both = [p for p in places if results.at(first, p) and results.at(second, p)]
    return [
        first_values.minus(second_values)
        for first_values, second_values in zip(
            levels(results, first, both, outcome),
            levels(results, second, both, outcome),
            strict=True,
        )
    ]


def both_right(
    results: Results, first: Method, second: Method, places: Iterable[Place]
) -> list[Values]:
    """First minus second under attack at each of these places, which both have: of the texts that
    both classify correctly before the attack."""
    return [
        _of_right(results.at(first, place)).minus(_of_right(results.at(second, place)))
        for place in places
    ]


def _of_right(at: Sequence[CellResult]) -> Values:
    """Outcomes under attack; missing where the text was wrong before."""
    outcomes, right = values(at), values(at, CLEAN)
    return replace(outcomes, matrix=np.where(right.matrix == 1, outcomes.matrix, np.nan))


def best(
    results: Results, methods: Sequence[Method], places: Sequence[Place], outcome: str
) -> Method | None:
    """The method that is significantly better than every other one, or None; None too where one
    has seen an attack that others have not, so that they do not compare.

    Better than each is a claim that fails with any of its parts, so it needs no adjustment for
    their number (an intersection-union test).
    """
    if outcome != CLEAN and any(results.has_seen(method, places) for method in methods):
        return None
    means = {}
    for method in methods:
        there = [v for v in levels(results, method, places, outcome) if not v.is_empty]
        if len(there) == len(sites(places, outcome)):
            means[method] = mean(each.mean() for each in there)
    if len(means) < 2 or not all(is_final(results, m, places, outcome) for m in methods):
        return None
    leader = max(means, key=lambda method: means[method])
    better = (
        decide(differences(results, leader, other, places, outcome)).is_better
        for other in means
        if other != leader
    )
    return leader if all(better) else None


def is_final(
    results: Results, method: Method, places: Sequence[Place], outcome: str = UNDER_ATTACK
) -> bool:
    """Whether a method's figure will stay as it is: the worst case waits for all attacks, clean
    accuracy for the one that has attacked most examples."""
    if outcome == CLEAN:
        fullest = [max(site, key=lambda place: _count(results.at(method, place)))
                   for site in sites(places, CLEAN)]  # fmt: skip
        return results.is_final(method, fullest)
    awaited = results.awaited(method, {place[:2] for place in places}) if outcome == WORST else []
    return results.is_final(method, [*places, *awaited])


def _count(at: Sequence[CellResult]) -> int:
    return sum(len(result.outcomes.ids) for result in at)


def common_places(results: Results, methods: Sequence[Method]) -> list[Place]:
    """Places where all have every attack of the space, so that no mean is over easier ones."""
    homes = [
        home
        for home in results.homes
        if all(results.at(m, (*home, attack)) for m in methods for attack in results.attacks)
    ]
    return [(*home, attack) for home in homes for attack in results.attacks]


Column = tuple[str, str, list[Place]]  # its name, outcome, and the places it is over


def columns_of(results: Results, places: Sequence[Place]) -> list[Column]:
    """Clean accuracy, the worst case, each attack, all attacks, those that no training has seen if
    one has seen others; with one attack only that."""
    columns = [("clean", CLEAN, list(places))]
    several = len(results.attacks) > 1
    if several:
        columns.append(("worst case", WORST, list(places)))
    for attack in results.attacks:
        columns.append((attack, UNDER_ATTACK, [place for place in places if place[2] == attack]))
    if several:
        columns.append(("all attacks", UNDER_ATTACK, list(places)))
    if results.seen_by_any and (unseen := results.unseen(places)):
        columns.append((UNSEEN, UNDER_ATTACK, unseen))
    return columns


def overall_table(results: Results) -> Table | None:
    """A row per head and training: means over the data sets and models that all of them have.

    None if there are fewer than two of these.
    """
    places = common_places(results, results.methods)
    homes = list(dict.fromkeys(place[:2] for place in places))
    if len(homes) < 2:
        return None
    columns = columns_of(results, places)
    leaders = [best(results, results.methods, where, outcome) for _, outcome, where in columns]
    rows: list[list[Entry]] = []
    for method in results.methods:
        row: list[Entry] = [results.label_of(method)]
        for (_, outcome, where), leader in zip(columns, leaders, strict=True):
            average = estimate(levels(results, method, where, outcome))
            final = is_final(results, method, where, outcome)
            seen = outcome != CLEAN and results.has_seen(method, where)
            row.append(level(average, final, method == leader, seen))
        rows.append(row)
    header = ["head", *(name for name, _, _ in columns)]
    title = f"Accuracy under attack, mean of the {len(homes)} data sets × models all heads have"
    compared = [
        result for place in places for m in results.methods for result in results.at(m, place)
    ]
    return Table(
        "summary",
        title,
        header,
        rows,
        notes=[
            _basis(compared),
            *_worst_note(header),
            *_bold_note(leaders, compared),
            *_seen_note(rows),
        ],
        warnings=devices.warnings(compared),
    )


def place_tables(results: Results) -> list[Table]:
    """A table per data set and model: a row per head and training, a column per attack."""
    return [_place_table(results, home) for home in results.homes]


def _place_table(results: Results, home: tuple[str, str]) -> Table:
    here = [result for result in results.cells if result.place[:2] == home]
    there = {result.cell.attack for result in here}
    places = [(*home, attack) for attack in results.attacks]
    columns = [
        (name, outcome, [place for place in where if place[2] in there])
        for name, outcome, where in columns_of(results, places)
        if name not in ("all attacks", UNSEEN)
    ]
    methods = [m for m in results.methods if any(results.at(m, place) for place in places)]
    leaders = [
        None if outcome == CLEAN else best(results, _having(results, methods, w), w, outcome)
        for _, outcome, w in columns
    ]
    rows: list[list[Entry]] = []
    for method in methods:
        row: list[Entry] = [results.label_of(method)]
        for (_, outcome, where), leader in zip(columns, leaders, strict=True):
            own = where if outcome != CLEAN else [p for p in where if results.at(method, p)]
            final = is_final(results, method, own, outcome)
            found = levels(results, method, own, outcome) if own else []
            seen = outcome != CLEAN and results.has_seen(method, own)
            row.append(replace(_over_seeds(found, final, leader == method), seen=seen))
        cells = [results.at(method, place) for place in places]
        rows.append([*row, _examples(cells), _range(len(at) for at in cells if at)])
    header = ["head", *(name for name, _, _ in columns), "examples", "seeds"]
    return Table(
        "-".join(home),
        " · ".join(home),
        header,
        rows,
        notes=[
            _basis(here),
            *_worst_note(header),
            *_bold_note(leaders, here),
            *_seen_note(rows),
        ],
        warnings=devices.warnings(here),
    )


def _having(results: Results, methods: Sequence[Method], places: Sequence[Place]) -> list[Method]:
    return [m for m in methods if places and all(results.at(m, place) for place in places)]


def as_markdown(results: Results) -> str:
    """The overall table and all others, with what the numbers are based on."""
    tables = [overall_table(results), *place_tables(results), elsewhere(results)]
    parts = [markdown(table) for table in tables if table is not None]
    return "\n".join([*parts, *resources(results)])


def change(difference: Estimate | None, final: bool) -> Figure:
    """A mean difference with its interval, in points."""
    if difference is None:
        return Figure(None)
    return Figure(
        difference.mean,
        low=difference.low,
        high=difference.high,
        final=final,
        signed=True,
        show_interval=True,
    )


def headline(results: Results) -> str:
    """The overall table if there is one, else all tables; with what the numbers are based on."""
    overall = overall_table(results)
    if overall is None:
        return as_markdown(results)
    return "\n".join([markdown(overall), *resources(results)])


def resources(results: Results) -> list[str]:
    """What the attacks used, what limited them, and where all was made: what the numbers mean."""
    used = sorted({result.cell.attack_resources for result in results.cells})
    lines = [f"Attack resources: {', '.join(used)}."] if used else []
    if used == ["embedded"]:
        lines.append("These numbers are about the tool at embedded scale, not about the paper.")
    made = devices.line(results)
    return [*_so_far(results), *lines, *([made] if made else []), *warnings(results)]


def _so_far(results: Results) -> list[str]:
    """A line on how much of the grid the figures are over, as long as that is not all of it."""
    to_come = sum(absent.status != "not_applicable" for absent in results.absent)
    begun = len(results.cells) - len(results.finished)
    if not to_come and not begun:
        return []
    cells = f"{len(results.finished):,} of {len(results.cells) + to_come:,} cells"
    return [f"So far: {cells}" + (f", and what is attacked of {begun:,} more." if begun else ".")]


def level(over: Estimate | None, final: bool, is_best: bool = False, seen: bool = False) -> Figure:
    """An accuracy with its interval, in percent."""
    if over is None:
        return Figure(None)
    return Figure(over.mean, low=over.low, high=over.high, best=is_best, final=final, seen=seen)


def _over_seeds(found: Sequence[Values], final: bool, is_best: bool = False) -> Figure:
    """Mean and standard deviation over seeds, at one site."""
    shares = [
        float(np.nanmean(row)) for each in found for row in each.matrix if not np.isnan(row).all()
    ]
    return Figure(
        round(mean(shares), 12) if shares else None,
        spread=stdev(shares) if len(shares) > 1 else None,
        best=is_best,
        final=final,
    )


def _examples(cells: Sequence[Sequence[CellResult]]) -> str:
    """Examples per seed, and how many ended in errors and are left out."""
    everything = [result for at in cells for result in at]
    errors = sum(int(result.metrics["num_errors"] or 0) for result in everything)
    counted = _range(len(result.outcomes.ids) for result in everything)
    return f"{counted} ({errors} more: errors)" if errors else counted


def _range(counts: Iterable[int]) -> str:
    counted = sorted(set(counts))
    return f"{counted[0]}–{counted[-1]}" if len(counted) > 1 else "".join(map(str, counted))


def _basis(cells: Sequence[CellResult]) -> str:
    """What a table's accuracies are, of how many examples and seeds, with which resources."""
    seeds = len({result.seed for result in cells})
    examples = _range(len(result.outcomes.ids) for result in cells)
    used = ", ".join(sorted({result.cell.attack_resources for result in cells}))
    over = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    return f"Accuracy in % of {examples} examples a cell, {over}. Attack resources: {used}."


def _worst_note(header: Sequence[str]) -> list[str]:
    return [WORST_NOTE] if "worst case" in header else []


def _bold_note(leaders: Iterable[Method | None], cells: Sequence[CellResult]) -> list[str]:
    if all(leader is None for leader in leaders):
        return []
    one = len({result.seed for result in cells}) == 1
    return [f"{BEST_NOTE} {ONE_SEED}" if one else BEST_NOTE]


def _seen_note(rows: Iterable[Sequence[Entry]]) -> list[str]:
    figures = [entry for row in rows for entry in row if isinstance(entry, Figure)]
    return [NO_BOLD] if any(figure.seen for figure in figures) else []
