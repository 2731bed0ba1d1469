"""A text's scores are the same to the last bit alone, in any company, order and number.

On the packaged models, by all heads; with fixed shapes too, as on a GPU, where what a test on a CPU
can show is that a batch's shape depends on the texts' own lengths alone.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from search_spaces.catalog import Catalog, prompts_of
from trainables import speed
from trainables.assets import Assets
from trainables.data import load_test
from trainables.heads import build_head
from trainables.heads.base import Batch, Head, HeadSpec
from trainables.heads.buckets import bucket, rows_of
from trainables.speed.encoded import encoded_once

ASSETS, CATALOG = Assets("embedded"), Catalog()
MODELS = ("bert", "roberta", "gpt2")
HEADS = ("mlp_ft", "project_cls", "cls_prompt", "mvp")
EVERY = [
    (head, model)
    for head in HEADS
    for model in MODELS
    if model != "gpt2" or head in ("mlp_ft", "mvp")
]
every_head = pytest.mark.parametrize(("kind", "model"), EVERY)
MAX_LENGTH = 96


def head_of(kind: str, model: str, dataset: str = "mrpc") -> Head:
    """One whose classes are told apart by random weights, on a packaged model."""
    data, entry = CATALOG.dataset(dataset), CATALOG.model(f"{model}-embedded")
    prompts = prompts_of(data, CATALOG.head(kind), entry)
    assert not isinstance(prompts, str)
    folder: Path = ASSETS.model_folder(f"{model}-embedded", entry)
    torch.manual_seed(0)
    spec = HeadSpec(folder, model == "gpt2", len(data.labels), prompts, MAX_LENGTH)
    return build_head(kind, spec)


def texts_of(*datasets: str, count: int) -> list[tuple[str, ...]]:
    """Pairs of columns, of a word and of more than a model reads, and some odd ones."""
    pairs = [("", ""), ("good", ""), ("<|endoftext|>", "[PAD] </s>"), ("bad " * 100, "dull " * 90)]
    for name in datasets:
        data = CATALOG.dataset(name)
        rows = load_test(name, data, ASSETS.dataset_files(name, data))[:count]
        pairs += [row.texts if len(row.texts) == 2 else ("is it so", row.texts[0]) for row in rows]
    words = pairs[-1][1].split()
    return pairs + [("a film", " ".join(words[:count])) for count in range(3, 12)]


TEXTS = texts_of("mrpc", "boolq", "sst2", count=5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def check_alone(head: Head, texts: list[tuple[str, ...]]) -> Tensor:
    """The scores of texts, which are the same in all company."""
    alone = torch.cat([head.predict([text]) for text in texts])
    assert alone.dtype == torch.float32 and alone.isfinite().all()
    draw = random.Random(0)
    for count in (2, 5, len(texts), 2 * len(texts)):
        chosen = [draw.randrange(len(texts)) for _ in range(count)]
        if count == len(texts):
            draw.shuffle(chosen := list(range(count)))
        found = head.predict([texts[number] for number in chosen])
        differing = int((found != alone[chosen]).any(dim=1).sum())
        assert not differing, f"{differing} of {count} texts have other scores in company"
    assert len({tuple(row) for row in alone.tolist()}) > len(texts) / 2
    return alone


@every_head
def test_company_order_and_number_change_no_bit(kind: str, model: str) -> None:
    check_alone(head_of(kind, model), TEXTS)


@every_head
def test_what_alike_texts_share_is_computed_once_to_the_same_bits(kind: str, model: str) -> None:
    """As an attack asks: texts that differ in a word, longer or shorter, and texts cut short."""
    head = head_of(kind, model)
    texts = []
    for first, second in (TEXTS[5], TEXTS[9], ("film " * 30, "word " * 60)):
        words = second.split()
        for place in range(0, len(words), 3):
            for new in ("x", "unbelievableness", "", "[PAD]", "<pad>"):
                texts.append((first, " ".join([*words[:place], new, *words[place + 1 :]])))
    found = head.predict(texts)
    with speed.off("first_layer", "beginnings"):
        plain = head.predict(texts)
    assert torch.equal(found, plain)


def same(one: Batch, other: Batch) -> bool:
    """Whether two batches are equal in all their numbers, shapes and types."""

    def tensors(batch: Batch) -> dict[str, Tensor | None]:
        assert batch.layout is not None
        also = {"positions": batch.positions, "real": batch.real, "lengths": batch.layout.lengths}
        return {**batch.inputs, **also}

    ours, theirs = tensors(one), tensors(other)
    return list(ours) == list(theirs) and all(
        (a is None) == (b is None)
        and (a is None or b is None or (a.dtype == b.dtype and torch.equal(a, b)))
        for a, b in zip(ours.values(), theirs.values(), strict=True)
    )


@every_head
def test_a_fits_rows_are_tokenized_once_to_the_same_batches(kind: str, model: str) -> None:
    head = head_of(kind, model)
    plain = head.encode
    asked: list[tuple[str, ...]] = []

    def counted(texts: Any) -> Batch:
        asked.extend(texts)
        return plain(texts)

    setattr(head, "encode", counted)  # noqa: B010
    whole, bounded = encoded_once(head), encoded_once(head, most=20_000)
    draw, rows = random.Random(0), list(TEXTS)
    for _ in range(3):
        draw.shuffle(rows)
        for start in range(0, len(rows), 4):
            batch = rows[start : start + 4]
            assert same(whole(batch), plain(batch))
    assert sorted(asked) == sorted(rows)
    assert same(whole([rows[0]] * 2), plain([rows[0]] * 2))
    asked.clear()
    for _ in range(3):
        for text in rows:
            assert same(bounded([text]), plain([text]))
    assert len(rows) < len(asked) < 3 * len(rows)


@pytest.mark.parametrize("model", MODELS)
def test_nor_do_they_with_several_threads(model: str) -> None:
    torch.set_num_threads(2)
    check_alone(head_of("mlp_ft", model), TEXTS[::2])


@every_head
def test_nor_do_they_with_fixed_shapes(
    kind: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(kind, model)
    texts = TEXTS[::8]
    usual = head.predict(texts)
    monkeypatch.setattr(Head, "fixed_shapes", True)
    monkeypatch.setattr("trainables.heads.buckets.TOKENS", 512)
    torch.testing.assert_close(check_alone(head, texts), usual, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "model"), [("mlp_ft", "roberta"), ("mvp", "bert"), ("mvp", "gpt2")]
)
def test_a_fixed_shape_is_that_of_the_text_alone(
    kind: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(kind, model)
    shapes = list[tuple[int, ...]]()

    def score(batch: Batch) -> Tensor:
        shapes.append(tuple(batch.inputs["input_ids"].shape))
        assert batch.tokens is None, "padding is computed as well"
        assert batch.layout is not None
        return torch.zeros(shapes[-1][0] // batch.layout.per_text, 2)

    monkeypatch.setattr(Head, "fixed_shapes", True)
    monkeypatch.setattr(head, "score", score)
    for text in TEXTS:
        assert head.predict([text]).shape == (1, 2)
    alone = set(shapes)
    shapes.clear()
    assert head.predict(TEXTS * 3).shape == (3 * len(TEXTS), 2)
    assert set(shapes) == alone and len({length for _, length in alone}) == len(alone)
    assert len(shapes) < len(TEXTS)


def test_a_bucket_is_little_longer_than_its_texts() -> None:
    assert [bucket(n) for n in (0, 1, 8, 9, 64, 65, 128, 129, 500)] == [
        8, 8, 8, 16, 64, 80, 128, 160, 512,
    ]  # fmt: skip
    lengths = range(1, 2000)
    assert all(n <= bucket(n) <= max(n + 7, n * 1.25) for n in lengths)
    assert all(bucket(bucket(n)) == bucket(n) <= bucket(n + 1) for n in lengths)
    assert [bucket(n, limit=77) for n in (70, 77, 78)] == [77, 77, 80]
    assert [rows_of(n, 1) for n in (8, 40, 100, 9000)] == [512, 64, 32, 1]
    assert rows_of(40, 4) == 16


def test_a_taken_batch_is_that_of_its_texts_alone() -> None:
    for kind, model in (("mlp_ft", "roberta"), ("mvp", "bert"), ("mvp", "gpt2")):
        head = head_of(kind, model)
        whole, rows = head.encode(TEXTS), [7, 2, 11]
        alone = head.encode([TEXTS[row] for row in rows])
        length = max(each.shape[1] for each in alone.inputs.values()) + 5
        for taken in (whole.take(rows, length), alone.take([0, 1, 2], length)):
            assert all(each.shape[1] == length for each in taken.inputs.values())
        one, other = whole.take(rows, length), alone.take([0, 1, 2], length)
        assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in other.inputs)
        assert torch.equal(one.positions, other.positions)
        assert torch.equal(one.attention_mask, other.attention_mask)
