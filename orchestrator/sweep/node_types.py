"""Machines that can be rented, and what an hour of one costs: for the costs that a dry run shows.

Prices are AWS's list prices on demand (EC2, Linux, us-east-1), as of August 2025. They were written
down by hand and change: `--price` gives the user's own, such as a spot price.
"""

import argparse
from dataclasses import dataclass

from search_spaces.errors import nearest

PRICES_OF = "AWS on demand, us-east-1, August 2025"


@dataclass(frozen=True)
class NodeType:
    """cpus: virtual ones. gpu: a word of its name in torch. dollars: an hour."""

    name: str
    cpus: int
    gpus: int
    gpu: str
    dollars: float


NODE_TYPES = {
    each.name: each
    for each in (
        NodeType("g4dn.4xlarge", 16, 1, "T4", 1.204),
        NodeType("g5.4xlarge", 16, 1, "A10G", 1.624),
        NodeType("g5.48xlarge", 192, 8, "A10G", 16.288),
        NodeType("g6.4xlarge", 16, 1, "L4", 1.323),
        NodeType("g6e.4xlarge", 16, 1, "L40S", 3.004),
        NodeType("p4d.24xlarge", 96, 8, "A100", 21.958),
        NodeType("p5.4xlarge", 16, 1, "H100", 6.88),
        NodeType("p5.48xlarge", 192, 8, "H100", 55.04),
    )
}
SHOWN = ("g5.4xlarge", "g6e.4xlarge", "p5.4xlarge")


def price(text: str) -> tuple[str, float]:
    """A node type and dollars an hour, of `g5.4xlarge=0.55`. Raises ArgumentTypeError."""
    name, _, dollars = text.partition("=")
    if name not in NODE_TYPES:
        raise argparse.ArgumentTypeError(f"unknown node type {name!r}; {nearest(name, NODE_TYPES)}")
    try:
        value = float(dollars)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} has no price; write {name}=1.25")
    return name, value
