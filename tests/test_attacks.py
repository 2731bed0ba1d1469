"""Attacks are TextAttack's recipes, run offline, on victims whose weakness is known."""

import json
import math
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
import torch

from search_spaces.catalog import Catalog, attack_settings
from search_spaces.errors import BadInput
from trainables import speed
from trainables.assets import EMBEDDED
from trainables.attacks.resources import NAMES as RESOURCES
from trainables.attacks.resources import identity, masked_language_model, prepare_textattack
from trainables.data import Example
from trainables.heads.base import Head, Texts
from trainables.metrics import attack_metrics

prepare_textattack("embedded")

from textattack import Attack, attack_recipes  # noqa: E402
from textattack.shared import AttackedText  # noqa: E402

from trainables.attacks import offline  # noqa: E402
from trainables.attacks.engine import Victim, attack_examples  # noqa: E402
from trainables.attacks.fluency import bits_per_character  # noqa: E402
from trainables.attacks.recipes import HomoglyphSwap, build_attack  # noqa: E402

ATTACKS = ["textfooler", "textbugger", "bert_attack", "misspellings"]
RECIPES = {
    "textfooler": "textfooler_jin_2019.TextFoolerJin2019",
    "textbugger": "textbugger_li_2018.TextBuggerLi2018",
    "bert_attack": "bert_attack_li_2020.BERTAttackLi2020",
    "misspellings": "pruthi_2019.Pruthi2019",
}
every_attack = pytest.mark.parametrize("name", ATTACKS)


class KeywordHead(Head):
    """Class 1 as long as the text has one of its words, which an attack must remove."""

    def __init__(self, words: set[str]) -> None:
        super().__init__()
        self.words = words

    def forward(self, texts: Texts) -> torch.Tensor:
        found = [sum(word in self.words for word in " ".join(t).split()) for t in texts]
        return torch.tensor([[0.0, 2.0 * count - 1] for count in found])


def make(name: str, head: Head, protocol: str = "textattack", **changed: Any) -> Attack:
    catalog = Catalog()
    settings = attack_settings(
        catalog.attack(name), catalog.dataset("sst2"), protocol, changed.pop("scale", "embedded")
    )
    return build_attack(
        name, Victim(head), {**settings, **changed}, "embedded",
        masked_language_model("embedded"), ["sentence"], "sentence",
    )  # fmt: skip


def run(name: str, head: Head, text: str, label: int = 1, **options: Any) -> dict[str, Any]:
    attack = make(name, head, **options)
    (record,) = attack_examples(
        lambda: attack, [Example(7, (text,), label)], ["sentence"], 0, "sst2", name
    )
    return record


def recipe(name: str, head: Head) -> Attack:
    """TextAttack's own recipe, its downloads replaced by the embedded resources."""
    module_name, class_name = RECIPES[name].split(".")
    module = getattr(attack_recipes, module_name)
    model, tokenizer = masked_language_model("embedded")
    parts = {
        "UniversalSentenceEncoder": offline.EmbeddedSentenceEncoder,
        "PartOfSpeech": offline.EmbeddedPartOfSpeech,
        "WordSwapHomoglyphSwap": HomoglyphSwap,
    }
    with ExitStack() as stack:
        for part, ours in parts.items():
            if hasattr(module, part):
                stack.enter_context(patch.object(module, part, ours))
        vectors = "textattack.shared.WordEmbedding.counterfitted_GLOVE_embedding"
        stack.enter_context(patch(vectors, offline.word_vectors))
        if name == "bert_attack":
            own = module.WordSwapMaskedLM
            given = {"masked_language_model": model, "tokenizer": tokenizer}
            stack.enter_context(
                patch.object(module, "WordSwapMaskedLM", lambda **k: own(**k, **given))
            )
        return getattr(module, class_name).build(Victim(head))


def embedded_texts(dataset: str, split: str, column: str, count: int) -> list[str]:
    table = pq.read_table(EMBEDDED / "datasets" / dataset / f"{split}.parquet", columns=[column])
    return [text.lower() for text in table[column].to_pylist()[:count]]


def described(part: Any) -> Any:
    """A part of an attack as its class and plain settings, through lists of parts."""
    if isinstance(part, (list, tuple)):
        return [described(each) for each in part]
    plain = (str, int, float, bool, type(None), set, frozenset, list, dict)
    settings = {
        k: v for k, v in vars(part).items() if isinstance(v, plain) and k != "transformations"
    }
    inner = [described(each) for each in getattr(part, "transformations", [])]
    known = next(c for c in type(part).__mro__ if c.__module__.startswith("textattack."))
    return (
        known.__name__,
        {k: str(sorted(v) if isinstance(v, (set, frozenset)) else v) for k, v in settings.items()},
        inner,
    )


@every_attack
def test_an_attack_has_the_parts_of_textattacks_recipe(name: str) -> None:
    ours = make(name, KeywordHead({"good"}), scale="as published")
    theirs = recipe(name, KeywordHead({"good"}))
    assert described(ours.transformation) == described(theirs.transformation)
    assert described(ours.search_method) == described(theirs.search_method)
    assert described(ours.goal_function)[0] == described(theirs.goal_function)[0]

    def constraints(attack: Attack) -> list[Any]:
        kept = [*attack.constraints, *attack.pre_transformation_constraints]
        # TextAttack's names an entailment data set's columns; ours the data set's own.
        return sorted(
            (described(c) for c in kept if type(c).__name__ != "InputColumnModification"), key=str
        )

    assert constraints(ours) == constraints(theirs)


def test_textbuggers_bugs_need_no_file_that_the_wheel_lacks() -> None:
    words = HomoglyphSwap()._get_replacement_words("film")
    assert len(words) == 4 and all(word != "film" and len(word) == 4 for word in words)


VICTIM = {"good", "clever"}
TEXT = "the film was a good and clever story about a boy and his dog"


@every_attack
@pytest.mark.parametrize("protocol", ["textattack", "mvp"])
def test_every_attack_beats_a_victim_that_hangs_on_one_word(name: str, protocol: str) -> None:
    loose = {"min_window_sim": 0.0, "min_sentence_sim": 0.0}
    text = "the film was a good story about a boy and his dog , and they liked it a lot"
    record = run(name, KeywordHead({"good"}), text, protocol=protocol, **loose)
    assert record["status"] == "successful"
    assert "good" not in record["perturbed_text"].split()
    assert record["original_text"] == text
    assert (record["original_output"], record["perturbed_output"]) == (1, 0)
    assert record["queries"] > 1 and record["words_changed"] >= 1


@every_attack
def test_an_example_that_is_wrong_already_is_skipped(name: str) -> None:
    record = run(name, KeywordHead({"good"}), TEXT, label=0)
    assert record["status"] == "skipped"
    assert record["perturbed_text"] == record["original_text"]


@every_attack
def test_an_attack_without_a_way_out_fails(name: str) -> None:
    class Constant(KeywordHead):
        def forward(self, texts: Texts) -> torch.Tensor:
            return torch.tensor([[0.0, 1.0]] * len(texts))

    record = run(name, Constant(set()), TEXT)
    assert record["status"] == "failed"


def test_only_the_attacked_column_changes() -> None:
    settings = {"max_words_changed_count": 1, "min_word_length": 4}
    attack = build_attack(
        "misspellings", Victim(KeywordHead({"good"})), settings, "embedded",
        masked_language_model("embedded"), ["question", "passage"], "passage",
    )  # fmt: skip
    example = Example(0, ("is it a story", "they all said that it was good indeed"), 1)
    columns = ["question", "passage"]
    (record,) = attack_examples(
        lambda: attack, [example], columns, 0, "boolq", "m", attacked="passage"
    )
    assert record["status"] == "successful"
    assert record["perturbed_text"].startswith("is it a story\n")


@every_attack
def test_a_successful_example_says_how_alike_its_texts_are(name: str) -> None:
    loose = {"min_window_sim": 0.0, "min_sentence_sim": 0.0}
    text = "the film was a good story about a boy and his dog , and they liked it a lot"
    record = run(name, KeywordHead({"good"}), text, **loose)
    assert record["status"] == "successful"
    first, second = offline.EmbeddedSentenceEncoder().encode([text, record["perturbed_text"]])
    expected = float(first @ second / (first.norm() * second.norm()))
    assert record["similarity"] == pytest.approx(expected, abs=1e-5)
    assert 0 < record["similarity"] < 1
    assert run(name, KeywordHead({"good"}), text, label=0)["similarity"] is None
    assert attack_metrics([record])["avg_similarity"] == record["similarity"]


def test_a_successful_example_says_how_much_of_its_text_changed_and_how_fluent_it_is() -> None:
    text = "the film was a good story about a boy and his dog , and they liked it a lot"
    record = run("misspellings", KeywordHead({"good"}), text)
    assert record["edit_distance"] in (1, 2), "one letter swapped, lost, added or mistyped"
    before, after = record["bits_per_character"]
    assert 1 < before < after, "a misspelt text is less likely"
    skipped = run("misspellings", KeywordHead({"good"}), text, label=0)
    assert not {"edit_distance", "bits_per_character"} & skipped.keys()
    metrics = attack_metrics([record, skipped])
    assert metrics["avg_edit_distance"] == record["edit_distance"]
    assert metrics["avg_original_bits_per_character"] == before
    assert metrics["avg_perturbed_bits_per_character"] == after


def test_bits_per_character_are_those_of_the_language_model() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED / "gpt2")
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED / "gpt2", torch_dtype="float32").eval()
    text = "the film was a good story about a boy and his dog"
    read = tokenizer(f"<|endoftext|>{text}", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        loss = float(model(read, labels=read).loss)  # the mean over tokens, in nats
    bits = loss * (read.shape[1] - 1) / math.log(2)
    assert bits_per_character(text) == pytest.approx(bits / len(text), rel=1e-5)
    assert bits_per_character(text.upper()) == bits_per_character(text)


def test_every_token_of_a_text_longer_than_the_language_model_reads_counts_once() -> None:
    sentence = "the film was a good story about a boy and his dog . "
    bits = [bits_per_character(sentence * count) * len(sentence) * count for count in (60, 61)]
    assert 0 < bits[1] - bits[0] < bits_per_character(sentence) * len(sentence)
    typo = (sentence * 60 + sentence).replace("dog", "dgo")
    assert bits_per_character(typo) > bits_per_character(sentence * 61)
    assert bits_per_character(f"{sentence * 60}dgo") > bits_per_character(f"{sentence * 60}dog")


def test_what_is_measured_of_a_success_is_of_the_attacked_column_alone() -> None:
    settings = {"max_words_changed_count": 1, "min_word_length": 4}
    found = []
    columns = ["question", "passage"]
    attack = build_attack(
        "misspellings", Victim(KeywordHead({"good"})), settings, "embedded",
        masked_language_model("embedded"), columns, "passage",
    )  # fmt: skip
    for question in ("is it a story", "a question that is much longer than that , and unlike it"):
        example = Example(0, (question, "they all said that it was good indeed"), 1)
        (record,) = attack_examples(
            lambda: attack, [example], columns, 0, "boolq", "m", attacked="passage"
        )
        found.append((record["similarity"], record["bits_per_character"], record["edit_distance"]))
    assert found[0] == found[1] and 0 < found[0][0] < 1


def test_an_encoder_that_cannot_be_loaded_costs_the_similarity_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TextAttack's own, on a machine without TensorFlow: misspellings do not need it."""
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    settings = {"max_words_changed_count": 1, "min_word_length": 4}
    attack = build_attack(
        "misspellings", Victim(KeywordHead({"good"})), settings, "textattack",
        ("", None), ["sentence"], "sentence",
    )  # fmt: skip
    examples = [Example(number, ("a good story",), 1) for number in range(3)]
    records = list(
        attack_examples(
            lambda: attack, examples, ["sentence"], 0, "sst2", "m", resources="textattack"
        )
    )
    assert [(r["status"], r["similarity"]) for r in records] == [("successful", None)] * 3
    assert attack_metrics(records)["avg_similarity"] is None
    assert caplog.text.count("similarity is not measured") == 1


def test_records_made_before_similarity_was_measured_are_left_out_of_its_mean() -> None:
    record = run("misspellings", KeywordHead({"good"}), "a good story")
    before = {name: value for name, value in record.items() if name != "similarity"}
    assert attack_metrics([before])["avg_similarity"] is None
    assert attack_metrics([before, record])["avg_similarity"] == record["similarity"]


def test_word_vectors_have_synonyms_for_neighbours_and_no_antonyms() -> None:
    vectors = offline.word_vectors()

    def neighbours(word: str) -> list[str]:
        near = vectors.nearest_neighbours(vectors.word2index(word), 50)
        return [vectors.index2word(number) for number in near]

    for word, opposite in [
        ("good", "bad"), ("hot", "cold"), ("big", "small"), ("love", "hate"), ("up", "down"),
        ("win", "lose"), ("rich", "poor"), ("early", "late"), ("true", "false"),
    ]:  # fmt: skip
        assert opposite not in neighbours(word), word
        assert word not in neighbours(opposite), opposite
    for word, synonym in [("terrible", "awful"), ("film", "movie"), ("win", "triumph")]:
        assert synonym in neighbours(word)
    assert vectors.get_cos_sim("good", "good") == pytest.approx(1, abs=1e-3)


def test_the_tagger_keeps_words_in_their_class() -> None:
    text = AttackedText("the old man slowly opened the heavy door")
    constraint = offline.EmbeddedPartOfSpeech(allow_verb_noun_swap=True)

    def allowed(word: str, other: str) -> bool:
        at = text.words.index(word)
        return bool(constraint._check_constraint(text.replace_word_at_index(at, other), text))

    assert allowed("heavy", "big")
    assert allowed("slowly", "quietly")
    assert not allowed("heavy", "quietly")
    assert not allowed("slowly", "table")


def test_the_sentence_encoder_ranks_by_meaning() -> None:
    encoder = offline.EmbeddedSentenceEncoder(threshold=0.5, metric="cosine")
    film, movie, bank = encoder.encode(
        ["the film was very funny", "the movie was hilarious", "the bank raised its rates again"]
    )
    close, far = (torch.cosine_similarity(film, other, dim=0) for other in (movie, bank))
    assert close > far + 0.2


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if not name.endswith("seconds")}


@every_attack
def test_the_same_seed_gives_the_same_example_whatever_came_before(name: str) -> None:
    examples = [Example(number, (text,), 1) for number, text in enumerate([TEXT, TEXT + " again"])]

    def attacked(order: list[Example]) -> dict[int, Any]:
        attack = make(name, KeywordHead(VICTIM))
        records = attack_examples(lambda: attack, order, ["sentence"], 3, "sst2", name)
        return {r["id"]: timeless(r) for r in records}

    assert attacked(examples) == attacked(examples[::-1])
    assert attacked(examples)[1] == attacked(examples[1:])[1]


HASH_SEED = """
import json, sys
sys.path.insert(0, {tests!r})
from test_attacks import KeywordHead, TEXT, VICTIM, run, timeless
records = [run(name, KeywordHead(VICTIM), TEXT) for name in {attacks}]
print(json.dumps([timeless(record) for record in records]))
"""


def test_results_do_not_hang_on_pythons_hash_seed_or_on_a_home(tmp_path: Path) -> None:
    """In new processes with an empty home: what TextAttack finds on a new node."""
    code = HASH_SEED.format(tests=str(Path(__file__).parent), attacks=ATTACKS)
    outputs = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / ".cache" / "textattack").exists()
        outputs.append(json.loads(done.stdout.splitlines()[-1]))
    assert outputs[0] == outputs[1]


def test_unknown_names_are_named() -> None:
    with pytest.raises(BadInput, match="did you mean textfooler"):
        build_attack(
            "textfoler", Victim(KeywordHead(set())), {}, "embedded", ("", None), ["a"], "a"
        )
    with pytest.raises(BadInput, match="did you mean embedded"):
        identity("embeded")
    assert all(identity(name) for name in RESOURCES)


def test_bert_attack_proposes_what_textattacks_own_class_does() -> None:
    texts = embedded_texts("sst2", "validation", "sentence", 12)
    texts += embedded_texts("ag_news", "test", "text", 4)
    ours = make("bert_attack", KeywordHead({"good"})).transformation
    with speed.off("bert_attack"):
        theirs = make("bert_attack", KeywordHead({"good"})).transformation
    theirs.max_candidates = ours.max_candidates = (
        4  # TextAttack's scores every combination of pieces
    )
    ours.max_length = theirs.max_length = 40
    several = 0
    for text in texts:
        tokens = ours._lm_tokenizer.tokenize(text)
        several += any(token.startswith("##") for token in tokens)
        indices = set(range(AttackedText(text).num_words))
        proposed = [
            [new.text for new in swap._get_transformations(AttackedText(text), indices)]
            for swap in (ours, theirs)
        ]
        assert proposed[0] == proposed[1], text
    assert several > 3, "no word of several pieces: half of the code was not reached"
    assert any(len(ours._lm_tokenizer.tokenize(text)) > 40 for text in texts), "none is cut"


def test_encoding_a_sentence_twice_changes_nothing() -> None:
    encoder = offline.EmbeddedSentenceEncoder()
    once = encoder.encode(["a fine film", "a dull film"])
    again = encoder.encode(["a fine film", "a dull film", "a fine film"])
    assert torch.equal(again, once[[0, 1, 0]])


def test_a_clone_that_its_group_can_write_to_is_attacked_with_all_the_same(tmp_path: Path) -> None:
    """NLTK refuses such data, and a clone under umask 002 is like that."""
    copy = tmp_path / "nltk_data"
    shutil.copytree(EMBEDDED / "nltk_data", copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o775 if path.is_dir() else 0o664)
    code = (
        "import sys; from pathlib import Path; from trainables.attacks import resources;"
        "resources.EMBEDDED = Path(sys.argv[1]); resources.prepare_textattack('embedded');"
        "from textattack.constraints.pre_transformation import StopwordModification;"
        "assert 'the' in StopwordModification().stopwords"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
