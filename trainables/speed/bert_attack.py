"""BERT-Attack's word swap, with TextAttack's candidates in less time.

Import after `prepare_textattack`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from textattack.shared import AttackedText, utils
from textattack.transformations import WordSwapMaskedLM
from torch import Tensor

from trainables.attacks.lockstep import ask
from trainables.heads.base import Batch
from trainables.heads.buckets import by_bucket, filled_up
from trainables.heads.masks import model_inputs
from trainables.speed.combinations import one_word_combinations

TOKENS = 512  # in a batch: each has a score for every word of the vocabulary


@dataclass(frozen=True)
class Guesses:
    """Texts of several examples, put to a masked language model in one call.

    A text's guesses do not depend on the texts beside it (heads/buckets.py). limit: tokens that the
    model reads at most. count: of guesses at each place.
    """

    model: Any
    padding: int
    limit: int
    count: int

    @torch.no_grad()
    def __call__(self, asked: Sequence[list[int]]) -> list[Tensor]:
        """Of each text's token ids the most likely tokens at each place [tokens, count]."""
        found: dict[int, Tensor] = {}
        fixed = self.model.device.type != "cpu"
        for length, numbers in by_bucket([len(ids) for ids in asked], self.limit):
            at_once = max(TOKENS // length, 1)
            for start in range(0, len(numbers), at_once):
                some = numbers[start : start + at_once]
                filled = filled_up(some, at_once) if fixed else some
                guesses = self._guessed([asked[number] for number in filled], length)
                lengths = [len(asked[number]) for number in some]
                parts = zip(some, guesses.cpu(), lengths, strict=False)
                found |= {number: each[:length] for number, each, length in parts}
        return [found[number] for number in range(len(asked))]

    def _guessed(self, texts: Sequence[list[int]], length: int) -> Tensor:
        """[texts, length, count]"""
        more = [length - len(text) for text in texts]
        ids = [[*text, *[self.padding] * n] for text, n in zip(texts, more, strict=True)]
        real = [[1] * (length - n) + [0] * n for n in more]
        inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(real)}
        batch = Batch(inputs).to(self.model.device)
        logits = self.model(**model_inputs(self.model, batch)).logits
        return torch.topk(logits, self.count).indices


class BertAttackSwap(WordSwapMaskedLM):
    """TextAttack's WordSwapMaskedLM with method="bert-attack", without unused values.

    TextAttack 0.3.11 pads each text to 512 tokens and projects all of them onto the vocabulary;
    here there is no padding. It scores all combinations of pieces for a word of several pieces,
    then keeps the first ones in order of combination (it discards the result of `sorted`); here the
    first ones are found directly (combinations.py). A position past the end of the text has no
    candidates. There the model runs on a text again for each word that is tried, here once, and on
    the texts of several examples together.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._guesses = lru_cache(1024)(self._guess)

    @property
    def guesses(self) -> Guesses:
        """The model, as it is asked."""
        model = self._language_model
        limit = min(self.max_length, model.config.max_position_embeddings)
        return Guesses(model, self._lm_tokenizer.pad_token_id, limit, self.max_candidates)

    def _guess(self, text: str) -> Tensor:
        """The most likely tokens at each place [tokens, max_candidates]."""
        found: Tensor = ask(self.guesses, self._encode_text(text).input_ids)
        return found

    def _get_transformations(
        self, current_text: AttackedText, indices_to_modify: Iterable[int]
    ) -> list[AttackedText]:
        guesses = self._guesses(current_text.text)
        found = []
        for index in indices_to_modify:
            for guess in self._bert_attack_replacement_words(current_text, index, guesses):
                word = guess.strip("Ġ")
                if word != current_text.words[index]:
                    found.append(current_text.replace_word_at_index(index, word))
        return found

    def _encode_text(self, text: str) -> Any:
        return self._lm_tokenizer(text, max_length=self.max_length, truncation=True)

    def _bert_attack_replacement_words(
        self,
        current_text: AttackedText,
        index: int,
        id_preds: Tensor,
        masked_lm_logits: None = None,
    ) -> list[str]:
        tokenizer = self._lm_tokenizer
        masked = current_text.replace_word_at_index(index, tokenizer.mask_token).text
        ids = tokenizer(masked, max_length=self.max_length, truncation=True).input_ids
        if tokenizer.mask_token_id not in ids:
            return []
        first = ids.index(tokenizer.mask_token_id)
        pieces = len(tokenizer.encode(current_text.words[index], add_special_tokens=False))
        guesses = id_preds[first : first + pieces].tolist()
        if not guesses:
            return []
        if len(guesses) == 1:
            words = tokenizer.convert_ids_to_tokens(guesses[0])
            kind = self._language_model.config.model_type
            return [
                word
                for word in words
                if utils.is_one_word(word) and not utils.check_if_subword(word, kind, index == 0)
            ]
        tokens = [tokenizer.convert_ids_to_tokens(row) for row in guesses]
        return one_word_combinations(tokens, self.max_candidates)
