"""Does the packaged GPT-2 tell worse texts from better ones, and by which figure?

    python -m benchmarks.fluency ASSETS

In real SST-2 and AG News texts one word at a time is replaced by a PPDB synonym, by a random word
of those texts, or gets two letters swapped. Printed: the share of changed texts that look worse
than their originals, in bits per character and in perplexity per token; the share of positions at
which the random word looks worse than the synonym; the milliseconds that a text takes.

ASSETS is as for benchmarks/sentence_threshold.py.
"""

import argparse
import json
import random
import re
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks.sentence_threshold import SPLITS, replaced, swaps, synonyms
from trainables.attacks.fluency import _model, bits_per_character


def swapped(word: str, draw: random.Random) -> str:
    """Two neighbouring letters in the middle change places."""
    if len(word) < 4:
        return word
    at = draw.randrange(1, len(word) - 2)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def bits_per_token(text: str) -> float:
    tokens = len(_model()[1](text)["input_ids"])
    return bits_per_character(text) * len(text) / tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assets", type=Path, metavar="ASSETS", help="data sets and PPDB synonyms")
    assets = parser.parse_args().assets
    torch.set_num_threads(1)
    known = synonyms(assets / "counterfit/linguistic_constraints/ppdb_synonyms.txt")
    draw = random.Random(0)
    for dataset, (split, column) in SPLITS.items():
        table = pq.read_table(assets / "datasets" / dataset / f"{split}.parquet", columns=[column])
        texts = [re.findall(r"[\w'.,-]+", text.lower()) for text in table[column].to_pylist()]
        chosen = swaps([words for words in texts if len(words) > 4], known, draw)
        began = time.process_time()
        figures = {}
        for name, figure in (("character", bits_per_character), ("token", bits_per_token)):
            rows = [
                [
                    figure(" ".join(replaced(words, at, new)))
                    for new in (words[at], synonym, other, swapped(words[at], draw))
                ]
                for words, at, synonym, other in chosen
            ]
            original, synonym, other, typo = np.array(rows).T
            figures[f"bits per {name}"] = {
                "original": round(original.mean(), 3),
                "a synonym": round(synonym.mean(), 3),
                "a random word": round(other.mean(), 3),
                "a typo": round(typo.mean(), 3),
                "worse by a synonym": round((synonym > original).mean(), 3),
                "worse by a random word": round((other > original).mean(), 3),
                "worse by a typo": round((typo > original)[typo != original].mean(), 3),
                "random worse than synonym": round((other > synonym).mean(), 3),
            }
            if name == "character":
                texts_read = bits_per_character.cache_info().misses
                took = 1000 * (time.process_time() - began) / texts_read
        print(json.dumps({"dataset": dataset, "ms a text": round(took, 2), **figures}, indent=1))


if __name__ == "__main__":
    main()
