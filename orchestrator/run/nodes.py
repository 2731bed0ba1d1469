"""What the nodes of a running Ray cluster have: the same store, what attacks import, and room.

A store in a folder that is not shared is the most common mistake on a cluster, and would show only
hours later: fits that no other node finds, and results that the driver never sees. So would a
library that attacks need and a node lacks: attacks come after fits.
"""

import contextlib
import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from orchestrator.run.options import no_cluster
from orchestrator.run.slots import room_in
from search_spaces.errors import BadInput, first_line
from search_spaces.space import Resources
from trainables.attacks.resources import IMPORTED_WITHIN
from trainables.node import lacks_for_attacks
from trainables.records import Node
from trainables.store import Store

ANSWER_WITHIN = 120.0  # seconds; the first task on a node starts a Python process


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect Ray to a running cluster. Raises BadInput where none answers."""
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise no_cluster(address, first_line(error)) from None
    try:
        yield
    finally:
        ray.shutdown()


def check_store_on_nodes(store: Store) -> None:
    """Have every living node read a note of the driver's from the store, and write one for it.

    Ray must be connected. Raises BadInput naming the nodes that do not see this store. Does nothing
    in a cluster of one node. Nodes that join later are not checked.
    """
    nodes = _alive()
    if len(nodes) < 2:
        return
    url, token = store.local_folder or store.url, uuid.uuid4().hex
    notes = {node: f"{token}-{node}" for node in nodes}
    store.write_note(token, "from the driver")
    try:
        answers = _ask_each(_visit, {node: (url, token, note) for node, note in notes.items()})
        unseen = "the driver does not see what it writes there"
        reasons = {
            node: reason or ("" if store.read_note(notes[node]) else unseen)
            for node, reason in answers.items()
        }
    finally:
        for name in (token, *notes.values()):
            store.delete_note(name)
    if wrong := _by_address(nodes, reasons):
        raise BadInput(f"not all nodes see the same store: {wrong}; use a shared folder or s3://")


def check_attacks_on_nodes(resources: Collection[str]) -> None:
    """Have every living node import what attacks with these sets of resources need.

    Ray must be connected. Raises BadInput naming the nodes that cannot. A node without CPUs, as the
    head of a cluster that is billed by the hour, gets no trial and is not asked; nor are nodes that
    join later.
    """
    nodes = {id: node for id, node in _alive().items() if node["Resources"].get("CPU", 0)}
    asked = {node: (tuple(sorted(resources)),) for node in nodes}
    answers = _ask_each(_attacks_lack, asked, ANSWER_WITHIN + IMPORTED_WITHIN)
    if wrong := _by_address(nodes, answers):
        raise BadInput(f"not all nodes can run the attacks: {wrong}")


def _by_address(nodes: Mapping[str, dict[str, Any]], reasons: Mapping[str, str]) -> str:
    """What is wrong on which node; empty where nothing is."""
    return "; ".join(
        f"on node {nodes[node]['NodeManagerAddress']}: {reason}"
        for node, reason in reasons.items()
        if reason
    )


def check_room_on_nodes(needs: Resources) -> None:
    """Raises BadInput where no living node has room for a phase of a trial. Ray is connected."""
    has = [node["Resources"] for node in _alive().values()]
    nodes = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in has]
    for phase, need in (("fit", needs.fit), ("attack", needs.attack)):
        if not any(room_in(node, (need.cpus, need.gpus)) for node in nodes):
            have = ", ".join(f"{cpus:g} and {gpus:g}" for cpus, gpus in nodes)
            raise BadInput(
                f"no node has room for the space's {phase}: it needs {need.cpus} CPUs and "
                f"{need.gpus:g} GPUs (the nodes: {have}); change the space's resources"
            )


def nodes() -> list[Node]:
    """The living nodes of the cluster that Ray is connected to; none where it is not."""
    import ray

    found: list[Node] = []
    for node in _alive().values() if ray.is_initialized() else ():
        has = node["Resources"]
        kinds = [name.partition(":")[2] for name in has if name.startswith("accelerator_type:")]
        found.append(
            {
                "address": node["NodeManagerAddress"],
                "cpus": has.get("CPU", 0.0),
                "gpus": has.get("GPU", 0.0),
                "accelerator": ", ".join(sorted(kinds)),
            }
        )
    return sorted(found, key=lambda node: node["address"])


def _alive() -> dict[str, dict[str, Any]]:
    import ray

    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def _ask_each(
    question: Callable[..., str],
    arguments: Mapping[str, tuple[Any, ...]],
    within: float = ANSWER_WITHIN,
) -> dict[str, str]:
    """What is wrong on each node, or an empty text; nodes that died meanwhile are left out.

    question: a task for each node, with its arguments. within: seconds.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    visit = ray.remote(num_cpus=0, max_retries=0)(question)
    tasks = {
        node: visit.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(*given)
        for node, given in arguments.items()
    }
    answered, _ = ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=within)
    reasons = dict.fromkeys(tasks, f"no answer within {within:.0f} s")
    for node, task in tasks.items():
        if task in answered:
            try:
                reasons[node] = ray.get(task)
            except ray.exceptions.RayError as error:
                reasons[node] = str(error).strip().splitlines()[-1]
    alive = _alive()
    return {node: reason for node, reason in reasons.items() if node in alive}


def _visit(url: str, token: str, note: str) -> str:
    """On a node: why it does not see the driver's store, or an empty text if it does."""
    store = Store(url)
    try:
        if store.read_note(token) is None:
            return f"{url} is not shared with the driver"
        store.write_note(note, "from a node")
    except (OSError, BadInput) as error:
        return first_line(error)
    return ""


def _attacks_lack(resources: tuple[str, ...]) -> str:
    """On a node: why attacks with these sets of resources cannot run there; empty if they can."""
    return "; ".join(filter(None, map(lacks_for_attacks, resources)))
