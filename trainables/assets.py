"""Find a data set's or a model's files on this machine, and their digests.

An asset source is `embedded` (ships with the package), `hub` (the Hugging Face hub, or its local
cache when offline), the URL of a folder (mirror.py), or a folder laid out as

    datasets/<name>/<split>.parquet      models/<name>/{config.json,model.safetensors,...}
    textattack/...                       what TextAttack would download (attacks/downloads.py)

where a split may also be several files, named as the hub names them:
`<split>-00000-of-00002.parquet`. `python -m orchestrator.assets fetch` fills such a folder.

Whatever the source, the rest of the code gets local files. A model that ships with the package is
found there with any source. Digests are of contents, so the same
files from another source are the same asset.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from search_spaces.catalog import Dataset, LanguageModel
from search_spaces.errors import BadInput, nearest
from trainables import mirror
from trainables.files import file_digest

EMBEDDED = Path(__file__).parent / "embedded"
WEIGHTS_INDEX = "model.safetensors.index.json"
# Everything that transformers reads weights or a tokenizer from, without what affects no number.
MODEL_FILES = re.compile(
    r"(config|tokenizer.*|special_tokens_map|added_tokens|adapter_config|vocab(-src|-tgt)?"
    r"|(entity|target)_vocab|normalizer|emoji|word_shape|word_pronunciation|byte_maps"
    r"|model\.safetensors\.index)\.json"
    r"|.*\.(safetensors|txt|model|spm|codes|tokenizer)"
)


GIT_LFS = b"version https://git-lfs"


class NotDownloaded(BadInput):
    """The hub or a URL may have it; this machine does not."""


@dataclass(frozen=True)
class Assets:
    """An asset source: `embedded`, `hub`, a folder or a URL.

    local_only: copy nothing from the hub or a URL, read only what this machine has of it.
    """

    source: str
    local_only: bool = False

    @property
    def url(self) -> str | None:
        """The URL, where the source is one."""
        return self.source if "://" in self.source else None

    @property
    def folder(self) -> Path | None:
        """The folder, where the source is one."""
        if self.source in ("embedded", "hub") or self.url is not None:
            return None
        return Path(self.source).absolute()

    @property
    def location(self) -> str:
        """The source for a process in another working directory."""
        return str(self.folder or self.source)

    @property
    def textattack_folder(self) -> Path | None:
        """Where a folder or a URL holds what TextAttack would download, if it does."""
        if self.url is not None:
            return self._from_url("textattack")
        return None if self.folder is None else self.folder / "textattack"

    def attack_folder(self, resources: str) -> Path | None:
        """The same for a set of resources: nothing is copied from a URL for others."""
        return self.textattack_folder if resources == "textattack" else None

    def check(self) -> None:
        """Raises BadInput where the source is a folder or a URL that does not exist."""
        if self.url is not None:
            mirror.manifest_of(self.url)
        if self.folder is not None and not self.folder.is_dir():
            raise BadInput(
                f"no assets folder at {self.source}; give embedded, hub, or a folder or URL that "
                "holds datasets/<name>/<split>.parquet"
            )

    def dataset_files(
        self, name: str, dataset: Dataset, planned: str | None = None
    ) -> dict[str, list[Path]]:
        """Parquet files of each source split that the data set's roles read.

        planned: a digest; where the hub's cache on this machine has the files with that digest,
        the hub is not asked. Raises BadInput naming what is missing.
        """
        splits = dataset.splits.sources()
        if self.source == "hub":
            return _hub_dataset_files(name, dataset, splits, self.local_only, planned)
        folder = self._from_url(f"datasets/{name}") or self._root() / "datasets" / name
        files = {}
        for split in splits:
            whole, paths = folder / f"{split}.parquet", split_files(name, folder, split)
            if whole.is_dir():
                raise BadInput(
                    f"data set {name!r}: {whole} is a folder; put its files beside it as "
                    f"{split}-00000-of-00002.parquet and so on"
                )
            if not paths:
                raise BadInput(f"data set {name!r}: no file {whole}; {self._have('datasets')}")
            if lacking := _lacking(paths):
                raise BadInput(f"data set {name!r}: {lacking}")
            files[split] = paths
        return files

    def model_folder(self, name: str, model: LanguageModel, planned: str | None = None) -> Path:
        """The folder that holds a model's config, weights and tokenizer. Raises BadInput.

        planned: as in `dataset_files`.
        """
        if model.packaged is not None:
            return EMBEDDED / model.packaged
        if self.source == "hub":
            assert model.hub is not None
            cached = _planned(model.hub, "model", planned, lambda at: digest(model_files(at)))
            if cached is not None:
                return cached
            snapshot = _hub_snapshot(
                model.hub, model.revision, "model", MODEL_PATTERNS, self.local_only
            )
            for needed in ("config.json", "*.safetensors"):
                if any(snapshot.glob(needed)):
                    continue
                if _offline(self.local_only):
                    raise NotDownloaded(f"model {model.hub}: no {needed} in {snapshot}")
                raise BadInput(
                    f"model {name!r}: {model.hub} has no {needed} on the hub; name a `revision` "
                    "that has it (for weights often refs/pr/1), or give a folder with --assets"
                )
            return snapshot
        folder = self._from_url(f"models/{name}") or self._root() / "models" / name
        if not (folder / "config.json").is_file():
            raise BadInput(f"model {name!r}: no {folder / 'config.json'}; {self._have('models')}")
        return folder

    def _from_url(self, asset: str) -> Path | None:
        """The folder of an asset on this machine, copied from the URL. Raises BadInput.

        None where the source is no URL, or has nothing that TextAttack would download.
        """
        if self.url is None:
            return None
        copy = mirror.kept(self.url, asset) if self.local_only else mirror.copied(self.url, asset)
        if copy is not None:
            return copy / asset
        kind, _, name = asset.partition("/")
        there = mirror.names_at(self.url, kind)
        if there and (not name or name in there):
            raise NotDownloaded(f"{asset} is not copied from {self.url} to this machine yet")
        if not name:
            return None
        raise BadInput(
            f"--assets {self.url}: no {asset}; {kind} there: {', '.join(there) or 'none'}"
        )

    def _root(self) -> Path:
        return EMBEDDED if self.source == "embedded" else Path(self.source).resolve()

    def _have(self, kind: str) -> str:
        folder = self._root() / kind
        names = sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []
        return f"{folder} holds {', '.join(names) or 'nothing'}"


PART = re.compile(r"-\d{5}-of-(?P<count>\d{5})\.parquet$")
MODEL_PATTERNS = [
    f"*.{kind}" for kind in ("json", "safetensors", "txt", "model", "spm", "codes", "tokenizer")
]


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that determine what the model computes, sorted by name.

    Raises BadInput for a broken link.
    """
    named = sorted(path for path in folder.iterdir() if MODEL_FILES.fullmatch(path.name))
    if lost := next((path for path in named if not path.exists()), None):
        raise BadInput(f"{lost} is a broken link; fetch the model again")
    return [path for path in named if path.is_file()]


def split_files(name: str, folder: Path, split: str) -> list[Path]:
    """A split's files in order: `SPLIT.parquet`, or its parts. Raises BadInput for both."""
    whole, parts = folder / f"{split}.parquet", sorted(folder.glob(f"{split}-*.parquet"))
    if whole.is_file() and parts:
        raise BadInput(
            f"data set {name!r}: {folder} holds both {whole.name} and {parts[0].name}; "
            "remove the wrong one"
        )
    return [whole] if whole.is_file() else parts


def digest(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files, in the order given, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for path in files:
        total.update(path.name.encode())
        total.update(_file_digest(path, version(path)))
    return total.hexdigest()


def dataset_digest(files: dict[str, list[Path]]) -> str:
    """Digest of all files of a data set; of their splits and order too, but not of file names."""
    total = hashlib.sha256()
    for split, paths in sorted(files.items()):
        total.update(split.encode())
        for path in paths:
            total.update(_file_digest(path, version(path)))
    return total.hexdigest()


def is_git_lfs_pointer(path: Path) -> bool:
    """Whether a file is the few lines of text that a clone without git LFS has in its place."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(GIT_LFS)) == GIT_LFS


def version(path: Path) -> tuple[int, ...]:
    """A value that changes whenever the file's content does, as a key of caches in memory."""
    status = path.stat()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@cache
def _file_digest(path: Path, version: tuple[int, ...]) -> bytes:
    return bytes.fromhex(file_digest(path))


def _hub_dataset_files(
    name: str, dataset: Dataset, splits: list[str], local_only: bool, planned: str | None
) -> dict[str, list[Path]]:
    hub = dataset.hub
    if hub is None:
        raise BadInput(f"data set {name!r} names no hub repository; use another --assets source")

    def files_in(snapshot: Path) -> dict[str, list[Path]]:
        return {split: split_files(name, snapshot / hub.folder, split) for split in splits}

    cached = _planned(hub.repository, "dataset", planned, lambda at: dataset_digest(files_in(at)))
    if cached is not None:
        return files_in(cached)
    place = "" if hub.folder == "." else f"{hub.folder}/"
    patterns = [f"{place}{split}{end}" for split in splits for end in (".parquet", "-*.parquet")]
    snapshot = _hub_snapshot(hub.repository, hub.revision, "dataset", patterns, local_only)
    files = files_in(snapshot)
    for split, paths in files.items():
        # A snapshot in the cache may be of an earlier request, or of an interrupted download.
        lacking = _lacking(paths)
        if not paths and _offline(local_only):
            lacking = f"no file of split {split} in {hub.folder}/"
        if lacking:
            raise NotDownloaded(
                f"data set {hub.repository} is incomplete in the local hub cache: {lacking}"
            )
        if not paths:
            found = (snapshot / hub.folder).glob("*.parquet")
            there = sorted({path.stem.split("-")[0] for path in found})
            raise BadInput(
                f"data set {name!r}: {hub.repository} has no parquet file for split {split!r} "
                f"in {hub.folder}/; {nearest(split, there) if there else 'it holds none'}"
            )
    return files


def _lacking(parts: list[Path]) -> str:
    """What is wrong with the number of a split's files, by their names; empty if nothing."""
    for part in parts:
        match = PART.search(part.name)
        if match and int(match["count"]) != len(parts):
            return f"{part} is one of {int(match['count'])} files, but {len(parts)} are there"
    return ""


def _offline(local_only: bool) -> bool:
    from huggingface_hub import constants

    return local_only or constants.HF_HUB_OFFLINE


def _planned(
    repository: str, kind: str, planned: str | None, digest_of: Callable[[Path], str]
) -> Path | None:
    """The snapshot in the hub's cache on this machine whose files have the planned digest."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type=kind)
    for snapshot in sorted((folder / "snapshots").glob("*")) if planned else ():
        with suppress(OSError, BadInput):  # Another process may be downloading it.
            if digest_of(snapshot) == planned:
                return snapshot
    return None


def _hub_snapshot(
    repository: str, revision: str, kind: str, patterns: list[str], local_only: bool
) -> Path:
    """The folder of a revision in the hub's cache, downloaded if need be. Raises NotDownloaded.

    What `main` and its like stand for is asked once per process.
    """
    from huggingface_hub import constants

    asked = (constants.HF_HUB_CACHE, repository, revision, kind, *patterns, local_only)
    if (known := _snapshots.get(asked)) is None or not known.is_dir():
        known = _snapshots[asked] = _ask_hub(repository, revision, kind, patterns, local_only)
    return known


_snapshots: dict[tuple[object, ...], Path] = {}  # by what was asked for


def _ask_hub(
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
            f"{kind} {repository} is not in the local hub cache, and the hub cannot be reached "
            f"({reason}); without internet use --assets FOLDER or --assets embedded"
        ) from None
