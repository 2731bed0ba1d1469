"""What holds for every attack: what may change, that it ends, and that no failure persists."""

import json
import re
import subprocess
import sys
import time
from collections import OrderedDict
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import record as stored_record
from stores import write

from orchestrator.plan.plan import Plan, make_plan
from orchestrator.report.baseline import against
from orchestrator.report.comparison import as_markdown, headline
from orchestrator.report.contents import files
from orchestrator.report.from_store import read_store
from orchestrator.report.results import Outcomes, Results
from search_spaces.catalog import Catalog, attack_settings
from search_spaces.errors import BadInput
from search_spaces.space import load
from trainables.assets import Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.data import Example
from trainables.heads.base import Batch, Head, Texts
from trainables.metrics import attack_metrics
from trainables.store import Store

prepare_textattack("embedded")

from textattack import Attack  # noqa: E402
from textattack.constraints import Constraint  # noqa: E402
from textattack.goal_function_results import GoalFunctionResultStatus  # noqa: E402
from textattack.goal_functions import UntargetedClassification  # noqa: E402
from textattack.search_methods import GreedySearch, SearchMethod  # noqa: E402
from textattack.shared import AttackedText, utils  # noqa: E402
from textattack.transformations import Transformation  # noqa: E402

from trainables.attacks import similarity  # noqa: E402
from trainables.attacks.engine import Victim, attack_examples  # noqa: E402
from trainables.attacks.recipes import build_attack  # noqa: E402
from trainables.attacks.unread import words_unread  # noqa: E402
from trainables.speed.combinations import one_word_combinations  # noqa: E402
from trainables.speed.texts import Text  # noqa: E402

ATTACKS = ["textfooler", "textbugger", "bert_attack", "misspellings"]
LOOSE = {"min_window_sim": -1.0, "min_sentence_sim": -1.0, "max_words_changed": 1.0}


class LettersHead(Head):
    """Class 1 as long as no column has lost a letter of any word: falls at the first change."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        super().__init__()
        self.texts = texts

    def forward(self, texts: Texts) -> torch.Tensor:
        return torch.tensor([[0.0, 3.0] if text == self.texts else [3.0, 0.0] for text in texts])


def attack_of(name: str, head: Head, columns: list[str], attacked: str, **changed: Any) -> Attack:
    catalog = Catalog()
    given_ = attack_settings(
        catalog.attack(name), catalog.dataset("sst2"), changed.pop("protocol", "mvp"), "embedded"
    )
    return build_attack(
        name, Victim(head), {**given_, **LOOSE, **changed}, "embedded",
        masked_language_model("embedded"), columns, attacked,
    )  # fmt: skip


def run(
    attack: Attack, texts: tuple[str, ...], attacked: int = 0, **options: Any
) -> dict[str, Any]:
    columns = ["first", "second"][: len(texts)]
    options["attacked"] = columns[attacked]
    example = Example(7, texts, 1)
    (record,) = attack_examples(lambda: attack, [example], columns, 0, "d", "m", **options)
    return record


# What can explode

LETTERS = ["a", "bc", "##a", "#", "##", "###", "a#", "#a", ".", "a.b", "-", "'", "@", "_", "##-"]
ODD = ["x-", "##影", "电", "这部", "[UNK]", "é", "`", "×", " ", " a", "Ġa", ",", "1.", "+", "#电"]
PIECES = st.sampled_from(LETTERS + ODD)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(PIECES, min_size=1, max_size=4), min_size=1, max_size=5), st.integers(1, 6)
)
def test_the_first_combinations_of_pieces_are_those_that_going_through_all_of_them_finds(
    pieces: list[list[str]], most: int
) -> None:
    joined = ("".join(chosen).replace("##", "") for chosen in product(*pieces))
    assert one_word_combinations(pieces, most) == list(
        islice(filter(utils.is_one_word, joined), most)
    )


@pytest.mark.parametrize(
    "pieces",
    [
        [["a", ".", "b", "-"]] * 500,
        [["a."] * 8] * 500,
        [["a", "##b", ".", "c"]] * 40 + [[". a . b"]],
        [list("电影这的是了在我")] * 12,
        [list("电影这的是了在我")] * 500,
    ],
)
def test_no_pieces_take_long(pieces: list[list[str]]) -> None:
    began = time.process_time()
    one_word_combinations(pieces, 8)
    assert time.process_time() - began < 60  # all of them: longer than the age of the universe


def test_bert_attack_ends_on_a_text_with_an_email_address() -> None:
    text = ("order kathryn_krishnamurthy@my-company-intranet.com never came",)

    class Constant(Head):
        def forward(self, texts: Texts) -> torch.Tensor:
            return torch.tensor([[0.0, 1.0]] * len(texts))

    record = run(attack_of("bert_attack", Constant(), ["first"], "first"), text)
    assert record["status"] == "failed" and record["queries"] > 3


# Only the attacked column

ENGLISH, CHINESE = "i don't think it's a boring story", "这部电影的故事 很好看"
PAIRS = {
    "Chinese attacked": ((ENGLISH, CHINESE), 1),
    "Chinese beside": ((CHINESE, ENGLISH), 1),
    "English before Chinese": ((ENGLISH, CHINESE), 0),
    "both Chinese": (("我 don't 喜欢", CHINESE), 1),
    "line breaks": (("it's\na don't\n\nline", "another\nboring story"), 1),
    "TextAttack's mark": (("a <SPLIT> story SPLIT I", "the SPLIT <SPLIT> boring I story"), 1),
    "empty beside": (("", "a boring story"), 1),
    "equal columns": (("a boring story", "a boring story"), 1),
    "its end begins the other": (("a boring", "boring story"), 0),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("protocol", ["textattack", "mvp"])
def test_an_attack_changes_the_attacked_column_and_no_other(name: str, protocol: str) -> None:
    successes = 0
    for texts, attacked in PAIRS.values():
        columns = ["first", "second"]
        attack = attack_of(name, LettersHead(texts), columns, columns[attacked], protocol=protocol)
        seen: set[tuple[str, ...]] = set()
        predict = attack.goal_function.model.model.predict

        def noted(batch: Texts, predict: Any = predict, seen: Any = seen) -> Any:
            seen |= set(batch)
            return predict(batch)

        attack.goal_function.model.model.predict = noted
        record = run(attack, texts, attacked)
        assert record["status"] != "error", record["error"]
        # In no text that was tried, also with a deleted word, did another column change.
        assert {text[1 - attacked] for text in seen} == {texts[1 - attacked]}
        successes += record["status"] == "successful"
    assert successes >= (4 if name == "textfooler" else 6)


def test_words_of_a_pair_are_those_of_its_columns_alone() -> None:
    for texts, _ in PAIRS.values():
        pair = Text(OrderedDict(zip(("first", "second"), texts, strict=True)))
        assert pair.words == [word for text in texts for word in AttackedText(text).words]
        for index in range(len(pair.words)):
            for new in ("", "new", "two words", "电影"):
                changed = pair.replace_word_at_index(index, new).tokenizer_input
                column = int(index >= len(AttackedText(texts[0]).words))
                assert changed[1 - column] == texts[1 - column]
                assert (changed[column] == texts[column]) == (new == pair.words[index])


# Rules that hold for every attack


class Rewrite(Transformation):
    """A user's own: rewrites the whole text, whatever may be changed."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def _get_transformations(self, current_text: Any, indices_to_modify: Any) -> list[Any]:
        return [self.make(current_text)]


def own_attack(head: Head, make: Any, *constraints: Constraint) -> Attack:
    search = GreedySearch()
    return Attack(UntargetedClassification(Victim(head)), list(constraints), Rewrite(make), search)


def pair_of(first: str, second: str) -> AttackedText:
    return AttackedText(OrderedDict(first=first, second=second))


def test_a_success_that_changed_another_column_is_an_error_that_says_so() -> None:
    texts = ("a good one", "is it good")
    attack = own_attack(LettersHead(texts), lambda _: pair_of("a bad one", "is it bad"))
    record = run(attack, texts, 1)
    assert record["status"] == "error"
    assert "only second is attacked, but first changed" in record["error"]
    assert {"seconds", "victim_seconds", "constraint_seconds"} <= set(record)


def test_a_success_whose_words_are_not_those_of_its_text_is_an_error_that_says_so() -> None:
    texts = ("a good one",)

    def miscounted(current: AttackedText) -> AttackedText:
        made = Text("a bad thing", words=[["a", "bad", "one"]])
        return made

    record = run(own_attack(LettersHead(texts), miscounted), texts)
    assert record["status"] == "error"
    assert "1 words are counted as changed, 2 of the text differ" in record["error"]


def test_a_success_that_the_fit_does_not_confirm_is_an_error_that_says_so() -> None:
    texts = ("a good one",)

    class Moody(LettersHead):
        asked = 0

        def forward(self, batch: Texts) -> torch.Tensor:
            type(self).asked += 1
            found = super().forward(batch)
            return found if self.asked < 3 else torch.tensor([[0.0, 3.0]] * len(batch))

    record = run(own_attack(Moody(texts), lambda _: AttackedText("a bad one")), texts)
    assert record["status"] == "error"
    assert "the fit reads label 1 from the perturbed text, the attack was told 0" in record["error"]


def test_two_classes_as_likely_as_each_other_are_no_broken_rule() -> None:
    texts = ("a good one",)

    class Undecided(LettersHead):
        bit = -1e-6

        def forward(self, batch: Texts) -> torch.Tensor:
            if batch[0] != self.texts:
                self.bit = -self.bit
            return torch.tensor([[0.0, 3.0] if t == self.texts else [self.bit, 0.0] for t in batch])

    record = run(own_attack(Undecided(texts), lambda _: AttackedText("a bad one")), texts)
    assert (record["status"], record["perturbed_output"]) == ("successful", 0)


class Claims(SearchMethod):
    """A user's own: claims success, whatever the fit predicts for the output of `change`."""

    is_black_box = True

    def __init__(self, change: Any) -> None:
        self.change = change

    def perform_search(self, initial_result: Any) -> Any:
        changed = self.change(initial_result.attacked_text)
        (result,), _ = self.get_goal_results([changed])
        result.goal_status = GoalFunctionResultStatus.SUCCEEDED
        return result


@pytest.mark.parametrize(
    "change",
    [lambda text: text, lambda text: text.replace_word_at_index(0, "the")],
    ids=["the text as it was", "another text"],
)
def test_a_success_that_the_fit_still_gets_right_is_an_error_that_says_so(change: Any) -> None:
    goal = UntargetedClassification(Victim(Slow(0)))
    attack = Attack(goal, [], Rewrite(lambda text: text), Claims(change))
    record = run(attack, ("a good one",))
    assert record["status"] == "error"
    assert "the fit still gives the right label" in record["error"]


@pytest.mark.parametrize(
    ("words", "counted"), [("", 0), ("a", 0), ("the", 1), ("a good long one more", 0)]
)
@pytest.mark.parametrize("columns", [1, 2])
def test_a_success_that_left_words_out_or_added_some_uncounted_is_an_error_that_says_so(
    columns: int, words: str, counted: int
) -> None:
    texts = ("beside", "a good long one")[-columns:]

    def rewritten(current: AttackedText) -> AttackedText:
        return AttackedText(words) if columns == 1 else pair_of("beside", words)

    record = run(own_attack(LettersHead(texts), rewritten), texts, columns - 1)
    assert record["status"] == "error"
    before, after = 3 + columns, len(words.split()) + columns - 1
    says = f"{counted} words are counted as changed, but the number of words went from"
    assert f"{says} {before} to {after}" in record["error"]


def test_a_users_attack_may_give_its_constraints_as_a_tuple(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "constraints_in_a_tuple.py").write_text(
        "from textattack.constraints.pre_transformation import RepeatModification\n"
        "from textattack.search_methods import GreedySearch\n"
        "from textattack.transformations import WordSwapRandomCharacterDeletion\n"
        "def attack(settings, resources, masked_lm):\n"
        "    swap = WordSwapRandomCharacterDeletion()\n"
        "    return swap, (RepeatModification(),), GreedySearch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for texts in (("a good story",), ("beside it", "a good story")):
        columns = ["first", "second"][: len(texts)]
        attack = build_attack(
            "constraints_in_a_tuple:attack", Victim(LettersHead(texts)), {}, "embedded",
            (None, None), columns, columns[-1],
        )  # fmt: skip
        record = run(attack, texts, len(texts) - 1)
        assert record["status"] == "successful", record


def test_the_check_of_a_success_counts_no_query() -> None:
    text = "the film was a good story about a boy"
    head = LettersHead((text,))
    record = run(attack_of("textfooler", head, ["first"], "first"), (text,))
    result = attack_of("textfooler", head, ["first"], "first").attack(Text(text), 1)
    assert (record["status"], record["queries"]) == ("successful", result.num_queries)


# The time limit


class Slow(LettersHead):
    """Never fooled, and slow."""

    def __init__(self, seconds: float) -> None:
        super().__init__(("",))
        self.seconds = seconds
        self.batches = 0

    def forward(self, texts: Texts) -> torch.Tensor:
        time.sleep(self.seconds)
        self.batches += 1
        return torch.tensor([[0.0, 3.0]] * len(texts))


LONG = " ".join(f"word{number} story" for number in range(100))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_example_that_takes_too_long_ends_as_failed(name: str) -> None:
    head = Slow(0.05)
    attack = attack_of(name, head, ["first"], "first")
    examples = [Example(number, (text,), 1) for number, text in enumerate([LONG, "a story"])]
    options: dict[str, Any] = {"seconds_per_example": 0.12}
    long, short = attack_examples(lambda: attack, examples, ["first"], 0, "d", "m", **options)
    assert (long["status"], long["timeout"]) == ("failed", True)
    assert long["perturbed_text"] == long["original_text"] == LONG
    assert (long["original_output"], long["words_changed"]) == (1, 0)
    assert long["queries"] >= 1
    head.seconds = 0.0
    attack = attack_of(name, Slow(0.0), ["first"], "first")
    (alone,) = attack_examples(lambda: attack, examples[1:], ["first"], 0, "d", "m")
    untimed = {key: value for key, value in alone.items() if not key.endswith("seconds")}
    if "timeout" not in short:
        assert untimed == {key: short[key] for key in untimed}
    assert "timeout" not in alone


def test_time_is_looked_at_while_candidates_are_made_and_while_they_are_checked() -> None:
    texts = ("a good one",)

    def endless(current: Any) -> Any:
        while True:
            time.sleep(0.01)
            current.replace_word_at_index(0, "other")

    record = run(own_attack(Slow(0), endless), texts, seconds_per_example=0.05)
    assert (record["status"], record["timeout"]) == ("failed", True)

    class Waits(Constraint):
        checked = 0

        def _check_constraint(self, transformed_text: Any, reference_text: Any) -> bool:
            time.sleep(0.1)
            type(self).checked += 1
            return True

    def other(current: Any) -> Any:
        return current.replace_word_at_index(0, f"{current.words[0]}x")

    attack = own_attack(Slow(0), other, Waits(True), Waits(True))
    record = run(attack, texts, seconds_per_example=0.05)
    assert (record["timeout"], Waits.checked) == (True, 1)
    assert "filter_transformations" not in vars(attack)
    assert "call_many" not in vars(attack.constraints[0])


def test_a_slow_part_that_never_looks_at_the_time_does_not_make_a_late_success() -> None:
    texts = ("a good one",)

    class Waits(GreedySearch):
        def perform_search(self, initial_result: Any) -> Any:
            result = super().perform_search(initial_result)
            time.sleep(0.1)
            return result

    goal = UntargetedClassification(Victim(LettersHead(texts)))
    attack = Attack(goal, [], Rewrite(lambda _: AttackedText("a bad one")), Waits())
    record = run(attack, texts, seconds_per_example=0.05)
    assert (record["status"], record.get("timeout")) == ("failed", True)
    assert record["perturbed_text"] == record["original_text"]


def test_what_is_wrong_before_the_attack_is_skipped_however_short_the_time() -> None:
    record = run(
        own_attack(LettersHead(("other",)), lambda text: text),
        ("a good one",),
        seconds_per_example=1e-9,
    )
    assert record["status"] == "skipped" and "timeout" not in record


def test_the_first_query_is_always_answered() -> None:
    record = run(
        own_attack(Slow(0.2), lambda text: text), ("a good one",), seconds_per_example=0.01
    )
    assert record["original_scores"] and record["queries"] >= 1


# A failure does not persist


def test_an_encoder_that_once_could_not_be_loaded_is_tried_again_in_the_next_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: Any, **__: Any) -> Any:
        raise OSError("the file is gone for a moment")

    with monkeypatch.context() as patched:
        patched.setattr(similarity, "sentence_encoder", gone)
        attack = attack_of("misspellings", LettersHead(("a good story",)), ["first"], "first")
        assert run(attack, ("a good story",))["similarity"] is None
    assert run(attack, ("a good story",))["similarity"] is not None


IMPORT_FAILS_TWICE = """
import importlib.abc, json, sys
from trainables.attacks import resources

class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            raise OSError(f"{name} is gone for a moment")

errors = []
sys.meta_path.insert(0, Gone())
for _ in range(2):
    try:
        resources.prepare_textattack("embedded")
    except OSError as error:
        errors.append(str(error))
    assert not any(name.split(".")[0] == "textattack" for name in sys.modules)
del sys.meta_path[0]
resources.prepare_textattack("embedded")
import nltk
sys.path.insert(0, sys.argv[2])
from test_attacks import KeywordHead, run
record = run("misspellings", KeywordHead({"good"}), "a good story")
print(json.dumps({"errors": errors, "status": record["status"], "paths": nltk.data.path,
                  "download": nltk.download.__qualname__}))
"""


@pytest.mark.parametrize(
    "broken", ["textattack.attack_recipes.pwws_ren_2019", "flair.tokenization"]
)
def test_an_import_that_failed_is_tried_afresh(broken: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_FAILS_TWICE, broken, str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == [f"{broken} is gone for a moment"] * 2
    assert found["status"] == "successful"
    assert sum("robustness-sweep-nltk" in place for place in found["paths"]) == 1
    assert found["download"] == "Downloader.download"


# What a report says about it

REPORTED = ("dataset=sst2,mrpc", "model=bert-embedded", "head=mlp_ft,mvp", "attack=textfooler")


def planned(store: Store, *sets: str, only: tuple[str, ...] = REPORTED) -> Plan:
    space = load("embedded", only=only, sets=["attack.examples=20", *sets], seeds=[0, 1])
    return make_plan(space, Assets("embedded"), store)


def stored_results(folder: Path, status: Any) -> Results:
    store = Store(str(folder))
    for cell in planned(store).todo:
        write(cell, store, status)
    return read_store(planned(store), store)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("nothing", "where"),
    [("skipped", "everywhere"), ("error", "everywhere"), ("error", "in one head")],
)
def test_where_nothing_could_be_attacked_a_report_has_a_dash_and_no_warning(
    nothing: str, where: str, tmp_path: Path
) -> None:
    def status(cell: Any, id: int) -> str:
        of_it = where == "everywhere" or cell.fit.head == "mvp"
        return nothing if of_it else ("failed", "successful")[id % 2]

    found = stored_results(tmp_path / "store", status)
    text = as_markdown(found)
    assert "nan" not in text
    assert all(b"nan" not in content for name, content in files(found).items() if "csv" in name)
    other = stored_results(tmp_path / "other", lambda cell, id: ("failed", "successful")[id % 2])
    against(found, other)
    against(other, found)
    if nothing == "error" and where == "everywhere":
        assert "–" in text


def test_the_report_says_how_much_of_the_attacked_words_the_model_cannot_read_and_time_outs(
    tmp_path: Path,
) -> None:
    found = stored_results(tmp_path, lambda cell, id: "failed")
    assert not any("beyond" in line or "time" in line for line in headline(found).splitlines()[-3:])
    records = [stored_record(id, "failed") for id in range(4)]
    records[0] |= {"timeout": True}
    records[1] |= {"words_unread": 3}
    assert attack_metrics(records)["num_timeouts"] == 1
    assert "num_timeouts" not in attack_metrics(records[1:])
    cells = [replace(cell, outcomes=Outcomes.of(records)) for cell in found.cells[:1]]
    text = headline(replace(found, cells=cells))
    assert "1 attacked example, counted as failed" in text
    assert "19% in sst2" in text


class FirstLetters(Head):
    """Reads only the first letters of all columns together."""

    def encode(self, texts: Texts) -> Batch:
        cut = " | ".join(texts[0])[:20]
        return Batch({"input_ids": torch.tensor([[ord(letter) for letter in cut]])})


@pytest.mark.parametrize(
    ("texts", "column", "unread"),
    [
        (("one two three four five six seven",), 0, 2),
        (("one two three",), 0, 0),
        (("one",), 0, 0),
        (("",), 0, 0),
        (("!! " * 20 + "one two three",), 0, 3),
        (("one two three four", "five six seven"), 1, 3),
        (("one two three four", "five six seven"), 0, 0),
    ],
)
def test_words_beyond_what_a_model_reads_are_counted(
    texts: tuple[str, ...], column: int, unread: int
) -> None:
    words = AttackedText(texts[column]).words
    assert words_unread(FirstLetters(), texts, column, words) == unread


def test_a_record_says_how_many_words_the_model_does_not_read(tiny_bert: Path) -> None:
    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec

    head = build_head("mlp_ft", HeadSpec(tiny_bert, False, 2, None, 12))
    label = int(head.predict([("film " * 40,)]).argmax())
    attack = own_attack(head, lambda text: text)
    for count, expected in ((40, 30), (10, None)):
        example = Example(0, (" ".join(["film"] * count),), label)
        (record,) = attack_examples(lambda: attack, [example], ["first"], 0, "d", "m")
        assert record.get("words_unread") == expected


UNREAD_MAX = 24
PARTLY_READ: list[tuple[tuple[str, ...], int]] = [
    (("film " * 14, "good " * 18), 1),  # both are truncated, the attacked one is longer
    (("film " * 18, "good " * 14), 1),
    (("film " * 17, "good " * 18), 1),  # equally long but for one token
    (("film " * 18, "good " * 18), 1),
    (("film " * 18, "good " * 17), 1),
    (("film " * 18, "good " * 17), 0),
    (("bad", "the cast , was good . " * 5), 1),
    (("the cast , was good . " * 5, "bad"), 0),
    (("xyzzy " * 5, "plot qwertyuiop " * 5), 1),
    (("xyzzy " * 5, "plot qwertyuiop " * 5), 0),
    (("the film", "was good"), 1),
    (("the cast , was good . " * 6,), 0),
    (("plot qwertyuiop " * 5,), 0),
]


@pytest.mark.parametrize("kind", ["mlp_ft", "mvp"])
@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2"])
def test_a_word_is_unread_where_another_of_as_many_tokens_is_read_alike(
    kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    from search_spaces.catalog import Prompts
    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec

    prompts = Prompts(templates=["[SEP] it was [MASK]"], label_words=[["negative"], ["positive"]])
    folder = request.getfixturevalue(f"tiny_{name}")
    head: Any = build_head(kind, HeadSpec(folder, name == "gpt2", 2, prompts, UNREAD_MAX))

    def tokens(word: str) -> int:
        return len(head.tokenizer(f" {word}", add_special_tokens=False).input_ids)

    others = ["cat", "dull", "z", "zz", "zzz", *("z" * n for n in range(4, 16))]
    for texts, column in PARTLY_READ:
        places = list(re.finditer(r"\w+", texts[column]))
        whole = head.encode([texts])
        unread = 0
        for place in reversed(places):
            word = place[0]
            other = next(o for o in others if tokens(o) == tokens(word) and o[0] != word[0])
            text = texts[column][: place.start()] + other + texts[column][place.end() :]
            changed = head.encode([(*texts[:column], text, *texts[column + 1 :])])
            if any(not torch.equal(changed.inputs[k], whole.inputs[k]) for k in whole.inputs):
                break
            unread += 1
        words = [place[0] for place in places]
        assert words_unread(head, texts, column, words) == unread, (texts, column)


@pytest.mark.parametrize("name", ["textfooler", "textbugger"])
def test_a_text_of_one_word_is_attacked_on_a_causal_model(name: str, tiny_gpt2: Path) -> None:
    """Which reads an empty text, where the attack leaves the only word out."""
    from trainables.heads import build_head
    from trainables.heads.base import HeadSpec

    torch.manual_seed(0)
    head = build_head("mlp_ft", HeadSpec(tiny_gpt2, True, 2, None, 12))
    label = int(head.predict([("film",)]).argmax())
    attack = attack_of(name, head, ["first"], "first", protocol="textattack")
    example = Example(0, ("film",), label)
    (record,) = attack_examples(lambda: attack, [example], ["first"], 0, "d", "m")
    assert record["status"] in ("successful", "failed"), record["traceback"]
    assert record["queries"] > 1


# What keys depend on


def test_only_the_keys_that_it_concerns_have_another_limit_of_time() -> None:
    store = Store("/nonexistent")
    only = (*REPORTED[1:], "dataset=sst2")

    def keys_of(*sets: str) -> list[str]:
        return [cell.log for cell in planned(store, *sets, only=only).todo]

    unset = keys_of("attack.seconds_per_example=null")
    assert keys_of() == unset
    assert set(keys_of("attack.seconds_per_example=60")).isdisjoint(unset)
    for wrong in ("0", "-1", ".nan", ".inf"):
        with pytest.raises(BadInput, match="seconds_per_example"):
            keys_of(f"attack.seconds_per_example={wrong}")


def test_only_causal_models_that_are_read_at_the_last_token_have_keys_of_their_own() -> None:
    only = ("dataset=sst2", "attack=textfooler", "head=mlp_ft,mvp,project_cls,cls_prompt")
    marked = {
        (cell.fit.model, cell.fit.head)
        for cell in planned(Store("/nonexistent"), only=only).todo
        if "read_at" in cell.fit.identity["head"]
    }
    assert marked == {("gpt2-embedded", "mlp_ft")}


def test_pairs_with_chinese_have_keys_of_their_own(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "assets" / "datasets" / "couples"
    folder.mkdir(parents=True)
    catalog = tmp_path / "catalog" / "datasets"
    catalog.mkdir(parents=True)
    (catalog / "couples.yaml").write_text(
        "about: Pairs.\ncolumns: [a, b]\nlabel: c\nlabels: [x, y]\nattacked: a\n"
        "splits: {train: train, validation: validation, test: test}\n"
    )
    (tmp_path / "space.yaml").write_text(
        "name: couples\naxes: {dataset: [couples], model: [bert-embedded], head: [mlp_ft],"
        " attack: [misspellings]}\nattack: {resources: embedded}\n"
    )

    def attack_identity(test: str, train: str = "one") -> dict[str, Any]:
        for split in ("train", "validation", "test"):
            text = test if split == "test" else train
            table = pa.table({"a": ["one", "two"], "b": ["three", text], "c": [0, 1]})
            pq.write_table(table, folder / f"{split}.parquet")
        plan = make_plan(
            load(str(tmp_path / "space.yaml")),
            Assets(str(tmp_path / "assets")),
            Store("/nonexistent"),
        )
        found: dict[str, Any] = plan.cells[0].cell.identity["attack"]
        return found

    plain = attack_identity("four")
    assert attack_identity("four", train="四") == plain
    assert attack_identity("四") == {**plain, "split_into_words": "by column"}
