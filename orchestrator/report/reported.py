"""Published figures next to ours: what the registry of claims has, and what was measured for each.

A measured figure is of the same data set, head, training and attack, and of the same model, if any
was run. What else differs from the publication's protocol is said in words.
"""

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any

from orchestrator.report.provenance import settings_of
from orchestrator.report.registry import Claim, PublishedFigure, Registry, axes_of
from orchestrator.report.results import CellResult, Results, name_of
from orchestrator.report.tables import Entry, Figure, Table, markdown
from search_spaces.catalog import Catalog, attack_settings
from search_spaces.errors import BadInput
from search_spaces.space import Space
from search_spaces.yaml_file import annotation_at

ABSTRACT = "mvp-abstract"
ABOUT = (
    "Measured: mean over seeds, and over attacks if none is stated. Published figures of one cell "
    "differ by 30 points between papers: without its protocol such a figure says little."
)


def paper() -> dict[str, Any]:
    """What the paper's abstract says: its source, and its gains in points, by name."""
    claim = Registry().claims()[ABSTRACT]
    gains = {name: gain.points for name, gain in claim.gains.items()}
    return {"source": claim.paper, "gains": gains}


def reported_and_measured(results: Results, everything: bool = True) -> Table | None:
    """A row per published figure; None if there is none to show.

    everything: figures of which nothing, or another model, was measured are rows too.
    """
    rows: list[list[Entry]] = []
    shown: dict[str, Claim] = {}
    for name, claim in results.registry.claims().items():
        for figure in claim.figures:
            exact = [result for result in results.cells if _is_of(result, figure)]
            if not exact and not everything:
                continue
            without_model = figure.model_copy(update={"model": None})
            measured = exact or [r for r in results.cells if _is_of(r, without_model)]
            seen = {r.cell.attack for r in measured if results.has_seen(r.method, [r.place])}
            rows.append(_row(claim, figure, measured, sorted(seen)))
            shown[name] = claim
    if not rows:
        return None
    header = [
        "source", "data set", "model", "head", "attack", "how ours differs", "clean, published",
        "clean, measured", "under attack, published", "under attack, measured", "examples",
    ]  # fmt: skip
    notes = [ABOUT, *(_about(claim) for claim in shown.values())]
    return Table("reported", "Published and measured", header, rows, texts=6, notes=notes)


def listed(registry: Registry) -> str:
    """All claims as Markdown: figures, gains, and where they are from."""
    claims = registry.claims()
    header = ["claim", "data set", "model", "head", "attack", "clean", "under attack"]
    rows: list[list[Entry]] = [
        [name, *_place(figure), _published(figure.clean), _published(figure.under_attack)]
        for name, claim in claims.items()
        for figure in claim.figures
    ]
    gains: list[list[Entry]] = [
        [name, gain.of, Figure(gain.points, percent=False, signed=True)]
        for name, claim in claims.items()
        for gain in claim.gains.values()
    ]
    sources = [f"- `{name}`: {_about(claim)}" for name, claim in claims.items()]
    return "\n".join(
        [
            markdown(Table("figures", "Published figures, in %", header, rows, texts=5)),
            markdown(Table("gains", "Published gains", ["claim", "of", "points"], gains, texts=2)),
            "### Sources\n",
            *sources,
        ]
    )


def _about(claim: Claim) -> str:
    notes = [figure.note for figure in claim.figures if figure.note]
    said = [f"{claim.source}. Protocol: {claim.protocol}. Read: {claim.read}", claim.note, *notes]
    return " ".join(f"{text.rstrip('.')}." for text in said if text)


def _row(
    claim: Claim, figure: PublishedFigure, measured: list[CellResult], seen: list[str]
) -> list[Entry]:
    """seen: the attacks among those of the measured cells that their training has seen."""
    final = all(result.final for result in measured)
    differ = differences(claim, figure, measured) if measured else "not run"
    trained_on = [f"ours has seen {', '.join(seen)} in training"] if seen else []
    return [
        claim.source,
        *_place(figure),
        "; ".join([differ, *trained_on]),
        _published(figure.clean),
        Figure(_mean(measured, "clean_accuracy"), final=final),
        _published(figure.under_attack),
        Figure(_mean(measured, "accuracy_under_attack"), final=final, seen=bool(seen)),
        str(sum(len(result.outcomes.ids) for result in measured)),
    ]


def _place(figure: PublishedFigure) -> list[Entry]:
    method = name_of((figure.head, figure.training))
    return [figure.dataset, figure.model, method, figure.attack or "not stated"]


def _published(percent: float | None) -> Figure:
    return Figure(None if percent is None else percent / 100)


def _mean(measured: Iterable[CellResult], metric: str) -> float | None:
    values = [value for r in measured if (value := r.metrics[metric]) is not None]
    return mean(values) if values else None


def _is_of(result: CellResult, figure: PublishedFigure) -> bool:
    axes = result.cell.axes()
    return all(axes[axis] == value for axis, value in axes_of(figure))  # type: ignore[literal-required]


def differences(claim: Claim, figure: PublishedFigure, measured: Iterable[CellResult]) -> str:
    """What differs between the protocols of measured cells and of a published figure, in words."""
    found: dict[str, tuple[Any, dict[str, None]]] = {}
    for result in measured:
        ours = {"model": result.cell.fit.model, **settings_of(result)}
        if figure.attack is None:
            found.setdefault("attack", ("not stated", {}))[1][result.cell.attack] = None
        for name, theirs in {"model": figure.model, **_settings(claim, result)}.items():
            value = ours.get(name, _default(name))
            if value != theirs:
                found.setdefault(name, (theirs, {}))[1][_said(value)] = None
    said = [
        f"{name} {', '.join(values)} (published: {_said(theirs)})"
        for name, (theirs, values) in found.items()
    ]
    if not claim.settings:
        said.append("their settings are not known")
    return "; ".join(said) or "in nothing that is known"


def _settings(claim: Claim, result: CellResult) -> Mapping[str, Any]:
    """A claim's settings that apply to a cell; a protocol as the attack's settings under it."""
    cell = result.cell
    settings = {
        name: value
        for name, value in claim.settings.items()
        if name.count(".") == 1 or name.startswith(f"attack.{cell.attack}.")
    }
    protocol = settings.pop("attack.protocol", None)
    if protocol is None:
        return settings
    try:
        entry = Catalog().attack(cell.attack)
        resolved = attack_settings(entry, cell.fit.data, protocol, cell.attack_resources)
    except BadInput:  # an attack of the user's own
        return settings
    budget = {"attack.query_budget": resolved.pop("query_budget", None)}
    of_attack = {f"attack.{cell.attack}.{name}": value for name, value in resolved.items()}
    return {**budget, **of_attack, **settings}


def _default(name: str) -> Any:
    """A setting's value where a cell does not name it."""
    section, *path = name.split(".")
    if len(path) != 1:
        return "not a setting here"
    return annotation_at(Space, (section,)).model_fields[path[0]].default


def _said(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
