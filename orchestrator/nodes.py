"""Does every node of a running Ray cluster see the same store? Asked before any trial is.

A folder that each machine has for itself is the commonest mistake on a cluster, and would show only
hours later: fits that no other node finds, and results that the driver never sees.
"""

import uuid
from typing import Any

from search_spaces.errors import BadInput
from trainables.store import Store

ANSWER_WITHIN = 120.0  # seconds; the first task on a node starts a Python process


def check_store_on_nodes(store: Store) -> None:
    """Have every living node read a note of ours from the store and leave one that we read.

    To be called with Ray connected. Raises BadInput naming the nodes that do not see this store.
    Does nothing in a cluster of one node. Nodes that join later are not asked.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    url = store.local_folder or store.url
    token = uuid.uuid4().hex
    store.write_note(token, "driver")
    try:
        answers = _answers({node["NodeID"]: node for node in nodes}, url, token)
        wrong = [
            f"node {answer['address']}: {answer['reason'] or _unread(store, answer)}"
            for answer in answers
            if answer["reason"] or _unread(store, answer)
        ]
    finally:
        for name in [token, *(f"{token}-{node['NodeID']}" for node in nodes)]:
            store.delete_note(name)
    if wrong:
        raise BadInput(f"the store {url} is not one for all: {'; '.join(wrong)}; {MEND}")


MEND = "use a shared folder or s3://"


def _answers(nodes: dict[str, dict[str, Any]], url: str, token: str) -> list[dict[str, str]]:
    """What each node found; a node that died meanwhile has no say."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    visit = ray.remote(num_cpus=0, max_retries=0)(_visit)
    asked = {
        visit.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
        ).remote(url, token, f"{token}-{node}"): node
        for node in nodes
    }
    finished, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_WITHIN)
    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    answers = []
    for task, node in asked.items():
        reason = f"did not answer within {ANSWER_WITHIN:.0f} s"
        if task in finished:
            try:
                reason = ray.get(task)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[-1]
        if node in alive:
            note = f"{token}-{node}"
            answers.append(
                {"note": note, "address": nodes[node]["NodeManagerAddress"], "reason": reason}
            )
    return answers


def _visit(url: str, token: str, note: str) -> str:
    """On the node: why it does not see the driver's store, or nothing where it does."""
    store = Store(url)
    try:
        if store.read_note(token) is None:
            return f"{url} is a folder of its own there" if "://" not in url else "reads another"
        store.write_note(note, "seen")
    except (OSError, BadInput) as error:
        return str(error).strip().splitlines()[0]
    return ""


def _unread(store: Store, answer: dict[str, str]) -> str:
    seen = store.read_note(answer["note"]) == "seen"
    return "" if seen else "what it writes there is not seen by the driver"
