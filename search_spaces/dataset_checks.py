"""Checks of a data set's catalog file whose values are each well-formed.

They look at the file alone; rows are checked when they are read. They are not pydantic validators,
so that cells in a store can always be read.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search_spaces.catalog import Dataset, Prompts, PromptSet, Splits

Place = tuple[str | int, ...]
Problem = tuple[Place, str]  # the place of a value, and what is wrong with it
TOKENS_OF_MODELS = re.compile(
    r"<(mask|pad|unk|sep|cls|bos|eos|/?s)>|<\|\w+\|>|\[(CLS|PAD|UNK|cls|pad|unk|mask|sep)\]"
)
OUR_TOKENS = ("[MASK]", "[SEP]")  # in templates, in place of those of any model


def dataset_problems(data: "Dataset") -> Iterator[Problem]:
    """Everything that is wrong, in the order of the file."""
    for place, names in {"columns": data.columns, "labels": data.labels}.items():
        yield from _twice((place,), names)
    if not all(map(str.strip, data.labels)):
        yield ("labels",), "a label's name is empty"
    if data.label in data.columns:
        yield ("label",), f"{data.label!r} is one of columns, the texts"
    for text in _splits(data.splits):
        yield ("splits",), text
    if data.prompts is not None:
        yield from _prompts(("prompts",), data.prompts, len(data.labels))
    for name, prompt_set in data.prompt_sets.items():
        yield from _prompts(("prompt_sets", name), prompt_set, len(data.labels))


def _twice(place: Place, values: list[str] | list[int]) -> Iterator[Problem]:
    for number, value in enumerate(values):
        if value in values[:number]:
            yield (*place, number), f"{value!r} appears twice; keep one"


def _splits(splits: "Splits") -> Iterator[str]:
    for split in splits.sources():
        total, rest = sum(splits.shares(split)), splits.rest(split)
        if 0 in splits.shares(split):
            yield f"{split}[0%] has no rows"
        if total > 100:
            yield f"the shares of {split} are {total} % in all"
        if total == 100 and rest:
            yield f"the shares of {split} leave nothing for {rest[0]}"


def _prompts(place: Place, prompts: "Prompts | PromptSet", classes: int) -> Iterator[Problem]:
    for name in ("templates", "decoder_templates"):
        templates = getattr(prompts, name)
        if templates is not None and not templates:
            yield (*place, name), "it is empty; leave it out"
        yield from _twice((*place, name), templates or [])
        for template in templates or []:
            for text in _template(template, decoder=name == "decoder_templates"):
                yield (*place, name), f"{text}: {template!r}"
    yield from _selections(place, prompts)
    if prompts.label_words is not None:
        for number, words in enumerate(prompts.label_words):
            yield from _twice((*place, "label_words", number), words)
        for text in _label_words(prompts.label_words, classes):
            yield (*place, "label_words"), text


def _selections(place: Place, prompts: "Prompts | PromptSet") -> Iterator[Problem]:
    lists = [each for each in (prompts.templates, prompts.decoder_templates) if each is not None]
    for count, numbers in getattr(prompts, "selections", {}).items():
        here = (*place, "selections")
        yield from _twice(here, numbers)
        if len(numbers) != count:
            yield here, f"{count} templates are {numbers}, which are {len(numbers)}"
        for number in numbers:
            if not all(1 <= number <= len(templates) for templates in lists):
                fewest = min(map(len, lists))
                yield here, f"there is no template {number}; they are numbered from 1 to {fewest}"


def _template(template: str, decoder: bool) -> Iterator[str]:
    if token := TOKENS_OF_MODELS.search(template):
        yield f"write [MASK] and [SEP], which become each model's own tokens, not {token[0]}"
    if template.count("[MASK]") != 1:
        yield "a template needs exactly one [MASK]"
    if template != template.lstrip() and template.lstrip().startswith("[SEP]"):
        yield "a template begins with [SEP], without a space before it"
    if decoder and not (template.startswith("[SEP]") and template.rstrip().endswith("[MASK]")):
        yield "a decoder template begins with [SEP] and ends with [MASK]"


def _label_words(label_words: list[list[str]], classes: int) -> Iterator[str]:
    if len(label_words) != classes:
        yield "it needs one list per label, in the order of labels"
    of_class: dict[str, int] = {}
    for number, words in enumerate(label_words):
        if not words:
            yield "each class needs at least one label word"
        for word in map(str.strip, words):
            if not word:
                yield f"a label word of class {number} is empty"
            elif TOKENS_OF_MODELS.search(word) or word in OUR_TOKENS:
                yield f"{word!r} is a special token, not a word"
            elif of_class.get(word, number) != number:
                yield (
                    f"{word!r} is in classes {of_class[word]} and {number}: it cannot "
                    "distinguish them"
                )
            of_class[word] = number
