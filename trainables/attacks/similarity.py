"""How alike an original and its perturbed text are, by the sentence encoder of a set of resources.

One encoder a process, loaded when the first pair is compared, whatever attack found it. Import
after `prepare_textattack`.
"""

import logging
from functools import cache

import torch
from textattack.constraints.semantics.sentence_encoders import (
    SentenceEncoder,
    UniversalSentenceEncoder,
)

from trainables.attacks.offline import EmbeddedSentenceEncoder

log = logging.getLogger(__name__)


def similarity(original: str, perturbed: str, resources: str) -> float | None:
    """Cosine of the embeddings of two whole texts, from -1 to 1.

    None where the encoder cannot be had or fails: an attack that found its example without it must
    not fail for it. What went wrong is logged as a warning.
    """
    encoder = _encoder(resources)
    if encoder is None:
        return None
    try:
        first, second = torch.as_tensor(encoder.encode([original, perturbed])).double()
    except Exception as error:
        log.warning("no similarity of this example: %s", error)
        return None
    return round(torch.cosine_similarity(first, second, dim=0).item(), 6)


@cache
def _encoder(resources: str) -> SentenceEncoder | None:
    try:
        encoder = EmbeddedSentenceEncoder() if resources == "embedded" else _textattacks_own()
    except Exception as error:
        log.warning("similarity is not measured, the sentence encoder cannot be loaded: %s", error)
        return None
    return encoder


def _textattacks_own() -> SentenceEncoder:
    encoder = UniversalSentenceEncoder()
    encoder.encode(["loads the model"])  # which it does at the first use only
    return encoder
