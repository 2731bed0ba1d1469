"""Assets at a URL such as s3://bucket/assets: copied to this machine once, each when it is needed.

`python -m orchestrator.assets upload` fills the URL, and its assets.json says which files belong to
an asset. Copies are kept below ~/.cache (or XDG_CACHE_HOME), named by their content: what changes
at the URL is copied anew, and processes that need the same asset at once copy it once.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from search_spaces.errors import BadInput, first_line
from trainables import manifest
from trainables.files import Files, at_once, written_whole
from trainables.manifest import File, Manifest
from trainables.scratch import remove_leftovers, scratch

CHUNK = 8 << 20  # bytes of a request


def files_of(url: str) -> Files:
    return Files(url, "assets")


@cache
def manifest_of(url: str) -> Manifest:
    """What is at a URL, as it was when this process first asked. Raises BadInput."""
    files = files_of(url)
    try:
        return manifest.parsed(files.read(manifest.NAME), files.place(manifest.NAME))
    except FileNotFoundError:
        raise BadInput(
            f"--assets {url}: there is no {manifest.NAME}; fill it with `python -m "
            "orchestrator.assets fetch --to FOLDER` and `python -m orchestrator.assets upload "
            "FOLDER URL`"
        ) from None


def names_at(url: str, kind: str) -> list[str]:
    """Names of the assets of a kind (`datasets`, `models`, `textattack`) at a URL, sorted."""
    below = (name.partition("/") for name in manifest_of(url).assets)
    return sorted(name for top, _, name in below if top == kind)


def kept(url: str, asset: str) -> Path | None:
    """The folder on this machine that holds a copy of an asset already, below its own name."""
    files = _files(url, asset)
    folder = _cache() / _named(files)
    return folder if files and folder.is_dir() else None


def copied(url: str, asset: str) -> Path | None:
    """The same, once the asset is copied; None if the URL does not have it.

    asset: a name in assets.json, such as `datasets/sst2`, or a folder of such, as `textattack`.
    Raises BadInput where it cannot be copied.
    """
    files = _files(url, asset)
    if not files:
        return None
    cache, name = _cache(), _named(files)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / f"{name}.lock"):
            if not (cache / name).is_dir():
                remove_leftovers(cache)
                _check_room(cache, files, url)
                with scratch("assets", cache) as temporary:
                    at_once(partial(_copy, files_of(url), Path(temporary) / name), files.items())
                    os.rename(Path(temporary) / name, cache / name)
    except BadInput:  # Among them StoreError, an OSError, which says where.
        raise
    except OSError as error:
        raise BadInput(
            f"{asset} of {url} cannot be copied to {cache}: {first_line(error)}; "
            "XDG_CACHE_HOME names another place"
        ) from None
    return cache / name


def _files(url: str, asset: str) -> dict[str, File]:
    return {
        name: file
        for each, fetched in manifest_of(url).assets.items()
        if each == asset or each.startswith(f"{asset}/")
        for name, file in fetched.files.items()
    }


def _named(files: Mapping[str, File]) -> str:
    listed = sorted(f"{name} {file.sha256}\n" for name, file in files.items())
    return hashlib.sha256("".join(listed).encode()).hexdigest()[:32]


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "robustness-sweep" / "assets"


def _check_room(cache: Path, files: Mapping[str, File], url: str) -> None:
    needed, free = sum(file.size for file in files.values()), shutil.disk_usage(cache).free
    if needed > free:
        raise BadInput(
            f"no room in {cache} for assets of {url}: {needed / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free; XDG_CACHE_HOME names another place"
        )


def _copy(source: Files, folder: Path, listed: tuple[str, File]) -> None:
    name, file = listed
    filesystem, path = source.path(name)
    target, content = folder / name, hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with filesystem.open_input_stream(path) as read, written_whole(target) as written:
        while chunk := read.read(CHUNK):
            content.update(chunk)
            written.write(chunk)
    if content.hexdigest() != file.sha256:
        raise BadInput(
            f"{source.place(name)} is not the file that {manifest.NAME} there lists: delete it, "
            "and upload the folder again"
        )


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """No other process of this machine is in this block; the lock of one that dies is free."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
