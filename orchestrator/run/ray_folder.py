"""Where a Ray of our own keeps its sockets and logs: in a folder with a path short enough for them.

The path of a Unix socket has at most 107 bytes; batch systems set a long TMPDIR.
"""

import os
import shutil
import tempfile
from pathlib import Path

from search_spaces.errors import BadInput

SOCKET_PATH = 107  # bytes at most, on Linux
WITHIN = len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
SHORT = ("/tmp", "/var/tmp", "/dev/shm")


class RayFolder:
    """`path` is for `ray.init`; None if Ray's own choice works."""

    def __init__(self) -> None:
        """Raises BadInput where there is no folder with a path short enough."""
        self.path: str | None = None
        _make_absolute()
        given = os.environ.get("RAY_TMPDIR")
        self.logs = Path(given or os.environ.get("TMPDIR") or "/tmp", "ray")
        if _is_short(self.logs) and (given or _can_be_written(self.logs)):
            return
        if given:
            raise BadInput(f"RAY_TMPDIR={given}: {_too_long(self.logs)}; give a shorter path")
        for short in SHORT:
            try:
                self._made = tempfile.mkdtemp(prefix="ray-", dir=short)
            except OSError:
                continue
            self.logs = Path(self._made, "r")  # Ray makes its own folder writable for everyone.
            self.path = str(self.logs)
            return
        raise BadInput(
            f"Ray cannot keep its files in {self.logs}: {_too_long(self.logs)}; "
            "set RAY_TMPDIR to a writable folder with a shorter path"
        )

    def remove(self) -> None:
        """Remove the folder if it was made here; nothing else uses it."""
        if self.path is not None:
            shutil.rmtree(self._made, ignore_errors=True)


def _make_absolute() -> None:
    """Make the folders that the environment names absolute: Ray's processes run elsewhere, and it
    reads an empty name as the current folder."""
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if folder := os.environ.get(name):
            os.environ[name] = os.path.abspath(folder)
        else:
            os.environ.pop(name, None)


def _is_short(folder: Path) -> bool:
    return len(os.fsencode(folder)) + WITHIN <= SOCKET_PATH


def _too_long(folder: Path) -> str:
    return (
        f"its path has {len(os.fsencode(folder))} bytes and may have {SOCKET_PATH - WITHIN} at most"
        if not _is_short(folder)
        else "it cannot be written"
    )


def _can_be_written(folder: Path) -> bool:
    above = next(path for path in (folder, *folder.parents) if path.exists())
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)
