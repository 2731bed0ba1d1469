"""Temporary folders named after their process, so that those of killed processes can be removed.

The name has purpose, digest of the machine (process.py), process id and start time. A file inside
would not do: a process may be killed while it fills or removes its folder.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainables.process import is_gone, this_machine, this_process

PREFIX = "robustness-sweep"
NAME = re.compile(rf"{PREFIX}-[a-z]+-(?P<machine>[0-9a-f]{{16}})-(?P<pid>\d+)-(?P<started>\d+)-\w+")


@contextmanager
def scratch(purpose: str, below: Path | None = None) -> Iterator[str]:
    """A temporary folder of this process, removed at the end.

    purpose: a lower-case word. below: the parent folder; default: the system's for temporary files.
    """
    mine = this_process()
    prefix = f"{PREFIX}-{purpose}-{_machine()}-{mine['pid']}-{mine.get('started') or 0}-"
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=below, ignore_cleanup_errors=True
    ) as folder:
        yield folder


def remove_leftovers(below: Path | None = None) -> None:
    """Remove the folders of this user's processes that have certainly ended."""
    for folder in Path(below or tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        with suppress(OSError):
            mine = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if mine and _is_left(folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(name: str) -> bool:
    match = NAME.fullmatch(name)
    if match is None or match["machine"] != _machine():
        return False
    started = int(match["started"]) or None
    return is_gone({"machine": this_machine(), "pid": int(match["pid"]), "started": started})


def _machine() -> str:
    return hashlib.sha256(this_machine().encode()).hexdigest()[:16]
