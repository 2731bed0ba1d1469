"""Heads compute what their formulas say, checked against plain and slow code written here."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from search_spaces.catalog import Dataset
from search_spaces.errors import BadInput
from trainables.heads import build_head
from trainables.heads.base import Head

TEXTS = [
    ("the film was good",),
    ("bad",),
    ("a very dull plot , never great ! the cast was not good and the movie is bad .",),
]
MAX_LENGTH = 20


def dataset(templates: list[str], label_words: list[list[str]]) -> Dataset:
    return Dataset.model_validate(
        {
            "about": "for tests",
            "columns": ["sentence"],
            "label": "label",
            "labels": [str(number) for number in range(len(label_words))],
            "attacked": "sentence",
            "splits": {"train": "train", "validation": "train[5%]", "test": "test"},
            "prompts": {"templates": templates, "label_words": label_words},
        }
    )


ONE = dataset(["[SEP] the film is [MASK]"], [["negative"], ["positive"]])
FOUR = dataset(
    ["sentiment of the statement is [MASK] . ", "[SEP] [MASK] ", "this is a [MASK] statement ",
     "[SEP] the statement is [MASK] "],
    [["negative", "bad", "dull"], ["positive", "good"], ["politics"]],
)  # fmt: skip


def plain_mvp_logits(folder: Path, data: Dataset, text: str) -> torch.Tensor:
    """MVP's formula by the book: one text and template at a time, the whole vocabulary, loops."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    assert data.prompts is not None
    per_template = []
    for template in data.prompts.templates:
        prompt = tokenizer(template, add_special_tokens=False).input_ids
        words = tokenizer(text, add_special_tokens=False).input_ids
        words = words[: MAX_LENGTH - 2 - len(prompt)]
        body = words + prompt if template.startswith("[SEP]") else prompt + words
        ids = [tokenizer.cls_token_id, *body, tokenizer.sep_token_id]
        with torch.no_grad():
            vocabulary = model(torch.tensor([ids])).logits[0]
        at_mask = vocabulary[ids.index(tokenizer.mask_token_id)]
        scores = []
        for label_words in data.prompts.label_words:
            scores.append(
                max(at_mask[tokenizer.convert_tokens_to_ids(word)] for word in label_words)
            )
        per_template.append(torch.stack(scores))
    return torch.stack(per_template).mean(dim=0)


@pytest.mark.parametrize("data", [ONE, FOUR], ids=["one template", "four, several label words"])
def test_mvp_equals_the_plain_formula(tiny_bert: Path, data: Dataset) -> None:
    head = build_head("mvp", tiny_bert, data, MAX_LENGTH).eval()
    with torch.no_grad():
        ours = head(TEXTS)
    plain = torch.stack([plain_mvp_logits(tiny_bert, data, text) for (text,) in TEXTS])
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)


def test_mvp_trains_the_tied_embeddings_through_the_label_words(tiny_bert: Path) -> None:
    head = build_head("mvp", tiny_bert, ONE, MAX_LENGTH)
    head(TEXTS).sum().backward()
    embeddings = head.model.get_input_embeddings().weight
    assert head.model.get_output_embeddings().weight is embeddings
    row = head.tokenizer.convert_tokens_to_ids("positive")
    assert embeddings.grad[row].abs().sum() > 0


def test_a_mask_in_the_text_is_not_the_templates_mask(tiny_bert: Path) -> None:
    head = build_head("mvp", tiny_bert, FOUR, MAX_LENGTH).eval()
    sequences = head._lay_out([("good [MASK] film",)])
    batch = head.tokenizer.pad({"input_ids": sequences}, return_tensors="pt")
    positions = head._mask_positions(batch["input_ids"] == head.tokenizer.mask_token_id)
    for template, ids, position in zip(head.templates, sequences, positions.tolist(), strict=True):
        prompt_at = 1 if template.before else len(ids) - 1 - len(template)
        assert prompt_at <= position < prompt_at + len(template)


@pytest.mark.parametrize("kind", ["mlp_ft", "mvp"])
def test_a_text_scores_the_same_in_any_batch(tiny_bert: Path, kind: str) -> None:
    torch.manual_seed(0)
    head = build_head(kind, tiny_bert, FOUR, MAX_LENGTH)
    together = head.predict(TEXTS, batch_size=8)
    alone = torch.cat([head.predict([text], batch_size=1) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["mlp_ft", "mvp"])
def test_weights_survive_the_way_through_bytes(tiny_bert: Path, kind: str) -> None:
    def fresh(seed: int) -> Head:
        torch.manual_seed(seed)
        return build_head(kind, tiny_bert, FOUR, MAX_LENGTH)

    trained, other = fresh(0), fresh(1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01)
    other.load_bytes(trained.to_bytes())
    assert torch.equal(trained.predict(TEXTS, 8), other.predict(TEXTS, 8))


def test_label_words_of_several_tokens_are_refused(tiny_bert: Path) -> None:
    with pytest.raises(BadInput, match="'excellent' is not one token"):
        build_head("mvp", tiny_bert, dataset(["[MASK] "], [["excellent"], ["bad"]]), MAX_LENGTH)


def test_unknown_kind_of_head_names_the_nearest(tiny_bert: Path) -> None:
    with pytest.raises(BadInput, match="did you mean mlp_ft"):
        build_head("mlp_fd", tiny_bert, ONE, MAX_LENGTH)
