"""MLP-FT: the library's own sequence-classification head, randomly initialised.

BERT: pooler (dense and tanh on CLS), dropout, linear. RoBERTa: dense, tanh and linear on <s>.
GPT-2: linear on the last token. (PROTOCOL, heads; transformers' AutoModelForSequenceClassification)
"""

from pathlib import Path

from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from search_spaces.catalog import Dataset
from trainables.heads.base import Head, Texts


class MlpFt(Head):
    """A fresh classification head on a pre-trained encoder."""

    def __init__(self, model_folder: Path, data: Dataset, max_length: int) -> None:
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(model_folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(
            model_folder, num_labels=len(data.labels), torch_dtype="float32"
        )
        self.max_length = max_length

    def forward(self, texts: Texts) -> Tensor:
        """Logits [batch, classes]. A text longer than max_length tokens is cut at its end."""
        columns = [list(column) for column in zip(*texts, strict=True)]
        batch = self.tokenizer(
            *columns,
            padding=True,
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        logits: Tensor = self.model(**batch.to(self.device)).logits
        return logits
