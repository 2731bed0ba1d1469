"""Our engine gives the results of TextAttack's own classes: status, text, number of queries."""

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

from trainables import speed
from trainables.attacks.resources import prepare_textattack
from trainables.data import Example
from trainables.heads.base import Head, Texts
from trainables.records import ExampleRecord, Quality

prepare_textattack("embedded")

from textattack.shared import AttackedText  # noqa: E402

from benchmarks.attack import (  # noqa: E402
    ATTACKS,
    SIZES,
    fine_tuned,
    load_rows,
    make_attack,
)
from trainables.attacks import offline  # noqa: E402
from trainables.attacks.engine import Victim, attack_examples, record_of, seed_example  # noqa: E402
from trainables.speed.texts import Text  # noqa: E402

every_attack = pytest.mark.parametrize("name", ATTACKS)
Found = dict[str, Any]


class WordsHead(Head):
    """Each word adds a score to a class; without weights to train, and fast."""

    def forward(self, texts: Texts) -> torch.Tensor:
        return torch.tensor([self.scores(" ".join(columns).split()) for columns in texts])

    @staticmethod
    def scores(words: Sequence[str]) -> list[float]:
        says = [[crc32(f"{word}/{label}".encode()) % 1000 for word in words] for label in range(4)]
        return [sum(each) / (500 * len(words) ** 0.5) for each in says]


def labelled(head: Head, count: int, start: int = 0) -> list[Example]:
    """Rows of AG News with the labels that the victim gives them, so that none is skipped;
    except one in ten, with a wrong label."""
    rows = load_rows().test[start : start + count]
    labels = head.predict([row.texts for row in rows]).argmax(dim=1).tolist()
    return [
        Example(row.id, row.texts, (label + (number % 10 == 9)) % 4)
        for number, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]


class EachAlone:
    """The package's encoder, a sentence at a time: on some CPUs numpy's BLAS gives equal sentences
    of a batch different last bits, and the most similar of them is then arbitrary."""

    def __init__(self) -> None:
        with speed.off():
            self.package = offline.sentence_encoder()

    def encode(self, sentences: list[str]) -> Any:
        return np.concatenate([self.package.encode([sentence]) for sentence in sentences])


def theirs(name: str, head: Head, examples: Sequence[Example], **changed: Any) -> list[Found]:
    """TextAttack's results, example by example, with the same seeds as ours."""
    attack = make_attack(name, Victim(head), own=True, **changed)
    for part in attack.constraints:
        if isinstance(part, offline.EmbeddedSentenceEncoder):
            part.model = EachAlone()
    found = []
    for example in examples:
        seed_example(0, "ag_news", example.id, name)
        result = attack.attack(AttackedText(example.texts[0]), example.label)
        found.append(attacked_alike(record_of(example, result)))
    return found


def ours(name: str, head: Head, examples: Sequence[Example], **changed: Any) -> list[Found]:
    attack = make_attack(name, Victim(head), **changed)
    records = attack_examples(lambda: attack, examples, ["text"], 0, "ag_news", name)
    return [attacked_alike(record) for record in records]


def attacked_alike(record: ExampleRecord) -> Found:
    """A record without what TextAttack does not measure."""
    times = ("seconds", "victim_seconds", "constraint_seconds")
    left_out = (*times, *Quality.__annotations__)
    return {name: value for name, value in record.items() if name not in left_out}


# TextAttack scores every combination of a word's pieces: with 8 candidates a word of 6 pieces has
# 262,144 of them.
FEWER = {"bert_attack": {"max_candidates": 3}}


@every_attack
def test_each_example_ends_as_with_textattacks_own_classes(name: str) -> None:
    head = WordsHead()
    examples = labelled(head, 6)
    changed = FEWER.get(name, {})
    assert ours(name, head, examples, **changed) == theirs(name, head, examples, **changed)


@pytest.mark.slow
@every_attack
def test_fifty_examples_end_as_with_textattacks_own_classes(name: str) -> None:
    """On a fine-tuned BERT; 200 examples over the four attacks."""
    head = small_bert()
    examples = labelled(head, 50, start=20)
    changed = FEWER.get(name, {})
    found, expected = (run(name, head, examples, **changed) for run in (ours, theirs))
    assert found == expected
    assert {record["status"] for record in found} >= {"successful", "skipped"}


WORDS = ["the", "film", "it's", "u.s.", "co-op", "b", "x_y", "é", "'tis"]
BREAKS_PAIRS = ["电影", "I", "SPLIT"]  # in TextAttack's own texts, see Text
NEW_WORDS = ["", "a b", "-foo", "--", "[UNK]", "!!", " ", "a\n", "×", "foo,bar"]
BETWEEN = [" ", " ", " ", "  ", ", ", ". ", "-", "\n", "'", " (", ") ", "' ", "--", "\xa0"]


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("at_once", [1, 3])
def test_a_spliced_text_is_the_text_that_textattack_builds(columns: int, at_once: int) -> None:
    """Random words in the places of words of random texts, several one after another."""
    draw = random.Random(columns)
    words = WORDS + (BREAKS_PAIRS if columns == 1 else [])
    new = words + NEW_WORDS

    def a_text() -> str:
        return "".join(draw.choice(words) + draw.choice(BETWEEN) for _ in range(draw.randint(1, 9)))

    compared = 0
    for _ in range(300):
        texts = [(str(n), a_text()) for n in range(columns)]
        pair: list[AttackedText] = [kind(ordered(texts)) for kind in (AttackedText, Text)]
        for _ in range(5):
            count = min(at_once, len(pair[0].words))
            if not count:
                break
            places = draw.sample(range(len(pair[0].words)), count)
            chosen = draw.choices(new, k=count)
            results = [outcome(text.replace_words_at_indices, places, chosen) for text in pair]
            if not isinstance(results[0], AttackedText):
                break  # TextAttack raises on some texts
            assert described(results[0]) == described(results[1])
            compared += 1
            pair = results
    assert compared > 900


def ordered(texts: list[tuple[str, str]]) -> Any:
    return texts[0][1] if len(texts) == 1 else OrderedDict(texts)


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the type of its exception: TextAttack raises on some texts."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error)


def described(result: Any) -> Any:
    if not isinstance(result, AttackedText):
        return result
    known = dict(result.attack_attrs)
    known["original_index_map"] = list(known["original_index_map"])
    known["previous_attacked_text"] = known["previous_attacked_text"].text
    return result.tokenizer_input, result.text, result.words, result.words_per_input, known


def test_sentences_encode_as_the_package_does_and_alike_in_any_company() -> None:
    texts = [row.texts[0] for row in load_rows().test[:10]]
    sentences = [texts[0], *(swapped(texts[0], n) for n in range(30)), *texts, "", "é à la carte"]
    encode = offline.sentence_encoder().encode
    found = torch.tensor(encode(sentences))
    with speed.off():
        package = torch.tensor(offline.sentence_encoder().encode(sentences))
    torch.testing.assert_close(found, package, atol=1e-6, rtol=0)
    some = [3, 40, 12]
    assert torch.equal(torch.tensor(encode([sentences[n] for n in some])), found[some])


def swapped(text: str, number: int) -> str:
    words = text.split()
    words[number % len(words)] = f"word{number}"
    return " ".join(words)


def test_the_encoders_tokenizer_finds_the_packages_pieces() -> None:
    faster = offline.sentence_encoder().tokenizer
    draw = random.Random(0)
    letters = "aaabbcdeeilnorst AEIOX ..,-'\"0129!%$~`^@ \t\né¨"
    texts = ["".join(draw.choices(letters, k=draw.randint(0, 60))) for _ in range(1500)]
    texts += [row.texts[0] for row in load_rows().test[:300]] + ["aaaa aaaaaaa", "lolololol lol"]
    for text in texts:
        found = faster.encode(text)
        with speed.off("pieces"):
            assert faster.encode(text) == found, text


@cache
def small_bert() -> Head:
    rows = load_rows()
    return fine_tuned(SIZES[0], rows.train, rows.test[:100])
