"""What lies in a store is read from a mirror: no more, no less and nothing else."""

import pytest
from fsspec.implementations.local import LocalFileSystem

from suite.records.record import CorruptRecordError
from suite.records.stores import objects
from suite.records.stores.claim import NAME_LENGTH
from suite.records.stores.mirror import mirror_folder, on_this_machine, refresh
from suite.records.stores.objects import ObjectStore, StoreError, open_store
from suite.records.stores.pack import PACK
from suite.records.stores.store import LOCK, RECORD, SAMPLES, read_contents, read_record
from suite.records.stores.withdrawn import WITHDRAWN
from tests.records.factory import build, store
from tests.records.stores.places import CACHE, Watched, names_in, new_url, objects_at, put

KEY = build().run_key[:NAME_LENGTH]


@pytest.fixture(autouse=True)
def this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(CACHE, lambda: tmp_path / "cache")


class Listing:
    """A file system of which only the list is looked at."""

    def __init__(self, names):
        self.names = names

    def find(self, root, **_):
        return {f"{root}/{name}": {"type": "file", "size": 1} for name in self.names}


def test_runs_are_read_as_those_of_a_folder(tmp_path):
    url = new_url()
    put(url, tmp_path / "there", build(), build(seq_len=64))
    here = read_contents([on_this_machine(mirror_folder(url))])
    there = read_contents([tmp_path / "there"])
    assert [stored.record for stored in here.stored] == [stored.record for stored in there.stored]
    assert (here.damaged, here.unfinished) == ([], [])


def test_a_list_of_withdrawals_counts_there_too(tmp_path):
    url = new_url()
    put(url, tmp_path / "there")
    entry = f"- run: {KEY}\n  date: 2026-03-01\n  reason: It was noisy.\n"
    open_store(url).put(WITHDRAWN, entry.encode())
    assert [run.folder.name for run in read_contents([refresh(open_store(url), keys=[KEY])]).withdrawn] == [KEY]


def test_nothing_is_fetched_twice_and_the_record_comes_last(tmp_path):
    url = new_url()
    put(url, tmp_path / "there")
    first, second = Watched(url), Watched(url)
    refresh(first)
    assert first.fetched == [f"{KEY}/{SAMPLES}", f"{KEY}/{RECORD}"]
    refresh(second)
    assert second.fetched == []


def test_what_changed_is_fetched_anew_and_what_is_gone_goes(tmp_path):
    url = new_url()
    put(url, tmp_path / "there", build(), build())
    on_this_machine(mirror_folder(url))
    opened = open_store(url)
    content = objects_at(url)[f"{KEY}/{RECORD}"]
    opened.put(f"{KEY}/{RECORD}", content.replace(b"2026-03-01", b"2026-03-02"))  # as long as before
    opened.remove([f"{KEY}-2/{RECORD}", f"{KEY}-2/{SAMPLES}"])
    again = Watched(url)
    refresh(again)
    assert again.fetched == [f"{KEY}/{RECORD}"]
    assert read_record(mirror_folder(url) / KEY).provenance["started_at"].startswith("2026-03-02")
    assert [folder.name for folder in mirror_folder(url).iterdir()] == [KEY]


def test_a_file_that_was_cut_short_here_is_fetched_anew(tmp_path):
    url = new_url()
    put(url, tmp_path / "there")
    folder = on_this_machine(mirror_folder(url)) / KEY
    (folder / SAMPLES).write_bytes(b"")
    (folder / "foreign").write_bytes(b"")
    on_this_machine(mirror_folder(url))
    assert read_record(folder).readings
    assert names_in(url) == {f"{KEY}/{SAMPLES}", f"{KEY}/{RECORD}"}


def test_a_store_without_objects_is_no_folder(tmp_path):
    assert on_this_machine(tmp_path) == tmp_path, "a folder of this machine is itself"
    assert not (tmp_path / "cache").exists()
    assert not on_this_machine(mirror_folder(new_url())).exists()


def test_a_run_that_was_begun_is_unfinished(tmp_path):
    url = new_url()
    opened = open_store(url)
    opened.put(f"{KEY}/claim-1", b"mark")
    (unfinished,) = read_contents([on_this_machine(mirror_folder(url))]).unfinished
    assert unfinished.name == KEY
    put(url, tmp_path / "there")
    contents = read_contents([on_this_machine(mirror_folder(url))])
    assert (len(contents.stored), contents.unfinished) == (1, [])
    assert f"{KEY}/{LOCK}" not in names_in(url)


@pytest.mark.parametrize(
    "name",
    [
        "../record.json",
        f"{KEY}/../../record.json",
        f"{KEY}//record.json",
        "./record.json",
        "a\\b/record.json",
        "C:/record.json",
        "a\nb/record.json",
        "../claim-1",
        "/".join("a" * 40) + "/record.json",
        f"{KEY}/{RECORD}/{RECORD}",  # a file cannot be a folder too
    ],
)
def test_a_name_that_leads_out_is_refused_before_a_fetch(name, tmp_path):
    hostile = ObjectStore(url=new_url(), files=Listing([f"{KEY}/{RECORD}", name]), root="bucket")
    with pytest.raises(ValueError, match="an object that cannot be a file below one folder"):
        refresh(hostile)
    assert not list(tmp_path.rglob(RECORD))


def test_what_is_too_large_is_named_and_not_fetched(tmp_path):
    url = new_url()
    put(url, tmp_path / "there")
    open_store(url).put(f"{KEY}/{RECORD}", b" " * ((1 << 20) + 9))
    watched = Watched(url)
    mirror = refresh(watched)
    assert watched.fetched == [f"{KEY}/{SAMPLES}"]
    with pytest.raises(CorruptRecordError, match="is not JSON"):
        read_record(mirror / KEY)
    (damage,) = read_contents([refresh(watched)]).damaged
    assert damage.folder.name == KEY
    assert len(watched.fetched) == 1


def test_only_runs_that_are_asked_for_are_fetched(tmp_path):
    url = new_url()
    put(url, tmp_path / "there", build(), build())
    opened = open_store(url)
    opened.put(f"{'f' * NAME_LENGTH}/{RECORD}", b"another's")
    opened.put(PACK, b"a pack")
    opened.put("notes.txt", b"none of ours")
    refresh(opened, {KEY})
    ours = {f"{KEY}{number}/{name}" for number in ("", "-2") for name in (RECORD, SAMPLES)}
    assert names_in(url) == {*ours, PACK}
    opened.remove(ours)
    refresh(opened, again=KEY)
    assert names_in(url) == {PACK}
    refresh(opened)
    assert names_in(url) == {PACK, f"{'f' * NAME_LENGTH}/{RECORD}"}


def test_a_pack_in_a_store_is_read_as_its_runs(tmp_path):
    from suite.records.stores.archive import write_pack

    url = new_url()
    folders = store(tmp_path / "there", build(), build())
    write_pack(tmp_path / "there", folders)
    open_store(url).put(PACK, (tmp_path / "there" / PACK).read_bytes())
    assert len(read_contents([on_this_machine(mirror_folder(url))]).stored) == 2


class WithoutSizes(LocalFileSystem):
    """Lists a folder as an HTTP server does: names and no sizes, which each object says itself."""

    def ls(self, path, detail=False, **kwargs):
        found = super().ls(path, detail=True)
        return [{"name": info["name"], "size": None, "type": info["type"]} for info in found]


class Endless(LocalFileSystem):
    """A server that lists a folder in each folder."""

    def __init__(self, names):
        super().__init__(skip_instance_cache=True)
        self.names, self.asked = names, 0

    def ls(self, path, detail=False, **kwargs):
        self.asked += 1
        return [{"name": f"{path}/{name}", "size": None, "type": "directory"} for name in self.names]


def test_a_store_that_lists_no_sizes_is_asked_for_each(tmp_path, monkeypatch):
    store(tmp_path / "there", build(), build(seq_len=64))
    by_folder = ObjectStore(url=new_url(), files=WithoutSizes(), root=(tmp_path / "there").as_posix())
    here = read_contents([refresh(by_folder)])
    assert [run.folder.name for run in here.stored] == [KEY, f"{KEY}-2"]
    assert here.damaged == []
    sized = WithoutSizes.info
    monkeypatch.setattr(WithoutSizes, "info", lambda self, path: {**sized(self, path), "size": None})
    with pytest.raises(StoreError, match=f"does not say how large '{KEY}/"):
        refresh(by_folder)


@pytest.mark.parametrize(("names", "most"), [("d", 34), ("abcdefgh", 101)])
def test_folders_without_end_are_not_followed(monkeypatch, names, most):
    monkeypatch.setattr(objects, "MOST_FOLDERS", 100)
    files = Endless(names)
    with pytest.raises(StoreError, match="levels or 100 folders, and is not read"):
        refresh(ObjectStore(url=new_url(), files=files, root="/there"))
    assert files.asked <= most


def test_a_name_too_long_for_a_file_is_left_out_and_named(tmp_path, capsys):
    url = new_url()
    put(url, tmp_path / "there")
    open_store(url).put(f"{'k' * 900}/{RECORD}", b"{}")
    assert [run.folder.name for run in read_contents([refresh(open_store(url))]).stored] == [KEY]
    assert f"{url}: left out, longer than a file's name can be: ['kkk" in capsys.readouterr().err
