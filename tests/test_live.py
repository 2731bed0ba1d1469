"""The view of a running sweep: lines in a pipe, a live table in a terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from stores import write

from orchestrator.follow import live
from orchestrator.follow.comparison import Compared, compared_before
from orchestrator.follow.eta import Left
from orchestrator.follow.live import ScaledView, View
from orchestrator.follow.progress import Progress, RunningCell, Snapshot
from orchestrator.plan.plan import Plan, make_plan
from search_spaces.space import load
from trainables.assets import Assets
from trainables.records import TrialReport
from trainables.store import Store


def done(**metrics: float) -> TrialReport:
    known = {"clean_accuracy": 0.75, "num_examples": None, "attack_seconds": None}
    return {"phase": "done", "finished": 4, "total": 4, "metrics": {**known, **metrics}}


def three_cells(store: str = "/nonexistent") -> Plan:
    only = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft"]
    only += ["attack=textfooler,textbugger,misspellings"]
    space = load("embedded", only=only, sets=["attack.examples=4"])
    return make_plan(space, Assets("embedded"), Store(store))


def six_cells(store: str = "/nonexistent") -> Plan:
    """Three of each of two heads."""
    only = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft,mvp"]
    only += ["attack=textfooler,textbugger,misspellings"]
    return make_plan(load("embedded", only=only), Assets("embedded"), Store(store))


def watched(terminal: bool) -> str:
    plan = three_cells()
    cells = plan.todo
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=160, highlight=False)
    with View(Progress(plan), console) as view:
        for cell in cells:
            view.update(cell, {"phase": "begun", "node": "1"})
        view.update(
            cells[0], {"phase": "fit", "finished": 500, "total": 900, "validation_accuracy": 0.8}
        )
        view.update(cells[0], {"phase": "attack", "fit_done": True, "finished": 0, "total": 4})
        view.update(cells[0], {"phase": "attack", "finished": 3, "total": 4})
        view.update(cells[0], done(accuracy_under_attack=0.25))
        view.update(cells[1], done(accuracy_under_attack=0.5))
        view.update(cells[2], {"phase": "failed", "error": "FloatingPointError: nan"})
    return output.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    lines = watched(terminal=False).splitlines()
    assert not [line for line in lines if "\x1b" in line]
    assert [line.split("]")[0].split()[-1] for line in lines] == ["0/3", "1/3", "2/3", "3/3"]
    assert "validation 80.0%" in lines[0] and "under attack 25.0%" in lines[1]
    assert "FAILED" in lines[3] and "FloatingPointError: nan" in lines[3]


def test_a_pipe_gets_a_summary_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SUMMARY_EVERY", 0.05)
    output = io.StringIO()
    plan = three_cells()
    view = View(Progress(plan), Console(file=output, width=80))
    with view:
        view.update(plan.todo[0], {"phase": "begun", "node": "1"})
        while "running" not in output.getvalue():
            view._left.wait(0.01)
    (line, *_) = output.getvalue().splitlines()
    assert "0 of 3 cells done" in line and "time left not known yet" in line


def test_a_terminal_gets_the_state_of_all_cells() -> None:
    shown = watched(terminal=True)
    assert "3 of 3 cells done" in shown and "0 running" in shown and "1 failed" in shown
    assert "1 of 1 fits" in shown
    assert "best under attack so far: 50.0%" in shown
    assert "worst under attack so far: 25.0%" in shown


KEY = "ag_news-roberta-embedded-untrained_mlp_ft-standard-textfooler-s0-0123456789"


COMPARED = Compared(
    ("mlp_ft + adversarial", "mvp"), (0.4, 0.61), ["dbpedia_14"], ["roberta-embedded"],
    ["textbugger", "bert_attack"], cells=4, of=120,
)  # fmt: skip


def a_snapshot(running: int) -> Snapshot:
    cells = [RunningCell(f"{n:02d}-{KEY}", "attack", n % 6, 5) for n in range(running)]
    return Snapshot(
        space="embedded", cells=420, done=57, failed=3, fits=105, fits_done=31,
        running=running, running_cells=cells[:100], examples_per_second=12.34,
        eta=Left(530.0, 700.0, 1000.0), best=(KEY, 0.8), worst=(KEY, 0.0),
        seconds=330.0, started="2026-01-01T00:00:00+00:00", updated="2026-01-01T00:05:30+00:00",
        compared=COMPARED,
    )  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("running", [0, 2, 16, 500])
def test_a_terminal_of_any_width_shows_whole_facts_and_as_many_cells_as_fit(
    width: int, running: int
) -> None:
    height = 24
    output = io.StringIO()
    console = Console(
        file=output, force_terminal=True, color_system=None, width=width, height=height
    )
    console.print(ScaledView(a_snapshot(running)))
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    assert len(lines) < height and max(map(len, lines)) <= width
    for fact in (
        "60 of 420 cells done", f"{running} running", "3 failed", "31 of 105 fits",
        "12.3 examples/s in the last minute", "5.5 min so far", "about 12 min left (8.8 to 17)",
    ):  # fmt: skip
        assert any(fact in line for line in lines), fact
    assert str(COMPARED) in " ".join(lines)
    cells = [line for line in lines if line.startswith("attack ")]
    more = [line.strip() for line in lines if line.strip().startswith("and ")]
    if running <= height - live.ROOM_FOR_THE_REST:
        assert len(cells) == running and not more
    else:
        assert more == [f"and {running - len(cells)} more"] and len(cells) > 10
    assert all("/5" in line and line.endswith("er-s0") for line in cells)


def compared(snapshot: Snapshot) -> str:
    assert snapshot.compared is not None
    return str(snapshot.compared)


def test_the_first_comparison_is_a_line_of_its_own_and_then_part_of_every_summary() -> None:
    """It is there when one data set and model has both heads under two attacks, and then grows."""
    plan = six_cells()
    output = io.StringIO()
    progress = Progress(plan)
    by_place = {(cell.fit.head, cell.attack): cell for cell in plan.todo}
    shares = {
        ("mlp_ft", "textfooler"): 0.25,
        ("mvp", "textfooler"): 0.5,
        ("mlp_ft", "textbugger"): 0.75,
        ("mvp", "textbugger"): 0.5,
        ("mlp_ft", "misspellings"): 0.0,
        ("mvp", "misspellings"): 1.0,
    }
    with View(progress, Console(file=output, width=80)) as view:
        for place, share in shares.items():
            assert (progress.snapshot().compared is None) == (progress.done < 4)
            view.update(by_place[place], done(accuracy_under_attack=share))
    (line,) = [line for line in output.getvalue().splitlines() if "compared" in line]
    assert line.endswith(
        "4/6] compared so far: sst2, bert-embedded: mlp_ft 50.0 → mvp 50.0 under textfooler, "
        "textbugger (4 of 6 cells)"
    )
    whole = "sst2, bert-embedded: mlp_ft 33.3 → mvp 66.7 under 3 attacks (6 of 6 cells)"
    assert compared(progress.snapshot()) == whole
    assert f"compared so far: {whole}" in live.overview(progress.snapshot())


def test_cells_that_were_done_before_are_compared_too(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    *before, last = six_cells(store.url).todo
    for cell in before:
        write(cell, store, lambda _, id: "failed" if id < 5 else "successful")
    plan = six_cells(store.url)
    progress = Progress(plan, comparison=compared_before(plan, store))
    assert compared(progress.snapshot()).endswith(
        "25.0 under textfooler, textbugger (4 of 6 cells)"
    )
    output = io.StringIO()
    with View(progress, Console(file=output, width=80)) as view:
        view.update(last, done(accuracy_under_attack=1.0))
    assert "(4 of 6 cells)" in output.getvalue()
    assert compared(progress.snapshot()).endswith("mvp 50.0 under 3 attacks (6 of 6 cells)")


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_examples_a_second_are_those_of_the_last_minute() -> None:
    clock = Clock()
    plan = three_cells()
    progress = Progress(plan, clock)
    cell = plan.todo[0]
    progress.update(cell, {"phase": "begun"})
    assert progress.snapshot().examples_per_second is None
    clock.now = 10.0
    progress.update(cell, {"phase": "attack", "fit_done": True, "finished": 0, "total": 4})
    progress.update(cell, {"phase": "attack", "finished": 3, "total": 4})
    assert progress.snapshot().examples_per_second == pytest.approx(3 / 10)
    clock.now = 65.0
    progress.update(cell, done(accuracy_under_attack=0.5))
    assert progress.snapshot().examples_per_second == pytest.approx(4 / 60)
    clock.now = 75.0
    assert progress.snapshot().examples_per_second == pytest.approx(1 / 60)


def test_examples_that_were_attacked_before_are_not_counted_again() -> None:
    plan = three_cells()
    progress = Progress(plan)
    cell = plan.todo[0]
    for _ in range(2):  # Its process dies once.
        progress.update(cell, {"phase": "begun"})
        progress.update(cell, {"phase": "attack", "fit_done": True, "finished": 0, "total": 4})
        progress.update(cell, {"phase": "attack", "finished": 2, "total": 4, "found": 2})
        progress.update(cell, {"phase": "died"})
    assert progress.snapshot().running == 0
    progress.update(cell, {"phase": "begun"})
    progress.update(cell, {"phase": "attack", "finished": 2, "total": 4, "found": 2})
    progress.update(cell, done(accuracy_under_attack=0.5))
    assert progress.attacked == 2


def test_a_cell_in_parts_is_one_that_runs_and_is_done_when_its_result_is() -> None:
    clock = Clock()
    plan = three_cells()
    progress = Progress(plan, clock)
    cell = plan.todo[0]

    def running() -> list[tuple[str, int]]:
        return [(each.phase, each.finished) for each in progress.snapshot().running_cells]

    for number in (0, 1):
        progress.update(cell, {"phase": "begun", "part": [number, 2]})
    assert running() == [("attack", 0)]
    here = {"phase": "attack", "total": 2}
    progress.update(cell, {**here, "finished": 1, "found": 1, "part": [0, 2]})
    progress.update(cell, {**here, "finished": 2, "part": [0, 2]})
    progress.update(cell, {**here, "finished": 1, "part": [1, 2]})
    assert running() == [("attack", 3)] and progress.attacked == 2
    end = {"phase": "part_done", "finished": 2, "total": 2, "attacked": 1, "last": True}
    progress.update(cell, {**end, "spent": {"attack": 1.0}, "part": [0, 2]})
    assert running() == [("attack", 3)]
    progress.update(cell, {"phase": "died", "part": [1, 2]})
    assert running() == [] and progress.done == 0
    clock.now = 10.0
    progress.update(cell, {"phase": "begun"})
    progress.update(cell, {**here, "finished": 3, "total": 4, "found": 3})
    assert running() == [("attack", 3)]
    progress.update(cell, done(accuracy_under_attack=0.5))
    assert (progress.done, progress.attacked, running()) == (1, 3, [])
    for other in plan.todo[1:]:
        progress.update(other, {**done(accuracy_under_attack=0.5), "fit_done": True})
    assert progress.snapshot().eta == Left(0, 0, 0)


def test_what_a_fit_did_before_it_was_killed_is_not_counted_as_done_at_once() -> None:
    progress = Progress(three_cells())
    cell = three_cells().todo[0]
    task = progress._estimator.open["fit", cell.fit.key]
    here = {"phase": "fit", "total": 40, "validation_accuracy": 0.5}
    progress.update(cell, {**here, "finished": 10, "found": 10})
    assert (task.done, task.found) == (0.25, 0.25)
    progress.update(cell, {**here, "finished": 30})
    assert (task.done, task.found) == (0.75, 0.25)


def test_a_trial_that_ends_with_its_fit_runs_no_more() -> None:
    plan = three_cells()
    progress = Progress(plan)
    cell = plan.todo[0]
    fitted = {"phase": "attack", "fit_done": True, "finished": 0, "total": 4, "last": True}
    progress.update(cell, {"phase": "fit", "finished": 1, "total": 1, "validation_accuracy": 0.5})
    assert progress.snapshot().running == 1
    progress.update(cell, fitted)
    now = progress.snapshot()
    assert (now.running, now.fits_done, now.done) == (0, 1, 0)


def test_all_of_a_sweep_can_be_told_and_nothing_is_left_at_its_end(tmp_path: Path) -> None:
    clock = Clock()
    plan = three_cells()
    progress = Progress(plan, clock)
    metrics = {"accuracy_under_attack": 0.5, "attack_seconds": 4.0, "num_examples": 4}
    for number, cell in enumerate(plan.todo):
        progress.update(cell, {"phase": "begun"})
        clock.now += 10
        start = {"phase": "attack", "fit_done": True, "finished": 0, "total": 4}
        if number == 0:
            progress.update(
                cell, {"phase": "fit", "finished": 1, "total": 1, "validation_accuracy": 0.5}
            )
            start["fit_seconds"] = 8.0
        progress.update(cell, start)
        clock.now += 5
        told = progress.snapshot()
        assert Snapshot.from_json(told.to_json()) == told
        progress.update(cell, done(**metrics))
    assert (told.done, told.running, told.fits_done) == (2, 1, 1)
    assert progress.snapshot().eta == Left(0, 0, 0)
