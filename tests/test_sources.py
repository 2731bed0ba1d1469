"""Data and models from the three sources: the package, the hub's cache, a folder of real rows."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import yaml
from commands import run
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from orchestrator.plan.inputs import check_inputs
from orchestrator.plan.plan import make_plan
from search_spaces.catalog import PACKAGED
from search_spaces.cell import Fit, OtherDataset
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables import assets
from trainables.assets import EMBEDDED, Assets, NotDownloaded, dataset_digest
from trainables.attacks.resources import masked_language_model
from trainables.data import load_splits, load_test, survey
from trainables.fit import evaluate_on, fresh_head, load_data, load_test_rows
from trainables.store import Store

REVISION = "0123456789abcdef0123456789abcdef01234567"
TINY = ["--set", "attack.examples=4", "--set", "fit.train_examples=64", "--set", "fit.max_epochs=1"]


sweep = partial(run, "sweep")


def put_in_hub_cache(cache: Path, repository: str, files: dict[str, Path]) -> None:
    """Lay files out as huggingface_hub keeps a downloaded repository."""
    folder = cache / "hub" / repository
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(REVISION)
    for name, source in files.items():
        target = folder / "snapshots" / REVISION / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def hub_space(folder: Path) -> str:
    space = yaml.safe_load((PACKAGED.parent / "embedded.yaml").read_text())
    space |= {"name": "from-the-hub", "assets": "hub"}
    space["axes"] |= {"dataset": ["sst2"], "model": ["bert-base-uncased"], "head": ["mlp_ft"]}
    space["axes"]["attack"] = ["misspellings"]
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    return str(folder / "space.yaml")


def test_the_hubs_cache_is_read_without_a_network(tiny_bert: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    rows = EMBEDDED / "datasets" / "sst2"
    put_in_hub_cache(
        cache,
        "datasets--nyu-mll--glue",
        {
            f"sst2/{split}-00000-of-00001.parquet": rows / f"{split}.parquet"
            for split in ("train", "validation")
        },
    )
    model = {path.name: path for path in tiny_bert.iterdir()}
    put_in_hub_cache(cache, "models--google-bert--bert-base-uncased", model)
    arguments = ["--space", hub_space(tmp_path), *TINY, "--set", "fit.max_length=48"]
    offline = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
    done = sweep(*arguments, "--store", str(tmp_path / "store"), **offline)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 cells done" in done.stdout


def test_an_empty_cache_without_a_network_is_one_clear_line(tmp_path: Path) -> None:
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = sweep("--space", hub_space(tmp_path), "--store", str(tmp_path / "store"), **offline)
    assert done.returncode == 2
    assert "is not in the local hub cache, and the hub cannot be reached" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_source_of_equal_files_changes_no_key(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED / "datasets", tmp_path / "datasets")
    plans = [
        json.loads(sweep("--assets", source, "--dry-run", "--json").stdout)["cells"]
        for source in ("embedded", str(tmp_path))
    ]
    assert plans[0] == plans[1]


def test_a_broken_data_file_is_named_before_anything_runs(tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED / "datasets", tmp_path / "datasets")
    (tmp_path / "datasets" / "sst2" / "train.parquet").write_bytes(b"PAR1 not really")
    done = sweep("--assets", str(tmp_path), "--dry-run")
    assert done.returncode == 2
    assert "sst2/train.parquet is not readable parquet" in done.stderr
    (tmp_path / "datasets" / "sst2" / "train.parquet").unlink()
    done = sweep("--assets", str(tmp_path), "--dry-run")
    assert done.returncode == 2
    assert "no file" in done.stderr and "sst2/train.parquet" in done.stderr


@pytest.mark.slow
def test_real_rows_from_a_folder(real_assets: Path, tmp_path: Path) -> None:
    arguments = ["--only", "head=mlp_ft", "--only", "attack=textfooler", *TINY]
    arguments += ["--only", "model=bert-embedded", "--only", "dataset=sst2,ag_news"]
    done = sweep(*arguments, "--assets", str(real_assets), "--store", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 cells done" in done.stdout
    (log,) = tmp_path.glob("attacks/sst2-*/examples.jsonl")
    texts = {json.loads(line)["original_text"] for line in log.read_text().splitlines()}
    assert texts <= real_sst2_texts(real_assets)


def real_sst2_texts(assets: Path) -> set[str]:
    table = pq.read_table(assets / "datasets" / "sst2" / "validation.parquet")
    return {text.lower().strip() for text in table["sentence"].to_pylist()}


@pytest.mark.slow
def test_fits_are_evaluated_on_other_data_sets_when_asked(tmp_path: Path) -> None:
    """Also when it is asked after the fit was made; nothing is trained or attacked again."""
    entry = yaml.safe_load((PACKAGED / "datasets" / "sst2.yaml").read_text())
    (tmp_path / "catalog" / "datasets").mkdir(parents=True)
    other = tmp_path / "catalog" / "datasets" / "reviews.yaml"
    other.write_text(yaml.safe_dump({**entry, "splits": {**entry["splits"], "test": "train"}}))
    shutil.copytree(EMBEDDED / "datasets" / "sst2", tmp_path / "assets" / "datasets" / "sst2")
    shutil.copytree(EMBEDDED / "datasets" / "sst2", tmp_path / "assets" / "datasets" / "reviews")
    cased = other.with_name("cased.yaml")
    cased.write_text(yaml.safe_dump({**entry, "lowercase": False}))
    space = yaml.safe_load((PACKAGED.parent / "embedded.yaml").read_text())
    space["axes"] |= {
        "dataset": ["sst2"], "model": ["bert-embedded"],
        "head": ["mlp_ft"], "attack": ["textfooler"],
    }  # fmt: skip
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump(space))
    store = tmp_path / "store"
    run = ["--space", str(file), "--assets", str(tmp_path / "assets"), "--store", str(store), *TINY]
    first = sweep(*run)
    assert first.returncode == 0, first.stdout + first.stderr
    weights = next(store.glob("fits/*/weights-*.safetensors")).stat().st_mtime_ns
    log = next(store.glob("attacks/*/examples.jsonl")).read_text()

    file.write_text(yaml.safe_dump({**space, "evaluate_also": {"sst2": ["reviews"]}}))
    second = sweep(*run)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "| sst2 | bert-embedded | mlp_ft | 0 | reviews |" in second.stdout
    assert next(store.glob("fits/*/weights-*.safetensors")).stat().st_mtime_ns == weights
    assert next(store.glob("attacks/*/examples.jsonl")).read_text() == log
    assert "nothing to do" in sweep(*run).stdout

    for name, said in (
        ("ag_news", "ag_news has different labels"),
        ("cased", "cased is not in lower case"),
    ):
        file.write_text(yaml.safe_dump({**space, "evaluate_also": {"sst2": [name]}}))
        refused = sweep(*run)
        assert refused.returncode == 2 and said in refused.stderr


# Where the hub has the data sets that SST-2's fits are evaluated on, as its pages list their files.
SENTIMENT = {
    "cornell-movie-review-data/rotten_tomatoes": [
        ("train.parquet", "text"), ("validation.parquet", "text"), ("test.parquet", "text"),
    ],
    "stanfordnlp/imdb": [
        (f"plain_text/{split}-00000-of-00001.parquet", "text")
        for split in ("train", "test", "unsupervised")
    ],
    "fancyzhx/amazon_polarity": [("amazon_polarity/test-00000-of-00001.parquet", "content")],
    "AI-Secure/adv_glue": [
        ("adv_sst2/validation-00000-of-00001.parquet", "sentence"),
        ("adv_mnli/validation-00000-of-00001.parquet", "premise"),
    ],
}  # fmt: skip


@pytest.fixture
def sentiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache with these data sets, of 100 rows each."""
    for repository, files in SENTIMENT.items():
        laid = {}
        for name, column in files:
            rows = {column: [f"A fine Film {n} ." for n in range(100)], "label": [0, 1] * 50}
            laid[name] = tmp_path / "made" / repository / name
            laid[name].parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({**rows, "title": ["Good"] * 100}), laid[name])
        put_in_hub_cache(tmp_path, f"datasets--{repository.replace('/', '--')}", laid)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(assets, "_snapshots", {})


@pytest.mark.usefixtures("sentiment")
def test_fits_of_sst2_are_evaluated_on_sentiment_data_sets_of_the_hub(tmp_path: Path) -> None:
    space, hub = load("paper"), Assets("hub", local_only=True)
    only = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft", "attack=textfooler"]
    (cell,) = make_plan(load("embedded", only), Assets("embedded"), Store(str(tmp_path))).todo
    head, rows = fresh_head(cell.fit, Assets("embedded")), {}
    for name in space.evaluate_also["sst2"]:
        data = space.catalog.dataset(name)
        files = hub.dataset_files(name, data)
        other = OtherDataset(name=name, data=data, digest=dataset_digest(files))
        test = load_test(name, data, files)
        assert {example.texts[0].rstrip("0123456789 .") for example in test} == {"a fine film"}
        found = evaluate_on(head, other, hub)
        rows[name] = found["examples"]
        assert found["dataset"] == name and 0 <= found["accuracy"] <= 1
    assert rows == {"rotten_tomatoes": 100, "imdb": 100, "amazon_polarity": 2, "advglue_sst2": 100}


@pytest.mark.usefixtures("sentiment")
def test_nothing_is_fine_tuned_on_a_data_set_without_training_rows() -> None:
    data = load("paper").catalog.dataset("advglue_sst2")
    files = Assets("hub", local_only=True).dataset_files("advglue_sst2", data)
    assert set(files) == {"validation"} and survey("advglue_sst2", data, files).in_training_too == 0
    with pytest.raises(BadInput, match="'advglue_sst2': its catalog file names a test split only"):
        load_splits("advglue_sst2", data, files)
    with pytest.raises(BadInput, match=r"axes\.dataset.*: advglue_sst2: its catalog"):
        load("embedded", sets=["axes.dataset=[sst2, advglue_sst2]"])


def test_rows_of_another_data_set_that_were_trained_on_are_told_of(tmp_path: Path) -> None:
    """In part, and in other case; SST-2 itself has none that its own check would not tell of."""
    own = tmp_path / "datasets"
    shutil.copytree(EMBEDDED / "datasets" / "sst2", own / "sst2")
    trained = pq.read_table(own / "sst2" / "train.parquet")["sentence"].to_pylist()
    for name, column, texts in (
        ("rotten_tomatoes", "text", [t.upper() for t in trained[:40]] + ["a film"] * 60),
        ("advglue_sst2", "sentence", ["a film", "the film"] * 50),
    ):
        (own / name).mkdir()
        table = pa.table({column: texts, "label": [0, 1] * 50})
        for split in ("train", "validation", "test"):
            pq.write_table(table, own / name / f"{split}.parquet")
    also = ["evaluate_also.sst2=[rotten_tomatoes, advglue_sst2]"]
    only = ["dataset=sst2", "model=bert-embedded", "head=mlp_ft", "attack=textfooler"]
    folder = Assets(str(tmp_path))
    cells = make_plan(load("embedded", only, also), folder, Store(str(tmp_path / "store"))).todo
    (note,) = [line for line in check_inputs(cells, folder) if "training row of" in line]
    words = note.split()
    assert words[:3] == ["data", "set", "'rotten_tomatoes':"] and 30 <= int(words[3]) <= 40
    assert note.endswith("of its 100 test rows have the text of a training row of 'sst2'")


# The hub is asked as rarely as possible


@pytest.fixture
def from_the_hub(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Fit, list[str]]:
    """A fit planned from the hub's cache on this machine, and what the hub is asked afterwards.

    It then answers with 429, as to too many requests.
    """
    rows = EMBEDDED / "datasets" / "sst2"
    files = {
        f"sst2/{split}-00000-of-00001.parquet": rows / f"{split}.parquet"
        for split in ("train", "validation")
    }
    put_in_hub_cache(tmp_path, "datasets--nyu-mll--glue", files)
    model = {path.name: path for path in tiny_bert.iterdir()}
    put_in_hub_cache(tmp_path, "models--google-bert--bert-base-uncased", model)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    asked: list[str] = []
    real = huggingface_hub.snapshot_download

    def noted(**arguments: Any) -> str:
        asked.append(arguments["repo_id"])
        return str(real(**{**arguments, "local_files_only": True}))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", noted)
    (cell,) = make_plan(
        load(hub_space(tmp_path), sets=["fit.max_length=48"]), Assets("hub"), Store(str(tmp_path))
    ).todo
    assert sorted(asked) == ["google-bert/bert-base-uncased", "nyu-mll/glue"]  # once, each
    asked.clear()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", real)

    def too_many(self: HfApi, repo_id: str, **_: Any) -> None:
        asked.append(repo_id)
        response = requests.Response()
        response.status_code = 429
        raise HfHubHTTPError("429 Client Error: Too Many Requests", response=response)

    monkeypatch.setattr(HfApi, "repo_info", too_many)
    monkeypatch.setattr(assets, "_snapshots", {})  # as in a worker's process
    return cell.fit, asked


def test_a_node_that_has_what_was_planned_asks_the_hub_nothing(
    from_the_hub: tuple[Fit, list[str]], tmp_path: Path
) -> None:
    """Nor where `main` has moved on since, and another process has the new one already."""
    fit, asked = from_the_hub
    for repository in ("datasets--nyu-mll--glue", "models--google-bert--bert-base-uncased"):
        folder = tmp_path / "hub" / repository
        (folder / "snapshots" / "0new").mkdir()
        (folder / "snapshots" / "0new" / "config.json").symlink_to("a blob still to come")
        (folder / "refs" / "main").write_text("0new")
    for _ in range(2):
        assert len(load_data(fit, Assets("hub")).test) == len(load_test_rows(fit, Assets("hub")))
        assert fresh_head(fit, Assets("hub")) is not None
    assert asked == []


def test_a_node_that_has_nothing_asks_the_hub_and_says_what_it_answers(
    from_the_hub: tuple[Fit, list[str]], tmp_path: Path
) -> None:
    fit, asked = from_the_hub
    shutil.rmtree(tmp_path / "hub")
    with pytest.raises(NotDownloaded, match="the hub cannot be reached"):
        load_data(fit, Assets("hub"))
    with pytest.raises(NotDownloaded, match="the hub cannot be reached"):
        fresh_head(fit, Assets("hub"))
    assert asked == ["nyu-mll/glue", "google-bert/bert-base-uncased"]


def test_other_files_than_the_planned_are_not_taken_from_the_cache(
    from_the_hub: tuple[Fit, list[str]],
) -> None:
    fit, asked = from_the_hub
    other = fit.model_copy(update={"dataset_digest": "0" * 64})
    with pytest.raises(RuntimeError, match="are not those the sweep was planned with"):
        load_data(other, Assets("hub"))
    assert asked == ["nyu-mll/glue"]


def test_a_snapshot_that_was_removed_is_asked_for_again(
    from_the_hub: tuple[Fit, list[str]], tmp_path: Path
) -> None:
    fit, asked = from_the_hub
    files = Assets("hub").dataset_files(fit.dataset, fit.data)
    assert files == Assets("hub").dataset_files(fit.dataset, fit.data)
    assert asked == ["nyu-mll/glue"]
    shutil.rmtree(tmp_path / "hub" / "datasets--nyu-mll--glue")
    with pytest.raises(NotDownloaded):
        Assets("hub").dataset_files(fit.dataset, fit.data)


def test_textattacks_masked_language_model_is_taken_from_the_hubs_cache(
    from_the_hub: tuple[Fit, list[str]],
) -> None:
    _, asked = from_the_hub
    model, tokenizer = masked_language_model("textattack")
    assert model.config.hidden_size == 32 and tokenizer.mask_token == "[MASK]"
    assert asked == []
