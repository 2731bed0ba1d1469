"""The options about Ray: which cluster, how many trials at once, whether to show its messages."""

import argparse
from dataclasses import dataclass

from orchestrator.cli.addresses import connection_error
from orchestrator.cli.arguments import number_of
from search_spaces.errors import BadInput


@dataclass(frozen=True)
class RayOptions:
    """address: of a running cluster; None: a Ray of our own. max_concurrent: None: all that fit."""

    address: str | None = None
    max_concurrent: int | None = None
    verbose: bool = False


LOCAL = RayOptions()


def add_ray_arguments(parser: argparse.ArgumentParser, tasks: str) -> None:
    """The arguments that `ray_options` reads. tasks: what runs on Ray, in the plural."""
    parser.add_argument(
        "--max-concurrent",
        type=number_of(tasks),
        metavar="N",
        help=f"{tasks} at once (as many as fit)",
    )
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="a running Ray cluster, e.g. auto (without it: Ray on this machine alone)",
    )


def ray_options(arguments: argparse.Namespace, verbose: bool = False) -> RayOptions:
    """Raises BadInput where no cluster answers at the address."""
    if arguments.ray_address is not None:
        check_ray_address(arguments.ray_address)
    return RayOptions(arguments.ray_address, arguments.max_concurrent, verbose)


def check_ray_address(address: str) -> None:
    """Raises BadInput where no cluster answers there: Ray itself would wait for minutes."""
    if address in ("auto", "local"):
        return
    if address.startswith("ray://"):
        raise BadInput(
            f"--ray-address {address}: the driver must run on a machine of the cluster; start the "
            "sweep there with --ray-address auto (ray exec, ray submit)"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadInput(f"--ray-address {address}: give auto or HOST:PORT")
    if error := connection_error(host, int(port)):
        raise no_cluster(address, error)


def no_cluster(address: str, why: object) -> BadInput:
    """That no cluster answers at an address, and what to do."""
    return BadInput(
        f"no Ray cluster answers at {address} ({why}); start one there, or leave --ray-address out"
    )
