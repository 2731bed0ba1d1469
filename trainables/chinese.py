"""Whether a data set has Chinese texts, which TextAttack splits into words by a dictionary.

Reads the files without loading the data set; imports neither TextAttack nor torch.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.rows import plain

CHINESE = "[\u4e00-\u9fff]"  # what TextAttack treats as Chinese


def hold_chinese(files: Sequence[Path], columns: Sequence[str]) -> bool:
    """Whether any of these text columns in these parquet files has Chinese characters."""
    return any(
        _holds_chinese(path, path.stat().st_mtime_ns, column)
        for path in files
        for column in columns
    )


@cache
def _holds_chinese(path: Path, mtime: int, column: str) -> bool:
    import pyarrow.compute as pc

    try:
        with pq.ParquetFile(path) as file:
            texts = plain(file.read(columns=[column])[column]).cast(pa.large_string())
    except (pa.ArrowException, OSError, KeyError):
        return False  # reported where the rows are read
    return bool(pc.any(pc.match_substring_regex(texts, CHINESE)).as_py())
