"""Transfer: how many adversarial examples found against one head fool another.

Replays are in the store (`python -m orchestrator.transfer`). A rate is the share fooled of those
texts whose original the other fit classifies correctly. The fit that an example was found against
is left out: it is fooled by definition.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.report.results import Method, Results, Transfer, name_of
from orchestrator.report.tables import Entry, Figure, Table

NOTE = (
    "Row: the head that the examples were found against. Column: the head they were replayed on, "
    "another fit of the same data set. Percentage fooled of those whose original it classifies "
    "correctly, over all models, attacks and seeds; in brackets their number."
)


@dataclass(frozen=True)
class Matrix:
    """fooled and right_before by source and target; for the methods in order."""

    title: str
    methods: list[Method]
    fooled: dict[tuple[Method, Method], int]
    right_before: dict[tuple[Method, Method], int]

    def rate(self, source: Method, target: Method) -> float | None:
        count = self.right_before.get((source, target), 0)
        return self.fooled[source, target] / count if count else None


def matrices(results: Results) -> list[Matrix]:
    """One over all data sets, then one for each where there are several; none without replays."""
    by_dataset: dict[str, list[Transfer]] = {}
    for transfer in results.transfers:
        by_dataset.setdefault(transfer.source.fit.dataset, []).append(transfer)
    if not by_dataset:
        return []
    each = [_matrix(name, transfers) for name, transfers in by_dataset.items()]
    return each if len(each) == 1 else [_matrix("all data sets", results.transfers), *each]


def transfer_tables(results: Results) -> list[Table]:
    """The matrices as tables."""
    return [_table(matrix) for matrix in matrices(results)]


def _matrix(title: str, transfers: Iterable[Transfer]) -> Matrix:
    methods: dict[Method, None] = {}
    fooled: dict[tuple[Method, Method], int] = {}
    right_before: dict[tuple[Method, Method], int] = {}
    for transfer in transfers:
        if transfer.target.key == transfer.source.fit.key:
            continue
        source = transfer.source.fit.head, transfer.source.fit.training
        target = transfer.target.head, transfer.target.training
        methods |= {source: None, target: None}
        fooled[source, target] = fooled.get((source, target), 0) + transfer.fooled
        before = right_before.get((source, target), 0)
        right_before[source, target] = before + transfer.right_before
    return Matrix(title, list(methods), fooled, right_before)


def _table(matrix: Matrix) -> Table:
    rows: list[list[Entry]] = []
    for source in matrix.methods:
        row: list[Entry] = [name_of(source)]
        for target in matrix.methods:
            rate = matrix.rate(source, target)
            row.append(Figure(rate, count=matrix.right_before.get((source, target), 0)))
        rows.append(row)
    header = ["found against", *map(name_of, matrix.methods)]
    name = f"transfer-{matrix.title.replace(' ', '-')}"
    return Table(name, f"Transfer, {matrix.title}", header, rows, notes=[NOTE])
