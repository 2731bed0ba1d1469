"""The folder that a report is written to: a report's own files are replaced, and no others.

`report-files.json` there lists what was written, with digests, so that a file that somebody added
or changed is distinguished from those of an earlier report, even if writing was interrupted.
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from search_spaces.errors import BadInput
from trainables.store import Store

LIST = "report-files.json"
NAMES = re.compile(r"index\.html|report\.md|(tables|plots)/[A-Za-z0-9][\w.-]*")


def folder_of(space: str, store: Store) -> Path:
    """Where a space's report is: in the store, if that is a folder that can be written, else in the
    current folder."""
    folder = store.local_folder
    if folder is not None and os.path.isdir(folder) and not os.access(folder, os.W_OK):
        folder = None
    return Path(folder or ".") / "report" / space


def write(made: Mapping[str, bytes], folder: Path, cells: Iterable[str]) -> None:
    """Write a report's files, replacing those of the earlier report and no others.

    cells: keys of the finished cells that it shows. Raises BadInput, before anything is written,
    where a file of that name is not from a report of ours, or was changed since; OSError where
    writing fails.
    """
    new = {name: [_digest(content)] for name, content in made.items()}
    if not _read(folder):
        changed = [name for name in made if _digest_at(folder / name) not in new[name]]
        _keep_aside(folder, [*(changed if _has_our_page(folder) else ()), LIST])
    before = _written(folder)
    for name in made:
        there = _digest_at(folder / name)
        if there is not None and there not in (*before.get(name, ()), *new[name]):
            raise BadInput(
                f"{folder / name} already exists and is not as a report wrote it; move it away, "
                "or give another folder with --out"
            )
    _remove_half_written(folder, [*before, *made, LIST])
    known = {name: [*before.get(name, ()), *new.get(name, ())] for name in {**before, **new}}
    # The list first, so that files written before an interruption are known as ours.
    _write(folder / LIST, _listed("", known))
    for name in before.keys() - made.keys():
        if _digest_at(folder / name) in before[name]:
            (folder / name).unlink()
    for name, content in made.items():
        _write(folder / name, content)
    _write(folder / LIST, _listed(_of(cells), new))


def is_current(folder: Path, cells: Iterable[str]) -> bool:
    """Whether the folder has a complete report of exactly these finished cells."""
    return _read(folder).get("of") == _of(cells)


def _of(cells: Iterable[str]) -> str:
    return _digest("\n".join(sorted(cells)).encode())


def _listed(of: str, files: Mapping[str, list[str]]) -> bytes:
    return json.dumps({"of": of, "files": files}, indent=1).encode()


def _read(folder: Path) -> dict[str, Any]:
    try:
        listed = json.loads((folder / LIST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    ours = isinstance(listed, dict) and isinstance(listed.get("files"), dict) and "of" in listed
    return listed if ours else {}


def _written(folder: Path) -> dict[str, list[str]]:
    """Names of the files that reports wrote to a folder, with the digests that they may have.

    Whoever wrote the list: no name leads out of the folder, or to a file that no report writes.
    """
    return {
        name: [digest for digest in digests if isinstance(digest, str)]
        for name, digests in _read(folder).get("files", {}).items()
        if NAMES.fullmatch(name) and isinstance(digests, list)
    }


def _has_our_page(folder: Path) -> bool:
    """Whether a report of ours is there, even if its list is damaged or missing."""
    page = folder / "index.html"
    return page.is_file() and b"<title>Robustness sweep: " in page.read_bytes()


def _keep_aside(folder: Path, names: Iterable[str]) -> None:
    """Move files of an old report to a folder next to them: who changed them last is not known."""
    there = [name for name in names if os.path.lexists(folder / name)]
    kept = next(f for n in count(1) if not os.path.lexists(f := folder / f"before-{n}"))
    for name in there:
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(kept / name)


def _remove_half_written(folder: Path, names: Iterable[str]) -> None:
    for path in (folder / name for name in names):
        ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.part")
        for other in path.parent.iterdir() if path.parent.is_dir() else ():
            if ours.fullmatch(other.name):
                other.unlink()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_at(path: Path) -> str | None:
    """None if there is nothing; an empty text for a folder."""
    if not os.path.lexists(path):
        return None
    return _digest(path.read_bytes()) if path.is_file() else ""
