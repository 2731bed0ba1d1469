"""Every path and file format of the store, in one place. The store is the truth of a sweep.

    fits/<fit key>/     weights.safetensors, then fit.json (its marker: written last);
                        on-<data set>-<digest>.json: its accuracy on another data set;
                        transfer.json: what examples found against other fits do to it
    attacks/<log>/      <example id>.json each, merged into examples.jsonl at the end of a cell
    cells/<cell key>/   cell.json (what was asked), result.json (done), error.txt (failed)
    drivers/            <id>.json: which sweep writes here now (run/lease.py)
    environments/       <space>.json: what its last sweep ran with (run/environment.py)
    times/              <space>.json: where its last sweep's time went (follow/time_spent.py)
    notes/              small files that nodes leave for each other and remove

A file is written under a temporary name and renamed, or on an object store put whole, so no reader
ever sees half of one; weights carry their digest in fit.json besides. One small file per attacked
example means that a result is kept the moment it exists, and that two writers of the same example
cannot make two results of it. Nothing is pickled, and no name leads out of the store.

Only files of these very names are read, and only they are ever removed. One that cannot be read (it
is empty or cut, or records.py says that it is something else) counts as missing: `damaged` has its
name, and a sweep sets it aside (`set_aside`) before what it held is made again.

A store is a local folder or any URL that pyarrow or fsspec opens (s3://, gs://, ...).
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from search_spaces.cell import Cell
from search_spaces.errors import BadInput, first_line
from trainables.records import (
    Driver,
    Environment,
    Evaluation,
    ExampleRecord,
    FitMade,
    FitRecord,
    Replayed,
    Result,
    check,
    check_attacked,
    check_result,
)

Json = dict[str, Any]  # of a pydantic model or a dataclass, which reads it back
Item = TypeVar("Item")
Found = TypeVar("Found")

PART = ".part"  # ends the name of a file that is not whole yet
HEX = "[0-9a-f]{32}"  # of a random name
KEY = "[^/]+-[0-9a-f]{10}"  # of a fit, a cell or an attack log
NAMES = re.compile(
    rf"fits/{KEY}/(weights\.safetensors|(fit|transfer|on-[^/]+)\.json)"
    rf"|attacks/{KEY}/(-?\d+\.json|examples\.jsonl)"
    rf"|cells/{KEY}/(cell\.json|result\.json|error\.txt)"
    rf"|drivers/{HEX}\.json|(environments|times)/[^/]+\.json"
    rf"|notes/{HEX}(-[0-9a-f]+)?|write-test-{HEX}"
)
HALF_WRITTEN = re.compile(rf"(?P<name>.+)\.{HEX}{re.escape(PART)}")
FOLDERS = ("fits", "attacks", "cells", "drivers", "environments", "times", "notes")
LOG = "examples.jsonl"
ONE_EXAMPLE = re.compile(r"-?\d+\.json")
EXAMPLES = re.compile(rf"{ONE_EXAMPLE.pattern}|{re.escape(LOG)}")
AT_ONCE = 16  # small files read or deleted at a time: an object store takes 10 ms and more for each


class StoreError(BadInput, OSError):
    """The store cannot be written or read any more; the message is one line for people."""


class DamagedFile(StoreError):
    """A file of the store that is not what it should be; `name` is its name in the store."""

    def __init__(self, name: str, place: str, why: str) -> None:
        super().__init__(f"{place} is damaged ({why})")
        self.name, self.why = name, why


@dataclass(frozen=True)
class Store:
    """A store at a local path or URL.

    damaged: the files that were found so and counted as missing: their names, and what is wrong.
    """

    url: str
    damaged: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        if not self.url:
            raise BadInput("--store is empty (a variable that is not set?); give a folder or a URL")
        if "://" not in self.url:
            return fs.LocalFileSystem(), self._absolute()
        if "@" in urlsplit(self.url).netloc:
            raise BadInput(
                "--store: leave keys out of the URL, they would be written down with the results; "
                "give them by the environment (AWS_ACCESS_KEY_ID, ...) or the machine's role"
            )
        try:
            filesystem, path = _open(self.url)
        except Exception as error:
            raise BadInput(f"--store {self.url}: cannot be opened: {first_line(error)}") from None
        if not path.strip("/") or "\0" in path:
            raise BadInput(f"--store {self.url}: names no folder; write scheme://bucket/folder")
        return filesystem, path

    def _absolute(self) -> str:
        try:
            path = os.path.abspath(self.url)
            path.encode()
        except FileNotFoundError:
            raise BadInput("the current folder was deleted; change to one that is there") from None
        except UnicodeEncodeError:
            raise BadInput(
                f"--store {path!a}: a folder whose name is not UTF-8 text, which not every library "
                "reads; rename it"
            ) from None
        return path

    @property
    def local_folder(self) -> str | None:
        """The folder on this machine, or None for a store elsewhere."""
        filesystem, path = self._opened
        return path if isinstance(filesystem, fs.LocalFileSystem) else None

    def check_writable(self) -> None:
        """Raises BadInput where the store cannot be written, before anything is computed for it."""
        for name in FOLDERS if self.local_folder is not None else ():
            path = self._path(name)[1]
            if os.path.lexists(path) and not os.path.isdir(path):
                raise BadInput(
                    f"{path} is a file where the store keeps a folder; move it away, or give "
                    "another --store"
                )
        try:
            self.try_to_write()
        except OSError as error:
            raise BadInput(f"{first_line(error)}; give another with --store") from None

    def try_to_write(self) -> None:
        """Write and remove a small file. Raises StoreError where that fails."""
        name = f"write-test-{uuid.uuid4().hex}"
        self._write(name, b"ok")
        self._delete(name)

    def remove_leftovers(self) -> None:
        """Remove what writers that were killed left of files half written. Call while none writes.

        On an object store a file that is not finished was never there.
        """
        if self.local_folder is not None:
            found = [name for folder in FOLDERS for name in self._files(folder)]
            for name in [*found, *self._names("")]:
                match = HALF_WRITTEN.fullmatch(name)
                if match and NAMES.fullmatch(match["name"]):
                    os.unlink(self._path(name)[1])

    def sound(self, read: Callable[[str], Found], key: str) -> Found | None:
        """What `read` (a method of this store) gives; None where that is missing or damaged."""
        try:
            return read(key)
        except FileNotFoundError:
            return None
        except DamagedFile as error:
            self.damaged[error.name] = error.why
            return None

    def set_aside(self) -> list[str]:
        """Rename the files that were found damaged to `<name>.damaged-<n>`, and forget them.

        What can be read of an attack log stays. Returns a line for people on each. Call while
        nobody else writes.
        """
        said = []
        for name, why in list(self.damaged.items()):
            try:
                aside = self._set_aside(name)
            except FileNotFoundError:
                continue
            finally:
                del self.damaged[name]
            said.append(f"{self.place(name)} is damaged ({why}); kept as {aside}")
        return said

    def _set_aside(self, name: str) -> str:
        readable = []
        if name.endswith(LOG):
            readable = [json.dumps(r, ensure_ascii=False) for r in self._read_log(name).values()]
        aside = self._rename_aside(name)
        if readable:
            self._write(name, _lines(readable))
        return aside

    # Fits

    def has_fit(self, key: str) -> bool:
        """Whether a fit's record and its weights are there."""
        weights = self._exists(f"fits/{key}/weights.safetensors")
        return weights and self.sound(self.read_fit, key) is not None

    def write_fit(self, key: str, weights: bytes, record: FitMade) -> None:
        self._write(f"fits/{key}/weights.safetensors", weights)
        self._write_json(f"fits/{key}/fit.json", {**record, "weights_sha256": _digest(weights)})

    def read_fit(self, key: str) -> FitRecord:
        name = f"fits/{key}/fit.json"
        record: FitRecord = self._read_json(name, FitRecord)
        self._must_be(name, "fit", key, record.get("key", key))
        return record

    def read_weights(self, key: str) -> bytes:
        """Weights as safetensors. Raises DamagedFile where they are not those that were written."""
        name = f"fits/{key}/weights.safetensors"
        weights = self._read(name)
        if _digest(weights) != self.read_fit(key)["weights_sha256"]:
            raise self._damaged(name, "not the weights that fit.json was written for")
        return weights

    def write_evaluation(self, key: str, other: str, record: Evaluation) -> None:
        self._write_json(f"fits/{key}/on-{other}.json", record)

    def evaluations(self, key: str) -> dict[str, Evaluation]:
        """What a fit was evaluated on besides its own data, by `<data set>-<digest>`."""
        names = [
            name.removeprefix("on-").removesuffix(".json")
            for name in self._names(f"fits/{key}")
            if name.startswith("on-") and name.endswith(".json")
        ]

        def read(other: str) -> Evaluation:
            file = f"fits/{key}/on-{other}.json"
            record: Evaluation = self._read_json(file, Evaluation)
            self._must_be(file, "fit", key, record.get("fit", key))
            if not other.startswith(f"{record['dataset']}-"):
                raise self._damaged(file, f"it is of the data set {record['dataset']}")
            return record

        found = {name: self.sound(read, name) for name in names}
        return {name: record for name, record in found.items() if record is not None}

    def write_transfer(self, key: str, record: Mapping[str, Replayed]) -> None:
        self._write_json(f"fits/{key}/transfer.json", record)

    def transfer(self, key: str) -> dict[str, Replayed]:
        """What became of adversarial examples replayed on a fit, by attack log."""
        return self.sound(self._read_transfer, key) or {}

    def _read_transfer(self, key: str) -> dict[str, Replayed]:
        name = f"fits/{key}/transfer.json"
        record: dict[str, Replayed] = self._read_json(name, each=Replayed)
        for entry in record.values():
            self._must_be(name, "fit", key, entry.get("fit", key))
        return record

    # Attack logs

    def attacked(self, log: str, look_for: Iterable[int] = ()) -> dict[int, ExampleRecord]:
        """All finished examples of a log, by example id.

        look_for: ids to ask for one by one too, where the store's listings may lag behind.
        """
        found = self._read_log(f"attacks/{log}/{LOG}")
        names = {name for name in self._names(f"attacks/{log}") if ONE_EXAMPLE.fullmatch(name)}
        if self.local_folder is None:
            unseen = [f"{id}.json" for id in look_for if id not in found]
            there = _at_once(lambda name: self._exists(f"attacks/{log}/{name}"), unseen)
            names |= {name for name, exists in zip(unseen, there, strict=True) if exists}
        read = partial(self.sound, self._read_example)
        for record in _at_once(read, sorted(f"attacks/{log}/{name}" for name in names)):
            if record is not None:
                found[record["id"]] = record
        return found

    def _read_example(self, name: str) -> ExampleRecord:
        record: ExampleRecord = self._read_json(name)
        try:
            check_attacked(record)
        except ValueError as error:
            raise self._damaged(name, str(error)) from None
        _, log, file = name.split("/")
        self._must_be(name, "attack log", log, record.get("log", log))
        self._must_be(name, "example", file.removesuffix(".json"), str(record["id"]))
        return record

    def _read_log(self, name: str) -> dict[int, ExampleRecord]:
        """What can be read of a merged log, by example id; notes what cannot."""
        if not self._exists(name):
            return {}
        found: dict[int, ExampleRecord] = {}
        wrong, log = [], name.split("/")[1]
        try:
            # As bytes, whose lines end at \n alone: texts may hold other line separators.
            lines = self._read(name).splitlines()
        except DamagedFile as error:
            self.damaged[name] = error.why
            return {}
        for number, line in enumerate(lines, start=1):
            try:
                record: ExampleRecord = _parsed(line)
                check_attacked(record)
                self._must_be(name, "attack log", log, record.get("log", log))
            except (ValueError, DamagedFile) as error:
                why = error.why if isinstance(error, DamagedFile) else error
                wrong.append(f"line {number}: {why}")
            else:
                found[record["id"]] = record
        if wrong or not lines:
            more = f", and {len(wrong) - 1} more lines" if len(wrong) > 1 else ""
            self.damaged[name] = wrong[0] + more if wrong else "it is empty"
        return found

    def logs_begun(self) -> set[str]:
        """Names of all logs that hold examples."""
        return {log for log, name in self._in_folders("attacks") if EXAMPLES.fullmatch(name)}

    def add_attacked(self, log: str, record: ExampleRecord) -> None:
        """Keep one finished example; `record["id"]` names it."""
        self._write_json(f"attacks/{log}/{_example_id(record)}.json", record)

    def merge_log(self, log: str, records: Mapping[int, ExampleRecord]) -> None:
        """Fold the small files of a log into one, given all its records.

        Safe to be interrupted anywhere.
        """
        small = {f"{id}.json" for id in records} & set(self._names(f"attacks/{log}"))
        lines = [json.dumps(records[id], ensure_ascii=False) for id in sorted(records)]
        self._write(f"attacks/{log}/{LOG}", _lines(lines))
        _at_once(lambda name: self._delete(f"attacks/{log}/{name}"), small)

    # Cells

    def has_cell(self, key: str) -> bool:
        """Whether the cell was ever begun."""
        return self._exists(f"cells/{key}/cell.json")

    def write_cell(self, key: str, cell: Json) -> None:
        self._write_json(f"cells/{key}/cell.json", cell)

    def read_cell(self, key: str) -> Json:
        """What was asked of a cell. Raises DamagedFile, also where this version cannot read it."""
        name = f"cells/{key}/cell.json"
        record = self._read_json(name, Cell)
        self._must_be(name, "cell", key, record["key"])
        return record

    def cells_asked(self) -> set[str]:
        """Keys of all cells that were ever begun."""
        return {key for key, name in self._in_folders("cells") if name == "cell.json"}

    def write_result(self, key: str, result: Result) -> None:
        self._write_json(f"cells/{key}/result.json", result)
        if self._exists(f"cells/{key}/error.txt"):
            self._delete(f"cells/{key}/error.txt")

    def write_error(self, key: str, traceback: str) -> None:
        self._write(f"cells/{key}/error.txt", traceback.encode())

    def read_result(self, key: str) -> Result:
        name = f"cells/{key}/result.json"
        result: Result = self._read_json(name)
        try:
            check_result(result)
        except ValueError as error:
            raise self._damaged(name, str(error)) from None
        self._must_be(name, "cell", key, result["key"])
        return result

    def error_path(self, key: str) -> str:
        """Where a failed cell's traceback lies, for people to open."""
        return self.place(f"cells/{key}/error.txt")

    def cells_with(self, file: str, keys: Iterable[str]) -> set[str]:
        """Those of the cells that have `result.json` (or `error.txt`), by a single listing."""
        wanted = set(keys)
        return {key for key, name in self._in_folders("cells") if name == file and key in wanted}

    def cells_done(self) -> set[str]:
        """Keys of all cells that have a result."""
        return {key for key, name in self._in_folders("cells") if name == "result.json"}

    def fits_with_weights(self) -> set[str]:
        """Keys of all fits whose weights are there."""
        found = self._in_folders("fits")
        return {key for key, name in found if name == "weights.safetensors"}

    def fits_read(self) -> dict[str, FitRecord]:
        """The records of all stored fits, whether or not their weights are there, by key."""
        keys = sorted({key for key, name in self._in_folders("fits") if name == "fit.json"})
        return self._sound_ones(self.read_fit, keys)

    def results_read(self) -> dict[str, Result]:
        """The results of all finished cells, by key."""
        return self._sound_ones(self.read_result, sorted(self.cells_done()))

    def _sound_ones(self, read: Callable[[str], Found], keys: Sequence[str]) -> dict[str, Found]:
        found = zip(keys, _at_once(partial(self.sound, read), keys), strict=True)
        return {key: record for key, record in found if record is not None}

    # Drivers

    def write_driver(self, id: str, record: Driver) -> None:
        self._write_json(f"drivers/{id}.json", record)

    def drivers(self) -> dict[str, Driver]:
        """What the drivers that write here say of themselves, by id."""
        found: dict[str, Driver] = {}
        for name in self._names("drivers"):
            if NAMES.fullmatch(f"drivers/{name}"):
                # It may go between the listing and the reading.
                with suppress(FileNotFoundError):
                    found[name.removesuffix(".json")] = self._read_driver(f"drivers/{name}")
        return found

    def _read_driver(self, name: str) -> Driver:
        try:
            driver: Driver = self._read_json(name, Driver)
            return driver
        except DamagedFile:
            # Whoever writes here writes it anew every few seconds: then it counts on.
            content = b""
            with suppress(DamagedFile):
                content = self._read(name)
            said = int.from_bytes(hashlib.sha256(content).digest()[:6], "big")
            return {"machine": "unknown", "pid": 0, "count": said, "state": "holding"}

    def remove_driver(self, id: str) -> None:
        if self._exists(f"drivers/{id}.json"):
            self._delete(f"drivers/{id}.json")

    # Environments

    def write_environment(self, space: str, record: Environment) -> None:
        self._write_json(f"environments/{space}.json", record)

    def read_environment(self, space: str) -> Environment | None:
        """What the last sweep of a space ran with; None in a store that is older than this."""

        def read(name: str) -> Environment:
            environment: Environment = self._read_json(name, Environment)
            return environment

        return self.sound(read, f"environments/{space}.json")

    # Times

    def write_times(self, space: str, record: Json) -> None:
        self._write_json(f"times/{space}.json", record)

    def read_times(self, space: str) -> Json | None:
        """Where the time of a space's last sweep went; None where none has told."""
        return self.sound(self._read_json, f"times/{space}.json")

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
        if self.local_folder is not None:
            return f"{self.local_folder}/{name}"
        url, question, options = self.url.partition("?")
        return f"{url.rstrip('/')}/{name}{question}{options}"

    def _path(self, name: str) -> tuple[fs.FileSystem, str]:
        filesystem, base = self._opened
        return filesystem, f"{base}/{_safe(name)}".rstrip("/")

    def _exists(self, name: str) -> bool:
        filesystem, path = self._path(name)
        with self._named_errors("read"):
            return filesystem.get_file_info(path).type == fs.FileType.File

    def _read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError, DamagedFile where it cannot be one."""
        filesystem, path = self._path(name)
        if self.local_folder is not None:
            if not os.path.lexists(path):
                raise FileNotFoundError(path)
            if not os.path.isfile(path):
                raise self._damaged(name, "it is no file")
            if not os.access(path, os.R_OK):
                raise self._damaged(name, "this user may not read it")
        with self._named_errors("read"), filesystem.open_input_stream(path) as file:
            return file.read()

    def _read_json(self, name: str, kind: Any = None, each: Any = None) -> Any:
        """A JSON object, of a kind, or each of its values of one. Raises DamagedFile."""
        try:
            record = _parsed(self._read(name))
            for checked, of_kind in ((record, kind), *((v, each) for v in record.values())):
                if of_kind is not None:
                    check(of_kind, checked)
        except ValueError as error:
            raise self._damaged(name, str(error)) from None
        return record

    def _must_be(self, name: str, what: str, wanted: str, found: str) -> None:
        """Raises DamagedFile where a file is of another fit, cell, log or example than its name."""
        if found != wanted:
            raise self._damaged(name, f"it is of the {what} {found}")

    def _damaged(self, name: str, why: str) -> DamagedFile:
        return DamagedFile(name, self.place(name), why)

    def _write_json(self, name: str, record: Mapping[str, Any]) -> None:
        self._write(name, json.dumps(record, ensure_ascii=False, indent=1).encode())

    def _write(self, name: str, content: bytes) -> None:
        filesystem, path = self._path(name)
        with self._named_errors("written"):
            if isinstance(filesystem, fs.LocalFileSystem):
                self._clear_way(name)
                _write_local(path, content)
            else:
                with filesystem.open_output_stream(path) as file:
                    file.write(content)

    def _clear_way(self, name: str) -> None:
        """Rename what stands where a file of ours, or the folder of its key, should be."""
        parts = name.split("/")
        folder = "/".join(parts[:2])
        ways = [(folder, os.path.isdir)] if len(parts) == 3 else []
        for standing, is_right in [*ways, (name, os.path.isfile)]:
            path = self._path(standing)[1]
            if os.path.lexists(path) and not is_right(path):
                self._rename_aside(standing)

    def _rename_aside(self, name: str) -> str:
        """Give a file or folder a name that is still free; returns that."""
        filesystem, path = self._path(name)
        names = set(self._everything(name.rpartition("/")[0]))
        short = name.rpartition("/")[2]
        aside = next(a for n in count(1) if (a := f"{short}.damaged-{n}") not in names)
        with self._named_errors("read"):
            if self.local_folder is not None:
                os.rename(path, f"{path.rpartition('/')[0]}/{aside}")
            else:
                filesystem.move(path, f"{path.rpartition('/')[0]}/{aside}")
        return aside

    def _delete(self, name: str) -> None:
        filesystem, path = self._path(name)
        with self._named_errors("written"):
            filesystem.delete_file(path)

    def _in_folders(self, folder: str) -> list[tuple[str, str]]:
        """The files two levels below the store: names of their folder and of themselves."""
        parts = (name.split("/") for name in self._files(folder))
        return [(each[1], each[2]) for each in parts if len(each) == 3]

    def _files(self, folder: str) -> list[str]:
        """All files below a folder, by their names in the store."""
        filesystem, path = self._path(folder)
        if self.local_folder is not None and not os.path.isdir(path):
            return []
        selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
        with self._named_errors("read"):
            infos = filesystem.get_file_info(selector)
        files = [info.path for info in infos if info.type == fs.FileType.File]
        return [file[len(path) - len(folder) :].lstrip("/") for file in files]

    def _names(self, folder: str) -> list[str]:
        """Names of the files in a folder."""
        return [name for name, type in self._everything(folder).items() if type == fs.FileType.File]

    def _everything(self, folder: str) -> dict[str, fs.FileType]:
        """Names of the files and folders in a folder, with their types."""
        filesystem, path = self._path(folder)
        if self.local_folder is not None and not os.path.isdir(path):
            return {}
        selector = fs.FileSelector(path, allow_not_found=True)
        with self._named_errors("read"):
            return {info.base_name: info.type for info in filesystem.get_file_info(selector)}

    @contextmanager
    def _named_errors(self, done: str) -> Iterator[None]:
        """Have what the disk or the network says raised as StoreError; FileNotFoundError of what
        was to be read as it is."""
        try:
            yield
        except (OSError, ValueError) as error:
            if done == "read" and isinstance(error, FileNotFoundError):
                raise
            raise StoreError(
                f"the store {self.url} cannot be {done}: {first_line(error)}"
            ) from error


def _open(url: str) -> tuple[fs.FileSystem, str]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"another machine's folder ({parts.netloc}); write file:///folder")
        return fs.LocalFileSystem(), unquote(parts.path)
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


def _example_id(record: ExampleRecord) -> int:
    if not isinstance(record.get("id"), int):
        raise BadInput(f"not an attacked example: its id is {record.get('id')!r}")
    return int(record["id"])


def _at_once(do: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """What `do` gives for each item, in order; several are done at a time."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(do, items))


def _parsed(content: bytes) -> Any:
    """A JSON object. Raises ValueError, in a few words."""
    if not content.strip():
        raise ValueError("it is empty")
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        what = "text" if isinstance(error, UnicodeDecodeError) else "JSON"
        raise ValueError(f"it is not {what}: {first_line(error)}") from None
    if not isinstance(record, dict):
        raise ValueError(f"a {type(record).__name__} where an object should be")
    return record


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
