"""What goes wrong on a GPU, made to go wrong there: does the software do what it promises?

    python -m benchmarks.gpu_faults --json faults.json          some four minutes on a GPU
    python -m benchmarks.gpu_faults --on-cpu                    on a CPU: does the script run

Each look is a process of its own, since most leave the GPU unusable. Prints one JSON object a line:
what was looked at, and what was seen. Needs neither Ray nor MLflow.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.plan.plan import make_plan
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.device import device_of, gpu_works, is_gpu_error, prepare
from trainables.store import Store

ASSETS = Assets("embedded")
ONLY = ["model=bert-embedded", "head=mlp_ft,mvp", "dataset=sst2,boolq"]
SETS = ["fit.train_examples=256", "fit.evaluate_every=64", "attack.examples=6"]
BREAKS_AFTER = 5  # batches of queries

Seen = dict[str, Any]


def planned(gpus: float, store: Store, *sets: str) -> list[Cell]:
    holds = [f"resources.{phase}.gpus={gpus:g}" for phase in ("fit", "attack")]
    return make_plan(load("embedded", only=ONLY, sets=[*SETS, *holds, *sets]), ASSETS, store).todo


def rehearsal(gpus: float, folder: Path) -> Seen:
    """Everything tried for a moment, with what it took."""
    from orchestrator.run.rehearsal import chosen
    from trainables.rehearsal import rehearse

    store = Store(str(folder))
    cells = chosen(planned(gpus, store))
    began = time.perf_counter()
    tried = [each for phase in cells for each in rehearse(phase, cells[phase], store, ASSETS)]
    return {"seconds": time.perf_counter() - began, "tried": tried}


def cells(gpus: float, folder: Path) -> Seen:
    """A cell of each attack, and where it says that it was made."""
    from trainables.cell import Worker

    store = Store(str(folder))
    worker = Worker(store, ASSETS)
    ends = {}
    for cell in planned(gpus, store)[:4]:
        *_, last = worker.run(cell)
        ends[cell.attack] = {"phase": last["phase"], "error": last.get("error")}
        fit = store.read_fit(cell.fit.key)
    return {"ends": ends, "ran_on": fit["ran_on"], "deterministic": fit.get("deterministic")}


def equal_fits(gpus: float, folder: Path) -> Seen:
    """The same fits made in two processes: `main` compares the digests of their weights."""
    from trainables.cell import StoredHead, fit_and_store

    store, made = Store(str(folder)), {}
    for cell in {cell.fit.key: cell for cell in planned(gpus, store)}.values():
        for each in fit_and_store(cell.fit, store, ASSETS, device_of(gpus)):
            if isinstance(each, StoredHead):
                fit = each.record
                made[cell.fit.key] = [fit["weights_sha256"], round(fit["seconds"], 2)]
    return {"made": made}


def cut_off_in_mid_fit(gpus: float, folder: Path) -> Seen:
    """A fit that is ended after its second snapshot: `equal_fits` then goes on from it."""
    import trainables.fit
    from trainables.cell import fit_and_store

    store = Store(str(folder))
    trainables.fit.SNAPSHOT_EVERY = 0.0
    taken, kept = trainables.fit.taken, []

    def counted(*arguments: Any) -> bytes:
        if len(kept) == 2:
            print(json.dumps({"snapshots": len(kept)}), flush=True)
            os._exit(0)
        kept.append(1)
        return taken(*arguments)

    trainables.fit.taken = counted
    (cell, *_) = planned(gpus, store)
    list(fit_and_store(cell.fit, store, ASSETS, device_of(gpus)))
    return {"snapshots": "the fit was over before"}


def lost_gpu(gpus: float, folder: Path) -> Seen:
    """A device-side assert in mid-attack: no record is made of it, and the process knows."""
    import torch

    from trainables.cell import Worker
    from trainables.heads.base import Head

    predict, count = Head.predict, [0]

    def breaks(head: Head, *arguments: Any) -> Any:
        count[0] += 1
        if count[0] > BREAKS_AFTER and head.device.type == "cuda":
            torch.zeros(2, device="cuda")[torch.tensor([7], device="cuda")].cpu()
        return predict(head, *arguments)

    store = Store(str(folder))
    (cell, *_) = planned(gpus, store)
    worker = Worker(store, ASSETS)
    reports = worker.run(cell)
    next(report for report in reports if report.get("fit_done"))
    Head.predict = breaks  # type: ignore[method-assign]
    *_, last = reports
    statuses = [record["status"] for record in store.attacked(cell.log).values()]
    return {
        "phase": last["phase"],
        "error": last.get("error"),
        "records": len(statuses),
        "errors": statuses.count("error"),
        "gpu_works": gpu_works() if gpus else None,
    }


def after_it(gpus: float, folder: Path) -> Seen:
    """The same cell in a new process."""
    from trainables.cell import Worker

    store = Store(str(folder))
    *_, last = Worker(store, ASSETS).run(planned(gpus, store)[0])
    return {"phase": last["phase"], "num_errors": last.get("metrics", {}).get("num_errors")}


def hidden(gpus: float, folder: Path) -> Seen:
    """A process that holds no GPU."""
    import torch

    return {"is_available": torch.cuda.is_available(), "device": device_of(0)}


def none_there(gpus: float, folder: Path) -> Seen:
    """A process that holds a GPU, and finds none."""
    from trainables.cell import Worker

    store = Store(str(folder))
    *_, last = Worker(store, ASSETS).run(planned(1, store)[0])
    return {"phase": last["phase"], "error": last.get("error")}


def too_little_memory(gpus: float, folder: Path) -> Seen:
    """A fit whose batch does not fit into the memory: halved, and it ends well."""
    import torch

    from trainables.cell import Worker

    if gpus:
        torch.cuda.set_per_process_memory_fraction(700e6 / torch.cuda.mem_get_info()[1])
    store = Store(str(folder))
    todo = planned(gpus, store, "fit.batch_size=128", "fit.max_length=512")
    cell = next(cell for cell in todo if cell.fit.head == "mvp" and cell.fit.dataset == "boolq")
    *_, last = Worker(store, ASSETS).run(cell)
    made = store.sound(store.read_fit, cell.fit.key)
    at_once = made and made.get("examples_at_once")
    return {"phase": last["phase"], "error": last.get("error"), "examples_at_once": at_once}


def no_memory(gpus: float, folder: Path) -> Seen:
    """Memory that another process holds: an error of the GPU, which itself still works."""
    import torch

    if not gpus:
        return {}
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        torch.zeros(10**7, device="cuda")
    except Exception as error:
        kind = f"{type(error).__name__}: {str(error)[:80]}"
        return {"error": kind, "is_gpu_error": is_gpu_error(error), "gpu_works": gpu_works()}
    return {"error": None}


LOOKS: dict[str, Callable[[float, Path], Seen]] = {
    look.__name__: look
    for look in (
        rehearsal,
        cells,
        equal_fits,
        cut_off_in_mid_fit,
        lost_gpu,
        after_it,
        hidden,
        none_there,
        too_little_memory,
        no_memory,
    )
}


def look(name: str, gpus: float, folder: Path, **environment: str) -> Seen:
    """Look in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_faults", "--look", name, str(gpus), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    seen = json.loads(lines[-1]) if lines else {"failed": done.stderr.strip().splitlines()[-3:]}
    print(json.dumps({"look": name, **seen}), flush=True)
    return {"look": name, **seen}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--on-cpu", action="store_true", help="as if no phase held a GPU")
    parser.add_argument("--json", type=Path, help="write what was seen to this file")
    parser.add_argument("--look", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look:
        name, held, place = arguments.look
        prepare(0 if name == "hidden" else float(held))
        print(json.dumps(LOOKS[name](float(held), Path(place))), flush=True)
        return
    gpus = 0.0 if arguments.on_cpu else 1.0
    seen = []
    with tempfile.TemporaryDirectory() as root:
        one, two, three, four = (Path(root, name) for name in "abcd")
        seen.append(look("rehearsal", gpus, one))
        seen.append(look("lost_gpu", gpus, two))
        seen.append(look("after_it", gpus, two))
        seen.append(look("hidden", gpus, one))
        seen.append(look("none_there", gpus, one, CUDA_VISIBLE_DEVICES=""))
        seen.append(look("too_little_memory", gpus, one))
        seen.append(look("no_memory", gpus, one))
        seen.append(look("cut_off_in_mid_fit", gpus, four))
        made = [look("equal_fits", gpus, folder) for folder in (one, three, four)]
        digests = [{key: made[0] for key, made in each["made"].items()} for each in made]
        whole = [digests[0] == digests[1], digests[0] == digests[2]]
        seen += [*made, {"two_processes_equal": whole[0], "one_cut_off_equal": whole[1]}]
        print(json.dumps(seen[-1]), flush=True)
        seen.append(look("cells", gpus, one))
    if arguments.json:
        arguments.json.write_text(json.dumps(seen, indent=1) + "\n")


if __name__ == "__main__":
    main()
