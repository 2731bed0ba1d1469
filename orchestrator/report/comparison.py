"""The comparison: heads × attacks, over all data sets and models together and for each.

Accuracies are shares. The best of a column is marked only if it differs significantly from each of
the others by an exact paired test (see `best`).
"""

from collections.abc import Iterable, Sequence
from statistics import mean, stdev

import numpy as np

from orchestrator.report import devices
from orchestrator.report.quality import elsewhere, warnings
from orchestrator.report.results import (
    CLEAN,
    UNDER_ATTACK,
    CellResult,
    Method,
    Place,
    Results,
    name_of,
)
from orchestrator.report.statistics import (
    SIGNIFICANT,
    Estimate,
    Values,
    estimate,
    holm,
    sign_flip_p_value,
)
from orchestrator.report.tables import Entry, Figure, Table, markdown

BEST_NOTE = (
    "Bold: significantly better than every other row of its column by an exact paired test over "
    "examples (p < 0.05, Holm)."
)


def values(results: Sequence[CellResult], outcome: str = UNDER_ATTACK) -> Values:
    """A method's outcomes at one place, a row per seed; missing if not attacked or in error."""
    ids = sorted({int(id) for result in results for id in result.outcomes.ids})
    column = {id: number for number, id in enumerate(ids)}
    matrix = np.full((len(results), len(ids)), np.nan)
    for row, result in enumerate(results):
        columns = [column[int(id)] for id in result.outcomes.ids]
        matrix[row, columns] = getattr(result.outcomes, outcome)
    group = results[0].cell.fit.dataset, results[0].cell.fit.dataset_digest
    return Values(group, tuple(result.seed for result in results), tuple(ids), matrix)


def differences(
    results: Results,
    first: Method,
    second: Method,
    places: Iterable[Place],
    outcome: str = UNDER_ATTACK,
) -> list[Values]:
    """First minus second at each place that both were run at, for seeds and examples of both."""
    pairs = ((results.at(first, place), results.at(second, place)) for place in places)
    return [values(a, outcome).minus(values(b, outcome)) for a, b in pairs if a and b]


def best(
    results: Results, methods: Sequence[Method], places: Sequence[Place], outcome: str
) -> Method | None:
    """The method that is significantly better than every other one, or None.

    Every example counts once (statistics.sign_flip_p_value), and p-values are adjusted for the
    number of other methods.
    """
    means = {}
    for method in methods:
        shares = [_mean(results.at(method, place), outcome) for place in places]
        if None not in shares:
            means[method] = mean(share for share in shares if share is not None)
    if len(means) < 2 or not all(results.is_final(method, places) for method in methods):
        return None
    leader = max(means, key=lambda method: means[method])
    p_values = {
        other: sign_flip_p_value(differences(results, leader, other, places, outcome))
        for other in means
        if other != leader
    }
    return leader if max(holm(p_values).values()) < SIGNIFICANT else None


def common_places(results: Results, methods: Sequence[Method]) -> list[Place]:
    """Places where all have every attack of the space, so that no mean is over easier ones."""
    homes = [
        home
        for home in results.homes
        if all(results.at(m, (*home, attack)) for m in methods for attack in results.attacks)
    ]
    return [(*home, attack) for home in homes for attack in results.attacks]


def overall_table(results: Results) -> Table | None:
    """A row per head and training: means over the data sets and models that all of them have.

    None if there are fewer than two of these.
    """
    places = common_places(results, results.methods)
    homes = list(dict.fromkeys(place[:2] for place in places))
    if len(homes) < 2:
        return None
    columns = [(CLEAN, places)] + [
        (UNDER_ATTACK, [place for place in places if place[2] == attack])
        for attack in results.attacks
    ]
    if len(results.attacks) > 1:
        columns.append((UNDER_ATTACK, places))
    leaders = [best(results, results.methods, where, outcome) for outcome, where in columns]
    rows: list[list[Entry]] = []
    for method in results.methods:
        row: list[Entry] = [name_of(method)]
        for (outcome, where), leader in zip(columns, leaders, strict=True):
            cells = [results.at(method, place) for place in where]
            average = estimate([values(at, outcome) for at in cells])
            final = results.is_final(method, where)
            row.append(_average(average, method == leader, final))
        rows.append(row)
    every = ["all attacks"] if len(results.attacks) > 1 else []
    header = ["head", "clean", *results.attacks, *every]
    title = f"accuracy under attack, mean of the {len(homes)} data sets × models all heads have"
    compared = [
        result for place in places for m in results.methods for result in results.at(m, place)
    ]
    return Table(
        "summary",
        title,
        header,
        rows,
        notes=_bold_note(leaders),
        warnings=devices.warnings(compared),
    )


def place_tables(results: Results) -> list[Table]:
    """A table per data set and model: a row per head and training, a column per attack."""
    return [_place_table(results, home) for home in results.homes]


def _place_table(results: Results, home: tuple[str, str]) -> Table:
    places = [(*home, attack) for attack in results.attacks]
    methods = [m for m in results.methods if any(results.at(m, place) for place in places)]
    leaders = {}
    for place in places:
        here = [method for method in methods if results.at(method, place)]
        leaders[place] = best(results, here, [place], UNDER_ATTACK) if here else None
    rows: list[list[Entry]] = []
    for method in methods:
        cells = [results.at(method, place) for place in places]
        # With --precision, cells of one row are over more or fewer of the same examples.
        clean = max(places, key=lambda place: _count(results.at(method, place)))
        final = results.is_final(method, [clean])
        row: list[Entry] = [name_of(method), _over_seeds(results.at(method, clean), CLEAN, final)]
        for place, at in zip(places, cells, strict=True):
            final = results.is_final(method, [place])
            row.append(_over_seeds(at, UNDER_ATTACK, final, leaders[place] == method))
        rows.append([*row, _examples(cells), _range(len(at) for at in cells if at)])
    header = ["head", "clean", *results.attacks, "examples", "seeds"]
    return Table(
        "-".join(home),
        " · ".join(home),
        header,
        rows,
        notes=_bold_note(leaders.values()),
        warnings=devices.warnings(r for r in results.cells if r.place[:2] == home),
    )


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


def _average(over: Estimate | None, is_best: bool, final: bool) -> Figure:
    if over is None:
        return Figure(None)
    return Figure(over.mean, low=over.low, high=over.high, best=is_best, final=final)


def _count(at: Sequence[CellResult]) -> int:
    return sum(len(result.outcomes.ids) for result in at)


def _mean(at: Sequence[CellResult], outcome: str) -> float | None:
    """The mean over seeds; None where nothing was attacked."""
    shares = _shares(at, outcome)
    return mean(shares) if shares else None


def _shares(at: Sequence[CellResult], outcome: str) -> list[float]:
    """The share of each seed that has attacked examples."""
    return [
        float(getattr(result.outcomes, outcome).mean()) for result in at if len(result.outcomes.ids)
    ]


def _over_seeds(
    at: Sequence[CellResult], outcome: str, final: bool, is_best: bool = False
) -> Figure:
    """Mean and standard deviation over seeds."""
    shares = _shares(at, outcome)
    return Figure(
        mean(shares) if shares else None,
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


def _bold_note(leaders: Iterable[Method | None]) -> list[str]:
    return [BEST_NOTE] if any(leader is not None for leader in leaders) else []
