"""What the JSON files of a store must have to be read: what is used of them, and of which type.

More may be there: a file of a later version is read as far as it has what is used here.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Score = Annotated[float, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
Text = Annotated[str, Field(strict=True)]

ATTACK_METRICS = (
    "clean_accuracy", "accuracy_under_attack", "attack_success_rate", "avg_queries",
    "avg_perturbed_words_pct", "num_examples", "num_skipped", "num_errors", "attack_seconds",
)  # fmt: skip


class Stored(BaseModel):
    model_config = ConfigDict(extra="allow")


class CurvePoint(Stored):
    examples_seen: Number
    train_loss: Number
    validation_accuracy: Share


class FitAsked(Stored):
    dataset: Text
    model: Text
    head: Text


class FitRecord(Stored):
    """fits/<key>/fit.json"""

    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    validation_accuracy: Share
    test_accuracy: Share
    seconds: Number
    curve: list[CurvePoint]
    spec: FitAsked


class Evaluation(Stored):
    """fits/<key>/on-<data set>-<digest>.json"""

    dataset: Text
    accuracy: Share
    examples: Count


class Replayed(Stored):
    """An entry of fits/<key>/transfer.json"""

    replayed: list[Count]
    right_before: list[Count]
    fooled: list[Count]


class Attacked(Stored):
    """An attacked example."""

    id: Count
    status: Literal["successful", "failed", "skipped"]
    original_text: Text
    perturbed_text: Text
    queries: Count
    words: Count
    words_changed: Count
    seconds: Number
    label: Count | None = None
    original_output: Count | None = None
    perturbed_output: Count | None = None
    original_scores: list[Score] = []
    perturbed_scores: list[Score] = []
    similarity: Score | None = None
    words_unread: Count = 0
    timeout: bool = False


class FailedExample(Stored):
    """An example whose attack raised an error."""

    id: Count
    status: Literal["error"]
    error: Text
    seconds: Number


class Result(Stored):
    """cells/<key>/result.json"""

    key: Text
    fit: Text
    dataset: Text
    model: Text
    head: Text
    training: Text
    attack: Text
    seed: Count
    metrics: dict[str, Number | None]
    sample: list[Count]
    interval: tuple[Number, Number] | None = None


class Commit(Stored):
    commit: Text
    dirty: bool


class Environment(Stored):
    """environments/<space>.json"""

    git: Commit | None = None


class Driver(Stored):
    """drivers/<id>.json"""

    machine: Text
    pid: Count
    count: Count
    state: Literal["wanting", "holding"]


def check(kind: type[BaseModel], record: Any) -> None:
    """Raises ValueError, in a few words, where a record has not what is used of its kind."""
    try:
        kind.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place or 'the file'}: {first['msg']}") from None


def check_attacked(record: Any) -> None:
    """Raises ValueError where a record is not one of an attacked example, or not as it was written.

    One without a digest is older than that.
    """
    ended_badly = isinstance(record, dict) and record.get("status") == "error"
    check(FailedExample if ended_badly else Attacked, record)
    if record.get("digest", digest(record)) != digest(record):
        raise ValueError(f"example {record['id']} was changed since it was written")


def digest(record: dict[str, Any]) -> str:
    """Of an attacked example's record, but for its times: 16 hexadecimal digits."""
    kept = {name: v for name, v in record.items() if name != "digest" and "seconds" not in name}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def check_result(record: Any) -> None:
    """Raises ValueError where a record is not a cell's result."""
    check(Result, record)
    if lacking := [name for name in ATTACK_METRICS if name not in record["metrics"]]:
        raise ValueError(f"metrics lacks {', '.join(lacking)}")


def weights_name(fit: Mapping[str, Any]) -> str:
    """What attacked examples say of the weights they were found on, given the fit's record."""
    return str(fit["weights_sha256"][:16])


def is_of_weights(record: Mapping[str, Any], fit: Mapping[str, Any]) -> bool:
    """Whether an attacked example, or a result, is of the weights that the fit's record names.

    One that does not say so is older than that; it is, unless the weights were replaced since.
    """
    if "weights" not in record:
        return not fit.get("replaces_others", False)
    return bool(record["weights"] == weights_name(fit))
