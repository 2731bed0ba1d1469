"""What is logged to MLflow of a sweep and of each cell: names, formats, and how to read them back.

A cell's run has its axes and settings as params, its figures and its fit's curve as metrics, its
data sets as inputs, and two artifacts: `examples.json`, the attacked examples as a table that
MLflow shows, and `cell.json`, all else that the store keeps of it. From these two a report can be
made without the store. Contacts no server: tracker.py does.
"""

import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pyarrow.parquet as pq

from orchestrator.follow.time_spent import Times
from orchestrator.plan.plan import Plan
from orchestrator.plan.scores import distinct_scores
from search_spaces.catalog import SPLIT, Dataset
from search_spaces.cell import Cell
from search_spaces.errors import BadInput
from search_spaces.yaml_file import dump
from trainables import ran_on
from trainables.assets import Assets
from trainables.files import Files
from trainables.records import (
    Environment,
    Evaluation,
    ExampleRecord,
    FitMeasured,
    FitRecord,
    Result,
)
from trainables.store import Store

FORMAT = "2"  # raised when what a run holds changes: runs of an older format are logged again
EXAMPLES, CELL, PLAN = "examples.json", "cell.json", "plan.json"
OLDER = ("examples.jsonl", "comparison.md")  # files that only runs of older formats have
RUN_NAME, SOURCE = "sweep", "orchestrator.sweep"
RUNNING = "Running."
HOW_TO_READ = [
    "A run is a cell of the grid; the run *sweep* has the plan, the environment and the report.",
    "MLflow averages groups over the runs it has loaded, 100 at first; these are over all:",
]
LONGEST_NOTE = 8000  # characters of a run's tag

OF_THE_STORE = ("log", "weights", "digest")  # fields of a record by which the store checks it
# The most read columns first.
COLUMNS = (
    "id", "status", "original_text", "perturbed_text", "queries", "words_changed", "words", "label",
    "original_output", "perturbed_output",
)  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """What the sweep's run shows: a description in Markdown, and files by name.

    axes: the names on the space's axes, of which the views are made (views.py). times: where its
    time went, once that is known. metrics: figures over all cells, by name.
    """

    note: str
    files: Mapping[str, bytes]
    axes: Mapping[str, Sequence[str]]
    times: Times | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def short(note: str, longest: int = LONGEST_NOTE) -> str:
    """A description, cut at a line where MLflow's limit is."""
    return note if len(note) <= longest else note[:longest].rpartition("\n")[0]


def sweep_files(plan: Plan, store: Store) -> dict[str, bytes]:
    """plan.json, space.yaml as resolved, and environment.json if a sweep has written it."""
    space = plan.space.model_dump(mode="json")
    files: dict[str, Any] = {
        PLAN: json.dumps(plan.to_json(), indent=1),
        "space.yaml": dump(space),
    }
    environment = store.read_environment(plan.space.name)
    if environment is not None:
        files["environment.json"] = json.dumps(environment, indent=1)
    return {name: text.encode() for name, text in files.items()}


def sweep_tags(environment: Environment | None) -> dict[str, str]:
    """Of the sweep's own run: the version it ran with, and the commit by MLflow's own names.

    Each is left out where it is not known.
    """
    tags = {**_source_tags(), "kind": "sweep", "log_format": FORMAT}
    known: Environment = environment or {}
    version = known.get("versions", {}).get("robustness-sweep")
    if version is not None:
        tags["version"] = version
    git = known.get("git")
    if git is not None:
        tags["mlflow.source.git.commit"] = git["commit"]
        tags["mlflow.source.git.dirty"] = str(git["dirty"]).lower()
    return tags


def run_name(cell: Cell) -> str:
    """The cell's axes, those that are compared first: MLflow cuts long names off at the end."""
    fit = cell.fit
    head = fit.head if fit.training == "standard" else f"{fit.head} + {fit.training}"
    return f"{head} · {cell.attack} · {fit.dataset} · {fit.model} · s{fit.seed}"


def tags(cell: Cell) -> dict[str, str]:
    return {
        **_source_tags(),
        "kind": "cell",
        "log_format": FORMAT,
        "cell_key": cell.key,
        "fit_key": cell.fit.key,
        "attack_resources": cell.attack_resources,
        "mlflow.loggedArtifacts": json.dumps([{"path": EXAMPLES, "type": "table"}]),
    }


def places(result: Result, fit: FitRecord) -> dict[str, str]:
    """Tags of where a cell was made: not params, which never change, while a cell can be made
    again. Each is left out where it is not known.
    """
    lines = result.get("ran_on", [])
    made = {
        "attack_ran_on": "; ".join(lines),
        "attack_device": "; ".join(sorted({ran_on.device_of(line) for line in lines})),
    }
    if "ran_on" in fit:
        made |= {"fit_ran_on": ran_on.line_of(fit), "fit_device": fit["ran_on"]["device"]}
    if (said := fit.get("deterministic")) is not None:
        made["fit_deterministic"] = said if isinstance(said, str) else str(said).lower()
    return {name: text[:LONGEST_NOTE] for name, text in made.items() if text}


def params(cell: Cell) -> dict[str, Any]:
    settings = {f"fit.{k}": v for k, v in cell.fit.settings.identity().items()}
    settings |= {f"attack.{k}": v for k, v in cell.attack_settings.items()}
    drawn: dict[str, Any] = {"attack.examples": cell.examples, "attack.sample": cell.sample}
    drawn["attack.scores"] = distinct_scores(cell.scores, len(cell.fit.data.labels))
    if cell.query_budget is not None:
        drawn["attack.query_budget"] = cell.query_budget
    digest = {"model_digest": cell.fit.model_digest[:16]}
    return {**cell.axes(), **drawn, **settings, **digest}


def metrics(
    result: Result, fit: FitMeasured, evaluations: Mapping[str, Evaluation]
) -> dict[str, float]:
    """The figures of a cell and of the fit it attacks; those that are None are left out.

    The first is what MLflow's page of a comparison plots when it is opened.
    """
    single = {
        "accuracy_under_attack": result["metrics"]["accuracy_under_attack"],
        **result["metrics"],
        **{f"accuracy_on_{r['dataset']}": r["accuracy"] for r in evaluations.values()},
        "validation_accuracy": fit["validation_accuracy"],
        "test_accuracy": fit["test_accuracy"],
        "fit_seconds": fit["seconds"],
    }
    return {name: float(value) for name, value in single.items() if value is not None}


def curve(fit: FitMeasured) -> list[tuple[str, float, int]]:
    """The fit's curve as metric, value and step, in training examples seen."""
    return [
        (f"curve/{name}", value, int(point["examples_seen"]))
        for point in fit["curve"]
        for name, value in (
            ("train_loss", point["train_loss"]),
            ("validation_accuracy", point["validation_accuracy"]),
        )
    ]


def inputs(cell: Cell, assets: Assets) -> list[Any]:
    """The data sets of a cell as MLflow's inputs: trained on, attacked, and evaluated on."""
    fit = cell.fit
    own = [
        _input(assets, fit.dataset, fit.data, fit.dataset_digest, "train", "training"),
        _input(assets, fit.dataset, fit.data, fit.dataset_digest, "test", "attack"),
    ]
    return own + [
        _input(assets, other.name, other.data, other.digest, "test", "evaluation")
        for other in fit.evaluate_also
    ]


def table(records: Sequence[ExampleRecord]) -> str:
    """The examples as MLflow's table (JSON, split), one per row; what a record lacks is null."""
    present = dict.fromkeys(name for record in records for name in record)
    columns = [name for name in COLUMNS if name in present]
    columns += [name for name in present if name not in (*COLUMNS, *OF_THE_STORE)]
    rows = [[record.get(name) for name in columns] for record in records]
    return json.dumps({"columns": columns, "data": rows}, ensure_ascii=False)


def records_of(table: str) -> list[ExampleRecord]:
    """The records that a table was made of, without fields that were None."""
    split = json.loads(table)
    rows = (zip(split["columns"], row, strict=True) for row in split["data"])
    records = [{name: value for name, value in row if value is not None} for row in rows]
    return cast(list[ExampleRecord], records)


def cell_record(
    cell: Cell, result: Result, fit: FitRecord, evaluations: dict[str, Evaluation]
) -> str:
    """All but the examples, as JSON: `cell`, `result`, `fit` and `evaluations` of the store.

    The fit's `spec` is left out: it is the cell's `fit`.
    """
    record = {
        "cell": cell.model_dump(mode="json"),
        "result": result,
        "fit": {name: value for name, value in fit.items() if name != "spec"},
        "evaluations": evaluations,
    }
    return json.dumps(record, ensure_ascii=False, indent=1)


def _source_tags() -> dict[str, str]:
    tags = {"mlflow.source.name": SOURCE, "mlflow.source.type": "LOCAL"}
    try:
        return {**tags, "mlflow.user": getpass.getuser()}
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return tags


def _input(assets: Assets, name: str, data: Dataset, digest: str, role: str, context: str) -> Any:
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    match = SPLIT.match(getattr(data.splits, role))
    assert match is not None
    split = match["split"]
    kind, source = _source(assets, name, data, split)
    columns = [{"type": "string", "name": column, "required": True} for column in data.columns]
    columns.append({"type": "long", "name": data.label, "required": True})
    profile = {"split": split, "labels": data.labels, **_rows(assets, name, data, split)}
    dataset = MlflowDataset(
        name=f"{name}-{role}",
        digest=digest[:16],
        source_type=kind,
        source=json.dumps(source),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _source(
    assets: Assets, name: str, data: Dataset, split: str
) -> tuple[str, dict[str, str | None]]:
    """MLflow's type and description of where the files are; their digest says what they are."""
    if assets.source == "hub" and data.hub is not None:
        hub = data.hub
        return "hugging_face", {
            "path": hub.repository,
            "data_dir": None if hub.folder == "." else hub.folder,
            "revision": hub.revision,
            "split": split,
        }
    file = f"datasets/{name}/{split}.parquet"
    if assets.url is not None:
        return "local", {"uri": Files(assets.url).place(file)}
    folder = "trainables/embedded" if assets.source == "embedded" else assets.location
    return "local", {"uri": f"{folder}/{file}"}


def _rows(assets: Assets, name: str, data: Dataset, split: str) -> dict[str, int]:
    """How many rows a split has, under MLflow's name; nothing if its files are not here."""
    try:
        files = replace(assets, local_only=True).dataset_files(name, data)[split]
        return {"num_rows": sum(pq.read_metadata(file).num_rows for file in files)}
    except (BadInput, OSError):
        return {}
