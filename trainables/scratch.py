"""Temporary folders that name their process, so that what a killed one left can be removed."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "robustness-sweep"


@contextmanager
def scratch(purpose: str) -> Iterator[str]:
    """A temporary folder of this process, removed at the end."""
    prefix = f"{PREFIX}-{purpose}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield folder


def remove_leftovers() -> None:
    """Remove the folders of this user's processes that are gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        match = re.fullmatch(rf"{PREFIX}-[a-z]+-(\d+)-\w+", folder.name)
        with suppress(OSError):
            if match and folder.stat().st_uid == os.getuid() and not is_alive(int(match[1])):
                shutil.rmtree(folder, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this number is there, whoever's it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
