"""What a store must be able to do, and how it is said that one cannot."""

import os
import sys

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from suite.records.stores import objects
from suite.records.stores.objects import ObjectStore, StoreError, open_store
from tests.records.stores.places import new_url, objects_at


def store_with(files):
    url = new_url()
    return ObjectStore(url=url, files=files, root=open_store(url).root)


class Replacing(MemoryFileSystem):
    """A store that knows no condition, as some servers in S3's place."""

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value)


class LooksFirst(MemoryFileSystem):
    pipe_file = AbstractFileSystem.pipe_file


class Failing(MemoryFileSystem):
    """Fails as often as is said, before it writes or after."""

    def fail(self, times, *, after):
        self.left, self.after = times, after

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self.left -= 1
        if self.left < 0 or self.after:
            super().pipe_file(path, value, mode=mode)
        if self.left >= 0:
            raise OSError("At secret-of-mine the connection broke")


def test_only_the_first_of_two_creates_an_object():
    store = open_store(new_url())
    assert store.create("a", b"one")
    assert not store.create("a", b"two")
    assert store.create("a", b"one")
    assert objects_at(store.url) == {"a": b"one"}
    store.check_create()
    assert set(objects_at(store.url)) == {"a"}


@pytest.mark.parametrize("kind", [Replacing, LooksFirst])
def test_a_store_where_two_could_win_is_read_and_not_written(kind):
    store = store_with(kind())
    with pytest.raises(ValueError, match="can be read and not written"):
        store.check_create()
    assert store.listing() == {}


@pytest.mark.parametrize("after", [False, True])
def test_a_request_that_broke_is_tried_again(after, monkeypatch):
    monkeypatch.setattr(objects, "BETWEEN_S", 0)
    files = Failing()
    files.fail(objects.TRIES - 1, after=after)
    assert store_with(files).create("a", b"one")
    files.fail(objects.TRIES, after=False)
    with pytest.raises(StoreError, match=r"cannot be written: At .* the connection broke"):
        store_with(files).create("b", b"one")


def test_an_error_is_one_sentence_without_secrets(monkeypatch):
    monkeypatch.setattr(objects, "BETWEEN_S", 0)
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "secret-of-mine")
    files = Failing()
    files.fail(objects.TRIES, after=False)
    with pytest.raises(StoreError, match="cannot be written: At <AWS_SECRET_ACCESS_KEY> the") as failed:
        store_with(files).create("a", b"one")
    assert "secret-of-mine" not in str(failed.value)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match=r"s3:// needs a package that .*: pip install -e .*\[stores\]"):
        open_store("s3://bucket/x")
    with pytest.raises(ValueError, match="nothing:// is no store that fsspec knows"):
        open_store("nothing://bucket/x")


def test_too_many_objects_are_not_read(monkeypatch):
    store = open_store(new_url())
    for name in "abc":
        store.put(name, b"")
    monkeypatch.setattr(objects, "MOST_IN_ALL", 2)
    with pytest.raises(ValueError, match="holds more than 2 objects"):
        store.listing()
