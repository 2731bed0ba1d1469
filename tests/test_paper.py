"""The space `paper` is the paper's code, but for the differences that it lists.

The code is acmi-lab/mvp at commit be91f37; what it has of settings, templates and label words is
written out here, and what the space or the catalog has otherwise is in the list. Each entry of the
list is so; those of behaviour name the test that shows it.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from search_spaces.catalog import Catalog, Dataset, Prompts, prompts_of
from search_spaces.space import FitSettings, load
from trainables import probe
from trainables.data import Example, attacked_examples
from trainables.heads.inputs import Frame, encode_texts
from trainables.heads.mvp import causal_template, masked_template

HERE = Path(__file__).parent
PAPER = load("paper")
LISTED = PAPER.differences
CATALOG = Catalog()

# src/params.py, src/train.py and the defaults of transformers.TrainingArguments.
CODE_FIT: dict[str, Any] = {
    "train_examples": None, "validation_examples": None, "probe_examples": None,
    "max_length": 512, "learning_rate": 1e-5, "schedule": "linear", "warmup": 0.0,
    "max_grad_norm": 1.0, "weight_decay": 0.01, "decay_norms_and_biases": False, "dropout": None,
    "batch_size": 8, "max_epochs": 20, "group_by_length": False, "evaluate_every": None,
    "patience": 10, "deterministic": False, "dtype": "fp32",
}  # fmt: skip

BOOLQ = [
    "Answer to the question is [MASK]", "[SEP] [MASK]", "I think [MASK]",
    "[SEP] The answer is [MASK]",
]  # fmt: skip
AG_NEWS = [
    "A [MASK] news : ", "[SEP] This topic is about [MASK]", "Category : [MASK] : ",
    "[SEP] The category of this news is [MASK]",
]  # fmt: skip
EMPTY = [" [MASK] ", "[SEP] [MASK] "]
CODE_TEMPLATES = {  # configs/*.yaml, by data set and head
    ("boolq", "mvp"): BOOLQ,
    ("boolq", "mvp_2_templates"): ["I think [MASK]", "[SEP] The answer is [MASK]"],
    ("boolq", "mvp_3_templates"): [BOOLQ[0], "I think [MASK]", "[SEP] The answer is [MASK]"],
    ("boolq", "mvp_random_templates"): [
        "Ruby [MASK] emarald : ", "[SEP] Red list take kick [MASK]", "Foul : [MASK] : ",
        "[SEP] East west jack ann ruby [MASK]",
    ],
    ("ag_news", "mvp"): AG_NEWS,
    ("ag_news", "mvp_2_templates"): AG_NEWS[:2],
    ("ag_news", "mvp_3_templates"): AG_NEWS[:3],
    ("ag_news", "mvp_empty_templates"): EMPTY,
    ("sst2", "mvp"): [
        "Sentiment of the statement is [MASK] . ", "[SEP] [MASK] ", "This is a [MASK] statement ",
        "[SEP] The statement is [MASK] ",
    ],
}  # fmt: skip
CODE_DECODER_TEMPLATES = {
    "boolq": ["[SEP] Answer to the question is [MASK]", "[SEP] [MASK]", "[SEP] I think [MASK]",
              "[SEP] The answer is [MASK]"],
    "ag_news": ["[SEP] This topic is about [MASK]", "[SEP] The category of this text was : [MASK]",
                "[SEP] Category : [MASK]", "[SEP] This is a news from [MASK]"],
}  # fmt: skip
CODE_LABEL_WORDS = {
    ("boolq", "mvp"): "false, true",
    ("ag_news", "mvp"): "politics, sports, business, technology",
    ("sst2", "mvp"): "negative, positive",
    ("boolq", "mvp_several_label_words"): "false wrong incorrect invalid, "
    "true correct valid accurate",
    ("ag_news", "mvp_several_label_words"): "politics world government, "
    "sports competition games tournament, business corporation enterprise, "
    "technology science electronics computer robotics automation",
    ("boolq", "mvp_random_label_words"): "jack, john",
    ("ag_news", "mvp_random_label_words"): "jack, john, ann, ruby",
}
# What a difference lets differ: settings of fits, or names in the tables above.
EXCUSES = {
    "evaluate_every": "evaluate_every",
    "validation_examples": "validation_examples",
    "probe_examples": "probe_examples",
    "deterministic": "deterministic",
    ("ag_news", "mvp_random_label_words"): "random_label_words",
}


def prompts(dataset: str, head: str, model: str = "roberta-base") -> Prompts:
    found = prompts_of(CATALOG.dataset(dataset), CATALOG.head(head), CATALOG.model(model))
    assert isinstance(found, Prompts), found
    return found


def excused(name: Any) -> bool:
    return EXCUSES.get(name) in LISTED


def test_settings_of_fits_are_the_codes_or_listed() -> None:
    here = PAPER.fit.model_dump()
    assert here.keys() == CODE_FIT.keys(), "say here what the paper's code has"
    assert [name for name in here if here[name] != CODE_FIT[name] and not excused(name)] == []
    assert FitSettings() == PAPER.fit
    assert not PAPER.overrides and not PAPER.exclude


@pytest.mark.parametrize(("dataset", "head"), CODE_TEMPLATES)
def test_templates_are_the_codes(dataset: str, head: str) -> None:
    assert prompts(dataset, head).templates == CODE_TEMPLATES[dataset, head]


@pytest.mark.parametrize("dataset", CODE_DECODER_TEMPLATES)
def test_templates_for_gpt2_are_the_codes(dataset: str) -> None:
    assert prompts(dataset, "mvp", "gpt2").templates == CODE_DECODER_TEMPLATES[dataset]


@pytest.mark.parametrize(("dataset", "head"), CODE_LABEL_WORDS)
def test_label_words_are_the_codes_or_listed(dataset: str, head: str) -> None:
    code = [words.split() for words in CODE_LABEL_WORDS[dataset, head].split(", ")]
    same = prompts(dataset, head).label_words == code
    assert same or excused((dataset, head))


def test_the_code_has_the_passage_first_and_every_head() -> None:
    boolq = CATALOG.dataset("boolq")
    assert boolq.columns == ["passage", "question"] and boolq.attacked == "passage"
    code = {"mvp", "untrained_mvp", "mlp_ft", "untrained_mlp_ft", "project_cls", "cls_prompt"}
    code |= {"untrained_cls_prompt", "lpft_sparse", "lpft_dense"}
    assert code <= set(CATALOG.names("head"))
    assert probe.MOST_ITERATIONS == 500 and len(probe.STRENGTHS) == 50
    like_the_code = CATALOG.training("adversarial_from_sphere").settings
    assert (like_the_code["start"], like_the_code["inner_dropout"]) == ("sphere", False)


# Each difference, as it is held: by a fact, or by the test that has it.


def differs_in(*settings: str) -> Callable[[], bool]:
    return lambda: all(getattr(PAPER.fit, name) != CODE_FIT[name] for name in settings)


def held_by(place: str) -> Callable[[], bool]:
    """Whether a test of that name is there: `file.py: name`."""
    file, _, name = place.partition(": ")
    return lambda: f"\ndef {name}(" in (HERE / file).read_text()


def data(name: str) -> Dataset:
    return CATALOG.dataset(name)


@cache
def tokenizer(name: str) -> Any:
    return AutoTokenizer.from_pretrained(HERE.parent / "trainables" / "embedded" / name)


def no_token_before_a_template() -> bool:
    roberta = tokenizer("roberta")
    return masked_template("so [MASK]", roberta).ids[0] == roberta.encode("so")[1]


def separators_are_tokens() -> bool:
    roberta, gpt2 = tokenizer("roberta"), tokenizer("gpt2")
    masked = masked_template("[SEP] so [MASK]", roberta)
    causal = causal_template("[SEP] so [MASK]", gpt2)
    return masked.ids[0] == roberta.sep_token_id and gpt2.decode(causal.ids)[0] == "\n"


def own_separator() -> bool:
    def between(name: str) -> str:
        frame = Frame.of(tokenizer(name), causal=name == "gpt2")
        return str(tokenizer(name).decode(frame.between)).replace(" ", "")

    return [between(name) for name in ("bert", "roberta", "gpt2")] == ["[SEP]", "</s></s>", "\n"]


def token_types() -> bool:
    batch = encode_texts(tokenizer("bert"), [("a film", "a plot")], 32, False)
    return batch.inputs["token_type_ids"].unique().tolist() == [0, 1]


def sampled_by_label() -> bool:
    rows = [Example(id, ("a",), id // 50) for id in range(100)]  # sorted by label
    return {row.label for row in attacked_examples(rows, 10)} == {0, 1}


def not_in_the_code() -> bool:
    code = {"dataset": {"sst2", "ag_news", "boolq"}, "attack": {"textfooler", "textbugger"}}
    ours = {axis: set(getattr(PAPER.axes, axis)) - names for axis, names in code.items()}
    said = set(re.findall(r"\w+", LISTED["grid"].here))
    return all(names and names <= said for names in ours.values())


def training_of(name: str) -> dict[str, Any]:
    return CATALOG.training(name).settings


HELD: dict[str, Callable[[], bool]] = {
    "grid": not_in_the_code,
    "own_prompts": lambda: bool(
        data("mrpc").prompts and data("dbpedia_14").prompts and prompts("sst2", "mvp", "gpt2")
    ),
    "attacked_examples": sampled_by_label,
    "splits": lambda: data("sst2").splits.share("validation") == ("train", 5),
    "separator_under_attack": own_separator,
    "attacked_column_of_mrpc": lambda: data("mrpc").attacked == "sentence2",
    "evaluate_also": lambda: (
        set(re.findall(r"[a-z_0-9]+", LISTED["evaluate_also"].here))
        >= {*PAPER.evaluate_also["sst2"]}
    ),
    "titles_of_dbpedia": lambda: data("dbpedia_14").columns == ["content"],
    "token_types": token_types,
    "separator_of_templates": separators_are_tokens,
    "space_before_templates": no_token_before_a_template,
    "last_token_of_gpt2": held_by("test_heads.py: test_mvp_equals_the_plain_formula"),
    "label_words_of_several_tokens": held_by(
        "test_heads.py: test_label_words_of_several_tokens_are_refused"
    ),
    "label_words_of_gpt2": held_by("test_heads.py: test_mvp_equals_the_plain_formula"),
    "probe_of_two_classes": held_by(
        "test_training.py: test_a_probed_head_starts_as_the_logistic_regression"
    ),
    "probe_features": held_by(
        "test_training.py: test_a_probed_head_starts_as_the_logistic_regression"
    ),
    "probe_examples": differs_in("probe_examples"),
    "untrained_shape": held_by(
        "test_heads.py: test_an_untrained_model_has_the_shape_and_none_of_the_weights"
    ),
    "evaluate_every": lambda: PAPER.fit.evaluate_every == 1000 * PAPER.fit.batch_size,
    "validation_examples": differs_in("validation_examples"),
    "deterministic": differs_in("deterministic"),
    "adversarial_start": lambda: (
        training_of("adversarial")["start"] == "ball"
        and training_of("adversarial")["inner_dropout"]
    ),
    "adversarial_gradients": held_by(
        "test_training.py: test_inner_steps_leave_no_gradients_behind"
    ),
    "adversarial_padding": held_by(
        "test_training.py: test_a_random_perturbation_lies_in_the_ball_and_spares_padding"
    ),
    "adversarial_validation": held_by(
        "test_fit_steps.py: test_adversarial_training_is_validated_on_clean_text"
    ),
    "scores": lambda: PAPER.attack.scores == "probability",
    "success_check": held_by(
        "test_attack_rules.py: test_a_success_that_changed_another_column_is_an_error_that_says_so"
    ),
    "max_words_changed": lambda: (
        (data("mrpc").max_words_changed, data("dbpedia_14").max_words_changed) == (0.1, 0.3)
    ),
    "bert_attack_candidates": lambda: CATALOG.attack("bert_attack").settings["max_candidates"] == 8,
    "random_label_words": lambda: (
        prompts("ag_news", "mvp_random_label_words").label_words[3] == ["mary"]
    ),
    "random_templates": lambda: bool(
        prompts("sst2", "mvp_random_templates") and prompts("ag_news", "mvp_random_templates")
    ),
    "label_words_of_sst2": lambda: (
        ", ".join(" ".join(w) for w in prompts("sst2", "mvp_several_label_words").label_words)
        == "negative bad terrible, positive good great"
    ),
    "random_template_in_validation": held_by(
        "test_heads.py: test_a_head_of_one_template_trains_on_one_a_text_and_predicts_by_all"
    ),
}


def test_each_listed_difference_is_held_and_each_excuse_is_listed() -> None:
    assert set(LISTED) == set(HELD)
    assert set(EXCUSES.values()) <= set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_a_listed_difference_is_one(name: str) -> None:
    assert HELD[name]()


def test_a_number_in_the_list_is_the_settings() -> None:
    said = {
        "evaluate_every": PAPER.fit.evaluate_every,
        "validation_examples": PAPER.fit.validation_examples,
        "probe_examples": PAPER.fit.probe_examples,
    }
    for name, number in said.items():
        assert f"{number:,}" in LISTED[name].here
