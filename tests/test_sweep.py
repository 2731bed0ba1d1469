"""The sweep as a user runs it: the command line, a real Ray, real attacks, a real MLflow store."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
from commands import ONE_FIT, kill_when, options, small, start, table

from orchestrator.plan.plan import make_plan
from orchestrator.run.cells import run_cells
from orchestrator.run.connect import open_ray
from orchestrator.run.options import LOCAL
from orchestrator.run.slots import PHASES
from search_spaces.space import load
from trainables.assets import Assets
from trainables.store import Store

SMALL = small("mlp_ft,mvp", examples=4, train_examples=64)
sweep = partial(commands.run, "sweep")


def attack_records(store: Path) -> dict[tuple[str, int], str]:
    """Every stored example by (log, id), from logs merged and not merged yet."""
    lines = [
        (path.parent.name, line)
        for path in store.glob("attacks/*/examples.jsonl")
        for line in path.read_text().splitlines()
    ]
    lines += [(path.parent.name, path.read_text()) for path in store.glob("attacks/*/*.json")]
    records = [(log, json.loads(text)) for log, text in lines]
    return {(log, record["id"]): json.dumps(record) for log, record in records}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("undisturbed")
    done = sweep(*SMALL, "--store", str(store))
    assert done.returncode == 0, done.stdout + done.stderr
    return store, done.stdout


def test_a_small_sweep_runs_every_cell_and_shows_the_comparison(
    undisturbed: tuple[Path, str],
) -> None:
    store, output = undisturbed
    assert len(table(output)) == 2 + 2  # a header, and a row a head
    assert len(list((store / "fits").iterdir())) == 2
    for log in (store / "attacks").iterdir():
        records = [json.loads(line) for line in (log / "examples.jsonl").read_text().splitlines()]
        assert len(records) == 4
        assert {record["status"] for record in records} <= {"successful", "failed", "skipped"}


def test_its_end_says_where_the_time_went(undisturbed: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    store, output = undisturbed
    (said,) = [line for line in output.splitlines() if line.startswith("time: ")]
    shares = {name: int(share) for name, share in re.findall(r"(\w+) (\d+)%", said)}
    parts = ["fits", "victim", "constraints", "search", "loading", "waiting", "overhead"]
    assert list(shares) == parts and 95 <= sum(shares.values()) <= 105

    status = json.loads(sweep(*SMALL, "--store", str(store), "--status", "--json").stdout)
    times = status["last_sweep"]
    assert f"{times['slots']:.3g} slots × {times['seconds']:.0f} s" in said
    whole = times["slots"] * times["seconds"]
    assert sum(times[part] for part in parts) == pytest.approx(whole, rel=0.01)
    records = [json.loads(record) for record in attack_records(store).values()]
    for part in ("victim", "constraint"):
        seconds = [record[f"{part}_seconds"] for record in records]
        assert 0 < sum(seconds) <= sum(record["seconds"] for record in records)
        assert sum(seconds) == pytest.approx(times[part.replace("nt", "nts")], rel=0.01, abs=0.01)

    client = MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("embedded")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], "tags.kind = 'sweep'")
    named = {"slots": times["slots"], "seconds": times["seconds"]}
    of_time = {**named, **{f"time/{part}": times[part] for part in parts}}
    assert parent.data.metrics.items() >= of_time.items()
    assert {"worst_case/mlp_ft", "worst_case/mvp"} <= parent.data.metrics.keys()


@pytest.mark.skipif(os.cpu_count() == 1, reason="nothing is divided where nothing runs at once")
def test_a_long_attack_is_divided_over_idle_slots_with_the_same_records(tmp_path: Path) -> None:
    import ray

    only = [*ONE_FIT, "attack=misspellings"]
    sets = ["attack.examples=30", "fit.train_examples=64", "fit.max_epochs=1"]
    one = options(only, sets)
    done = sweep(*one, "--max-concurrent", "1", "--store", str(tmp_path / "undivided"))
    assert done.returncode == 0, done.stderr

    store = Store(str(tmp_path / "divided"))
    plan = make_plan(load("embedded", only=only, sets=sets), Assets("embedded"), store)
    heard: list[dict[str, Any]] = []
    try:
        open_ray(plan.todo, PHASES, store, LOCAL)
        run_cells(plan, store, "embedded", lambda _, record: heard.append(record))
    finally:
        ray.shutdown()
    ends = {tuple(each["part"]): each for each in heard if each["phase"] == "part_done"}
    assert sorted(ends) == [(0, 3), (1, 3), (2, 3)]
    assert [end["attacked"] for end in ends.values()] == [10, 10, 10]
    assert [each["finished"] for each in heard if each["phase"] == "done"] == [30]

    def timeless(store: Path) -> dict[Any, dict[str, Any]]:
        found = {name: json.loads(text) for name, text in attack_records(store).items()}
        return {
            name: {key: value for key, value in record.items() if "seconds" not in key}
            for name, record in found.items()
        }

    assert len(timeless(tmp_path / "divided")) == 30
    assert timeless(tmp_path / "divided") == timeless(tmp_path / "undivided")


def test_mlflow_has_one_run_a_cell_that_can_be_filtered(undisturbed: tuple[Path, str]) -> None:
    from mlflow import MlflowClient

    store, _ = undisturbed
    client = MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("embedded")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "params.head = 'mvp'")
    assert len(runs) == 2
    for run in runs:
        assert run.info.status == "FINISHED"
        assert {"clean_accuracy", "accuracy_under_attack"} <= set(run.data.metrics)
        assert "examples.json" in [file.path for file in client.list_artifacts(run.info.run_id)]


def test_the_same_command_again_does_nothing_and_says_so(undisturbed: tuple[Path, str]) -> None:
    store, first = undisturbed
    before = sorted(path for path in store.rglob("*") if "mlflow" not in path.name)
    again = sweep(*SMALL, "--store", str(store))
    assert again.returncode == 0
    assert "nothing to do: all 4 cells" in again.stdout
    assert table(again.stdout) == table(first)
    assert sorted(path for path in store.rglob("*") if "mlflow" not in path.name) == before


def test_a_killed_driver_loses_nothing(undisturbed: tuple[Path, str], tmp_path: Path) -> None:
    _, output = undisturbed
    process = start("sweep", *SMALL, "--store", str(tmp_path))
    kill_when(lambda: list(tmp_path.glob("attacks/*/*.json")), process)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("fits/*/fit.json")}
    attacked = attack_records(tmp_path)
    assert kept and attacked
    resumed = sweep(*SMALL, "--store", str(tmp_path))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert table(resumed.stdout) == table(output)
    for path, written in kept.items():
        assert path.stat().st_mtime_ns == written, "a stored fit was trained again"
    # A record holds the seconds its example took, so an example attacked again would differ.
    at_the_end = attack_records(tmp_path)
    assert {name: at_the_end[name] for name in attacked} == attacked
    assert len(at_the_end) == 16


def test_failed_cells_are_named_with_their_tracebacks_and_run_again(tmp_path: Path) -> None:
    broken = [*small(examples=4, train_examples=64), "--set", "fit.learning_rate=1e30"]
    done = sweep(*broken, "--store", str(tmp_path))
    assert done.returncode == 1
    failed = re.findall(r"^failed: (\S+): .*the loss became.*traceback: (.*)\)$", done.stderr, re.M)
    assert len(failed) == 2
    for key, file in failed:
        assert key in file and "FloatingPointError" in Path(file).read_text()
    plan = json.loads(sweep(*broken, "--store", str(tmp_path), "--dry-run", "--json").stdout)
    assert plan["totals"]["failed"] == 2
    assert all(cell["reason"].startswith("see ") for cell in plan["cells"])


def test_a_cell_runs_without_ray_and_gives_the_same_result(
    undisturbed: tuple[Path, str], tmp_path: Path
) -> None:
    store, _ = undisturbed
    (cell,) = store.glob("cells/sst2-bert-embedded-mlp_ft-standard-textfooler-s0-*/cell.json")
    code = (
        "import sys; sys.modules['ray'] = sys.modules['mlflow'] = None;"
        "from trainables.cell import main; sys.exit(main())"
    )
    arguments = [sys.executable, "-c", code, str(cell), "--store", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    timeless = {"attack_seconds", "examples_per_second"}

    def result(folder: Path) -> dict[str, object]:
        content = json.loads((folder / "cells" / cell.parent.name / "result.json").read_text())
        content["metrics"] = {k: v for k, v in content["metrics"].items() if k not in timeless}
        return content

    assert result(tmp_path) == result(store)


def test_the_report_reads_the_store_alone(undisturbed: tuple[Path, str]) -> None:
    store, output = undisturbed
    done = commands.run("report", *SMALL, "--store", str(store))
    assert done.returncode == 0, done.stderr
    assert table(done.stdout) == table(output)


def test_the_dry_run_plans_without_torch() -> None:
    code = (
        "import sys; from orchestrator.sweep.__main__ import main; main(['--dry-run', '--json']);"
        "assert not {'torch', 'ray', 'mlflow', 'textattack'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["totals"]["cells"], plan["totals"]["fits"]) == (480, 105)
    expected = "key dataset model head training attack seed fit status reason".split()  # noqa: SIM905
    assert all(list(cell) == expected for cell in plan["cells"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "embeded"], "unknown space 'embeded'; did you mean embedded"),
        (["--only", "head=mpv"], "has no head 'mpv'; did you mean mvp"),
        (["--only", "heads=mvp"], "unknown axis 'heads'; did you mean head"),
        (["--set", "fit.learning_rat=1"], "unknown setting; did you mean fit.learning_rate"),
        (["--set", "fit.learning_rate=fast"], "fit.learning_rate"),
        (["--seeds", "one"], "write seeds as 0,1,2 or 0-2"),
        (["--assets", "/no/such/folder"], "no assets folder at /no/such/folder"),
        (["--tracking-uri", "http://127.0.0.1:9"], "does not answer"),
        (["--tracking-uri", "ftp://x"], "give http://HOST:PORT"),
        (["--store", "/proc/results"], "cannot be written"),
        (["--store", ""], "--store is empty"),
        (["--ray-address", "127.0.0.1:9"], "no Ray cluster answers at 127.0.0.1:9"),
        (["--ray-address", "head"], "give auto or HOST:PORT"),
        (["--ray-address", "ray://127.0.0.1:9"], "must run on a machine of the cluster"),
        (["--max-concurrent", "0"], "'0' is not a number of trials"),
        (["--sapce", "embedded"], "unrecognized arguments: --sapce"),
        (["--only", "dataset=sst2", "--set", "fit.max_epochs=0"], "fit.max_epochs"),
        (["--set", "attack.resources=mine"], "unknown attack resources 'mine'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = sweep("--store", str(tmp_path), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def space_file(folder: Path, text: str) -> str:
    file = folder / "space.yaml"
    file.write_text(text)
    return str(file)


def test_malformed_yaml_names_file_and_line(tmp_path: Path) -> None:
    file = space_file(tmp_path, "name: mine\naxes: {dataset: [sst2\nseeds: [0]\n")
    done = sweep("--space", file, "--dry-run")
    assert done.returncode == 2
    assert re.search(r"space\.yaml, line \d+: not valid YAML", done.stderr)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dataset: [../../outside]", "axes.dataset.0"),
        ("dataset: [/etc/passwd]", "axes.dataset.0"),
        ("dataset: [!!python/object/apply:os.mkdir [owned]]", "not valid YAML"),
    ],
)
def test_a_space_file_can_neither_lead_elsewhere_nor_run_code(
    line: str, message: str, tmp_path: Path
) -> None:
    axes = f"axes:\n  {line}\n  model: [bert-embedded]\n  head: [mvp]\n  attack: [textfooler]\n"
    file = space_file(tmp_path, f"name: mine\nassets: embedded\n{axes}")
    done = commands.run("sweep", "--space", file, "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "owned").exists()


def test_a_label_word_of_several_tokens_and_a_missing_column(tmp_path: Path) -> None:
    import yaml

    from search_spaces.catalog import PACKAGED

    entry = yaml.safe_load((PACKAGED / "datasets" / "sst2.yaml").read_text())
    (tmp_path / "catalog" / "datasets").mkdir(parents=True)
    own = tmp_path / "catalog" / "datasets" / "sst2.yaml"
    embedded = (PACKAGED.parent / "embedded.yaml").read_text()
    file = space_file(tmp_path, embedded)

    entry["prompts"]["label_words"] = [["stupendously"], ["positive"]]
    own.write_text(yaml.safe_dump(entry))
    done = sweep("--space", file, "--dry-run")
    assert (done.returncode, "'stupendously' is not one token" in done.stderr) == (2, True)

    entry["label"] = "sentiment"
    own.write_text(yaml.safe_dump(entry))
    done = sweep("--space", file, "--dry-run")
    assert (done.returncode, "lacks the column 'sentiment'" in done.stderr) == (2, True)
