"""The view of a running sweep: lines in a pipe, a living table in a terminal."""

import io

from rich.console import Console

from orchestrator.live import View
from orchestrator.plan import make_plan
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

DONE = {"phase": "done", "finished": 4, "total": 4, "clean_accuracy": 0.75}


def watched(terminal: bool) -> str:
    cells = make_plan(load("embedded"), Assets("embedded"), Store("/nonexistent")).todo[:3]
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=160, highlight=False)
    with View(3, 1, None, console) as view:
        view.update(
            cells[0], {"phase": "fit", "finished": 500, "total": 900, "validation_accuracy": 0.8}
        )
        view.update(cells[0], {"phase": "attack", "fit_done": True, "finished": 0, "total": 4})
        view.update(cells[0], {"phase": "attack", "finished": 3, "total": 4})
        view.update(cells[0], {**DONE, "accuracy_under_attack": 0.25})
        view.update(cells[1], {**DONE, "accuracy_under_attack": 0.5})
        view.update(cells[2], {"phase": "failed", "error": "FloatingPointError: nan"})
        assert view.attacked == 8 and view.fits_done == 1
    return output.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    lines = watched(terminal=False).splitlines()
    assert not [line for line in lines if "\x1b" in line]
    assert [line.split("]")[0].split()[-1] for line in lines] == ["0/3", "1/3", "2/3", "3/3"]
    assert "validation 80.0%" in lines[0] and "under attack 25.0%" in lines[1]
    assert "FAILED" in lines[3] and "FloatingPointError: nan" in lines[3]


def test_a_terminal_gets_the_state_of_all_cells() -> None:
    shown = watched(terminal=True)
    assert "3 of 3 cells done, 0 running, 1 failed" in shown
    assert "1 of 1 fits" in shown
    assert "best 50.0%" in shown and "worst 25.0%" in shown
