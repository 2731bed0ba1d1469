"""Settings of our kinds of training, and what a training does not apply to.

The catalog checks a file's settings by the model of its kind; an entry keeps them as written. A
user's own kind, `package.module:name`, has settings of its own that nothing here knows. What they
mean: docs/protocol.md, "Training". Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from search_spaces.errors import nearest
from search_spaces.yaml_file import Written

if TYPE_CHECKING:
    from search_spaces.catalog import Head, LanguageModel, Prompts, Training

Norm = Literal["l2", "linf"]
# Beyond these a number is a slip: a step that vanishes in float32, or a fit without an end.
Steps = Annotated[int, Field(ge=1, le=1000)]
Size = Annotated[float, Field(ge=1e-6, le=1e4)]
SizeOrZero = Annotated[float, Field(ge=0, le=1e4)]


class Settings(Written):
    """Of a kind of training: each must be given, with its type, as the entry keeps it."""

    model_config = ConfigDict(strict=True)


class Standard(Settings):
    """None."""


class Adversarial(Settings):
    """step_size: null for 1.5 epsilon / steps."""

    norm: Norm
    epsilon: Size
    steps: Steps
    step_size: Size | None
    start: Literal["ball", "sphere"]
    inner_dropout: bool

    @model_validator(mode="after")
    def _sphere_of_l2(self) -> Adversarial:
        if self.start == "sphere" and self.norm != "l2":
            raise ValueError(f"start sphere is of norm l2; with {self.norm} give start: ball")
        return self


class FreeLB(Settings):
    """bound: null for none, which is FreeLB++."""

    steps: Steps
    step_size: Size
    start_size: SizeOrZero
    bound: Size | None
    norm: Norm
    same_dropout: bool


class InfoBERT(FreeLB):
    """keep_from, keep_to: shares of a text's tokens, in ascending order of influence."""

    upper_weight: SizeOrZero
    lower_weight: SizeOrZero
    exact: bool
    keep_from: float = Field(ge=0, lt=1)
    keep_to: float = Field(gt=0, le=1)
    critic_width: int = Field(ge=1, le=10_000)

    @model_validator(mode="after")
    def _keeps_some(self) -> InfoBERT:
        if self.keep_from >= self.keep_to:
            raise ValueError(
                f"keep_from {self.keep_from:g} is not less than keep_to {self.keep_to:g}: "
                "no token would be kept"
            )
        return self


def _count_or_share(value: Any) -> int | float:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and 0 < value < 1:
        return value
    raise ValueError(
        f"expected a whole number of rows, at least 1, or a share of them between 0 and 1 "
        f"(got {value!r})"
    )


class Ada(Settings):
    """Rounds of attacks: at the start of each epoch from from_epoch on, or after each `every`
    training examples seen. attacked_rows: a number of rows, or a share of the training rows."""

    attack: str
    attacked_rows: Annotated[int | float, BeforeValidator(_count_or_share)]
    from_epoch: int | None = Field(ge=2)
    every: int | None = Field(ge=1)
    keep_rows: bool

    @model_validator(mode="after")
    def _one_rhythm(self) -> Ada:
        if (self.from_epoch is None) == (self.every is None):
            raise ValueError("give either from_epoch or every, and null for the other")
        return self


class Amda(Ada):
    """layers: shares of the depth, of which one a batch is drawn. beta: of Beta(beta, beta)."""

    mix: Literal["smix", "tmix"]
    layers: list[Annotated[float, Field(gt=0, le=1)]] = Field(min_length=1)
    beta: float = Field(ge=0.01, le=1000)

    @field_validator("layers")
    @classmethod
    def _each_once(cls, layers: list[float]) -> list[float]:
        if repeated := [share for share in layers if layers.count(share) > 1]:
            raise ValueError(f"{repeated[0]:g} is there more than once; give each share once")
        return layers


class HighTemperature(Settings):
    """The logits are divided by it in training."""

    temperature: float = Field(ge=0.01, le=1e4)


SETTINGS: dict[str, type[Settings]] = {
    "standard": Standard,
    "adversarial": Adversarial,
    "freelb": FreeLB,
    "infobert": InfoBERT,
    "ada": Ada,
    "amda": Amda,
    "high_temperature": HighTemperature,
}


def wrong_name(kind: str, given: Mapping[str, Any], example: Mapping[str, Any]) -> tuple[str, str]:
    """The setting that a kind of ours does not have, or "" and one that is missing; two empty
    texts if the names are right.

    The second text says what is wrong. example: settings of that kind.
    """
    known = SETTINGS[kind].model_fields
    for name in given:
        if name not in known:
            hint = nearest(name, known) if known else "it has none"
            return name, f"training kind {kind} has no setting {name!r}; {hint}"
    for name in known:
        if name not in given:
            value = json.dumps(example.get(name))
            return "", f"training kind {kind} needs the setting {name!r}, e.g. {value}"
    return "", ""


def rounds_of(entry: Training) -> Ada | None:
    """The settings of a training of ours that makes rows in rounds; None if it does not."""
    kind = SETTINGS.get(entry.kind, Standard)
    return kind.model_validate(entry.settings) if issubclass(kind, Ada) else None


def rows_attacked(settings: Mapping[str, Any], rows: int) -> int:
    """In one round, of so many clean training rows. settings: with attacked_rows."""
    asked = settings["attacked_rows"]
    return min(max(round(asked * rows) if asked < 1 else asked, 1), rows)


def attack_of(entry: Training) -> str | None:
    """The attack that a training makes rows with, by its name in the catalog; a user's own, too."""
    attack = entry.settings.get("attack")
    return attack if isinstance(attack, str) else None


def why_not(
    entry: Training, head: Head, prompts: Prompts | str | None, model: LanguageModel
) -> str:
    """Why a training does not apply to a head on a language model; empty if it does.

    prompts: those that the head uses, as `prompts_of` gives them.
    """
    if reason := entry.not_for.get(model.kind, ""):
        return reason
    if entry.kind != "amda" or entry.settings.get("mix") != "tmix":
        return ""
    if model.kind == "causal":
        return "tmix mixes texts token by token, and a causal model reads each at another place"
    templates = getattr(prompts, "templates", []) if head.kind == "mvp" else []
    if head.templates_in_training == "one":
        return "tmix mixes texts token by token, and each text has a template of its own"
    if any(template.startswith("[SEP]") for template in templates):
        return "tmix mixes texts token by token, and a template after the text is at another place"
    return ""
