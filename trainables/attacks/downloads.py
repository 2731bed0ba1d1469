"""What TextAttack would download for the attacks: the URLs, and where its libraries store it.

We download it ourselves, whole or not at all: TextAttack 0.3.11 asks NLTK for a tagger that NLTK
has since renamed. In an assets folder each is at `textattack/<name>`, unpacked, where `python -m
orchestrator.assets fetch` puts it. Imports neither TextAttack nor TensorFlow.
"""

import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock

from search_spaces.errors import BadInput
from trainables.scratch import remove_leftovers, scratch

WORD_VECTORS = "word_embeddings/paragramcf"
NLTK_DATA = "nltk_data"
SENTENCE_ENCODER = "universal-sentence-encoder"
MASKED_LM = "bert-base-uncased"
MASKED_LM_HUB = "google-bert/bert-base-uncased"

SENTENCE_ENCODER_URL = "https://tfhub.dev/google/universal-sentence-encoder/3"
NLTK_URL = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages"
TIMEOUT = 60.0  # seconds without a byte


@dataclass(frozen=True)
class Archive:
    """A zip or tar file that unpacks to the folder `name`."""

    name: str
    url: str


ARCHIVES = (
    Archive(WORD_VECTORS, f"https://textattack.s3.amazonaws.com/{WORD_VECTORS}"),
    *(
        Archive(f"{NLTK_DATA}/{name}", f"{NLTK_URL}/{name}.zip")
        for name in (
            "corpora/stopwords",
            "taggers/averaged_perceptron_tagger_eng",
            "taggers/universal_tagset",
        )
    ),
    Archive(SENTENCE_ENCODER, f"{SENTENCE_ENCODER_URL}?tf-hub-format=compressed"),
)


def on_this_machine(archive: Archive) -> Path | None:
    """The unpacked archive where TextAttack, NLTK or TensorFlow Hub leaves it on this machine."""
    return next((place for place in _places(archive) if place.is_dir()), None)


def here(archive: Archive) -> Path:
    """The unpacked archive on this machine; downloaded to where its library looks for it, if need
    be, by one process at a time. Raises BadInput."""
    if (found := on_this_machine(archive)) is not None:
        return found
    place = next(filter(_writable, _places(archive)), None)
    if place is None:
        looked = ", ".join(map(str, _places(archive)))
        raise BadInput(f"{archive.name} is not on this machine, and none of {looked} is writable")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_name(f"{place.name}.lock")):
            remove_leftovers(place.parent)
            if not place.is_dir():
                with downloaded(archive, place.parent) as unpacked:
                    unpacked.rename(place)
    except OSError as error:
        raise BadInput(f"{archive.name} cannot be kept at {place}: {error}") from None
    return place


def _writable(place: Path) -> bool:
    return os.access(next(folder for folder in place.parents if folder.exists()), os.W_OK)


def _places(archive: Archive) -> list[Path]:
    own_cache = os.environ.get("TA_CACHE_DIR")
    if archive.name == SENTENCE_ENCODER:
        modules = Path(tempfile.gettempdir()) / "tfhub_modules"
        cache = os.environ.get("TFHUB_CACHE_DIR") or own_cache or modules
        return [Path(cache) / hashlib.sha1(SENTENCE_ENCODER_URL.encode()).hexdigest()]
    if archive.name.startswith(NLTK_DATA):
        import nltk

        below = archive.name.removeprefix(f"{NLTK_DATA}/")
        return [Path(folder) / below for folder in nltk.data.path]
    return [Path(own_cache or Path.home() / ".cache/textattack") / archive.name]


@contextmanager
def downloaded(archive: Archive, folder: Path) -> Iterator[Path]:
    """In this block the archive is unpacked, temporarily, below `folder`. Raises BadInput."""
    with scratch("fetch", folder) as temporary:
        yield _download(archive, Path(temporary))


def _download(archive: Archive, folder: Path) -> Path:
    packed, unpacked = folder / "packed", folder / "unpacked"
    try:
        with urlopen(archive.url, timeout=TIMEOUT) as response, packed.open("wb") as file:
            shutil.copyfileobj(response, file)
        promised = response.headers["Content-Length"]
        if promised is not None and packed.stat().st_size != int(promised):
            raise EOFError(f"{packed.stat().st_size} of {promised} bytes received")
        _unpack(packed, unpacked)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise BadInput(f"{archive.url} is not a complete zip or tar file: {error}") from None
    except (OSError, http.client.HTTPException) as error:
        raise BadInput(
            f"{archive.name} is not on this machine, and could not be downloaded from "
            f"{archive.url}: {error}"
        ) from None
    inner = unpacked / Path(archive.name).name  # Some contain the folder itself, some its contents.
    return inner if inner.is_dir() else unpacked


def _unpack(packed: Path, to: Path) -> None:
    if zipfile.is_zipfile(packed):
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(to)
    else:
        with tarfile.open(packed) as archive:
            archive.extractall(to, filter="data")
