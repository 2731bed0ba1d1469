"""What attacks follow: scores that do not saturate, on any scale; and query budgets."""

import hashlib
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_attacks import ATTACKS, embedded_texts, make, recipe
from test_spaces_as_written import refused
from textattack import Attack
from textattack.search_methods import SearchMethod

from orchestrator.plan.plan import make_plan
from search_spaces.query_budget import queries_of
from search_spaces.space import load
from trainables.assets import Assets
from trainables.attacks.engine import Victim, attack_examples, seed_example
from trainables.attacks.goal import DEFAULT, Goal, Unsaturated, goal_function
from trainables.calibration import LEAST, MOST, calibration, temperature
from trainables.data import Example
from trainables.heads.base import Head, Texts
from trainables.store import Store

TEXTS = embedded_texts("sst2", "validation", "sentence", 4)
SCORES = ("probability", "margin", "temperature", "textattack")


@cache
def weights(word: str, classes: int) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return torch.from_numpy(np.random.default_rng(seed).normal(size=classes) / 4).float()


class WordsHead(Head):
    """Each word adds a weight of its own to each class; `sharpness` scales the logits."""

    def __init__(self, classes: int, sharpness: float = 1.0) -> None:
        super().__init__()
        self.classes, self.sharpness = classes, sharpness

    def forward(self, texts: Texts) -> torch.Tensor:
        return self.sharpness * torch.stack([self.logits(" ".join(text)) for text in texts])

    def logits(self, text: str) -> torch.Tensor:
        return sum(
            (weights(word, self.classes) for word in text.split()), torch.zeros(self.classes)
        )

    def label(self, text: str) -> int:
        return int(self.logits(text).argmax())


def with_goal(attack: Attack, head: Head, goal: Goal, search: Any = None) -> Attack:
    """The same attack with another goal function."""
    constraints = [*attack.pre_transformation_constraints, *attack.constraints]
    search = search or attack.search_method
    return Attack(goal_function(Victim(head), goal), constraints, attack.transformation, search)


def attacked(
    head: WordsHead, name: str, goal: Goal = DEFAULT, texts: Any = TEXTS
) -> list[dict[str, Any]]:
    attack = with_goal(make(name, head, protocol="mvp"), head, goal)
    rows = [Example(i, (text,), head.label(text)) for i, text in enumerate(texts)]
    records = attack_examples(lambda: attack, rows, ["sentence"], 0, "sst2", name)
    return [{k: v for k, v in r.items() if "seconds" not in k} for r in records]


def test_with_two_classes_no_scale_changes_a_record() -> None:
    head, name = WordsHead(2), "misspellings"
    plain = attacked(head, name)
    assert {record["status"] for record in plain} == {"successful", "failed"}
    assert attacked(head, name, Goal("margin")) == plain
    assert attacked(head, name, Goal("temperature", 0.07)) == plain
    assert [r["perturbed_text"] for r in attacked(head, name, Goal("textattack"))] == [
        r["perturbed_text"] for r in plain
    ]


def test_a_model_that_is_sure_of_all_texts_is_attacked_as_well() -> None:
    """Its logits are 300 times as large: TextAttack's scores are then 0 or 1 to float32."""
    plain, sure = WordsHead(2), WordsHead(2, sharpness=300)

    def won(head: WordsHead, scores: Any) -> int:
        records = attacked(head, "textfooler", Goal(scores), TEXTS[2:])
        return sum(record["status"] == "successful" for record in records)

    assert won(sure, "textattack") < won(plain, "textattack")
    assert won(sure, "probability") == won(plain, "probability") == won(plain, "textattack")


LOGITS = st.lists(st.floats(-80, 80, width=32), min_size=2, max_size=5)


@given(LOGITS, st.integers(0, 4), st.floats(0.1, 10))
@example([0.0, 1e-38], 0, 1.0)  # a difference that log-probabilities would lose
def test_scores_are_those_of_the_definitions_and_do_not_saturate(
    logits: list[float], label: int, scale: float
) -> None:
    right = label % len(logits)
    head = WordsHead(len(logits))
    others = [logit for number, logit in enumerate(logits) if number != right]
    expected = {
        "probability": np.logaddexp.reduce(others) - logits[right],
        "margin": max(others) - logits[right],
        "temperature": np.logaddexp.reduce(np.array(others) / scale) - logits[right] / scale,
    }
    scores: Any
    for scores, value in expected.items():
        goal = goal_function(Victim(head), Goal(scores, scale))
        assert isinstance(goal, Unsaturated)
        goal.ground_truth_output = right
        (raw,) = goal._process_model_outputs([None], torch.tensor([logits]))
        factor = scale if scores == "temperature" and len(logits) == 2 else 1.0
        assert goal._get_score(raw, None) == pytest.approx(value * factor, abs=1e-9)
        complete = int(torch.tensor(logits).argmax()) != right
        assert bool(goal._is_goal_complete(raw, None)) == complete


@pytest.mark.parametrize("budget", [2, 60])
@pytest.mark.parametrize("name", ATTACKS)
def test_a_budget_ends_an_attack_where_textattacks_own_search_stands(
    name: str, budget: int
) -> None:
    head = WordsHead(2)
    theirs = recipe(name, head)
    theirs.goal_function.query_budget = budget
    ours = with_goal(recipe(name, head), head, Goal("textattack", query_budget=budget))
    text = TEXTS[0]
    example = Example(0, (text,), head.label(text))
    (record,) = attack_examples(lambda: ours, [example], ["sentence"], 0, "sst2", name)
    seed_example(0, "sst2", 0, name)
    expected = theirs.attack(text, example.label)
    assert record["status"] != "error", record
    assert record["queries"] == expected.num_queries <= budget
    assert record["perturbed_text"] == expected.perturbed_result.attacked_text.text
    assert (record["status"] == "successful") == ("Successful" in type(expected).__name__)
    spent = record["status"] == "failed" and record["queries"] == budget
    assert record.get("budget", False) == spent
    assert spent or budget > 2


class Saliency(SearchMethod):
    """Counts on a result for each text that it asks of, as some of TextAttack's searches do."""

    def __init__(self, asks_on: bool) -> None:
        self.asks_on = asks_on

    def perform_search(self, first: Any) -> Any:
        texts = [first.attacked_text.replace_word_at_index(i, f"x{i}") for i in range(5)]
        results, _ = self.get_goal_results(texts)
        if not self.asks_on:
            return results[4]
        while True:
            self.get_goal_results(texts)

    @property
    def is_black_box(self) -> bool:
        return True


@pytest.mark.parametrize("asks_on", [False, True])
def test_a_search_that_cannot_end_early_fails_when_its_budget_is_spent(asks_on: bool) -> None:
    head = WordsHead(2)
    attack = with_goal(make("misspellings", head), head, Goal(query_budget=3), Saliency(asks_on))
    text = "one two three four five six"
    (record,) = attack_examples(
        lambda: attack, [Example(0, (text,), head.label(text))], ["s"], 0, "sst2", "own"
    )
    assert record["status"] == "failed" and record["budget"]
    assert record["queries"] == 3 and record["perturbed_text"] == text


@pytest.mark.parametrize("scores", SCORES)
def test_scores_that_are_no_numbers_are_an_error_and_no_result(scores: Any) -> None:
    class Broken(WordsHead):
        def forward(self, texts: Texts) -> torch.Tensor:
            return super().forward(texts) * math.nan

    for label in (0, 1):
        attack = with_goal(make("misspellings", head := Broken(2)), head, Goal(scores))
        (record,) = attack_examples(
            lambda attack=attack: attack, [Example(0, ("a fine film",), label)], ["s"], 0, "d", "a"
        )
        assert record["status"] == "error"


def test_a_budget_may_grow_with_the_text() -> None:
    assert queries_of(7, 100) == 7
    assert queries_of("50 per word", 8) == 400
    assert queries_of("50 per word", 0) == 50
    head = WordsHead(2)
    for record in attacked(head, "textfooler", Goal(query_budget="2 per word"), TEXTS[:2]):
        assert record["queries"] <= 2 * record["words"]


@pytest.mark.parametrize(
    "changed", ["0", "-3", "1.5", "true", "0 per word", "50 per letter", "fifty per word"]
)
def test_a_budget_without_a_query_is_refused(changed: str) -> None:
    line = refused(lambda: load("embedded", sets=[f"attack.query_budget={changed}"]))
    assert "attack.query_budget" in line


def plan_of(*sets: str, only: str = "dataset=sst2,ag_news") -> Any:
    chosen = [only, "model=bert-embedded", "head=mlp_ft", "attack=textfooler,textbugger"]
    return make_plan(load("embedded", chosen, sets), Assets("embedded"), Store("nowhere"))


def test_kinds_of_scores_share_fits_and_whatever_they_order_alike() -> None:
    plans = {scores: plan_of(f"attack.scores={scores}") for scores in SCORES}
    assert len({cell.fit.key for plan in plans.values() for cell in plan.todo}) == 2
    logs = {
        (scores, cell.fit.dataset, cell.attack): cell.log
        for scores, plan in plans.items()
        for cell in plan.todo
    }
    for attack in ("textfooler", "textbugger"):
        assert len({logs[scores, "ag_news", attack] for scores in SCORES}) == 4
        binary = [logs[scores, "sst2", attack] for scores in SCORES]
        assert len(set(binary[:3])) == 1 and binary[3] != binary[0]


def test_protocols_set_what_their_sources_do() -> None:
    (fooler, bugger) = plan_of("attack.protocol=textdefender", only="dataset=ag_news").todo
    assert fooler.query_budget == bugger.query_budget == "50 per word"
    assert fooler.attack_settings["max_words_changed"] == 0.3
    assert fooler.attack_settings["min_word_cos_sim"] is None
    assert bugger.attack_settings["max_candidates"] == 50
    (fooler, bugger) = plan_of("attack.protocol=strict", only="dataset=ag_news").todo
    assert fooler.query_budget is None and not fooler.attack_settings["skip_short_texts"]
    assert fooler.attack_settings["min_word_cos_sim"] == 0.9
    assert fooler.attack_settings["min_window_sim"] == 0.964  # 0.936 on the embedded encoder
    given = plan_of("attack.protocol=textdefender", "attack.query_budget=9").todo
    assert {cell.query_budget for cell in given} == {9}


def test_a_protocol_that_an_attack_does_not_know_is_refused_unless_it_is_excluded() -> None:
    only, strict = ["dataset=sst2", "head=mvp"], "attack.protocol=strict"
    space = load("embedded", only, [strict])
    line = refused(lambda: make_plan(space, Assets("embedded"), Store("nowhere")))
    assert "misspellings knows no protocol 'strict'" in line and "textattack, mvp" in line
    left_out = "exclude=[{attack: misspellings, reason: no thresholds}]"
    plan = make_plan(
        load("embedded", only, [strict, left_out]), Assets("embedded"), Store("nowhere")
    )
    assert {cell.attack for cell in plan.todo} == {"textfooler", "textbugger", "bert_attack"}


@pytest.mark.parametrize("protocol", ["textdefender", "strict"])
@pytest.mark.parametrize("name", ["textfooler", "textbugger", "bert_attack"])
def test_every_attack_that_knows_a_protocol_runs_under_it(name: str, protocol: str) -> None:
    head = WordsHead(2)
    attack = make(name, head, protocol=protocol)
    text = " ".join(TEXTS[0].split()[:9])
    (record,) = attack_examples(
        lambda: attack, [Example(0, (text,), head.label(text))], ["sentence"], 0, "sst2", name
    )
    assert record["status"] in ("successful", "failed")


@settings(max_examples=20)
@given(st.floats(0.2, 6))
def test_a_temperature_undoes_the_scale_of_logits(scale: float) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=draw) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=draw)[:, 0]
    assert temperature(logits * scale, labels) == pytest.approx(scale, rel=0.08)


def test_of_separated_rows_the_temperature_says_nothing() -> None:
    logits, labels = torch.eye(3).repeat(5, 1), torch.arange(3).repeat(5)
    found = calibration(logits, labels, logits, labels)
    assert found["separated"] and found["temperature"] == pytest.approx(LEAST, rel=1e-3)
    wrong = calibration(logits, labels.roll(1), logits, labels)
    assert not wrong["separated"] and wrong["temperature"] == pytest.approx(MOST, rel=1e-3)


def test_calibration_of_rows_that_are_counted_by_hand() -> None:
    log = math.log
    # Confidences 0.9, 0.9, 0.6; right, wrong, right: |1 - 1.8| / 3 + |1 - 0.6| / 3
    logits = torch.tensor([[log(9.0), 0.0], [0.0, log(9.0)], [log(1.5), 0.0]])
    labels = torch.tensor([0, 0, 0])
    found = calibration(logits, labels, logits, labels)
    assert found["error"] == pytest.approx(1.2 / 3, abs=1e-6)
    assert found["confidence"] == pytest.approx(0.8, abs=1e-6) and found["saturated"] == 0
    sure = calibration(logits * 100, labels, logits * 100, labels)
    assert sure["saturated"] == 1 and sure["temperature"] > found["temperature"]
