"""Matrix multiplication in float32: torch's against trainables/speed/linear.py's.

    python -m benchmarks.products [--rounds N] [--json FILE]

One thread. With ONEDNN_MAX_CPU_ISA=AVX2 set it shows what a CPU without AVX-512 gains.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.side_by_side import Costs, described, in_turns, machine, spread, table
from trainables.speed.linear import linear

# Rows, inputs, outputs: a training step of a small model, of a base model, and an attack's queries.
SHAPES = ((704, 384, 768), (256, 768, 3072), (32, 384, 384), (8, 384, 384))
ENOUGH = 0.2  # seconds a measurement
Product = Callable[[Tensor, Tensor], Tensor]


def speed(product: Product, shape: tuple[int, int, int], _round: int) -> Costs:
    rows, inputs, outputs = shape
    x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
    product(x, weight)
    times = 0
    started = time.perf_counter()
    while (spent := time.perf_counter() - started) < ENOUGH:
        product(x, weight)
        times += 1
    return {"gflops": 2 * rows * inputs * outputs * times / spent / 1e9}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description="Matrix multiplication: torch's against ours.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    where = machine()
    torch.set_num_threads(1)
    rows, found = [], {}
    for shape in SHAPES:
        sides = {"torch": partial(speed, F.linear, shape), "ours": partial(speed, linear, shape)}
        name = " × ".join(map(str, shape))
        found[name] = in_turns(sides, arguments.rounds)
        row = {"rows × inputs × outputs": name}
        for side, costs in found[name].items():
            row[f"{side}, GFLOP/s"] = spread([each["gflops"] for each in costs], 0)
        rows.append(row)
    print(f"{described(where)}\n\n{table(rows)}")
    if arguments.json:
        said = {"machine": where, "rounds": found}
        arguments.json.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
