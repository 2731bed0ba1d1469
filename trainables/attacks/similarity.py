"""How alike an original and its perturbed text are, by the sentence encoder of a set of resources.

One encoder a process, loaded when the first pair is compared, whatever attack found it. Import
after `prepare_textattack`.
"""

import logging
from functools import cache, cached_property

import torch
from textattack.constraints.semantics.sentence_encoders import (
    SentenceEncoder,
    UniversalSentenceEncoder,
)

from trainables.attacks.offline import EmbeddedSentenceEncoder

log = logging.getLogger(__name__)


class Similarity:
    """Cosine of the embeddings of two whole texts, from -1 to 1.

    None where the encoder cannot be had or fails: an attack that found its example without it must
    not fail for it. What went wrong is logged as a warning. An encoder that could not be loaded is
    not tried again by this object, but by the next.

    resources: whose encoder.
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
            return _encoder(self._resources)
        except Exception as error:
            log.warning(
                "similarity is not measured, the sentence encoder cannot be loaded: %s", error
            )
            return None


def _encoder(resources: str) -> SentenceEncoder:
    return EmbeddedSentenceEncoder() if resources == "embedded" else _textattacks_own()


@cache
def _textattacks_own() -> SentenceEncoder:
    encoder = UniversalSentenceEncoder()
    encoder.encode(["loads the model"])  # which it does at the first use only
    return encoder
