"""Whether a data set's texts hold Chinese, which TextAttack splits into words by a dictionary.

Reads the files without loading the data set; imports neither TextAttack nor torch.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

CHINESE = "[\u4e00-\u9fff]"  # what TextAttack takes for it


def hold_chinese(files: Sequence[Path], columns: Sequence[str]) -> bool:
    """Whether one of these text columns does in one of these parquet files."""
    return any(
        _holds_chinese(path, path.stat().st_mtime_ns, column)
        for path in files
        for column in columns
    )


@cache
def _holds_chinese(path: Path, mtime: int, column: str) -> bool:
    import pyarrow.compute as pc

    try:
        texts = pq.read_table(path, columns=[column])[column]
    except (pa.ArrowException, OSError):
        return False  # said where the rows are read
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return False
    return bool(pc.any(pc.match_substring_regex(texts, CHINESE)).as_py())
