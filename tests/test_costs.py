"""What a plan expects things to cost: measured only of the same, else by a model of cost."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.follow.progress import Progress
from orchestrator.plan import cost_model
from orchestrator.plan.cost_model import CPU, UNCERTAINTY
from orchestrator.plan.plan import Plan, make_plan
from orchestrator.plan.rates import attack_task, device_of
from orchestrator.plan.sizes import BASE, KNOWN_TEXTS, Sizes, Texts
from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep.costs import CostsLeft, costs_of, in_words
from search_spaces.cell import Cell
from search_spaces.space import load
from trainables.assets import EMBEDDED, Assets
from trainables.records import FitMade, Rehearsed, Result
from trainables.store import Store

ROOT = Path(__file__).parents[1]
ONE = ("dataset=ag_news", "head=mlp_ft,mvp", "model=bert-embedded")
ON_GPUS = ("resources.fit.gpus=1", "resources.attack.gpus=0.25")
A10G = "NVIDIA A10G"


def plan_of(store: Store, *sets: str, only: tuple[str, ...] = ONE, space: str = "embedded") -> Plan:
    return make_plan(load(space, only=list(only), sets=list(sets)), Assets("embedded"), store)


def paper(*sets: str, store: Store | None = None) -> Plan:
    """As a dry run plans it on a machine that has none of its models and data."""
    assets = Assets("hub", local_only=True)
    return make_plan(
        load("paper", sets=list(sets)), assets, store or Store("/nonexistent"), provisional=True
    )


def keep_fit(store: Store, cell: Cell, seconds: float, device: str | None = None) -> None:
    record: FitMade = {
        "key": cell.fit.key,
        "validation_accuracy": 0.5,
        "test_accuracy": 0.5,
        "curve": [],
        "seconds": seconds,
        "spec": json.loads(cell.fit.model_dump_json()),
    }
    made: Any = {"ran_on": {"device": device, "torch": "2.13.0"}} if device else {}
    store.write_fit(cell.fit.key, b"weights", {**record, **made})


def keep_result(store: Store, cell: Cell, seconds: float, device: str | None = None) -> None:
    """seconds: an example."""
    metrics = dict.fromkeys(
        ("clean_accuracy", "accuracy_under_attack", "attack_success_rate", "avg_queries"), 0.5
    ) | {"avg_perturbed_words_pct": 1.0, "num_skipped": 0, "num_errors": 0}
    result: Result = {
        **cell.axes(),
        "key": cell.key,
        "fit": cell.fit.key,
        "sample": list(range(cell.examples)),
        "metrics": {
            **metrics,
            "num_examples": cell.examples,
            "attack_seconds": seconds * cell.examples,
        },
    }
    made: Any = {"ran_on": [f"{device}, torch 2.13.0+cu130, float32"]} if device else {}
    store.write_cell(cell.key, json.loads(cell.model_dump_json()))
    store.write_result(cell.key, {**result, **made})


def test_the_model_is_within_its_uncertainty_of_what_was_measured_on_a_gpu() -> None:
    """A step, and queries of many texts, of models of base size and rows of the packaged ag_news.

    Queries of few texts were measured when a batch was of those alone; now it is filled up.
    """
    record = json.loads((ROOT / "benchmarks/gpu/nvidia-h200.json").read_text())
    plan = plan_of(
        Store("/nonexistent"), *ON_GPUS, "fit.max_length=512",
        only=("dataset=ag_news", "head=mlp_ft,mvp", "attack=textfooler"),
    )  # fmt: skip
    fits = {(cell.fit.model.split("-")[0], cell.fit.head): cell for cell in plan.todo}
    rows = [row for row in record["first"] if row.get("mode") == "fp32"]
    assert {(row["model"], row["head"]) for row in rows} == set(fits)
    for row in rows:
        cell = fits[row["model"], row["head"]]
        words = Sizes(Assets("embedded")).texts("ag_news", cell.fit.data).test_words
        length = cost_model.tokens_of(cell.fit, words)
        step = cost_model.step_seconds(cell.fit, BASE, 8, length, record["device"])
        assert 1 / UNCERTAINTY <= step * 1e3 / row["step_ms"] <= UNCERTAINTY
        query = 256 * cost_model.query_seconds(cell.fit, BASE, 256, length, record["device"])
        assert 1 / UNCERTAINTY <= query * 1e3 / row["query_256_ms"] <= UNCERTAINTY


@pytest.mark.parametrize("head", ["mlp_ft", "mvp"])
@pytest.mark.parametrize("device", [A10G, "NVIDIA H100", CPU])
def test_queries_go_in_batches_that_a_gpu_computes_whole(device: str, head: str) -> None:
    plan = plan_of(Store("/nonexistent"), *ON_GPUS)
    fit = next(cell.fit for cell in plan.todo if cell.fit.head == head)
    length = 50.0
    room = cost_model.BATCH / cost_model._tokens_read(fit, length)

    def call(texts: float) -> float:
        return texts * cost_model.query_seconds(fit, BASE, texts, length, device)

    few, half, batch = call(1), call(room / 2), call(room)
    assert call(10 * room) == pytest.approx(10 * batch)
    if device == CPU:
        assert few < half < batch, "a batch there is of its texts alone"
    else:
        assert few == pytest.approx(half) == pytest.approx(batch)


def test_a_batch_is_of_as_many_tokens_as_heads_read_at_once() -> None:
    from trainables.heads.buckets import TOKENS

    assert cost_model.BATCH == TOKENS


@pytest.mark.parametrize("attack", ["textfooler", "textbugger", "bert_attack", "misspellings"])
def test_an_attack_of_many_examples_at_once_costs_less_each(attack: str) -> None:
    def cost(*sets: str) -> float:
        plan = paper("attack.examples=1000", *sets)
        return sum(
            plan.attack_cost(cell)
            for cell in plan.todo
            if (cell.fit.dataset, cell.attack) == ("sst2", attack)
        )

    assert 2 * cost() < cost("attack.at_once=1")
    assert cost("attack.at_once=1000") == pytest.approx(cost("attack.at_once=5000"))


def test_a_query_budget_bounds_what_an_attack_costs() -> None:
    def cost(*sets: str) -> float:
        return sum(map((plan := paper(*sets)).attack_cost, plan.todo))

    assert cost() == cost("attack.query_budget=1000000")
    assert cost("attack.query_budget=1 per word") < cost("attack.query_budget=3 per word") < cost()
    half, all_ = cost("attack.query_budget=8"), cost("attack.query_budget=16")
    assert half == pytest.approx(all_ / 2, rel=0.1)


def test_misspellings_are_the_dearest_attack_and_long_texts_dearer_than_short_ones() -> None:
    """As was measured: they query every candidate before one is taken."""
    plan = paper("attack.examples=1000")

    def cost(dataset: str, attack: str) -> float:
        cells = [c for c in plan.todo if (c.fit.dataset, c.attack) == (dataset, attack)]
        return sum(plan.attack_cost(cell) for cell in cells)

    for dataset in ("sst2", "ag_news", "boolq"):
        costs = {attack: cost(dataset, attack) for attack in plan.space.axes.attack}
        assert max(costs, key=costs.__getitem__) == "misspellings"
        assert min(costs, key=costs.__getitem__) == "textbugger"
        assert costs["misspellings"] > 3 * costs["bert_attack"]
    assert cost("boolq", "textfooler") > 2 * cost("ag_news", "textfooler")
    (long, short) = (
        [plan.fit_cost(c) for c in plan.todo if (c.fit.dataset, c.fit.head) == (dataset, "mvp")]
        for dataset in ("dbpedia_14", "mrpc")
    )
    assert min(long) > max(short)


@pytest.mark.parametrize(
    ("head", "fewer", "more"),
    [
        ("mlp_ft", "fit.validation_examples=1000", "fit.validation_examples=null"),
        ("lpft_dense", "fit.probe_examples=1000", "fit.probe_examples=null"),
        ("mlp_ft", "fit.batch_size=32", "fit.batch_size=2"),
    ],
)
def test_a_fit_costs_what_its_samples_and_steps_are(head: str, fewer: str, more: str) -> None:
    def seconds(setting: str) -> float:
        plan = paper(setting)
        return sum(
            plan.fit_cost(cell)
            for cell in plan.todo
            if (cell.fit.dataset, cell.fit.head) == ("dbpedia_14", head)
        )

    assert seconds(fewer) < seconds("fit.patience=10") <= seconds(more)


def test_nothing_of_another_model_or_of_a_cpu_is_taken_for_a_gpus(tmp_path: Path) -> None:
    """A store of the embedded sweep says nothing of the paper's space."""
    store = Store(str(tmp_path))
    for cell in plan_of(store, only=()).todo[::12]:
        keep_fit(store, cell, 1e6)
        keep_result(store, cell, 1e6)
    with_it, without = paper(store=store), paper()
    assert with_it.estimated_seconds() == without.estimated_seconds()
    basis = costs_of(with_it).basis
    assert set(basis["fit"]) == set(basis["attack"]) == {"modelled"}


@pytest.mark.parametrize(
    ("sets", "same"),
    [
        ((), True),
        (("fit.learning_rate=1e-3",), True),
        (("fit.schedule=constant",), True),
        (("attack.examples=9",), True),
        (("fit.max_length=64",), False),
        (("fit.validation_examples=64",), False),
        (("fit.train_examples=64",), False),
        (("fit.max_epochs=2",), False),
        (("fit.batch_size=4",), False),
        (("resources.fit.cpus=2",), False),
        (ON_GPUS, False),
    ],
)
def test_a_fits_seconds_are_those_of_the_same_settings(
    tmp_path: Path, sets: tuple[str, ...], same: bool
) -> None:
    store = Store(str(tmp_path))
    keep_fit(store, plan_of(store).todo[0], 77.0)
    plan = plan_of(store, *sets, "fit.patience=4")
    (cost,) = {plan.costs.of(c, "fit") for c in plan.todo if c.fit.head == "mlp_ft"}
    assert (cost.basis == "measured") == same
    assert (cost.seconds == 77.0) == same
    (other,) = {plan.costs.of(c, "fit").basis for c in plan.todo if c.fit.head == "mvp"}
    assert other == "modelled"


@pytest.mark.parametrize(
    ("sets", "same"),
    [
        ((), True),
        (("attack.examples=9",), True),
        (("fit.max_epochs=2",), True),
        (("attack.protocol=textattack",), False),
        (("fit.max_length=64",), False),
        (("resources.attack.cpus=2",), False),
        (("attack.seconds_per_example=5",), False),
    ],
)
def test_an_attacks_seconds_are_those_of_the_same_settings(
    tmp_path: Path, sets: tuple[str, ...], same: bool
) -> None:
    """Also where they were measured with other examples, so under another key."""
    store = Store(str(tmp_path))
    before = next(c for c in plan_of(store).todo if c.attack == "textfooler")
    keep_result(store, before, 3.0)
    plan = plan_of(store, *sets)
    cell = next(c for c in plan.todo if c.attack == "textfooler")
    cost = plan.costs.of(cell, "attack")
    assert (cost.basis == "measured") == same
    assert (cost.seconds == 3.0 * cell.examples) == same


def test_a_gpus_seconds_are_for_that_gpu(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    cells = plan_of(store, *ON_GPUS).todo
    keep_fit(store, cells[0], 50.0, A10G)
    keep_result(store, cells[0], 2.0, A10G)
    plan = plan_of(store, *ON_GPUS, "attack.examples=6")
    cell = plan.todo[0]
    assert plan.costs.device(cell, "fit") == A10G
    assert plan.costs.of(cell, "fit").seconds == 50.0
    assert plan.costs.of(cell, "attack").seconds == 12.0
    assert plan.costs.of(cell, "fit", "H100").basis == "modelled"
    left = costs_of(plan, {"p5.48xlarge": 10.0})
    assert [node.gpu for node in left.nodes] == [A10G, "L40S", "H100", "H100"]
    assert left.nodes[3].dollars == pytest.approx((left.nodes[3].hours or 0) * 10)


def test_a_rehearsal_corrects_the_model_where_it_measured(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    before = plan_of(store, *ON_GPUS)
    cell = next(c for c in before.todo if (c.fit.head, c.attack) == ("mvp", "textbugger"))
    network = before.costs.sizes.network(cell.fit.model, cell.fit.language_model)
    step = cost_model.step_seconds(cell.fit, network, 8, 60, A10G)
    was = before.costs.of(cell, "fit", A10G)
    figures: Rehearsed = {
        "dataset": cell.fit.dataset,
        "model": cell.fit.model,
        "head": "mvp",
        "device": A10G,
        "step_texts": 8,
        "step_tokens": 60,
        "step_seconds": 3 * step,
        "attacks": {"textbugger": {"seconds": 100.0, "words": 40.0}},
    }
    store.write_rehearsal(before.space.name, {"figures": [figures]})
    plan = plan_of(store, *ON_GPUS)
    now = plan.costs.of(cell, "fit")
    assert (now.basis, now.seconds) == ("rehearsed", pytest.approx(3 * was.seconds))
    texts = plan.costs.sizes.texts(cell.fit.dataset, cell.fit.data)
    attack = plan.costs.of(cell, "attack")
    assert attack.basis == "rehearsed"
    assert attack.seconds / cell.examples < 100, f"{texts.attacked_words} words, not 40"
    other = next(c for c in plan.todo if (c.fit.head, c.attack) == ("mvp", "textfooler"))
    assert plan.costs.of(other, "attack").basis == "modelled"
    (store_read,) = (Store(str(tmp_path)).read_rehearsal(plan.space.name) or {})["figures"]
    assert store_read == figures


@pytest.mark.parametrize("queries", [10.0, 1000.0])
def test_what_a_query_took_corrects_an_attack_not_how_many_one_example_had(
    queries: float, tmp_path: Path
) -> None:
    """Examples of one length, of which one was fooled at once and the other hardly."""
    store = Store(str(tmp_path))
    before = plan_of(store, *ON_GPUS)
    cell = next(c for c in before.todo if (c.fit.head, c.attack) == ("mvp", "textbugger"))
    costs, fit = before.costs, cell.fit
    network, texts = (
        costs.sizes.network(fit.model, fit.language_model),
        costs.sizes.texts(fit.dataset, fit.data),
    )
    search = cost_model.search_of(cell, texts)
    was, many = costs.of(cell, "attack", A10G), cost_model.example_queries(search)
    seconds = 3 * cost_model.lone_example_seconds(fit, search, network, A10G) * queries / many
    figures: Rehearsed = {
        "dataset": fit.dataset,
        "model": fit.model,
        "head": "mvp",
        "device": A10G,
        "step_texts": 8,
        "step_tokens": 60,
        "step_seconds": 1.0,
        "attacks": {
            "textbugger": {"seconds": seconds, "words": texts.test_words, "queries": queries}
        },
    }
    store.write_rehearsal(before.space.name, {"figures": [figures]})
    now = plan_of(store, *ON_GPUS).costs.of(cell, "attack")
    assert (now.basis, now.seconds) == ("rehearsed", pytest.approx(3 * was.seconds))


def test_a_rehearsal_has_the_gpu_that_attacks_share_and_attacks_no_other_example() -> None:
    def seconds(*sets: str) -> tuple[float, float]:
        plan = paper(*sets)
        cell = next(c for c in plan.todo if c.attack == "misspellings")
        network = plan.costs.sizes.network(cell.fit.model, cell.fit.language_model)
        texts = plan.costs.sizes.texts(cell.fit.dataset, cell.fit.data)
        return (
            cost_model.lone_example_seconds(
                cell.fit, cost_model.search_of(cell, texts), network, A10G
            ),
            cost_model.example_seconds(cell, network, texts, A10G),
        )

    one, shared = seconds("attack.at_once=1", "resources.attack.gpus=0.1")
    assert one < shared / 2
    assert seconds("attack.at_once=64", "resources.attack.gpus=0.1")[0] == one
    assert seconds("attack.at_once=1", "resources.attack.gpus=1") == (one, one)


@pytest.mark.parametrize("counts", [{"rehearsed": 1}, {"rehearsed": 1, "measured": 3}])
def test_what_a_rehearsal_says_is_not_called_certain(counts: dict[str, int]) -> None:
    lines = list(in_words(CostsLeft({"fits": 60.0}, {"fit": counts})))
    assert "  by a rehearsal, not measured: within a factor of 2" in lines
    lines = list(in_words(CostsLeft({"fits": 60.0}, {"fit": {"measured": 2}})))
    assert not any("a factor" in line for line in lines)


@pytest.mark.parametrize(
    ("gpu", "known"), [("NVIDIA GH200 480GB", False), ("NVIDIA RTX A6000", False), (A10G, True)]
)
def test_a_gpu_that_the_model_does_not_know_is_named(gpu: str, known: bool, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    keep_fit(store, plan_of(store, *ON_GPUS).todo[0], 50.0, gpu)
    lines = list(in_words(costs_of(plan_of(store, *ON_GPUS))))
    said = f"GPU {gpu} is taken to be as fast as an A10G: the model of cost does not know it"
    assert (said in lines) == (not known)
    assert any("is taken to be" in line for line in lines) != known


def test_where_a_record_was_made() -> None:
    assert device_of({}) == CPU
    assert device_of({"ran_on": {"device": A10G}}) == A10G
    line = f"{A10G}, torch 2.13.0+cu130, tf32"
    assert device_of({"ran_on": [line]}) == A10G
    assert device_of({"ran_on": ["cpu (AMD EPYC, 2 threads), torch 2.13.0, float32"]}) == CPU
    assert device_of({"ran_on": [line, "cpu (AMD EPYC), torch 2.13.0, float32"]}) is None


def test_the_time_left_is_learnt_from_the_same_settings(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    cells = plan_of(store).todo
    keep_fit(store, cells[0], 7.0)
    for cell in cells[:4]:
        keep_result(store, cell, 2.0)
    known = Progress(plan_of(store, "fit.learning_rate=1e-3"))._estimator._known
    assert (known["fit"].tasks, known["attack"].tasks) == (1, 4)
    other = Progress(plan_of(store, "fit.max_length=32"))._estimator._known
    assert (other["fit"].tasks, other["attack"].tasks) == (0, 0)


def test_sizes_of_what_is_here_are_read_and_others_are_known_or_assumed(tmp_path: Path) -> None:
    plan, here = plan_of(Store("/nonexistent"), only=()), Sizes(Assets("embedded"))
    for cell in plan.todo:
        network = here.network(cell.fit.model, cell.fit.language_model)
        config = json.loads(
            (EMBEDDED / (cell.fit.language_model.packaged or ""))
            .joinpath("config.json")
            .read_text()
        )
        assert network.layers == config.get("num_hidden_layers", config.get("n_layer"))
        assert network.vocabulary == config["vocab_size"]
        texts = here.texts(cell.fit.dataset, cell.fit.data)
        assert texts.train > texts.validation > 0
        assert 0 < texts.attacked_words <= texts.test_words
    assert not here.assumed
    of_paper = paper()
    of_paper.estimated_seconds()
    sizes = of_paper.costs.sizes
    fit = of_paper.todo[0].fit
    assert sizes.texts(fit.dataset, fit.data) == KNOWN_TEXTS[fit.dataset]
    assert not sizes.assumed
    mine = fit.language_model.model_copy(update={"hub": "me/mine"})
    assert sizes.network("mine", mine) == BASE
    data = fit.data.model_copy(update={"hub": None})
    assert isinstance(sizes.texts("reviews", data), Texts)
    (model, rows) = reversed(sizes.assumed)
    assert "model mine" in model and "data set reviews" in rows


def test_a_dry_run_of_the_papers_space_shows_gpu_hours_and_money(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    asked = ["--space", "paper", "--store", str(tmp_path), "--dry-run"]
    asked += ["--set", "attack.examples=1000"]
    assert sweep.main([*asked, "--price", "g5.4xlarge=1"]) == 0
    said = capsys.readouterr().out
    for name in ("fits", *plan_of(Store("/nonexistent")).space.axes.attack, "all"):
        row = next(line.split() for line in said.splitlines() if line.split()[:1] == [name])
        assert all(float(number.replace(",", "")) > 0 for number in row[1:4]), row
    assert "within a factor of 2" in said and "AWS on demand" in said
    assert sweep.main([*asked, "--json", "--price", "g5.4xlarge=1"]) == 0
    costs = json.loads(capsys.readouterr().out)["costs"]
    node = costs["nodes"][0]
    assert node["dollars"] == pytest.approx(node["hours"])
    assert 100 < node["hours"] < 1000, "284 GPU-hours were estimated by hand"
    assert node["hours"] == pytest.approx(sum(node["gpu_hours"].values()), rel=0.01)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--dry-run", "--price", "g5.4xlage=1"], "g5.4xlarge"),
        (["--dry-run", "--price", "g5.4xlarge"], "g5.4xlarge=1.25"),
        (["--dry-run", "--price", "g5.4xlarge=-1"], "has no price"),
        (["--price", "g5.4xlarge=1"], "add --dry-run"),
    ],
)
def test_a_wrong_price_is_refused(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    try:
        code: object = sweep.main([*given, "--store", str(tmp_path)])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_equal_attacks_share_a_task() -> None:
    first, second, *_ = (c for c in plan_of(Store("/n")).todo if c.attack == "textfooler")
    assert attack_task(first) != attack_task(second)  # another head
    again = first.model_copy(update={"examples": 99, "key": "another"})
    assert attack_task(again) == attack_task(first)
    for changed in ({"query_budget": 5}, {"scores": "textattack"}):
        assert attack_task(first.model_copy(update=changed)) != attack_task(first)
