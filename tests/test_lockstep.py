"""Many examples attacked at once in one thread end as they do alone."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.data import Example

prepare_textattack("embedded")

from test_same_results import FEWER, WordsHead, attacked_alike, labelled  # noqa: E402
from textattack import Attack  # noqa: E402
from textattack.search_methods import GreedySearch  # noqa: E402
from textattack.shared import AttackedText  # noqa: E402

from benchmarks.attack import ATTACKS, make_attack  # noqa: E402
from trainables.attacks import offline, recipes  # noqa: E402
from trainables.attacks.engine import (  # noqa: E402
    Victim,
    attack_examples,
    attack_together,
)
from trainables.attacks.lockstep import ask, own_time, run  # noqa: E402
from trainables.heads.base import Texts  # noqa: E402
from trainables.speed.bert_attack import BertAttackSwap  # noqa: E402

Job = Callable[[], Any]


class Doubled:
    """Answers numbers with their doubles, and remembers what was asked at once."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, questions: list[list[int]]) -> list[list[int]]:
        self.asked.append([number for question in questions for number in question])
        return [[2 * number for number in question] for question in questions]


def given_out(jobs: Sequence[Job]) -> Callable[[], Job | None]:
    to_come = iter(jobs)
    return lambda: next(to_come, None)


def results(jobs: Sequence[Job], at_once: int) -> list[Any]:
    return [result for ended in run(given_out(jobs), at_once) for result in ended]


def test_what_is_asked_at_the_same_time_is_answered_together() -> None:
    doubled = Doubled()

    def job(number: int) -> int:
        (first,) = ask(doubled, [number])
        (second,) = ask(doubled, [first])
        return int(second)

    assert results([lambda n=n: job(n) for n in range(4)], 4) == [0, 4, 8, 12]
    assert doubled.asked == [[0, 1, 2, 3], [0, 2, 4, 6]]
    doubled.asked.clear()
    assert results([lambda n=n: job(n) for n in range(4)], 2) == [0, 4, 8, 12]
    assert doubled.asked == [[0, 1], [0, 2], [2, 3], [4, 6]]


def test_outside_a_question_is_answered_at_once() -> None:
    assert ask(Doubled(), [3]) == [6]


def test_what_is_last_waits_until_all_ask_it() -> None:
    victim, encoder = Doubled(), Doubled()

    def job(number: int) -> None:
        for _ in range(number):
            ask(encoder, [number])
        ask(victim, [number], last=True)

    results([lambda n=n: job(n) for n in range(4)], 4)
    assert victim.asked == [[0, 1, 2, 3]]
    assert encoder.asked == [[1, 2, 3], [2, 3], [3]]


def test_an_error_is_of_the_job_that_asked_for_it() -> None:
    def answer(questions: list[list[int]]) -> list[list[int]]:
        if any(13 in question for question in questions):
            raise ValueError("13")
        return questions

    def job(number: int) -> str:
        try:
            return str(ask(answer, [number])[0])
        except ValueError as error:
            return f"no {error}"

    assert results([lambda n=n: job(n) for n in (12, 13, 14)], 3) == ["12", "no 13", "14"]


def test_a_single_question_that_cannot_be_answered_is_asked_once() -> None:
    asked = []

    def answer(questions: list[list[int]]) -> list[list[int]]:
        asked.append(questions)
        raise ValueError

    def job() -> str:
        try:
            ask(answer, [1])
        except ValueError:
            return "no answer"
        return "an answer"

    assert results([job], 1) == ["no answer"]
    assert len(asked) == 1


def test_an_error_of_the_gpu_and_one_that_a_job_raises_end_all() -> None:
    def lost(questions: list[Any]) -> list[Any]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    ended = []

    def job(answer: Any) -> None:
        try:
            ask(answer, [1])
        finally:
            ended.append(answer)

    with pytest.raises(RuntimeError, match="CUDA error"):
        results([lambda: job(lost), lambda: job(lost)], 2)
    assert len(ended) == 2

    def broken() -> None:
        raise KeyError("of the job")

    with pytest.raises(KeyError, match="of the job"):
        results([lambda: job(Doubled()), broken], 2)
    assert len(ended) == 3


def test_what_ended_before_an_error_is_given_first() -> None:
    doubled = Doubled()

    def job(number: int) -> int:
        ask(doubled, [number])
        if number == 2:
            raise MemoryError
        return number

    running = run(given_out([lambda n=n: job(n) for n in range(4)]), 4)
    assert next(running) == [0, 1]
    with pytest.raises(MemoryError):
        next(running)


def test_who_stops_listening_ends_the_jobs() -> None:
    ended = []

    def job(number: int) -> None:
        try:
            for _ in range(number):
                ask(Doubled(), [number])
        finally:
            ended.append(number)

    running = run(given_out([lambda n=n: job(n) for n in range(3)]), 3)
    next(running)
    assert ended == [0]
    running.close()  # type: ignore[attr-defined]
    assert sorted(ended) == [0, 1, 2]


@given(st.integers(1, 5), st.lists(st.integers(0, 4), max_size=6))
def test_each_job_has_its_own_random_numbers(at_once: int, questions: list[int]) -> None:
    def job(seed: int, count: int) -> list[float]:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        drawn = []
        for _ in range(count + 1):
            drawn += [random.random(), float(np.random.rand()), float(torch.rand(1))]
            ask(Doubled(), [count])
        return drawn

    jobs = [lambda s=s, c=c: (s, job(s, c)) for s, c in enumerate(questions)]
    assert sorted(results(jobs, at_once)) == [(s, job(s, c)) for s, c in enumerate(questions)]


def test_whether_torch_keeps_gradients_is_each_jobs_own_affair() -> None:
    def job(keeps: bool) -> bool:
        with torch.set_grad_enabled(keeps):
            ask(Doubled(), [1])
            return torch.is_grad_enabled()

    assert results([lambda: job(False), lambda: job(True)], 2) == [False, True]
    assert torch.is_grad_enabled()


def test_the_time_of_a_job_is_its_own_and_its_share_of_what_is_answered_together() -> None:
    def slow(questions: list[list[int]]) -> list[list[int]]:
        time.sleep(0.3)
        return questions

    def job(length: int, works: float) -> float:
        began = own_time()
        time.sleep(works)
        ask(slow, [0] * length)
        return own_time() - began

    short, long = results([lambda: job(1, 0.0), lambda: job(2, 0.2)], 2)
    assert 0.1 <= short < 0.2 <= 0.4 <= long
    assert short + long < 0.6


# Attacks

Found = dict[int, dict[str, Any]]


def attacked(name: str, examples: Sequence[Example | None], at_once: int) -> Found:
    head, changed = WordsHead(), FEWER.get(name, {})
    records = attack_examples(
        lambda: make_attack(name, Victim(head), **changed),
        examples,
        ["text"],
        0,
        "ag_news",
        name,
        at_once=at_once,
    )
    return {record["id"]: attacked_alike(record) for record in records}


@pytest.mark.parametrize("name", ATTACKS)
def test_however_many_are_attacked_at_once_each_ends_as_it_does_alone(name: str) -> None:
    examples = labelled(WordsHead(), 10, start=200)
    alone = attacked(name, examples, 1)
    assert {record["status"] for record in alone.values()} >= {"successful", "skipped"}
    assert attacked(name, examples[::-1], 4) == alone
    assert attacked(name, random.Random(0).sample(examples, 10), 64) == alone
    assert attacked(name, examples[:3], 64) | attacked(name, examples[3:], 2) == alone


class Counting(WordsHead):
    def is_batch_invariant(self, texts: Texts) -> bool:
        return True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def predict(self, texts: Texts) -> torch.Tensor:
        self.calls.append(len(texts))
        return super().predict(texts)


def test_the_victim_is_called_less_often_with_more_texts() -> None:
    examples = labelled(WordsHead(), 8, start=200)
    calls = []
    for at_once in (1, 8):
        head = Counting()
        list(
            attack_examples(
                lambda head=head: make_attack("textfooler", Victim(head)),
                examples,
                ["text"],
                0,
                "ag_news",
                "textfooler",
                at_once=at_once,
            )
        )
        calls.append(head.calls)
    alone, together = calls
    assert len(together) < len(alone) / 4
    assert sum(together) <= sum(alone)  # a text that two examples ask about is read once


def test_a_head_whose_scores_depend_on_company_reads_each_examples_texts_by_themselves() -> None:
    class ByCompany(WordsHead):
        def forward(self, texts: Texts) -> torch.Tensor:
            longest = max(len(text[0]) for text in texts)
            return super().forward(texts) + torch.tensor([longest % 7, longest % 5, 0, 0])

    examples = [Example(e.id, e.texts, 0) for e in labelled(WordsHead(), 8, start=200)]
    found = []
    for at_once in (1, 8):
        head = ByCompany()
        records = attack_examples(
            lambda head=head: make_attack("textfooler", Victim(head)),
            examples,
            ["text"],
            0,
            "ag_news",
            "textfooler",
            at_once=at_once,
        )
        found.append({record["id"]: attacked_alike(record) for record in records})
    assert found[0] == found[1]


def test_an_example_whose_attack_fails_or_takes_too_long_leaves_the_others_as_they_are() -> None:
    class Picky(WordsHead):
        def predict(self, texts: Texts) -> torch.Tensor:
            for text in texts:
                if "terrible" in text[0].split():
                    raise ValueError("no word of that kind")
            return super().predict(texts)

    examples = labelled(WordsHead(), 6, start=200)
    bad = Example(10**6, ("a terrible thing to say",), 0)
    head = Picky()
    records = list(
        attack_examples(
            lambda: make_attack("textfooler", Victim(head)),
            [*examples[:3], bad, *examples[3:]],
            ["text"],
            0,
            "ag_news",
            "textfooler",
            at_once=7,
        )
    )
    found = {record["id"]: attacked_alike(record) for record in records}
    failed = found.pop(bad.id)
    assert failed["status"] == "error" and "no word of that kind" in failed["error"]
    assert found == attacked("textfooler", examples, 1)


def test_the_time_limit_is_of_the_examples_own_time() -> None:
    class Slow(WordsHead):
        def predict(self, texts: Texts) -> torch.Tensor:
            time.sleep(0.02 * len(texts))
            return super().predict(texts)

    short = Example(1, ("a fine old film",), 0)
    long = Example(2, (" ".join(f"word{n}" for n in range(60)),), 0)
    head = Slow()
    short, long = (
        Example(e.id, e.texts, int(head.predict([e.texts]).argmax())) for e in (short, long)
    )
    records = {
        record["id"]: record
        for record in attack_examples(
            lambda: make_attack("textfooler", Victim(head)),
            [long, short],
            ["text"],
            0,
            "ag_news",
            "textfooler",
            seconds_per_example=0.8,
            at_once=2,
        )
    }
    assert records[2].get("timeout") is True
    assert "timeout" not in records[1]


def test_an_attack_that_gives_the_same_search_each_time_runs_one_example_at_a_time() -> None:
    search = GreedySearch()

    def made() -> Attack:
        parts = make_attack("misspellings", Victim(WordsHead()))
        constraints = [*parts.constraints, *parts.pre_transformation_constraints]
        return Attack(parts.goal_function, constraints, parts.transformation, search)

    examples = [e for e in labelled(WordsHead(), 3, start=200)]
    together, alone = (
        {
            record["id"]: attacked_alike(record)
            for record in attack_examples(
                made, examples, ["text"], 0, "ag_news", "m", at_once=at_once
            )
        }
        for at_once in (3, 1)
    )
    assert together == alone


def test_no_example_begins_before_it_may() -> None:
    examples = labelled(WordsHead(), 6, start=200)
    begun, ended = [], []

    def to_come() -> Iterator[Example | None]:
        for number, example in enumerate(examples):
            while len(ended) < number // 2 * 2:
                yield None
            begun.append((example.id, len(ended)))
            yield example

    for records in attack_together(
        lambda: make_attack("misspellings", Victim(WordsHead())),
        to_come(),
        ["text"],
        0,
        "ag_news",
        "misspellings",
        at_once=64,
    ):
        ended += [record["id"] for record in records]
    assert [at for _, at in begun] == [0, 0, 2, 2, 4, 4]
    assert sorted(ended) == sorted(example.id for example in examples)


# Models beside the victim

TEXTS = [
    "a fine film",
    "a dull film",
    "the story of a man who , after all these years , comes home and finds that nobody is there",
    "stocks fell sharply on monday as oil prices rose to a record , traders said in new york",
    "good",
]


def test_a_sentences_vector_does_not_depend_on_what_is_encoded_with_it() -> None:
    encoder = offline.similar_sentences()
    assert encoder is not None
    draw = random.Random(0)
    lists = [
        [
            text,
            *(
                " ".join(draw.sample(text.split(), len(text.split())))
                for _ in range(draw.randint(0, 9))
            ),
        ]
        for text in TEXTS * 3
    ]
    alone = [encoder.encode(each) for each in lists]
    for _ in range(3):
        order = draw.sample(range(len(lists)), len(lists))
        together = encoder.encode_lists([lists[number] for number in order])
        for number, vectors in zip(order, together, strict=True):
            assert np.array_equal(vectors, alone[number])


def test_guesses_for_a_word_do_not_depend_on_the_texts_beside_it() -> None:
    model, tokenizer = masked_language_model("embedded")
    swap = BertAttackSwap(
        method="bert-attack",
        masked_language_model=model,
        tokenizer=tokenizer,
        max_candidates=8,
    )
    asked = [tokenizer(text).input_ids for text in TEXTS]
    alone = [swap.guesses([ids])[0] for ids in asked]
    assert [len(each) for each in alone] == [len(ids) for ids in asked]
    for order in ([4, 2, 0, 3, 1], [1, 1, 2, 3]):
        together = swap.guesses([asked[number] for number in order])
        for number, guesses in zip(order, together, strict=True):
            assert torch.equal(guesses, alone[number])
    plain = recipes.MaskedLMSwap(
        method="bert-attack",
        masked_language_model=model,
        tokenizer=tokenizer,
        max_candidates=8,
    )
    for text in map(AttackedText, TEXTS[:3]):
        found, expected = (
            [each.text for each in kind._get_transformations(text, [0, 1])]
            for kind in (swap, plain)
        )
        assert found == expected
