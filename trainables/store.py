"""Every path and file format of the store, in one place. The store is the truth of a sweep.

    fits/<fit key>/     weights.safetensors, then fit.json (its marker: written last);
                        on-<data set>-<digest>.json: its accuracy on another data set
    attacks/<log>/      <example id>.json each, merged into examples.jsonl at the end of a cell
    cells/<cell key>/   cell.json (what was asked), result.json (done), error.txt (failed)
    notes/              small files that nodes leave for each other and remove

A file is written under a temporary name and renamed, or on an object store put whole, so no reader
ever sees half of one. One small file per attacked example means that a result is kept the moment
it exists, and that two writers of the same example cannot make two results of it. Nothing is
pickled. The store knows nothing of what a model or an attack is: it keeps JSON and bytes.

A store is a local folder or any URL pyarrow opens (s3://, gs://, ...).
"""

import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pyarrow import fs

from search_spaces.errors import BadInput

Record = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """A store at a local path or URL."""

    url: str

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        if "://" not in self.url:
            return fs.LocalFileSystem(), os.path.abspath(self.url)
        try:
            return fs.FileSystem.from_uri(self.url)
        except Exception as error:
            raise BadInput(f"--store {self.url}: cannot be opened: {_line(error)}") from None

    @property
    def local_folder(self) -> str | None:
        """The folder on this machine, or None for a store elsewhere."""
        filesystem, path = self._opened
        return path if isinstance(filesystem, fs.LocalFileSystem) else None

    def check_writable(self) -> None:
        """Write and remove a small file. Raises BadInput where that fails."""
        name = f"write-test-{uuid.uuid4().hex}"
        try:
            self._write(name, b"ok")
            self._delete(name)
        except OSError as error:
            raise BadInput(
                f"the store {self.url} cannot be written: {_line(error)}; give another with --store"
            ) from None

    # Fits

    def has_fit(self, key: str) -> bool:
        return self._exists(f"fits/{key}/fit.json")

    def write_fit(self, key: str, weights: bytes, record: Record) -> None:
        self._write(f"fits/{key}/weights.safetensors", weights)
        self._write_json(f"fits/{key}/fit.json", record)

    def read_fit(self, key: str) -> Record:
        return self._read_json(f"fits/{key}/fit.json")

    def read_weights(self, key: str) -> bytes:
        return self._read(f"fits/{key}/weights.safetensors")

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

    # Attack logs

    def attacked(self, log: str) -> dict[int, Record]:
        """All finished examples of a log, by example id."""
        records = {}
        if self._exists(f"attacks/{log}/examples.jsonl"):
            for line in self._read(f"attacks/{log}/examples.jsonl").decode().splitlines():
                record = json.loads(line)
                records[record["id"]] = record
        for name in self._names(f"attacks/{log}"):
            if name.endswith(".json"):
                record = self._read_json(f"attacks/{log}/{name}")
                records[record["id"]] = record
        return records

    def add_attacked(self, log: str, record: Record) -> None:
        """Keep one finished example; `record["id"]` names it."""
        self._write_json(f"attacks/{log}/{record['id']}.json", record)

    def merge_log(self, log: str) -> None:
        """Fold the small files of a finished log into one. Safe to be interrupted anywhere."""
        records = self.attacked(log)
        lines = [json.dumps(records[id], ensure_ascii=False) for id in sorted(records)]
        self._write(f"attacks/{log}/examples.jsonl", ("\n".join(lines) + "\n").encode())
        for id in records:
            if self._exists(f"attacks/{log}/{id}.json"):
                self._delete(f"attacks/{log}/{id}.json")

    # Cells

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
        return f"{self.local_folder or self.url.rstrip('/')}/cells/{key}/error.txt"

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

    # Notes, by which processes find out whether they see the same store

    def write_note(self, name: str, text: str) -> None:
        self._write(f"notes/{name}", text.encode())

    def read_note(self, name: str) -> str | None:
        return self._read(f"notes/{name}").decode() if self._exists(f"notes/{name}") else None

    def delete_note(self, name: str) -> None:
        if self._exists(f"notes/{name}"):
            self._delete(f"notes/{name}")

    # Bytes and JSON

    def _path(self, name: str) -> tuple[fs.FileSystem, str]:
        filesystem, base = self._opened
        return filesystem, f"{base}/{name}"

    def _exists(self, name: str) -> bool:
        filesystem, path = self._path(name)
        return filesystem.get_file_info(path).type == fs.FileType.File

    def _read(self, name: str) -> bytes:
        filesystem, path = self._path(name)
        with filesystem.open_input_stream(path) as file:
            return file.read()

    def _read_json(self, name: str) -> Record:
        record: Record = json.loads(self._read(name))
        return record

    def _write_json(self, name: str, record: Record) -> None:
        self._write(name, json.dumps(record, ensure_ascii=False, indent=1).encode())

    def _write(self, name: str, content: bytes) -> None:
        filesystem, path = self._path(name)
        if not isinstance(filesystem, fs.LocalFileSystem):
            with filesystem.open_output_stream(path) as file:
                file.write(content)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = f"{path}.{uuid.uuid4().hex}.part"
        try:
            with open(temporary, "xb") as local:
                local.write(content)
                local.flush()
                os.fsync(local.fileno())
            os.replace(temporary, path)
        except OSError:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise

    def _delete(self, name: str) -> None:
        filesystem, path = self._path(name)
        filesystem.delete_file(path)

    def _files(self, folder: str) -> list[str]:
        filesystem, path = self._path(folder)
        selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
        return [i.path for i in filesystem.get_file_info(selector) if i.type == fs.FileType.File]

    def _names(self, folder: str) -> list[str]:
        filesystem, path = self._path(folder)
        selector = fs.FileSelector(path, allow_not_found=True)
        return [info.base_name for info in filesystem.get_file_info(selector)]


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
