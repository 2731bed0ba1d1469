"""Attack a fitted head, example by example, each seeded by what it is and not by when it runs.

The attack's logic is TextAttack's own. An example's record depends on (fit, attack, seed, example)
alone: never on sharding, order or what was attacked before.
"""

import hashlib
import random
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import textattack
import torch
from textattack.attack_results import AttackResult, SkippedAttackResult, SuccessfulAttackResult

from trainables.attacks.similarity import similarity
from trainables.attacks.stopwatch import Stopwatch
from trainables.attacks.texts import Text
from trainables.data import Example, split_columns
from trainables.heads.base import Head

QUERY_BATCH = 32


class Victim(textattack.models.wrappers.ModelWrapper):
    """A head as TextAttack wants a model: a list of texts in, logits [texts, classes] out."""

    def __init__(self, head: Head) -> None:
        self.model = head
        self.stopwatch = Stopwatch()

    def __call__(self, text_input_list: Sequence[str | tuple[str, ...]]) -> Any:
        with self.stopwatch:
            texts = [(text,) if isinstance(text, str) else tuple(text) for text in text_input_list]
            return self.model.predict(texts, QUERY_BATCH)


def attack_examples(
    attack: textattack.Attack,
    examples: Iterable[Example],
    columns: Sequence[str],
    seed: int,
    dataset: str,
    attack_name: str,
    attacked: str | None = None,
    resources: str = "embedded",
) -> Iterator[dict[str, Any]]:
    """Attack each example; yields its record (see `_record`) as soon as it is finished.

    A record's `seconds` are those of the attack, its `victim_seconds` and `constraint_seconds` what
    of these the model took, and the check of perturbed texts against the attack's constraints.

    attack: on a `Victim`. columns: names of the examples' text columns. seed: the cell's. attacked:
    the column that is attacked (the first). resources: whose sentence encoder says how alike
    original and perturbed text are; its time is not in the record's seconds. An example that makes
    the attack raise gets a record of status error, with the traceback, and the next one is
    attacked.
    """
    column = 0 if attacked is None else columns.index(attacked)
    victim: Stopwatch = attack.goal_function.model.stopwatch
    constraints = Stopwatch()
    attack.filter_transformations = constraints.watching(attack.filter_transformations)
    for example in examples:
        started = time.perf_counter()
        victim.seconds = constraints.seconds = 0.0
        seed_example(seed, dataset, example.id, attack_name)
        try:
            text = _attacked_text(example, columns)
            record = _record(example, attack.attack(text, example.label))
        except Exception as error:
            record = _error_record(example, error)
        record["seconds"] = round(time.perf_counter() - started, 4)
        record["victim_seconds"] = round(victim.seconds, 4)
        record["constraint_seconds"] = round(constraints.seconds, 4)
        yield {**record, "similarity": _similarity(record, example, column, resources)}


def _attacked_text(example: Example, columns: Sequence[str]) -> Text:
    if len(columns) == 1:
        return Text(example.texts[0])
    return Text(OrderedDict(zip(columns, example.texts, strict=True)))


def seed_example(seed: int, dataset: str, example: int, attack: str) -> None:
    """Seed every generator from what is attacked, so that order and sharding change nothing."""
    name = f"{seed}/{dataset}/{example}/{attack}"
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def _record(example: Example, result: AttackResult) -> dict[str, Any]:
    """One finished example as JSON: texts, labels, scores (probabilities), queries, status.

    status is successful, failed or skipped (already wrong before the attack). words_changed counts
    as TextAttack's WordsPerturbed metric does.
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
    }


def _similarity(
    record: dict[str, Any], example: Example, column: int, resources: str
) -> float | None:
    """Of the attacked column before and after; None for an example that is not successful."""
    if record["status"] != "successful":
        return None
    perturbed = split_columns(record["perturbed_text"], example.texts, column)
    if perturbed is None:
        return None
    return similarity(example.texts[column], perturbed[column], resources)


def _error_record(example: Example, error: Exception) -> dict[str, Any]:
    return {
        "id": example.id,
        "status": "error",
        "label": example.label,
        "original_text": "\n".join(example.texts),
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }


def _status(result: AttackResult) -> str:
    if isinstance(result, SkippedAttackResult):
        return "skipped"
    return "successful" if isinstance(result, SuccessfulAttackResult) else "failed"
