"""BERT-Attack's word swap, with TextAttack's candidates in less time.

Import after `prepare_textattack`.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from textattack.shared import AttackedText, utils
from textattack.transformations import WordSwapMaskedLM

from trainables.speed.combinations import one_word_combinations


class BertAttackSwap(WordSwapMaskedLM):
    """TextAttack's WordSwapMaskedLM with method="bert-attack", without unused values.

    TextAttack 0.3.11 pads each text to 512 tokens and projects all of them onto the vocabulary;
    here there is no padding. It scores all combinations of pieces for a word of several pieces,
    then keeps the first ones in order of combination (it discards the result of `sorted`); here the
    first ones are found directly (combinations.py). A position past the end of the text has no
    candidates. There the model runs on a text again for each word that is tried, here once.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._guesses = lru_cache(1024)(self._guess)

    @torch.no_grad()
    def _guess(self, text: str) -> torch.Tensor:
        """The most likely tokens at each place [tokens, max_candidates]."""
        logits = self._language_model(**self._encode_text(text))[0][0]
        return torch.topk(logits, self.max_candidates).indices.cpu()

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
        encoding = self._lm_tokenizer(
            text, max_length=self.max_length, truncation=True, return_tensors="pt"
        )
        return encoding.to(self._language_model.device)

    def _bert_attack_replacement_words(
        self,
        current_text: AttackedText,
        index: int,
        id_preds: torch.Tensor,
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
