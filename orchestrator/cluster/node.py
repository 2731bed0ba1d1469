"""On a machine of a cluster, before Ray starts there: does it have what a space needs?"""

from dataclasses import replace

from orchestrator.assets.needed import attack_resources
from orchestrator.cluster.sizes import fetched
from search_spaces.space import Space
from trainables.node import Needs, lacks


def needs_of(space: Space) -> Needs:
    """What each machine that runs trials of a space needs."""
    every = space.all_settings()
    phases = [phase for each in every for phase in (each.resources.fit, each.resources.attack)]
    return Needs(
        resources=tuple(sorted(attack_resources(space))),
        gpus=any(phase.gpus for phase in phases),
        disk=sum(each.size for each in fetched(space)),
    )


def node_lacks(space: Space) -> list[str]:
    """A line for each thing that this machine lacks. What is here already needs no more room."""
    disk = sum(each.size for each in fetched(space) if not each.is_here)
    return list(lacks(replace(needs_of(space), disk=disk)))
