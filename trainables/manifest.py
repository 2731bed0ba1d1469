"""`assets.json` of an assets folder: each fetched file's digest and size, and where it came from.

It says which files belong to an asset, also where the folder is at a URL (mirror.py).

{"assets": {"models/gpt2": {"origin": {"repository": "openai-community/gpt2",
                                       "revision": "main", "commit": "607a30d7..."},
                            "files": {"models/gpt2/config.json": {"sha256": ..., "size": 665}}}}}
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from search_spaces.errors import BadInput
from trainables.files import CHUNK, cut_off, file_digest, written_whole

NAME = "assets.json"


def _inside(path: str) -> str:
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise ValueError(f"{path!r} leads out of the folder")
    return path


class File(BaseModel):
    """What a file must be: SHA-256 as 64 hexadecimal digits, size in bytes."""

    model_config = ConfigDict(frozen=True)
    sha256: str
    size: int


class Fetched(BaseModel):
    """One asset: its files, by path in the folder, and where they came from.

    origin: `repository` and `revision` as requested, with the `commit` at that time; or `url`; or
    `folder`.
    """

    model_config = ConfigDict(frozen=True)
    origin: dict[str, str]
    files: dict[Annotated[str, AfterValidator(_inside)], File]

    def is_from(self, origin: dict[str, str]) -> bool:
        return {**self.origin, **origin} == self.origin


class Manifest(BaseModel):
    """All that was fetched into a folder, by asset."""

    assets: dict[str, Fetched] = {}


def read(folder: Path) -> Manifest | None:
    """What was fetched into a folder, None if nothing ever was. Raises BadInput."""
    path = folder / NAME
    try:
        return parsed(path.read_bytes(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}") from None


def parsed(content: bytes, where: object) -> Manifest:
    """The content of an assets.json; where: its place, for messages. Raises BadInput."""
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise BadInput(f"{where} is not a list of fetched files: {why}") from None


def write(folder: Path, manifest: Manifest) -> None:
    path = folder / NAME
    _remove_cut_off(path)
    with written_whole(path) as file:
        file.write(content_of(manifest))


def content_of(manifest: Manifest) -> bytes:
    return f"{manifest.model_dump_json(indent=1)}\n".encode()


def missing_or_damaged(folder: Path, fetched: Fetched) -> Iterator[str]:
    """A line for each file of an asset that is missing, or is not what was fetched."""
    for name, file in fetched.files.items():
        path = folder / name
        if not path.is_file():
            yield f"missing: {name}"
        elif path.stat().st_size != file.size:
            yield f"damaged: {name} has {path.stat().st_size} bytes and not {file.size}"
        elif of(path).sha256 != file.sha256:
            yield f"damaged: {name} has other content than was fetched"


def of(path: Path) -> File:
    """A file's digest and size."""
    return File(sha256=file_digest(path), size=path.stat().st_size)


def copy(source: Path, target: Path) -> File:
    """Copy a file; `target` appears when it is complete and on the disk. Its digest and size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_cut_off(target)
    content = hashlib.sha256()
    with source.open("rb") as read, written_whole(target) as written:
        while chunk := read.read(CHUNK):
            content.update(chunk)
            written.write(chunk)
    return File(sha256=content.hexdigest(), size=target.stat().st_size)


def _remove_cut_off(path: Path) -> None:
    for left in cut_off(path):
        left.unlink()
