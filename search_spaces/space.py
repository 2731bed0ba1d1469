"""A space: which grid is run, and with which settings. One YAML file, checked before anything runs.

    load("embedded")                                the space of that name in this package
    load("my/space.yaml", only=[...], sets=[...])   a file, changed from the command line

What a name on an axis means is in the catalog (catalog.py), never here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import (
    Field,
    PrivateAttr,
    field_validator,
    model_serializer,
    model_validator,
)

from search_spaces.axes import (
    Axes,
    Exclusion,
    Name,
    Names,
    Seeds,
    Some,
    as_seeds,
    narrow,
)
from search_spaces.catalog import (
    AXES,
    ENDINGS,
    PACKAGED,
    Catalog,
    Dataset,
    Protocol,
    attack_settings,
    unknown_protocol,
)
from search_spaces.errors import BadInput, nearest
from search_spaces.query_budget import QueryBudget
from search_spaces.trainings import attack_of
from search_spaces.yaml_file import (
    Document,
    Place,
    Written,
    annotation_at,
    dotted,
    fields_at,
    read,
    read_value,
)

HERE = Path(__file__).parent
MOST_CELLS = 200_000


Dtype = Literal["fp32", "tf32", "bf16"]
Scores = Literal["probability", "margin", "temperature", "textattack"]
Sample = Literal["proportional", "balanced"]
Schedule = Literal["constant", "linear", "cosine", "cooldown"]


class FitSettings(Written):
    """How a model is fine-tuned, by AdamW. Defaults are the paper's code's.

    schedule, warmup, max_grad_norm and decay_norms_and_biases are what the Trainer of transformers
    has (trainables/schedule.py, trainables/optimizer.py).
    """

    train_examples: int | None = Field(None, ge=1)
    validation_examples: int | None = Field(
        4000, ge=1, description="a sample that the best weights are chosen by; null: all"
    )
    probe_examples: int | None = Field(
        50_000, ge=1, description="training examples of a linear probe, a sample; null: all"
    )
    max_length: int = Field(512, ge=8, description="in tokens")
    learning_rate: float = Field(1e-5, gt=0)
    schedule: Schedule = Field(
        "linear",
        description="of the learning rate. linear, cosine: down to 0 over all epochs; cooldown: "
        "constant, then linear to 0 over the last 30 % of the steps",
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the steps in which the rate rises from 0"
    )
    max_grad_norm: float | None = Field(
        1.0, gt=0, description="gradients of all weights together are scaled down to it; null: not"
    )
    weight_decay: float = Field(0.01, ge=0)
    decay_norms_and_biases: bool = Field(
        False, description="whether weight decay applies to layer norms and biases, too"
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="null: what the model's config says"
    )
    batch_size: int = Field(8, ge=1)
    max_epochs: int = Field(20, ge=1)
    group_by_length: bool = Field(
        False, description="batches of texts of like length: less padding, in another order"
    )
    evaluate_every: int = Field(8000, ge=1, description="in training examples seen, for every head")
    patience: int = Field(10, ge=1, description="in evaluations without a better accuracy")
    deterministic: bool = Field(
        True, description="on a GPU, use algorithms that give the same bits each time, if slower"
    )

    dtype: Dtype = Field(
        "fp32", description="that products are computed in, weights are float32; tf32: on a GPU"
    )

    def identity(self, probed: bool = True) -> dict[str, Any]:
        """The settings that a fit depends on; some only where they are not the default.

        probed: whether its head begins with a linear probe.
        """
        optional = {"deterministic": True, "dtype": "fp32"}
        left_out = {name for name, value in optional.items() if getattr(self, name) == value}
        return self.model_dump(exclude=left_out | (set() if probed else {"probe_examples"}))


class AttackSettings(Written):
    """Which examples are attacked, by which protocol, with which resources."""

    examples: int = Field(1000, ge=1, description="how many of the test set")
    sample: Sample = Field(
        "proportional",
        description="labels in it: as in the test set, or the same number of each while it lasts",
    )
    protocol: Protocol = "mvp"
    scores: Scores = Field(
        "probability", description="of the fit, that searches follow (trainables/attacks/goal.py)"
    )
    query_budget: QueryBudget | None = Field(
        None,
        description="queries an example, a number or `50 per word`; one that has spent it counts "
        "as failed. null: the protocol's, if it has one",
    )
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
    at_once: int = Field(
        32, ge=1, description="examples that a process attacks at the same time; changes no result"
    )
    dtype: Dtype = Field(
        "fp32", description="that the fit's products are computed in; as fit.dtype"
    )


class PhaseResources(Written):
    """What one trial holds while in a phase. CPUs are also the number of threads torch may use."""

    cpus: int = Field(1, ge=1)
    gpus: float = Field(0, ge=0, allow_inf_nan=False)

    @field_validator("gpus")
    @classmethod
    def _as_ray_divides_them(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(
                f"{gpus:g} GPUs: a trial holds a share of one GPU or a whole number of them; "
                f"give at most 1, or {int(gpus)} or {int(gpus) + 1}"
            )
        if 0 < gpus < 1e-4:
            raise ValueError(f"{gpus:g} of a GPU is less than Ray counts; give 0, or at least 1e-4")
        return gpus


class Resources(Written):
    """Resources by phase: a fit needs a GPU, an attack needs CPUs and a share of a GPU."""

    fit: PhaseResources = PhaseResources()
    attack: PhaseResources = PhaseResources()


class Override(Written):
    """Settings that differ from the space's for part of the grid."""

    when: Some
    fit: FitSettings = FitSettings()
    attack: AttackSettings = AttackSettings()
    resources: Resources = Resources()

    @field_validator("when", mode="before")
    @classmethod
    def _not_by_seed(cls, when: Any) -> Any:
        if isinstance(when, dict) and "seed" in when:
            raise ValueError("leave `seed` out: figures are means over seeds of the same settings")
        return when

    @model_validator(mode="after")
    def _sets_what_it_may(self) -> "Override":
        changes = self.changes()
        if not changes:
            raise ValueError("sets nothing; give fit, attack or resources")
        for name, of_one in (("sample", "one sample"), ("scores", "one kind of score")):
            if name in changes.get("attack", {}):
                raise ValueError(
                    f"leave `attack.{name}` out: a report's figures are of {of_one}; "
                    "set it for the whole space"
                )
        for name in ("protocol", "query_budget"):
            if name in changes.get("attack", {}) and (self.when.head or self.when.training):
                raise ValueError(
                    f"leave `head` and `training` out of `when`, or `attack.{name}` out of what is "
                    "set: what is compared is attacked alike"
                )
        if self.when.attack and ("fit" in changes or "fit" in changes.get("resources", {})):
            raise ValueError(
                "a fit is shared by all attacks on it: leave `attack` out of `when`, or "
                "`fit` out of what is set"
            )
        return self

    def changes(self) -> dict[str, Any]:
        """The settings that it changes, by section."""
        parts = {"fit": self.fit, "attack": self.attack, "resources": self.resources}
        set_ = {name: part.model_dump(exclude_unset=True) for name, part in parts.items()}
        return {name: part for name, part in set_.items() if _leaves(part)}

    def without(self, paths: Iterable[Place]) -> "Override | None":
        """What is left of it when these settings are taken out."""
        changes = self.changes()
        for path in paths:
            inner: dict[Any, Any] = changes
            for name in path[:-1]:
                inner = inner.get(name, {})
            inner.pop(path[-1], None)
        if not any(_leaves(part) for part in changes.values()):
            return None
        return Override.model_validate({"when": self.when.given(), **changes})

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"when": self.when.given(), **self.changes()}


class Difference(Written):
    """What a space does not do as the published code that it follows does, and why."""

    here: str
    paper_code: str
    reason: str


class PlaceSettings(NamedTuple):
    """The settings of one place of the grid."""

    fit: FitSettings
    attack: AttackSettings
    resources: Resources


class AttackInFits(NamedTuple):
    """An attack that a training makes rows with, on a data set, with the settings there."""

    training: str
    name: str
    dataset: str
    settings: AttackSettings


class Space(Written):
    """A whole space, as its YAML file says."""

    name: Name
    about: str = ""
    assets: str = "hub"
    axes: Axes
    seeds: Seeds = Field([0])
    fit: FitSettings = FitSettings()
    attack: AttackSettings = AttackSettings()
    resources: Resources = Resources()
    evaluate_also: dict[Name, Names] = Field(
        {}, description="data set: others with the same labels to evaluate its fits on, clean"
    )
    exclude: list[Exclusion] = Field([], description="combinations left out, with the reason")
    overrides: list[Override] = Field(
        [], description="settings by data set, model, head, training or attack; later ones win"
    )
    differences: dict[Name, Difference] = Field(
        {}, description="from the published code that the space follows, by a name"
    )
    _catalog: Catalog = PrivateAttr(default_factory=Catalog)

    @property
    def catalog(self) -> Catalog:
        """Where the names on the axes are looked up."""
        return self._catalog

    def settings_at(self, **place: str) -> PlaceSettings:
        """The settings of a place; without an attack in it, only those of its fit."""
        changes: dict[str, Any] = {}
        for override in self.overrides:
            if override.when.has(place):
                changes = _merge(changes, override.changes())
        base = PlaceSettings(self.fit, self.attack, self.resources)
        if not changes:
            return base
        return PlaceSettings(
            *(
                type(part).model_validate(_merge(part.model_dump(), changes.get(section, {})))
                for section, part in base._asdict().items()
            )
        )

    def all_settings(self) -> list[PlaceSettings]:
        """Every combination of settings that a cell has."""
        if not self.overrides:
            return [PlaceSettings(self.fit, self.attack, self.resources)]
        on_fits = product(self.places_of_fits(), self.axes.attack)
        places = ({**place, "attack": attack} for place, attack in on_fits)
        every = (self.settings_at(**place) for place in places if not self.excluded(place))
        return list(dict.fromkeys(every))

    def used(self, axis: str) -> list[str]:
        """The names on an axis that at least one cell has: without those excluded everywhere."""
        names: list[str] = getattr(self.axes, axis)
        if not self.exclude:
            return names
        others = [other for other in AXES if other != axis]
        values = list(product(*(getattr(self.axes, other) for other in others), self.seeds))

        def has_cell(name: str) -> bool:
            places = (dict(zip((*others, "seed"), each, strict=True)) for each in values)
            return not all(self.excluded({**place, axis: name}) for place in places)

        return list(filter(has_cell, names))

    def excluded(self, place: Mapping[str, object]) -> str:
        """Why a place, or every place with these values, is excluded; empty if it is not."""
        reasons = (each.reason for each in self.exclude if each.has(place))
        return " ".join(next(reasons, "").split())

    def excluded_everywhere(self, place: Mapping[str, object]) -> bool:
        """Whether the place of a fit, without a seed, is excluded with every attack and seed."""
        if not self.exclude:
            return False
        each = product(self.axes.attack, self.seeds)
        return all(self.excluded({**place, "attack": attack, "seed": n}) for attack, n in each)

    def places_of_fits(self) -> list[dict[str, str]]:
        """Where fits are made, as far as the space and catalog files tell."""
        catalog, axes = self.catalog, self.axes
        found = []
        for names in product(axes.dataset, axes.model, axes.head, axes.training):
            place = dict(zip(("dataset", "model", "head", "training"), names, strict=True))
            if not self.excluded_everywhere(place) and not catalog.why_no_fit(**place):
                found.append(place)
        return found

    def attacks_in_fits(self) -> list[AttackInFits]:
        """Each attack that fits make rows with, by the settings of a place without an attack."""
        attacks = {each: attack_of(self.catalog.training(each)) for each in self.axes.training}
        if not any(attacks.values()):
            return []
        found: dict[AttackInFits, None] = {}
        for place in self.places_of_fits():
            if (attack := attacks[place["training"]]) is not None:
                here = self.settings_at(**place).attack
                found[AttackInFits(place["training"], attack, place["dataset"], here)] = None
        return list(found)


def names() -> list[str]:
    """The spaces that ship with this package."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def load(
    space: str,
    only: Iterable[str] = (),
    sets: Iterable[str] = (),
    seeds: Sequence[int] | None = None,
    precision: float | None = None,
) -> Space:
    """Load a space by name or file, changed as the command line asks.

    only: `axis=value[,value]`, keeps these values of an axis. sets: `path=value`, where path is
    dotted (`fit.learning_rate`) and value is YAML; seeds and precision: the options of these
    names. What they set applies everywhere: overrides do not change it. Raises BadInput for
    anything unknown.
    """
    path = _find(space)
    document = read(path)
    written = _axes_of(document.content)
    for assignment in sets:
        _set(document, assignment)
    if seeds is not None:
        _put(document, ("seeds",), list(seeds), "--seeds")
    if precision is not None:
        _put(document, ("attack", "precision"), precision, f"--precision {precision}")
    loaded = document.validated(Space)
    _check_names(loaded, document, written)
    overrides = [override.without(document.given) for override in loaded.overrides]
    loaded = loaded.model_copy(update={"overrides": [each for each in overrides if each]})
    loaded._catalog = Catalog((path.parent / "catalog", PACKAGED))
    _check_catalog(loaded, document)
    _check_evaluate_also(loaded, document)
    narrowed = loaded.model_copy(
        update={"axes": Axes.model_validate(narrow(loaded.axes.model_dump(), only))}
    )
    narrowed._catalog = loaded.catalog
    _check_size(narrowed)
    _check_dtypes(narrowed)
    _check_attacks_of_trainings(narrowed)
    return narrowed


def _check_catalog(space: Space, document: Document) -> None:
    """Raises BadInput where a name on an axis is not in the catalog, or nothing can be fitted."""
    for axis in AXES:
        for value in getattr(space.axes, axis):
            listed = document.content["axes"].get(axis)
            place = ("axes", axis, listed.index(value) if isinstance(listed, list) else 0)
            try:
                space.catalog.path(axis, value)
            except BadInput as error:
                raise document.error(place, f": {error}") from None
            if axis == "dataset" and (why := space.catalog.dataset(value).why_no_fit()):
                raise document.error(place, f": {value}: {why}")


def _check_evaluate_also(space: Space, document: Document) -> None:
    for name, others in space.evaluate_also.items():
        for other in (name, *others):
            try:
                space.catalog.path("dataset", other)
            except BadInput as error:
                raise document.error(("evaluate_also", name), f": {error}") from None
        own = space.catalog.dataset(name)
        for other in others:
            if problem := _not_evaluated_alike(own, space.catalog.dataset(other)):
                raise document.error(("evaluate_also", name), f": {other} {problem} {name}")


def _not_evaluated_alike(own: Dataset, other: Dataset) -> str:
    """Why fits of a data set cannot be evaluated on another; empty if they can."""
    lists = f"({', '.join(other.labels)}; {', '.join(own.labels)})"
    if len(other.labels) != len(own.labels):
        return f"has different labels {lists} from"
    if other.labels != own.labels and set(other.labels) == set(own.labels):
        return f"has its labels in another order {lists} than"
    if other.lowercase != own.lowercase:
        which = "is" if other.lowercase else "is not"
        return f"{which} in lower case (`lowercase` in its catalog file), unlike"
    return ""


def _axes_of(content: dict[str, Any]) -> dict[str, Any]:
    """A file's names and seeds, even if other things in it are wrong."""
    axes = content.get("axes")
    try:
        seeds = as_seeds(content.get("seeds", [0]))
    except ValueError:
        seeds = None
    defaults = {"training": ["standard"]}
    return {**defaults, **(axes if isinstance(axes, dict) else {}), "seed": seeds}


def _check_names(space: Space, document: Document, written: dict[str, Any]) -> None:
    """Raises BadInput where exclude or overrides name something that is on no axis.

    written: the file's own axes, whose names count even if --set replaced them.
    """
    here = {**space.axes.model_dump(), "seed": space.seeds}
    chosen: list[tuple[Place, Some]] = [
        *((("exclude", number), some) for number, some in enumerate(space.exclude)),
        *((("overrides", number, "when"), o.when) for number, o in enumerate(space.overrides)),
    ]
    for path, some in chosen:
        for axis, values in some.given().items():
            own = written.get(axis)
            known = [*here[axis], *(own if isinstance(own, list) else [own])]
            for value in values:
                if value not in known:
                    hint = nearest(str(value), {str(each) for each in known if each is not None})
                    raise document.error(
                        (*path, axis), f": this space has no {axis} {value!r}; {hint}"
                    )


def _check_size(space: Space) -> None:
    counts = [len(values) for values in space.axes.model_dump().values()]
    cells = math.prod(counts) * len(space.seeds)
    if cells > MOST_CELLS:
        raise BadInput(
            f"{space.name}: {cells:,} cells, more than {MOST_CELLS:,}; give fewer seeds, or --only"
        )


def _check_dtypes(space: Space) -> None:
    for here in space.all_settings():
        for phase, settings in (("fit", here.fit), ("attack", here.attack)):
            if settings.dtype == "tf32" and not getattr(here.resources, phase).gpus:
                raise BadInput(
                    f"{space.name}: {phase}.dtype tf32 where resources.{phase}.gpus is 0: a CPU "
                    "has no tf32; use fp32 or bf16"
                )


def _check_attacks_of_trainings(space: Space) -> None:
    """Raises BadInput where an attack that a training makes rows with lacks what a fit needs."""
    catalog = space.catalog
    for training, name, dataset, here in space.attacks_in_fits():
        attack, beginning = catalog.attack(name), f"training {training!r} attacks by {name!r}"
        if problem := unknown_protocol(attack, here.protocol):
            raise BadInput(
                f"{beginning}: {problem}; leave it out with --only training=... or exclude "
                "it, or choose another attack.protocol"
            )
        try:
            attack_settings(attack, catalog.dataset(dataset), here.protocol, here.resources)
        except BadInput as error:
            raise BadInput(f"{beginning}: {error}") from None


def _find(space: str) -> Path:
    if space in names():
        return HERE / f"{space}.yaml"
    path = Path(space)
    if path.suffix in ENDINGS:
        if path.is_file():
            return path.resolve()
        raise BadInput(f"no space file at {space}")
    files = [f"{space}{ending}" for ending in ENDINGS if Path(f"{space}{ending}").is_file()]
    hint = nearest(space, [*names(), *files])
    raise BadInput(f"unknown space {space!r}; {hint}, or give a .yaml file")


def _set(document: Document, assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals:
        raise BadInput(f"--set {assignment}: write it as path=value, e.g. fit.learning_rate=1e-4")
    if annotation_at(Space, path) is None:
        raise BadInput(f"--set {name}: unknown setting; {_nearest_path(path)}")
    option = " ".join(f"--set {assignment}".split())
    value, node = read_value(text, option)
    _put(document, path, value, option, node)


def _put(
    document: Document, path: tuple[str, ...], value: Any, option: str, node: Any = None
) -> None:
    for other, (before, _) in document.given.items():
        if other == path and _value_at(document.content, path) == value:
            continue
        if other[: len(path)] == path[: len(other)]:
            raise BadInput(f"{before} and {option} set {dotted(path)} twice; keep one of them")
    document.put(path, value, option, node)


def _value_at(content: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        content = content[name]
    return content


def _nearest_path(path: tuple[str, ...]) -> str:
    paths = []
    for name in Space.model_fields:
        inner = fields_at(Space, (name,)) if name not in ("exclude", "overrides") else []
        paths += [f"{name}.{leaf}" for leaf in inner] if inner else [name]
    return nearest(dotted(path), paths)


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """base updated by changes, section by section."""
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(name), dict)
        merged[name] = _merge(base[name], value) if both else value
    return merged


def _leaves(part: Any) -> int:
    """How many settings a section names."""
    return sum(map(_leaves, part.values())) if isinstance(part, dict) else 1
