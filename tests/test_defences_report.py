"""The report of a space with defences: gains over each and over the best, seen attacks apart, cost,
kinds of score. Results are made in memory, without a store."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import A10G, EXAMPLES, record
from test_report import column

from orchestrator.plan.plan import make_plan
from orchestrator.plan.scores import with_scores
from orchestrator.report.ablations import ablations
from orchestrator.report.claim import claim, compare, verdict
from orchestrator.report.comparison import overall_table, place_tables
from orchestrator.report.contents import files, tables
from orchestrator.report.defences import cost_table, costs, defences, own_gains
from orchestrator.report.forest import ranking
from orchestrator.report.gain import OverTheBest
from orchestrator.report.plots.defences import defences as plot
from orchestrator.report.provenance import cells
from orchestrator.report.registry import Registry
from orchestrator.report.reported import reported_and_measured
from orchestrator.report.results import Absent, CellResult, Outcomes, Results
from orchestrator.report.scores import scores_tables
from orchestrator.report.slices import slices
from orchestrator.report.tables import SEEN, SEEN_NOTE, Figure, Table, as_csv, latex, markdown
from orchestrator.report.worst_case import worst_case
from search_spaces.cell import Cell, InnerAttack
from search_spaces.space import load
from trainables.assets import Assets
from trainables.metrics import attack_metrics
from trainables.records import RanOn
from trainables.store import Store

ONE, TWO, THREE = "adversarial", "adversarial_linf", "adversarial_from_sphere"
CONTROL = "high_temperature_embedded"
ATTACKS = ("textfooler", "textbugger")
Robust = Mapping[tuple[str, str], int | Mapping[str, int]]  # examples right, by head and training


@cache
def planned(
    trainings: Sequence[str], attacks: Sequence[str], data: str, models: str, heads: str, seeds: int
) -> list[Cell]:
    only = (f"dataset={data}", f"model={models}", f"attack={','.join(attacks)}")
    axes = [f"axes.training=[{','.join(trainings)}]", f"axes.head=[{heads}]"]
    space = load("embedded", only, [*axes, f"attack.examples={EXAMPLES}"], list(range(seeds)))
    return make_plan(space, Assets("embedded"), Store("nowhere")).todo


def results(
    robust: Robust,
    seen: Mapping[str, str] | None = None,
    attacks: Sequence[str] = ATTACKS,
    data: str = "sst2",
    models: str = "bert-embedded",
    heads: str = "mlp_ft,mvp",
    seeds: int = 1,
    seconds: Mapping[str, float] | None = None,
    place: Mapping[str, RanOn] | None = None,
    clean: Mapping[str, int] | None = None,
    kinds: Mapping[str, str] | None = None,
    record_of: Mapping[str, Mapping[str, Any]] | None = None,
) -> Results:
    """Results of the methods that `robust` names: right under attack are the first so many.

    seen: the kind of attack that a training makes rows with. clean: how many are right before. The
    others are by training too. record_of: what else its fits say.
    """
    trainings = tuple(dict.fromkeys(["standard", *(training for _, training in robust)]))
    asked = planned(trainings, tuple(attacks), data, models, heads, seeds)

    def result(cell: Cell) -> CellResult:
        kind = (seen or {}).get(cell.fit.training)
        inner = kind and InnerAttack(
            name="mine", kind=kind, settings={"a": 1}, resources="embedded"
        )
        entry = cell.fit.training_entry
        kind_of = (kinds or {}).get(cell.fit.training, entry.kind)
        entry = entry.model_copy(update={"kind": kind_of})
        changed = {"attack": inner, "training_entry": entry}
        cell = cell.model_copy(update={"fit": cell.fit.model_copy(update=changed)})
        right = robust[cell.fit.head, cell.fit.training]
        right = right if isinstance(right, int) else right[cell.attack]
        before = (clean or {}).get(cell.fit.training, EXAMPLES)
        records: Any = [
            record(id, "failed" if id < right else "successful" if id < before else "skipped")
            for id in range(EXAMPLES)
        ]
        fit: Any = {
            "seconds": (seconds or {}).get(cell.fit.training, 8.0) * (1 + cell.fit.seed),
            "validation_accuracy": 0.9, "test_accuracy": 0.8,
            "ran_on": (place or {}).get(cell.fit.training, A10G),
            **(record_of or {}).get(cell.fit.training, {}),
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
    assert best.is_better and len(best.over_each) == 3
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


def test_the_best_is_chosen_and_compared_on_what_all_defences_have() -> None:
    """ONE has seen textfooler and TWO nothing: under textbugger TWO is the best, under both ONE.

    Over what each has for itself, mvp would gain +30 over ONE (unseen) and +20 over TWO (all)."""
    robust: Robust = {
        ("mlp_ft", "standard"): 2, ("mvp", "standard"): 12,
        ("mlp_ft", ONE): {"textfooler": 20, "textbugger": 6},
        ("mlp_ft", TWO): {"textfooler": 5, "textbugger": 11},
    }  # fmt: skip
    compared = compare(
        results(robust, {ONE: "textfooler"}, models="bert-embedded,roberta-embedded")
    )
    unseen, every = compared.over_the_best
    assert [each.gain and each.gain.mean for each in unseen.over_each] == pytest.approx([0.3, 0.05])
    assert [each.gain and each.gain.mean for each in every.over_each] == pytest.approx([-0.05, 0.2])
    assert (unseen.gain.second[1], every.gain.second[1]) == (TWO, ONE)
    assert not unseen.is_better and unseen.p_value == 1.0 == every.p_value
    table, best = claim(compared), "mvp over the best of 2 defences (mlp_ft + {})"
    of_unseen = row_of(table, best.format(TWO), "accuracy under attacks unseen by all")
    of_every = row_of(table, best.format(ONE), "accuracy, all attacks")
    assert of_unseen["over"] == "1 data set × 2 models × 1 attack"
    assert of_every["over"] == "1 data set × 2 models × 2 attacks"
    assert (shown(of_unseen, "reported"), shown(of_every, "reported")) == ("–", "+3.5")
    assert shown(of_every, "measured").startswith(f"−5.0{SEEN} [")
    assert SEEN not in shown(of_unseen, "measured")
    said = verdict(compared)
    assert f"({TWO}): +5.0 of accuracy under attacks unseen by all, 95 %" in said
    assert f"({ONE}): −5.0 of accuracy, all attacks, some of them seen in training, 95 %" in said

    def lacks(result: CellResult) -> bool:
        return result.method[1] == TWO and result.place[1] == "roberta-embedded"

    less = claim(compare(compared.results.only(lambda result: not lacks(result))))
    assert {str(row[2]) for row in less.rows if "the best of" in str(row[0])} == {
        "1 data set × 1 model × 1 attack", "1 data set × 1 model × 2 attacks",
    }  # fmt: skip


def test_the_best_is_over_the_examples_that_all_defences_have() -> None:
    """Of TWO only the first 10 are attacked, which mvp has right and ONE has half."""
    found = results(three(5, 8, 5, mvp=10), attacks=("textfooler",))

    def fewer(result: CellResult) -> CellResult:
        of_two = result.method[1] == TWO
        return replace(result, outcomes=Outcomes.of(result.records()[: 10 if of_two else EXAMPLES]))

    best = over_best(replace(found, cells=list(map(fewer, found.cells))))
    assert [each.gain and each.gain.mean for each in best.over_each] == pytest.approx(
        [0.5, 0.2, 0.5]
    )


def test_a_control_is_no_defence_and_has_rows_of_its_own() -> None:
    """With it the others' p-values are what they are without it."""
    alone = results(three(3, 5, 6, mvp=12), attacks=("textfooler",))
    robust = {**three(3, 5, 6, mvp=12), ("mlp_ft", CONTROL): 20, ("mvp", CONTROL): 20}
    found = results(robust, attacks=("textfooler",))
    assert compare(found).over_the_best == compare(alone).over_the_best
    assert compare(found).over_each == compare(alone).over_each
    own = {each.first: each for each in own_gains(found)}
    assert own == {each.first: each for each in own_gains(alone)} | {
        method: own[method] for method in (("mlp_ft", CONTROL), ("mvp", CONTROL))
    }
    assert own["mlp_ft", CONTROL].adjusted is None and own["mlp_ft", CONTROL].gain is not None
    row = row_of(claim(compare(found)), f"mvp over mlp_ft + {CONTROL} (control)")
    assert (shown(row, "p, adjusted"), shown(row, "reported")) == ("–", "–")
    assert shown(row, "measured").startswith("−40.0 [")
    gains, costs_of = defences(found)
    for table in (gains, costs_of):
        assert row_of(table, f"mlp_ft + {CONTROL} (control)")
        assert any(note.startswith("Control: ") for note in table.notes)
    assert ablations(found) is None


@pytest.mark.parametrize("kind", ["high_temperature", "mine.training:Own"])
def test_the_papers_figure_stands_beside_published_defences_alone(kind: str) -> None:
    robust: Robust = {("mlp_ft", "standard"): 2, ("mvp", "standard"): 9, ("mlp_ft", TWO): 4}
    compared = compare(results(robust, kinds={TWO: kind}))
    rows = {str(row[0]): row for row in claim(compared).rows}
    reported = {name for name, row in rows.items() if row[3] == Figure(0.035, signed=True)}
    assert reported == {"mvp over mlp_ft + adversarial"}
    assert rows["mvp over mlp_ft + adversarial"][2] == "not run"
    assert any(name.startswith(f"mvp over mlp_ft + {TWO}") for name in rows)


def test_a_defence_that_has_seen_attacks_is_beside_the_papers_figure_under_all_of_them() -> None:
    robust: Robust = {("mlp_ft", "standard"): 2, ("mvp", "standard"): 9, ("mlp_ft", TWO): 4}
    table = claim(compare(results(robust, {TWO: "textfooler"})))
    found = {row[1]: shown(dict(zip(table.header, row, strict=True)), "reported")
             for row in table.rows if row[0] == f"mvp over mlp_ft + {TWO}"}  # fmt: skip
    assert found == {
        "accuracy, all attacks": "+3.5",
        "accuracy under unseen attacks": "–",
        "accuracy under seen attacks": "–",
    }


def test_the_best_is_not_final_while_a_defence_is_to_come() -> None:
    found = results(three(3, 5, 6, mvp=12), attacks=("textfooler",))
    assert over_best(found).final
    axes = found.cells[0].cell.axes()
    absent = Absent({**axes, "head": "mlp_ft", "training": "freelb"}, "to do")
    assert not over_best(replace(found, absent=[absent])).final
    for other in ("standard_5pct", CONTROL, "high_temperature"):
        absent = Absent({**axes, "head": "mlp_ft", "training": other}, "to do")
        assert over_best(replace(found, absent=[absent])).final
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


def test_where_a_row_is_seen_nothing_is_bold_and_a_column_is_unseen_by_all() -> None:
    """ONE is far the best under the attack that it has seen, TWO under the other one."""
    robust: Robust = {
        ("mlp_ft", "standard"): 1, ("mlp_ft", ONE): {"textfooler": 19, "textbugger": 2},
        ("mlp_ft", TWO): {"textfooler": 3, "textbugger": 16},
    }  # fmt: skip
    found = results(robust, {ONE: "textfooler"}, models="bert-embedded,roberta-embedded")
    summary = overall_table(found)
    assert summary is not None
    for table in (summary, place_tables(found)[0]):
        bold = {
            name
            for row in table.rows
            for name, entry in zip(table.header, row, strict=True)
            if isinstance(entry, Figure) and entry.best
        }
        assert bold == {"textbugger", *(["unseen by all"] if table is summary else [])}
        assert any("nothing in it is bold" in note for note in table.notes)
    worst, ranks = worst_case(found), ranking(found)
    assert worst is not None and ranks is not None
    unseen = {f"mlp_ft + {ONE}": 0.1, f"mlp_ft + {TWO}": 0.8, "mlp_ft": 0.05}
    for table, name in (
        (summary, "unseen by all"), (ranks, "unseen by all"), (worst, "worst case, unseen by all"),
    ):  # fmt: skip
        figures = column(table, name)
        assert {head: each.value for head, each in figures.items()} == pytest.approx(unseen)
        assert not any(each.seen for each in figures.values())
    first = column(ranks, "first, unseen by all")
    assert first[f"mlp_ft + {TWO}"].value == pytest.approx(1, abs=0.01)
    assert column(ranks, "first")[f"mlp_ft + {ONE}"].seen
    by_slice = slices(found)
    assert by_slice is not None
    assert {name for row in by_slice.rows for name, entry in zip(by_slice.header, row, strict=True)
            if isinstance(entry, Figure) and entry.seen} == {f"mlp_ft + {ONE}"}  # fmt: skip


def test_a_measured_figure_of_a_seen_attack_says_so_beside_the_published_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "somebody.yaml").write_text(
        "paper: A Paper\nwhere: Table 3\nread: the paper\nprotocol: unknown\nfigures:\n"
        + "".join(
            f"  - {{dataset: sst2, model: bert-embedded, head: mlp_ft, training: {ONE}, "
            f"attack: {attack}, under_attack: 40}}\n"
            for attack in ATTACKS
        )
    )
    found = replace(
        results(SEEN_ONE, {ONE: "textfooler"}), registry=Registry((tmp_path / "claims",))
    )
    table = reported_and_measured(found, everything=False)
    assert table is not None
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    said = {row["attack"]: row for row in rows if row["head"] == f"mlp_ft + {ONE}"}
    differs = {
        name: "has seen textfooler" in str(row["how ours differs"]) for name, row in said.items()
    }
    assert differs == {"textfooler": True, "textbugger": False}
    assert shown(said["textfooler"], "under attack, measured") == f"90.0{SEEN}"
    assert shown(said["textbugger"], "under attack, measured") == "20.0"


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


def test_time_per_example_seen_leaves_out_how_long_a_fit_went_on() -> None:
    record_of = {"standard": {"examples_seen": 400}, ONE: {"examples_seen": 800}}
    found = results(SEEN_ONE, seconds={ONE: 24.0}, record_of=record_of, seeds=2)
    row = row_of(cost_table(found), f"mlp_ft + {ONE}")
    assert shown(row, "training, × standard") == "3.0"
    assert (
        shown(row, "per example seen, × standard") == "1.5" and shown(row, "pairs of fits") == "2"
    )
    assert (
        shown(row_of(cost_table(found), f"mlp_ft + {TWO}"), "per example seen, × standard") == "–"
    )


def test_clean_accuracy_below_standard_is_decided_within_the_head() -> None:
    """6 examples lost is p = 2 / 2^6 = 0.031: of one defence below, of two not, a control aside."""
    lost = EXAMPLES - 6
    one: Robust = {("mlp_ft", "standard"): 2, ("mlp_ft", ONE): 3, ("mlp_ft", CONTROL): 3}
    for robust, said in ((one, "yes"), ({**one, ("mlp_ft", TWO): 3}, "no")):
        found = cost_table(results(robust, attacks=("textfooler",), clean={ONE: lost}))
        assert row_of(found, f"mlp_ft + {ONE}")["clean below standard"] == f"{said}, these fits"
        assert row_of(found, "mlp_ft")["clean below standard"] == "–"


def test_a_defence_without_a_standard_training_has_a_row() -> None:
    robust = {("mlp_ft", "standard"): 2, ("mlp_ft", ONE): 3, ("mvp", ONE): 9}
    table = cost_table(results(robust))
    row = row_of(table, f"mvp + {ONE}")
    assert shown(row, "under attack") == "45.0"
    assert {shown(row, name) for name in (
        "clean, over standard", "clean below standard", "training, × standard", "pairs of fits",
    )} == {"–"}  # fmt: skip
    assert table is not None and any(f"compare with: mvp + {ONE}." in note for note in table.notes)
    of_control: Robust = {("mvp", ONE): 9, ("mvp", CONTROL): 9}
    assert results(of_control).standard_of(("mvp", ONE)) is None


@pytest.mark.parametrize(
    ("said", "shown_as", "warned"),
    [
        ({"added_rows": [30, 20, 7, 0], "rounds_in_weights": 3}, "57 in 4 rounds", None),
        ({"added_rows": [30, 27], "rounds_in_weights": 0}, "57 in 2 rounds", "2 kept weights"),
        ({"added_rows": [0, 27], "rounds_in_weights": 1}, "27 in 2 rounds", "2 kept weights"),
        ({"added_rows": [0], "rounds_in_weights": 1}, "0 in 1 round", "2 added no row"),
    ],
)
def test_rows_that_a_training_added_stand_beside_its_cost(
    said: Mapping[str, Any], shown_as: str, warned: str | None
) -> None:
    found = results(SEEN_ONE, {ONE: "textfooler"}, record_of={ONE: said}, seeds=2)
    gains, cost = defences(found)
    assert row_of(cost, f"mlp_ft + {ONE}")["rows added"] == shown_as
    assert row_of(cost, "mlp_ft")["rows added"] == "–"
    for table in (gains, cost, claim(compare(found))):
        warnings = [each for each in table.warnings if f"of 2 fits of mlp_ft + {ONE}" in each]
        assert [warned in each for each in warnings if warned] == ([True] if warned else [])
        assert bool(warnings) == (warned is not None)
    rows = list(csv.DictReader(io.StringIO(as_csv(cells(found)))))
    assert {row["training"]: row["rows_added"] for row in rows}[ONE] == shown_as
    assert {row["rounds_in_weights"] for row in rows} == {"", str(said["rounds_in_weights"])}


def test_fits_that_do_not_say_where_they_were_made_have_no_cost() -> None:
    found = results(SEEN_ONE)
    for result in found.cells:
        del result.fit["ran_on"]  # type: ignore[misc]
    assert {each.multiple for each in costs(found) if each.method[1] != "standard"} == {None}
    assert plot(found, cost_table(found)) is None


def by_scores(probability: Robust, other: Robust, kind: str = "textattack", **more: Any) -> Results:
    """Results under two kinds of score, which have a cell in common where they order alike."""
    first, second = results(probability, **more), results(other, **more)
    under = [
        replace(one if cell.key == one.cell.key else two, cell=cell)
        for one, two in zip(first.cells, second.cells, strict=True)
        for cell in [with_scores(one.cell, kind)]
    ]
    return replace(first, by_scores={"probability": first.cells, kind: under})


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
    assert shown(rows[ONE], "largest p, adjusted") == "1.000"
    assert rows[ONE]["places, textattack"] == "2 of 2"


def survival_of(found: Results, method: str) -> dict[str, str | Figure]:
    return row_of({table.name: table for table in scores_tables(found)}["scores-defences"], method)


def test_cells_in_common_say_nothing_of_another_kind_of_score() -> None:
    """margin orders two classes as probability does: sst2 is attacked once. In ag_news all of the
    gain is gone, and the mean over both would still be +37.5."""
    robust, gone = three(2, 17, 2, mvp=5), three(2, 2, 2, mvp=5)
    alone = survival_of(by_scores(robust, gone, "margin"), f"mlp_ft + {TWO}")
    assert alone["margin"] == alone["survives"] == alone["change, margin"] == "same cells"
    assert alone["places, margin"] == "0 of 2" and shown(alone, "largest p, adjusted") == "–"
    both = survival_of(by_scores(robust, gone, "margin", data="sst2,ag_news"), f"mlp_ft + {TWO}")
    assert both["places, margin"] == "2 of 4" and both["survives"] == "no: not under margin"
    assert shown(both, "margin").startswith("+0.0") and shown(both, "change, margin") == "−75.0"
    assert shown(both, "probability").startswith("+75.0")


def test_a_control_is_found_out_and_is_not_in_the_number_of_defences() -> None:
    robust = {**three(8, 2, 2, mvp=5), ("mlp_ft", CONTROL): 20}
    gone = {**three(8, 2, 2, mvp=5), ("mlp_ft", CONTROL): 2}
    found = by_scores(robust, gone, attacks=("textfooler",))
    tables = {table.name: table for table in scores_tables(found)}
    assert row_of(tables["scores"], f"mlp_ft + {CONTROL} (control)")
    control = survival_of(found, f"mlp_ft + {CONTROL} (control)")
    assert control["survives"] == "no: not under textattack"
    largest = survival_of(found, f"mlp_ft + {ONE}")["largest p, adjusted"]
    assert isinstance(largest, Figure) and largest.value == pytest.approx(3 * 2 / 2**6)


def test_figures_by_kind_of_score_are_marked_as_seen() -> None:
    robust = three(8, 2, 2, mvp=5)
    found = by_scores(robust, robust, seen={ONE: "textfooler"})
    figures = column(scores_tables(found)[0], "textattack")
    assert {head for head, each in figures.items() if each.seen} == {f"mlp_ft + {ONE}"}
