"""MVP: the text and a prompt go in, the scores of the label words at the mask come out.

For each template the input is laid out as `[CLS] prompt text [SEP]`, or `[CLS] text [SEP] prompt
[SEP]` where the template begins with [SEP]. A class scores as its best label word (max); templates
are averaged (mean), in training as under attack (PROTOCOL, heads). Logits are those of the full
vocabulary projection, computed only at the mask and only for the label words.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase

from search_spaces.catalog import Dataset, Prompts
from search_spaces.errors import BadInput
from trainables.heads.base import Head, Texts


@dataclass(frozen=True)
class Template:
    """A tokenized template: ids before and after the text; one of the two is empty."""

    before: list[int]
    after: list[int]

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


class LabelWordProjection(nn.Module):
    """The rows of the vocabulary projection that belong to the label words, weights still tied."""

    def __init__(self, decoder: nn.Linear, word_ids: Tensor) -> None:
        super().__init__()
        self.weight = decoder.weight
        self.bias = decoder.bias
        self.word_ids: Tensor
        self.register_buffer("word_ids", word_ids, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        rows = self.weight[self.word_ids]
        return F.linear(hidden, rows, None if self.bias is None else self.bias[self.word_ids])


class Mvp(Head):
    """Model-tuning via prompts on a masked language model."""

    def __init__(self, model_folder: Path, data: Dataset, max_length: int) -> None:
        super().__init__()
        if data.prompts is None:
            raise BadInput("the mvp head needs prompts in the data set's catalog file")
        self.tokenizer = AutoTokenizer.from_pretrained(model_folder)
        self.model = AutoModelForMaskedLM.from_pretrained(model_folder, torch_dtype="float32")
        self.max_length = max_length
        self.templates = [_tokenize(t, self.tokenizer) for t in data.prompts.templates]
        words = label_word_ids(data.prompts, self.tokenizer)
        self.words_per_class = [len(ids) for ids in words]
        word_ids = torch.tensor([id for ids in words for id in ids])
        decoder = self.model.get_output_embeddings()
        self.model.set_output_embeddings(LabelWordProjection(decoder, word_ids))
        self.lm_head_name = _lm_head_name(self.model)

    def forward(self, texts: Texts) -> Tensor:
        """Logits [batch, classes]. A long text is cut at its end, the template never."""
        sequences = self._lay_out(texts)
        batch = self.tokenizer.pad({"input_ids": sequences}, return_tensors="pt").to(self.device)
        is_mask = batch["input_ids"] == self.tokenizer.mask_token_id
        hidden = self.model.base_model(**batch).last_hidden_state
        # A text may hold a mask token of its own; the template's is the first or the last one.
        at_mask = hidden[torch.arange(len(sequences)), self._mask_positions(is_mask)]
        scores = getattr(self.model, self.lm_head_name)(at_mask)
        by_class = torch.stack(
            [words.amax(dim=1) for words in scores.split(self.words_per_class, dim=1)], dim=1
        )
        return by_class.view(len(self.templates), len(texts), -1).mean(dim=0)

    def _lay_out(self, texts: Texts) -> list[list[int]]:
        """Token ids of every text under every template: all texts under the first, and so on."""
        joined = [" ".join(columns) for columns in texts]
        tokens = self.tokenizer(joined, add_special_tokens=False, truncation=False).input_ids
        frame = self.tokenizer.num_special_tokens_to_add(pair=False)
        sequences = []
        for template in self.templates:
            room = max(self.max_length - frame - len(template), 0)
            for ids in tokens:
                body = template.before + ids[:room] + template.after
                sequences.append(self.tokenizer.build_inputs_with_special_tokens(body))
        return sequences

    def _mask_positions(self, is_mask: Tensor) -> Tensor:
        """Position of the template's mask in each sequence, shape [templates * batch]."""
        width = is_mask.shape[1]
        first = is_mask.int().argmax(dim=1)
        last = width - 1 - is_mask.int().flip(1).argmax(dim=1)
        prompt_first = torch.tensor([not t.after for t in self.templates], device=is_mask.device)
        per_template = is_mask.shape[0] // len(self.templates)
        return torch.where(prompt_first.repeat_interleave(per_template), first, last)


def label_word_ids(prompts: Prompts, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Vocabulary ids of each class's label words.

    Raises BadInput naming a word that is not one token of this tokenizer.
    """
    ids: list[list[int]] = []
    for words in prompts.label_words:
        ids.append([])
        for word in words:
            tokens = tokenizer(word, add_special_tokens=False).input_ids
            if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
                pieces = " ".join(tokenizer.convert_ids_to_tokens(tokens))
                raise BadInput(
                    f"label word {word!r} is not one token of {tokenizer.name_or_path} "
                    f"(it becomes {pieces!r}); choose another word in the data set's prompts"
                )
            ids[-1] += tokens
    return ids


def _tokenize(template: str, tokenizer: PreTrainedTokenizerBase) -> Template:
    text = template.replace("[MASK]", tokenizer.mask_token).replace("[SEP]", tokenizer.sep_token)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    follows = template.lstrip().startswith("[SEP]")
    return Template(before=[] if follows else ids, after=ids if follows else [])


def _lm_head_name(model: nn.Module) -> str:
    names = [name for name, child in model.named_children() if child is not model.base_model]
    if len(names) != 1:
        raise BadInput(
            f"{type(model).__name__} has no single language-model head (found {names}); "
            "mvp knows models laid out like BERT and RoBERTa"
        )
    return names[0]
