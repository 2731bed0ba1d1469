"""Project-CLS: one linear layer on the CLS token's hidden state, no dense layer.

logits = W dropout(tanh(h_CLS)) + b (docs/protocol.md, "Heads").
"""

import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM

from trainables.heads.base import Batch, Head, HeadSpec, Texts, Traced, load_model
from trainables.heads.inputs import check_cls, encode_texts, load_tokenizer, trace_texts
from trainables.heads.masks import model_inputs
from trainables.speed.last_layer import reading_at


class ProjectCls(Head):
    """A linear layer on a pre-trained encoder's CLS token."""

    reads_states = True

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.tokenizer = load_tokenizer(spec.model_folder)
        check_cls(self.tokenizer)
        self.model = load_model(AutoModelForMaskedLM, spec).base_model  # has no pooler
        self.max_length = spec.max_length
        config = self.model.config
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.linear = nn.Linear(config.hidden_size, spec.classes)
        nn.init.normal_(self.linear.weight, std=config.initializer_range)
        nn.init.zeros_(self.linear.bias)

    def last_linear(self) -> nn.Linear:
        return self.linear

    def encode(self, texts: Texts) -> Batch:
        return encode_texts(self.tokenizer, texts, self.max_length, False)

    def traced(self, text: tuple[str, ...]) -> Traced:
        return trace_texts(self.tokenizer, text, self.max_length, False)

    def score(self, batch: Batch) -> Tensor:
        with reading_at(self.model, batch):
            at_cls = self.model(**model_inputs(self.model, batch)).last_hidden_state[:, 0]
        logits: Tensor = self.linear(self.dropout(torch.tanh(at_cls)))
        return logits
