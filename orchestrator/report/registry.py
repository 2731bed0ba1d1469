"""The registry of claims: published figures and the protocols behind them, one YAML file a result.

A file is looked up in the folders of a search path, as the catalog's: `claims/` beside the user's
space file, then that of this package. A file of the user's replaces one of the same name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from search_spaces.axes import Name
from search_spaces.catalog import AXES, ENDINGS, Catalog
from search_spaces.catalog import PACKAGED as CATALOG
from search_spaces.errors import BadInput, nearest
from search_spaces.space import Space
from search_spaces.yaml_file import Written, annotation_at, fields_at, read

PACKAGED = Path(__file__).parent / "claims"

Percent = Annotated[float, Field(ge=0, le=100)]


class PublishedFigure(Written):
    """One published cell, in percent; its names are those of the axes, also for what no catalog
    has. attack: None where it is not stated."""

    dataset: Name
    model: Name
    head: Name = "mlp_ft"
    training: Name = "standard"
    attack: Name | None = None
    clean: Percent | None = None
    under_attack: Percent | None = None
    note: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> "PublishedFigure":
        if self.clean is None and self.under_attack is None:
            raise ValueError("give clean or under_attack, in percent")
        return self


class PublishedGain(Written):
    """A published difference in accuracy under attack, in points. of: what is compared with what,
    and over which grid it was averaged."""

    of: str
    points: Annotated[float, Field(ge=-100, le=100)]


class Claim(Written):
    """A published result.

    paper: authors, title, venue and year. where: the table or figure. read: where it was read.
    protocol: how it was made, in words; settings: the same as far as settings of a space say it, by
    dotted names (`attack.examples`, `fit.max_epochs`, `attack.textfooler.max_words_changed`).
    """

    paper: str
    where: str
    read: str
    protocol: str
    settings: dict[str, Any] = Field({})
    note: str = ""
    figures: list[PublishedFigure] = Field([])
    gains: dict[Name, PublishedGain] = Field({})

    @field_validator("settings")
    @classmethod
    def _are_settings(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for name, value in settings.items():
            if problem := _problem(name, value):
                raise ValueError(problem)
        return settings

    @model_validator(mode="after")
    def _has_something(self) -> "Claim":
        if not self.figures and not self.gains:
            raise ValueError("figures and gains are both missing; give one of them")
        return self

    @property
    def source(self) -> str:
        return f"{self.paper}, {self.where}"


@dataclass(frozen=True)
class Registry:
    """The folders that claims are read from, the user's own before the package's."""

    folders: tuple[Path, ...] = (PACKAGED,)

    def claims(self) -> dict[str, Claim]:
        """All claims by the names of their files. Raises BadInput for a broken file."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in _files(folder):
                if path.stem in found and found[path.stem].parent == folder:
                    raise BadInput(f"{found[path.stem]} and {path.name} are one claim; keep one")
                found.setdefault(path.stem, path)
        return {name: _read(path) for name, path in sorted(found.items())}


def registry_of(space: Space) -> Registry:
    """The registry with the claims beside a user's space file."""
    own = [folder.parent / "claims" for folder in space.catalog.folders if folder != CATALOG]
    return Registry((*own, PACKAGED))


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for ending in ENDINGS for path in folder.glob(f"*{ending}"))


@cache
def _read(path: Path) -> Claim:
    return read(path).validated(Claim)


def _problem(name: str, value: Any) -> str:
    """What is wrong with a setting of a claim; empty if nothing."""
    section, *path = name.split(".")
    if section not in ("fit", "attack") or not path:
        return f"{name} is no setting; write fit.NAME, attack.NAME or attack.ATTACK.NAME"
    if section == "attack" and len(path) == 2:
        return _problem_of_attack(name, *path)
    annotation = annotation_at(Space, (section, *path))
    if annotation is None:
        hint = nearest(".".join(path), fields_at(Space, (section,)))
        return f"unknown setting {name}; {hint}"
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        return f"{name}: {error.errors()[0]['msg']} (got {value!r})"
    return ""


def _problem_of_attack(name: str, attack: str, setting: str) -> str:
    catalog = Catalog()
    if attack not in catalog.names("attack"):
        return ""
    known = catalog.attack(attack).settings
    return "" if setting in known else f"unknown setting {name}; {nearest(setting, known)}"


def axes_of(figure: PublishedFigure) -> Sequence[tuple[str, str]]:
    """The axes that a figure states, and its values on them."""
    stated = ((axis, getattr(figure, axis)) for axis in AXES)
    return [(axis, value) for axis, value in stated if value is not None]
