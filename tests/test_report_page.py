"""The report's page and plots: made by the command, opened from disk in a real browser."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from commands import run
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.plan import make_plan
from orchestrator.report.claim import compare, verdict
from orchestrator.report.comparison import overall_table
from orchestrator.report.contents import files, tables
from orchestrator.report.page.browser import as_json, browsed
from orchestrator.report.page.changes import apply, edits
from orchestrator.report.page.page import page
from orchestrator.report.plots.accuracy import robust_against_clean
from orchestrator.report.plots.all import plots
from orchestrator.report.plots.sample_efficiency import sample_efficiency
from orchestrator.report.plots.style import looks, spread
from orchestrator.report.results import CellResult, Outcomes, Results, Transfer
from orchestrator.report.tables import Figure
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import Assets
from trainables.metrics import attack_metrics
from trainables.records import ExampleRecord
from trainables.store import Store

HOSTILE = "a </script><img src=x onerror='window.hacked=1'> film\u2028 & <!-- <b>"
BINARY = ("dataset=sst2", "head=mlp_ft,project_cls,mvp", "attack=textfooler,misspellings")


def record(cell: Cell, id: int) -> ExampleRecord:
    """mvp withstands 3 of 4 attacks, the others 1 of 4; example 5 is hostile, 6 was wrong."""
    robust = id % 4 < (3 if cell.fit.head == "mvp" else 1)
    status = "skipped" if id == 6 else "failed" if robust else "successful"
    text = HOSTILE if id == 5 else f"a fine text of example {id} , with 🎬 in it"
    other = text if status == "skipped" else text.replace("a ", "an awfully ", 1)
    return {
        "id": id, "status": status, "label": 1, "original_text": text, "perturbed_text": other,
        "original_output": int(id != 6), "perturbed_output": int(robust and id != 6),
        "original_scores": [0.1, 0.9], "perturbed_scores": [0.6, 0.4],
        "queries": 10 + 7 * id, "words": 8, "words_changed": 1, "seconds": 0.5,
    }  # fmt: skip


def error(cell: Cell, id: int) -> ExampleRecord:
    return {
        "id": id,
        "status": "error",
        "label": 1,
        "original_text": "odd",
        "error": HOSTILE,
        "seconds": 0.5,
    }


def planned(only: tuple[str, ...] = ()) -> list[Cell]:
    return make_plan(load("embedded", only), Assets("embedded"), Store("nowhere")).todo


def made(
    cells: list[Cell],
    examples: int = 8,
    of: Callable[[Cell, int], ExampleRecord] = record,
    final: bool = True,
) -> Results:
    """Results as they are read from a store or MLflow."""

    def result(cell: Cell) -> CellResult:
        records = [of(cell, id) for id in range(examples)]
        fit = {"seconds": 60.0, "validation_accuracy": 0.9, "test_accuracy": 0.9}
        metrics, outcomes = attack_metrics(records), Outcomes.of(records)
        return CellResult(cell, metrics, outcomes, fit, [], lambda: records, final)

    return Results("embedded", "nowhere", [result(cell) for cell in cells])


def whole_page(results: Results) -> str:
    shown = tables(results)
    drawn = plots(results, overall_table(results))
    return page(results, shown, drawn, verdict(compare(results))).decode()


def written(folder: Path) -> Path:
    """The report of a small store, by the command; returns its page."""
    store = Store(str(folder / "store"))
    only = [word for choice in BINARY for word in ("--only", choice)]
    sized = ["--set", "attack.examples=8"]
    space = load("embedded", BINARY, ["attack.examples=8"])
    for number, cell in enumerate(make_plan(space, Assets("embedded"), store).todo):
        records = {id: record(cell, id) for id in range(8)}
        if number == 0:
            records[7] = error(cell, 7)
        spec = json.loads(cell.fit.model_dump_json())
        fit = {"key": cell.fit.key, "spec": spec, "seconds": 8.0, "curve": []}
        store.write_fit(cell.fit.key, b"", {**fit, "validation_accuracy": 1, "test_accuracy": 1})
        store.write_cell(cell.key, json.loads(cell.model_dump_json()))
        for each in records.values():
            store.add_attacked(cell.log, each)
        metrics = attack_metrics(records.values())
        result = {"key": cell.key, **cell.axes(), "fit": cell.fit.key, "metrics": metrics}
        store.write_result(cell.key, {**result, "sample": sorted(records)})
    out = folder / "report"
    done = run("report", "--store", store.url, *only, *sized, "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out / "index.html"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("small"))


# What the file is


class Outline(HTMLParser):
    """Tags that are open, ids, headings and addresses of a page."""

    EMPTY = ("meta", "br", "hr", "img", "input", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        found = {name: value or "" for name, value in attributes}
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [found[a] for a in ("src", "href", "xlink:href", "action") if a in found]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    parser.close()
    return parser


def test_the_page_is_well_formed_and_its_headings_are_in_order(index: Path) -> None:
    found = outline(index.read_text())
    assert found.open == []
    assert len(set(found.ids)) == len(found.ids)
    assert found.headings[0] == 1 and found.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(found.headings))


def test_the_page_leads_nowhere_but_to_itself(index: Path) -> None:
    html = index.read_text()
    found = outline(html)
    inner = {address[1:] for address in found.addresses if address.startswith("#")}
    assert inner and inner <= set(found.ids)
    rest = [a for a in found.addresses if not a.startswith("#")]
    assert rest and all(a.startswith("data:") for a in rest)
    style = html.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_plots_and_tables_lie_beside_the_page_as_files(index: Path) -> None:
    names = {"accuracy", "forest", "robust-clean", "queries", "time"}
    assert {path.stem for path in (index.parent / "plots").glob("*.svg")} == names
    assert {path.stem for path in (index.parent / "plots").glob("*.pdf")} == names
    assert (index.parent / "tables" / "summary.csv").exists()


def test_the_full_embedded_grid_is_under_5_megabytes() -> None:
    """Texts of 100 words, of which each cell's attack changes every fourth in its own way."""

    def long(cell: Cell, id: int) -> ExampleRecord:
        words = [f"word{number}of{id}" for number in range(100)]
        other = [w if n % 4 else f"{cell.key[-4:]}{n}" for n, w in enumerate(words)]
        texts = {"original_text": " ".join(words), "perturbed_text": " ".join(other)}
        return {**record(cell, id), "status": "successful", **texts}

    cells = planned()
    assert len(cells) == 420
    results = made(cells, examples=5, of=long)
    data = browsed(results)
    assert (data["shown"], data["total"]) == (2100, 2100)
    assert len(whole_page(results).encode()) < 5_000_000


def test_of_too_many_examples_the_same_are_taken_of_every_cell() -> None:
    results = made(planned(BINARY), examples=50)
    for limited in (browsed(results, most=100), browsed(results, size=12_000)):
        assert 0 < limited["shown"] < limited["total"] == 50 * len(results.cells)
        chosen: dict[int, set[int]] = {}
        for cell, original, *_ in limited["examples"]:
            chosen.setdefault(cell, set()).add(limited["originals"][original][1])
        assert len(chosen) == len(results.cells)
        assert len(set(map(frozenset, chosen.values()))) == 1


def test_a_page_holds_no_more_than_it_can_however_many_cells_there_are() -> None:
    results = made(planned(), examples=1)
    data = browsed(results, most=300)
    assert len(data["examples"]) == len(data["cells"]) == 300
    assert len(as_json(browsed(results, size=10_000)["examples"])) < 10_000


def test_an_example_in_error_is_in_the_browser_with_its_message() -> None:
    cells = planned((*BINARY, "model=bert-embedded"))
    data = browsed(made(cells, of=lambda cell, id: (error if id == 3 else record)(cell, id)))
    assert data["shown"] == data["total"] == 8 * len(cells)
    assert [row[3] for row in data["examples"] if row[2] == 3] == [HOSTILE] * len(cells)


@given(st.text(max_size=60), st.text(max_size=60))
def test_edits_make_the_perturbed_text_of_the_original(original: str, perturbed: str) -> None:
    assert apply(original, edits(original, perturbed)) == perturbed


@pytest.mark.parametrize(
    ("perturbed", "marked"),
    [
        ("the movie was good .", [("film", "movie")]),
        ("the fi lm was good .", [("film", "fi lm")]),
        ("the film was good", [(" .", "")]),
        ("the old film was good .", [("", " old")]),
        ("the fiIm was gооd .", [("film", "fiIm"), ("good", "gооd")]),
    ],
)
def test_edits_are_whole_words(perturbed: str, marked: list[tuple[str, str]]) -> None:
    text = "the film was good ."
    found = [(text[at : at + length], word) for at, length, word in edits(text, perturbed)]
    assert found == marked


# Plots


def test_the_same_results_give_the_same_bytes() -> None:
    cells = planned(BINARY)
    assert files(made(cells)) == files(made(cells))


def test_text_in_plots_is_text(index: Path) -> None:
    for plot in (index.parent / "plots").glob("*.svg"):
        assert re.search(">[^<]*mlp_ft[^<]*</text>", plot.read_text())


@pytest.mark.parametrize("status", ["failed", "successful", "skipped"])
def test_one_cell_is_drawn_whatever_came_of_it(status: str) -> None:
    only = ("dataset=sst2", "model=bert-embedded", "head=mvp", "attack=textfooler")
    results = made(planned(only), of=lambda cell, id: {**record(cell, id), "status": status})
    found = {plot.name for plot in plots(results, None)}
    assert {"accuracy", "robust-clean", "time"} <= found
    assert ("queries" in found) == (status != "skipped")


def test_plots_say_where_they_are_over_and_what_is_not_final() -> None:
    """project_cls has no GPT-2; then mvp loses all but that, so that no place has all heads."""
    cells = planned(BINARY)
    results = made(cells, final=False)
    accuracy, *rest = plots(results, overall_table(results))
    assert "mean of the 2 data sets × models all heads have" in accuracy.about
    for plot in (accuracy, *rest):
        assert "(not final)" in plot.title and "(not final)" in plot.svg.decode()
    apart = made([c for c in cells if (c.fit.head == "mvp") == (c.fit.model == "gpt2-embedded")])
    accuracy, *_ = plots(apart, overall_table(apart))
    assert "sst2 · bert-embedded only" in accuracy.about
    assert [row[0] for row in accuracy.data.rows] == ["mlp_ft", "project_cls"]


def by_share(only: tuple[str, ...] = ()) -> Results:
    """Of the space sample_efficiency: 100, 50, 25, 10 and 5 % of the rows; mvp withstands 4 of 8
    attacks with half of them or more, else as all others 2, and ag_news has worse clean figures."""
    space = load("sample_efficiency", only)
    cells = make_plan(space, Assets("embedded"), Store("nowhere")).todo

    def of(cell: Cell, id: int) -> ExampleRecord:
        many = cell.fit.head == "mvp" and cell.fit.training_entry.train_share >= 0.5
        return {**record(cell, id), "status": "failed" if id < (4 if many else 2) else "successful"}

    def with_rows(result: CellResult) -> CellResult:
        share = result.cell.fit.training_entry.train_share
        clean = (0.9 if result.cell.fit.dataset == "sst2" else 0.7) - (share < 0.1) / 10
        fit = {**result.fit, "test_accuracy": clean, "train_examples": round(1000 * share)}
        return replace(result, fit=fit)

    results = made(cells, of=of)
    return replace(results, cells=list(map(with_rows, results.cells)))


def test_sample_efficiency_is_a_curve_per_head_over_the_same_places() -> None:
    results = by_share()
    plot = sample_efficiency(results)
    assert plot is not None and "mean of the 2 data sets" in plot.about
    assert {row[0] for row in plot.data.rows} == {"mlp_ft", "lpft_dense", "mvp"}
    rows = {row[1]: row for row in plot.data.rows if row[0] == "mvp"}
    assert list(rows) == ["5 %", "10 %", "25 %", "50 %", "100 %"]
    shown = [entry.text() if isinstance(entry, Figure) else entry for entry in rows["5 %"]]
    assert shown == ["mvp", "5 %", "50", "70.0", "25.0", "6"]  # 2 data sets, 3 seeds
    robust = [row[4].value for row in rows.values()]
    assert robust == [0.25, 0.25, 0.25, 0.5, 0.5]

    def lacks_one(result: CellResult) -> bool:
        fit = result.cell.fit
        return (fit.head, fit.training, fit.dataset) == ("mvp", "standard_10pct", "ag_news")

    fewer = sample_efficiency(results.only(lambda result: not lacks_one(result)))
    assert fewer is not None and "sst2 · bert-embedded" in fewer.about
    assert len(fewer.data.rows) == 15 and {row[5] for row in fewer.data.rows} == {"3"}
    assert {row[3].text() for row in fewer.data.rows} == {"90.0", "80.0"}


def test_a_training_of_another_kind_or_of_all_rows_alone_is_on_no_curve() -> None:
    results = by_share(("dataset=sst2", "head=mvp,mlp_ft", "training=standard,standard_5pct"))

    def adversarial(result: CellResult) -> CellResult:
        fit = result.cell.fit
        if (fit.head, fit.training) != ("mlp_ft", "standard_5pct"):
            return result
        entry = fit.training_entry.model_copy(update={"kind": "adversarial"})
        fit = fit.model_copy(update={"training_entry": entry})
        return replace(result, cell=result.cell.model_copy(update={"fit": fit}))

    plot = sample_efficiency(replace(results, cells=list(map(adversarial, results.cells))))
    assert plot is not None and [row[:2] for row in plot.data.rows] == [
        ["mvp", "5 %"],
        ["mvp", "100 %"],
    ]
    assert outline(whole_page(results)).ids.count("sample-efficiency") == 1
    assert sample_efficiency(results.only(lambda r: r.cell.fit.training == "standard")) is None
    assert sample_efficiency(made(planned(BINARY))) is None


def test_heads_are_compared_on_the_texts_that_both_have_right() -> None:
    """mlp_ft has texts 0 to 5 right and keeps 0 and 1; mvp 2 to 7 and keeps 2, 3, 4, 6 and 7."""
    right, kept = (
        {"mlp_ft": range(6), "mvp": range(2, 8)},
        {"mlp_ft": (0, 1), "mvp": (2, 3, 4, 6, 7)},
    )

    def of(cell: Cell, id: int) -> ExampleRecord:
        head = cell.fit.head
        status = "skipped" if id not in right[head] else "successful"
        return {**record(cell, id), "status": "failed" if id in kept[head] else status}

    only = ("dataset=sst2", "model=bert-embedded", "head=mlp_ft,mvp", "attack=textfooler")
    plot = robust_against_clean(made(planned(only), of=of))
    assert plot is not None and "over mlp_ft, both right" in plot.data.header
    base, mvp = plot.data.rows
    assert [entry.value for entry in mvp[2:4]] == [0.75, 0.625]
    assert (base[4:], mvp[4].value, mvp[5]) == (["", ""], 0.75, "4")  # texts 2 to 5: 3 of 4 to 0
    assert mvp[4].final
    unfinished = robust_against_clean(made(planned(only), of=of, final=False))
    assert unfinished is not None
    shown = [e for row in unfinished.data.rows for e in row if isinstance(e, Figure)]
    assert len(shown) == 5 and not any(figure.final for figure in shown)
    only = (*only[:2], "head=project_cls,mvp", "attack=textfooler")
    without_mlp = robust_against_clean(made(planned(only)))
    assert without_mlp is not None and "over project_cls, both right" in without_mlp.data.header


def test_of_many_heads_the_first_are_drawn_and_the_plot_says_so() -> None:
    (cell,) = planned(("dataset=sst2", "model=bert-embedded", "head=mvp", "attack=textfooler"))
    heads = [f"head_{number}" for number in range(40)]
    many = [
        cell.model_copy(update={"fit": cell.fit.model_copy(update={"head": head, "key": head})})
        for head in heads
    ]
    found = {plot.name: plot for plot in plots(made(many), None)}
    assert "(the first 8 of 40 heads)" in found["queries"].title
    assert "(the first 30 of 40 heads)" in found["accuracy"].title
    assert "head_39" in {row[0] for row in found["accuracy"].data.rows}


def test_heads_differ_by_more_than_colour() -> None:
    found = looks([(f"head_{number}", "standard") for number in range(8)])
    assert len({look.marker for look in found.values()}) == 8
    assert len({look.dashes for look in found.values()}) == 8


@given(st.lists(st.floats(0, 100), min_size=1, max_size=10))
def test_labels_do_not_overlap_and_keep_their_order(wanted: list[float]) -> None:
    placed = spread(wanted, gap=8, low=0, high=100)
    inorder = [place for _, place in sorted(zip(wanted, placed, strict=True))]
    assert all(after - before > 8 - 1e-6 for before, after in pairwise(inorder))
    assert min(placed) > -1e-6 and max(placed) < 100 + 1e-6


def test_transfer_is_drawn_where_examples_were_replayed() -> None:
    results = made(planned((*BINARY, "model=bert-embedded", "attack=textfooler")))
    targets = [result.cell.fit for result in results.cells]
    found = [
        Transfer(result.cell, target, 10, 8, 6 if target.head == "mlp_ft" else 2)
        for result in results.cells
        for target in targets
    ]
    drawn = {plot.name: plot for plot in plots(replace(results, transfers=found), None)}
    svg = drawn["transfer"].svg.decode()
    assert "<image" not in svg  # the page's policy allows no images, and print needs lines
    assert svg.count(">75</text>") == 2 and svg.count(">25</text>") == 4
    assert "transfer" not in {plot.name for plot in plots(results, None)}


# In a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any, index: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page; at the end there must be no network request and no error."""
    contexts, requests, complaints = [], [], []

    def open_page(fragment: str = "", **settings: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        tab = context.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(f"{index.as_uri()}{fragment}")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert {url.split("#")[0] for url in requests} == {index.as_uri()}
    assert complaints == []


def found(tab: Any) -> int:
    return int(tab.locator("#found").inner_text().split()[0].replace(",", ""))


def test_hostile_texts_are_shown_as_text(opened: Callable[..., Any]) -> None:
    tab = opened("#examples?status=&q=onerror")
    assert found(tab) == 17  # example 5 of 16 cells, and one error
    assert HOSTILE in tab.locator("#cards .text").first.text_content()
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("img").count() == 0


def test_changed_words_are_marked_in_both_texts(opened: Callable[..., Any]) -> None:
    tab = opened("#examples?status=successful&head=mlp_ft&q=example+3")
    card = tab.locator("#cards li").first
    assert card.locator("del").all_inner_texts() == ["a"]
    assert card.locator("ins").all_inner_texts() == ["an awfully"]
    assert "with 🎬 in it" in card.inner_text()
    assert "✓ right: positive 90.0 %" in card.inner_text()
    assert "✗ wrong: negative 60.0 %; positive 40.0 %" in card.inner_text()


def press_to(tab: Any, wanted: Any) -> None:
    """Press Tab until the target control has the focus."""
    for _ in range(150):
        tab.keyboard.press("Tab")
        if wanted.evaluate("control => control === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


def test_filters_search_and_pages_work_by_keyboard_alone(opened: Callable[..., Any]) -> None:
    tab = opened()
    before = found(tab)
    press_to(tab, tab.get_by_label("Head", exact=True))
    tab.keyboard.type("mvp")
    assert 0 < found(tab) < before
    press_to(tab, tab.get_by_label("Status", exact=True))
    tab.keyboard.press("Home")
    assert found(tab) == 48
    press_to(tab, tab.get_by_label("Search in the texts", exact=True))
    tab.keyboard.type("Example 3")
    tab.locator("#found", has_text="6 of 128").wait_for()
    for _ in "Example 3":
        tab.keyboard.press("Backspace")
    tab.locator("#found", has_text="48 of 128").wait_for()
    assert tab.locator("#cards li").count() == 10
    press_to(tab, tab.get_by_role("button", name="Next"))
    tab.keyboard.press("Enter")
    assert "Page 2 of 5" in tab.locator("#pages").inner_text()
    assert tab.evaluate("document.activeElement.id") == "cards"


def test_an_address_leads_to_the_view_it_was_taken_from(opened: Callable[..., Any]) -> None:
    tab = opened()
    tab.get_by_label("Attack", exact=True).select_option("misspellings")
    tab.get_by_label("Status", exact=True).select_option("skipped")
    address, count = tab.evaluate("location.hash"), found(tab)
    assert count == 8
    again = opened(address)
    assert found(again) == count
    assert again.get_by_label("Attack", exact=True).input_value() == "misspellings"
    again.get_by_role("link", name="link to this").first.click()
    assert found(again) == 1
    again.get_by_role("button", name="Show other texts too").click()
    assert found(again) == 8 * 16


def test_tables_are_sorted_by_keyboard_and_say_so(opened: Callable[..., Any]) -> None:
    tab = opened()
    heads = tab.locator("#table-summary tbody th")
    header = tab.locator("#table-summary thead th", has_text="textfooler")
    header.locator("button").focus()
    tab.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert heads.all_inner_texts()[0] == "mvp"
    tab.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert heads.all_inner_texts()[-1] == "mvp"


def test_one_table_of_many_is_shown_at_a_time(opened: Callable[..., Any]) -> None:
    tab = opened()
    assert tab.locator("[data-choice]:visible").count() == 1
    tab.get_by_label("Table shown", exact=True).select_option("sst2 · gpt2-embedded")
    assert "gpt2" in tab.locator("[data-choice]:visible caption").inner_text()
    tab.get_by_label("Table shown", exact=True).select_option("")
    assert tab.locator("[data-choice]:visible").count() == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(
    opened: Callable[..., Any], scheme: str
) -> None:
    tab = opened(viewport={"width": 375, "height": 700}, color_scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375


def test_every_control_has_a_name_and_headings_are_in_order(opened: Callable[..., Any]) -> None:
    tab = opened(viewport={"width": 375, "height": 700})
    tree = tab.context.new_cdp_session(tab).send("Accessibility.getFullAXTree")["nodes"]
    roles: dict[str, list[str]] = {}
    for node in tree:
        if not node.get("ignored"):
            name = node.get("name", {}).get("value", "").strip()
            roles.setdefault(node["role"]["value"], []).append(name)
    named = ("button", "combobox", "searchbox", "link", "image", "region", "navigation", "search")
    for role in named:
        assert roles.get(role) and all(roles[role]), role
    levels = tab.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map((heading) => +heading.tagName[1])"
    )
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_without_scripts_every_table_and_plot_is_there(opened: Callable[..., Any]) -> None:
    tab = opened(java_script_enabled=False)
    assert tab.locator("[data-choice]:visible").count() == 3
    assert tab.locator("figure svg:visible").count() == 4
    assert "requires JavaScript" in tab.locator("main").inner_text()


def test_the_page_works_in_a_frame_that_has_no_address(chromium: Any, index: Path) -> None:
    """As MLflow shows an artifact: a sandboxed frame over a blob."""
    tab = chromium.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.evaluate(
        """html => {
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          frame.src = URL.createObjectURL(new Blob([html], { type: "text/html" }));
          document.body.append(frame);
        }""",
        index.read_text(),
    )
    inner = tab.frame_locator("iframe")
    inner.get_by_label("Status", exact=True).select_option("skipped")
    assert inner.locator("#found").inner_text().startswith("16 of 128")
    inner.get_by_role("link", name="all heads on this text").first.click()
    assert inner.locator("#found").inner_text().startswith("8 of 128")
    inner.get_by_role("link", name="Definitions").click()
    assert complaints == []
    tab.close()


def test_text_stands_out_from_what_is_behind_it() -> None:
    """Contrast of at least 4.5, as WCAG asks, light and dark."""
    style = Path("orchestrator/report/page/page.css").read_text()
    for scheme in re.findall(r":root \{(.*?)\}", style, re.S)[:2]:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
        for text, behind in (
            ("ink", ("paper", "card", "shade", "gone", "come")),
            ("muted", ("paper", "card", "shade")),
            ("link", ("paper", "card", "shade")),
            ("paper", ("ink",)),
        ):
            for name in behind:
                assert contrast(colours[text], colours[name]) >= 4.5, (text, name)


def contrast(first: str, second: str) -> float:
    """The ratio of relative luminances that WCAG 2 defines."""

    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)
