"""Similarity of an original and its perturbed text, by the sentence encoder of a set of resources.

The encoder is that of the attacks (encoder.py), loaded when the first pair is compared, if no
attack has loaded it. Import after `prepare_textattack`.
"""

import logging
from functools import cached_property

import torch
from textattack.constraints.semantics.sentence_encoders import SentenceEncoder

from trainables.attacks.encoder import sentence_encoder

log = logging.getLogger(__name__)


class Similarity:
    """Cosine of the embeddings of two whole texts, from -1 to 1.

    None if the encoder cannot be loaded or fails: an attack that succeeded without it must not fail
    because of it. The error is logged as a warning. This object does not try to load an encoder
    again; the next object does.

    resources: the set whose encoder is used.
    """

    def __init__(self, resources: str) -> None:
        self._resources = resources

    def __call__(self, original: str, perturbed: str) -> float | None:
        if self._encoder is None:
            return None
        try:
            first, second = torch.as_tensor(self._encoder.encode([original, perturbed])).double()
        except Exception as error:
            log.warning("no similarity of this example: %s", error)
            return None
        return round(torch.cosine_similarity(first, second, dim=0).item(), 6)

    @cached_property
    def _encoder(self) -> SentenceEncoder | None:
        try:
            return sentence_encoder(self._resources)
        except Exception as error:
            log.warning(
                "similarity is not measured, the sentence encoder cannot be loaded: %s", error
            )
            return None
