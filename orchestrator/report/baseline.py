"""Two sweeps compared: which cells changed significantly, and which settings or versions changed.

Cells are matched by their place in the grid. If both attacked the same rows, they are compared
example by example, else as two proportions.
"""

from dataclasses import dataclass

import numpy as np

from orchestrator.report import devices
from orchestrator.report.comparison import change, values
from orchestrator.report.provenance import settings_of
from orchestrator.report.results import UNDER_ATTACK, CellResult, Results
from orchestrator.report.statistics import SIGNIFICANT, estimate, holm, sign_flip_p_value
from orchestrator.report.tables import Entry, Figure, Table, count, p_value


@dataclass(frozen=True)
class Pair:
    """The same place of the grid in both sweeps."""

    before: CellResult
    now: CellResult

    @property
    def paired(self) -> bool:
        return self.before.cell.fit.dataset_digest == self.now.cell.fit.dataset_digest

    @property
    def change(self) -> float:
        shares = [_share(result) for result in (self.before, self.now)]
        return shares[1] - shares[0]

    @property
    def p_value(self) -> float:
        if self.paired:
            return sign_flip_p_value([values([self.now]).minus(values([self.before]))])
        from scipy.stats import fisher_exact  # Takes a second to import, and is seldom needed.

        counts = [
            [int(outcomes.sum()), int((~outcomes).sum())]
            for outcomes in (getattr(r.outcomes, UNDER_ATTACK) for r in (self.before, self.now))
        ]
        return float(fisher_exact(counts).pvalue)

    @property
    def same(self) -> bool:
        before, now = self.before.outcomes, self.now.outcomes
        return np.array_equal(before.ids, now.ids) and np.array_equal(
            before.right_under_attack, now.right_under_attack
        )


def against(results: Results, baseline: Results) -> list[Table]:
    """The tables of a comparison with another sweep: cells that changed, and settings that did."""
    pairs = _pairs(results, baseline)
    return [_cells(pairs, results, baseline), _settings(pairs)]


def _pairs(results: Results, baseline: Results) -> list[Pair]:
    """Of several cells of the baseline at one place, the most similar by settings is used."""
    there: dict[tuple[object, ...], list[CellResult]] = {}
    for result in (cell for cell in baseline.cells if len(cell.outcomes.ids)):
        there.setdefault(tuple(result.cell.axes().values()), []).append(result)
    pairs = []
    for result in results.cells:
        candidates = there.get(tuple(result.cell.axes().values()), [])
        if candidates and len(result.outcomes.ids):
            pairs.append(Pair(min(candidates, key=lambda each: len(_differ(each, result))), result))
    return pairs


def _cells(pairs: list[Pair], results: Results, baseline: Results) -> Table:
    adjusted = holm({number: pair.p_value for number, pair in enumerate(pairs)})
    changed = [number for number in adjusted if adjusted[number] < SIGNIFICANT]
    rows: list[list[Entry]] = []
    for number in sorted(changed, key=lambda number: pairs[number].change):
        before, now = pairs[number].before, pairs[number].now
        rows.append(
            [
                " · ".join(str(value) for value in now.cell.axes().values()),
                Figure(_share(before), final=before.final),
                Figure(_share(now), final=now.final),
                Figure(pairs[number].change, signed=True),
                p_value(adjusted[number]),
                f"{len(before.outcomes.ids)} / {len(now.outcomes.ids)}",
            ]
        )
    paired = [values([p.now]).minus(values([p.before])) for p in pairs if p.paired]
    overall = change(estimate(paired), all(p.now.final and p.before.final for p in pairs)).text()
    unmatched = len(results.cells) - len(pairs), len(baseline.cells) - len(pairs)
    notes = [
        f"Accuracy under attack, before ({baseline.source}) and now ({results.source}). Of "
        f"{len(pairs)} cells that both have, {len(changed)} changed significantly (p < 0.05, Holm) "
        f"and {sum(pair.same for pair in pairs)} have the same outcome on every example. "
        f"Mean change: {overall} points.",
        f"Cells without a counterpart: {unmatched[0]} now, {unmatched[1]} before.",
    ]
    if unpaired := sum(not pair.paired for pair in pairs):
        notes.append(
            f"{unpaired} cells attacked other rows than before: compared as two proportions."
        )
    header = ["cell", "before", "now", "change", "p", "examples"]
    mixed = devices.apart((pair.before, pair.now) for pair in pairs)
    return Table("baseline", "Significant changes", header, rows, notes=notes, warnings=mixed)


def _settings(pairs: list[Pair]) -> Table:
    counted: dict[tuple[str, str, str], int] = {}
    for pair in pairs:
        for changed in _differ(pair.before, pair.now):
            counted[changed] = counted.get(changed, 0) + 1
    rows: list[list[Entry]] = [[*changed, count(cells)] for changed, cells in counted.items()]
    notes = [] if rows else ["Settings, versions, data and models are the same."]
    header = ["what", "before", "now", "cells"]
    title = "What changed in settings and versions"
    return Table("baseline-settings", title, header, rows, texts=3, notes=notes)


def _differ(before: CellResult, now: CellResult) -> list[tuple[str, str, str]]:
    """Settings that differ: name, value before, value now."""
    old, new = settings_of(before), settings_of(now)
    return [
        (name, str(old.get(name, "–")), str(new.get(name, "–")))
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def _share(result: CellResult) -> float:
    return float(getattr(result.outcomes, UNDER_ATTACK).mean())
