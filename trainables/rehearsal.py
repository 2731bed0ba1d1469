"""A rehearsal: what a sweep will do, tried for seconds on a worker before anything is trained.

`rehearse` yields what it tried, whether that works and what it took: a write and a read of the
store, training steps, attacks on an untrained head. Nothing that it computes is kept in a fit or an
attack log. Needs no Ray.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from search_spaces.cell import Cell, Fit, InnerAttack
from search_spaces.errors import first_line
from trainables.assets import Assets
from trainables.attacks.resources import prepare_textattack
from trainables.cell import use_threads
from trainables.data import Example
from trainables.device import NoGPU, device_of, gpu_works
from trainables.files import StoreError
from trainables.ran_on import where_runs
from trainables.records import RehearsedAttack, Tried
from trainables.speed.imports import import_large
from trainables.store import Store

ATTACKED = 2  # examples of each attack
PREDICTED = 64  # of the longest texts
STEPS = 3  # of which the first, which allocates memory, is not counted
SECONDS_PER_EXAMPLE = 30.0  # an attack that takes longer ends: it works


def rehearse(phase: str, cells: Sequence[Cell], store: Store, assets: Assets) -> Iterator[Tried]:
    """Try the store, and then the phase (`fit` or `attack`) of each cell; raises nothing.

    An entry with `error` did not work. After the loss of the GPU nothing more is tried.
    """
    yield _tried("store", lambda: _write_and_read(store))
    by_dataset = sorted(cells, key=lambda cell: cell.fit.dataset)  # its rows are kept in memory
    for _, group in groupby(by_dataset, key=lambda cell: cell.fit.dataset):
        for cell in group:
            tried = _tried(phase, lambda: _phase(phase, cell, assets), cell)  # noqa: B023
            yield tried
            if tried.get("gpu_lost"):
                return


def _tried(what: str, do: Any, cell: Cell | None = None) -> Tried:
    tried: Tried = {"what": what, "seconds": 0.0}
    if cell is not None:
        fit = cell.fit
        tried |= {"dataset": fit.dataset, "model": fit.model, "head": fit.head}
        entry = fit.training_entry
        tried |= {"training_kind": entry.kind, "training_settings": entry.settings}
        if what == "attack":
            tried["attack"] = cell.attack
    began = time.perf_counter()
    try:
        tried |= do()
    except Exception as error:
        tried["error"] = first_line(error, with_type=True)
        holds = cell is not None and getattr(cell.resources, what).gpus
        if isinstance(error, NoGPU) or (holds and not gpu_works()):
            tried["gpu_lost"] = True
    tried["seconds"] = time.perf_counter() - began
    return tried


def _write_and_read(store: Store) -> dict[str, Any]:
    name, text = uuid.uuid4().hex, "a rehearsal"
    store.write_note(name, text)
    try:
        if store.read_note(name) != text:
            raise StoreError("what is written to the store cannot be read back")
    finally:
        with suppress(StoreError):
            store.delete_note(name)
    return {}


def _phase(phase: str, cell: Cell, assets: Assets) -> dict[str, Any]:
    import_large("trainables.fit", "transformers.models.auto.modeling_auto")
    holds = getattr(cell.resources, phase)
    device = device_of(holds.gpus)
    use_threads(holds.cpus)
    return (_steps if phase == "fit" else _attack)(cell, device, assets)


def _steps(cell: Cell, device: str, assets: Assets) -> dict[str, Any]:
    """A few steps at the longest texts, for memory, and at usual ones, for time; and the attack of
    the fit's training, if it has one."""
    import torch

    from trainables.data import training_rows
    from trainables.fit import fresh_head, load_data

    fit, size = cell.fit, cell.fit.settings.batch_size
    splits = load_data(fit, assets)
    train = training_rows(splits.train, fit.settings.train_examples, fit.training_entry.train_share)
    head = fresh_head(fit, assets, device)
    head.compute_in(fit.settings.dtype)
    _, without = _seconds_of_steps(head, fit, [_longest(train, size)] * STEPS)
    longest = _longest(splits.validation, PREDICTED)
    head.predict([example.texts for example in longest])
    usual = [train[i * size : (i + 1) * size] or train[:size] for i in range(STEPS)]
    seconds, _ = _seconds_of_steps(head, fit, usual)
    tried = {
        "not_deterministic": without,
        "device": where_runs(head)["device"],
        "step_texts": len(usual[0]),
        "step_tokens": sum(_length(head, fit, batch) for batch in usual[1:]) / (STEPS - 1),
        "step_seconds": seconds,
    }
    if fit.attack is not None:
        made = _attacked(fit, head, train[:ATTACKED], fit.attack, SECONDS_PER_EXAMPLE, assets)
        if "error" in made:
            return made
        if not made["timeout"]:
            tried["own_attack"] = {fit.attack.name: figures_of(made)}
    if device == "cuda":
        tried["memory"] = torch.cuda.max_memory_reserved()
        tried["memory_there"] = torch.cuda.mem_get_info()[1]
    return tried


def figures_of(attacked: Mapping[str, Any]) -> RehearsedAttack:
    """What is kept of an attack that was tried."""
    return {
        "seconds": attacked["example_seconds"],
        "words": attacked["words"],
        "queries": attacked["queries"],
    }


def _seconds_of_steps(head: Any, fit: Fit, batches: Sequence[list[Example]]) -> tuple[float, str]:
    """Seconds of a step, in the mean of all but the first, made as a fit would make them; and the
    operation that has no deterministic algorithm, if there is one."""
    from trainables.deterministic import NotDeterministic, deterministic, may_vary

    if not (may_vary(head.device) and fit.settings.deterministic):
        return _steps_made(head, fit, batches), ""
    try:
        with deterministic(strict=True):
            return _steps_made(head, fit, batches), ""
    except NotDeterministic as error:
        without = error.operation
    with deterministic(strict=False):
        return _steps_made(head, fit, batches), without


def _steps_made(head: Any, fit: Fit, batches: Sequence[list[Example]]) -> float:
    import torch

    from trainables.fit import gradients
    from trainables.optimizer import adamw, clip_gradients
    from trainables.training.base import training_of

    settings, training = fit.settings, training_of(fit.training_entry, head)
    optimizer = adamw(
        head,
        settings.learning_rate,
        settings.weight_decay,
        settings.decay_norms_and_biases,
        training.parameters(),
    )
    taken, at_once = [], settings.batch_size
    for batch in batches:
        began = time.perf_counter()
        head.train()
        _, at_once = gradients(head, optimizer, batch, training, at_once)
        clip_gradients(head, settings.max_grad_norm)
        optimizer.step()
        if head.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return sum(taken[1:]) / len(taken[1:])


def _attack(cell: Cell, device: str, assets: Assets) -> dict[str, Any]:
    """Attack a few examples of an untrained head."""
    from trainables.data import attacked_examples
    from trainables.fit import fresh_head, load_test_rows

    rows = attacked_examples(load_test_rows(cell.fit, assets), ATTACKED, cell.sample)
    head = fresh_head(cell.fit, assets, device)
    head.compute_in(cell.attack_dtype)
    attack = InnerAttack(
        name=cell.attack,
        kind=cell.attack_kind,
        settings=cell.attack_settings,
        resources=cell.attack_resources,
    )
    limit = min(cell.seconds_per_example or SECONDS_PER_EXAMPLE, SECONDS_PER_EXAMPLE)
    return _attacked(cell.fit, head, rows, attack, limit, assets)


def _attacked(
    fit: Fit, head: Any, rows: Sequence[Example], of: InnerAttack, limit: float, assets: Assets
) -> dict[str, Any]:
    """Attack rows, each labelled as the head classifies it, each for `limit` seconds at most."""
    prepare_textattack(of.resources, assets.attack_folder(of.resources))
    from trainables.attacks.engine import Victim, attack_examples
    from trainables.attacks.recipes import build_attack
    from trainables.attacks.resources import masked_language_model

    classes = head.predict([row.texts for row in rows]).argmax(dim=1).tolist()
    examples = [Example(r.id, r.texts, label) for r, label in zip(rows, classes, strict=True)]
    attack = build_attack(
        of.kind,
        Victim(head),
        of.settings,
        of.resources,
        masked_lm=masked_language_model(of.resources, head.device),
        columns=fit.data.columns,
        attacked=fit.data.attacked,
    )
    # The first also loads what the attack needs; its time is not that of an example.
    records = list(
        attack_examples(
            lambda: attack,
            examples,
            fit.data.columns,
            fit.seed,
            fit.dataset,
            of.name,
            attacked=fit.data.attacked,
            resources=of.resources,
            seconds_per_example=limit,
        )
    )
    finished = [record for record in records if record["status"] != "error"]
    if not finished:
        return {"error": records[-1].get("error", "no example was attacked")}
    last = finished[-1]
    return {
        "timeout": bool(last.get("timeout")),
        "device": where_runs(head)["device"],
        "example_seconds": last["seconds"],
        "words": last["words"],
        "queries": last["queries"],
        "victim_seconds": last["victim_seconds"],
    }


def _longest(rows: Sequence[Example], count: int) -> list[Example]:
    return sorted(rows, key=lambda row: sum(map(len, row.texts)))[-count:]


def _length(head: Any, fit: Fit, batch: Sequence[Example]) -> int:
    """Tokens of a batch's longest text, without templates."""
    tokenize = head.tokenizer if hasattr(head, "tokenizer") else str.split
    texts = [" ".join(example.texts) for example in batch]
    return min(
        max(len(getattr(t, "input_ids", t)) for t in map(tokenize, texts)), fit.settings.max_length
    )
