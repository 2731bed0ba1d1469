"""Attention masks in a form whose values a model does not look at before it computes.

transformers leaves a mask out where a batch has no padding, and then computes in another order: so
a text's last bits would depend on the texts beside it. On a GPU the look has to be waited for.
"""

from typing import Any

import torch
from torch import Tensor

from trainables.heads.base import Batch

ENCODERS = ("bert", "roberta")
# They accept a mask [sequences, 1, length, length] and explicit positions.
DECODERS = ("gpt2", "llama")


def model_inputs(model: Any, batch: Batch) -> dict[str, Tensor]:
    """The inputs of a batch as the model is to have them; of other kinds of model, as they are."""
    inputs = batch.inputs
    mask = inputs.get("attention_mask")
    if mask is None:
        return inputs
    if mask.dim() == 2 and model.config.model_type in ENCODERS:
        return {**inputs, "attention_mask": mask[:, None]}
    if mask.dim() == 2 and model.config.model_type in DECODERS:
        # Real tokens precede padding: they do not see it.
        length = mask.shape[1]
        mask = earlier(length, mask.device).expand(len(mask), 1, -1, -1)
    if mask.dim() == 4 and mask.dtype == torch.bool and not takes_boolean(model):
        least = torch.finfo(model.dtype).min
        zeros = torch.zeros(mask.shape, dtype=model.dtype, device=mask.device)
        mask = zeros.masked_fill(~mask, least)
    return {**inputs, "attention_mask": mask}


def earlier(length: int, device: torch.device) -> Tensor:
    """Whether a place is not later than another [length, length]."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def takes_boolean(model: Any) -> bool:
    """Whether a model's attention takes a mask that is true or false; others add it to scores."""
    return model.config._attn_implementation == "sdpa"
