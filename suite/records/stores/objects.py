"""The objects below one URL, by fsspec: listed, read, put, put only where there is none, and removed.

Nothing else of a store is used, so that any that fsspec knows can be read; `check_create` tells which can be written.
Nothing is cached: another machine may have written a moment ago.
"""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from suite.configuration.values import clipped
from suite.records.machine.installation import install_command
from suite.records.machine.privacy import scrub
from suite.records.plain_text import one_line
from suite.records.stores.store import write_whole

TRIES, BETWEEN_S, MOST_FOLDERS, MOST_IN_ALL, MOST_LEVELS = 3, 0.2, 10_000, 400_000, 32
EXTRAS = {"s3": "stores", "s3a": "stores", "hf": "board"}
"""Extras of ours that bring a scheme's library."""
Info = Mapping[str, Any]
"""An object as its store describes it: its size in bytes, and whatever shows that it has changed."""


class StoreError(OSError):
    """A sentence about a store that cannot be reached, read or written."""


@dataclass(frozen=True, kw_only=True)
class ObjectStore:
    """The objects below a URL, by their names below it."""

    url: str
    files: Any
    """fsspec's file system, whose classes have no types."""
    root: str

    def listing(self, prefix: str = "") -> dict[str, Info]:
        """Each object whose name begins so, as its store describes it. Raises ValueError where they are too many."""
        objects: Mapping[str, Info] = {}
        with self._in_one_sentence("listed"), suppress(FileNotFoundError):
            filters = {"prefix": prefix} if prefix else {}
            objects = self._walk() if self._lists_by_folder else self.files.find(self.root, detail=True, **filters)
        if len(objects) > MOST_IN_ALL:
            raise ValueError(f"{self.url} holds more than {MOST_IN_ALL:,} objects, and is not read")
        return {
            name.removeprefix(f"{self.root}/"): info
            for name, info in objects.items()
            if name.startswith(f"{self.root}/{prefix}") and info.get("type") == "file"  # S3 lists marks of folders, too
        }

    @property
    def _lists_by_folder(self) -> bool:
        """True if the library lists one folder after another, as over HTTP, and not all names at once."""
        from fsspec import AbstractFileSystem
        from fsspec.asyn import AsyncFileSystem

        kind, usual = type(self.files), AsyncFileSystem._find
        return kind.find is AbstractFileSystem.find and getattr(kind, "_find", usual) is usual

    def _walk(self) -> dict[str, Info]:
        """Find all objects folder by folder. Raises StoreError for too many folders: a server may make up more."""
        objects, waiting, folders = dict[str, Info](), [(self.root, 0)], 0
        while waiting:
            (folder, levels), folders = waiting.pop(), folders + 1
            if folders > MOST_FOLDERS or levels > MOST_LEVELS:
                raise StoreError(
                    f"{self.url} has more than {MOST_LEVELS} levels or {MOST_FOLDERS:,} folders, and is not read"
                )
            with suppress(FileNotFoundError):
                for info in self.files.ls(folder, detail=True):
                    name, is_folder = info["name"].rstrip("/"), info["type"] == "directory"
                    if is_folder and name.startswith(f"{folder}/"):
                        waiting.append((name, levels + 1))
                    objects |= {} if is_folder else {name: info}
        return objects

    def sized(self, objects: Mapping[str, Info]) -> dict[str, Info]:
        """The objects, each with its size, which no list over HTTP has. Raises StoreError where nothing says it."""
        unsized = [name for name, info in objects.items() if info.get("size") is None]
        with self._in_one_sentence("read"):
            infos = {name: self.files.info(self._at(name)) for name in unsized}
        for name, info in infos.items():
            if not isinstance(info.get("size"), int) or info["size"] < 0:
                raise StoreError(f"{self.url} cannot be read: it does not say how large {clipped(name)} is")
        return {**objects, **infos}

    def names(self, folder: str) -> list[str]:
        """The names of all objects below a folder, sorted."""
        return sorted(self.listing(f"{folder}/"))

    def size(self, name: str) -> int | None:
        """The bytes of an object; None where there is none."""
        with self._in_one_sentence("read"), suppress(FileNotFoundError):
            return int(self.files.info(self._at(name))["size"])
        return None

    def holds(self, name: str, content: bytes) -> bool:
        """Whether an object has just this content."""
        return self.size(name) == len(content) and self.read(name, len(content)) == content

    def has(self, name: str) -> bool:
        """Whether there is an object of this name."""
        return name in self.listing(name)

    def read(self, name: str, most_bytes: int) -> bytes:
        """An object's content; nothing where there is none, or one that is larger."""
        with self._in_one_sentence("read"), suppress(FileNotFoundError):
            if (self.size(name) or 0) <= most_bytes:
                return bytes(self.files.cat_file(self._at(name)))
        return b""

    def put(self, name: str, content: bytes) -> None:
        """Put an object there, in place of one that lies there."""
        with self._in_one_sentence("written"):
            self.files.pipe_file(self._at(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Put an object where there is none, and return True; False where one with other content lies there, which
        stays. True also where the same lies there: an answer may be lost and the request sent again, which then finds
        its own."""
        for left in reversed(range(TRIES)):
            try:
                with self._in_one_sentence("written"):
                    self.files.pipe_file(self._at(name), content, mode="create")
                return True
            except FileExistsError:
                return self.holds(name, content)
            except StoreError:  # S3 answers 409 where two write at once, and asks to try again
                if self.has(name):
                    return self.holds(name, content)
                if not left:
                    raise
                time.sleep(BETWEEN_S)
        raise AssertionError("the last try returns or raises")

    def add(self, name: str, content: bytes) -> None:
        """Put an object where there is none, into a store of any kind. Raises StoreError where another lies there.

        In a folder of this machine it is put in place in one step, as stores do of themselves.
        """
        from fsspec.implementations.local import LocalFileSystem

        path = self._at(name)
        if isinstance(self.files, LocalFileSystem):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if is_put := not Path(path).exists():
                write_whole(Path(path), content)
        else:
            if not getattr(self.files, "async_impl", False):  # others have folders, or make nothing of it
                with self._in_one_sentence("written"):
                    self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
            is_put = self.create(name, content)
        if not is_put:
            raise StoreError(f"{self.url} has another {name} already, which is left as it is")

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects by name; one that is gone already counts as removed."""
        for name in names:
            with self._in_one_sentence("written"), suppress(FileNotFoundError):
                self.files.rm_file(self._at(name))

    def changed_at(self, name: str) -> datetime | None:
        """When an object was last written, by the store's own clock; None where there is none."""
        with self._in_one_sentence("read"), suppress(FileNotFoundError):
            return cast(datetime, self.files.modified(self._at(name)))
        return None

    def fetch(self, places: Mapping[str, Path]) -> None:
        """Bring objects into files of this machine, side by side where the store's library can."""
        with self._in_one_sentence("read"):
            self.files.get([self._at(name) for name in places], [str(path) for path in places.values()])

    def check_create(self) -> None:
        """Raise ValueError where `create` cannot be relied on: no bucket, or a store that lets two writers win."""
        from fsspec import AbstractFileSystem

        # fsspec's own way for stores that have none looks first and writes then: two can look at the same time.
        looks_first = type(self.files).pipe_file is AbstractFileSystem.pipe_file
        name = f".probe-{uuid.uuid4().hex}"
        try:
            is_exclusive = self.create(name, b"first") and not self.create(name, b"second")
        except FileNotFoundError as error:
            raise ValueError(f"results must go into a bucket that exists; got {self.url!r}") from error
        self.remove([name])
        if not is_exclusive or (looks_first and not getattr(self.files, "async_impl", False)):
            raise ValueError(
                f"{self.url} can be read and not written: this store does not refuse to replace an object, so that two "
                "runs could write one record"
            )

    def _at(self, name: str) -> str:
        """The object's full name for fsspec."""
        return f"{self.root}/{name}"

    @contextmanager
    def _in_one_sentence(self, done: str) -> Iterator[None]:
        """Turn what a store's library raises within the block into a StoreError of one sentence, without secrets."""
        try:
            yield
        except (FileNotFoundError, FileExistsError, StoreError):
            raise
        # The classes of botocore, azure, gcsfs and aiohttp share no other base, and need not be installed here.
        except Exception as error:
            kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
            raise StoreError(f"{self.url} cannot be {done}: {kind}{scrub(one_line(str(error)))}") from error


def open_store(url: str) -> ObjectStore:
    """The objects below a URL; nothing is asked of the store yet. Raises ValueError where its library is not
    installed."""
    scheme = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        extra = "stores" if error.name == "fsspec" else EXTRAS.get(scheme)
        how = install_command(extra) if extra else f"{error}"
        raise ValueError(f"{scheme}:// needs a package that is not installed here: {how}") from error
    except ValueError as error:
        raise ValueError(f"{scheme}:// is no store that fsspec knows: {error}") from error
    return ObjectStore(url=url, files=files, root=root.rstrip("/"))
