"""Attacks within a fit, which make rows of what they find: the same engine as a cell's attack."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from search_spaces.cell import Fit
from trainables import speed
from trainables.assets import Assets
from trainables.attacks.resources import prepare_textattack
from trainables.data import Example, split_columns
from trainables.heads.base import Head
from trainables.metrics import check_errors
from trainables.records import ExampleRecord


@dataclass(frozen=True)
class Tried:
    """A row that was attacked: the adversarial example that was found, or None; and whether the
    attack ended in an error."""

    row: int
    found: Example | None
    error: bool


Attack = Callable[[Head, Sequence[Example], int], Iterator[Tried]]


def attack_of(fit: Fit, assets: Assets) -> Attack | None:
    """The attack that a fit's training asks for: of the head as it is, rows and the round's number.
    None if it asks for none.

    Rows come as they end; what is found of one does not depend on others. Searches follow the
    default kind of attack score. Raises RuntimeError where the attack seems to be broken.
    """
    asked = fit.attack
    if asked is None:
        return None

    def attack(head: Head, rows: Sequence[Example], round: int) -> Iterator[Tried]:
        prepare_textattack(asked.resources, assets.attack_folder(asked.resources))
        from trainables.attacks.engine import Victim, attack_together
        from trainables.attacks.goal import Goal
        from trainables.attacks.recipes import build_attack
        from trainables.attacks.resources import masked_language_model

        columns, attacked = fit.data.columns, fit.data.attacked
        by_id = {row.id: row for row in rows}
        ended: dict[int, ExampleRecord] = {}
        for records in attack_together(
            lambda: build_attack(
                asked.kind,
                Victim(head),
                asked.settings,
                asked.resources,
                masked_lm=masked_language_model(asked.resources, head.device),
                columns=columns,
                attacked=attacked,
                goal=Goal(query_budget=asked.query_budget),
            ),
            rows,
            columns,
            fit.seed,
            fit.dataset,
            f"{asked.name}/{round}",
            attacked=attacked,
            resources=asked.resources,
            at_once=asked.at_once if speed.is_on("lockstep") else 1,
        ):
            ended |= {record["id"]: record for record in records}
            if any(record["status"] == "error" for record in records):
                known = takewhile(ended.__contains__, by_id)
                check_errors(ended[id] for id in known)
            for record in records:
                found = _adversarial(record, by_id[record["id"]], fit)
                yield Tried(record["id"], found, record["status"] == "error")
        check_errors(ended.values(), at_the_end=True)

    return attack


def _adversarial(record: ExampleRecord, row: Example, fit: Fit) -> Example | None:
    """The row with the perturbed text; None if the attack did not succeed."""
    if record["status"] != "successful":
        return None
    column = fit.data.columns.index(fit.data.attacked)
    texts = split_columns(record["perturbed_text"], row.texts, column)
    assert texts is not None, "held by the rules of a success"
    return Example(row.id, texts, row.label)
