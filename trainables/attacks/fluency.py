"""How fluent a text is: the bits per character that a causal language model needs for it.

The model is the packaged GPT-2, whatever is attacked, so that figures of different sweeps compare.
Per character and not per token: an altered word is split into more tokens, most of which are easy
to guess once the first is known, so that perplexity per token can fall where a text gets worse
(benchmarks/fluency.py). 2 to the bits per character is the perplexity per character.
"""

import math
from functools import cache, lru_cache
from typing import Any

import torch

from trainables.assets import EMBEDDED

MODEL = EMBEDDED / "gpt2"


@lru_cache(2**12)
def bits_per_character(text: str) -> float:
    """Bits per character of a text that is not empty, in lower case, which is all that the model
    has seen.

    The text is read by itself, so the figure depends on no other text. One that is longer than the
    model reads is read in windows that overlap by half. Cached, for many attacks change one
    original.
    """
    model, tokenizer = _model()
    tokens = [tokenizer.bos_token_id, *tokenizer(text.lower())["input_ids"]]
    size = model.config.n_positions
    nats, read = 0.0, 1
    while read < len(tokens):
        start = max(0, read - size // 2) if len(tokens) > size else 0
        window = torch.tensor(tokens[start : start + size])
        with torch.inference_mode():
            all_read = torch.ones(1, len(window))
            logits = model(window[None], attention_mask=all_read, use_cache=False).logits[0]
        new = slice(read - start, len(window))
        nats += torch.nn.functional.cross_entropy(
            logits[read - start - 1 : -1].double(), window[new], reduction="sum"
        ).item()
        read = start + len(window)
    return nats / math.log(2) / len(text)


@cache
def _model() -> tuple[Any, Any]:
    """The model on the CPU and its tokenizer, loaded once per process."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(MODEL, torch_dtype="float32").eval()
    return model, AutoTokenizer.from_pretrained(MODEL)
