"""Descriptions on MLflow's pages, which each sweep writes and people edit too.

A digest and a length of the text written last are remembered. In a description, what matches them
is ours; everything else is a person's and stays, above ours.
"""

import hashlib

from orchestrator.tracking.runs import HOW_TO_READ, LONGEST_NOTE, RUNNING, short

BELOW = "*Each sweep rewrites what is below this line.*"
BELOW_BEFORE = "*Below this line each sweep writes anew.*"  # as earlier versions wrote it
# How a description began and ended before anything was remembered of it.
FIRST = ("[All cells](#/experiments/", RUNNING, HOW_TO_READ[0])
LAST = (RUNNING, HOW_TO_READ[-1], "Attack resources:", "These numbers are about the tool", "|")


def merged(current: str, ours: str, remembered: str) -> tuple[str, str]:
    """The description to set, and what to remember before it is set.

    remembered: as returned for the last one. The one before is remembered as well, in case this
    one is never set.
    """
    theirs, last = _theirs(current, remembered)
    if not theirs:
        ours = short(ours)
        return ours, f"{_mark(ours)} {last}".strip()
    room = LONGEST_NOTE - len(theirs) - len(BELOW) - 4
    ours = short(ours, room) if room > 0 else ""
    if not ours:
        return theirs, last
    return f"{theirs}\n\n{BELOW}\n\n{ours}", f"{_mark(ours)} {last}".strip()


def by_a_person(current: str, remembered: str) -> str:
    """The part of a description that a person wrote."""
    return _theirs(current, remembered)[0]


def _theirs(current: str, remembered: str) -> tuple[str, str]:
    """What a person wrote, and which remembered text was next to it."""
    for mark in remembered.split():
        length = int(mark.partition(":")[2])
        for start in range(len(current) - length + 1):
            if _mark(current[start : start + length]) == mark:
                return _without_line(current[:start] + current[start + length :]), mark
    lines = current.strip().splitlines() or [""]
    if not remembered and lines[0].startswith(FIRST) and lines[-1].startswith(LAST):
        return "", ""
    return _without_line(current), ""


def _without_line(text: str) -> str:
    return text.replace(BELOW, "").replace(BELOW_BEFORE, "").strip()


def _mark(text: str) -> str:
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}:{len(text)}"
