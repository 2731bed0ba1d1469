"""Attack a fitted head, example by example, each with its own seed, whenever it runs.

The attack's logic is TextAttack's own. An example's record depends on (fit, attack, seed, example)
alone: never on sharding, order or what was attacked before.
"""

import hashlib
import random
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import numpy as np
import textattack
import torch
from textattack.attack_results import (
    AttackResult,
    FailedAttackResult,
    SkippedAttackResult,
    SuccessfulAttackResult,
)
from textattack.shared import AttackedText

from trainables.attacks.deadline import NEVER, Deadline, TimeUp
from trainables.attacks.patches import replaced
from trainables.attacks.rules import check_success, text_of
from trainables.attacks.similarity import Similarity
from trainables.attacks.stopwatch import Stopwatch
from trainables.attacks.unread import words_unread
from trainables.data import Example
from trainables.device import is_gpu_error
from trainables.heads.base import Head
from trainables.records import Attacked, Errored, ExampleRecord

QUERY_BATCH = 32


class Victim(textattack.models.wrappers.ModelWrapper):
    """A head as TextAttack expects a model: a list of texts in, logits [texts, classes] out."""

    def __init__(self, head: Head) -> None:
        self.model = head
        self.stopwatch = Stopwatch()
        self.deadline = NEVER

    def __call__(self, text_input_list: Sequence[str | tuple[str, ...]]) -> Any:
        self.deadline.check()
        with self.stopwatch:
            texts = [(text,) if isinstance(text, str) else tuple(text) for text in text_input_list]
            return self.model.predict(texts)


def attack_examples(
    attack: textattack.Attack,
    examples: Iterable[Example],
    columns: Sequence[str],
    seed: int,
    dataset: str,
    attack_name: str,
    attacked: str | None = None,
    resources: str = "embedded",
    seconds_per_example: float | None = None,
) -> Iterator[ExampleRecord]:
    """Attack each example; yields its record (see `record_of`) as soon as it is finished.

    A record's `seconds` are those of the attack; `victim_seconds` and `constraint_seconds` are the
    parts of it spent in the model and in checks of perturbed texts against the constraints.

    attack: on a `Victim`. columns: names of the examples' text columns. seed: the cell's. attacked:
    the attacked column (default: the first). resources: the set whose sentence encoder measures the
    similarity of original and perturbed text; its time is not in the record's seconds.
    seconds_per_example: an example that takes longer is `failed`, and its record has `timeout`. If
    an attack raises, or its success breaks a rule (rules.py), the record has status `error` and the
    traceback, and the next example is attacked. An error of the GPU is no result of the example: it
    is raised (device.py).
    """
    column = 0 if attacked is None else columns.index(attacked)
    victim: Victim = attack.goal_function.model
    constraints = Stopwatch()
    similarity = Similarity(resources)
    with _watched(attack, victim, constraints):
        for example in examples:
            started = time.perf_counter()
            victim.stopwatch.seconds = constraints.seconds = 0.0
            seed_example(seed, dataset, example.id, attack_name)
            text = text_of(columns, example.texts)
            record: ExampleRecord
            try:
                record = _attack(attack, example, text, seconds_per_example)
            except Exception as error:
                if is_gpu_error(error):
                    raise
                attack.clear_cache()
                record = _error_record(example, error)
            seconds = round(time.perf_counter() - started, 4)
            victim_seconds = round(victim.stopwatch.seconds, 4)
            constraint_seconds = round(constraints.seconds, 4)
            alike = None
            try:
                if record["status"] == "successful":
                    perturbed = check_success(record, example, columns, column, victim.model)
                    alike = similarity(example.texts[column], perturbed[column])
                if record["status"] == "successful" or record["status"] == "failed":
                    words = text.words_per_input[column]
                    if unread := words_unread(victim.model, example.texts, column, words):
                        record["words_unread"] = unread
            except Exception as error:
                if is_gpu_error(error):
                    raise
                record = _error_record(example, error)
            record["seconds"] = seconds
            record["victim_seconds"] = victim_seconds
            record["constraint_seconds"] = constraint_seconds
            if record["status"] == "error":
                record["similarity"] = None
            else:
                record["similarity"] = alike
            yield record


@contextmanager
def _watched(attack: textattack.Attack, victim: Victim, constraints: Stopwatch) -> Iterator[None]:
    """In this block, time in constraints is counted, and the deadline is checked before each."""

    def in_time(function: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any, **named: Any) -> Any:
            victim.deadline.check()
            return function(*arguments, **named)

        return checked

    with ExitStack() as patched:
        for part in attack.constraints:
            patched.enter_context(replaced(part, "call_many", in_time(part.call_many)))
        watched = constraints.watching(attack.filter_transformations)
        patched.enter_context(replaced(attack, "filter_transformations", watched))
        yield


def _attack(
    attack: textattack.Attack, example: Example, text: AttackedText, seconds: float | None
) -> Attacked:
    """The record of one example, with a time limit in seconds after the first query."""
    goal = attack.goal_function
    # The attack repeats this query first, and gets it from the goal function's cache.
    first, _ = goal.init_attack_example(text, example.label)
    goal.model.deadline = text.deadline = Deadline(seconds)
    try:
        result = attack.attack(text, example.label)
        if not isinstance(result, SkippedAttackResult):
            goal.model.deadline.check()
        return record_of(example, result)
    except TimeUp:
        attack.clear_cache()
        record = record_of(example, FailedAttackResult(first, first))
        return {**record, "queries": goal.num_queries, "timeout": True}
    finally:
        goal.model.deadline = NEVER


def seed_example(seed: int, dataset: str, example: int, attack: str) -> None:
    """Seed every generator from what is attacked, so that order and sharding have no effect."""
    name = f"{seed}/{dataset}/{example}/{attack}"
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def record_of(example: Example, result: AttackResult) -> Attacked:
    """One finished example as JSON: texts, labels, scores (probabilities), queries, status.

    status is successful, failed or skipped (already wrong before the attack). words_changed counts
    as TextAttack's WordsPerturbed metric does. `timeout` and `words_unread` (words of the attacked
    column beyond what the model reads) are added only where they apply.
    """
    before, after = result.original_result, result.perturbed_result
    return {
        "id": example.id,
        "status": _status(result),
        "label": example.label,
        "original_text": before.attacked_text.text,
        "perturbed_text": after.attacked_text.text,
        "original_output": int(before.output),
        "perturbed_output": int(after.output),
        "original_scores": [round(float(score), 6) for score in before.raw_output],
        "perturbed_scores": [round(float(score), 6) for score in after.raw_output],
        "queries": int(result.num_queries),
        "words": len(before.attacked_text.words),
        "words_changed": len(before.attacked_text.all_words_diff(after.attacked_text)),
        "seconds": 0.0,
    }


def _error_record(example: Example, error: Exception) -> Errored:
    return {
        "id": example.id,
        "status": "error",
        "label": example.label,
        "original_text": "\n".join(example.texts),
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
        "seconds": 0.0,
    }


def _status(result: AttackResult) -> Literal["successful", "failed", "skipped"]:
    if isinstance(result, SkippedAttackResult):
        return "skipped"
    return "successful" if isinstance(result, SuccessfulAttackResult) else "failed"
