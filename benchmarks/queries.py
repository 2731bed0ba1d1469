"""What an attacked example costs, on real rows: texts queried, calls, words, seconds elsewhere.

    python -m benchmarks.queries ASSETS [--examples N] [--json FILE]

ASSETS holds datasets/<name>/<split>.parquet and the tokenizer models/bert-base-uncased-tokenizer.
The means over data sets, which are printed last, and the lengths are figures of
orchestrator/plan/cost_model.py and orchestrator/plan/sizes.py, from which a sweep's cost is
estimated.

How often a model is queried depends on how soon it is fooled, so each figure is the mean over two
victims that only count words: one whose words vote for a class, with a small lead for its first
answer, and one that never changes its answer. TextAttack's own attacks run on them, with the
package's word vectors, sentence encoder and masked language model, under the protocol `mvp`.
`seconds_a_word` are of one thread besides the victim: search and constraints.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import torch
from torch import nn

from search_spaces.catalog import Catalog, attack_settings
from trainables.assets import Assets
from trainables.attacks.resources import masked_language_model, prepare_textattack
from trainables.data import Example, attacked_examples, load_splits
from trainables.heads.base import Batch, Head, Traced

DATASETS = ("sst2", "mrpc", "ag_news", "dbpedia_14", "boolq")
ATTACKS = ("textfooler", "textbugger", "bert_attack", "misspellings", "a2t")
LEADS = (0.35, 1e9)  # of the first answer: soon lost, never lost
RESOURCES = "embedded"


class Votes(Head):
    """Scores a text by its words' votes; calls: how many texts each had.

    To an attack that reads gradients, a word is a token and its votes are the embedding.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.leader: int | None = None
        self.lead = 0.0
        self.calls: list[int] = []
        self.words = 0

    def predict(self, texts: Sequence[tuple[str, ...]]) -> torch.Tensor:
        self.calls.append(len(texts))
        return torch.tensor([self._scores(" ".join(text).split()) for text in texts])

    def _scores(self, words: list[str]) -> list[float]:
        self.words += len(words)
        scale = 500 * max(len(words), 1) ** 0.5
        votes = zip(*map(self._votes, words), strict=True) if words else [()] * self.classes
        scores = [sum(each) / scale for each in votes]
        if self.leader is not None:
            scores[self.leader] += self.lead
        return scores

    def _votes(self, word: str) -> list[int]:
        return [crc32(f"{word}/{label}".encode()) % 1000 for label in range(self.classes)]

    def traced(self, text: tuple[str, ...]) -> Traced:
        words = list(re.finditer(r"\S+", "\n".join(text)))
        votes = torch.tensor([self._votes(word.group()) for word in words], dtype=torch.float32)
        embeddings = nn.Embedding.from_pretrained(votes)
        self.model = SimpleNamespace(get_input_embeddings=lambda: embeddings)
        tokens = torch.arange(len(words))[None]
        return Traced(Batch({"input_ids": tokens}), tokens, [word.span() for word in words])

    def score(self, batch: Batch) -> torch.Tensor:
        votes = self.model.get_input_embeddings()(batch.inputs["input_ids"])
        scores: torch.Tensor = votes.sum(dim=1) / (500 * votes.shape[1] ** 0.5)
        if self.leader is not None:
            scores[:, self.leader] += self.lead
        return scores

    def begin(self, texts: tuple[str, ...], lead: float) -> int:
        """Forget earlier calls; returns the first answer, which has the lead from now on."""
        self.leader = None
        self.leader = int(self.predict([texts]).argmax())
        self.lead, self.calls, self.words = lead, [], 0
        return self.leader


def of_attack(
    dataset: str, attack_name: str, examples: Sequence[Example], catalog: Catalog
) -> dict[str, Any]:
    """Means an example: texts queried and seconds besides, both by words that may be changed."""
    from trainables.attacks.engine import Victim, attack_examples
    from trainables.attacks.recipes import build_attack

    data, entry = catalog.dataset(dataset), catalog.attack(attack_name)
    head = Votes(len(data.labels))
    attack = build_attack(
        entry.kind,
        Victim(head),
        attack_settings(entry, data, "mvp", RESOURCES),
        RESOURCES,
        masked_lm=masked_language_model(RESOURCES),
        columns=data.columns,
        attacked=data.attacked,
    )
    rows: list[tuple[int, int, int, float]] = []
    for lead in LEADS:
        for example in examples:
            label = head.begin(example.texts, lead)
            one = [Example(example.id, example.texts, label)]
            (record,) = attack_examples(
                lambda: attack, one, data.columns, 0, dataset, attack_name, attacked=data.attacked
            )
            if record["status"] == "error":
                raise RuntimeError(record["error"])
            other = record["seconds"] - record["victim_seconds"]
            rows.append((sum(head.calls), len(head.calls), head.words, other))
    texts, calls, words, other = (sum(column) for column in zip(*rows, strict=True))
    at = data.columns.index(data.attacked)
    attacked = sum(len(example.texts[at].split()) for example in examples) * len(LEADS)
    return {
        "dataset": dataset,
        "attack": attack_name,
        "texts": texts / len(rows),
        "texts_a_word": texts / attacked,
        "texts_a_call": texts / calls,
        "words_queried": words / texts,
        "seconds_a_word": other / attacked,
    }


def lengths(dataset: str, assets: Assets, catalog: Catalog, tokenizer: Any) -> dict[str, Any]:
    """Means of 2,000 training rows: words, tokens, and the longest of a batch of 8.

    Of test rows: words, and those of the attacked column.
    """
    data = catalog.dataset(dataset)
    splits = load_splits(dataset, data, assets.dataset_files(dataset, data))
    rows = random.Random(0).sample(splits.train, min(2000, len(splits.train)))
    test, at = splits.test, data.columns.index(data.attacked)
    columns = [list(column) for column in zip(*(row.texts for row in rows), strict=True)]
    tokens = [len(ids) for ids in tokenizer(*columns, truncation=True, max_length=512).input_ids]
    longest = [max(tokens[start : start + 8]) for start in range(0, len(tokens), 8)]
    return {
        "dataset": dataset,
        "words": mean(sum(len(text.split()) for text in row.texts) for row in rows),
        "tokens": mean(tokens),
        "longest_of_8": mean(longest),
        "test_words": mean(sum(len(text.split()) for text in row.texts) for row in test),
        "attacked_words": mean(len(row.texts[at].split()) for row in test),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Count what an attacked example costs.")
    parser.add_argument("assets", metavar="ASSETS")
    parser.add_argument("--examples", type=int, default=5, help="of each data set and attack")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    time.perf_counter = time.process_time  # other processes do not count
    torch.set_num_threads(1)
    prepare_textattack(RESOURCES)
    from transformers import BertTokenizerFast

    catalog, assets = Catalog(), Assets(arguments.assets)
    vocabulary = Path(arguments.assets) / "models/bert-base-uncased-tokenizer/vocab.txt"
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary), do_lower_case=True)
    figures: dict[str, list[dict[str, Any]]] = {"lengths": [], "attacks": []}
    for dataset in DATASETS:
        figures["lengths"].append(lengths(dataset, assets, catalog, tokenizer))
        print(json.dumps(figures["lengths"][-1]), flush=True)
    for dataset in DATASETS:
        data = catalog.dataset(dataset)
        test = load_splits(dataset, data, assets.dataset_files(dataset, data)).test
        for attack in ATTACKS:
            sample = attacked_examples(test, arguments.examples)
            figures["attacks"].append(of_attack(dataset, attack, sample, catalog))
            print(json.dumps(figures["attacks"][-1]), flush=True)
    for attack in ATTACKS:
        of_it = [each for each in figures["attacks"] if each["attack"] == attack]
        names = ("texts_a_word", "texts_a_call", "seconds_a_word")
        print(attack, {name: round(mean(each[name] for each in of_it), 4) for name in names})
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
