"""Attack a fitted head: many examples at once in one thread, each with its own seed.

The attack's logic is TextAttack's own. What the attacks of different examples ask at the same time
is answered together (lockstep.py). An example's record depends on (fit, attack, seed, example)
alone: never on sharding, order, or what else was attacked before or beside it.
"""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
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

from trainables import speed
from trainables.attacks import lockstep
from trainables.attacks.deadline import TimeUp, check_time, time_limit
from trainables.attacks.goal import BudgetSpent, probabilities
from trainables.attacks.gradients import word_gradients, words_of
from trainables.attacks.lockstep import own_time
from trainables.attacks.patches import replaced
from trainables.attacks.quality import Measures
from trainables.attacks.rules import check_success, text_of
from trainables.attacks.stopwatch import Stopwatch
from trainables.attacks.unread import words_unread
from trainables.data import Example
from trainables.device import is_gpu_error
from trainables.heads.base import Head
from trainables.random_states import seed_all
from trainables.records import Attacked, Errored, ExampleRecord, Quality

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Queries:
    """Texts of several examples, put to a model in one call."""

    head: Head

    def __call__(self, asked: Sequence[Sequence[tuple[str, ...]]]) -> list[torch.Tensor]:
        """Logits [texts, classes] of each of `asked`. A text that occurs twice is read once.

        A head whose logits depend on a text's company reads each example's texts by themselves.
        """
        if not self.head.is_batch_invariant(asked[0]):
            return [self.head.predict(each) for each in asked]
        texts = list(dict.fromkeys(text for each in asked for text in each))
        row = {text: number for number, text in enumerate(texts)}
        logits = self.head.predict(texts)
        return [logits[[row[text] for text in each]] for each in asked]


class Victim(textattack.models.wrappers.ModelWrapper):
    """A head as TextAttack expects a model: a list of texts in, logits [texts, classes] out.

    Where TextAttack asks for tokens and their gradients it gets those of words (gradients.py).
    """

    def __init__(self, head: Head) -> None:
        self.model = head
        self.stopwatch = Stopwatch()

    def __call__(self, text_input_list: Sequence[str | tuple[str, ...]]) -> Any:
        check_time()
        with self.stopwatch:
            texts = [_columns(text) for text in text_input_list]
            return lockstep.ask(Queries(self.model), texts, last=True)

    def get_grad(self, text_input: str | tuple[str, ...]) -> dict[str, np.ndarray]:
        """`ids` [words] and `gradient` [words, width] of a text (see WordGradients).

        It is no query, and is not asked together with others: it depends on the text alone.
        """
        check_time()
        with self.stopwatch:
            return vars(word_gradients(self.model, _columns(text_input)))

    def tokenize(
        self, inputs: Sequence[str | tuple[str, ...]], strip_prefix: bool = False
    ) -> list[list[str]]:
        """The words of texts, to which the rows of `get_grad` belong; they have no prefix."""
        return [words_of(_columns(text)) for text in inputs]


def _columns(text: str | tuple[str, ...]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def attack_together(
    make_attack: Callable[[], textattack.Attack],
    examples: Iterable[Example | None],
    columns: Sequence[str],
    seed: int,
    dataset: str,
    attack_name: str,
    attacked: str | None = None,
    resources: str = "embedded",
    seconds_per_example: float | None = None,
    at_once: int = 1,
) -> Iterator[list[ExampleRecord]]:
    """Attack examples, `at_once` of them at a time; yields the records (see `record_of`) of those
    that finished together, as soon as they have, which need not be in their order.

    A record's `seconds` are those of its attack, with its share of what was answered together with
    others'; `victim_seconds` and `constraint_seconds` are the parts of it spent in the model and in
    checks of perturbed texts against the constraints.

    make_attack: a new attack on a `Victim` of its own; called once for each of those at a time.
    examples: None among them says that no more may begin before one has finished; they are read
    from again when one has. columns: names of the examples' text columns. seed: the cell's.
    attacked: the attacked column (default: the first). resources: the set whose sentence encoder
    compares original and perturbed text (quality.py); its time is not in the record's seconds.
    seconds_per_example: an example that takes longer is `failed`, and its record has `timeout`. If
    an attack raises, or its success breaks a rule (rules.py), the record has status `error` and the
    traceback, and the others go on. An error of the GPU is no result of the example: it is raised
    (device.py).
    """
    free = _attacks(make_attack, at_once)
    column = 0 if attacked is None else columns.index(attacked)
    to_come = iter(examples)
    measures = Measures(resources)

    def attack_one(example: Example) -> ExampleRecord:
        attack = free.pop() if free else make_attack()
        seed_example(seed, dataset, example.id, attack_name)
        record = _record(attack, example, columns, column, seconds_per_example, measures)
        attack.clear_cache()  # of all texts that were tried
        free.append(attack)
        return record

    def begin() -> Callable[[], ExampleRecord] | None:
        example = next(to_come, None)
        return None if example is None else partial(attack_one, example)

    yield from lockstep.run(begin, at_once if len(free) > 1 else 1)


def attack_examples(*arguments: Any, **named: Any) -> Iterator[ExampleRecord]:
    """As `attack_together`, one by one."""
    return chain.from_iterable(attack_together(*arguments, **named))


def _attacks(make_attack: Callable[[], textattack.Attack], at_once: int) -> list[Any]:
    """The first attacks: two if several can run at once, which they cannot if they share a part
    that may have a state."""
    first = make_attack()
    if at_once == 1:
        return [first]
    second = make_attack()  # which a search that both share now belongs to
    if shared := {id(part) for part in _parts(first)} & {id(part) for part in _parts(second)}:
        names = sorted(type(part).__name__ for part in _parts(first) if id(part) in shared)
        why = f"the attack's kind gives the same {', '.join(names)} each time it is called"
        speed.not_taken("lockstep", why)
        return [second]
    return [first, second]


def _parts(attack: textattack.Attack) -> list[Any]:
    constraints = [*attack.constraints, *attack.pre_transformation_constraints]
    return [attack.goal_function, attack.search_method, attack.transformation, *constraints]


def _record(
    attack: textattack.Attack,
    example: Example,
    columns: Sequence[str],
    column: int,
    limit: float | None,
    measures: Measures,
) -> ExampleRecord:
    """Attack one example."""
    victim: Victim = attack.goal_function.model
    constraints = Stopwatch()
    started = own_time()
    victim.stopwatch.seconds = 0.0
    text = text_of(columns, example.texts)
    record: ExampleRecord
    try:
        with _watched(attack, constraints):
            record = _attack(attack, example, text, limit)
    except Exception as error:
        if is_gpu_error(error):
            raise
        record = _error_record(example, error)
    seconds = round(own_time() - started, 4)
    victim_seconds = round(victim.stopwatch.seconds, 4)
    measured: Quality = {"similarity": None}
    try:
        if record["status"] == "successful":
            perturbed = check_success(record, example, columns, column, victim)
            measured = measures(example.texts[column], perturbed[column])
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
    record["constraint_seconds"] = round(constraints.seconds, 4)
    if record["status"] == "error":
        record["similarity"] = None
    else:
        record = {**record, **measured}
    return record


@contextmanager
def _watched(attack: textattack.Attack, constraints: Stopwatch) -> Iterator[None]:
    """In this block, time in constraints is counted, and the deadline is checked before each."""
    watched = constraints.watching(attack.filter_transformations)
    in_time = [_InTime(each) for each in attack.constraints]
    with (
        replaced(attack, "filter_transformations", watched),
        replaced(attack, "constraints", in_time),
    ):
        yield


class _InTime:
    """A constraint before which the deadline is checked."""

    def __init__(self, constraint: Any) -> None:
        self._constraint = constraint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._constraint, name)

    def call_many(self, *arguments: Any, **named: Any) -> Any:
        check_time()
        return self._constraint.call_many(*arguments, **named)


def _attack(
    attack: textattack.Attack, example: Example, text: AttackedText, limit: float | None
) -> Attacked:
    """The record of one example, with a time limit in seconds after the first query."""
    goal = attack.goal_function

    def spent() -> bool:
        return bool(goal.num_queries >= goal.query_budget)

    # The attack repeats this query first, and gets it from the goal function's cache.
    first, _ = goal.init_attack_example(text, example.label)
    try:
        with time_limit(limit):
            result = attack.attack(text, example.label)
            if not isinstance(result, SkippedAttackResult):
                check_time()
        record = record_of(example, result)
        return {**record, "budget": True} if record["status"] == "failed" and spent() else record
    except TimeUp:
        return {**_given_up(example, goal, first), "timeout": True}
    except (BudgetSpent, IndexError, ValueError) as error:
        # Some searches cannot do with fewer results than they have asked for.
        if not spent():
            raise
        log.info("the search of example %d broke when its budget was spent: %s", example.id, error)
        return {**_given_up(example, goal, first), "budget": True}


def _given_up(example: Example, goal: Any, first: Any) -> Attacked:
    """The record of a failed attack whose search did not say where it stands."""
    record = record_of(example, FailedAttackResult(first, first))
    return {**record, "queries": goal.num_queries}


def seed_example(seed: int, dataset: str, example: int, attack: str) -> None:
    """Seed every generator from what is attacked, so that order and sharding have no effect."""
    seed_all(f"{seed}/{dataset}/{example}/{attack}")


def record_of(example: Example, result: AttackResult) -> Attacked:
    """One finished example as JSON: texts, labels, scores (probabilities), queries, status.

    status is successful, failed or skipped (already wrong before the attack). words_changed counts
    as TextAttack's WordsPerturbed metric does. `timeout`, `budget` (its query budget was spent) and
    `words_unread` (words of the attacked column beyond what the model reads) are added only where
    they apply.
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
        "original_scores": [round(float(score), 6) for score in probabilities(before)],
        "perturbed_scores": [round(float(score), 6) for score in probabilities(after)],
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
