"""The attacks, from TextAttack's own parts in the order of its recipes.

Thresholds and counts come from the catalog, resources (word vectors, sentence encoder, tagger,
masked language model) from a named set. Import after `prepare_textattack`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from textattack import Attack
from textattack.constraints.grammaticality import PartOfSpeech
from textattack.constraints.overlap import MaxWordsPerturbed
from textattack.constraints.pre_transformation import (
    InputColumnModification,
    MaxModificationRate,
    MinWordLength,
    RepeatModification,
    StopwordModification,
)
from textattack.constraints.semantics import WordEmbeddingDistance
from textattack.models.wrappers import ModelWrapper
from textattack.search_methods import GreedySearch, GreedyWordSwapWIR
from textattack.shared import WordEmbedding
from textattack.transformations import (
    CompositeTransformation,
    WordSwapEmbedding,
    WordSwapHomoglyphSwap,
    WordSwapMaskedLM,
    WordSwapNeighboringCharacterSwap,
    WordSwapQWERTY,
    WordSwapRandomCharacterDeletion,
    WordSwapRandomCharacterInsertion,
)

from trainables import speed
from trainables.attacks import KINDS
from trainables.attacks.downloads import WORD_VECTORS
from trainables.attacks.encoder import sentence_encoder
from trainables.attacks.goal import DEFAULT, Goal, goal_function
from trainables.attacks.gradients import check_gradients
from trainables.attacks.offline import EmbeddedPartOfSpeech, word_vectors
from trainables.attacks.patches import on_device, textfooler_stop_words, word_vectors_in
from trainables.attacks.resources import textattacks_own
from trainables.kinds import load_kind
from trainables.speed.bert_attack import BertAttackSwap

Settings = dict[str, Any]
Parts = tuple[Any, Sequence[Any], Any]  # transformation, constraints, search method


def build_attack(
    kind: str,
    victim: ModelWrapper,
    settings: Settings,
    resources: str,
    masked_lm: Sequence[Any],
    columns: list[str],
    attacked: str,
    goal: Goal = DEFAULT,
) -> Attack:
    """An attack on `victim` that changes only the column `attacked`.

    masked_lm: model and tokenizer for BERT-Attack, which other attacks do not read. Raises BadInput
    for an unknown kind, or one that reads gradients which this head does not give.
    """
    parts: Callable[[Settings, str, Sequence[Any]], Parts] = load_kind("attack", kind, KINDS)
    transformation, constraints, search = parts(settings, resources, masked_lm)
    if len(columns) > 1:
        others = set(columns) - {attacked}
        constraints = [*constraints, InputColumnModification(columns, others)]
    if _reads_gradients(search):
        check_gradients(victim.model, len(columns))
    return Attack(goal_function(victim, goal), list(constraints), transformation, search)


def textfooler(settings: Settings, resources: str, masked_lm: Sequence[Any]) -> Parts:
    """Jin et al. 2019 (TextFoolerJin2019)."""
    vectors = _vectors(resources)
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=textfooler_stop_words()),
        *_near_words(settings, vectors),
        _part_of_speech(resources, allow_verb_noun_swap=True),
        *_alike_in_window(settings, resources),
        *_few_words(settings),
    ]
    transformation = WordSwapEmbedding(max_candidates=settings["max_candidates"], embedding=vectors)
    return transformation, constraints, GreedyWordSwapWIR(wir_method="delete")


def textbugger(settings: Settings, resources: str, masked_lm: Sequence[Any]) -> Parts:
    """Li et al. 2018 (TextBuggerLi2018); `word_swap_only` as in the MVP paper's code."""
    vectors = _vectors(resources)
    transformation = swap = WordSwapEmbedding(
        max_candidates=settings["max_candidates"], embedding=vectors
    )
    if not settings["word_swap_only"]:
        inside = {"random_one": True, "skip_first_char": True, "skip_last_char": True}
        bugs = [
            WordSwapRandomCharacterInsertion(letters_to_insert=" ", **inside),
            WordSwapRandomCharacterDeletion(**inside),
            WordSwapNeighboringCharacterSwap(**inside),
            HomoglyphSwap(),
        ]
        transformation = CompositeTransformation([*bugs, swap])
    constraints = [RepeatModification(), StopwordModification(), *_near_words(settings, vectors)]
    if settings["min_sentence_sim"] is not None:
        constraints.append(sentence_encoder(resources, threshold=settings["min_sentence_sim"]))
    constraints += [*_alike_in_window(settings, resources), *_few_words(settings)]
    return transformation, constraints, GreedyWordSwapWIR(wir_method="delete")


def bert_attack(settings: Settings, resources: str, masked_lm: Sequence[Any]) -> Parts:
    """Li et al. 2020 (BERTAttackLi2020)."""
    model, tokenizer = masked_lm
    swap = BertAttackSwap if speed.is_on("bert_attack") else MaskedLMSwap
    with on_device(model.device):
        transformation = swap(
            method="bert-attack",
            masked_language_model=model,
            tokenizer=tokenizer,
            max_candidates=settings["max_candidates"],
        )
    constraints = [
        RepeatModification(),
        StopwordModification(),
        *_few_words(settings),
        sentence_encoder(
            resources,
            threshold=settings["min_sentence_sim"],
            metric="cosine",
            compare_against_original=True,
            window_size=None,
        ),
        *_alike_in_window(settings, resources),
    ]
    return transformation, constraints, GreedyWordSwapWIR(wir_method="unk")


def misspellings(settings: Settings, resources: str, masked_lm: Sequence[Any]) -> Parts:
    """Pruthi et al. 2019 (Pruthi2019)."""
    inside = {"random_one": False, "skip_first_char": True, "skip_last_char": True}
    transformation = CompositeTransformation(
        [
            WordSwapNeighboringCharacterSwap(**inside),
            WordSwapRandomCharacterDeletion(**inside),
            WordSwapRandomCharacterInsertion(**inside),
            WordSwapQWERTY(**inside),
        ]
    )
    constraints = [
        MinWordLength(min_length=settings["min_word_length"]),
        StopwordModification(),
        MaxWordsPerturbed(max_num_words=settings["max_words_changed_count"]),
        RepeatModification(),
    ]
    return transformation, constraints, GreedySearch()


def a2t(settings: Settings, resources: str, masked_lm: Sequence[Any]) -> Parts:
    """Yoo & Qi 2021 (A2TYoo2021), without its masked language model.

    Sentences are compared by the resources' encoder, there by a DistilBERT of
    sentence-transformers. TextAttack 0.3.11 takes the gradient of a text that ends with the last
    word that may be changed, and orders as many words as the model reads tokens; here the gradient
    is of the whole text, and words that are not read come last.
    """
    vectors = _vectors(resources)
    constraints = [
        RepeatModification(),
        StopwordModification(),
        MaxModificationRate(
            max_rate=float(settings["max_words_changed"]),
            min_threshold=settings["max_words_changed_at_least"],
        ),
        *_near_words(settings, vectors),
        _part_of_speech(resources, allow_verb_noun_swap=False),
        sentence_encoder(resources, threshold=settings["min_sentence_sim"], metric="cosine"),
    ]
    transformation = WordSwapEmbedding(max_candidates=settings["max_candidates"], embedding=vectors)
    return transformation, constraints, GreedyWordSwapWIR(wir_method="gradient")


def _reads_gradients(search: Any) -> bool:
    try:
        return not search.is_black_box
    except NotImplementedError:  # a search of one's own need not say it
        return False


def _part_of_speech(resources: str, allow_verb_noun_swap: bool) -> PartOfSpeech:
    """A new word has the part of speech of the old one."""
    kind = EmbeddedPartOfSpeech if resources == "embedded" else PartOfSpeech
    return kind(allow_verb_noun_swap=allow_verb_noun_swap)


def _near_words(settings: Settings, vectors: Any) -> list[Any]:
    """A new word has at least this cosine with the old one, if one is set."""
    least = settings["min_word_cos_sim"]
    return [] if least is None else [WordEmbeddingDistance(embedding=vectors, min_cos_sim=least)]


def _alike_in_window(settings: Settings, resources: str) -> list[Any]:
    """The words around a new one are at least this similar to those before, if that is set."""
    if settings["min_window_sim"] is None:
        return []
    return [
        sentence_encoder(
            resources,
            threshold=settings["min_window_sim"],
            metric="angular",
            compare_against_original=False,
            window_size=settings["window_size"],
            skip_text_shorter_than_window=settings["skip_short_texts"],
        )
    ]


def _few_words(settings: Settings) -> list[Any]:
    """At most this share of the words is changed, if one is set."""
    share = settings["max_words_changed"]
    return [] if share is None else [MaxWordsPerturbed(max_percent=share)]


class MaskedLMSwap(WordSwapMaskedLM):
    """TextAttack's, on the device that the model is on."""

    def _encode_text(self, text: str) -> Any:
        return super()._encode_text(text).to(self._language_model.device)


class HomoglyphSwap(WordSwapHomoglyphSwap):
    """TextAttack's, without a table that its 0.3.11 wheel lacks and that word swaps never use."""

    def __init__(self) -> None:
        with suppress(FileNotFoundError):
            super().__init__()


def _vectors(resources: str) -> Any:
    """Loaded once per process, by TextAttack too."""
    if resources == "embedded":
        return word_vectors()
    with word_vectors_in(textattacks_own(WORD_VECTORS)):
        return WordEmbedding.counterfitted_GLOVE_embedding()
