"""Copy a fetched folder to a URL, for `--assets URL`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pyarrow import fs

from search_spaces.errors import BadInput, first_line
from trainables import manifest
from trainables.files import Files, at_once
from trainables.manifest import Fetched, File, Manifest
from trainables.mirror import CHUNK, files_of


def upload(folder: Path, url: str) -> Iterator[str]:
    """Copy each asset that the URL lacks or has otherwise; yields a line on each asset.

    Others that are at the URL stay there. assets.json, by which an asset is found, is written after
    an asset's files. Raises BadInput.
    """
    if "://" not in url:
        raise BadInput(f"{url} is no URL: give one such as s3://bucket/assets, or copy the folder")
    fetched = manifest.read(folder)
    if fetched is None:
        raise BadInput(f"no {folder / manifest.NAME}: nothing was fetched into that folder")
    there = files_of(url)
    listed = _listed(there)
    for name, asset in fetched.assets.items():
        lacking = _lacking(there, asset, listed.assets.get(name))
        at_once(partial(_send, folder, there), lacking.items())
        listed.assets[name] = asset
        there.write(manifest.NAME, manifest.content_of(listed))
        size = sum(file.size for file in lacking.values())
        yield f"{name}: {f'{size / 1e6:.1f} MB uploaded' if lacking else 'is already there'}"


def _listed(there: Files) -> Manifest:
    try:
        return manifest.parsed(there.read(manifest.NAME), there.place(manifest.NAME))
    except FileNotFoundError:
        return Manifest()


def _lacking(there: Files, asset: Fetched, before: Fetched | None) -> dict[str, File]:
    """The files that the URL does not list as they are, or does not hold in their size."""
    listed = before.files if before else {}
    same = {name: file for name, file in asset.files.items() if listed.get(name) == file}
    holds = at_once(partial(_size, there), same)
    whole = {name for name, size in zip(same, holds, strict=True) if size == same[name].size}
    return {name: file for name, file in asset.files.items() if name not in whole}


def _size(there: Files, name: str) -> int | None:
    filesystem, path = there.path(name)
    info = filesystem.get_file_info(path)
    return info.size if info.type == fs.FileType.File else None


def _send(folder: Path, there: Files, listed: tuple[str, File]) -> None:
    """Copy a file. Raises BadInput, and leaves no object, where it is not what was fetched."""
    name, file = listed
    if not (folder / name).is_file() or manifest.of(folder / name) != file:
        raise BadInput(f"{folder / name} is missing or is not what was fetched: fetch it again")
    filesystem, path = there.path(name)
    try:
        with (folder / name).open("rb") as read, filesystem.open_output_stream(path) as written:
            while chunk := read.read(CHUNK):
                written.write(chunk)
    except OSError as error:
        raise BadInput(f"{there.place(name)} cannot be written: {first_line(error)}") from None
