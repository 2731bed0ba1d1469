"""One cell of the grid, fully resolved: a trial's input, and what its result depends on.

The plan makes these (orchestrator/plan), a trial runs them (trainables/cell.py), and the store
keeps them as JSON beside the results.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict
from typing_extensions import TypedDict

from search_spaces.catalog import Dataset, Head, LanguageModel, Prompts, Training
from search_spaces.space import FitSettings, Resources, Sample, Scores


class Axes(TypedDict):
    """A cell's place in the grid."""

    dataset: str
    model: str
    head: str
    training: str
    attack: str
    seed: int


Axis = Literal["dataset", "model", "head", "training", "attack", "seed"]
ALL_AXES: tuple[Axis, ...] = get_args(Axis)


def _as_earlier_versions(stored: Any) -> Any:
    """A data set of a store, whose texts were all lower-cased before entries said so."""
    return {"lowercase": True, **stored} if isinstance(stored, dict) else stored


StoredDataset = Annotated[Dataset, BeforeValidator(_as_earlier_versions)]


def _fitted_by_earlier_versions(stored: Any) -> Any:
    """Settings of a fit of a store, from before there were those of the Trainer."""
    then = {"schedule": "constant", "warmup": 0.0, "max_grad_norm": None}
    then["decay_norms_and_biases"] = True
    return {**then, **stored} if isinstance(stored, dict) else stored


StoredFitSettings = Annotated[FitSettings, BeforeValidator(_fitted_by_earlier_versions)]


class OtherDataset(BaseModel):
    """A data set that a fit is evaluated on, clean, though it was not trained on it."""

    model_config = ConfigDict(frozen=True)
    name: str
    data: StoredDataset
    digest: str

    @property
    def stored_as(self) -> str:
        """The name of an evaluation in the store; a change of the other data set changes it."""
        rows = "-".join(value.replace(" ", "_") for value in self.data.rows_identity().values())
        return "-".join(filter(None, [self.name, self.digest[:10], rows]))


class InnerAttack(BaseModel):
    """The attack that a training makes rows with: its name in the catalog, and as in a cell.

    Searches follow the default kind of score, and take the time they take: a fit does not depend
    on how attacks on it are to be scored or limited. at_once: changes no result.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    kind: str
    settings: dict[str, Any]
    resources: str
    query_budget: int | str | None = None
    at_once: int = 1


class Fit(BaseModel):
    """Everything of a cell but the attack: the fine-tuned model that attacks share.

    `dataset_digest` and `model_digest` are SHA-256 digests of the files at planning time;
    a trial that finds other files refuses to run. `prompts`: what this head uses with this model.
    `attack`: what its training attacks its rows with, if it does. `identity`: everything that the
    key is a hash of.
    """

    model_config = ConfigDict(frozen=True)
    key: str
    dataset: str
    model: str
    head: str
    training: str
    seed: int
    data: StoredDataset
    dataset_digest: str
    language_model: LanguageModel
    model_digest: str
    head_entry: Head
    prompts: Prompts | None
    training_entry: Training
    settings: StoredFitSettings
    identity: dict[str, Any]
    attack: InnerAttack | None = None
    evaluate_also: list[OtherDataset] = []


class Cell(BaseModel):
    """One cell: a fit and an attack on it.

    `log` names the attack log. It is the same for every number of examples, so asking for
    more of them attacks only the new ones. `identity`: everything that the log's name is a hash of.
    `precision`: see trainables/precision.py. `seconds_per_example`, `at_once`, `attack_dtype`,
    `scores`, `query_budget` and `sample`: see AttackSettings; cells of earlier versions do not say
    that they have the balanced sample and followed TextAttack's scores.
    """

    model_config = ConfigDict(frozen=True)
    key: str
    log: str
    fit: Fit
    attack: str
    attack_kind: str
    attack_settings: dict[str, Any]
    attack_resources: str
    examples: int
    sample: Sample = "balanced"
    precision: float | None = None
    seconds_per_example: float | None = None
    at_once: int = 1
    attack_dtype: str = "fp32"
    scores: Scores = "textattack"
    query_budget: int | str | None = None
    resources: Resources
    identity: dict[str, Any]

    def axes(self) -> Axes:
        """The cell's place in the grid, axis by axis."""
        fit = self.fit
        return {
            "dataset": fit.dataset,
            "model": fit.model,
            "head": fit.head,
            "training": fit.training,
            "attack": self.attack,
            "seed": fit.seed,
        }
