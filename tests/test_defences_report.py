"""The report of a space with defences: gains over each and over the best, seen attacks apart, cost,
kinds of score. Results are made in memory, without a store."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import A10G, EXAMPLES, record
from test_report import column

from orchestrator.plan.plan import make_plan
from orchestrator.report.ablations import ablations
from orchestrator.report.claim import claim, compare, verdict
from orchestrator.report.comparison import overall_table, place_tables
from orchestrator.report.contents import files, tables
from orchestrator.report.defences import cost_table, costs, defences, own_gains
from orchestrator.report.gain import OverTheBest
from orchestrator.report.plots.defences import defences as plot
from orchestrator.report.provenance import cells
from orchestrator.report.results import Absent, CellResult, Outcomes, Results
from orchestrator.report.scores import scores_tables
from orchestrator.report.tables import SEEN, SEEN_NOTE, Figure, Table, as_csv, latex, markdown
from search_spaces.cell import Cell, InnerAttack
from search_spaces.space import load
from trainables.assets import Assets
from trainables.metrics import attack_metrics
from trainables.records import RanOn
from trainables.store import Store

ONE, TWO, THREE = "adversarial", "adversarial_linf", "adversarial_from_sphere"
ATTACKS = ("textfooler", "textbugger")
Robust = Mapping[tuple[str, str], int | Mapping[str, int]]  # examples right, by head and training


@cache
def planned(
    trainings: Sequence[str], attacks: Sequence[str], models: str, heads: str, seeds: int
) -> list[Cell]:
    only = ("dataset=sst2", f"model={models}", f"attack={','.join(attacks)}")
    axes = [f"axes.training=[{','.join(trainings)}]", f"axes.head=[{heads}]"]
    space = load("embedded", only, [*axes, f"attack.examples={EXAMPLES}"], list(range(seeds)))
    return make_plan(space, Assets("embedded"), Store("nowhere")).todo


def results(
    robust: Robust,
    seen: Mapping[str, str] | None = None,
    attacks: Sequence[str] = ATTACKS,
    models: str = "bert-embedded",
    heads: str = "mlp_ft,mvp",
    seeds: int = 1,
    seconds: Mapping[str, float] | None = None,
    place: Mapping[str, RanOn] | None = None,
) -> Results:
    """Results of the methods that `robust` names: right under attack are the first so many.

    seen: the kind of attack that a training makes rows with.
    """
    trainings = tuple(dict.fromkeys(["standard", *(training for _, training in robust)]))
    asked = planned(trainings, tuple(attacks), models, heads, seeds)

    def result(cell: Cell) -> CellResult:
        kind = (seen or {}).get(cell.fit.training)
        inner = kind and InnerAttack(
            name="mine", kind=kind, settings={"a": 1}, resources="embedded"
        )
        cell = cell.model_copy(update={"fit": cell.fit.model_copy(update={"attack": inner})})
        right = robust[cell.fit.head, cell.fit.training]
        right = right if isinstance(right, int) else right[cell.attack]
        records: Any = [
            record(id, "failed" if id < right else "successful") for id in range(EXAMPLES)
        ]
        fit: Any = {
            "seconds": (seconds or {}).get(cell.fit.training, 8.0) * (1 + cell.fit.seed),
            "validation_accuracy": 0.9, "test_accuracy": 0.8,
            "ran_on": (place or {}).get(cell.fit.training, A10G),
        }  # fmt: skip
        outcomes = Outcomes.of(records)
        return CellResult(cell, attack_metrics(records), outcomes, fit, [], lambda: records)

    wanted = [cell for cell in asked if (cell.fit.head, cell.fit.training) in robust]
    return Results("defences", "nowhere", list(map(result, wanted)))


def over_best(found: Results) -> OverTheBest:
    """Under the attacks that no defence has seen, if any has seen some; else under all."""
    return compare(found).over_the_best[0]


def row_of(table: Table | None, *texts: str) -> dict[str, str | Figure]:
    assert table is not None
    (row,) = (row for row in table.rows if tuple(row[: len(texts)]) == texts)
    return dict(zip(table.header, row, strict=True))


def shown(row: Mapping[str, str | Figure], name: str) -> str:
    entry = row[name]
    return entry if isinstance(entry, str) else entry.text()


def three(one: int, two: int, other: int, mvp: int) -> Robust:
    trained = {ONE: one, TWO: two, THREE: other}
    return {("mlp_ft", "standard"): 2, ("mvp", "standard"): mvp} | {
        ("mlp_ft", training): right for training, right in trained.items()
    }


def test_over_each_defence_p_is_adjusted_and_over_the_best_it_is_the_largest() -> None:
    """mvp has 12 right: 9, 7 and 6 more than the defences, which is p = 2 / 2^9 and so on."""
    found = results(three(3, 5, 6, mvp=12), attacks=("textfooler",))
    over = {each.second[1]: each for each in compare(found).over_each if each.adjusted is not None}
    assert {name: each.p_value for name, each in over.items()} == pytest.approx(
        {ONE: 2 / 2**9, TWO: 2 / 2**7, THREE: 2 / 2**6}
    )
    assert {name: each.adjusted for name, each in over.items()} == pytest.approx(
        {ONE: 3 * 2 / 2**9, TWO: 2 * 2 / 2**7, THREE: 2 / 2**6}
    )
    best = over_best(found)
    assert best.gain.second == ("mlp_ft", THREE) and best.p_value == pytest.approx(2 / 2**6)
    assert best.is_better and best.of == 3
    row = row_of(claim(compare(found)), f"mvp over the best of 3 defences (mlp_ft + {THREE})")
    assert (shown(row, "reported"), shown(row, "p")) == ("+3.5", "0.031")
    assert shown(row, "measured").startswith("+30.0 [") and row["significant"] == "yes, these fits"
    assert shown(row_of(claim(compare(found)), f"mvp over mlp_ft + {ONE}"), "reported") == "–"
    assert "adjusted for their number" in markdown(claim(compare(found)))
    assert f"Over the best of 3 defences of mlp_ft ({THREE}): +30.0" in verdict(compare(found))
    assert "; better than each of them (largest p 0.031, not adjusted)." in verdict(compare(found))


def test_over_the_best_needs_every_one_of_them() -> None:
    """Significantly better than two, and significantly worse than the third."""
    found = results(three(2, 3, 20, mvp=12), attacks=("textfooler",))
    best = over_best(found)
    assert best.gain.gain is not None and best.gain.gain.mean == pytest.approx(-0.4)
    assert not best.is_better and best.p_value == 1
    assert best.gain.p_value is not None and best.gain.p_value < 0.05
    assert "not better than each of them" in verdict(compare(found))
    equal = over_best(results(three(2, 3, 9, mvp=12), attacks=("textfooler",)))
    assert not equal.is_better and equal.p_value == pytest.approx(2 / 2**3)


def test_the_best_is_not_final_while_a_defence_is_to_come() -> None:
    found = results(three(3, 5, 6, mvp=12), attacks=("textfooler",))
    assert over_best(found).final
    axes = found.cells[0].cell.axes()
    absent = Absent({**axes, "head": "mlp_ft", "training": "freelb"}, "to do")
    assert not over_best(replace(found, absent=[absent])).final
    of_mvp = Absent({**axes, "head": "mvp", "training": "freelb"}, "to do")
    assert over_best(replace(found, absent=[of_mvp])).final


COUNTS = st.integers(0, EXAMPLES)


@settings(max_examples=25, deadline=None)
@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_adjusting_never_helps_and_the_best_is_the_hardest(
    one: int, two: int, other: int, mvp: int
) -> None:
    found = results(three(one, two, other, mvp), {TWO: "textfooler"})
    over = [each for each in compare(found).over_each if each.adjusted is not None]
    mains = [each for each in over if each.seen is not True]
    assert len(mains) == 3 and len(over) == 4
    for each in over:
        assert each.gain is not None and each.p_value is not None and each.adjusted is not None
        assert each.adjusted >= each.p_value
    best = over_best(found)
    assert best.gain.gain is not None
    assert best.p_value >= max(each.p_value or 0 for each in mains)
    assert best.gain.gain.mean == min(each.gain.mean for each in mains if each.gain)
    assert best.is_better == all(each.decision.is_better for each in mains)
    assert not best.is_better or best.p_value < 0.05


SEEN_ONE: Robust = {
    ("mlp_ft", "standard"): 2, ("mvp", "standard"): 10,
    ("mlp_ft", ONE): {"textfooler": 18, "textbugger": 4}, ("mlp_ft", TWO): 5,
}  # fmt: skip


def test_gains_over_a_defence_are_apart_by_whether_it_has_seen_the_attack() -> None:
    """The training's attack is of the kind textfooler, and of another name."""
    found = results(SEEN_ONE, {ONE: "textfooler"})
    table = claim(compare(found))
    names = f"mvp over mlp_ft + {ONE}"
    unseen = row_of(table, names, "accuracy under unseen attacks")
    seen = row_of(table, names, "accuracy under seen attacks")
    assert shown(unseen, "measured").startswith("+30.0 [")
    assert shown(seen, "measured").startswith("−40.0 [")
    assert unseen["over"] == seen["over"] == "1 data set × 1 model × 1 attack"
    other = row_of(table, f"mvp over mlp_ft + {TWO}", "accuracy under attack")
    assert shown(other, "measured").startswith("+25.0 [")
    assert over_best(found).gain.second == ("mlp_ft", TWO)
    assert row_of(defences(found)[0], f"mlp_ft + {ONE}", "mlp_ft", "accuracy under seen attacks")
    assert "Seen attacks are of the kind" in markdown(table)


def test_a_defence_that_has_seen_all_attacks_is_compared_under_these() -> None:
    found = results(SEEN_ONE, {ONE: "textfooler"}, attacks=("textfooler",))
    over = [each for each in compare(found).over_each if each.second == ("mlp_ft", ONE)]
    assert [each.seen for each in over] == [True]
    best = over_best(found)
    assert best.gain.second == ("mlp_ft", ONE) and not best.is_better


def test_figures_of_seen_attacks_are_marked_in_every_form() -> None:
    found = results(SEEN_ONE, {ONE: "textfooler"}, models="bert-embedded,roberta-embedded")
    summary = overall_table(found)
    assert summary is not None
    for table in (summary, place_tables(found)[0]):
        marked = {
            name: {head for head, figure in column(table, name).items() if figure.seen}
            for name in table.header[1:6]
        }
        own = {f"mlp_ft + {ONE}"}
        assert marked["clean"] == marked["textbugger"] == set()
        assert marked["textfooler"] == marked["worst case"] == own
        assert SEEN_NOTE in table.all_notes()
        assert f"90.0{SEEN}" in markdown(table) and "90.0$^\\dagger$" in latex(table)
        rows = {row["head"]: row for row in csv.DictReader(io.StringIO(as_csv(table)))}
        of_seen = [head for head, row in rows.items() if row["textfooler seen"] == "True"]
        assert of_seen == [f"mlp_ft + {ONE}"]
        assert rows[f"mlp_ft + {ONE}"]["textfooler (share)"] == "0.9"
    every = list(csv.DictReader(io.StringIO(as_csv(cells(found)))))
    marked_cells = {(row["training"], row["attack"]) for row in every if row["seen"] == "yes"}
    assert marked_cells == {(ONE, "textfooler")}


def test_each_training_is_compared_with_its_heads_standard_one_and_nowhere_twice() -> None:
    robust: Robust = {
        ("mlp_ft", "standard"): 2, ("mlp_ft", ONE): 10, ("mlp_ft", "standard_5pct"): 1,
        ("mvp", "standard"): 5, ("mvp", ONE): 13, ("mvp", TWO): 12,
        ("untrained_mvp", "standard"): 1, ("untrained_mvp", ONE): 2,
    }  # fmt: skip
    found = results(robust, attacks=("textfooler",), heads="mlp_ft,mvp,untrained_mvp")
    compared = {(each.first, each.second): each for each in own_gains(found)}
    assert list(compared) == [
        (("mlp_ft", ONE), ("mlp_ft", "standard")),
        (("mvp", ONE), ("mvp", "standard")),
        (("mvp", TWO), ("mvp", "standard")),
        (("untrained_mvp", ONE), ("untrained_mvp", "standard")),
    ]
    of_mvp = [each for (first, _), each in compared.items() if first[0] == "mvp"]
    assert [each.p_value for each in of_mvp] == pytest.approx([2 / 2**8, 2 / 2**7])
    assert [each.adjusted for each in of_mvp] == pytest.approx([4 / 2**8, 4 / 2**8])
    variants = ablations(found)
    assert variants is not None
    assert {str(row[0]) for row in variants.rows} == {"mlp_ft + standard_5pct", "untrained_mvp"}
    firsts = {str(row[0]).partition(" over ")[0] for row in claim(compare(found)).rows}
    assert firsts == {"mvp"}


def test_a_space_without_defences_has_none_of_these_tables() -> None:
    robust: Robust = {("mlp_ft", "standard"): 2, ("mlp_ft", "standard_5pct"): 1,
                      ("mvp", "standard"): 9}  # fmt: skip
    found = results(robust)
    assert not [table.name for table in tables(found) if "defences" in table.name]
    compared = compare(found)
    assert "p, adjusted" not in claim(compared).header and "Over" not in verdict(compared)


CPU: RanOn = {**A10G, "device": "cpu", "threads": 1, "driver": None}


def test_robustness_stands_beside_the_cost_of_training() -> None:
    """ONE takes 3 times as long; TWO was made on another device; clean accuracy is all right."""
    robust = {**SEEN_ONE, ("mvp", ONE): 11}
    seconds = {ONE: 24.0, TWO: 80.0}
    found = results(robust, {ONE: "textfooler"}, seconds=seconds, place={TWO: CPU}, seeds=3)
    by_method = {each.method: each for each in costs(found)}
    assert by_method["mlp_ft", ONE].multiple == by_method["mvp", ONE].multiple == pytest.approx(3)
    assert by_method["mlp_ft", ONE].pairs == 3
    assert by_method["mlp_ft", TWO].multiple is None and by_method["mlp_ft", TWO].pairs == 0
    row = row_of(cost_table(found), f"mlp_ft + {ONE}")
    assert shown(row, "training, × standard") == "3.0" and shown(row, "under attack") == "55.0†"
    assert shown(row, "under attacks unseen by all") == "20.0"
    assert shown(row, "clean, over standard").startswith("+0.0 [")
    assert shown(row_of(cost_table(found), "mlp_ft"), "training, × standard") == "1.0"
    made = files(found)
    assert {"tables/defences.csv", "tables/defences-cost.tex", "plots/defences-cost.pdf"} <= set(
        made
    )
    assert b'<h2 id="defences">' in made["index.html"]
    assert b"training." + ONE.encode() + b".mine.a" in made["tables/settings.csv"]


def test_fits_that_do_not_say_where_they_were_made_have_no_cost() -> None:
    found = results(SEEN_ONE)
    for result in found.cells:
        del result.fit["ran_on"]  # type: ignore[misc]
    assert {each.multiple for each in costs(found) if each.method[1] != "standard"} == {None}
    assert plot(found, cost_table(found)) is None


def by_scores(probability: Robust, textattack: Robust) -> Results:
    first, second = results(probability), results(textattack)
    return replace(first, by_scores={"probability": first.cells, "textattack": second.cells})


def test_a_gain_that_another_kind_of_score_takes_away_does_not_survive() -> None:
    """ONE gains under TextAttack's scores alone, TWO under both, THREE under none."""
    found = by_scores(three(2, 18, 2, mvp=5), three(17, 17, 3, mvp=5))
    survival = {table.name: table for table in scores_tables(found)}["scores-defences"]
    rows = {name: row_of(survival, f"mlp_ft + {name}") for name in (ONE, TWO, THREE)}
    assert {name: row["survives"] for name, row in rows.items()} == {
        ONE: "no: not under probability", TWO: "yes", THREE: "–",
    }  # fmt: skip
    assert shown(rows[ONE], "textattack").startswith("+75.0 [")
    assert shown(rows[ONE], "change, textattack") == "+75.0"
    assert shown(rows[ONE], "p, change, textattack") == "<0.001"
    assert shown(rows[ONE], "lowest of these").startswith("+0.0")
    assert shown(rows[ONE], "largest p") == "1.000"
