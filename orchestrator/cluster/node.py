"""On a machine of a cluster, before Ray starts there: does it have what a space needs?"""

from orchestrator.cluster.sizes import estimate
from search_spaces.space import Space
from trainables.node import Needs, lacks


def needs_of(space: Space) -> Needs:
    """What each machine that runs trials of a space needs."""
    every = space.all_settings()
    phases = [phase for each in every for phase in (each.resources.fit, each.resources.attack)]
    return Needs(
        resources=tuple(dict.fromkeys(each.attack.resources for each in every)),
        gpus=any(phase.gpus for phase in phases),
        disk=estimate(space).on_a_machine,
    )


def node_lacks(space: Space) -> list[str]:
    """A line for each thing that this machine lacks."""
    return list(lacks(needs_of(space)))
