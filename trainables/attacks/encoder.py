"""The sentence encoder of a set of resources, as attacks constrain and measure similarity with it.

TextAttack's own is a model of 1 GB that runs on TensorFlow: loaded once per process, for all
attacks and for similarity, on the CPU, where a sentence takes about a millisecond. Import after
`prepare_textattack`.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from textattack.constraints.semantics.sentence_encoders import (
    SentenceEncoder,
    UniversalSentenceEncoder,
)

from search_spaces.errors import BadInput
from trainables.attacks.downloads import SENTENCE_ENCODER
from trainables.attacks.offline import EmbeddedSentenceEncoder
from trainables.attacks.resources import textattacks_own


def sentence_encoder(resources: str, **settings: Any) -> SentenceEncoder:
    """The encoder, loaded, as a constraint of TextAttack's.

    settings: threshold and others of TextAttack's SentenceEncoder. Raises BadInput where TensorFlow
    or the model is missing.
    """
    if resources == "embedded":
        return EmbeddedSentenceEncoder(**settings)
    tensorflow_hub = _tensorflow_hub()
    folder = textattacks_own(SENTENCE_ENCODER)
    encoder = UniversalSentenceEncoder(**settings)
    encoder._tfhub_url = str(folder)
    encoder.model = _loaded(tensorflow_hub, folder)
    return encoder


@cache
def _loaded(tensorflow_hub: Any, folder: Path) -> Any:
    return tensorflow_hub.load(str(folder))


@cache
def _tensorflow_hub() -> Any:
    """TensorFlow Hub, once TensorFlow cannot take a GPU's memory or the CPUs of other processes.

    Left alone it takes all memory of each GPU that it sees, and a thread for each CPU of the
    machine. It gets as many threads as torch has then: the CPUs of the phase (trainables/cell.py).
    """
    try:
        import tensorflow
        import tensorflow_hub
    except ImportError as error:
        raise BadInput(
            f"attack.resources textattack needs TensorFlow, which cannot be imported ({error}); "
            "install the extra `textattack`"
        ) from error
    threads = torch.get_num_threads()
    tensorflow.config.set_visible_devices([], "GPU")
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    return tensorflow_hub
