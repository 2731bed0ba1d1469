"""Temporary folders that name their process, so that what a killed one left can be removed.

By name, since a process may be killed while it fills its folder or removes it: purpose, a digest of
the machine (process.py), process number, and when the process started.
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

    purpose: a word in small letters. below: the folder to make it in, where it is not the system's
    for temporary files.
    """
    mine = this_process()
    prefix = f"{PREFIX}-{purpose}-{_machine()}-{mine['pid']}-{mine.get('started') or 0}-"
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=below, ignore_cleanup_errors=True
    ) as folder:
        yield folder


def remove_leftovers(below: Path | None = None) -> None:
    """Remove the folders of this user's processes that are surely gone."""
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
