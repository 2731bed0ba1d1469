"""Before `ray up`: is a cluster's file right, and does the AWS account have what it names?

    python -m orchestrator.cluster check cluster.yaml --space paper
    python -m orchestrator.cluster prepare cluster.yaml
    python -m orchestrator.cluster release cluster.yaml

`check` works offline and prints a line for each thing that is wrong. With --ray-address it also
asks a running cluster: does every node see the store, and is one large enough? `prepare` makes the
security group and the roles that a file for AWS names, as one CloudFormation stack; run it again
when your address has changed. `release` deletes that stack, after `ray down`.

Exit codes: 0 all is well, 2 something is wrong.
"""

import argparse
import importlib.util
import sys
from itertools import chain
from pathlib import Path
from typing import Any

from orchestrator.cli.arguments import Parser
from orchestrator.cli.command import called, reports_bad_input, run
from search_spaces.errors import BadInput
from search_spaces.space import Resources, load
from search_spaces.yaml_file import read_mapping
from trainables.store import Store


@reports_bad_input
def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    _check_installed()
    path = Path(arguments.file)
    config = read_mapping(path)
    if arguments.command == "release":
        return _release(path, config)
    problems = _check(path, config, arguments)
    if arguments.command == "prepare":
        return _prepare(path, config, problems)
    for line in problems:
        print(f"{path}: {line}", file=sys.stderr)
    if not problems:
        print(f"{path}: nothing wrong; store: {_store_url(config, arguments)}")
    return 2 if problems else 0


def _check(path: Path, config: dict[str, Any], arguments: argparse.Namespace) -> list[str]:
    from orchestrator.cluster.file import missing_files, problems

    needs = list(dict.fromkeys(each.resources for each in load(arguments.space).all_settings()))
    each = (problems(path, config, need, arguments.store) for need in needs)
    if lines := list(dict.fromkeys(chain.from_iterable(each))):
        return lines
    if arguments.ray_address is None:
        return list(missing_files(config))
    # Machines that an autoscaler adds may not be there yet.
    owned = config["provider"]["type"] == "local"
    store = Store(_store_url(config, arguments))
    _check_running(store, needs if owned else [], arguments.ray_address)
    return []


def _check_running(store: Store, needs: list[Resources], address: str) -> None:
    """Raises BadInput where a node does not see the store, or none is large enough."""
    from orchestrator.run.nodes import check_room_on_nodes, check_store_on_nodes, connected
    from orchestrator.run.options import check_ray_address

    check_ray_address(address)
    with connected(address):
        check_store_on_nodes(store)
        for need in needs:
            check_room_on_nodes(need)


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
    add = parser.add_argument
    add("command", choices=["check", "prepare", "release"])
    add("file", help="a cluster file, as cluster.yaml and cluster-onprem.yaml are")
    add("--space", default="embedded", metavar="NAME|FILE", help="what it is to run (embedded)")
    add("--store", metavar="URL", help="the store (the file's SWEEP_STORE)")
    add("--ray-address", metavar="ADDRESS", help="ask this running cluster too, e.g. auto")
    return parser


if __name__ == "__main__":
    run(main)
