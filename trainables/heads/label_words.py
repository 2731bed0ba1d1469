"""Class scores from a language model's own vocabulary: only label words, only where they are read.

The scores equal those of the full vocabulary projection; only the label words' rows of it are
computed. The rows stay tied to the input embeddings where the model ties them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerBase

from search_spaces.catalog import Prompts
from search_spaces.errors import BadInput
from trainables.dtype import whole
from trainables.heads.base import Batch, Head, HeadSpec, load_model
from trainables.heads.inputs import load_tokenizer
from trainables.heads.masks import model_inputs
from trainables.speed.last_layer import reading_at
from trainables.speed.linear import linear


class LabelWordProjection(nn.Module):
    """The rows of the vocabulary projection that belong to the label words, weights still tied."""

    def __init__(self, decoder: nn.Linear, word_ids: Tensor) -> None:
        super().__init__()
        self.weight = decoder.weight
        self.bias = decoder.bias
        self.word_ids: Tensor
        self.register_buffer("word_ids", word_ids, persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        rows = F.embedding(self.word_ids, self.weight)
        bias = None if self.bias is None else self.bias[self.word_ids]
        with whole(hidden.device):
            return linear(hidden.float(), rows, bias)


class LabelWordHead(Head):
    """A language model; a class's score is that of its best label word (max)."""

    reads_states = True

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        if spec.prompts is None:
            raise BadInput("this head needs label words: prompts in the data set's catalog file")
        self.tokenizer = load_tokenizer(spec.model_folder)
        auto_class = AutoModelForCausalLM if spec.causal else AutoModelForMaskedLM
        self.model = load_model(auto_class, spec, new_head=False)
        self.max_length, self.causal = spec.max_length, spec.causal
        words = label_word_ids(spec.prompts, self.tokenizer)
        self.words_per_class = [len(ids) for ids in words]
        word_ids = torch.tensor([id for ids in words for id in ids])
        decoder = self.model.get_output_embeddings()
        self.model.set_output_embeddings(LabelWordProjection(decoder, word_ids))
        self.lm_head_name = _lm_head_name(self.model)

    def hidden_at_place(self, batch: Batch) -> Tensor:
        """Hidden states at the batch's positions: [sequences, width], or for k positions each
        [sequences, k, width]."""
        assert batch.positions is not None
        with reading_at(self.model, batch):
            inputs = model_inputs(self.model, batch)
            hidden: Tensor = self.model.base_model(**inputs).last_hidden_state
        rows = torch.arange(len(hidden), device=hidden.device)
        return hidden[rows if batch.positions.dim() == 1 else rows[:, None], batch.positions]

    def class_scores(self, hidden: Tensor) -> Tensor:
        """Scores [n, classes] from hidden states [n, width]."""
        words = getattr(self.model, self.lm_head_name)(hidden)
        by_class = [scores.amax(dim=1) for scores in words.split(self.words_per_class, dim=1)]
        return torch.stack(by_class, dim=1)


def label_word_ids(prompts: Prompts, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Vocabulary ids of each class's label words, tokenized with a space before them.

    Raises BadInput naming a word that is not one token of this tokenizer.
    """
    ids: list[list[int]] = []
    for words in prompts.label_words:
        ids.append([])
        for word in words:
            tokens = tokenizer(f" {word}", add_special_tokens=False).input_ids
            if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
                pieces = " ".join(tokenizer.convert_ids_to_tokens(tokens))
                raise BadInput(
                    f"label word {word!r} is not one token of {tokenizer.name_or_path} "
                    f"(it becomes {pieces!r}); choose another word in the data set's prompts"
                )
            ids[-1] += tokens
    return ids


def _lm_head_name(model: nn.Module) -> str:
    names = [name for name, child in model.named_children() if child is not model.base_model]
    if len(names) != 1:
        raise BadInput(
            f"{type(model).__name__} has no single language-model head (found {names}); "
            "label words need a model laid out like BERT, RoBERTa or GPT-2"
        )
    return names[0]
