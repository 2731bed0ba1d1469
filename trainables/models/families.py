"""Facts about the kinds of language model in transformers, by a config's `model_type`.

Each was tested with the heads of this package on models of a few layers. Other types are not
checked in advance: whether a head works with one shows when it is built.
"""

from dataclasses import dataclass

LABEL_WORDS = ("cls_prompt", "mvp")
ALL = ("mlp_ft", "project_cls", *LABEL_WORDS)


@dataclass(frozen=True)
class Family:
    """A model type.

    causal: it predicts the next token; None if it can be used either way. embeddings: name of the
    tensor of word embeddings in a model saved with a head; the bare model omits its first part.
    positions: name in config.json, and default, of the number of positions, if that is limited;
    from_padding: they are counted from the padding token's id. lm_head: a tensor of its
    language-model head, other than the embeddings. layers: name of their number in config.json, if
    tensors are named `layer.0.` or similar; not_in_all: suffixes of tensors that not every layer
    has. width: name of the embeddings' size in config.json. token_types: it accepts them, as BERT
    does. not_heads: kinds of head that it cannot have, each with the reason.
    """

    causal: bool | None
    embeddings: str
    positions: tuple[str, int] | None = None
    from_padding: bool = False
    lm_head: str | None = None
    layers: str | None = "num_hidden_layers"
    not_in_all: tuple[str, ...] = ()
    width: str | None = "hidden_size"
    token_types: bool = True
    not_heads: tuple[tuple[str, str], ...] = ()


NO_SINGLE_HEAD = "has no single language-model head that label words could be looked up in"
NO_MASKED_LM = "has no masked language model in transformers"
OTHER_LAYOUT = "is not laid out like BERT or RoBERTa: its config has no hidden_dropout_prob"
PADDING = "scores a text differently in a batch with a longer one: it reads the padding"
NO_MASK = "takes no attention mask"
IN_PLACE = "changes results of its linear layers in place, which these heads do not allow"
NO_CLASSIFIER = "has no classification head in transformers"
CLS_LAST = "ends a text with its CLS token, where this head reads the first"
ENDS = "treats an </s> within a text as its end, and then cannot score it in a batch"
TWO_PARTS = "has an encoder and a decoder, and no token that represents the text"


def _not(heads: tuple[str, ...], reason: str) -> tuple[tuple[str, str], ...]:
    return tuple((head, reason) for head in heads)


NO_WORDS = _not(LABEL_WORDS, NO_SINGLE_HEAD)
NO_PROJECTION = _not(("project_cls",), OTHER_LAYOUT)
TRANSFORM = "cls.predictions.transform.dense.weight"
DENSE = "lm_head.dense.weight"
WORDS = "embeddings.word_embeddings.weight"
BERT = ("max_position_embeddings", 512)
GPT = ("n_positions", 1024)


def _bert(prefix: str, lm_head: str | None = TRANSFORM, **more: object) -> Family:
    return Family(False, f"{prefix}.{WORDS}", BERT, lm_head=lm_head, **more)  # type: ignore[arg-type]


def _roberta(prefix: str, token_types: bool = True, heads: tuple[str, ...] = ()) -> Family:
    return Family(
        False,
        f"{prefix}.{WORDS}",
        BERT,
        from_padding=True,
        lm_head=DENSE,
        token_types=token_types,
        not_heads=_not(heads, IN_PLACE),
    )


def _xlm() -> Family:
    not_heads = (*NO_WORDS, *NO_PROJECTION)
    return Family(
        False,
        "transformer.embeddings.weight",
        BERT,
        layers=None,
        width="emb_dim",
        not_heads=not_heads,
    )


def _llama() -> Family:
    return Family(True, "model.embed_tokens.weight")


FAMILIES = {
    "bert": _bert("bert"),
    "ernie": _bert("ernie"),
    "squeezebert": _bert("transformer"),
    "big_bird": _bert("bert"),
    "layoutlm": _bert("layoutlm"),
    "rembert": _bert("rembert", "cls.predictions.dense.weight", width="input_embedding_size"),
    "albert": _bert("albert", "predictions.dense.weight", width="embedding_size"),
    "deberta": _bert("deberta", width=None),
    "deberta-v2": _bert("deberta", width=None),
    "roberta": _roberta("roberta"),
    "xlm-roberta": _roberta("roberta"),
    "camembert": _roberta("roberta"),
    "roberta-prelayernorm": _roberta("roberta_prelayernorm"),
    "ibert": _roberta("ibert"),
    "mpnet": _roberta("mpnet", token_types=False),
    "longformer": _roberta("longformer", heads=ALL),
    "electra": _bert("electra", width="embedding_size", not_heads=NO_WORDS),
    "mobilebert": _bert("mobilebert", width="embedding_size", not_heads=NO_WORDS),
    "convbert": _bert("convbert", width="embedding_size", not_heads=_not(ALL, PADDING)),
    "fnet": _bert("fnet", not_heads=_not(ALL, NO_MASK)),
    "distilbert": _bert(
        "distilbert",
        layers="n_layers",
        width="dim",
        token_types=False,
        not_heads=(*NO_WORDS, *NO_PROJECTION),
    ),
    "modernbert": Family(
        False,
        "model.embeddings.tok_embeddings.weight",
        not_in_all=("attn_norm.weight",),  # the first has none
        not_heads=(*NO_WORDS, *NO_PROJECTION),
    ),
    "funnel": Family(
        False,
        f"funnel.{WORDS}",
        layers=None,
        width="d_model",
        not_heads=(*_not(("mlp_ft", *LABEL_WORDS), PADDING), *NO_PROJECTION),
    ),
    "xlm": _xlm(),
    "flaubert": _xlm(),
    "xlnet": Family(
        None,
        "transformer.word_embedding.weight",
        layers="n_layer",
        width="d_model",
        not_heads=(
            *_not(("project_cls", *LABEL_WORDS), NO_MASKED_LM),
            *_not(("mlp_ft",), CLS_LAST),
        ),
    ),
    "bart": Family(
        False,
        "model.shared.weight",
        BERT,
        layers=None,
        width="d_model",
        not_heads=(*_not(("mlp_ft",), ENDS), *_not(("project_cls",), TWO_PARTS)),
    ),
    "t5": Family(
        False,
        "shared.weight",
        layers=None,
        width="d_model",
        not_heads=(*_not(("mlp_ft",), ENDS), *_not(("project_cls", *LABEL_WORDS), TWO_PARTS)),
    ),
    "gpt2": Family(True, "transformer.wte.weight", GPT, layers="n_layer", width="n_embd"),
    "gpt_bigcode": Family(True, "transformer.wte.weight", GPT, layers="n_layer", width="n_embd"),
    "openai-gpt": Family(
        True,
        "transformer.tokens_embed.weight",
        ("n_positions", 512),
        layers="n_layer",
        width="n_embd",
    ),
    "gptj": Family(
        True, "transformer.wte.weight", ("n_positions", 2048), layers="n_layer", width="n_embd"
    ),
    "gpt_neo": Family(
        True, "transformer.wte.weight", ("max_position_embeddings", 2048), layers="num_layers"
    ),
    "opt": Family(
        True,
        "model.decoder.embed_tokens.weight",
        ("max_position_embeddings", 2048),
        width="word_embed_proj_dim",
    ),
    "mpt": Family(
        True, "transformer.wte.weight", ("max_seq_len", 2048), layers="n_layers", width="d_model"
    ),
    "gpt_neox": Family(True, "gpt_neox.embed_in.weight"),
    "bloom": Family(True, "transformer.word_embeddings.weight", layers="n_layer"),
    "falcon": Family(True, "transformer.word_embeddings.weight"),
    "llama": _llama(),
    "mistral": _llama(),
    "qwen2": _llama(),
    "qwen3": _llama(),
    "gemma": _llama(),
    "gemma2": _llama(),
    "phi": _llama(),
    "phi3": _llama(),
    "stablelm": _llama(),
    "olmo": Family(True, "model.embed_tokens.weight", not_heads=_not(("mlp_ft",), NO_CLASSIFIER)),
}


def cannot_have(head_kind: str, model_type: str) -> str:
    """Why a model of this type cannot have a head of this kind; empty if it can.

    The user's own kinds of head are not checked.
    """
    family = FAMILIES.get(model_type)
    reason = dict(family.not_heads).get(head_kind, "") if family else ""
    return f"{model_type} {reason}" if reason else ""
