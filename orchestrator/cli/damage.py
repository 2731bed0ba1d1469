"""Damaged files of a store: reported when they are read, set aside before they are made again."""

import sys

from orchestrator.plan.plan import Plan
from trainables.store import Store


def say_damage(store: Store) -> None:
    """Print a line on each file that was found damaged, in commands that only read."""
    for name, why in store.damaged.items():
        print(
            f"{store.place(name)} is damaged ({why}) and counts as missing; the next sweep sets "
            "it aside and makes it again",
            file=sys.stderr,
        )


def set_aside(plan: Plan, store: Store) -> list[str]:
    """Set aside damaged files that a plan needs; returns a line for the user on each.

    The description of a cell that is done (cell.json) is written again. Call as the store's driver.
    """
    begun = store.logs_begun()
    for cell in plan.todo:
        if cell.log in begun:
            store.attacked(cell.log)
    done = plan.with_status("done")
    undescribed = [cell for cell in done if store.sound(store.read_cell, cell.key) is None]
    lines = store.set_aside()
    for cell in undescribed:
        store.write_cell(cell.key, cell.model_dump(mode="json"))
    return lines
