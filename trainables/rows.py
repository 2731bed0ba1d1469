"""Read the rows of a source split: texts as texts, labels as numbers from 0.

Anything else in its parquet files is refused with one line that names data set, column, first row
and number of rows. Plan and trials use the same functions, so rows that pass the plan cannot stop a
trial. Rows are numbered from 0 through all files of a split.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from search_spaces.catalog import Dataset
from search_spaces.errors import BadInput
from trainables.assets import is_git_lfs_pointer

# As in str.strip(), which differs slightly from Arrow's white space.
WHITE_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# No words for a tokenizer either: NUL, soft hyphen, zero-width characters, direction marks.
INVISIBLE = "\0\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)


@dataclass(frozen=True)
class Rows:
    """The rows of a split that are used, in order.

    ids: their numbers in the split. texts: one array a column, as the file has them. dropped: how
    many rows were left out, by reason.
    """

    ids: np.ndarray
    texts: tuple[pa.Array, ...]
    labels: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, places: np.ndarray) -> "Rows":
        """Some of the rows, by their places among those that are used."""
        texts = tuple(column.take(pa.array(places)) for column in self.texts)
        return Rows(self.ids[places], texts, self.labels[places], self.dropped)


def check_columns(name: str, dataset: Dataset, files: dict[str, list[Path]]) -> None:
    """Read only the files' headers. Raises BadInput naming a broken file or a missing column."""
    for path in (path for paths in files.values() for path in paths):
        try:
            present = pq.read_schema(path).names
        except UNREADABLE as error:
            raise BadInput(_not_readable(name, path, error)) from None
        for column in (*dataset.columns, dataset.label):
            if present.count(column) > 1:
                raise BadInput(f"data set {name!r}: {path} has the column {column!r} twice")
            if column not in present:
                raise BadInput(
                    f"data set {name!r}: {path} lacks the column {column!r}; "
                    f"it has {', '.join(present)}"
                )


def read_split(name: str, dataset: Dataset, split: str, paths: list[Path]) -> Rows:
    """Read all files of a split. Raises BadInput for missing or invalid texts and labels."""
    columns = [*dataset.columns, dataset.label]
    parts: list[_Part] = []
    for path in paths:
        parts.append(_Part(path, _read(name, path, columns), sum(map(len, parts)), len(paths) > 1))
    texts = [
        pa.concat_arrays(
            [_texts(f"data set {name!r}: column {column!r} of {split}", column, p) for p in parts]
        )
        for column in dataset.columns
    ]
    missing, empty, dropped = _missing(texts), np.zeros(len(texts[0]), bool), {}
    if dataset.drop_rows_without_letters:
        empty = ~_any([text.is_null().to_numpy(False) for text in texts]) & ~_have_letters(texts)
        dropped["without letters"] = int(empty.sum())
    if dataset.missing == "drop":
        dropped["without text"] = int((_any(missing) & ~empty).sum())
        empty |= _any(missing)
    else:
        for column, rows in zip(dataset.columns, missing, strict=True):
            _refuse_missing(f"data set {name!r}: column {column!r} of {split}", rows & ~empty)
    used = ~empty
    labels = _labels(name, dataset, split, parts, used)
    kept = pa.array(used)
    return Rows(
        ids=np.flatnonzero(used),
        texts=tuple(text.filter(kept) for text in texts),
        labels=labels,
        dropped={reason: count for reason, count in dropped.items() if count},
    )


@dataclass(frozen=True)
class _Part:
    """The columns of one file that are read, and the number of its first row."""

    path: Path
    table: pa.Table
    first: int
    one_of_several: bool

    def __len__(self) -> int:
        return self.table.num_rows


def _read(name: str, path: Path, columns: list[str]) -> pa.Table:
    try:
        # Not read_table: it treats parent folders named `a=b` as columns.
        with pq.ParquetFile(path) as file:
            table = file.read(columns=columns)
        table.validate(full=True)
        return table
    except UNREADABLE as error:
        raise BadInput(_not_readable(name, path, error)) from None


def _not_readable(name: str, path: Path, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if is_git_lfs_pointer(path):
        reason = "it is only a git LFS pointer; run `git lfs pull` where it was cloned"
    return f"data set {name!r}: {path} is not readable parquet: {reason}"


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column's plain values, without Arrow's extension types and encodings."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = pa.chunked_array(
            [chunk.storage for chunk in values.chunks], type=values.type.storage_type
        )
    if pa.types.is_run_end_encoded(values.type):
        values = pa.chunked_array([pc.run_end_decode(chunk) for chunk in values.chunks])
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values


def _texts(where: str, column: str, part: _Part) -> pa.Array:
    values, kinds = plain(part.table[column]), pa.types
    is_text = (kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_null)
    if not any(is_one(values.type) for is_one in is_text):
        raise BadInput(f"{_another_type(where, values, part)}, not texts; write them as strings")
    # Large strings before concatenation: an array of small ones is limited to 2 GB.
    large = values.cast(pa.large_string())
    return pa.concat_arrays([pa.array([], pa.large_string()), *large.chunks])


def _another_type(where: str, values: pa.ChunkedArray, part: _Part) -> str:
    first = int(np.argmax(values.is_valid().to_numpy(False))) if len(values) else 0
    file = f" of {part.path.name}" if part.one_of_several else ""
    example = f"{_shown(values[first])} in row {part.first + first}{file}; " if len(values) else ""
    return f"{where} holds {values.type} ({example}{len(values) - values.null_count} rows)"


def _missing(texts: list[pa.Array]) -> list[np.ndarray]:
    """For each column a mask of the rows without text, or with invisible characters only."""
    nothing = WHITE_SPACE + INVISIBLE
    return [
        pc.equal(pc.utf8_trim(text, characters=nothing), "").fill_null(True).to_numpy(False)
        for text in texts
    ]


def _refuse_missing(where: str, rows: np.ndarray) -> None:
    if rows.any():
        raise BadInput(
            f"{where} has no text in row {int(np.argmax(rows))}, and in {int(rows.sum())} of "
            f"{len(rows)} rows; fix the file, or leave such rows out: `missing: drop` in the data "
            "set's catalog file"
        )


def _have_letters(texts: list[pa.Array]) -> np.ndarray:
    with_letters = _any(
        [
            pc.match_substring_regex(text, "[A-Za-z]").fill_null(False).to_numpy(False)
            for text in texts
        ]
    )
    for row in np.flatnonzero(~with_letters):
        with_letters[row] = any(c.isalpha() for text in texts for c in text[row].as_py() or "")
    return with_letters


def _labels(
    name: str, dataset: Dataset, split: str, parts: list[_Part], used: np.ndarray
) -> np.ndarray:
    """Labels of the rows used."""
    column, classes = dataset.label, len(dataset.labels)
    where = f"data set {name!r}: column {column!r} of {split}"
    numbers = np.concatenate([_numbers(where, part, dataset) for part in parts])
    with np.errstate(invalid="ignore"):
        right = (numbers >= 0) & (numbers < classes) & (numbers == np.floor(numbers))
    wrong = ~right & used
    if not wrong.any():
        return numbers[used].astype(np.int64)
    row, count = int(np.argmax(wrong)), int(wrong.sum())
    (value,) = (
        plain(part.table[column])[row - part.first]
        for part in parts
        if part.first <= row < part.first + len(part)
    )
    labels = numbers[used]
    many = f"{count} of {len(labels)} rows"
    if np.isnan(numbers[row]):
        raise BadInput(f"{where} has no label in row {row}, and in {many}; fix the file")
    if (numbers[wrong] == -1).all():
        hint = "-1 marks rows without a label: leave them out, or let another split play this role"
    elif np.nanmin(labels) >= 1 and np.nanmax(labels) == classes:
        hint = "they seem to be numbered from 1: number them from 0"
    elif np.isfinite(numbers[row]) and numbers[row] != np.floor(numbers[row]):
        hint = "a label is a whole number"
    else:
        hint = "fix the file, or name all labels in the data set's catalog file"
    raise BadInput(
        f"{where} has the label {_shown(value)} in row {row}; {many} have a label outside 0 to "
        f"{classes - 1} ({_names(dataset)}); {hint}"
    )


def _numbers(where: str, part: _Part, dataset: Dataset) -> np.ndarray:
    """A file's labels as floats, nan where there is none."""
    values, kinds = plain(part.table[dataset.label]), pa.types
    if kinds.is_boolean(values.type):
        values = values.cast(pa.int8())
    is_number = (kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_null)
    if not any(is_one(values.type) for is_one in is_number):
        raise BadInput(
            f"{_another_type(where, values, part)}, not numbers; number them from 0 in the order "
            f"of `labels` ({_names(dataset)})"
        )
    floats = values.cast(pa.float64(), safe=False)
    numbers: np.ndarray = floats.fill_null(float("nan")).to_numpy()
    return numbers


def _names(dataset: Dataset) -> str:
    return ", ".join([*dataset.labels[:4], *(["…"] if len(dataset.labels) > 4 else [])])


def _shown(value: pa.Scalar) -> str:
    shown = repr(value.as_py())
    return shown if len(shown) <= 40 else f"{shown[:39]}…"


def _any(masks: list[np.ndarray]) -> np.ndarray:
    any_of_them: np.ndarray = np.logical_or.reduce(masks)
    return any_of_them
