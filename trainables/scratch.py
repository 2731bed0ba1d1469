"""Temporary folders that name their process, so that what a killed one left can be removed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainables.process import is_gone, this_process

PREFIX = "robustness-sweep"
OWNER = f".{PREFIX}-owner.json"  # in each of our folders: the process it belongs to


@contextmanager
def scratch(purpose: str, below: Path | None = None) -> Iterator[str]:
    """A temporary folder of this process, removed at the end.

    below: the folder to make it in, where it is not the system's for temporary files.
    """
    prefix = f"{PREFIX}-{purpose}-"
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=below, ignore_cleanup_errors=True
    ) as folder:
        owner = {**this_process(), "folder": Path(folder).name}
        Path(folder, OWNER).write_text(json.dumps(owner))
        yield folder


def remove_leftovers(below: Path | None = None) -> None:
    """Remove the folders of this user's processes that are surely gone."""
    for folder in Path(below or tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        with suppress(OSError):
            mine = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if mine and is_gone(_owner(folder)):
                shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> dict[str, Any]:
    """The process that made a folder; empty for one that `scratch` did not make, or a copy."""
    try:
        owner = json.loads((folder / OWNER).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) and owner.get("folder") == folder.name else {}
