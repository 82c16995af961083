"""Stores of tests: fsspec's memory below a URL of its own, seen from machines that share nothing else."""

import uuid
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from suite.records.stores.folder import StoreFolder
from suite.records.stores.mirror import mirror_folder
from suite.records.stores.objects import ObjectStore, open_store
from suite.records.stores.store import RECORD
from tests.records.factory import build, store

CACHE = "suite.records.stores.mirror.user_cache"


def new_url():
    return f"memory://bucket-{uuid.uuid4().hex}/sweep"


@contextmanager
def machine(folder: Path):
    """Keep what belongs to a machine below a folder."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CACHE, lambda: folder)
        yield


def results_at(url: str) -> StoreFolder:
    return StoreFolder(store=open_store(url))


def objects_at(url: str) -> dict[str, bytes]:
    """Every object below a URL, by its name there."""
    opened = open_store(url)
    return {name: opened.files.cat_file(f"{opened.root}/{name}") for name in opened.listing()}


def put(url: str, folder: Path, *records) -> None:
    """Put records of this machine into a store, as a copying program would."""
    files = fsspec.filesystem("memory")
    store(folder, *(records or [build()]))
    for path in sorted(folder.rglob("*"), key=lambda path: path.name == RECORD):
        if path.is_file():
            files.pipe_file(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())


class Watched(ObjectStore):
    """A store that calls `before` ahead of each request, and keeps what was fetched."""

    def __init__(self, url, before=lambda: None):
        opened = open_store(url)
        super().__init__(url=url, files=opened.files, root=opened.root)
        object.__setattr__(self, "before", before)
        object.__setattr__(self, "fetched", [])

    def listing(self, prefix=""):
        self.before()
        return super().listing(prefix)

    def holds(self, name, content):
        self.before()
        return super().holds(name, content)

    def put(self, name, content):
        self.before()
        super().put(name, content)

    def create(self, name, content):
        self.before()
        return super().create(name, content)

    def remove(self, names):
        self.before()
        super().remove(names)

    def fetch(self, places):
        self.fetched.extend(places)
        super().fetch(places)


def names_in(url: str) -> set[str]:
    """The names of runs' files in the mirror of this machine."""
    mirror = mirror_folder(url)
    return {path.relative_to(mirror).as_posix() for path in mirror.rglob("*") if path.is_file()}
