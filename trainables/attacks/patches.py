"""What we change in TextAttack 0.3.11, and why. Each change lasts for a block only.

- `quiet_import`: importing it downloads NLTK data, prints, writes into the user's cache, changes
  the environment, and chooses the GPU, one word pair at a time, for what takes microseconds.
- `word_vectors_in`: counter-fitted vectors can only be downloaded, not read from a folder.
- `on_device`: a masked language model is moved to the device that was chosen on import.
- `textfooler_stop_words`: they are a local variable of the function that builds the recipe.
- `replaced`: the engine counts and limits the time of an attack's parts.

Imports TextAttack only when it is called.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from trainables.scratch import scratch


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """In this block the attribute of that name of an object or module has another value."""
    before = vars(owner).get(name)
    its_own = name in vars(owner)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if its_own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextmanager
def quiet_import() -> Iterator[None]:
    """In this block TextAttack can be imported without a download or output; it stays on the CPU.

    TextAttack records downloads in its cache, under a lock. Each process gets its own folder, so
    that none waits for another and no false download is recorded in the user's cache.
    """
    import nltk

    with (
        scratch("textattack") as cache,
        _own_environment(TA_CACHE_DIR=cache, TA_DEVICE="cpu"),
        replaced(nltk, "download", lambda *_, **__: True),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield
        from textattack.shared.utils import install

        if cache == install.TEXTATTACK_CACHE_DIR:
            install.TEXTATTACK_CACHE_DIR = os.path.expanduser("~/.cache/textattack")


@contextmanager
def word_vectors_in(folder: Path) -> Iterator[None]:
    """In this block TextAttack reads its word vectors from a folder."""
    from textattack.shared import utils

    with replaced(utils, "download_from_s3", lambda _: str(folder)):
        yield


def on_device(device: Any) -> AbstractContextManager[None]:
    """In this block TextAttack's parts that are made are put on a device of torch's."""
    from textattack.shared import utils

    return replaced(utils, "device", device)


@cache
def textfooler_stop_words() -> frozenset[str]:
    """TextFooler's own stop words. The recipe is built up to them, without its word vectors."""
    from textattack.attack_recipes import textfooler_jin_2019

    kept: list[set[str]] = []

    class Kept(Exception):
        pass

    def keep(stopwords: set[str]) -> None:
        kept.append(stopwords)
        raise Kept

    with (
        replaced(textfooler_jin_2019, "WordSwapEmbedding", lambda **_: None),
        replaced(textfooler_jin_2019, "StopwordModification", keep),
        suppress(Kept),
    ):
        textfooler_jin_2019.TextFoolerJin2019.build(None)
    return frozenset(kept[0])


@contextmanager
def _own_environment(**defaults: str) -> Iterator[None]:
    """In this block the variables are set, those that are not set already. Then the whole
    environment is restored: TextAttack sets HF_HOME and TOKENIZERS_PARALLELISM."""
    before = dict(os.environ)
    os.environ.update({**defaults, **before})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
