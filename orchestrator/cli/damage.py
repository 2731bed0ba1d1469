"""Damaged files of a store: said when they are met, kept aside before they are made again."""

import sys

from orchestrator.plan.plan import Plan
from trainables.store import Store


def say_damage(store: Store) -> None:
    """Print a line on each file that was found damaged, in commands that only read."""
    for name, why in store.damaged.items():
        print(
            f"{store.place(name)} is damaged ({why}) and counts as missing; the next sweep keeps "
            "it aside and makes it again",
            file=sys.stderr,
        )


def set_aside(plan: Plan, store: Store) -> list[str]:
    """Keep aside what is damaged of what a plan needs; returns a line for people on each.

    Of cells that are done, what was asked of them is written again. Call as the store's driver.
    """
    begun = store.logs_begun()
    for cell in plan.todo:
        if cell.log in begun:
            store.attacked(cell.log)
    done = plan.with_status("done")
    lacking = [cell for cell in done if store.sound(store.read_cell, cell.key) is None]
    said = store.set_aside()
    for cell in lacking:
        store.write_cell(cell.key, cell.model_dump(mode="json"))
    return said
