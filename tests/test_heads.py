"""Heads compute what their formulas say, checked against plain and slow code written here.

Plain code takes one text at a time, writes special tokens out by hand, and projects on the whole
vocabulary. Every head is checked on a BERT, a RoBERTa and a GPT-2 with random weights.
"""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from search_spaces.catalog import Prompts
from search_spaces.errors import BadInput
from trainables import speed
from trainables.fit import set_dropout
from trainables.heads import build_head
from trainables.heads.base import Head, HeadSpec
from trainables.speed.encoded import encoded_once

MAX_LENGTH = 20
SINGLE = [
    ("the film was good",),
    ("bad",),
    ("a very dull plot , never great ! the cast was not good and the movie is bad . dull dull",),
]
PAIRS = [
    ("is the film good", "the movie was never good"),
    ("bad", "good"),
    (
        "is the plot dull",
        "a very dull plot , never great ! the cast was not good and bad . bad bad",
    ),
]
TEXTS = {"one column": SINGLE, "two columns": PAIRS}

ONE = Prompts(templates=["[SEP] the film is [MASK]"], label_words=[["negative"], ["positive"]])
FOUR = Prompts(
    templates=[
        "sentiment of the statement is [MASK] . ",
        "[SEP] [MASK] ",
        "this is a [MASK] statement ",
        "[SEP] the statement is [MASK] ",
    ],
    label_words=[["negative", "bad", "dull"], ["positive", "good"], ["politics"]],
)
DECODER = Prompts(
    templates=["[SEP] sentiment is [MASK]", "[SEP] [MASK]", "[SEP] the statement is [MASK]"],
    label_words=FOUR.label_words,
)
MODELS = ["bert", "roberta", "gpt2"]
every_model = pytest.mark.parametrize("name", MODELS)
both_texts = pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)

# [before the text, between columns, after the text, [SEP] and [MASK] in a template]
FRAMES = {
    "bert": ("[CLS]", "[SEP]", "[SEP]", "[SEP]", "[MASK]"),
    "roberta": ("<s>", "</s></s>", "</s>", "</s>", "<mask>"),
    "gpt2": ("", "\n", "", "\n", ""),
}


@pytest.fixture
def folder(name: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"tiny_{name}")
    return found


def spec_of(folder: Path, name: str, prompts: Prompts | None = None, classes: int = 3) -> HeadSpec:
    return HeadSpec(folder, name == "gpt2", classes, prompts, MAX_LENGTH)


def applies(kind: str, name: str) -> bool:
    return name != "gpt2" or kind in ("mlp_ft", "mvp")


KINDS_AND_MODELS = [
    (kind, name)
    for kind in ("mlp_ft", "project_cls", "cls_prompt", "mvp")
    for name in MODELS
    if applies(kind, name)
]
every_head = pytest.mark.parametrize(("kind", "name"), KINDS_AND_MODELS)


def prompts_for(name: str) -> Prompts:
    return DECODER if name == "gpt2" else FOUR


class Plain:
    """A model called by hand: token ids of marked-up text, hidden states of one sequence."""

    def __init__(self, folder: Path, name: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.name = name
        auto = AutoModelForCausalLM if name == "gpt2" else AutoModelForMaskedLM
        self.model = auto.from_pretrained(folder).eval()
        self.before, self.between, self.after, self.sep, self.mask = FRAMES[name]

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def body(self, columns: tuple[str, ...], room: int) -> list[int]:
        """The columns' tokens, too long ones shortened token by token at the longer column."""
        cut = [self.ids(column) for column in columns]
        between = self.ids(self.between) if len(cut) > 1 else []
        while sum(map(len, cut)) + len(between) > room:
            last = len(cut) - 1
            longer = 0 if len(cut) > 1 and len(cut[0]) > len(cut[1]) else last
            cut[longer] = cut[longer][:-1]
        return cut[0] if len(cut) == 1 else cut[0] + between + cut[1]

    def vocabulary_logits(self, ids: list[int]) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.model(torch.tensor([ids])).logits[0]
        return logits

    def class_scores(self, at: Tensor, prompts: Prompts) -> Tensor:
        scores = []
        for words in prompts.label_words:
            ids = [self.ids(" " + word) for word in words]
            assert all(len(each) == 1 for each in ids)
            scores.append(max(at[each[0]] for each in ids))
        return torch.stack(scores)


def plain_mvp(plain: Plain, prompts: Prompts, columns: tuple[str, ...]) -> Tensor:
    per_template = []
    for template in prompts.templates:
        text = template.replace("[SEP]", plain.sep).replace("[MASK]", plain.mask)
        if plain.name == "gpt2":
            text = text.rstrip(" ")
        prompt = plain.ids(text)
        frame = len(plain.ids(plain.before)) + len(plain.ids(plain.after))
        body = plain.body(columns, MAX_LENGTH - frame - len(prompt))
        inside = body + prompt if template.startswith("[SEP]") else prompt + body
        ids = plain.ids(plain.before) + inside + plain.ids(plain.after)
        logits = plain.vocabulary_logits(ids)
        place = len(ids) - 1 if plain.name == "gpt2" else ids.index(plain.ids(plain.mask)[0])
        per_template.append(plain.class_scores(logits[place], prompts))
    return torch.stack(per_template).mean(dim=0)


@every_model
@both_texts
def test_mvp_equals_the_plain_formula(
    name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    single = replace_templates(prompts_for(name), 1)
    for prompts in (prompts_for(name), single):
        head = build_head("mvp", spec_of(folder, name, prompts)).eval()
        with torch.no_grad():
            ours = head(texts)
        plain = Plain(folder, name)
        expected = torch.stack([plain_mvp(plain, prompts, columns) for columns in texts])
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


CUT_IN_ITS_MIDDLE = [(*TEXTS["one column"][2], *TEXTS["one column"][2])]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize(
    "texts",
    [SINGLE, PAIRS, CUT_IN_ITS_MIDDLE + PAIRS],
    ids=["one column", "two columns", "a pair cut in its middle"],
)
def test_a_causal_model_reads_a_text_once_for_all_templates(
    name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    head = build_head("mvp", HeadSpec(folder, True, 3, DECODER, MAX_LENGTH)).eval()
    shared, batch = head(texts), head.encode(texts)
    assert len(batch.inputs["input_ids"]) == len(texts)
    gradient = torch.autograd.grad(shared.square().sum(), head.model.get_input_embeddings().weight)
    with speed.off("templates"):
        apart = head(texts)
    torch.testing.assert_close(shared, apart, atol=1e-5, rtol=0)
    expected = torch.autograd.grad(apart.square().sum(), head.model.get_input_embeddings().weight)
    torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-4)


def replace_templates(prompts: Prompts, count: int) -> Prompts:
    return Prompts(templates=prompts.templates[-count:], label_words=prompts.label_words)


@pytest.mark.parametrize("name", ["bert", "roberta"])
@both_texts
def test_cls_prompt_equals_the_plain_formula(
    name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    head = build_head("cls_prompt", spec_of(folder, name, FOUR)).eval()
    plain = Plain(folder, name)
    expected = []
    for columns in texts:
        ids = framed(plain, columns)
        types = token_types(plain, ids)
        with torch.no_grad():
            logits = plain.model(torch.tensor([ids]), token_type_ids=types).logits[0]
        expected.append(plain.class_scores(logits[0], FOUR))
    with torch.no_grad():
        torch.testing.assert_close(head(texts), torch.stack(expected), atol=1e-5, rtol=0)


def framed(plain: Plain, columns: tuple[str, ...]) -> list[int]:
    before, after = plain.ids(plain.before), plain.ids(plain.after)
    return before + plain.body(columns, MAX_LENGTH - len(before) - len(after)) + after


def token_types(plain: Plain, ids: list[int]) -> Tensor | None:
    """BERT marks the second column of a pair by its token type; RoBERTa and GPT-2 do not."""
    if plain.name != "bert":
        return None
    first_end = ids.index(plain.ids("[SEP]")[0])
    return torch.tensor([[int(place > first_end) for place in range(len(ids))]])


@pytest.mark.parametrize("name", ["bert", "roberta"])
@both_texts
def test_project_cls_equals_the_plain_formula(
    name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    head = build_head("project_cls", spec_of(folder, name)).eval()
    encoder = AutoModel.from_pretrained(folder).eval()
    plain = Plain(folder, name)
    weight, bias = head.linear.weight, head.linear.bias
    expected = []
    for columns in texts:
        ids = framed(plain, columns)
        types = token_types(plain, ids)
        hidden = encoder(torch.tensor([ids]), token_type_ids=types).last_hidden_state[0, 0]
        expected.append(weight @ torch.tanh(hidden) + bias)
    torch.testing.assert_close(head(texts), torch.stack(expected), atol=1e-5, rtol=0)


@every_model
@both_texts
def test_mlp_ft_equals_the_plain_formula(
    name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    torch.manual_seed(0)
    head = build_head("mlp_ft", spec_of(folder, name)).eval()
    weights = {key: tensor for key, tensor in head.model.state_dict().items()}
    encoder = AutoModel.from_pretrained(folder).eval()
    plain = Plain(folder, name)
    expected = []
    for columns in texts:
        ids = framed(plain, columns)
        types = token_types(plain, ids)
        given = {} if types is None else {"token_type_ids": types}
        hidden = encoder(torch.tensor([ids]), **given).last_hidden_state[0]
        if name == "gpt2":
            expected.append(weights["score.weight"] @ hidden[-1])
            continue
        dense, out = {
            "bert": ("bert.pooler.dense", "classifier"),
            "roberta": ("classifier.dense", "classifier.out_proj"),
        }[name]
        pooled = torch.tanh(weights[f"{dense}.weight"] @ hidden[0] + weights[f"{dense}.bias"])
        expected.append(weights[f"{out}.weight"] @ pooled + weights[f"{out}.bias"])
    with torch.no_grad():
        torch.testing.assert_close(head(texts), torch.stack(expected), atol=1e-5, rtol=0)


@every_head
@both_texts
def test_a_text_scores_the_same_in_any_batch(
    kind: str, name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    torch.manual_seed(0)
    head = build_head(kind, spec_of(folder, name, prompts_for(name)))
    together = head.predict(texts)
    alone = torch.cat([head.predict([text]) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


ODD = [
    (text,)
    for text in [
        "", " ", "good", "\u200b", "\x00\x07", "the <|endoftext|>", "<|endoftext|>",
        "<|endoftext|> film <|endoftext|><|endoftext|>", "good [SEP] film [SEP]",
        "bad [PAD] [PAD]", "[CLS] a [MASK] film", "<pad> film <pad>", "a <mask> film </s> <s>",
        "bad " * 40 + "<|endoftext|>",
    ]
]  # fmt: skip
ODD_PAIRS = [("", ""), ("", "good"), ("good", ""), ("[SEP] a", "</s>"), ("bad " * 40, "")]
ODD_PAIRS += [(one, "a <|endoftext|>") for one in ("<|endoftext|>", "<pad> film", "[PAD]")]
LEFT = "gpt2, padded on the left"
EVERY_KIND_AND_MODEL = [
    *KINDS_AND_MODELS, ("mlp_ft", "llama"), ("mvp", "llama"), ("mlp_ft", LEFT),
]  # fmt: skip


def odd_folder(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if name != LEFT:
        return Path(request.getfixturevalue(f"tiny_{name}"))
    original = request.getfixturevalue("tiny_gpt2")
    tokenizer = AutoTokenizer.from_pretrained(original, padding_side="left")
    for path in original.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("kind", "name"), EVERY_KIND_AND_MODEL)
@pytest.mark.parametrize("texts", [ODD, ODD_PAIRS], ids=["one column", "two columns"])
def test_an_odd_text_has_one_score_whatever_stands_beside_it(
    kind: str, name: str, texts: list[tuple[str, ...]], request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:  # fmt: skip
    causal = name not in ("bert", "roberta")
    torch.manual_seed(0)
    folder = odd_folder(name, request, tmp_path)
    head = build_head(kind, HeadSpec(folder, causal, 3, DECODER if causal else FOUR, MAX_LENGTH))
    alone = torch.cat([head.predict([text]) for text in texts])
    assert alone.isfinite().all()
    assert len({tuple(row) for row in alone.tolist()}) > len(texts) / 3
    order = random.Random(0).sample(range(len(texts)), len(texts))
    found = head.predict([texts[i] for i in order])
    torch.testing.assert_close(found, alone[order], atol=1e-5, rtol=0)


def test_a_special_token_in_a_text_is_read_as_by_plain_transformers(tiny_gpt2: Path) -> None:
    torch.manual_seed(0)
    head = build_head("mlp_ft", spec_of(tiny_gpt2, "gpt2"))
    tokenizer = AutoTokenizer.from_pretrained(tiny_gpt2)
    weights = head.model.state_dict()["score.weight"]
    encoder = AutoModel.from_pretrained(tiny_gpt2).eval()
    texts = ["good <|endoftext|>", "dull <|endoftext|>", "<|endoftext|>"]
    found = head.predict([(text,) for text in texts])
    for text, scores in zip(texts, found, strict=True):
        ids = torch.tensor([tokenizer(text).input_ids])
        with torch.no_grad():
            last = encoder(ids).last_hidden_state[0, -1]
        torch.testing.assert_close(scores, weights @ last, atol=1e-5, rtol=0)
    assert not torch.equal(found[0], found[1])


def test_an_empty_text_is_to_a_causal_model_the_token_for_its_end(tiny_gpt2: Path) -> None:
    head = build_head("mlp_ft", spec_of(tiny_gpt2, "gpt2"))
    empty, end = head.predict([("",), ("<|endoftext|>",)])
    torch.testing.assert_close(empty, end, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["mlp_ft", "mvp"])
def test_an_empty_text_is_padding_to_a_causal_model_with_no_token_for_an_end(
    kind: str, tiny_gpt2: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_gpt2, tmp_path, dirs_exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_special_tokens({"pad_token": "<|endoftext|>"})
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.unk_token = None
    tokenizer.save_pretrained(tmp_path)
    stored = AutoTokenizer.from_pretrained(tmp_path)
    assert stored.bos_token is stored.eos_token is None and stored.pad_token
    head = build_head(kind, spec_of(tmp_path, "gpt2", DECODER))
    empty, long = head.predict([("",), ("the film was good",)])
    torch.testing.assert_close(empty, head.predict([("",)])[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(long, head.predict([("the film was good",)])[0])
    if kind == "mlp_ft":
        (padding,) = head.predict([("<|endoftext|>",)])
        torch.testing.assert_close(empty, padding, atol=1e-6, rtol=0)


def without(folder: Path, to: Path, *parts: str) -> Path:
    """A copy of a model whose weights lack the tensors of such names."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    weights = load_file(to / "model.safetensors")
    kept = {name: t for name, t in weights.items() if not any(part in name for part in parts)}
    assert len(kept) < len(weights)
    save_file(kept, to / "model.safetensors", metadata={"format": "pt"})
    return to


LACKING = {
    "bert": ["layer.0.attention.self.query", "layer.1.output.LayerNorm.bias", "position_embed"],
    "roberta": ["layer.0.attention.self.query", "embeddings.LayerNorm.weight"],
    "gpt2": ["h.0.attn.c_attn.weight", "ln_f", "wpe"],
}


@every_head
def test_weights_that_lack_tensors_are_refused(
    kind: str, name: str, folder: Path, tmp_path: Path
) -> None:
    for number, part in enumerate(LACKING[name]):
        lacking = without(folder, tmp_path / str(number), part)
        with pytest.raises(BadInput, match="would start from random numbers") as refused:
            build_head(kind, spec_of(lacking, name, prompts_for(name)))
        assert part in str(refused.value) and str(lacking) in str(refused.value)
        untrained = replace(spec_of(lacking, name, prompts_for(name)), pretrained=False)
        build_head(kind, untrained)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("bert", "cls.predictions.bias"),
        ("bert", "transform.LayerNorm.bias"),
        ("roberta", "lm_head.layer_norm"),
    ],
)
def test_a_language_model_head_that_lacks_tensors_is_refused_where_it_is_read(
    name: str, part: str, folder: Path, tmp_path: Path
) -> None:
    lacking = without(folder, tmp_path, part)
    for kind in ("mvp", "cls_prompt"):
        with pytest.raises(BadInput, match="would start from random numbers") as refused:
            build_head(kind, spec_of(lacking, name, FOUR))
        assert part in str(refused.value)
    for kind in ("mlp_ft", "project_cls"):
        build_head(kind, spec_of(lacking, name))


def test_an_encoder_without_pooler_and_heads_is_what_a_new_head_needs(
    tiny_bert: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_bert, tmp_path, dirs_exist_ok=True)
    AutoModel.from_pretrained(tiny_bert, add_pooling_layer=False).save_pretrained(tmp_path)
    for kind in ("mlp_ft", "project_cls"):
        build_head(kind, spec_of(tmp_path, "bert"))


@pytest.mark.parametrize("kind", ["mlp_ft", "project_cls"])
def test_a_model_that_is_not_read_at_its_first_token_is_refused(kind: str, tmp_path: Path) -> None:
    """XLNet pads on the left and has CLS at the end."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast, XLNetConfig, XLNetLMHeadModel

    words = ["<pad>", "<sep>", "<cls>", "<unk>", "a", "film", "good"]
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    special = [("<sep>", 1), ("<cls>", 2)]
    tokenizer.post_processor = TemplateProcessing(
        "$A <sep> <cls>", "$A <sep> $B <sep> <cls>", special
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, padding_side="left", pad_token="<pad>", cls_token="<cls>",
        sep_token="<sep>", unk_token="<unk>",
    ).save_pretrained(tmp_path)  # fmt: skip
    config = XLNetConfig(vocab_size=len(words), d_model=32, n_layer=1, n_head=2, d_inner=32)
    XLNetLMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="does not begin a text with a CLS token"):
        build_head(kind, spec_of(tmp_path, "xlnet"))


@every_head
@both_texts
def test_what_is_left_out_changes_neither_scores_nor_gradients(
    kind: str, name: str, folder: Path, texts: list[tuple[str, ...]]
) -> None:
    torch.manual_seed(0)
    head = build_head(kind, spec_of(folder, name, prompts_for(name))).train()
    for module in head.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout_prob", None), float):
            module.dropout_prob = 0.0

    def scores_and_gradients() -> tuple[Tensor, list[Tensor | None]]:
        head.zero_grad()
        scores = head(texts)
        scores.square().sum().backward()
        return scores.detach(), [parameter.grad for parameter in head.parameters()]

    ours, our_gradients = scores_and_gradients()
    with speed.off():
        whole, gradients = scores_and_gradients()
    torch.testing.assert_close(ours, whole, atol=1e-5, rtol=0)
    for our_gradient, gradient in zip(our_gradients, gradients, strict=True):
        if our_gradient is not None:
            torch.testing.assert_close(our_gradient, gradient, atol=1e-4, rtol=1e-4)
        elif gradient is not None:  # the bias of the last layer's keys, which has no effect
            torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-5, rtol=0)


@every_head
def test_attention_is_dropped_out_in_every_layer(kind: str, name: str, folder: Path) -> None:
    head = build_head(kind, spec_of(folder, name, prompts_for(name))).train()
    of_attention = []
    for path, module in head.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
            if path.endswith(("attention.self.dropout", "attn.attn_dropout")):
                of_attention.append(module)
    assert len(of_attention) == head.model.config.num_hidden_layers > 1
    assert torch.equal(head(SINGLE), head(SINGLE))
    for module in of_attention:
        module.p = 0.5
        assert not torch.equal(head(SINGLE), head(SINGLE))
        module.p = 0.0


@every_head
def test_weights_survive_the_way_through_bytes(kind: str, name: str, folder: Path) -> None:
    def fresh(seed: int) -> Head:
        torch.manual_seed(seed)
        return build_head(kind, spec_of(folder, name, prompts_for(name)))

    trained, other = fresh(0), fresh(1)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.01)
    other.load_bytes(trained.to_bytes())
    assert torch.equal(trained.predict(SINGLE), other.predict(SINGLE))


@every_head
def test_an_untrained_model_has_the_shape_and_none_of_the_weights(
    kind: str, name: str, folder: Path
) -> None:
    spec = spec_of(folder, name, prompts_for(name))
    torch.manual_seed(1)  # not the seed that the fixture's weights were drawn with
    trained, untrained = build_head(kind, spec), build_head(kind, replace(spec, pretrained=False))
    shapes = [parameter.shape for parameter in trained.parameters()]
    assert shapes == [parameter.shape for parameter in untrained.parameters()]
    layer = "get_input_embeddings"
    one, other = (getattr(head.model, layer)().weight for head in (trained, untrained))
    assert not torch.isclose(one, other).any(dim=1).all()


@every_model
def test_mvp_trains_the_tied_embeddings_through_the_label_words(name: str, folder: Path) -> None:
    head = build_head("mvp", spec_of(folder, name, prompts_for(name)))
    head(SINGLE).sum().backward()
    embeddings = head.model.get_input_embeddings().weight
    assert head.model.get_output_embeddings().weight is embeddings
    (row,) = head.tokenizer(" positive", add_special_tokens=False).input_ids
    assert embeddings.grad[row].abs().sum() > 0


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_a_mask_in_the_text_is_not_the_templates_mask(name: str, folder: Path) -> None:
    head = build_head("mvp", spec_of(folder, name, FOUR))
    text = f"good {head.tokenizer.mask_token} film"
    batch = head.encode([(text,)])
    lengths = batch.attention_mask.sum(dim=1).tolist()
    for template, place, length in zip(head.templates, batch.positions, lengths, strict=True):
        start = length - 1 - len(template.ids) if template.follows else 1
        assert start <= place < start + len(template.ids)


@every_model
def test_label_words_of_several_tokens_are_refused(name: str, folder: Path) -> None:
    prompts = Prompts(templates=["[SEP] [MASK]"], label_words=[["excellent"], ["bad"]])
    with pytest.raises(BadInput, match="'excellent' is not one token"):
        build_head("mvp", spec_of(folder, name, prompts))


def test_a_causal_model_refuses_words_after_the_mask(tiny_gpt2: Path) -> None:
    with pytest.raises(BadInput, match=r"begin with \[SEP\] and end with \[MASK\]"):
        build_head("mvp", spec_of(tiny_gpt2, "gpt2", FOUR))


def test_unknown_kind_of_head_names_the_nearest(tiny_bert: Path) -> None:
    with pytest.raises(BadInput, match="did you mean mlp_ft"):
        build_head("mlp_fd", spec_of(tiny_bert, "bert"))


def test_a_sequence_classifier_is_the_librarys_own(tiny_bert: Path) -> None:
    head = build_head("mlp_ft", spec_of(tiny_bert, "bert"))
    assert isinstance(
        head.model, type(AutoModelForSequenceClassification.from_pretrained(tiny_bert))
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_head_of_one_template_trains_on_one_a_text_and_predicts_by_all(
    name: str, folder: Path
) -> None:
    """Each text's logits are then those of a head that has the drawn template alone."""
    spec = spec_of(folder, name, prompts_for(name))
    templates = prompts_for(name).templates
    alone = [
        build_head("mvp", replace(spec, prompts=prompts_for(name).model_copy(
            update={"templates": [template]})))
        for template in templates
    ]  # fmt: skip
    set_of = [head.predict(PAIRS) for head in alone]
    head = build_head("mvp", replace(spec, one_template=True))
    torch.testing.assert_close(head.predict(PAIRS), torch.stack(set_of).mean(dim=0))

    set_dropout(head.train(), 0.0)
    torch.manual_seed(0)
    drawn, seen = [], set()
    for _ in range(12):
        batch = head.encode(PAIRS)
        assert len(batch.inputs["input_ids"]) == len(PAIRS)
        logits = head.score(batch.to(head.device)).detach()
        for row in range(len(PAIRS)):
            of = [logits[row].allclose(each[row], atol=1e-4) for each in set_of]
            assert sum(of) == 1
            drawn.append(of.index(True))
        seen.add(tuple(drawn[-len(PAIRS) :]))
    assert set(drawn) == set(range(len(templates))) and len(seen) > 3
    torch.manual_seed(0)
    again = head.encode(PAIRS).inputs["input_ids"]
    torch.manual_seed(0)
    assert torch.equal(head.encode(PAIRS).inputs["input_ids"], again)


def test_a_template_is_drawn_anew_in_each_epoch(tiny_bert: Path) -> None:
    """The tokens of a fit's rows are kept from the first epoch, but not those drawn at random."""
    spec = spec_of(tiny_bert, "bert", FOUR)
    for one_template, encodings in ((False, 1), (True, 4)):
        head = build_head("mvp", replace(spec, one_template=one_template)).train()
        encode = encoded_once(head)
        drawn = [encode(SINGLE).inputs["input_ids"].tolist() for _ in range(20)]
        assert len({str(ids) for ids in drawn}) >= encodings
        assert one_template or len({str(ids) for ids in drawn}) == 1
