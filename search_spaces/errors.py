"""The one error a user is meant to read.

Whatever a user can fix (a misspelt name, a broken file, a missing asset, a server that does not
answer) is raised as `BadInput` with one line that says what is wrong and what to do. The command
line prints that line and exits with code 2; anything else is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(Exception):
    """Something the user can fix; the message is one line: what is wrong, and what to do."""


def first_line(error: BaseException, with_type: bool = False) -> str:
    """The first line of an error's message, or its type's name; with_type: the name before it."""
    name, lines = type(error).__name__, str(error).strip().splitlines()
    if not lines:
        return name
    return f"{name}: {lines[0]}" if with_type else lines[0]


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which valid names are nearest to `name`, or all of them if none is near."""
    valid = sorted(valid)
    in_lower_case = {each.lower(): each for each in valid}
    close = get_close_matches(name.lower(), in_lower_case, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(in_lower_case[each] for each in close)}?"
    return f"valid: {', '.join(valid)}"
