"""Files at a local path or URL: written completely or not at all; errors are one line.

A URL is any that pyarrow or fsspec opens (s3://, gs://, ...). No name leads outside it.
"""

import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from pyarrow import fs

from search_spaces.errors import BadInput, first_line

Item = TypeVar("Item")
Made = TypeVar("Made")

PART = ".part"  # suffix of a file that is still being written
CHUNK = 1 << 20  # bytes
ONE_REQUEST = "allow_delayed_open=true"  # to S3 for a small file; otherwise three, one by one
AT_ONCE = 16  # small files read or deleted at a time: an object store takes 10 ms and more for each


class StoreError(BadInput, OSError):
    """The store cannot be read or written; the message is one line for users."""


class DamagedFile(StoreError):
    """A file of the store with wrong content; `name` is its name in the store."""

    def __init__(self, name: str, place: str, why: str) -> None:
        super().__init__(f"{place} is damaged ({why})")
        self.name, self.why = name, why


class Files:
    """The files of a store. option: the one that names it, without dashes, for messages."""

    def __init__(self, url: str, option: str = "store") -> None:
        self.url, self.option = url, option

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        if not self.url:
            raise BadInput(
                f"--{self.option} is empty (a variable that is not set?); give a folder or a URL"
            )
        if "://" not in self.url:
            return fs.LocalFileSystem(), self._absolute()
        if "@" in urlsplit(self.url).netloc:
            raise BadInput(
                f"--{self.option}: leave credentials out of the URL: they would be stored with the "
                "results; give them in the environment (AWS_ACCESS_KEY_ID, ...) or the machine's "
                "role"
            )
        try:
            filesystem, path = _open(self.url)
        except Exception as error:
            raise BadInput(
                f"--{self.option} {self.url}: cannot be opened: {first_line(error)}"
            ) from None
        if not path.strip("/") or "\0" in path:
            raise BadInput(
                f"--{self.option} {self.url}: names no folder; write scheme://bucket/folder"
            )
        return filesystem, path

    def _absolute(self) -> str:
        try:
            path = os.path.abspath(self.url)
            path.encode()
        except FileNotFoundError:
            raise BadInput("the current folder was deleted; change to one that exists") from None
        except UnicodeEncodeError:
            raise BadInput(
                f"--{self.option} {path!a}: a folder whose name is not UTF-8 text, which not every "
                "library reads; rename it"
            ) from None
        return path

    @property
    def local_folder(self) -> str | None:
        """The folder on this machine, or None for a store elsewhere."""
        filesystem, path = self._opened
        return path if isinstance(filesystem, fs.LocalFileSystem) else None

    def place(self, name: str) -> str:
        """Where a file of the store is, for users to open."""
        if self.local_folder is not None:
            return f"{self.local_folder}/{name}"
        url, question, options = self.url.partition("?")
        return f"{url.rstrip('/')}/{name}{question}{options}"

    def path(self, name: str) -> tuple[fs.FileSystem, str]:
        filesystem, base = self._opened
        return filesystem, f"{base}/{_safe(name)}".rstrip("/")

    def exists(self, name: str) -> bool:
        filesystem, path = self.path(name)
        with self._named_errors("read"):
            return filesystem.get_file_info(path).type == fs.FileType.File

    def written_at(self, name: str) -> float | None:
        """When a file was last written, in seconds since 1970; None if it is not known."""
        filesystem, path = self.path(name)
        with self._named_errors("read"):
            info = filesystem.get_file_info(path)
            return None if info.mtime_ns is None else info.mtime_ns / 1e9

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError, or DamagedFile if it cannot be read."""
        filesystem, path = self.path(name)
        if self.local_folder is not None:
            if not os.path.lexists(path):
                raise FileNotFoundError(path)
            if not os.path.isfile(path):
                raise self.damaged(name, "it is not a file")
            if not os.access(path, os.R_OK):
                raise self.damaged(name, "this user may not read it")
        with self._named_errors("read"), filesystem.open_input_stream(path) as file:
            return file.read()

    def damaged(self, name: str, why: str) -> DamagedFile:
        """The error that a file has wrong content."""
        return DamagedFile(name, self.place(name), why)

    def write(self, name: str, *content: bytes) -> None:
        """Write a file, given in parts, in place of what is there."""
        filesystem, path = self.path(name)
        with self._named_errors("written"):
            if isinstance(filesystem, fs.LocalFileSystem):
                self._make_way(name)
                with written_whole(Path(path)) as file:
                    file.writelines(content)
            else:
                with filesystem.open_output_stream(path) as file:
                    for part in content:
                        file.write(part)

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless it is there already; returns whether it was written.

        Of several writers at once one wins. On an object store (pyarrow has no conditional write)
        the last of those that began within the time of a request does, and the others may not
        notice: what follows from a file must name it.
        """
        path = self.path(name)[1]
        if self.local_folder is None:
            if self.exists(name):
                return False
            self.write(name, content)
            return self.read(name) == content
        with self._named_errors("written"):
            self._make_way(name)
            try:
                with written_whole(Path(path), put=_link) as file:
                    file.write(content)
            except FileExistsError:
                return False
        return True

    def _make_way(self, name: str) -> None:
        self._clear_way(name)
        os.makedirs(os.path.dirname(self.path(name)[1]), exist_ok=True)

    def _clear_way(self, name: str) -> None:
        """Rename whatever is in the place of a file of ours, or of the folder of its key."""
        parts = name.split("/")
        folder = "/".join(parts[:2])
        ways = [(folder, os.path.isdir)] if len(parts) == 3 else []
        for standing, is_right in [*ways, (name, os.path.isfile)]:
            path = self.path(standing)[1]
            if os.path.lexists(path) and not is_right(path):
                self.rename_aside(standing)

    def rename_aside(self, name: str) -> str:
        """Rename a file or folder to an unused name, which is returned."""
        filesystem, path = self.path(name)
        names = set(self.entries(name.rpartition("/")[0]))
        short = name.rpartition("/")[2]
        aside = next(a for n in count(1) if (a := f"{short}.damaged-{n}") not in names)
        with self._named_errors("read"):
            if self.local_folder is not None:
                os.rename(path, f"{path.rpartition('/')[0]}/{aside}")
            else:
                filesystem.move(path, f"{path.rpartition('/')[0]}/{aside}")
        return aside

    def delete(self, name: str) -> None:
        filesystem, path = self.path(name)
        with self._named_errors("written"):
            filesystem.delete_file(path)

    def in_folders(self, folder: str) -> list[tuple[str, str]]:
        """The files two levels below the store: names of their folder and of themselves."""
        parts = (name.split("/") for name in self.below(folder))
        return [(each[1], each[2]) for each in parts if len(each) == 3]

    def below(self, folder: str) -> list[str]:
        """All files below a folder, by their names in the store."""
        filesystem, path = self.path(folder)
        if self.local_folder is not None and not os.path.isdir(path):
            return []
        selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
        with self._named_errors("read"):
            infos = filesystem.get_file_info(selector)
        files = [info.path for info in infos if info.type == fs.FileType.File]
        return [file[len(path) - len(folder) :].lstrip("/") for file in files]

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder."""
        return [name for name, type in self.entries(folder).items() if type == fs.FileType.File]

    def entries(self, folder: str) -> dict[str, fs.FileType]:
        """Names of the files and folders in a folder, with their types."""
        filesystem, path = self.path(folder)
        if self.local_folder is not None and not os.path.isdir(path):
            return {}
        selector = fs.FileSelector(path, allow_not_found=True)
        with self._named_errors("read"):
            return {info.base_name: info.type for info in filesystem.get_file_info(selector)}

    @contextmanager
    def _named_errors(self, done: str) -> Iterator[None]:
        """Raise errors of the disk or the network as StoreError, but FileNotFoundError of a read
        as it is."""
        try:
            yield
        except (OSError, ValueError) as error:
            if done == "read" and isinstance(error, FileNotFoundError):
                raise
            raise StoreError(
                f"the {self.option} {self.url} cannot be {done}: {first_line(error)}"
            ) from error


def _open(url: str) -> tuple[fs.FileSystem, str]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise ValueError(f"another machine's folder ({parts.netloc}); write file:///folder")
        return fs.LocalFileSystem(), unquote(parts.path)
    if parts.scheme == "s3" and ONE_REQUEST.partition("=")[0] not in parse_qs(parts.query):
        url += f"{'&' if parts.query else '?'}{ONE_REQUEST}"
    try:
        return fs.FileSystem.from_uri(url)
    except ValueError:  # A scheme that pyarrow does not know.
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


@contextmanager
def written_whole(
    path: Path, put: Callable[[Path, Path], object] = Path.replace
) -> Iterator[BinaryIO]:
    """A file to write in the block; it appears at the path once all of it is on the disk.

    put: how it gets there.
    """
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}{PART}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _link(part: Path, path: Path) -> None:
    """Rename a file. Raises FileExistsError if the new name is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        part.replace(path)
    else:
        part.unlink()


def cut_off(path: Path) -> list[Path]:
    """Files that killed writers left behind in `written_whole` of this path."""
    ours = re.compile(rf"{re.escape(path.name)}\.[0-9a-f]{{32}}{re.escape(PART)}")
    if not path.parent.is_dir():
        return []
    return [each for each in path.parent.iterdir() if ours.fullmatch(each.name)]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            content.update(chunk)
    return content.hexdigest()


def _safe(name: str) -> str:
    """The name. Raises BadInput if it leads outside the store: names come from users' files."""
    if name and (any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name):
        raise BadInput(f"{name!r} is not the name of a file in a store: it would lead outside")
    return name


def at_once(do: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """`do` of each item, in order; several run at a time."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(do, items))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
