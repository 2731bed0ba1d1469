"""The records that are sent and stored, as types: for mypy, and for what is read back from a store.

A file of a store must have the fields declared here, with these types. Fields with SkipValidation,
and fields that are not declared, are not checked, so that files of later versions can be read.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, SkipValidation, TypeAdapter, ValidationError
from typing_extensions import NotRequired, Required, TypedDict

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Score = Annotated[float, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
Text = Annotated[str, Field(strict=True)]
Interval = Annotated[list[Number], Field(min_length=2, max_length=2)]

ATTACK_METRICS = (
    "clean_accuracy", "accuracy_under_attack", "attack_success_rate", "avg_queries",
    "avg_perturbed_words_pct", "num_examples", "num_skipped", "num_errors", "attack_seconds",
)  # fmt: skip


Metrics: TypeAlias = dict[str, Number | None]  # by name (metrics.py)


class Spent(TypedDict, total=False):
    """Seconds of attacks: in total, and of these in the attacked model and in constraints."""

    attack: float
    victim: float
    constraints: float


class TrialReport(TypedDict, total=False):
    """What a trial reports while it runs (cell.py), and what the driver adds."""

    phase: Required[
        Literal[
            "begun", "fit", "attack", "done", "failed", "part_done", "gpu_lost", "no_gpu", "died"
        ]
    ]
    node: str  # begun: on which node of the cluster
    slots: int  # begun, by the driver: how many attacks the cluster can run at once
    holds: float  # begun, by the driver: how many of these slots the trial occupies
    finished: int  # fit: training examples; attack, done: attacked ones
    total: int
    validation_accuracy: float  # fit: the latest
    fit_done: bool  # the first after the fit is stored
    fit_seconds: float  # with fit_done, where it was trained here
    found: int  # of `finished`: those before this trial
    attacked: int  # part_done: examples that were attacked here
    spent: Spent  # so far
    metrics: Metrics  # done
    error: str  # failed, part_done, gpu_lost, no_gpu: the last line of the traceback
    part: tuple[int, int]  # by the driver: which part of a cell's attack, of how many
    last: bool  # by the driver: the trial ends with this report


class CurvePoint(TypedDict):
    examples_seen: Number
    train_loss: Number
    validation_accuracy: Share


class FitAsked(TypedDict):
    """The fields of a stored `Fit` (search_spaces/cell.py) that are read."""

    dataset: Text
    model: Text
    head: Text
    training: NotRequired[SkipValidation[str]]
    settings: NotRequired[SkipValidation[dict[str, Any]]]
    identity: NotRequired[SkipValidation[dict[str, Any]]]


class RanOn(TypedDict):
    """Where something was computed (ran_on.py).

    device: `cpu`, or the GPU's name. cpu: the processor's model. threads: of torch, on a CPU.
    torch: its version with its build, as 2.13.0+cu130. dtype: of products. tf32: whether
    products of matrices may be computed in TF32. driver: NVIDIA's, of a GPU.
    """

    device: Text
    cpu: NotRequired[SkipValidation[str]]
    threads: NotRequired[SkipValidation[int | None]]
    torch: Text
    dtype: NotRequired[SkipValidation[str]]
    tf32: NotRequired[SkipValidation[bool]]
    driver: NotRequired[SkipValidation[str | None]]


class Calibration(TypedDict):
    """How a fit's scores are scaled (calibration.py)."""

    temperature: Number
    separated: bool
    error: Share
    confidence: Share
    saturated: Share


class FitMeasured(TypedDict):
    """The result of a fit, without its weights. ran_on: older versions did not record it.

    deterministic: whether all algorithms of its training were, which makes it repeatable on one
    kind of device; the name of an operation for which there is none; False if not asked for.
    begun_on: other devices that it was trained on before it was interrupted (ran_on.py, `short`).
    added_rows: how many its training added, round by round; rounds_in_weights: how many of these
    rounds were before the weights that were kept; attack_errors: attacked rows that ended in an
    error, and gave none. Without rounds they are not there.
    """

    key: NotRequired[SkipValidation[str]]
    validation_accuracy: Share
    test_accuracy: Share
    train_examples: NotRequired[SkipValidation[int]]
    examples_seen: NotRequired[SkipValidation[int]]
    added_rows: NotRequired[list[int]]
    rounds_in_weights: NotRequired[int]
    attack_errors: NotRequired[int]
    curve: list[CurvePoint]
    examples_at_once: NotRequired[SkipValidation[int]]
    deterministic: NotRequired[SkipValidation[bool | str]]
    seconds: Number
    ran_on: NotRequired[RanOn]
    begun_on: NotRequired[list[Text]]
    calibration: NotRequired[Calibration]


class FitMade(FitMeasured):
    """The same with its request."""

    spec: FitAsked


class FitRecord(FitMade):
    """fits/<key>/fit.json. replaces_others: earlier weights that were attacked are gone."""

    replaces_others: NotRequired[SkipValidation[bool]]
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Evaluation(TypedDict):
    """fits/<key>/on-<data set>-<digest>.json"""

    fit: NotRequired[SkipValidation[str]]
    weights: NotRequired[SkipValidation[str]]
    dataset: Text
    accuracy: Share
    examples: Count


class Replayed(TypedDict):
    """An entry of fits/<key>/transfer.json: ids of examples of one attack log.

    right_before: of these the fit is right on the original text; fooled: and wrong on the
    perturbed one. weights: the fit's. found_on: those of the fit that the log attacked.
    """

    fit: NotRequired[SkipValidation[str]]
    weights: NotRequired[SkipValidation[str]]
    found_on: NotRequired[SkipValidation[str | None]]
    replayed: list[Count]
    right_before: list[Count]
    fooled: list[Count]


class OfAnExample(TypedDict):
    """What every record of an attacked example has. ran_on: a line (ran_on.py, `short`)."""

    id: Count
    seconds: Number
    victim_seconds: NotRequired[SkipValidation[float]]
    constraint_seconds: NotRequired[SkipValidation[float]]
    log: NotRequired[SkipValidation[str]]
    weights: NotRequired[SkipValidation[str]]  # first digits of their digest
    ran_on: NotRequired[Text]
    digest: NotRequired[SkipValidation[str]]


class Quality(TypedDict, total=False):
    """What is measured of a successful example's attacked text (attacks/quality.py).

    similarity: cosine of the embeddings of original and perturbed text. edit_distance: single
    characters to insert, delete or replace. bits_per_character: of original and perturbed text.
    """

    similarity: Score | None
    edit_distance: Count
    bits_per_character: Annotated[list[Number], Field(min_length=2, max_length=2)] | None


class Attacked(OfAnExample, Quality):
    """An attacked example: texts, scores (probabilities by label), labels, counts.

    status: `failed` means that the attack failed and the model is robust; `skipped` that the model
    was wrong before. words_unread: words beyond what the model reads, if there are any.
    """

    status: Literal["successful", "failed", "skipped"]
    label: NotRequired[Count | None]
    original_text: Text
    perturbed_text: Text
    original_output: NotRequired[Count | None]
    perturbed_output: NotRequired[Count | None]
    original_scores: NotRequired[list[Score]]
    perturbed_scores: NotRequired[list[Score]]
    queries: Count
    words: Count
    words_changed: Count
    words_unread: NotRequired[Count]
    timeout: NotRequired[bool]
    budget: NotRequired[bool]  # failed with its query budget spent


class Errored(OfAnExample):
    """An example whose attack raised an error."""

    status: Literal["error"]
    label: NotRequired[SkipValidation[int]]
    original_text: NotRequired[SkipValidation[str]]
    error: Text
    traceback: NotRequired[SkipValidation[str]]
    similarity: NotRequired[SkipValidation[None]]


ExampleRecord: TypeAlias = Attacked | Errored


class Result(TypedDict):
    """cells/<key>/result.json

    sample: ids of the examples that the metrics are over, in order. interval: 95 %, of the accuracy
    under attack, if the cell stopped by its precision. ran_on: the different ones of its examples,
    sorted; without those of older versions, which did not record it.
    """

    key: Text
    dataset: Text
    model: Text
    head: Text
    training: Text
    attack: Text
    seed: Count
    fit: Text
    metrics: Metrics
    sample: list[Count]
    records_sha256: NotRequired[SkipValidation[str]]
    weights: NotRequired[SkipValidation[str]]
    interval: NotRequired[Interval | None]
    ran_on: NotRequired[list[Text]]


class Tried(TypedDict, total=False):
    """What a rehearsal tried on a worker (rehearsal.py).

    seconds: in all. error: why it does not work; gpu_lost: because the GPU cannot be used.
    training_kind, training_settings, step_texts, step_tokens: as in `Rehearsed`.
    not_deterministic: an operation without such an algorithm. memory: bytes of the GPU that were
    used, of memory_there. own_attack: of a fit's training, by its name. example_seconds, words,
    queries, victim_seconds: of one example, which ended by a timeout or not.
    """

    what: Required[str]  # store, fit or attack
    seconds: Required[float]
    error: str
    gpu_lost: bool
    dataset: str
    model: str
    head: str
    attack: str
    training_kind: str
    training_settings: dict[str, Any]
    device: str
    step_texts: int
    step_tokens: float
    step_seconds: float
    not_deterministic: str
    memory: int
    memory_there: int
    own_attack: "dict[str, RehearsedAttack]"
    example_seconds: float
    words: int
    queries: int
    victim_seconds: float
    timeout: bool


class RehearsedAttack(TypedDict):
    """seconds: of an example. words: of its texts. queries: it had; older versions did not record
    them. All in the mean."""

    seconds: Number
    words: Number
    queries: NotRequired[Number]


class Rehearsed(TypedDict):
    """What a rehearsal measured of one head of a model, on one device.

    device: `cpu`, or the GPU's name. training_kind, training_settings: by which steps were made;
    older versions did not record them. step_texts: texts of a training step (its batch), each of
    step_tokens tokens with padding, without templates. attacks: by the attack's name.
    """

    dataset: Text
    model: Text
    head: Text
    device: Text
    step_texts: Count
    step_tokens: Number
    step_seconds: Number
    training_kind: NotRequired[Text]
    training_settings: NotRequired[dict[str, Any]]
    attacks: NotRequired[dict[Text, RehearsedAttack]]


class Rehearsal(TypedDict):
    """rehearsals/<space>.json: figures of the last one."""

    figures: list[Rehearsed]


class Commit(TypedDict):
    commit: Text
    dirty: bool


class Hardware(TypedDict):
    """cores: as the system counts them. memory: in bytes. gpus: by their names."""

    cpu: str
    cores: int | None
    memory: int | None
    gpus: list[str]


class Node(TypedDict):
    """A machine of a cluster, as Ray counts it. accelerator: the GPUs' type, as A10G, if any."""

    address: str
    cpus: float
    gpus: float
    accelerator: str


class Environment(TypedDict):
    """environments/<space>.json: what a sweep ran with. git: None outside a checkout.

    All but nodes is of the driver's machine. nodes: of the cluster, when the sweep began.
    """

    python: NotRequired[SkipValidation[str]]
    platform: NotRequired[SkipValidation[str]]
    versions: NotRequired[dict[str, Text]]
    hardware: NotRequired[SkipValidation[Hardware]]
    nodes: NotRequired[SkipValidation[list[Node]]]
    git: NotRequired[Commit | None]


class Driver(TypedDict):
    """drivers/<id>.json: which `Process` drives a sweep, its heartbeat and its progress."""

    machine: Text
    pid: Count
    started: NotRequired[SkipValidation[int | None]]
    count: Count
    state: Literal["wanting", "holding"]
    progress: NotRequired[SkipValidation[dict[str, Any]]]


class NodeHealth(TypedDict):
    """An entry of nodes/<space>.json: how a sweep's trials ended on a node.

    done: fits and attacks that ended well. died: processes, for unknown reasons; gpu_lost: because
    their GPU could not be used. left_out: it gets no more cells. errors: how often, by last line.
    """

    node: Text
    address: Text
    done: Count
    failed: Count
    died: Count
    gpu_lost: Count
    left_out: bool
    errors: dict[Text, Count]


class Nodes(TypedDict):
    """nodes/<space>.json: of the last sweep of a space."""

    nodes: list[NodeHealth]


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def check(kind: Any, record: object) -> None:
    """Raises ValueError, with a short message, if a record does not have its kind's fields."""
    try:
        _reader(kind).validate_python(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place or 'the file'}: {first['msg']}") from None


def check_attacked(record: Any) -> None:
    """Raises ValueError if a record is not of an attacked example, or was changed since.

    A record without a digest is from an older version.
    """
    ended_badly = isinstance(record, dict) and record.get("status") == "error"
    check(Errored if ended_badly else Attacked, record)
    if record.get("digest", digest(record)) != digest(record):
        raise ValueError(f"example {record['id']} was changed since it was written")


def digest(record: Mapping[str, Any]) -> str:
    """Digest of an attacked example's record without its times and place: 16 hexadecimal digits.

    Records with equal numbers have equal digests, wherever they were made.
    """
    left_out = ("digest", "ran_on")
    kept = {n: v for n, v in record.items() if n not in left_out and "seconds" not in n}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def check_result(record: Any) -> None:
    """Raises ValueError if a record is not a cell's result."""
    check(Result, record)
    if lacking := [name for name in ATTACK_METRICS if name not in record["metrics"]]:
        raise ValueError(f"metrics lacks {', '.join(lacking)}")


def weights_name(fit: FitRecord) -> str:
    """The name by which attacked examples refer to a fit's weights."""
    return str(fit["weights_sha256"][:16])


def is_of_weights(record: ExampleRecord | Result | Evaluation | Replayed, fit: FitRecord) -> bool:
    """Whether a record was made with the weights in the fit's record.

    One that names no weights is from an older version: it was, unless they were replaced since.
    """
    if "weights" not in record:
        return not fit.get("replaces_others", False)
    return bool(record["weights"] == weights_name(fit))
