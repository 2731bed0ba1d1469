"""One cell, start to end: get the fit, attack it, report. Needs neither Ray nor MLflow.

`Worker.run` yields a progress record whenever there is news, and stores every result as soon as it
exists; run again after any kind of failure, it does only what is missing.

    python -m trainables.cell results/cells/<key>/cell.json --store results --assets embedded

`--plain` runs it without trainables/speed, in a separate store at `results/plain`. To attack the
same weights there, copy the fit's folder from `results/fits` to `results/plain/fits`.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from search_spaces.cell import Cell, Fit
from search_spaces.errors import BadInput, first_line
from trainables import speed
from trainables.assets import Assets
from trainables.attacks.resources import prepare_textattack
from trainables.data import Example, Splits, attacked_examples
from trainables.device import NoGPU, device_of, gpu_works, prepare
from trainables.files import DamagedFile, StoreError
from trainables.metrics import attack_metrics, check_errors, records_digest
from trainables.precision import in_random_order, interval, released, until_narrow
from trainables.ran_on import short, where_runs
from trainables.records import (
    ExampleRecord,
    FitMade,
    FitRecord,
    Result,
    Spent,
    TrialReport,
    digest,
    is_of_weights,
    weights_name,
)
from trainables.speed.imports import import_large
from trainables.store import Store

PLAIN = "plain"  # the part of a store that `--plain` writes to
REPORT_EVERY = 1.0  # seconds between progress records while attacking

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """A part of a cell's examples: the one with this number, from 0, of `of` equal ones.

    Parts are contiguous: any stretch of the sample has about its shares of labels.
    """

    number: int
    of: int

    def share(self, sample: Sequence[Example]) -> Sequence[Example]:
        first, end = (len(sample) * at // self.of for at in (self.number, self.number + 1))
        return sample[first:end]


class Worker:
    """Runs cells in one process; keeps the last fitted head, the store and the assets."""

    def __init__(self, store: Store, assets: Assets) -> None:
        self.store = store
        self.assets = assets
        self.device = "cpu"  # of the phase that runs
        self._fitted: StoredHead | None = None
        self._may_fit = True  # whether this process holds what fits need
        self._fits_on = "cpu"
        self._spent: Spent = _nothing_spent()

    def run(
        self, cell: Cell, part: Part | None = None, phase: str | None = None
    ) -> Iterator[TrialReport]:
        """Run a cell, or a part of its attack; yields progress reports and raises nothing.

        The last report has `phase` done, or failed; the traceback is then in the store, if that can
        be written. It is no_gpu where this process cannot use the GPU that it holds, and gpu_lost
        where it no longer can: nothing more can be run here, and another process may do better.

        phase: which phase's resources the process holds, `fit` or `attack`; None: those of both.

        The last report of a part has `phase` part_done, and `error` if it ended early: examples
        that are missing then, or ended in an error, are attacked when the cell itself is run, which
        reports the error. Several processes may run parts of a cell at once.
        """
        self._spent = _nothing_spent()
        holds = {phase} if phase else {"fit", "attack"}
        kinds = {bool(getattr(cell.resources, each).gpus) for each in holds}
        self._may_fit = bool(cell.resources.fit.gpus) in kinds
        self._fits_on = "cuda" if cell.resources.fit.gpus else "cpu"
        yield from self._run(cell, phase) if part is None else self._run_part(cell, part)

    def _run(self, cell: Cell, phase: str | None) -> Iterator[TrialReport]:
        try:
            begun = self.store.has_cell(cell.key)
            self.store.write_cell(cell.key, json.loads(cell.model_dump_json()))
            yield from self._fit(cell, phase)
            yield from self._attack(cell, begun)
        except Exception as error:
            self._fitted = None
            with suppress(StoreError):
                self.store.write_error(cell.key, traceback.format_exc())
            yield {
                "phase": self._what_failed(error) or "failed",
                "error": first_line(error, with_type=True),
                "spent": self._so_far(),
            }

    def _run_part(self, cell: Cell, part: Part) -> Iterator[TrialReport]:
        end: TrialReport = {"phase": "part_done"}
        try:
            share = part.share(self._sample(cell))
            asked = [example.id for example in share]
            self.device = device_of(cell.resources.attack.gpus)
            weights, finished = self._finished(cell, share, asked)
            missing = [example for example in share if _is_missing(example.id, finished)]
            found = len(asked) - len(missing)
            yield {"phase": "attack", "finished": found, "total": len(asked), "found": found}
            if missing:
                yield from self._attack_missing(cell, share, finished, weights)
            end |= {"finished": len(asked), "total": len(asked), "attacked": len(missing)}
        except Exception as error:
            self._fitted = None
            end["error"] = first_line(error, with_type=True)
            end["phase"] = self._what_failed(error) or "part_done"
        yield {**end, "spent": self._so_far()}

    def _what_failed(self, error: Exception) -> Literal["no_gpu", "gpu_lost"] | None:
        """Why this process can do nothing more that needs its GPU; None if it can."""
        if isinstance(error, NoGPU):
            return "no_gpu"
        return "gpu_lost" if self.device != "cpu" and not gpu_works() else None

    def _fit(self, cell: Cell, phase: str | None) -> Iterator[TrialReport]:
        import_large("trainables.fit", "transformers.models.auto.modeling_auto")

        fit = cell.fit
        use_threads(cell.resources.fit.cpus)
        start: TrialReport = {
            "phase": "attack",
            "fit_done": True,
            "finished": 0,
            "total": cell.examples,
        }
        there = self.store.has_fit(fit.key)
        # A trial that only attacks may hold no GPU, though the fit did.
        held = phase or ("attack" if there else "fit")
        self.device = device_of(getattr(cell.resources, held).gpus)
        if not there:
            self._check_may_fit(fit, "is not in the store any more")
            for progress in fit_and_store(fit, self.store, self.assets, self.device):
                if isinstance(progress, StoredHead):
                    self._fitted = progress
                    start["fit_seconds"] = progress.record["seconds"]
                else:
                    yield progress
        self._evaluate_also(fit)
        yield start

    def _evaluate_also(self, fit: Fit) -> None:
        from trainables.fit import evaluate_on

        done = self.store.evaluations(fit.key) if fit.evaluate_also else {}
        for other in fit.evaluate_also:
            name = other.stored_as
            if name not in done:
                stored = self._head(fit, "fp32")
                record = evaluate_on(stored.head, other, self.assets)
                of: Any = {"fit": fit.key, "weights": stored.weights}
                self.store.write_evaluation(fit.key, name, {**of, **record})

    def _head(self, fit: Fit, dtype: str) -> "StoredHead":
        """The fit's head with the weights that the store has now, on the phase's device, to compute
        in this dtype."""
        stored = self.store.sound(self.store.read_fit, fit.key)
        here = self._fitted
        if not (here and stored and (here.key, here.weights) == (fit.key, weights_name(stored))):
            self._fitted = here = None  # there may not be room for two
            try:
                self._fitted = here = loaded_head(fit, self.store, self.assets, self.device)
            except (DamagedFile, FileNotFoundError) as error:
                if isinstance(error, DamagedFile) and not self._may_fit:
                    self.store.files.rename_aside(error.name)
                self._check_may_fit(fit, "has no weights in the store that can be used")
                self._fitted = here = stored_head(fit, self.store, self.assets, self._fits_on)
        here.head.to(self.device)
        here.head.compute_in(dtype)
        return here

    def _check_may_fit(self, fit: Fit, why: str) -> None:
        """Raises RuntimeError where this process holds a GPU and fits none, or the other way."""
        if not self._may_fit:
            raise RuntimeError(
                f"the fit {fit.key} {why}, and what an attack holds is not what fits need; run the "
                "sweep again"
            )

    def _attack(self, cell: Cell, begun: bool) -> Iterator[TrialReport]:
        sample = self._sample(cell)
        asked = [example.id for example in sample]
        weights, finished = self._finished(cell, sample, asked if begun else ())
        if found := sum(not _is_missing(id, finished) for id in asked):
            yield {"phase": "attack", "finished": found, "total": len(asked), "found": found}
        wanted = until_narrow(sample, finished, cell.precision)
        if any(_is_missing(example.id, finished) for example in wanted):
            yield from self._attack_missing(cell, sample, finished, weights)
        ids = [example.id for example in until_narrow(sample, finished, cell.precision)]
        check_errors((finished[id] for id in ids), at_the_end=True)
        self.store.merge_log(cell.log, finished)
        sample_records = [finished[id] for id in ids]
        metrics = attack_metrics(sample_records)
        result: Result = {
            "key": cell.key,
            "dataset": cell.fit.dataset,
            "model": cell.fit.model,
            "head": cell.fit.head,
            "training": cell.fit.training,
            "attack": cell.attack,
            "seed": cell.fit.seed,
            "fit": cell.fit.key,
            "metrics": metrics,
            "sample": ids,
            "records_sha256": records_digest(sample_records),
            "weights": weights,
        }
        if places := sorted({r["ran_on"] for r in sample_records if "ran_on" in r}):
            result["ran_on"] = places
        if cell.precision is not None:
            right = sum(record["status"] == "failed" for record in sample_records)
            errors = int(metrics["num_errors"] or 0)
            result["interval"] = [*interval(right, len(ids) - errors, len(sample) - errors)]
        self.store.write_result(cell.key, result)
        # Not len(ids): progress would go backwards where more was attacked before.
        done = sum(id in finished for id in asked)
        yield {
            "phase": "done",
            "finished": done,
            "total": done,
            "spent": self._so_far(),
            "metrics": metrics,
        }

    def _finished(
        self, cell: Cell, sample: Sequence[Example], look_for: Iterable[int]
    ) -> tuple[str, dict[int, ExampleRecord]]:
        """The name of the fit's weights, and the examples attacked on them, by id.

        If any of the sample is missing, the head is loaded: a fit whose weights are damaged is
        made again, and the weights may be others then.
        """
        look_for = list(look_for)

        def attacked_on(fit: FitRecord) -> dict[int, ExampleRecord]:
            attacked = self.store.attacked(cell.log, look_for)
            return {id: record for id, record in attacked.items() if is_of_weights(record, fit)}

        fit = self.store.read_fit(cell.fit.key)
        finished = attacked_on(fit)
        wanted = until_narrow(sample, finished, cell.precision)
        if any(_is_missing(example.id, finished) for example in wanted):
            stored = self._head(cell.fit, cell.attack_dtype)
            if stored.weights != weights_name(fit):
                finished = attacked_on(stored.record)
                self._evaluate_also(cell.fit)
            return stored.weights, finished
        return weights_name(fit), finished

    def _sample(self, cell: Cell) -> Sequence[Example]:
        """The examples to attack, in order."""
        from trainables.fit import load_test_rows

        sample = attacked_examples(
            load_test_rows(cell.fit, self.assets), cell.examples, cell.sample
        )
        return sample if cell.precision is None else in_random_order(sample)

    def _attack_missing(
        self,
        cell: Cell,
        sample: Sequence[Example],
        finished: dict[int, ExampleRecord],
        weights: str,
    ) -> Iterator[TrialReport]:
        """Attack what is missing of a sample, and add it to `finished` and to the store."""
        self.device = device_of(cell.resources.attack.gpus)
        victim = self._head(cell.fit, cell.attack_dtype)
        if victim.weights != weights:
            raise RuntimeError(f"{cell.fit.key} was made again meanwhile; run the sweep again")
        prepare_textattack(cell.attack_resources, self.assets.attack_folder(cell.attack_resources))
        from trainables.attacks.engine import Victim, attack_together
        from trainables.attacks.goal import Goal
        from trainables.attacks.recipes import build_attack
        from trainables.attacks.resources import masked_language_model

        use_threads(cell.resources.attack.cpus)
        goal = Goal(cell.scores, _temperature(victim, cell), cell.query_budget)
        place = short(where_runs(victim.head))
        reported = time.perf_counter()
        ended = {id: record for id, record in finished.items() if not _is_missing(id, finished)}
        found = set(ended)
        for records in attack_together(
            lambda: build_attack(
                cell.attack_kind,
                Victim(victim.head),
                cell.attack_settings,
                cell.attack_resources,
                masked_lm=masked_language_model(cell.attack_resources, victim.head.device),
                columns=cell.fit.data.columns,
                attacked=cell.fit.data.attacked,
                goal=goal,
            ),
            (
                example
                for example in released(sample, ended, cell.precision)
                if example is None or example.id not in found
            ),
            cell.fit.data.columns,
            cell.fit.seed,
            cell.fit.dataset,
            cell.attack,
            attacked=cell.fit.data.attacked,
            resources=cell.attack_resources,
            seconds_per_example=cell.seconds_per_example,
            at_once=cell.at_once if speed.is_on("lockstep") else 1,
        ):
            for record in records:
                record["log"], record["weights"] = cell.log, victim.weights
                record["ran_on"] = place
                record["digest"] = digest(record)
                finished[record["id"]] = ended[record["id"]] = record
                self._spent["attack"] += record["seconds"]
                self._spent["victim"] += record["victim_seconds"]
                self._spent["constraints"] += record["constraint_seconds"]
            self.store.add_attacked(cell.log, *records)
            if any(record["status"] == "error" for record in records):
                known = takewhile(ended.__contains__, (example.id for example in sample))
                check_errors(ended[id] for id in known)
            if time.perf_counter() - reported > REPORT_EVERY:
                reported = time.perf_counter()
                done, spent = sum(e.id in finished for e in sample), self._so_far()
                yield {"phase": "attack", "finished": done, "total": len(sample), "spent": spent}

    def _so_far(self) -> Spent:
        return self._spent.copy()


@dataclass(frozen=True)
class StoredHead:
    """A fit's head, and the store's record of it."""

    key: str
    record: FitRecord
    head: Any

    @property
    def weights(self) -> str:
        return weights_name(self.record)


def loaded_head(fit: Fit, store: Store, assets: Assets, device: str = "cpu") -> StoredHead:
    """A fit's head with its weights from the store. Raises DamagedFile, FileNotFoundError."""
    from trainables.fit import fresh_head

    record, weights = store.read_fitted(fit.key)
    head = fresh_head(fit, assets, device)
    head.load_bytes(weights)
    return StoredHead(fit.key, record, head)


def stored_head(fit: Fit, store: Store, assets: Assets, device: str = "cpu") -> StoredHead:
    """The same; fine-tuned again if its weights are damaged or missing."""
    import torch

    try:
        return loaded_head(fit, store, assets, device)
    except (DamagedFile, FileNotFoundError):
        attack_threads = torch.get_num_threads()
        use_threads(fit.identity["threads"])
        steps = fit_and_store(fit, store, assets, device)
        made = next(each for each in steps if isinstance(each, StoredHead))
        use_threads(attack_threads)
        return made


def fit_and_store(
    fit: Fit, store: Store, assets: Assets, device: str = "cpu"
) -> Iterator[TrialReport | StoredHead]:
    """Fine-tune a fresh head; yields progress records, and the head once it is stored.

    Goes on from the fit's last snapshot. If another process has stored the fit meanwhile, the head
    is that one: the first wins, and all attacks are on the same weights.
    """
    from trainables.fit import Fitted, load_data

    splits = load_data(fit, assets)
    for progress in _fitted(fit, splits, store, assets, device):
        if not isinstance(progress, Fitted):
            yield progress
            continue
        head = progress.head
        asked = json.loads(fit.model_dump_json())
        made = cast(FitMade, {**progress.record, "spec": asked, "ran_on": where_runs(head)})
        weights = head.to_bytes()
        record = store.write_fit(fit.key, weights, made)
        store.remove_snapshot(fit.key)
        if record["weights_sha256"] != hashlib.sha256(weights).hexdigest():
            record, weights = store.read_fitted(fit.key)
            head.load_bytes(weights)
        yield StoredHead(fit.key, record, head)


def _fitted(fit: Fit, splits: Splits, store: Store, assets: Assets, device: str) -> Iterator[Any]:
    """Fine-tune as `fine_tune` does, from the last snapshot, and keeping others.

    Where an operation has no deterministic algorithm, from the beginning without that demand.
    """
    from trainables.attacks.in_fits import attack_of
    from trainables.deterministic import NotDeterministic
    from trainables.fit import fine_tune, fresh_head

    attack = attack_of(fit, assets)

    def keep(snapshot: bytes) -> None:
        # The fit goes on without one: only its time is at risk.
        with suppress(StoreError):
            store.write_snapshot(fit.key, snapshot)

    try:
        head = fresh_head(fit, assets, device)
        steps = fine_tune(fit, head, splits, keep, store.read_snapshot(fit.key), attack=attack)
        del head  # on a GPU there may not be room for it beside a second one
        yield from steps
        return
    except NotDeterministic as error:
        without = error.operation
    # Here the error is gone, and with it the frames that hold the first try.
    head = fresh_head(fit, assets, device)
    yield from fine_tune(fit, head, splits, keep, without=without, attack=attack)


def _temperature(victim: StoredHead, cell: Cell) -> float:
    """The fit's, if the cell's attack needs it."""
    if cell.scores != "temperature":
        return 1.0
    found = victim.record["calibration"]
    if found["separated"] and len(cell.fit.data.labels) > 2:
        log.warning(
            "%s gets all of its validation examples right, so its temperature of %g says nothing "
            "of it; compare with attack.scores margin",
            cell.fit.key,
            found["temperature"],
        )
    return found["temperature"]


def _nothing_spent() -> Spent:
    return {"attack": 0.0, "victim": 0.0, "constraints": 0.0}


def _is_missing(id: int, finished: Mapping[int, ExampleRecord]) -> bool:
    """Whether an example is not attacked yet, or ended in an error."""
    return id not in finished or finished[id]["status"] == "error"


def use_threads(count: int) -> None:
    """Have torch use this many threads from now on."""
    import torch

    # Set by the space, not by the machine: the number of threads can change the last bits.
    torch.set_num_threads(count)
    os.environ["OMP_NUM_THREADS"] = str(count)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m trainables.cell",
        description="Run one cell without Ray, for debugging or on a machine that has none.",
    )
    parser.add_argument("cell", type=Path, help="the cell.json of a cell in a store")
    parser.add_argument("--store", default="results", help="folder or URL (default: results)")
    parser.add_argument("--assets", default="embedded", help="embedded, hub, a folder or a URL")
    parser.add_argument(
        "--plain",
        action="store_true",
        help=f"without the optimisations of trainables/speed; results go to STORE/{PLAIN}",
    )
    arguments = parser.parse_args()
    try:
        cell = Cell.model_validate_json(arguments.cell.read_text())
    except (OSError, ValueError) as error:
        print(f"{arguments.cell}: not a cell.json: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    try:
        assets = Assets(arguments.assets)
        assets.check()
        store = Store(arguments.store)
        if arguments.plain:
            speed.turn_off()
            # Keys do not cover it and last bits may differ: its results must not mix with others.
            store = Store(store.place(PLAIN))
        prepare(max(cell.resources.fit.gpus, cell.resources.attack.gpus))
        for progress in Worker(store, assets).run(cell):
            metrics = progress.pop("metrics", {})
            print(json.dumps({**progress, **metrics}), flush=True)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if progress["phase"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main())
