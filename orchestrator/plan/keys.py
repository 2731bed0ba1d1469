"""Keys: a readable name and a short hash of all that determines a result, and of nothing else.

Whatever can change a number goes in: resolved settings, digests of data and weights, the seed, the
versions of the libraries that change results, and our own format number. Machine, worker count,
where assets are, comments and the order of a file do not.

On one kind of CPU equal keys give equal bits. On a GPU they do only on one kind of GPU, with one
driver and build of torch, and where all algorithms are deterministic; elsewhere an equal key means
the same experiment, whose weights may differ in their last bits and so in their figures. That is
why all that is measured on weights names them, and the first of two fits stays.

A change of our code that changes results must raise `FORMAT`; any other must not.
"""

import hashlib
import json
from functools import cache
from importlib import metadata
from typing import Any

from search_spaces.space import AttackSettings, Sample

FORMAT = 5


def fit_identity(
    dataset: dict[str, Any],
    model: dict[str, Any],
    head: dict[str, Any],
    training: dict[str, Any],
    settings: dict[str, Any],
    seed: int,
    cpus: int,
) -> dict[str, Any]:
    """Everything a fit's weights depend on, as plain JSON.

    cpus: torch's threads, which the space fixes and which can change the last bits of a sum.
    """
    return {
        "format": FORMAT,
        "dataset": dataset,
        "model": model,
        "head": head,
        "training": training,
        "settings": settings,
        "seed": seed,
        "threads": cpus,
        "versions": {name: _minor(version(name)) for name in ("torch", "transformers")},
    }


def attack_identity(
    fit: dict[str, Any],
    attack: dict[str, Any],
    cpus: int,
    seconds_per_example: float | None = None,
    dtype: str = "fp32",
    scores: str = "probability",
    sample: Sample = "proportional",
) -> dict[str, Any]:
    """Everything an attacked example depends on, as plain JSON: not how many are attacked.

    sample: how they are drawn, on which no example's record depends. But whatever reads a log that
    is not finished takes all of it for the beginning of one sample, so each kind has logs of its
    own. The default is not in the identity.

    attack: of `attack_with`. scores: those that order texts as the default ones do are to be given
    as `probability`.
    """
    attack = dict(attack)
    if seconds_per_example is not None:
        attack["seconds_per_example"] = seconds_per_example
    if dtype != "fp32":
        attack["dtype"] = dtype
    if scores != "probability":
        attack["scores"] = scores
    if sample != "proportional":
        attack["sample"] = sample
    return {
        "fit": fit,
        "attack": attack,
        "threads": cpus,
        "versions": {"textattack": version("textattack")},
    }


def attack_with(
    kind: str,
    settings: dict[str, Any],
    resources: dict[str, str],
    code: str | None,
    attacked: str | None,
    by_column: bool,
    query_budget: int | str | None,
) -> dict[str, Any]:
    """What an attack does to a text, whatever model it attacks.

    code: digest of a user's own attack's module. attacked: the column, of several. by_column:
    whether the texts are pairs with Chinese in them: the wrong column was attacked before words
    were split by column.
    """
    attack: dict[str, Any] = {
        "kind": kind, "settings": settings, "resources": resources, "code": code,
    }  # fmt: skip
    if attacked is not None:
        attack["attacked"] = attacked
    if by_column:
        attack["split_into_words"] = "by column"
    if query_budget is not None:
        attack["query_budget"] = query_budget
    return attack


def inner_attack_identity(attack: dict[str, Any]) -> dict[str, Any]:
    """Of an attack within a fit: of `attack_with`, and the version of what runs it.

    How fluent its texts are is not measured there.
    """
    resources = {name: of for name, of in attack["resources"].items() if name != "perplexity"}
    versions = {"textattack": version("textattack")}
    return {**attack, "resources": resources, "versions": versions}


def cell_key(readable: str, log_identity: dict[str, Any], settings: AttackSettings) -> str:
    """The key of a cell: its log, and on which of the log's examples its figures are based."""
    identity: dict[str, Any] = {"log": log_identity, "examples": settings.examples}
    if settings.precision is not None:
        identity["precision"] = settings.precision
    return key(readable, identity)


def key(readable: str, identity: dict[str, Any]) -> str:
    """`<readable>-<10 hexadecimal digits>`; equal identities give equal keys.

    Keys name folders: some file systems take no more than 130 characters.
    """
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return f"{readable[:110]}-{hashlib.sha256(canonical.encode()).hexdigest()[:10]}"


@cache
def version(package: str) -> str:
    """The installed version of a package. Cached: it is read for every cell, and takes 3 ms."""
    return metadata.version(package)


def _minor(full: str) -> str:
    return ".".join(full.split("+")[0].split(".")[:2])
