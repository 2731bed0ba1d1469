"""Every path and file format of the store, in one place. The store is the truth of a sweep.

    fits/<fit key>/     weights-<digest>.safetensors, then fit.json, which names them (the marker:
                        written last, and by the first of several writers alone);
                        weights.safetensors: their name in older versions;
                        snapshot.bin: the state of a fit in mid-training, until it is stored, or
                        nobody went on from it for 30 days;
                        on-<data set>-<digest>.json: its accuracy on another data set;
                        transfer.json: how examples found against other fits affect it
    attacks/<log>/      <example id>.json each, merged into examples.jsonl at the end of a cell
    cells/<cell key>/   cell.json (what was asked), result.json (done), error.txt (failed)
    drivers/            <id>.json: which sweep writes here now (orchestrator/run/lease.py)
    environments/       <space>.json: what its last sweep ran with (orchestrator/run/environment.py)
    times/              <space>.json: where its last sweep's time went (orchestrator/follow)
    nodes/              <space>.json: how its last sweep's cells ended on each node
                        (orchestrator/run/health.py)
    rehearsals/         <space>.json: what a step and an example took in its last rehearsal
    notes/              small files by which nodes check that they share the store
    plain/              a separate store, of `python -m trainables.cell --plain`

No reader ever sees a partial file (files.py), and fit.json has the digest of the weights. With one
small file per attacked example, a result is kept as soon as it exists, and two writers of the same
example cannot make two results of it. Nothing is pickled.

Only files with exactly these names are read, and only they are ever removed. One that cannot be
read (empty, truncated, or invalid by records.py) counts as missing: `damaged` has its name, and a
sweep renames it (`set_aside`) before its content is computed again.
"""

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

from search_spaces.cell import Cell
from search_spaces.errors import BadInput, first_line
from trainables.files import PART, DamagedFile, Files, StoreError, at_once, digest
from trainables.records import (
    Driver,
    Environment,
    Evaluation,
    ExampleRecord,
    FitMade,
    FitRecord,
    Nodes,
    Rehearsal,
    Replayed,
    Result,
    check,
    check_attacked,
    check_result,
    is_of_weights,
    weights_name,
)

Json = dict[str, Any]  # of a pydantic model or a dataclass, which parses it
Read = TypeVar("Read")

HEX = "[0-9a-f]{32}"  # of a random name
KEY = "[^/]+-[0-9a-f]{10}"  # of a fit, a cell or an attack log
NAMES = re.compile(
    rf"fits/{KEY}/(weights(-[0-9a-f]{{16}})?\.safetensors|snapshot\.bin"
    rf"|(fit|transfer|on-[^/]+)\.json)"
    rf"|attacks/{KEY}/(-?\d+\.json|examples\.jsonl)"
    rf"|cells/{KEY}/(cell\.json|result\.json|error\.txt)"
    rf"|drivers/{HEX}\.json|(environments|times|nodes|rehearsals)/[^/]+\.json"
    rf"|notes/{HEX}(-[0-9a-f]+)?|write-test-{HEX}"
)
HALF_WRITTEN = re.compile(rf"(?P<name>.+)\.{HEX}{re.escape(PART)}")
FOLDERS = (
    "fits", "attacks", "cells", "drivers", "environments", "times", "nodes", "rehearsals", "notes",
)  # fmt: skip
LOG = "examples.jsonl"
OLD_WEIGHTS = "weights.safetensors"  # their name in older versions
WEIGHTS = re.compile(r"weights-[0-9a-f]{16}\.safetensors")
SNAPSHOT = "snapshot.bin"
ABANDONED_AFTER = 30 * 86400.0  # seconds; a fit that goes on writes one every ten minutes
ONE_EXAMPLE = re.compile(r"-?\d+\.json")
EXAMPLES = re.compile(rf"{ONE_EXAMPLE.pattern}|{re.escape(LOG)}")


class Store:
    """A store at a local path or URL.

    damaged: the files found damaged, which count as missing: names, and what is wrong.
    """

    def __init__(self, url: str, files: Files | None = None) -> None:
        self.url = url
        self.files = files or Files(url)
        self.damaged: dict[str, str] = {}

    @property
    def local_folder(self) -> str | None:
        """The folder on this machine, or None for a store elsewhere."""
        return self.files.local_folder

    def place(self, name: str) -> str:
        """Where a file of the store is, for users to open."""
        return self.files.place(name)

    def check_writable(self) -> None:
        """Raises BadInput if the store cannot be written. Call before computing anything for it."""
        for name in FOLDERS if self.local_folder is not None else ():
            path = self.files.path(name)[1]
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
        """Write and remove a small file. Raises StoreError if that fails."""
        name = f"write-test-{uuid.uuid4().hex}"
        self.files.write(name, b"ok")
        self.files.delete(name)

    def remove_leftovers(self, to_fit: Collection[str] = ()) -> None:
        """Remove what killed writers left behind. Call only while nobody writes.

        Those are partial files, which never exist on an object store, snapshots of fits that are
        stored, weights beside those that the fit's record names, and snapshots that nobody went on
        from for ABANDONED_AFTER seconds. to_fit: keys of fits that may go on from theirs now.
        """
        self._remove_needless(set(to_fit))
        if self.local_folder is not None:
            names = [name for folder in FOLDERS for name in self.files.below(folder)]
            for name in [*names, *self.files.names("")]:
                match = HALF_WRITTEN.fullmatch(name)
                if match and NAMES.fullmatch(match["name"]):
                    os.unlink(self.files.path(name)[1])

    def _remove_needless(self, to_fit: set[str]) -> None:
        folders: dict[str, set[str]] = {}
        for key, name in self.files.in_folders("fits"):
            folders.setdefault(key, set()).add(name)
        for key, names in folders.items():
            removable = {name for name in names if name == SNAPSHOT or WEIGHTS.fullmatch(name)}
            if len(removable) > 1 or SNAPSHOT in removable:
                fit = self.sound(self.read_fit, key)
                named = names.intersection(_weights_names(fit)) if fit else set()
                for name in removable - named if named else ():
                    self._delete_if_there(f"fits/{key}/{name}")
                if not named and SNAPSHOT in removable and key not in to_fit:
                    self._remove_if_abandoned(f"fits/{key}/{SNAPSHOT}")

    def _remove_if_abandoned(self, snapshot: str) -> None:
        with suppress(StoreError):
            written = self.files.written_at(snapshot)
            if written is not None and time.time() - written > ABANDONED_AFTER:
                self._delete_if_there(snapshot)

    def _delete_if_there(self, name: str) -> None:
        """Nothing refers to the file: if it cannot be deleted, it only takes room."""
        with suppress(StoreError):
            if self.files.exists(name):
                self.files.delete(name)

    def sound(self, read: Callable[[str], Read], key: str) -> Read | None:
        """What `read` (a method of this store) returns; None if that is missing or damaged."""
        try:
            return read(key)
        except FileNotFoundError:
            return None
        except DamagedFile as error:
            self.damaged[error.name] = error.why
            return None

    def set_aside(self) -> list[str]:
        """Rename the files that were found damaged to `<name>.damaged-<n>`, and forget them.

        The readable part of an attack log stays. Returns a line for users on each. Call only
        while nobody else writes.
        """
        lines = []
        for name, why in list(self.damaged.items()):
            try:
                aside = self._set_aside(name)
            except FileNotFoundError:
                continue
            finally:
                del self.damaged[name]
            lines.append(f"{self.files.place(name)} is damaged ({why}); kept as {aside}")
        return lines

    def _set_aside(self, name: str) -> str:
        readable = []
        if name.endswith(LOG):
            readable = [json.dumps(r, ensure_ascii=False) for r in self._read_log(name).values()]
        aside = self.files.rename_aside(name)
        if readable:
            self.files.write(name, _lines(readable))
        return aside

    # Fits

    def has_fit(self, key: str) -> bool:
        """Whether the store has a fit's record and weights."""
        fit = self.sound(self.read_fit, key)
        return fit is not None and self.files.exists(self._weights(key, fit))

    def write_fit(self, key: str, weights: bytes, record: FitMade) -> FitRecord:
        """Store a fit, unless the store has it whole; returns the record that is stored then.

        Of several writers the first wins, and the others find its record. A fit whose weights are
        gone or damaged is replaced; if by other weights, its record says so: earlier attacks belong
        to weights that no longer exist.
        """
        fit = cast(FitRecord, {**record, "weights_sha256": digest(weights)})
        name, place = f"fits/{key}/{_weights_names(fit)[0]}", f"fits/{key}/fit.json"
        self.files.write(name, weights)
        if self.files.create(place, _as_json(fit)):
            return fit
        if (stored := self.sound(self.read_fit, key)) is not None:
            if stored["weights_sha256"] == fit["weights_sha256"]:
                return stored
            if self.sound(self.read_weights, key) is not None:
                self._delete_if_there(name)
                return stored
            fit["replaces_others"] = True
        self._write_json(place, fit)
        return fit

    def read_fit(self, key: str) -> FitRecord:
        name = f"fits/{key}/fit.json"
        record: FitRecord = self._read_json(name, FitRecord)
        self._must_be(name, "fit", key, record.get("key", key))
        return record

    def read_weights(self, key: str) -> bytes:
        """Weights as safetensors. Raises DamagedFile if they are not those that were written."""
        return self.read_fitted(key)[1]

    def read_fitted(self, key: str) -> tuple[FitRecord, bytes]:
        """A fit's record and its weights. Raises DamagedFile if they do not belong together."""
        fit = self.read_fit(key)
        name = self._weights(key, fit)
        weights = self.files.read(name)
        if digest(weights) != fit["weights_sha256"]:
            raise self.files.damaged(name, "not the weights that fit.json was written for")
        return fit, weights

    def _weights(self, key: str, fit: FitRecord) -> str:
        """The file of a fit's weights."""
        names = [f"fits/{key}/{name}" for name in _weights_names(fit)]
        return next(filter(self.files.exists, names), names[0])

    def write_snapshot(self, key: str, content: bytes) -> None:
        """Keep the state of a fit in mid-training, in place of the one before."""
        self.files.write(f"fits/{key}/{SNAPSHOT}", digest(content).encode(), content)

    def read_snapshot(self, key: str) -> bytes | None:
        """The last state of a fit in mid-training; None if there is none, or it is damaged."""
        try:
            stored = self.files.read(f"fits/{key}/{SNAPSHOT}")
        except (FileNotFoundError, DamagedFile):
            return None
        content = stored[64:]
        return content if digest(content).encode() == stored[:64] else None

    def remove_snapshot(self, key: str) -> None:
        self._delete_if_there(f"fits/{key}/{SNAPSHOT}")

    def write_evaluation(self, key: str, other: str, record: Evaluation) -> None:
        self._write_json(f"fits/{key}/on-{other}.json", record)

    def evaluations(self, key: str) -> dict[str, Evaluation]:
        """The evaluations of a fit's weights on other data sets, by `<data set>-<digest>`."""
        names = [
            name.removeprefix("on-").removesuffix(".json")
            for name in self.files.names(f"fits/{key}")
            if name.startswith("on-") and name.endswith(".json")
        ]

        def read(other: str) -> Evaluation:
            file = f"fits/{key}/on-{other}.json"
            record: Evaluation = self._read_json(file, Evaluation)
            self._must_be(file, "fit", key, record.get("fit", key))
            if not other.startswith(f"{record['dataset']}-"):
                raise self.files.damaged(file, f"it belongs to the data set {record['dataset']}")
            return record

        fit = self.sound(self.read_fit, key) if names else None
        records = {name: self.sound(read, name) for name in names}
        return {
            name: record
            for name, record in records.items()
            if record is not None and fit is not None and is_of_weights(record, fit)
        }

    def write_transfer(self, key: str, record: Mapping[str, Replayed]) -> None:
        self._write_json(f"fits/{key}/transfer.json", record)

    def transfer(self, key: str) -> dict[str, Replayed]:
        """Outcomes of adversarial examples replayed on a fit's weights, by attack log."""
        record = self.sound(self._read_transfer, key)
        fit = self.sound(self.read_fit, key) if record else None
        if record is None or fit is None:
            return {}
        return {log: entry for log, entry in record.items() if is_of_weights(entry, fit)}

    def _read_transfer(self, key: str) -> dict[str, Replayed]:
        name = f"fits/{key}/transfer.json"
        record: dict[str, Replayed] = self._read_json(name, each=Replayed)
        for entry in record.values():
            self._must_be(name, "fit", key, entry.get("fit", key))
        return record

    # Attack logs

    def attacked(self, log: str, look_for: Iterable[int] = ()) -> dict[int, ExampleRecord]:
        """All finished examples of a log, by example id.

        look_for: ids also requested one by one, where listings of the store may be stale.
        """
        records = self._read_log(f"attacks/{log}/{LOG}")
        names = {name for name in self.files.names(f"attacks/{log}") if ONE_EXAMPLE.fullmatch(name)}
        if self.local_folder is None:
            unseen = [f"{id}.json" for id in look_for if id not in records]
            there = at_once(lambda name: self.files.exists(f"attacks/{log}/{name}"), unseen)
            names |= {name for name, exists in zip(unseen, there, strict=True) if exists}
        read = partial(self.sound, self._read_example)
        for record in at_once(read, sorted(f"attacks/{log}/{name}" for name in names)):
            if record is not None:
                records[record["id"]] = record
        return records

    def _read_example(self, name: str) -> ExampleRecord:
        record: ExampleRecord = self._read_json(name)
        try:
            check_attacked(record)
        except ValueError as error:
            raise self.files.damaged(name, str(error)) from None
        _, log, file = name.split("/")
        self._must_be(name, "attack log", log, record.get("log", log))
        self._must_be(name, "example", file.removesuffix(".json"), str(record["id"]))
        return record

    def _read_log(self, name: str) -> dict[int, ExampleRecord]:
        """The readable records of a merged log, by example id; notes damage in `damaged`."""
        if not self.files.exists(name):
            return {}
        records: dict[int, ExampleRecord] = {}
        wrong, log = [], name.split("/")[1]
        try:
            # As bytes, whose lines end only at \n: texts may contain other line separators.
            lines = self.files.read(name).splitlines()
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
                records[record["id"]] = record
        if wrong or not lines:
            more = f", and {len(wrong) - 1} more lines" if len(wrong) > 1 else ""
            self.damaged[name] = wrong[0] + more if wrong else "it is empty"
        return records

    def logs_begun(self) -> set[str]:
        """Names of all logs with examples."""
        return {log for log, name in self.files.in_folders("attacks") if EXAMPLES.fullmatch(name)}

    def add_attacked(self, log: str, *records: ExampleRecord) -> None:
        """Store finished examples, each under its `id`; at a URL all at once."""

        def add(record: ExampleRecord) -> None:
            self._write_json(f"attacks/{log}/{_example_id(record)}.json", record)

        at_once(add, records)

    def merge_log(self, log: str, records: Mapping[int, ExampleRecord]) -> None:
        """Merge the small files of a log into one, given all its records.

        May be interrupted at any point.
        """
        small = {f"{id}.json" for id in records} & set(self.files.names(f"attacks/{log}"))
        lines = [json.dumps(records[id], ensure_ascii=False) for id in sorted(records)]
        self.files.write(f"attacks/{log}/{LOG}", _lines(lines))
        at_once(lambda name: self.files.delete(f"attacks/{log}/{name}"), small)

    # Cells

    def has_cell(self, key: str) -> bool:
        """Whether the cell was ever started."""
        return self.files.exists(f"cells/{key}/cell.json")

    def write_cell(self, key: str, cell: Json) -> None:
        self._write_json(f"cells/{key}/cell.json", cell)

    def read_cell(self, key: str) -> Json:
        """A cell's request. Raises DamagedFile, also if this version cannot read it."""
        name = f"cells/{key}/cell.json"
        record = self._read_json(name, Cell)
        self._must_be(name, "cell", key, record["key"])
        return record

    def cells_asked(self) -> set[str]:
        """Keys of all cells that were ever started."""
        return {key for key, name in self.files.in_folders("cells") if name == "cell.json"}

    def write_result(self, key: str, result: Result) -> None:
        self._write_json(f"cells/{key}/result.json", result)
        if self.files.exists(f"cells/{key}/error.txt"):
            self.files.delete(f"cells/{key}/error.txt")

    def write_error(self, key: str, traceback: str) -> None:
        self.files.write(f"cells/{key}/error.txt", traceback.encode())

    def read_result(self, key: str) -> Result:
        name = f"cells/{key}/result.json"
        result: Result = self._read_json(name)
        try:
            check_result(result)
        except ValueError as error:
            raise self.files.damaged(name, str(error)) from None
        self._must_be(name, "cell", key, result["key"])
        return result

    def error_path(self, key: str) -> str:
        """Where a failed cell's traceback is, for users to open."""
        return self.files.place(f"cells/{key}/error.txt")

    def cells_with(self, file: str, keys: Iterable[str]) -> set[str]:
        """The cells among `keys` that have the file (result.json, error.txt); a single listing."""
        among = set(keys)
        return {
            key for key, name in self.files.in_folders("cells") if name == file and key in among
        }

    def cells_done(self) -> set[str]:
        """Keys of all cells that have a result."""
        return {key for key, name in self.files.in_folders("cells") if name == "result.json"}

    def fits_with_weights(self, fits: Mapping[str, FitRecord]) -> set[str]:
        """Those of the fits whose weights are stored, too."""
        files = set(self.files.in_folders("fits"))
        return {
            key
            for key, fit in fits.items()
            if any((key, name) in files for name in _weights_names(fit))
        }

    def fits_read(self) -> dict[str, FitRecord]:
        """The records of all stored fits, with or without weights, by key."""
        keys = sorted({key for key, name in self.files.in_folders("fits") if name == "fit.json"})
        return self._sound_ones(self.read_fit, keys)

    def results_read(self) -> dict[str, Result]:
        """The results of all finished cells, by key."""
        return self._sound_ones(self.read_result, sorted(self.cells_done()))

    def _sound_ones(self, read: Callable[[str], Read], keys: Sequence[str]) -> dict[str, Read]:
        records = zip(keys, at_once(partial(self.sound, read), keys), strict=True)
        return {key: record for key, record in records if record is not None}

    # Drivers

    def write_driver(self, id: str, record: Driver) -> None:
        self._write_json(f"drivers/{id}.json", record)

    def drivers(self) -> dict[str, Driver]:
        """The records of the drivers that write here, by id."""
        drivers: dict[str, Driver] = {}
        for name in self.files.names("drivers"):
            if NAMES.fullmatch(f"drivers/{name}"):
                # It may be removed between the listing and the read.
                with suppress(FileNotFoundError):
                    drivers[name.removesuffix(".json")] = self._read_driver(f"drivers/{name}")
        return drivers

    def _read_driver(self, name: str) -> Driver:
        try:
            driver: Driver = self._read_json(name, Driver)
            return driver
        except DamagedFile:
            # A running driver rewrites it every few seconds, which changes this count.
            content = b""
            with suppress(DamagedFile):
                content = self.files.read(name)
            count = int.from_bytes(hashlib.sha256(content).digest()[:6], "big")
            return {"machine": "unknown", "pid": 0, "count": count, "state": "holding"}

    def remove_driver(self, id: str) -> None:
        if self.files.exists(f"drivers/{id}.json"):
            self.files.delete(f"drivers/{id}.json")

    # Environments

    def write_environment(self, space: str, record: Environment) -> None:
        self._write_json(f"environments/{space}.json", record)

    def read_environment(self, space: str) -> Environment | None:
        """What the last sweep of a space ran with; None in a store of an older version."""

        def read(name: str) -> Environment:
            environment: Environment = self._read_json(name, Environment)
            return environment

        return self.sound(read, f"environments/{space}.json")

    # Times

    def write_times(self, space: str, record: Json) -> None:
        self._write_json(f"times/{space}.json", record)

    def read_times(self, space: str) -> Json | None:
        """Where the time of a space's last sweep went; None if no sweep has recorded it."""
        return self.sound(self._read_json, f"times/{space}.json")

    # Nodes

    def write_nodes(self, space: str, record: Nodes) -> None:
        self._write_json(f"nodes/{space}.json", record)

    def read_nodes(self, space: str) -> Nodes | None:
        """How the trials of a space's last sweep ended, by node; None in an older store."""

        def read(name: str) -> Nodes:
            nodes: Nodes = self._read_json(name, Nodes)
            return nodes

        return self.sound(read, f"nodes/{space}.json")

    # Rehearsals

    def write_rehearsal(self, space: str, record: Rehearsal) -> None:
        self._write_json(f"rehearsals/{space}.json", record)

    def read_rehearsal(self, space: str) -> Rehearsal | None:
        """What a space's last rehearsal measured; None if there was none."""
        name = f"rehearsals/{space}.json"
        record: Rehearsal | None = self.sound(lambda _: self._read_json(name, Rehearsal), space)
        return record

    # Notes, by which processes check that they share the store

    def write_note(self, name: str, text: str) -> None:
        self.files.write(f"notes/{name}", text.encode())

    def read_note(self, name: str) -> str | None:
        return (
            self.files.read(f"notes/{name}").decode()
            if self.files.exists(f"notes/{name}")
            else None
        )

    def delete_note(self, name: str) -> None:
        if self.files.exists(f"notes/{name}"):
            self.files.delete(f"notes/{name}")

    def _read_json(self, name: str, kind: Any = None, each: Any = None) -> Any:
        """A JSON object of `kind`, with values of kind `each`. Raises DamagedFile."""
        try:
            record = _parsed(self.files.read(name))
            for checked, of_kind in ((record, kind), *((v, each) for v in record.values())):
                if of_kind is not None:
                    check(of_kind, checked)
        except ValueError as error:
            raise self.files.damaged(name, str(error)) from None
        return record

    def _must_be(self, name: str, what: str, expected: str, actual: str) -> None:
        """Raises DamagedFile if a file belongs to another fit, cell, log or example."""
        if actual != expected:
            raise self.files.damaged(name, f"it belongs to the {what} {actual}")

    def _write_json(self, name: str, record: Mapping[str, Any]) -> None:
        self.files.write(name, _as_json(record))


def _weights_names(fit: FitRecord) -> list[str]:
    """Under which names a fit's weights may be stored."""
    return [f"weights-{weights_name(fit)}.safetensors", OLD_WEIGHTS]


def _as_json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=1).encode()


def _parsed(content: bytes) -> Any:
    """A JSON object. Raises ValueError with a short message."""
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


def _example_id(record: ExampleRecord) -> int:
    if not isinstance(record.get("id"), int):
        raise BadInput(f"not an attacked example: its id is {record.get('id')!r}")
    return int(record["id"])


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
