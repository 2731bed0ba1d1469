"""`python -m orchestrator.cluster.slurm`: what cluster-slurm.sh asks on the first node of its job.

    check OPTION...      are the sweep's options about the store right for a job?
    place [NODE]         this machine's address as that node sees it, and three free ports
    joined ADDRESS N     wait until Ray has N nodes, and say what they have

Exit codes: 0, 2 where something is wrong.
"""

import argparse
import logging
import os
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from orchestrator.cli.arguments import Parser
from orchestrator.cli.command import reports_bad_input
from search_spaces.errors import BadInput, first_line

JOIN_WITHIN = 180.0  # seconds: imports from a file system that all nodes read at once
PORTS = 3  # of Ray's GCS, its client server and its dashboard
ALONE = "127.0.0.1"
OF_ONE_NODE = ("/tmp", "/var/tmp", "/dev/shm", "/run")


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["check"]:
        check_store(words[1:])
        return 0
    arguments = _parser().parse_args(words)
    if arguments.command == "place":
        address, ports = place(arguments.node)
        print(address, *ports)
    else:
        print(joined(arguments.address, arguments.nodes), flush=True)
    return 0


def check_store(options: list[str]) -> None:
    """Raises BadInput where the store that a sweep's options name is on one node only: with the
    job it would be lost, and no other node sees it."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--store", default="results")
    store = parser.parse_known_args(options)[0].store
    if "://" in store:
        return
    for name in (*OF_ONE_NODE, os.environ.get("TMPDIR"), os.environ.get("SLURM_TMPDIR")):
        if name and Path(store).resolve().is_relative_to(Path(name).resolve()):
            raise BadInput(
                f"--store {store}: each node has its own {name}, and it may be emptied when the "
                "job ends; give a folder that the nodes share, or s3://"
            )


def place(node: str | None) -> tuple[str, list[int]]:
    """Where Ray's head is to listen: an address, and ports that are free. node: another of the
    job's nodes; None: there is no other, and nobody else needs to reach it. Raises BadInput."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("", 0))) for _ in range(PORTS)]
        return _seen_from(node), [each.getsockname()[1] for each in held]


def _seen_from(node: str | None) -> str:
    if node is None:
        return ALONE
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((node, 9))  # Sends nothing.
        except OSError as error:
            raise BadInput(f"node {node} of this job has no address here ({error})") from None
        return str(probe.getsockname()[0])


def joined(address: str, nodes: int, within: float = JOIN_WITHIN) -> str:
    """Wait until as many nodes have joined a Ray cluster. Returns what they have, in a line; if
    some are still missing after `within` seconds, that too. Raises BadInput where Ray is not up
    by then.
    """
    import ray

    until = time.monotonic() + within
    while not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray has a different one for each step of its own start.
            if time.monotonic() > until:
                raise BadInput(
                    f"Ray does not start within {within:.0f} s: {first_line(error)}"
                ) from None
            time.sleep(1)
    try:
        while True:
            alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            if len(alive) >= nodes or time.monotonic() > until:
                break
            time.sleep(1)
    finally:
        ray.shutdown()
    kinds = Counter(f"{has.get('CPU', 0):g} CPUs, {has.get('GPU', 0):g} GPUs" for has in alive)
    each = "; ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items()))
    missing = "" if len(alive) >= nodes else f"; {nodes - len(alive)} did not start in time"
    return f"Ray has {len(alive)} of {nodes} nodes ({each}){missing}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m orchestrator.cluster.slurm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("place").add_argument("node", nargs="?")
    waiting = commands.add_parser("joined")
    waiting.add_argument("address")
    waiting.add_argument("nodes", type=int)
    return parser


if __name__ == "__main__":
    sys.exit(main())
