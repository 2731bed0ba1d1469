"""Before `ray up`: is a cluster's file right, and does the AWS account have what it names?

    python -m orchestrator.cluster check cluster.yaml --space paper
    python -m orchestrator.cluster node --space paper
    python -m orchestrator.cluster prepare cluster.yaml
    python -m orchestrator.cluster release cluster.yaml

`check` works offline and prints a line for each thing that is wrong. With --ray-address it also
asks a running cluster: does every node see the store and have what attacks import, and is one large
enough? `node` runs on a machine of the cluster, from the file's commands, and prints a line for
each thing that this machine lacks. `prepare` makes the security group and the roles that a file for
AWS names, as one CloudFormation stack; run it again when your address has changed. `release`
deletes that stack, after `ray down`.

Exit codes: 0 all is well, 2 something is wrong.
"""

import argparse
import importlib.util
import platform
import shutil
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from orchestrator.assets.needed import attack_resources
from orchestrator.cli.arguments import Parser
from orchestrator.cli.command import called, reports_bad_input, run
from orchestrator.cluster.for_space import space_problems
from orchestrator.cluster.sizes import estimate
from search_spaces.errors import BadInput
from search_spaces.space import Resources, Space, load
from search_spaces.yaml_file import read_mapping
from trainables.store import Store


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.command == "node":
        return _node(arguments.space)
    _check_installed()
    path = Path(arguments.file)
    config = read_mapping(path)
    if arguments.command == "release":
        return _release(path, config)
    space = load(arguments.space)
    problems = _check(path, config, space, arguments)
    if arguments.command == "prepare":
        return _prepare(path, config, problems)
    for line in problems:
        print(f"{path}: {line}", file=sys.stderr)
    if not problems:
        print(f"{path}: nothing wrong; store: {_store_url(config, arguments)}")
        print(f"{space.name}, estimated: {estimate(space)}")
    return 2 if problems else 0


def _node(name: str) -> int:
    from orchestrator.cluster.node import node_lacks

    lines = node_lacks(load(name))
    for line in lines:
        print(f"{platform.node()}: {line}", file=sys.stderr)
    if not lines:
        print(f"{platform.node()}: has what trials of {name} need")
    return 2 if lines else 0


def _check(
    path: Path, config: dict[str, Any], space: Space, arguments: argparse.Namespace
) -> list[str]:
    from orchestrator.cluster.file import missing_files, problems

    needs = list(dict.fromkeys(each.resources for each in space.all_settings()))
    each = (problems(path, config, need, arguments.store) for need in needs)
    lines = list(dict.fromkeys(chain.from_iterable(each)))
    if not any(line.startswith("Ray's schema: ") for line in lines):
        lines += space_problems(config, arguments.space, space)
    if lines:
        return lines
    if arguments.ray_address is None:
        return list(missing_files(config))
    # Machines that an autoscaler adds may not be there yet.
    owned = config["provider"]["type"] == "local"
    store = Store(_store_url(config, arguments))
    _check_running(store, space, needs if owned else [], arguments.ray_address)
    return []


def _check_running(store: Store, space: Space, needs: list[Resources], address: str) -> None:
    """Raises BadInput where a node lacks the store or what attacks import, or none is large enough,
    and where the store's folder has no room for the space's weights."""
    from orchestrator.run.nodes import (
        check_attacks_on_nodes,
        check_room_on_nodes,
        check_store_on_nodes,
        connected,
    )
    from orchestrator.run.options import check_ray_address

    check_ray_address(address)
    _check_room_in(store, space)
    with connected(address):
        check_store_on_nodes(store)
        for need in needs:
            check_room_on_nodes(need)
        check_attacks_on_nodes(attack_resources(space))


def _check_room_in(store: Store, space: Space) -> None:
    """Raises BadInput where the store is a folder without room for the weights of all fits and for
    one that is in training."""
    if store.local_folder is None:
        return
    expected = estimate(space)
    lacking = max(expected.fits - len(store.fits_with_weights(store.fits_read())), 0)
    needed = expected.weights * lacking / max(expected.fits, 1)
    needed += expected.in_training if lacking else 0
    folder = Path(store.local_folder)
    free = shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.is_dir())).free
    if needed > free:
        raise BadInput(
            f"{folder}: {free / 1e9:.1f} GB are free; the weights of {lacking} fits, and one fit "
            f"in training, take about {needed / 1e9:.1f} GB (estimated): make room, or give "
            "another store"
        )


def _prepare(path: Path, config: dict[str, Any], problems: list[str]) -> int:
    from orchestrator.cluster.file import store_of
    from orchestrator.cluster.stack import prepare

    if config.get("provider", {}).get("type") != "aws":
        raise BadInput(f"{path}: nothing to prepare: provider.type is not aws")
    # Placeholders that `prepare` fills in may still be open.
    for line in problems:
        if "YOUR-SECURITY-GROUP" not in line and "YOUR-IMAGE" not in line:
            raise BadInput(f"{path}: {line}")
    scheme, _, rest = (store_of(config) or "").partition("://")
    if scheme != "s3":
        raise BadInput(f"{path}: the store is not on S3: there is no bucket to give rights to")
    for line in prepare(config, rest.split("?")[0].split("/")[0]):
        print(line, flush=True)
    return 0


def _release(path: Path, config: dict[str, Any]) -> int:
    """Works on a file with other mistakes, too: only its name and region matter here."""
    from orchestrator.cluster.stack import release

    name, provider = config.get("cluster_name"), config.get("provider")
    provider = provider if isinstance(provider, dict) else {}
    if provider.get("type") != "aws":
        raise BadInput(f"{path}: nothing to release: provider.type is not aws")
    if not isinstance(name, str) or not isinstance(provider.get("region"), str):
        raise BadInput(f"{path}: give the cluster_name and provider.region that `prepare` had")
    for line in release(name, provider["region"]):
        print(line, flush=True)
    return 0


def _store_url(config: dict[str, Any], arguments: argparse.Namespace) -> str:
    from orchestrator.cluster.file import store_of

    return str(arguments.store or store_of(config))


def _check_installed() -> None:
    absent = [name for name in ("boto3", "jsonschema") if importlib.util.find_spec(name) is None]
    if absent:
        raise BadInput(f"needs {', '.join(absent)}: pip install -c constraints.txt -e '.[cluster]'")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=called("cluster"),
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    of_file = {
        "check": "what is wrong with a file",
        "prepare": "make what a file for AWS names",
        "release": "delete what `prepare` made",
    }
    for name, does in of_file.items():
        add = commands.add_parser(name, help=does).add_argument
        add("file", help="a cluster file, as cluster.yaml and cluster-onprem.yaml are")
        add("--space", default="embedded", metavar="NAME|FILE", help="what it is to run (embedded)")
        add("--store", metavar="URL", help="the store (the file's SWEEP_STORE)")
        add("--ray-address", metavar="ADDRESS", help="ask this running cluster too, e.g. auto")
    add = commands.add_parser("node", help="what this machine lacks").add_argument
    add("--space", default="embedded", metavar="NAME|FILE", help="what it is to run (embedded)")
    return parser


if __name__ == "__main__":
    run(main)
