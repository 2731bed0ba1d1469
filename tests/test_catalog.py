"""The catalog as a user meets it: listed, shown, checked, extended from a folder of their own."""

from functools import partial
from pathlib import Path

import pytest
import yaml
from commands import run

from orchestrator.catalog import main
from orchestrator.plan.plan import make_plan
from search_spaces.catalog import AXES, PACKAGED, Catalog, Prompts, attack_settings, prompts_of
from search_spaces.errors import BadInput
from search_spaces.space import load, names
from trainables.assets import EMBEDDED, Assets
from trainables.store import Store

EMPTY = Store("/nonexistent")


@pytest.mark.parametrize("space", ["embedded", "ablations", "defences"])
def test_the_packaged_catalog_has_nothing_wrong(
    space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--space", space]) == 0, capsys.readouterr().out


def test_list_names_every_entry_and_show_gives_its_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for axis in AXES for name in Catalog().names(axis))
    assert main(["show", "sst2"]) == 0
    assert "nyu-mll/glue" in capsys.readouterr().out
    assert main(["show", "sst3"]) == 2
    assert "did you mean sst2" in capsys.readouterr().err


@pytest.mark.parametrize("name", names())
def test_every_packaged_space_can_be_planned(name: str) -> None:
    space = load(name)
    plan = make_plan(space, Assets(space.assets, local_only=True), EMPTY, provisional=True)
    assert plan.todo
    for planned in plan.cells:
        assert (planned.status == "not_applicable") == bool(planned.reason)


def statuses(head: str, model: str, tmp_path: Path, **entry: object) -> tuple[str, str]:
    (tmp_path / "catalog" / "models").mkdir(parents=True, exist_ok=True)
    content = {"about": "for a test", "packaged": "bert", "kind": model}
    (tmp_path / "catalog" / "models" / "mine.yaml").write_text(yaml.safe_dump(content))
    space = yaml.safe_load((PACKAGED.parent / "embedded.yaml").read_text())
    space["axes"] |= {"dataset": ["sst2"], "model": ["mine"], "head": [head]}
    space["axes"]["attack"] = ["textfooler"]
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    loaded = load(str(tmp_path / "space.yaml"))
    (planned,) = make_plan(loaded, Assets("embedded"), EMPTY).cells
    return planned.status, planned.reason


@pytest.mark.parametrize(
    ("head", "model", "reason"),
    [
        ("project_cls", "causal", "equals mlp_ft"),
        ("lpft_sparse", "causal", "equals lpft_dense"),
        ("cls_prompt", "causal", "needs a CLS token"),
        ("mlp_ft", "causal", ""),
        ("lpft_dense", "causal", ""),
        ("mvp", "causal", ""),
        ("cls_prompt", "masked", ""),
    ],
)
def test_cells_that_do_not_apply_are_planned_with_their_reason(
    head: str, model: str, reason: str, tmp_path: Path
) -> None:
    status, said = statuses(head, model, tmp_path)
    assert status == ("not_applicable" if reason else "todo")
    assert said.startswith(reason)


OWN_HEAD = """
from torch import nn
from transformers import AutoModel
from trainables.heads.base import Head, load_model
from trainables.heads.inputs import encode_texts, load_tokenizer


class MeanPooled(Head):
    def __init__(self, spec):
        super().__init__()
        self.tokenizer = load_tokenizer(spec.model_folder)
        self.model = load_model(AutoModel, spec)
        self.linear = nn.Linear(self.model.config.hidden_size, spec.classes)

    def encode(self, texts):
        return encode_texts(self.tokenizer, texts, 32, causal=False).to(self.device)

    def score(self, batch):
        hidden = self.model(**batch.inputs).last_hidden_state
        mask = batch.attention_mask[:, :, None]
        return self.linear((hidden * mask).sum(1) / mask.sum(1))
"""
OWN_ATTACK = """
from textattack.constraints.pre_transformation import RepeatModification
from textattack.search_methods import GreedySearch
from textattack.transformations import WordDeletion


def delete_words(settings, resources, masked_lm):
    return WordDeletion(), [RepeatModification()], GreedySearch()
"""


def test_a_user_adds_a_data_set_a_model_a_head_and_an_attack(
    tiny_bert: Path, tmp_path: Path
) -> None:
    """With YAML beside the space file; Python only for a head and an attack of one's own."""
    reviews = yaml.safe_load((PACKAGED / "datasets" / "sst2.yaml").read_text())
    entries = {
        "datasets/reviews": {**reviews, "about": "my reviews"},
        "models/mine": {"about": "my model", "hub": "me/mine"},
        "heads/mean_pooled": {"about": "mean of all tokens", "kind": "my_heads:MeanPooled"},
        "attacks/delete": {"about": "words left out", "kind": "my_attacks:delete_words"},
    }
    for name, entry in entries.items():
        file = tmp_path / "catalog" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(entry))
    (tmp_path / "my_heads.py").write_text(OWN_HEAD)
    (tmp_path / "my_attacks.py").write_text(OWN_ATTACK)
    (tmp_path / "assets" / "datasets").mkdir(parents=True)
    (tmp_path / "assets" / "datasets" / "reviews").symlink_to(EMBEDDED / "datasets" / "sst2")
    (tmp_path / "assets" / "models").mkdir()
    (tmp_path / "assets" / "models" / "mine").symlink_to(tiny_bert)
    space = yaml.safe_load((PACKAGED.parent / "embedded.yaml").read_text())
    space |= {"name": "mine", "assets": "assets", "seeds": [0]}
    space["axes"] = {
        "dataset": ["reviews"], "model": ["mine"], "head": ["mean_pooled"], "attack": ["delete"]
    }  # fmt: skip
    space["fit"] |= {"train_examples": 64, "max_epochs": 1, "max_length": 48}
    space["attack"]["examples"] = 4
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))

    sweep = partial(run, "sweep", "--space", "space.yaml", cwd=tmp_path)
    done = sweep()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| head | clean | delete |" in done.stdout and "| mean_pooled |" in done.stdout
    before = sweep("--dry-run").stdout
    assert "done           reviews-mine-mean_pooled" in before
    (tmp_path / "my_heads.py").write_text(OWN_HEAD + "\n# changed\n")
    assert "todo           reviews-mine-mean_pooled" in sweep("--dry-run").stdout
    (tmp_path / "my_heads.py").unlink()
    missing = sweep("--dry-run")
    assert missing.returncode == 2 and "no module my_heads" in missing.stderr


def prompts(dataset: str, head: str, model: str = "bert-embedded") -> Prompts:
    catalog = Catalog()
    found = prompts_of(catalog.dataset(dataset), catalog.head(head), catalog.model(model))
    assert isinstance(found, Prompts)
    return found


@pytest.mark.parametrize(
    ("dataset", "head", "numbers"),
    [
        ("boolq", "mvp_1_template", [1]),
        ("boolq", "mvp_2_templates", [3, 4]),
        ("boolq", "mvp_3_templates", [1, 3, 4]),
        ("ag_news", "mvp_2_templates", [1, 2]),
        ("ag_news", "mvp_3_templates", [1, 2, 3]),
    ],
)
@pytest.mark.parametrize("model", ["bert-embedded", "gpt2-embedded"])
def test_a_head_of_fewer_templates_takes_those_that_the_data_set_names(
    dataset: str, head: str, numbers: list[int], model: str
) -> None:
    every = prompts(dataset, "mvp", model).templates
    assert prompts(dataset, head, model).templates == [every[number - 1] for number in numbers]


def test_one_template_a_step_is_for_heads_with_templates(tmp_path: Path) -> None:
    file = tmp_path / "heads" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("about: mine\nkind: mlp_ft\ntemplates_in_training: one\n")
    with pytest.raises(BadInput, match="kind mlp_ft has no templates"):
        Catalog((tmp_path, PACKAGED)).head("mine")


def test_a_setting_that_only_the_resources_have_is_theirs(tmp_path: Path) -> None:
    file = tmp_path / "attacks" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(
        "about: mine\nkind: my.module:attack\nsettings: {a: 1, d: {x: 1}}\n"
        'resources: {embedded: {b: 2, a: {"1": 7}, d: {x: 2}}}\n'
    )
    attack, data = Catalog((tmp_path, PACKAGED)).attack("mine"), Catalog().dataset("sst2")
    assert attack_settings(attack, data, "mvp", "embedded") == {"a": 7, "b": 2, "d": {"x": 2}}
