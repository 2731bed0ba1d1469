"""Standard output and error that outlive their reader: nothing that is printed can end a command.

What cannot be written (the pipe's reader went away, the terminal closed, the disk is full) is
dropped, and what the encoding lacks is written as `\\udc80`. A full disk is retried with
each line. Knows nothing of what is printed, and imports nothing heavy.
"""

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, TextIO

NO_READER = {errno.EPIPE, errno.EIO, errno.ENXIO, errno.ENOTCONN, errno.ECONNRESET}


def open_descriptors() -> None:
    """Open those of descriptors 0, 1 and 2 that are closed on /dev/null, before any other file.

    Otherwise the next file that is opened, for example a database, would get what is printed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            _point_at_nothing(descriptor)


def outlive_reader() -> None:
    """Make printing in this process succeed, whatever happens to its destination."""
    sys.stdout = _lasting(sys.stdout, 1)
    sys.stderr = _lasting(sys.stderr, 2)


def _lasting(stream: TextIO | None, descriptor: int) -> TextIO:
    with suppress(OSError, ValueError, AttributeError):
        if stream is not None and stream.fileno() != descriptor:
            return stream  # The output is captured.
    with suppress(OSError, ValueError, AttributeError):
        if stream is not None:
            stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(descriptor)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def _point_at_nothing(descriptor: int) -> None:
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)


class _Descriptor(io.RawIOBase):
    """A file descriptor to which every write succeeds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                if error.errno in NO_READER:
                    _point_at_nothing(self._descriptor)
                break
        return size
