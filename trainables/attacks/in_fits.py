"""Attacks within a fit, which make rows of what they find: the same engine as a cell's attack."""

from collections.abc import Iterator, Sequence

from search_spaces.cell import Fit
from trainables.assets import Assets
from trainables.attacks.resources import prepare_textattack
from trainables.data import Example, split_columns
from trainables.heads.base import Head
from trainables.metrics import check_errors
from trainables.records import ExampleRecord
from trainables.training.base import Attacker


def attacker(fit: Fit, assets: Assets) -> Attacker | None:
    """The attack that a fit's training asks for; None if it asks for none.

    Searches follow the default kind of attack score. The examples found do not depend on what else
    is attacked, and come in the order of the rows, after all rows were attacked. Raises
    RuntimeError where the attack seems to be broken.
    """
    asked = fit.attack
    if asked is None:
        return None

    def attack(head: Head, rows: Sequence[Example], round: int) -> Iterator[Example | None]:
        prepare_textattack(asked.resources, assets.attack_folder(asked.resources))
        from trainables.attacks.engine import Victim, attack_together
        from trainables.attacks.goal import Goal
        from trainables.attacks.recipes import build_attack
        from trainables.attacks.resources import masked_language_model

        columns, attacked = fit.data.columns, fit.data.attacked
        found: dict[int, ExampleRecord] = {}
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
            at_once=asked.at_once,
        ):
            found |= {record["id"]: record for record in records}
            check_errors(found.values())
            yield from (None for _ in records)
        check_errors(found.values(), at_the_end=True)
        yield from filter(None, (_adversarial(found[row.id], row, fit) for row in rows))

    return attack


def _adversarial(record: ExampleRecord, row: Example, fit: Fit) -> Example | None:
    """The row with the perturbed text; None if the attack did not succeed."""
    if record["status"] != "successful":
        return None
    column = fit.data.columns.index(fit.data.attacked)
    texts = split_columns(record["perturbed_text"], row.texts, column)
    assert texts is not None, "held by the rules of a success"
    return Example(row.id, texts, row.label)
