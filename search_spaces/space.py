"""A space: which grid is run, and with which settings. One YAML file, checked before anything runs.

    load("embedded")                                the space of that name in this package
    load("my/space.yaml", only=[...], sets=[...])   a file, changed from the command line

What a name on an axis means stands in the catalog (catalog.py), never here.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from search_spaces.catalog import AXES, PACKAGED, Catalog, Protocol
from search_spaces.errors import BadInput, nearest
from search_spaces.yaml_file import fields_at, read_mapping, validate

HERE = Path(__file__).parent


class Settings(BaseModel):
    """Base of all settings: an unknown name is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Names become parts of paths in the catalog and the store: no slash, nothing that leads elsewhere.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,40}$")]


class Axes(Settings):
    """The grid: every combination of these names, times the seeds."""

    dataset: list[Name] = Field(min_length=1)
    model: list[Name] = Field(min_length=1)
    head: list[Name] = Field(min_length=1)
    training: list[Name] = Field(["standard"], min_length=1)
    attack: list[Name] = Field(min_length=1)


class FitSettings(Settings):
    """How a model is fine-tuned. Defaults are the paper's (AdamW)."""

    train_examples: int | None = Field(None, ge=1)
    max_length: int = Field(512, ge=8, description="in tokens")
    learning_rate: float = Field(1e-5, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    batch_size: int = Field(8, ge=1)
    max_epochs: int = Field(20, ge=1)
    group_by_length: bool = Field(
        False, description="batches of texts of like length: less padding, in another order"
    )
    evaluate_every: int = Field(8000, ge=1, description="in training examples seen, for every head")
    patience: int = Field(10, ge=1, description="in evaluations without a better accuracy")


class AttackSettings(Settings):
    """Which examples are attacked, by which protocol, with which resources."""

    examples: int = Field(1000, ge=1, description="a stratified sample of the test set")
    protocol: Protocol = "mvp"
    resources: str = "textattack"
    precision: float | None = Field(
        None,
        gt=0,
        lt=0.5,
        description="stop where the 95 % interval of accuracy under attack is +- this, a share",
    )
    seconds_per_example: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="an example whose attack takes longer counts as failed",
    )


class PhaseResources(Settings):
    """What one trial holds while in a phase. CPUs are also the number of threads torch may use."""

    cpus: int = Field(1, ge=1)
    gpus: float = Field(0, ge=0)


class Resources(Settings):
    """Resources by phase: a fit wants a GPU, an attack wants CPUs and a slice of a GPU."""

    fit: PhaseResources = PhaseResources()
    attack: PhaseResources = PhaseResources()


class Space(Settings):
    """A whole space, as its YAML file says."""

    name: Name
    about: str = ""
    assets: str = "hub"
    axes: Axes
    seeds: list[int] = Field([0], min_length=1)
    fit: FitSettings = FitSettings()
    attack: AttackSettings = AttackSettings()
    resources: Resources = Resources()
    evaluate_also: dict[Name, list[Name]] = Field(
        {}, description="data set: others with the same labels to evaluate its fits on, clean"
    )
    _catalog: Catalog = PrivateAttr(default_factory=Catalog)

    @property
    def catalog(self) -> Catalog:
        """Where the names on the axes are looked up."""
        return self._catalog


def names() -> list[str]:
    """The spaces that ship with this package."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def load(
    space: str,
    only: Iterable[str] = (),
    sets: Iterable[str] = (),
    seeds: list[int] | None = None,
) -> Space:
    """Load a space by name or file, changed as the command line asks.

    only: `axis=value[,value]`, keeps these values of an axis. sets: `path=value`, where path is
    dotted (`fit.learning_rate`) and value is YAML. Raises BadInput for anything unknown.
    """
    path = _find(space)
    content = read_mapping(path)
    for assignment in sets:
        _set(content, assignment)
    if seeds is not None:
        content["seeds"] = seeds
    loaded = validate(Space, content, str(path))
    loaded._catalog = Catalog((path.parent / "catalog", PACKAGED))
    for axis in AXES:
        for value in getattr(loaded.axes, axis):
            loaded.catalog.path(axis, value)
    _check_evaluate_also(loaded)
    return _narrow(loaded, only)


def _check_evaluate_also(space: Space) -> None:
    for name, others in space.evaluate_also.items():
        labels = space.catalog.dataset(name).labels
        for other in others:
            if len(space.catalog.dataset(other).labels) != len(labels):
                raise BadInput(
                    f"evaluate_also: {other} has other labels than {name} "
                    f"({', '.join(space.catalog.dataset(other).labels)}; {', '.join(labels)})"
                )


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` or `0-2` as a list of integers. Raises BadInput for anything else."""
    try:
        seeds: list[int] = []
        for part in text.split(","):
            first, _, last = part.partition("-")
            seeds += range(int(first), int(last or first) + 1)
        if seeds:
            return list(dict.fromkeys(seeds))
    except ValueError:
        pass
    raise BadInput(f"--seeds {text}: write seeds as 0,1,2 or 0-2")


def _find(space: str) -> Path:
    if space in names():
        return HERE / f"{space}.yaml"
    path = Path(space)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path.resolve()
        raise BadInput(f"no space file at {space}")
    raise BadInput(f"unknown space {space!r}; {nearest(space, names())}, or give a .yaml file")


def _set(content: dict[str, Any], assignment: str) -> None:
    dotted, equals, text = assignment.partition("=")
    path = tuple(dotted.split("."))
    if not equals:
        raise BadInput(f"--set {assignment}: write it as path=value, e.g. fit.learning_rate=1e-4")
    valid = fields_at(Space, path[:-1])
    if path[-1] not in valid:
        raise BadInput(f"--set {dotted}: unknown setting; {_nearest_path(path)}")
    try:
        value = _number(text) if _number(text) is not None else yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadInput(f"--set {assignment}: the value is not valid YAML") from None
    for name in path[:-1]:
        inner = content.setdefault(name, {})
        if not isinstance(inner, dict):
            raise BadInput(f"--set {dotted}: {name} is not a mapping in the space file")
        content = inner
    content[path[-1]] = value


def _number(text: str) -> float | None:
    # YAML 1.1 reads 1e-4 as a string; whoever types a learning rate means a number.
    try:
        return float(text) if "e" in text.lower() else None
    except ValueError:
        return None


def _nearest_path(path: tuple[str, ...]) -> str:
    paths = []
    for name in Space.model_fields:
        inner = fields_at(Space, (name,))
        paths += [f"{name}.{leaf}" for leaf in inner] if inner else [name]
    return nearest(".".join(path), paths)


def _narrow(space: Space, only: Iterable[str]) -> Space:
    axes = space.axes.model_dump()
    for choice in only:
        axis, equals, values = choice.partition("=")
        if not equals or not values:
            raise BadInput(f"--only {choice}: write it as axis=value[,value], e.g. head=mvp")
        if axis not in axes:
            raise BadInput(f"--only {choice}: unknown axis {axis!r}; {nearest(axis, axes)}")
        wanted = values.split(",")
        for value in wanted:
            if value not in axes[axis]:
                raise BadInput(
                    f"--only {choice}: this space has no {axis} {value!r}; "
                    f"{nearest(value, axes[axis])}"
                )
        axes[axis] = wanted
    narrowed = space.model_copy(update={"axes": Axes.model_validate(axes)})
    narrowed._catalog = space.catalog
    return narrowed
