"""Find the code of a kind that a catalog file names: one of this package, or the user's own.

Nothing is imported before it is needed, so a plan can check names without torch.
"""

import hashlib
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.errors import BadInput, nearest


def check_kind(what: str, kind: str, ours: Mapping[str, str]) -> None:
    """Raises BadInput if a kind is neither one of `ours` nor in a module that can be found."""
    if kind not in ours:
        _module_file(what, kind, ours)


def kind_digest(what: str, kind: str, ours: Mapping[str, str]) -> str | None:
    """SHA-256 of the module behind a user's own kind; None for `ours` (see the keys' FORMAT)."""
    if kind in ours:
        return None
    return hashlib.sha256(_module_file(what, kind, ours).read_bytes()).hexdigest()


def load_kind(what: str, kind: str, ours: Mapping[str, str]) -> Any:
    """The class or function behind a kind. Raises BadInput where there is none."""
    check_kind(what, kind, ours)
    module, _, name = ours.get(kind, kind).partition(":")
    code = getattr(importlib.import_module(module), name, None)
    if code is None:
        raise BadInput(f"{what} kind {kind!r}: module {module} has no {name}")
    return code


def _module_file(what: str, kind: str, ours: Mapping[str, str]) -> Path:
    module, colon, name = kind.partition(":")
    if not colon or not name:
        raise BadInput(
            f"unknown kind of {what} {kind!r}; {nearest(kind, ours)} "
            "(or name a class of your own as package.module:Class)"
        )
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        raise BadInput(
            f"{what} kind {kind!r}: no module {module} on Python's path; "
            "run from the folder that contains it, or set PYTHONPATH on all nodes"
        )
    return Path(spec.origin)
