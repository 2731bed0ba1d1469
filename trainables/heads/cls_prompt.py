"""CLS-prompt: the label words' scores at the CLS token; no template.

docs/protocol.md, "Heads".
"""

from torch import Tensor

from trainables.heads.base import Batch, HeadSpec, Texts, Traced
from trainables.heads.inputs import check_cls, encode_texts, trace_texts
from trainables.heads.label_words import LabelWordHead


class ClsPrompt(LabelWordHead):
    """A masked language model asked for a label word at CLS."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__(spec)
        check_cls(self.tokenizer)

    def encode(self, texts: Texts) -> Batch:
        return encode_texts(self.tokenizer, texts, self.max_length, self.causal)

    def traced(self, text: tuple[str, ...]) -> Traced:
        return trace_texts(self.tokenizer, text, self.max_length, self.causal)

    def score(self, batch: Batch) -> Tensor:
        return self.class_scores(self.hidden_at_place(batch))
