"""MLP-FT: the library's own sequence-classification head, randomly initialised.

BERT: pooler (dense and tanh on CLS), dropout, linear. RoBERTa: dense, tanh and linear on <s>.
GPT-2: linear on the last token. (docs/protocol.md, "Heads"; transformers'
AutoModelForSequenceClassification)
"""

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from search_spaces.errors import BadInput
from trainables.heads.base import Batch, Head, HeadSpec, Texts, Traced, load_model
from trainables.heads.inputs import check_cls, encode_texts, load_tokenizer, trace_texts
from trainables.heads.masks import model_inputs
from trainables.speed.last_layer import reading_at


class MlpFt(Head):
    """A fresh classification head on a pre-trained model."""

    reads_states = True

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.tokenizer = load_tokenizer(spec.model_folder)
        if not spec.causal:
            check_cls(self.tokenizer)
        self.model = load_model(AutoModelForSequenceClassification, spec, num_labels=spec.classes)
        self.max_length, self.causal = spec.max_length, spec.causal
        if spec.causal and not hasattr(self.model, "score"):
            raise BadInput(
                f"{type(self.model).__name__} has no layer `score` on its last token: this head "
                "reads causal models laid out like GPT-2 or Llama"
            )

    def last_linear(self) -> nn.Linear:
        return [module for module in self.model.modules() if isinstance(module, nn.Linear)][-1]

    def encode(self, texts: Texts) -> Batch:
        return encode_texts(self.tokenizer, texts, self.max_length, self.causal)

    def traced(self, text: tuple[str, ...]) -> Traced:
        return trace_texts(self.tokenizer, text, self.max_length, self.causal)

    def score(self, batch: Batch) -> Tensor:
        assert batch.positions is not None
        with reading_at(self.model, batch):
            if not self.causal:
                logits: Tensor = self.model(**model_inputs(self.model, batch)).logits
                return logits
            # The library's own forward treats `<|endoftext|>` within a text as padding.
            hidden = self.model.base_model(**model_inputs(self.model, batch)).last_hidden_state
        rows = torch.arange(len(hidden), device=hidden.device)
        logits = self.model.score(hidden[rows, batch.positions])
        return logits
