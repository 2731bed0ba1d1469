"""What is measured of each successful example: how much its text was changed, and to what effect.

Import after `prepare_textattack`.
"""

import logging

import editdistance

from trainables.attacks.fluency import bits_per_character
from trainables.attacks.similarity import Similarity
from trainables.records import Quality

log = logging.getLogger(__name__)


class Measures:
    """Compares original and perturbed text; both are of the attacked column alone.

    What cannot be measured is None, with a warning: an attack that succeeded must not fail because
    of it. Each pair is measured by itself, so its figures depend on no other.

    resources: the set whose sentence encoder is used (similarity.py).
    """

    def __init__(self, resources: str) -> None:
        self._similarity = Similarity(resources)

    def __call__(self, original: str, perturbed: str) -> Quality:
        return {
            "similarity": self._similarity(original, perturbed),
            "edit_distance": int(editdistance.eval(original, perturbed)),
            "bits_per_character": _bits_per_character(original, perturbed),
        }


def _bits_per_character(*texts: str) -> list[float] | None:
    try:
        return [round(bits_per_character(text), 4) for text in texts]
    except Exception as error:
        log.warning("no perplexity of this example: %s", error)
        return None
