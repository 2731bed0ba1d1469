"""Ctrl-C, SIGTERM and SIGHUP: report the stop at once, stop cleanly, and within seconds.

A thread receives the signals, whatever the main thread is doing. It prints a line, and ends the
process at once on a second signal or when a clean stop takes too long. In the main thread a
KeyboardInterrupt is raised, whichever signal it was (Ray knows no other): it leaves every `with`
block in order. A signal that was ignored when the process began (nohup) stays ignored.

Imports nothing heavy: a command handles signals while it still imports.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AT_MOST = 25.0  # seconds that a clean stop may take: Ray may just be starting

AT_ONCE = (
    0.3  # seconds within which signals count as one: a closed terminal or `timeout` sends several
)

_watched: list[signal.Signals] = []
_received: list[int] = []
_held: list[int] = []
_woken_by: list[socket.socket] = []


def asked() -> bool:
    """Whether a signal asked this process to stop: any failure after it is due to it."""
    return bool(_received)


def exit_code() -> int:
    """Of a process that was stopped: 128 plus the number of the signal."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def quiet_before_begun() -> None:
    """End at once, with one line, if a signal comes before the command has begun."""

    def end(number: int, _: object) -> None:
        _say(f"stopped before anything was begun ({signal.Signals(number).name})")
        os._exit(128 + number)

    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)


def listen(last_words: Callable[[], str]) -> None:
    """From now on a signal raises KeyboardInterrupt in the main thread.

    last_words: what is printed if the process has to be ended before a clean stop.
    """
    _watched[:] = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    heard, woken_by = socket.socketpair()
    woken_by.setblocking(False)
    _woken_by[:] = [woken_by]
    threading.Thread(target=_hear, args=(heard, last_words), name="signals", daemon=True).start()
    signal.set_wakeup_fd(woken_by.fileno(), warn_on_full_buffer=False)
    listen_again()


def listen_again() -> None:
    """Call it after other code has installed handlers of its own, as Ray does."""
    for number in _watched:
        signal.signal(number, _raise)


def check() -> None:
    """Raises KeyboardInterrupt if a signal came and its exception was lost."""
    if _received:
        raise KeyboardInterrupt


def forget() -> None:
    """Continue as if no signal had come: it came when everything was done."""
    _received.clear()


@contextmanager
def held_back() -> Iterator[None]:
    """Delay the KeyboardInterrupt of a signal until the block has ended."""
    _held.append(1)
    try:
        yield
    finally:
        _held.pop()
        check()


def _raise(number: int, _: object) -> None:
    """Only once: a second exception would interrupt the clean stop."""
    if not _received:
        _received.append(number)
        if not _held:
            raise KeyboardInterrupt


def _hear(heard: socket.socket, last_words: Callable[[], str]) -> None:
    first, when = 0, 0.0
    while True:
        number = heard.recv(1)[0]
        if number not in _watched:
            continue
        if first:
            if time.monotonic() - when > AT_ONCE:
                os._exit(128 + first)
            continue
        first, when = number, time.monotonic()
        _stop(first, last_words)


def _stop(number: int, last_words: Callable[[], str]) -> None:
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    # In threads of their own: a blocked terminal must not block this one.
    _in_a_thread(0.0, lambda: _say(f"stopping: {name}; a second one ends it at once"))
    _in_a_thread(AT_MOST, lambda: _end(number, last_words))


def _in_a_thread(after: float, do: Callable[[], None]) -> None:
    timer = threading.Timer(after, do)
    timer.daemon = True
    timer.start()


def _end(number: int, last_words: Callable[[], str]) -> None:
    _in_a_thread(0.0, lambda: _say(last_words()))
    time.sleep(AT_ONCE)
    os._exit(128 + number)


def _say(text: str) -> None:
    with suppress(Exception):  # Nobody may be there to read it.
        print(text, file=sys.stderr, flush=True)
