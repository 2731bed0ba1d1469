"""The catalog: what each name on an axis means, one small YAML file a name.

A name is looked up in the folders of a search path, first hit wins: `catalog/` beside the user's
space file, then the catalog of this package. A user adds a data set by adding a file.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from search_spaces.dataset_checks import dataset_problems
from search_spaces.errors import BadInput, nearest
from search_spaces.query_budget import check_query_budget
from search_spaces.trainings import SETTINGS, why_not, wrong_name
from search_spaces.yaml_file import Document, Written, read

PACKAGED = Path(__file__).parent / "catalog"
ENDINGS = (".yaml", ".yml")
NamedAxis = Literal["dataset", "model", "head", "training", "attack"]
AXES: tuple[NamedAxis, ...] = get_args(NamedAxis)
Protocol = Literal["textattack", "mvp", "textdefender", "strict"]
KNOWN_TO_ALL: tuple[Protocol, ...] = ("textattack", "mvp")  # an attack need not name them


class Entry(Written):
    """What every catalog file says: one line about the thing."""

    about: str


class Hub(Written):
    """Where a data set is on the Hugging Face hub: parquet files `<folder>/<split>.parquet` or
    `<folder>/<split>-*.parquet`; the folder `.` is the repository's top."""

    repository: str
    folder: str = "data"
    revision: str = "main"


class Prompts(Written):
    """Templates with one [MASK] each, and the label words (verbalizer) of each class.

    A template that begins with [SEP] follows the input; any other precedes it. A causal model
    uses `decoder_templates`: they begin with [SEP] and end with the mask. selections: numbers, from
    1, of the templates that a head of fewer uses, by how many it uses; else they are the first.
    """

    templates: list[str] = Field(min_length=1)
    decoder_templates: list[str] | None = None
    label_words: list[list[str]] = Field(min_length=2)
    selections: dict[int, list[int]] = Field({})

    def selected(self, templates: list[str], count: int | None) -> list[str]:
        """So many of the templates; None: all."""
        if count in self.selections:
            return [templates[number - 1] for number in self.selections[count]]
        return templates[:count]


class PromptSet(Written):
    """A named variant of a data set's prompts, for ablations; what it does not set stays."""

    templates: list[str] | None = None
    decoder_templates: list[str] | None = None
    label_words: list[list[str]] | None = None


SPLIT = re.compile(r"^(?P<split>\w+)(\[(?P<percent>[0-9]{1,2})%\])?\Z")
ROLES = ("train", "validation", "test")


class Splits(Written):
    """Which split of the source plays which role.

    `train[5%]` draws a seeded 5 % out of `train`; the role that names plain `train` gets the rest.
    Several shares of one split are shares of all of it, and have no row in common. With `test`
    alone, fits of other data sets can be evaluated on it, and none can be made.
    """

    train: str | None = None
    validation: str | None = None
    test: str

    @model_validator(mode="after")
    def _well_formed(self) -> "Splits":
        for role in self.roles:
            if not SPLIT.match(getattr(self, role)):
                raise ValueError(
                    f"a split is a name or NAME[5%], with 1 to 99 %, not {getattr(self, role)!r}"
                )
        if (self.train is None) != (self.validation is None):
            raise ValueError(
                "give both train and validation; or neither, for a data set that fits of others "
                "are evaluated on"
            )
        return self

    @property
    def roles(self) -> list[str]:
        """Those that are given, in the order of ROLES."""
        return [role for role in ROLES if getattr(self, role) is not None]

    def share(self, role: str) -> tuple[str, int | None]:
        """A role's source split, and how many % of it are drawn; None for what is left."""
        match = SPLIT.match(getattr(self, role))
        assert match is not None
        return match["split"], None if match["percent"] is None else int(match["percent"])

    def shares(self, split: str) -> list[int]:
        """The % of a source split that are drawn, role by role."""
        drawn = map(self.share, self.roles)
        return [percent for name, percent in drawn if name == split and percent is not None]

    def rest(self, split: str) -> list[str]:
        """The roles that get what the shares of a source split leave."""
        return [role for role in self.roles if self.share(role) == (split, None)]

    def sources(self) -> list[str]:
        """Names of the source splits that are read, in a fixed order."""
        return sorted({self.share(role)[0] for role in self.roles})


class Dataset(Entry):
    """A text classification data set: columns, labels, splits, attacked column and prompts.

    lowercase: whether texts are read in lower case; else as they are written. missing: what to do
    with rows that lack a text, `error` or `drop`. drop_rows_without_letters leaves out those that
    have one, but of punctuation or white space alone.
    """

    hub: Hub | None = None
    columns: list[str] = Field(min_length=1, max_length=2)
    label: str
    labels: list[str] = Field(min_length=2)
    attacked: str
    splits: Splits
    lowercase: bool = False
    drop_rows_without_letters: bool = False
    missing: Literal["error", "drop"] = "error"
    prompts: Prompts | None = None
    prompt_sets: dict[str, PromptSet] = Field({})
    max_words_changed: float | None = Field(None, gt=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Dataset":
        if self.attacked not in self.columns:
            raise ValueError(f"attacked is {self.attacked!r}, which is not one of columns")
        return self

    def why_no_fit(self) -> str:
        """Why nothing can be fine-tuned on it; empty if something can."""
        if self.splits.train is not None:
            return ""
        return (
            "its catalog file names a test split only, so fits of others can be evaluated on it "
            "(evaluate_also) and none can be made; give its splits train and validation"
        )

    def rows_identity(self) -> dict[str, str]:
        """What determines rows besides splits and columns; only what earlier versions did not do.

        Keys include this, so the keys of other data sets do not change.
        """
        identity: dict[str, str] = {}
        if not self.lowercase:
            identity["case"] = "as written"  # formerly: always lower
        if self.missing != "error":
            identity["missing"] = self.missing
        if any(len(self.splits.shares(split)) > 1 for split in self.splits.sources()):
            identity["shares"] = (
                "of the whole split"  # formerly: of what the previous share had left
            )
        return identity


class LanguageModel(Entry):
    """A pre-trained language model: by name in the package, or by name on the hub.

    kind: masked (BERT, RoBERTa) or causal (GPT-2).
    """

    kind: Literal["masked", "causal"] = "masked"
    packaged: str | None = None
    hub: str | None = None
    revision: str = "main"

    @model_validator(mode="after")
    def _one_place(self) -> "LanguageModel":
        if (self.packaged is None) == (self.hub is None):
            raise ValueError("give either packaged or hub")
        return self


def _on_one_line(reason: str) -> str:
    return " ".join(reason.split())


NotFor = dict[Literal["masked", "causal"], Annotated[str, AfterValidator(_on_one_line)]]


class Head(Entry):
    """How class scores are read off the language model; `kind` names the code that does it.

    pretrained: False leaves the language model's weights random. probe_first: linear probing before
    fine-tuning. prompt_set and templates: a variant of the data set's prompts, and how many of its
    templates are used. templates_in_training: `one` trains on one template a text and step, drawn
    at random; validation and attacks use all. not_for: kinds of model that it does not apply to,
    with the reason.
    """

    kind: str
    uses_prompts: bool = False
    pretrained: bool = True
    probe_first: bool = False
    prompt_set: str | None = None
    templates: int | None = Field(None, ge=1)
    templates_in_training: Literal["all", "one"] = "all"
    not_for: NotFor = Field({})

    @model_validator(mode="after")
    def _templates_are_read(self) -> "Head":
        # A kind of one's own, `package.module:function`, may read it too.
        if self.templates_in_training == "one" and self.kind.isidentifier() and self.kind != "mvp":
            raise ValueError(f"kind {self.kind} has no templates: templates_in_training is for mvp")
        return self


class Training(Entry):
    """How the model is fine-tuned; `kind` names the code that does it.

    settings: as written; trainings.py has those of our kinds. train_share: fine-tune on this share
    of the training rows, for ablations. not_for: kinds of model that it does not apply to, with the
    reason; it is for plans, so it is in no key and not stored with a fit.
    """

    kind: str
    settings: dict[str, Any] = Field({})
    train_share: float = Field(1.0, gt=0, le=1)
    not_for: NotFor = Field({}, exclude=True)


class Attack(Entry):
    """A TextAttack recipe: its kind, its settings as published, and what a variant changes.

    `protocols` holds what a named protocol sets differently; `textattack` and `mvp` need not be
    named where they set nothing. `resources`: values on the scale of a set of attack resources, of
    another sentence encoder say, by the recipe's value, or one for all. A value of
    `$dataset.max_words_changed` is taken from the data set's file. Any attack may set a
    `query_budget`.
    """

    kind: str
    settings: dict[str, Any] = Field({})
    protocols: dict[Protocol, dict[str, Any]] = Field({})
    resources: dict[Literal["embedded", "textattack"], dict[str, Any]] = Field({})


ENTRY_TYPES: dict[str, type[Entry]] = {
    "dataset": Dataset,
    "model": LanguageModel,
    "head": Head,
    "training": Training,
    "attack": Attack,
}


@dataclass(frozen=True)
class Catalog:
    """The folders searched for a name, the user's own before the package's."""

    folders: tuple[Path, ...] = (PACKAGED,)

    def names(self, axis: str) -> list[str]:
        """All names an axis knows, sorted."""
        return sorted({path.stem for folder in self.folders for path in _files(folder, axis)})

    def path(self, axis: str, name: str) -> Path:
        """The file of a name. Raises BadInput with the nearest valid names where there is none."""
        for folder in self.folders:
            paths = [folder / f"{axis}s" / f"{name}{ending}" for ending in ENDINGS]
            files = [path for path in paths if Path(name).name == name and path.is_file()]
            if len(files) > 1:
                raise BadInput(f"{files[0]} and {files[1].name} mean the same {axis}; keep one")
            if files:
                return files[0]
        raise BadInput(f"unknown {axis} {name!r}; {nearest(name, self.names(axis))}")

    def entry(self, axis: str, name: str) -> Entry:
        """What a name on an axis means. Raises BadInput for a broken file."""
        if axis == "training":
            return self.training(name)
        entry: Entry = _read(self.path(axis, name), ENTRY_TYPES[axis])
        return entry

    def dataset(self, name: str) -> Dataset:
        return _read(self.path("dataset", name), Dataset)

    def model(self, name: str) -> LanguageModel:
        return _read(self.path("model", name), LanguageModel)

    def head(self, name: str) -> Head:
        return _read(self.path("head", name), Head)

    def training(self, name: str) -> Training:
        """Raises BadInput for a broken file, and where it names an attack that is not here."""
        path = self.path("training", name)
        entry: Training = _read(path, Training)
        attack = entry.settings.get("attack")
        if attack is not None:
            try:
                if not isinstance(attack, str):
                    raise BadInput(f"expected the name of an attack (got {attack!r})")
                self.path("attack", attack)
            except BadInput as error:
                raise read(path).error(("settings", "attack"), f": {error}") from None
        return entry

    def attack(self, name: str) -> Attack:
        return _read(self.path("attack", name), Attack)

    def why_no_fit(self, dataset: str, model: str, head: str, training: str) -> str:
        """Why there is no such fit, as far as these files tell; empty if there is."""
        language_model, head_entry = self.model(model), self.head(head)
        prompts = prompts_of(self.dataset(dataset), head_entry, language_model)
        reason = head_entry.not_for.get(language_model.kind, "")
        reason = reason or (prompts if isinstance(prompts, str) else "")
        return reason or why_not(self.training(training), head_entry, prompts, language_model)


def prompts_of(data: Dataset, head: Head, model: LanguageModel) -> Prompts | str | None:
    """The prompts a head uses on a data set; None if it uses none; text if it lacks them."""
    if not head.uses_prompts:
        return None
    if data.prompts is None:
        return "the data set has no prompts"
    changed: dict[str, Any] = {}
    if head.prompt_set is not None:
        if head.prompt_set not in data.prompt_sets:
            return f"the data set has no prompt set {head.prompt_set}"
        changed = data.prompt_sets[head.prompt_set].model_dump(exclude_none=True)
        if "templates" in changed:
            changed["selections"] = {}  # those are of the templates that it replaces
    prompts = data.prompts.model_copy(update=changed)
    templates = prompts.templates
    if model.kind == "causal":
        if prompts.decoder_templates is None or (
            "templates" in changed and "decoder_templates" not in changed
        ):
            return "the data set has no templates for a causal model"
        templates = prompts.decoder_templates
    if head.templates is not None and head.templates > len(templates):
        return f"the data set has fewer than {head.templates} templates"
    return Prompts(
        templates=prompts.selected(templates, head.templates), label_words=prompts.label_words
    )


def unknown_protocol(attack: Attack, protocol: Protocol) -> str:
    """What is wrong if an attack does not know a protocol; empty if it does."""
    if protocol in {*attack.protocols, *KNOWN_TO_ALL}:
        return ""
    known = ", ".join(dict.fromkeys([*KNOWN_TO_ALL, *attack.protocols]))
    return f"attack kind {attack.kind} knows no protocol {protocol!r} (but {known})"


def attack_settings(
    attack: Attack, dataset: Dataset, protocol: Protocol, resources: str
) -> dict[str, Any]:
    """An attack's settings, resolved: as published, then the protocol's, then the resources'.

    Raises BadInput where the attack does not know the protocol, or a kind of this package lacks a
    setting, has no such setting, or has a value of another type.
    """
    if problem := unknown_protocol(attack, protocol):
        raise BadInput(
            f"{problem}; leave it out with --only attack=... or exclude it, or choose another "
            "attack.protocol"
        )
    resolved = {**attack.settings, **attack.protocols.get(protocol, {})}
    scale: dict[str, Any] = {str(name): part for name, part in attack.resources.items()}
    for name, value in scale.get(resources, {}).items():
        resolved[name] = (
            _on_scale(attack, name, resolved[name], value) if name in resolved else value
        )
    settings = {
        name: dataset.max_words_changed if value == "$dataset.max_words_changed" else value
        for name, value in resolved.items()
    }
    _check_attack_settings(attack, settings)
    return settings


def _on_scale(attack: Attack, name: str, value: Any, scale: Any) -> Any:
    """A setting's value where a set of resources has its own scale."""
    if value is None:
        return None
    if not isinstance(scale, dict) or not isinstance(value, (int, float)):
        return scale
    if str(value) not in scale:
        raise BadInput(
            f"attack kind {attack.kind}: {name} {value} has no value on the scale of these "
            f"resources; there are values for {', '.join(scale)}"
        )
    return scale[str(value)]


def _check_attack_settings(attack: Attack, settings: dict[str, Any]) -> None:
    file = PACKAGED / "attacks" / f"{attack.kind}.yaml"
    known = _read(file, Attack).settings if file.is_file() else settings
    budget = settings.get("query_budget")
    if budget is not None:
        try:
            check_query_budget(budget)
        except ValueError as error:
            raise BadInput(f"attack kind {attack.kind}: query_budget: {error}") from None
    for name in {**attack.settings, **settings}.keys() - known.keys() - {"query_budget"}:
        raise BadInput(f"attack kind {attack.kind} has no setting {name!r}; {nearest(name, known)}")
    for name, value in known.items():
        if name not in settings:
            raise BadInput(f"attack kind {attack.kind} needs the setting {name!r}, e.g. {value!r}")
        given = settings[name]
        if isinstance(given, bool) != isinstance(value, bool) or isinstance(given, str):
            raise BadInput(
                f"attack kind {attack.kind}: {name} is {given!r}; expected a value like {value!r}"
            )


def _files(folder: Path, axis: str) -> list[Path]:
    return [path for ending in ENDINGS for path in (folder / f"{axis}s").glob(f"*{ending}")]


@cache
def _read(path: Path, entry_type: type[Any]) -> Any:
    document = read(path)
    entry = document.validated(entry_type)
    for place in document.words_for_truths("settings", "protocols", "resources"):
        raise document.error(place, ": write true or false, or quote the word")
    if isinstance(entry, Dataset):
        for place, problem in dataset_problems(entry):
            raise document.error(place, f": {problem}")
    for kind, reason in getattr(entry, "not_for", {}).items():
        if not reason:
            raise document.error(("not_for", kind), " is empty; give the reason")
    if isinstance(entry, Training) and entry.kind in SETTINGS:
        _check_training_settings(entry, path, document)
    return entry


def _check_training_settings(entry: Training, path: Path, document: Document) -> None:
    ours = PACKAGED / "trainings" / f"{entry.kind}.yaml"
    example = entry if path == ours else _read(ours, Training)
    name, problem = wrong_name(entry.kind, entry.settings, example.settings)
    if problem:
        place = ("settings", name) if name else ("settings",)
        raise document.error(place, f": {problem}")
    document.validated(SETTINGS[entry.kind], at=("settings",))
