"""The axes of a grid as people write them: names, seeds, and selections of them.

A name or seed that is given twice counts once.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    model_serializer,
    model_validator,
)

from search_spaces.catalog import AXES
from search_spaces.errors import BadInput, nearest
from search_spaces.yaml_file import Written

MOST_SEEDS = 10_000
TOO_MANY = f"more than {MOST_SEEDS:,} seeds"
SEEDS = re.compile(r"(?P<first>[0-9]{1,20})(?:\s*-\s*(?P<last>[0-9]{1,20}))?")


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` or `0-2` as a list of integers. Raises BadInput for anything else."""
    try:
        return _ranges(text)
    except ValueError as error:
        raise BadInput(f"--seeds {text}: {error}") from None


def narrow(axes: Mapping[str, Sequence[str]], only: Iterable[str]) -> dict[str, list[str]]:
    """The values of each axis that `--only` keeps. Raises BadInput for one that is not there."""
    kept: dict[str, list[str]] = {}
    for choice in only:
        axis, equals, listed = choice.partition("=")
        axis, values = axis.strip(), [value.strip() for value in listed.split(",")]
        if not equals or not all(values):
            raise BadInput(f"--only {choice}: write it as axis=value[,value], e.g. head=mvp")
        if axis not in axes:
            hint = "give --seeds" if axis in ("seed", "seeds") else nearest(axis, axes)
            raise BadInput(f"--only {choice}: unknown axis {axis!r}; {hint}")
        for value in values:
            if value not in axes[axis]:
                raise BadInput(
                    f"--only {choice}: this space has no {axis} {value!r}; "
                    f"{nearest(value, axes[axis])}"
                )
        kept[axis] = list(dict.fromkeys([*kept.get(axis, []), *values]))
    return {axis: kept.get(axis, list(values)) for axis, values in axes.items()}


def as_list(value: Any) -> Any:
    """A single name as a list of one."""
    if isinstance(value, str) and "," in value:
        raise ValueError(f"expected a list, as [{value}]")
    return value if value is None or isinstance(value, (list, dict)) else [value]


def _merged(names: list[str]) -> list[str]:
    """Each name once. They become folder names, whose case some systems ignore."""
    merged = list(dict.fromkeys(names))
    for number, name in enumerate(merged):
        for other in merged[:number]:
            if name.lower() == other.lower():
                raise ValueError(f"{other} and {name} differ in case only; rename one of them")
    return merged


def as_seeds(value: Any) -> Any:
    """Seeds as people write them: numbers, and ranges such as 0-2."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"write [{value}] for the seed {value} alone, and 0-2 for 0, 1 and 2")
    if not isinstance(value, (str, list)):
        return value
    seeds: list[Any] = []
    for item in [value] if isinstance(value, str) else value:
        if isinstance(item, bool):
            raise ValueError(f"a seed is a number, not the boolean {str(item).lower()}")
        seeds += _ranges(item) if isinstance(item, str) else [item]
        if len(seeds) > MOST_SEEDS:
            raise ValueError(TOO_MANY)
    return seeds


def _alone(value: Any) -> Any:
    return [value] if isinstance(value, int) else value


def _ranges(text: str) -> list[int]:
    """`0,1,2` or `0-2` as a list of integers."""
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = SEEDS.fullmatch(part.strip())
        if match is None:
            raise ValueError("write seeds as 0,1,2 or 0-2")
        first, last = int(match["first"]), int(match["last"] or match["first"])
        if last < first:
            raise ValueError(f"{part.strip()} ends before it begins; write seeds as 0,1,2 or 0-2")
        if last - first >= MOST_SEEDS:
            raise ValueError(TOO_MANY)
        seeds |= dict.fromkeys(range(first, last + 1))
    return list(seeds)


# Names become parts of paths in the catalog and the store: no slash, no `..`.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,40}$")]
Names = Annotated[
    list[Name],
    BeforeValidator(as_list),
    AfterValidator(_merged),
    Field(min_length=1),
]
Seed = Annotated[int, Field(ge=0, lt=2**32, description="what NumPy takes")]
Seeds = Annotated[
    list[Seed],
    BeforeValidator(as_seeds),
    AfterValidator(lambda seeds: list(dict.fromkeys(seeds))),
    Field(min_length=1, max_length=MOST_SEEDS),
]


class Axes(Written):
    """The grid: every combination of these names, times the seeds."""

    dataset: Names
    model: Names
    head: Names
    training: Names = Field(["standard"])
    attack: Names


class Some(Written):
    """Part of the grid: the places that have one of these names on each axis given."""

    dataset: Names = Field([])
    model: Names = Field([])
    head: Names = Field([])
    training: Names = Field([])
    attack: Names = Field([])

    @model_validator(mode="after")
    def _some_and_not_all(self) -> "Some":
        if not self.given():
            raise ValueError(f"names no axis; give one or more of {', '.join(AXES)}")
        return self

    def given(self) -> dict[str, list[Any]]:
        """The values by axis."""
        axes = (*AXES, "seed")
        return {axis: values for axis in axes if (values := getattr(self, axis, None))}

    def has(self, place: Mapping[str, object]) -> bool:
        """Whether a place is one of them; a place without an axis has none of its values."""
        return all(place.get(axis) in values for axis, values in self.given().items())

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return self.given()


class Exclusion(Some):
    """Combinations that are left out of the grid, and why."""

    seed: Annotated[Seeds, BeforeValidator(_alone)] = Field([])
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {**self.given(), "reason": self.reason}
