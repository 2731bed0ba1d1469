"""A text's scores are the same to the last bit alone, in any company, order and number.

On the packaged models, by all heads; with fixed shapes too, as on a GPU, where what a test on a CPU
can show is that a batch's shape depends on the texts' own lengths alone.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from search_spaces.catalog import Catalog, prompts_of
from trainables.assets import Assets
from trainables.data import load_test
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec

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


@pytest.fixture(params=[1, 2], ids=["1 thread", "2 threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
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
def test_company_order_and_number_change_no_bit(kind: str, model: str, threads: int) -> None:
    check_alone(head_of(kind, model), TEXTS)


@every_head
def test_nor_do_they_with_fixed_shapes(
    kind: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = head_of(kind, model)
    texts = TEXTS[::8]
    usual = head.predict(texts)
    monkeypatch.setattr(Head, "fixed_shapes", True)
    monkeypatch.setattr("trainables.heads.buckets.FIXED_TOKENS", 512)
    torch.testing.assert_close(check_alone(head, texts), usual, atol=1e-5, rtol=0)
