"""Space → cells: the grid, each place resolved into all that its result depends on.

Digests the assets and the code that this machine has, and finds out which combinations cannot
exist. Reads no store, and imports neither torch nor Ray.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.metadata import PackageNotFoundError
from itertools import product
from typing import Any, NamedTuple, TypeVar

from orchestrator.plan import keys
from orchestrator.plan.scores import distinct_scores
from search_spaces.catalog import (
    Attack,
    Dataset,
    LanguageModel,
    attack_settings,
    prompts_of,
)
from search_spaces.cell import Cell, Fit, InnerAttack, OtherDataset
from search_spaces.errors import BadInput
from search_spaces.space import AttackSettings, Space
from search_spaces.trainings import attack_of, why_not
from trainables.assets import Assets, NotDownloaded, dataset_digest, digest, model_files
from trainables.attacks import KINDS as ATTACKS
from trainables.attacks.resources import identity as resources_identity
from trainables.chinese import hold_chinese
from trainables.heads import KINDS as HEADS
from trainables.kinds import kind_digest
from trainables.models.families import cannot_have
from trainables.models.folder import ModelFolder
from trainables.rows import check_columns
from trainables.training import KINDS as TRAININGS

NOT_HERE = "not downloaded yet"
Value = TypeVar("Value")


class ThisMachine:
    """The assets and the code of this machine, by digest; NOT_HERE where it may lack them.

    lacks: whether something was missing that is not needed for reading. What is not `needed`,
    because all its cells are left out, may be missing or damaged.
    """

    def __init__(self, assets: Assets, provisional: bool, reading: bool) -> None:
        self.assets, self.provisional, self.reading = assets, provisional, reading
        self.lacks = False

    def dataset(self, name: str, entry: Dataset, needed: bool) -> str:
        find = partial(_dataset_digest, self.assets, name, entry)
        return self._unless_missing(find, NOT_HERE, needed)

    def has_chinese_pairs(self, name: str, entry: Dataset, needed: bool) -> bool:
        """Whether the test texts are pairs of columns, of which one holds Chinese."""
        if len(entry.columns) == 1:
            return False
        split, _ = entry.splits.share("test")
        return self._unless_missing(
            lambda: hold_chinese(self.assets.dataset_files(name, entry)[split], entry.columns),
            False,
            needed,
        )

    def model(self, name: str, entry: LanguageModel, needed: bool) -> tuple[str, str]:
        """Its digest, and its type as its config.json says."""
        find = partial(_model, self.assets, name, entry)
        return self._unless_missing(find, (NOT_HERE, ""), needed)

    def code(self, what: str, kind: str, ours: dict[str, str]) -> str | None:
        """Digest of the code of a user's own kind, None for ours. Raises BadInput."""
        unknown: str | None = NOT_HERE
        return self._unless_missing(partial(kind_digest, what, kind, ours), unknown)

    def attack_resources(self, name: str) -> dict[str, str]:
        try:
            return resources_identity(name)
        except PackageNotFoundError as error:
            if not self.reading:
                raise BadInput(
                    f"attack.resources {name} need the package {error.name}: install the extra "
                    f"`{name}` (pip install 'robustness-sweep[{name}]')"
                ) from None
            self.lacks = True
            return {"all": NOT_HERE}

    def _unless_missing(
        self, find: Callable[[], Value], else_: Value, needed: bool = True
    ) -> Value:
        try:
            return find()
        except NotDownloaded:
            if needed and not (self.provisional or self.reading):
                raise
        except (BadInput, OSError):
            if needed and not self.reading:
                raise
        self.lacks = self.reading
        return else_


class Resolved(NamedTuple):
    """An attack with the settings that it has at a place. identity: of what it does to a text."""

    name: str
    kind: str
    settings: dict[str, Any]
    query_budget: int | str | None
    identity: dict[str, Any]

    @classmethod
    def of(
        cls,
        name: str,
        recipe: Attack,
        data: Dataset,
        here: AttackSettings,
        resources: dict[str, str],
        code: str | None,
        by_column: bool,
    ) -> "Resolved":
        """Raises BadInput."""
        settings = attack_settings(recipe, data, here.protocol, here.resources)
        budget = settings.pop("query_budget", None)
        if here.query_budget is not None:
            budget = here.query_budget
        attacked = data.attacked if len(data.columns) > 1 else None
        identity = keys.attack_with(
            recipe.kind, settings, resources, code, attacked, by_column, budget
        )
        return cls(name, recipe.kind, settings, budget, identity)


def resolve(space: Space, machine: ThisMachine) -> Iterator[tuple[Cell, str]]:
    """Every cell of the grid, with the reason why it does not apply; empty if it does."""
    axes, catalog = space.axes, space.catalog
    attacked_with = cache(machine.attack_resources)
    used_datasets, used_models = space.used("dataset"), space.used("model")
    datasets = {
        name: (entry, machine.dataset(name, entry, name in used_datasets))
        for name, entry in zip(axes.dataset, map(catalog.dataset, axes.dataset), strict=True)
    }
    by_column = {
        name: machine.has_chinese_pairs(name, entry, name in used_datasets)
        for name, (entry, _) in datasets.items()
    }
    models = {
        name: (entry, *machine.model(name, entry, name in used_models))
        for name, entry in zip(axes.model, map(catalog.model, axes.model), strict=True)
    }
    others = {
        name: [
            OtherDataset(
                name=other,
                data=catalog.dataset(other),
                digest=machine.dataset(other, catalog.dataset(other), name in used_datasets),
            )
            for other in space.evaluate_also.get(name, [])
        ]
        for name in axes.dataset
    }
    attacks = {name: catalog.attack(name) for name in axes.attack}
    code_of = cache(partial(machine.code, "attack", ours=ATTACKS))

    def attack_on(name: str, data: str, recipe: Attack, here: AttackSettings) -> Resolved:
        entry, _ = datasets[data]
        resources, code = attacked_with(here.resources), code_of(recipe.kind)
        return Resolved.of(name, recipe, entry, here, resources, code, by_column[data])

    grid = product(axes.dataset, axes.model, axes.head, axes.training, space.seeds)
    for dataset, model, head, training, seed in grid:
        place = {"dataset": dataset, "model": model, "head": head, "training": training}
        inner = _inner_attack(space, place, partial(attack_on, data=dataset))
        fit, reason = _fit(
            space,
            machine,
            (dataset, *datasets[dataset]),
            (model, *models[model]),
            head,
            training,
            seed,
            inner,
        )
        fit = fit.model_copy(update={"evaluate_also": others[dataset]})
        for attack, recipe in attacks.items():
            here = space.settings_at(**place, attack=attack)
            excluded = space.excluded({**place, "attack": attack, "seed": seed})
            try:
                resolved = attack_on(attack, dataset, recipe, here.attack)
            except BadInput:
                if not excluded:
                    raise
                resolved = Resolved(attack, recipe.kind, dict(recipe.settings), None, {})
            log_identity = keys.attack_identity(
                fit.identity,
                resolved.identity,
                here.resources.attack.cpus,
                here.attack.seconds_per_example,
                here.attack.dtype,
                distinct_scores(here.attack.scores, len(fit.data.labels)),
                here.attack.sample,
            )
            readable = f"{dataset}-{model}-{head}-{training}-{attack}-s{seed}"
            cell = Cell(
                key=keys.cell_key(readable, log_identity, here.attack),
                log=keys.key(readable, log_identity),
                fit=fit,
                attack=attack,
                attack_kind=recipe.kind,
                attack_settings=resolved.settings,
                attack_resources=here.attack.resources,
                examples=here.attack.examples,
                sample=here.attack.sample,
                precision=here.attack.precision,
                seconds_per_example=here.attack.seconds_per_example,
                at_once=here.attack.at_once,
                attack_dtype=here.attack.dtype,
                scores=here.attack.scores,
                query_budget=resolved.query_budget,
                resources=here.resources,
                identity=log_identity,
            )
            yield cell, excluded or reason


def _dataset_digest(assets: Assets, name: str, entry: Dataset) -> str:
    files = assets.dataset_files(name, entry)
    check_columns(name, entry, files)
    return dataset_digest(files)


def _model(assets: Assets, name: str, entry: LanguageModel) -> tuple[str, str]:
    folder = assets.model_folder(name, entry)
    return digest(model_files(folder)), ModelFolder(name, folder).type


def _inner_attack(
    space: Space, place: dict[str, str], attack_on: Callable[..., Resolved]
) -> tuple[InnerAttack, dict[str, Any]] | None:
    """The attack that a training names, with its identity; None if it names none.

    Attacks on a fit do not change it, so it has the settings of a place without an attack. A limit
    on queries or time is of attacks on fits, too: only the protocol's counts here.
    """
    training = place["training"]
    name = attack_of(space.catalog.training(training))
    if name is None:
        return None
    here = space.settings_at(**place).attack
    try:
        recipe = space.catalog.attack(name)
        resolved = attack_on(
            name, recipe=recipe, here=here.model_copy(update={"query_budget": None})
        )
    except BadInput as error:
        if space.excluded_everywhere(place) or space.catalog.why_no_fit(**place):
            return None
        raise BadInput(f"training {training!r}: {error}") from None
    attack = InnerAttack(
        name=name,
        kind=resolved.kind,
        settings=resolved.settings,
        resources=here.resources,
        query_budget=resolved.query_budget,
        at_once=here.at_once,
    )
    return attack, keys.inner_attack_identity(resolved.identity)


def _fit(
    space: Space,
    machine: ThisMachine,
    dataset: tuple[str, Dataset, str],
    model: tuple[str, LanguageModel, str, str],
    head: str,
    training: str,
    seed: int,
    inner: tuple[InnerAttack, dict[str, Any]] | None,
) -> tuple[Fit, str]:
    """A fit, and why it does not apply (or an empty reason)."""
    dataset_name, data, data_digest = dataset
    model_name, language_model, model_digest, model_type = model
    head_entry, training_entry = space.catalog.head(head), space.catalog.training(training)
    prompts = prompts_of(data, head_entry, language_model)
    here = space.settings_at(dataset=dataset_name, model=model_name, head=head, training=training)
    reason = head_entry.not_for.get(language_model.kind, "")
    reason = reason or cannot_have(head_entry.kind, model_type)
    if isinstance(prompts, str):
        reason = reason or prompts
        prompts = None
    reason = reason or why_not(training_entry, head_entry, prompts, language_model)
    used = {"columns", "label", "labels", "splits", "drop_rows_without_letters"}
    read_at = {}
    if language_model.kind == "causal" and head_entry.kind != "mvp":
        # Earlier versions read another token of texts that are empty or end in GPT-2's padding.
        read_at = {"read_at": "last token of each text"}
    in_training = {}
    if head_entry.templates_in_training != "all":
        in_training = {"templates_in_training": head_entry.templates_in_training}
    identity = keys.fit_identity(
        dataset={
            "digest": data_digest,
            **data.model_dump(include=used),
            **data.rows_identity(),
        },
        model={"digest": model_digest, "kind": language_model.kind},
        head={
            "kind": head_entry.kind,
            "pretrained": head_entry.pretrained,
            "probe_first": head_entry.probe_first,
            "prompts": prompts and prompts.model_dump(include={"templates", "label_words"}),
            "code": machine.code("head", head_entry.kind, HEADS),
            **read_at,
            **in_training,
        },
        training={
            **training_entry.model_dump(exclude={"about"}),
            "code": machine.code("training", training_entry.kind, TRAININGS),
            **({} if inner is None else {"attack": inner[1]}),
        },
        settings=here.fit.identity(head_entry.probe_first),
        seed=seed,
        cpus=here.resources.fit.cpus,
    )
    fit = Fit(
        key=keys.key(f"{dataset_name}-{model_name}-{head}-{training}-s{seed}", identity),
        dataset=dataset_name,
        model=model_name,
        head=head,
        training=training,
        seed=seed,
        data=data,
        dataset_digest=data_digest,
        language_model=language_model,
        model_digest=model_digest,
        head_entry=head_entry,
        prompts=prompts,
        training_entry=training_entry,
        settings=here.fit,
        identity=identity,
        attack=inner and inner[0],
    )
    return fit, reason
