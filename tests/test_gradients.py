"""The gradient of a head by the words of a text, against autograd on sequences laid out here.

Each sequence is written out by hand, without padding, and the text's own tokens are embeddings that
all templates share.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_heads import (
    CUT_IN_ITS_MIDDLE,
    MAX_LENGTH,
    Plain,
    every_head,
    prompts_for,
    spec_of,
    token_types,
)
from torch import Tensor
from transformers import BertTokenizer

from search_spaces.catalog import Prompts
from search_spaces.errors import BadInput
from trainables import speed
from trainables.attacks.resources import prepare_textattack
from trainables.heads import build_head
from trainables.heads.base import Head

prepare_textattack("embedded")

from textattack.shared import AttackedText  # noqa: E402

from trainables.attacks.engine import Victim  # noqa: E402
from trainables.attacks.gradients import check_gradients, words_of  # noqa: E402

SINGLE = [
    ("the film was good",),
    ("this is a statement , sentiment of the statement is good .",),  # a template's words
    ("istanbul İstanbul naïve ✨ film a__b é good",),  # lower case of two letters, several bytes
    ("a very dull plot , never great ! the cast was not good and the movie is bad . dull dull",),
]
PAIRS = [
    ("the statement is the statement", "this is a film"),
    ("a very dull plot , never great ! the cast was not good and", "a is the abc plot dull"),
    *CUT_IN_ITS_MIDDLE,
]
TEXTS = {"one column": SINGLE, "two columns": PAIRS}
both_texts = pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)


@pytest.fixture
def folder(name: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"tiny_{name}")
    return found


def made(kind: str, name: str, folder: Path, prompts: Prompts | None = None) -> Head:
    torch.manual_seed(0)
    return build_head(kind, spec_of(folder, name, prompts or prompts_for(name)))


class ByHand:
    """A text of a head: its tokens by word, and its logits as a function of their embeddings."""

    def __init__(self, kind: str, head: Head, folder: Path, name: str, text: Sequence[str]) -> None:
        self.kind, self.head, self.plain = kind, head, Plain(folder, name)
        self.name = name
        columns, self.of_words = list[list[int]](), list[list[int]]()
        self.ids: list[int] = []
        for column in text:
            columns.append([])
            for number, piece in enumerate(column.split()):
                spaced = piece if number == 0 or name == "bert" else f" {piece}"
                pieces = self.plain.ids(spaced)
                tokens = list(range(len(self.ids), len(self.ids) + len(pieces)))
                self.ids += pieces
                columns[-1] += tokens
                if any(letter.isalnum() for letter in piece):
                    self.of_words.append(tokens)
        self.columns = columns
        self.read: set[int] = set()

    def gradient(self) -> Tensor:
        """By word; zeros where none of its tokens is read."""
        model = self.head.model if self.kind in ("mlp_ft", "project_cls") else self.plain.model
        self.model = model.eval()
        table = model.get_input_embeddings().weight
        own = table[self.ids].detach().requires_grad_()
        with speed.off():
            logits = self.logits(table, own)[None]
        (found,) = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(dim=1)), own)
        rows = [[token for token in word if token in self.read] for word in self.of_words]
        zeros = torch.zeros(found.shape[1])
        return torch.stack([found[row].mean(dim=0) if row else zeros for row in rows])

    def logits(self, table: Tensor, own: Tensor) -> Tensor:
        plain = self.plain
        before, after = plain.ids(plain.before), plain.ids(plain.after)
        if self.kind == "mvp":
            return self.of_templates(table, own, before, after)
        room = MAX_LENGTH - len(before) - len(after)
        sequence = [*before, *self.body(room), *after]
        embedded = self.embedded(sequence, table, own)
        shown = [self.ids[-1 - token] if token < 0 else token for token in sequence]
        types = token_types(plain, shown)
        given = {"inputs_embeds": embedded} | ({} if types is None else {"token_type_ids": types})
        if self.kind == "cls_prompt":
            return plain.class_scores(self.model(**given).logits[0, 0], prompts_for(self.name))
        if self.kind == "mlp_ft" and self.name != "gpt2":
            found: Tensor = self.model(**given).logits[0]
            return found
        hidden = self.model.base_model(**given).last_hidden_state[0]
        if self.kind == "mlp_ft":
            return self.model.score.weight @ hidden[-1]
        return self.head.linear.weight @ torch.tanh(hidden[0]) + self.head.linear.bias

    def of_templates(
        self, table: Tensor, own: Tensor, before: list[int], after: list[int]
    ) -> Tensor:
        plain, scores = self.plain, []
        for template in prompts_for(self.name).templates:
            text = template.replace("[SEP]", plain.sep).replace("[MASK]", plain.mask)
            prompt = plain.ids(text.rstrip(" ") if self.name == "gpt2" else text)
            body = self.body(MAX_LENGTH - len(before) - len(after) - len(prompt))
            inside = body + prompt if template.startswith("[SEP]") else prompt + body
            sequence = [*before, *inside, *after]
            logits = self.model(inputs_embeds=self.embedded(sequence, table, own)).logits[0]
            last = self.name == "gpt2"
            place = len(sequence) - 1 if last else sequence.index(plain.ids(plain.mask)[0])
            scores.append(plain.class_scores(logits[place], prompts_for(self.name)))
        return torch.stack(scores).mean(dim=0)

    def body(self, room: int) -> list[int]:
        """The text's tokens as -1, -2, ..., with those between the columns, shortened.

        The longer column token by token; of two as long the second for a prompt, but the first by a
        model's tokenizer, which reads GPT-2's pair as one text.
        """
        cut = [[-1 - token for token in column] for column in self.columns]
        between = self.plain.ids(self.plain.between) if len(cut) > 1 else []
        if self.kind == "mlp_ft" and self.name == "gpt2":
            found = [*cut[0], *between, *(cut[1] if len(cut) > 1 else [])][:room]
        else:
            tie = 0 if self.kind == "mvp" else 1
            while sum(map(len, cut)) + len(between) > room:
                cut[0 if len(cut[0]) + tie > len(cut[-1]) else -1].pop()
            found = cut[0] if len(cut) == 1 else cut[0] + between + cut[1]
        self.read |= {-1 - token for token in found if token < 0}
        return found

    def embedded(self, sequence: list[int], table: Tensor, own: Tensor) -> Tensor:
        rows = [own[-1 - token] if token < 0 else table[token].detach() for token in sequence]
        return torch.stack(rows)[None]


@every_head
@both_texts
def test_the_gradient_is_that_of_the_words_embeddings_by_hand(
    kind: str, name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    victim = Victim(made(kind, name, folder))
    for text in texts:
        by_hand = ByHand(kind, victim.model, folder, name, text)
        expected = by_hand.gradient()
        found = victim.get_grad(text if len(text) > 1 else text[0])
        assert len(words_of(text)) == len(found["gradient"]) == len(expected)
        torch.testing.assert_close(
            torch.from_numpy(found["gradient"]), expected, atol=1e-5, rtol=1e-4
        )
        assert expected.abs().sum(dim=1).max() > 1e-3
        read = [bool(by_hand.read & set(tokens)) for tokens in by_hand.of_words]
        firsts = [by_hand.ids[tokens[0]] for tokens in by_hand.of_words]
        assert found["ids"].tolist() == [
            id * is_read for id, is_read in zip(firsts, read, strict=True)
        ]
    assert not all(read), "the last text is longer than what is read"


@every_head
def test_a_gradient_leaves_a_head_in_training_as_it_was(kind: str, name: str, folder: Path) -> None:
    head = made(kind, name, folder)
    victim = Victim(head)
    expected = victim.get_grad(PAIRS[0])
    for weight in head.parameters():
        weight.grad = torch.ones_like(weight)
    frozen = next(head.parameters()).requires_grad_(False)
    head.train()
    state = torch.get_rng_state()
    with torch.no_grad():
        found = victim.get_grad(PAIRS[0])
        assert not torch.is_grad_enabled()
    assert np.array_equal(found["gradient"], expected["gradient"]), "dropout is off"
    assert torch.equal(torch.get_rng_state(), state)
    assert all((weight.grad == 1).all() for weight in head.parameters())
    assert [weight for weight in head.parameters() if not weight.requires_grad] == [frozen]
    assert not head.model.get_input_embeddings()._forward_hooks


def test_a_head_of_one_template_in_training_has_the_gradient_of_all(tiny_bert: Path) -> None:
    spec = spec_of(tiny_bert, "bert", prompts_for("bert"))
    found = []
    for one in (False, True):
        head = build_head("mvp", replace(spec, one_template=one)).train()
        found.append(Victim(head).get_grad(SINGLE[0][0])["gradient"])
    assert np.array_equal(*found)


@pytest.mark.parametrize("columns", [1, 2])
def test_textattack_aligns_each_word_with_its_own_row(tiny_roberta: Path, columns: int) -> None:
    victim = Victim(made("mvp", "roberta", tiny_roberta))
    for (text,) in [*SINGLE, ("a b__c Ġd ##e abc don't İ a",), ("",), (" . ",)]:
        given = (text,) if columns == 1 else (text, "a film , İ")
        attacked = AttackedText(OrderedDict(zip("ab", given, strict=False)))
        rows = attacked.align_with_model_tokens(victim)
        assert rows == {number: [number] for number in range(len(attacked.words))}
        assert len(victim.get_grad(attacked.tokenizer_input)["gradient"]) == len(rows)


class Counts(Head):
    """Does not say where its tokens come from."""


def test_a_head_that_does_not_trace_its_tokens_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(BadInput, match=r"Counts does not define `traced`.*leave this attack out"):
        check_gradients(Counts(), 1)
    head = made("mvp", "bert", tiny_bert)
    check_gradients(head, 2)
    head.tokenizer = BertTokenizer.from_pretrained(tiny_bert)
    with pytest.raises(BadInput, match="fast tokenizer"):
        check_gradients(head, 2)
