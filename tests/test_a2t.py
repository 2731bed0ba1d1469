"""A2T, whose words are ordered by the head's gradient, on the packaged models."""

import math
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from search_spaces.catalog import Catalog, attack_settings
from search_spaces.errors import BadInput
from trainables.assets import Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.data import Example, load_test
from trainables.heads.base import Head

prepare_textattack("embedded")

from test_attacks import KeywordHead, described  # noqa: E402
from test_batch_invariance import every_head, head_of, one_thread  # noqa: E402, F401
from test_same_results import attacked_alike  # noqa: E402
from textattack import Attack  # noqa: E402
from textattack.attack_recipes import a2t_yoo_2021  # noqa: E402
from textattack.shared import AttackedText  # noqa: E402

from trainables.attacks import offline  # noqa: E402
from trainables.attacks.engine import Victim, attack_examples  # noqa: E402
from trainables.attacks.recipes import build_attack  # noqa: E402

CATALOG, ASSETS = Catalog(), Assets("embedded")


def made(head: Head, dataset: str, protocol: str = "textattack", scale: str = "embedded") -> Attack:
    data = CATALOG.dataset(dataset)
    settings = attack_settings(CATALOG.attack("a2t"), data, protocol, scale)
    return build_attack(
        "a2t", Victim(head), settings, "embedded",
        masked_language_model("embedded"), data.columns, data.attacked,
    )  # fmt: skip


@cache
def rows(dataset: str) -> list[Example]:
    data = CATALOG.dataset(dataset)
    return list(load_test(dataset, data, ASSETS.dataset_files(dataset, data)))


def undecided(kind: str, model: str, dataset: str) -> Head:
    """A head that gives each of two labels to half of the rows or so."""
    head = head_of(kind, model, dataset)
    score = head.score
    middle = head.predict([row.texts for row in rows(dataset)[:40]]).median(dim=0).values
    head.score = lambda batch: score(batch) - middle  # type: ignore[method-assign]
    return head


def unsure(head: Head, dataset: str, count: int) -> list[Example]:
    """Rows that the head is least sure of, with the labels that it gives them; one with another."""
    some = rows(dataset)[:40]
    two = head.predict([row.texts for row in some]).topk(2, dim=1)
    least = (two.values[:, 0] - two.values[:, 1]).argsort()[:count].tolist()
    labels = two.indices[:, 0].tolist()
    labels[least[-1]] = int(two.indices[least[-1], 1])
    return [Example(some[row].id, some[row].texts, labels[row]) for row in least]


def attacked(head: Head, dataset: str, examples: list[Example], at_once: int = 1) -> dict[int, Any]:
    data = CATALOG.dataset(dataset)
    found = attack_examples(
        lambda: made(head, dataset), examples, data.columns, 0, dataset, "a2t",
        attacked=data.attacked, at_once=at_once,
    )  # fmt: skip
    return {record["id"]: attacked_alike(record) for record in found}


def test_it_has_the_parts_of_textattacks_recipe() -> None:
    head = head_of("mvp", "bert", "sst2")
    ours = made(head, "sst2", scale="as published")
    victim = Victim(head)
    victim.max_length = 96
    vectors = "textattack.shared.WordEmbedding.counterfitted_GLOVE_embedding"

    def encoder(model_name: str, **settings: Any) -> Any:
        return offline.EmbeddedSentenceEncoder(**settings)

    with (
        patch.object(a2t_yoo_2021, "SBERT", encoder),
        patch.object(a2t_yoo_2021, "PartOfSpeech", offline.EmbeddedPartOfSpeech),
        patch(vectors, offline.word_vectors),
    ):
        theirs = a2t_yoo_2021.A2TYoo2021.build(victim)
    theirs.search_method.truncate_words_to = None  # what bounds its cost; see recipes.a2t
    assert described(ours.transformation) == described(theirs.transformation)
    assert described(ours.search_method) == described(theirs.search_method)

    def constraints(attack: Attack) -> list[Any]:
        kept = [*attack.constraints, *attack.pre_transformation_constraints]
        names = "InputColumnModification"
        return sorted((described(c) for c in kept if type(c).__name__ != names), key=str)

    assert constraints(ours) == constraints(theirs)
    assert made(head, "sst2", protocol="mvp", scale="as published").constraints


@every_head
def test_it_succeeds_on_every_model_and_head_whatever_is_attacked_at_once(
    kind: str, model: str
) -> None:
    head = undecided(kind, model, "mrpc")
    examples = unsure(head, "mrpc", 5)
    found = attacked(head, "mrpc", examples, at_once=3)
    assert attacked(head, "mrpc", examples[::-1]) == found
    statuses = [record["status"] for record in found.values()]
    assert "error" not in statuses and {"successful", "skipped"} <= set(statuses)
    assert all(weight.grad is None for weight in head.parameters())
    for record in found.values():
        assert record["words_changed"] <= max(4, math.ceil(record["words"] / 10))


def test_words_are_tried_in_the_order_of_the_gradient_by_word() -> None:
    head = head_of("mvp", "bert", "sst2")
    attack = made(head, "sst2")
    text = AttackedText(rows("sst2")[3].texts[0])
    sizes = np.abs(Victim(head).get_grad(text.text)["gradient"]).sum(axis=1)
    order, _ = attack.search_method._get_index_order(text)
    assert len(order) > 4 and sizes[order].tolist() == sorted(sizes[order], reverse=True)
    assert sizes.min() > 0


def test_a_head_without_gradients_is_refused_before_it_is_asked() -> None:
    with pytest.raises(BadInput, match="KeywordHead does not define `traced`"):
        made(KeywordHead({"good"}), "sst2")
