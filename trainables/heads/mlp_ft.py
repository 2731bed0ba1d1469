"""MLP-FT: the library's own sequence-classification head, randomly initialised.

BERT: pooler (dense and tanh on CLS), dropout, linear. RoBERTa: dense, tanh and linear on <s>.
GPT-2: linear on the last token. (PROTOCOL, heads; transformers' AutoModelForSequenceClassification)
"""

from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from trainables.heads.base import Batch, Head, HeadSpec, Texts, load_model
from trainables.heads.inputs import encode_texts, load_tokenizer
from trainables.heads.last_layer import reading_at


class MlpFt(Head):
    """A fresh classification head on a pre-trained model."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.tokenizer = load_tokenizer(spec.model_folder)
        self.model = load_model(AutoModelForSequenceClassification, spec, num_labels=spec.classes)
        # GPT-2's head looks for the last token that is not padding.
        self.model.config.pad_token_id = self.tokenizer.pad_token_id
        self.max_length, self.causal = spec.max_length, spec.causal

    def last_linear(self) -> nn.Linear:
        return [module for module in self.model.modules() if isinstance(module, nn.Linear)][-1]

    def encode(self, texts: Texts) -> Batch:
        return encode_texts(self.tokenizer, texts, self.max_length, self.causal).to(self.device)

    def score(self, batch: Batch) -> Tensor:
        with reading_at(self.model, batch.positions, batch.attention_mask):
            logits: Tensor = self.model(**batch.inputs).logits
        return logits
