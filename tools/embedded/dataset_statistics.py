"""Print the statistics of the embedded data sets that their README quotes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from tools.embedded.grammar import content_words, words
from trainables.assets import EMBEDDED

FILES = {
    "sst2": ("sentence", "label", "train", "validation"),
    "ag_news": ("text", "label", "train", "test"),
    "boolq": ("passage", "answer", "train", "validation"),
    "mrpc": ("sentence2", "label", "train", "test"),
    "dbpedia_14": ("content", "label", "train", "test"),
}


def describe(
    folder: Path, column: str, label: str, train_name: str, test_name: str
) -> dict[str, object]:
    """Size, balance, vocabulary, unseen words, duplicates, bag-of-words accuracy."""
    train, test = (pq.read_table(folder / f"{name}.parquet") for name in (train_name, test_name))
    texts, labels = train[column].to_pylist(), train[label].to_pylist()
    test_texts, test_labels = test[column].to_pylist(), test[label].to_pylist()
    seen = {word for text in texts for word in words(text)}
    content = [content_words(text) for text in test_texts]
    with_unseen = sum(any(word not in seen for word in row) for row in content)
    running = [word for row in content for word in row]
    lengths = [len(text.split()) for text in texts + test_texts]
    both = [text.lower() for text in texts + test_texts]
    return {
        "rows": (len(texts), len(test_texts)),
        "labels": (sorted(Counter(labels).items()), sorted(Counter(test_labels).items())),
        "tokens": (min(lengths), round(sum(lengths) / len(lengths), 1), max(lengths)),
        "vocabulary": (len(seen), len({word for text in test_texts for word in words(text)})),
        "unseen_types": round(sum(w not in seen for w in set(running)) / len(set(running)), 3),
        "unseen_tokens": round(sum(w not in seen for w in running) / len(running), 3),
        "rows_with_unseen": round(with_unseen / len(content), 3),
        "duplicates": len(both) - len(set(both)),
        "bag_of_words_accuracy": bag_of_words_accuracy(texts, labels, test_texts, test_labels),
    }


def bag_of_words_accuracy(
    texts: list[str], labels: list[int], test_texts: list[str], test_labels: list[int]
) -> dict[str, float]:
    """Logistic regression on tf-idf weighted words: on the rows it has learnt, on unseen rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000, C=3.0))
    model.fit(texts, labels)
    return {
        "train": round(float(model.score(texts, labels)), 3),
        "test": round(float(model.score(test_texts, test_labels)), 3),
    }


def main() -> None:
    """Print one block for each data set."""
    for name, (column, label, train, test) in FILES.items():
        print(name)
        stats = describe(EMBEDDED / "datasets" / name, column, label, train, test)
        for key, value in stats.items():
            print(f"  {key}: {value}")


if __name__ == "__main__":
    main()
