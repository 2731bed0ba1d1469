"""Find a data set's or a model's files on this machine, and say what is in them.

An asset source is `embedded` (ships with the package), `hub` (the Hugging Face hub, or its local
cache when offline), or a folder laid out as

    datasets/<name>/<split>.parquet      models/<name>/{config.json,model.safetensors,...}

Whatever the source, the rest of the code gets local files: one code path from here on. A model that
ships with the package is found there whatever the source. Digests are of contents, so the same
files from another source are the same asset.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from search_spaces.catalog import Dataset, LanguageModel
from search_spaces.errors import BadInput, nearest

EMBEDDED = Path(__file__).parent / "embedded"
MODEL_FILES = re.compile(
    r"(config|tokenizer.*|special_tokens_map|vocab)\.json|.*\.safetensors|.*\.txt"
)


class NotDownloaded(BadInput):
    """The hub has it, perhaps; this machine has not."""


@dataclass(frozen=True)
class Assets:
    """An asset source: `embedded`, `hub` or a folder.

    local_only: never ask the hub, only its cache on this machine.
    """

    source: str
    local_only: bool = False

    @property
    def location(self) -> str:
        """The source for a process that stands in another folder."""
        named = self.source in ("embedded", "hub")
        return self.source if named else str(Path(self.source).absolute())

    def check(self) -> None:
        """Raises BadInput where the source is a folder that does not exist."""
        if self.source not in ("embedded", "hub") and not Path(self.source).is_dir():
            raise BadInput(
                f"no assets folder at {self.source}; give embedded, hub or a folder that holds "
                "datasets/<name>/<split>.parquet"
            )

    def dataset_files(self, name: str, dataset: Dataset) -> dict[str, list[Path]]:
        """Parquet files of each source split that the data set's roles read.

        Raises BadInput naming what is missing.
        """
        splits = dataset.splits.sources()
        if self.source == "hub":
            return _hub_dataset_files(name, dataset, splits, self.local_only)
        folder = self._folder() / "datasets" / name
        files = {split: [folder / f"{split}.parquet"] for split in splits}
        for (path,) in files.values():
            if not path.is_file():
                raise BadInput(f"data set {name!r}: no file {path}; {self._have('datasets')}")
        return files

    def model_folder(self, name: str, model: LanguageModel) -> Path:
        """The folder that holds a model's config, weights and tokenizer. Raises BadInput."""
        if model.packaged is not None:
            return EMBEDDED / model.packaged
        if self.source == "hub":
            assert model.hub is not None
            return _hub_snapshot(
                model.hub, model.revision, "model", MODEL_PATTERNS, self.local_only
            )
        folder = self._folder() / "models" / name
        if not (folder / "config.json").is_file():
            raise BadInput(f"model {name!r}: no {folder / 'config.json'}; {self._have('models')}")
        return folder

    def _folder(self) -> Path:
        return EMBEDDED if self.source == "embedded" else Path(self.source).resolve()

    def _have(self, kind: str) -> str:
        folder = self._folder() / kind
        found = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
        return f"{folder} holds {', '.join(found) or 'nothing'}"


MODEL_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model"]


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that determine what the model computes, sorted by name."""
    return sorted(path for path in folder.iterdir() if MODEL_FILES.fullmatch(path.name))


def digest(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files, in the order given, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for path in files:
        status = path.stat()
        total.update(path.name.encode())
        total.update(_file_digest(path, status.st_size, status.st_mtime_ns))
    return total.hexdigest()


def dataset_digest(files: dict[str, list[Path]]) -> str:
    """Digest of all files of a data set; file names do not count, their splits and order do."""
    total = hashlib.sha256()
    for split, paths in sorted(files.items()):
        total.update(split.encode())
        for path in paths:
            status = path.stat()
            total.update(_file_digest(path, status.st_size, status.st_mtime_ns))
    return total.hexdigest()


@cache
def _file_digest(path: Path, size: int, mtime: int) -> bytes:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            content.update(chunk)
    return content.digest()


def _hub_dataset_files(
    name: str, dataset: Dataset, splits: list[str], local_only: bool
) -> dict[str, list[Path]]:
    hub = dataset.hub
    if hub is None:
        raise BadInput(f"data set {name!r} names no hub repository; use another --assets source")
    patterns = [f"{hub.folder}/{split}-*.parquet" for split in splits]
    snapshot = _hub_snapshot(hub.repository, hub.revision, "dataset", patterns, local_only)
    files = {split: sorted((snapshot / hub.folder).glob(f"{split}-*.parquet")) for split in splits}
    for split, paths in files.items():
        if not paths:
            there = sorted(path.name.split("-")[0] for path in (snapshot / hub.folder).glob("*-*"))
            raise BadInput(
                f"data set {name!r}: {hub.repository} has no parquet file for split {split!r} "
                f"in {hub.folder}/; {nearest(split, there) if there else 'it holds none'}"
            )
    return files


def _hub_snapshot(
    repository: str, revision: str, kind: str, patterns: list[str], local_only: bool
) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    arguments: dict[str, Any] = dict(
        repo_id=repository,
        repo_type=kind,
        revision=revision,
        allow_patterns=patterns,
        local_files_only=local_only,
    )
    try:
        return Path(snapshot_download(**arguments))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (
            str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        )
        raise NotDownloaded(
            f"{kind} {repository} is neither in the local hub cache nor can the hub be reached "
            f"({reason}); without internet use --assets FOLDER or --assets embedded"
        ) from None
