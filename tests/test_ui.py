"""MLflow's own page on our runs, as people use it: search, group, chart, compare, read."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import small
from stores import write_finished

from orchestrator import track
from orchestrator.tracking.runs import run_name
from search_spaces.cell import Cell
from tools.pictures.mlflow_page import CHROMIUM, MlflowPage, browser, new_page, server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="needs the package playwright"),
]
ASKED = small("mlp_ft,mvp")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cell], Path]:
    """Four cells, two heads by two attacks, in a database."""
    folder = tmp_path_factory.mktemp("store")
    cells, store = write_finished(folder, ASKED)
    assert track.main(["sync", *ASKED, "--store", store.url]) == 0
    return cells, folder / "mlflow.db"


@pytest.fixture(scope="module")
def page(
    logged: tuple[list[Cell], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowPage]:
    log = tmp_path_factory.mktemp("server") / "log"
    with server(logged[1], log) as address, browser() as started:
        page = MlflowPage(new_page(started), address)
        yield page
        # MLflow's page needs no internet: no request of these tests left this machine.
        assert page.hosts == {"127.0.0.1"}


def names(cells: list[Cell], head: str) -> list[str]:
    return sorted(run_name(cell) for cell in cells if cell.fit.head == head)


def test_a_search_finds_exactly_the_runs_it_asks_for(
    page: MlflowPage, logged: tuple[list[Cell], Path]
) -> None:
    page.open_runs('params.head = "mvp"')
    page.wait_for(names(logged[0], "mvp")[0])
    assert page.run_names() == names(logged[0], "mvp")


def test_runs_are_grouped_by_head_by_two_clicks(page: MlflowPage) -> None:
    page.open_runs("")
    page.group_by("head")
    assert page.group_names() == ["mlp_ft", "mvp"]


def test_the_views_stand_in_the_experiments_description(
    page: MlflowPage, logged: tuple[list[Cell], Path]
) -> None:
    page.open("/experiments/1/runs")
    with page.page.expect_popup() as opened:
        page.page.get_by_role("link", name="All cells").click()
    view = MlflowPage(opened.value, page.address)
    view.wait_for("viewing a shared view")
    view.wait_for(run_name(logged[0][0]))
    assert view.run_names() == sorted(map(run_name, logged[0]))
    assert view.hosts <= {"127.0.0.1"}
    opened.value.close()


def test_a_view_charts_accuracy_under_attack_by_attack(page: MlflowPage) -> None:
    page.open_view("sst2-by-attack", charts=True)
    page.page.locator(".barlayer .point").first.wait_for()
    assert page.group_names() == ["misspellings", "textfooler"]
    first = page.page.locator(".js-plotly-plot").first
    assert first.locator(".barlayer .point").count() == 2


def test_two_runs_are_compared_by_ticking_them(
    page: MlflowPage, logged: tuple[list[Cell], Path]
) -> None:
    wanted = names(logged[0], "mlp_ft")
    page.open_runs('params.head = "mlp_ft"')
    page.wait_for(wanted[0])
    page.compare(wanted)
    for name in wanted:
        page.wait_for(name)
    page.wait_for("accuracy_under_attack")


def test_adversarial_examples_are_shown_as_a_table(
    page: MlflowPage, logged: tuple[list[Cell], Path]
) -> None:
    page.open_runs('params.head = "mvp"')
    page.page.get_by_text(names(logged[0], "mvp")[0], exact=True).first.click()
    page.page.get_by_role("tab", name="Artifacts").click()
    page.page.get_by_text("examples.json", exact=True).first.click()
    page.wait_for("View as table")
    page.wait_for("perturbed_text")
    assert page.page.get_by_text("naïve", exact=True).count() == 2
