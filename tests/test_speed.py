"""Fast paths are used with the pinned versions, can be turned off, and log it when not used."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from orchestrator.plan.plan import make_plan
from search_spaces.catalog import Catalog
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables import speed
from trainables.assets import Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.cell import Worker
from trainables.fit import fresh_head
from trainables.store import Store

prepare_textattack("embedded")

from textattack.shared import AttackedText  # noqa: E402

from trainables.attacks import offline, recipes  # noqa: E402
from trainables.attacks.rules import text_of  # noqa: E402
from trainables.speed.bert_attack import BertAttackSwap  # noqa: E402
from trainables.speed.linear import Linear, TransposedLinear, linear  # noqa: E402
from trainables.speed.sentences import SimilarSentences  # noqa: E402
from trainables.speed.texts import Text  # noqa: E402

ASSETS = Assets("embedded")
SMALL = ["fit.train_examples=16", "attack.examples=3"]
BOTH_HEADS = ["dataset=sst2", "head=mlp_ft,mvp"]


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_said", set())


def cells(store: Path, *only: str) -> list[Cell]:
    return make_plan(load("embedded", only=only, sets=SMALL), ASSETS, Store(str(store))).todo


def run(cell: Cell, store: Path) -> Any:
    *_, last = Worker(Store(str(store)), ASSETS).run(cell)
    assert last["phase"] == "done", last
    return last


@pytest.mark.parametrize("model", ["bert-embedded", "roberta-embedded", "gpt2-embedded"])
def test_cells_of_packaged_models_take_every_fast_path(
    model: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attacks = "attack=textfooler,bert_attack"
    for cell in cells(tmp_path, f"model={model}", *BOTH_HEADS, attacks):
        run(cell, tmp_path)
    assert not [line for line in caplog.records if line.name.startswith("trainables.speed")]


@pytest.fixture(params=["bert-embedded", "roberta-embedded", "gpt2-embedded"])
def mvp(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return mvp_head(request.param, tmp_path)


def mvp_head(model: str, store: Path) -> Any:
    only = ("dataset=sst2", "head=mvp", "attack=textfooler", f"model={model}")
    (cell,) = cells(store, *only)
    return fresh_head(cell.fit, ASSETS)


def test_linear_layers_multiply_by_onednn(mvp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(isinstance(module, Linear | TransposedLinear) for module in mvp.modules())
    x, weight = torch.randn(64, 48), torch.randn(32, 48)
    with torch.profiler.profile() as profile, torch.no_grad():
        linear(x, weight)
        with speed.off("linear"):
            linear(x, weight)
    called = [event.name for event in profile.events()]
    assert called.count("mkldnn::_linear_pointwise") == called.count("aten::linear") == 1


def last_layers_rows(head: Any) -> int:
    """How many hidden states of a text the last layer's feed-forward part computes."""
    model = head.model.base_model
    causal = hasattr(model, "h")
    part = model.h[-1].mlp.c_fc if causal else model.encoder.layer[-1].intermediate.dense
    rows = []
    hook = part.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[:-1].numel()))
    head.predict([("a good film that is long enough",)])
    hook.remove()
    return sum(rows)


def test_the_last_layer_is_computed_where_it_is_read(mvp: Any) -> None:
    templates = len(mvp.templates)
    assert last_layers_rows(mvp) == templates
    with speed.off("last_layer"):
        assert last_layers_rows(mvp) > 2 * templates


def test_a_causal_model_reads_a_text_once(tmp_path: Path) -> None:
    head = mvp_head("gpt2-embedded", tmp_path)
    assert len(head.encode([("a good film",)]).inputs["input_ids"]) == 1
    with speed.off("templates"):
        assert len(head.encode([("a good film",)]).inputs["input_ids"]) == len(head.templates)


def test_sentences_are_encoded_by_our_encoder_and_tokenizer() -> None:
    encoder = offline.sentence_encoder()
    assert isinstance(encoder, SimilarSentences)
    assert encoder.tokenizer.is_taken()
    with speed.off():
        assert not isinstance(offline.sentence_encoder(), SimilarSentences)
        assert not encoder.tokenizer.is_taken()


def test_texts_and_words_are_made_by_our_classes() -> None:
    def kinds() -> tuple[type, type]:
        settings = dict(Catalog().attack("bert_attack").settings)
        model = masked_language_model("embedded")
        swap, _, _ = recipes.bert_attack(settings, "embedded", model)
        return type(swap), type(text_of(["text"], ("a good film",)))

    assert kinds() == (BertAttackSwap, Text)
    with speed.off():
        assert kinds() == (recipes.MaskedLMSwap, AttackedText)


@pytest.fixture
def changed_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A release of the encoder's package with other names of fields."""

    class Changed:
        def encode(self, sentences: list[str]) -> torch.Tensor:
            return torch.zeros(len(sentences), 512)

    monkeypatch.setattr(offline, "packages_encoder", Changed)
    offline.similar_sentences.cache_clear()
    yield
    offline.similar_sentences.cache_clear()


@pytest.mark.usefixtures("changed_package")
def test_a_fast_path_that_cannot_be_taken_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert offline.EmbeddedSentenceEncoder().encode(["a"]).shape == (1, 512)
    (line,) = caplog.records
    assert line.levelno == logging.WARNING
    assert (
        "fast path sentences is not taken (AttributeError: 'Changed' object has no"
        in line.getMessage()
    )


def test_the_switch_is_back_after_the_block() -> None:
    with speed.off("linear"):
        with pytest.raises(RuntimeError), speed.off():
            assert not any(map(speed.is_on, speed.NAMES))
            raise RuntimeError
        assert {name for name in speed.NAMES if not speed.is_on(name)} == {"linear"}
    assert all(map(speed.is_on, speed.NAMES))


def test_only_names_of_fast_paths_are_taken_and_all_are_explained() -> None:
    with pytest.raises(ValueError, match="no fast path linera"), speed.off("linera"):
        pass
    assert speed.__doc__
    assert {line.split()[0] for line in speed.__doc__.splitlines() if line} >= speed.NAMES


def test_a_plain_run_computes_the_same_in_a_store_of_its_own(tmp_path: Path) -> None:
    only = ("dataset=sst2", "head=mlp_ft", "model=bert-embedded", "attack=misspellings")
    (cell,) = cells(tmp_path / "store", *only)
    file = tmp_path / "cell.json"
    file.write_text(cell.model_dump_json())
    command = [sys.executable, "-m", "trainables.cell", str(file), "--store", "store", "--plain"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["plain"]
    run(cell, tmp_path / "store")

    stores = [Store(str(tmp_path / "store" / name)) for name in ("plain", "")]
    plain, normal = (safetensors.torch.load(s.read_weights(cell.fit.key)) for s in stores)
    torch.testing.assert_close(plain, normal, atol=5e-3, rtol=0)
