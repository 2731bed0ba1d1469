"""Every path and file format of the store, in one place. The store is the truth of a sweep.

    fits/<fit key>/     weights.safetensors, then fit.json (its marker: written last);
                        on-<data set>-<digest>.json: its accuracy on another data set;
                        transfer.json: what examples found against other fits do to it
    attacks/<log>/      <example id>.json each, merged into examples.jsonl at the end of a cell
    cells/<cell key>/   cell.json (what was asked), result.json (done), error.txt (failed)
    drivers/            <id>.json: which sweep writes here now (orchestrator/lease.py)
    environments/       <space>.json: what its last sweep ran with (orchestrator/environment.py)
    times/              <space>.json: where its last sweep's time went (orchestrator/time_spent.py)
    notes/              small files that nodes leave for each other and remove

A file is written under a temporary name and renamed, or on an object store put whole, so no reader
ever sees half of one; weights carry their digest in fit.json besides. One small file per attacked
example means that a result is kept the moment it exists, and that two writers of the same example
cannot make two results of it. Nothing is pickled, and no name leads out of the store. The store
knows nothing of what a model or an attack is: it keeps JSON and bytes.

A store is a local folder or any URL that pyarrow or fsspec opens (s3://, gs://, ...).
"""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pyarrow import fs

from search_spaces.errors import BadInput

Record = dict[str, Any]
Item = TypeVar("Item")
Found = TypeVar("Found")

PART = ".part"  # ends the name of a file that is not whole yet
AT_ONCE = 16  # small files read or deleted at a time: an object store takes 10 ms and more for each


class StoreError(BadInput, OSError):
    """The store cannot be written or read any more; the message is one line for people."""


@dataclass(frozen=True)
class Store:
    """A store at a local path or URL."""

    url: str

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        if not self.url:
            raise BadInput("--store is empty (a variable that is not set?); give a folder or a URL")
        if "://" not in self.url:
            try:
                return fs.LocalFileSystem(), os.path.abspath(self.url)
            except FileNotFoundError:
                raise BadInput(
                    "the current folder was deleted; change to one that is there"
                ) from None
        if "@" in urlsplit(self.url).netloc:
            raise BadInput(
                "--store: leave keys out of the URL, they would be written down with the results; "
                "give them by the environment (AWS_ACCESS_KEY_ID, ...) or the machine's role"
            )
        try:
            return _open(self.url)
        except Exception as error:
            raise BadInput(f"--store {self.url}: cannot be opened: {_line(error)}") from None

    @property
    def local_folder(self) -> str | None:
        """The folder on this machine, or None for a store elsewhere."""
        filesystem, path = self._opened
        return path if isinstance(filesystem, fs.LocalFileSystem) else None

    def check_writable(self) -> None:
        """Raises BadInput where the store cannot be written, before anything is computed for it."""
        try:
            self.try_to_write()
        except OSError as error:
            raise BadInput(f"{_line(error)}; give another with --store") from None

    def try_to_write(self) -> None:
        """Write and remove a small file. Raises StoreError where that fails."""
        name = f"write-test-{uuid.uuid4().hex}{PART}"
        self._write(name, b"ok")
        self._delete(name)

    def remove_leftovers(self) -> None:
        """Remove what writers that were killed left of files half written. Call while none writes.

        On an object store a file that is not finished was never there.
        """
        if self.local_folder is not None:
            for path in self._files(""):
                if path.endswith(PART):
                    os.unlink(path)

    # Fits

    def has_fit(self, key: str) -> bool:
        return self._exists(f"fits/{key}/fit.json")

    def write_fit(self, key: str, weights: bytes, record: Record) -> None:
        self._write(f"fits/{key}/weights.safetensors", weights)
        self._write_json(f"fits/{key}/fit.json", {**record, "weights_sha256": _digest(weights)})

    def read_fit(self, key: str) -> Record:
        return self._read_json(f"fits/{key}/fit.json")

    def read_weights(self, key: str) -> bytes:
        """Weights as safetensors. Raises StoreError where they are not those that were written."""
        weights = self._read(f"fits/{key}/weights.safetensors")
        if _digest(weights) != self.read_fit(key)["weights_sha256"]:
            raise StoreError(
                f"{self.place(f'fits/{key}')} is damaged: its weights are not those that fit.json "
                "was written for; delete that folder and run the sweep again"
            )
        return weights

    def write_evaluation(self, key: str, other: str, record: Record) -> None:
        self._write_json(f"fits/{key}/on-{other}.json", record)

    def evaluations(self, key: str) -> dict[str, Record]:
        """What a fit was evaluated on besides its own data, by `<data set>-<digest>`."""
        names = [name for name in self._names(f"fits/{key}") if name.startswith("on-")]
        return {
            name.removeprefix("on-").removesuffix(".json"): self._read_json(f"fits/{key}/{name}")
            for name in names
            if name.endswith(".json")
        }

    def write_transfer(self, key: str, record: Record) -> None:
        self._write_json(f"fits/{key}/transfer.json", record)

    def transfer(self, key: str) -> Record:
        """What became of adversarial examples replayed on a fit, by attack log; empty if none were.

        An entry has ids of examples: `replayed`, of these `right_before` (the fit is right on the
        original text), of these `fooled` (and wrong on the perturbed one).
        """
        name = f"fits/{key}/transfer.json"
        return self._read_json(name) if self._exists(name) else {}

    # Attack logs

    def attacked(self, log: str, look_for: Iterable[int] = ()) -> dict[int, Record]:
        """All finished examples of a log, by example id.

        look_for: ids to ask for one by one too, where the store's listings may lag behind.
        """
        records = {}
        if self._exists(f"attacks/{log}/examples.jsonl"):
            # As bytes, whose lines end at \n alone: texts may hold other line separators.
            for line in self._read(f"attacks/{log}/examples.jsonl").splitlines():
                record = json.loads(line)
                records[_example_id(record)] = record
        names = {name for name in self._names(f"attacks/{log}") if name.endswith(".json")}
        if self.local_folder is None:
            unseen = [f"{id}.json" for id in look_for if id not in records]
            found = _at_once(lambda name: self._exists(f"attacks/{log}/{name}"), unseen)
            names |= {name for name, exists in zip(unseen, found, strict=True) if exists}
        for record in _at_once(lambda name: self._read_json(f"attacks/{log}/{name}"), names):
            records[_example_id(record)] = record
        return records

    def logs_begun(self) -> set[str]:
        """Names of all logs that hold examples."""
        return {path.split("/")[-2] for path in self._files("attacks")}

    def add_attacked(self, log: str, record: Record) -> None:
        """Keep one finished example; `record["id"]` names it."""
        self._write_json(f"attacks/{log}/{_example_id(record)}.json", record)

    def merge_log(self, log: str, records: dict[int, Record]) -> None:
        """Fold the small files of a log into one, given all its records.

        Safe to be interrupted anywhere.
        """
        small = {f"{id}.json" for id in records} & set(self._names(f"attacks/{log}"))
        lines = [json.dumps(records[id], ensure_ascii=False) for id in sorted(records)]
        self._write(f"attacks/{log}/examples.jsonl", ("\n".join(lines) + "\n").encode())
        _at_once(lambda name: self._delete(f"attacks/{log}/{name}"), small)

    # Cells

    def has_cell(self, key: str) -> bool:
        """Whether the cell was ever begun."""
        return self._exists(f"cells/{key}/cell.json")

    def write_cell(self, key: str, cell: Record) -> None:
        self._write_json(f"cells/{key}/cell.json", cell)

    def read_cell(self, key: str) -> Record:
        return self._read_json(f"cells/{key}/cell.json")

    def cells_asked(self) -> set[str]:
        """Keys of all cells that were ever begun."""
        names = (path.split("/")[-2:] for path in self._files("cells"))
        return {key for key, name in names if name == "cell.json"}

    def write_result(self, key: str, result: Record) -> None:
        self._write_json(f"cells/{key}/result.json", result)
        if self._exists(f"cells/{key}/error.txt"):
            self._delete(f"cells/{key}/error.txt")

    def write_error(self, key: str, traceback: str) -> None:
        self._write(f"cells/{key}/error.txt", traceback.encode())

    def read_result(self, key: str) -> Record:
        return self._read_json(f"cells/{key}/result.json")

    def error_path(self, key: str) -> str:
        """Where a failed cell's traceback lies, for people to open."""
        return self.place(f"cells/{key}/error.txt")

    def cells_with(self, file: str, keys: Iterable[str]) -> set[str]:
        """Those of the cells that have `result.json` (or `error.txt`), by a single listing."""
        wanted = set(keys)
        return {
            key
            for path in self._files("cells")
            for key, name in [path.split("/")[-2:]]
            if name == file and key in wanted
        }

    def cells_done(self) -> set[str]:
        """Keys of all finished cells."""
        names = (path.split("/")[-2:] for path in self._files("cells"))
        return {key for key, name in names if name == "result.json"}

    def fits_done(self) -> set[str]:
        """Keys of all stored fits."""
        return {path.split("/")[-2] for path in self._files("fits") if path.endswith("/fit.json")}

    def fits_read(self) -> list[Record]:
        """The records of all stored fits."""
        return _at_once(self.read_fit, sorted(self.fits_done()))

    def results_read(self) -> list[Record]:
        """The results of all finished cells."""
        return _at_once(self.read_result, sorted(self.cells_done()))

    # Drivers

    def write_driver(self, id: str, record: Record) -> None:
        self._write_json(f"drivers/{id}.json", record)

    def drivers(self) -> dict[str, Record]:
        """What the drivers that write here say of themselves, by id."""
        found: dict[str, Record] = {}
        for name in self._names("drivers"):
            if not name.endswith(".json"):
                continue  # One that is just being written.
            try:
                found[name.removesuffix(".json")] = self._read_json(f"drivers/{name}")
            except FileNotFoundError:
                continue  # It went between the listing and the reading.
        return found

    def remove_driver(self, id: str) -> None:
        if self._exists(f"drivers/{id}.json"):
            self._delete(f"drivers/{id}.json")

    # Environments

    def write_environment(self, space: str, record: Record) -> None:
        self._write_json(f"environments/{space}.json", record)

    def read_environment(self, space: str) -> Record | None:
        """What the last sweep of a space ran with; None in a store that is older than this."""
        name = f"environments/{space}.json"
        return self._read_json(name) if self._exists(name) else None

    # Times

    def write_times(self, space: str, record: Record) -> None:
        self._write_json(f"times/{space}.json", record)

    def read_times(self, space: str) -> Record | None:
        """Where the time of a space's last sweep went; None where none has told."""
        name = f"times/{space}.json"
        return self._read_json(name) if self._exists(name) else None

    # Notes, by which processes find out whether they see the same store

    def write_note(self, name: str, text: str) -> None:
        self._write(f"notes/{name}", text.encode())

    def read_note(self, name: str) -> str | None:
        return self._read(f"notes/{name}").decode() if self._exists(f"notes/{name}") else None

    def delete_note(self, name: str) -> None:
        if self._exists(f"notes/{name}"):
            self._delete(f"notes/{name}")

    # Bytes and JSON

    def place(self, name: str) -> str:
        """Where a file of the store lies, for people to open."""
        url, question, options = self.url.partition("?")
        return f"{self.local_folder or url.rstrip('/')}/{name}{question}{options}"

    def _path(self, name: str) -> tuple[fs.FileSystem, str]:
        filesystem, base = self._opened
        return filesystem, f"{base}/{_safe(name)}".rstrip("/")

    def _exists(self, name: str) -> bool:
        filesystem, path = self._path(name)
        with self._named_errors("read"):
            return filesystem.get_file_info(path).type == fs.FileType.File

    def _read(self, name: str) -> bytes:
        filesystem, path = self._path(name)
        with self._named_errors("read"), filesystem.open_input_stream(path) as file:
            return file.read()

    def _read_json(self, name: str) -> Record:
        record: Record = json.loads(self._read(name))
        return record

    def _write_json(self, name: str, record: Record) -> None:
        self._write(name, json.dumps(record, ensure_ascii=False, indent=1).encode())

    def _write(self, name: str, content: bytes) -> None:
        filesystem, path = self._path(name)
        with self._named_errors("written"):
            if isinstance(filesystem, fs.LocalFileSystem):
                _write_local(path, content)
            else:
                with filesystem.open_output_stream(path) as file:
                    file.write(content)

    def _delete(self, name: str) -> None:
        filesystem, path = self._path(name)
        with self._named_errors("written"):
            filesystem.delete_file(path)

    def _files(self, folder: str) -> list[str]:
        filesystem, path = self._path(folder)
        selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
        with self._named_errors("read"):
            infos = filesystem.get_file_info(selector)
        return [info.path for info in infos if info.type == fs.FileType.File]

    def _names(self, folder: str) -> list[str]:
        filesystem, path = self._path(folder)
        selector = fs.FileSelector(path, allow_not_found=True)
        with self._named_errors("read"):
            return [info.base_name for info in filesystem.get_file_info(selector)]

    @contextmanager
    def _named_errors(self, done: str) -> Iterator[None]:
        """Have what the disk or the network says raised as StoreError; FileNotFoundError of what
        was to be read as it is."""
        try:
            yield
        except OSError as error:
            if done == "read" and isinstance(error, FileNotFoundError):
                raise
            raise StoreError(f"the store {self.url} cannot be {done}: {_line(error)}") from error


def _open(url: str) -> tuple[fs.FileSystem, str]:
    try:
        return fs.FileSystem.from_uri(url)
    except ValueError:  # A scheme that pyarrow does not know.
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


def _write_local(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex}{PART}"
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _safe(name: str) -> str:
    """The name, unless it would lead out of the store. Keys and names come from users' files."""
    if name and (any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name):
        raise BadInput(f"{name!r} is not the name of a file in a store: it would lead out of it")
    return name


def _example_id(record: Record) -> int:
    if not isinstance(record.get("id"), int):
        raise BadInput(f"not an attacked example: its id is {record.get('id')!r}")
    return int(record["id"])


def _at_once(do: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """What `do` gives for each item, in order; several are done at a time."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(do, items))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
