"""Several machines write into one store: each run is whole, none replaces another, and no case waits for a dead one."""

from datetime import timedelta

import pytest

from suite.commands.results import verify
from suite.records.record import SAMPLES
from suite.records.stores import folder
from suite.records.stores.claim import NAME_LENGTH, hold
from suite.records.stores.folder import LocalFolder, StoreFolder, results_folder
from suite.records.stores.mirror import mirror_folder, on_this_machine
from suite.records.stores.objects import StoreError, open_store
from suite.records.stores.store import RECORD, read_contents, read_record, write_record
from tests.records.factory import build, store
from tests.records.stores.places import Watched, machine, new_url, objects_at, put, results_at

RUN_KEY = build().run_key
KEY = RUN_KEY[:NAME_LENGTH]
FIRST, SECOND = (
    build(provenance={"started_at": f"2026-03-0{day}T10:00:00+00:00"}, latencies_s=(day * 2e-3, day * 2.1e-3))
    for day in (1, 2)
)
"""Two runs of one case: a record of one beside readings of the other is damaged."""


@pytest.fixture
def one(tmp_path):
    """This machine."""
    with machine(tmp_path / "one"):
        yield


def run(claim, record):
    """Write and publish a record under a claim."""
    with claim:
        write_record(record, claim.folder)
        return claim.publish()


def runs_at(url, tmp_path):
    """The names and starts of the runs that a third machine reads, all of them whole."""
    with machine(tmp_path / "reader"):
        mirror = on_this_machine(mirror_folder(url))
        contents = read_contents([mirror])
        assert (contents.damaged, contents.unfinished) == ([], [])
        assert verify([mirror]) == 0
    return {stored.folder.name: stored.record.provenance["started_at"][:10] for stored in contents.stored}


def test_a_mirror_stands_for_its_store_and_a_folder_for_itself(one, tmp_path):
    assert isinstance(results_folder(mirror_folder(new_url())), StoreFolder)
    assert results_folder(tmp_path) == LocalFolder(folder=tmp_path)


def test_a_run_is_put_whole_and_not_kept_here(one, tmp_path):
    url = new_url()
    results = results_at(url)
    results.prepare([RUN_KEY])
    place = run(results.claim(RUN_KEY), FIRST)
    assert place == mirror_folder(url) / KEY
    assert set(objects_at(url)) == {f"{KEY}/{RECORD}", f"{KEY}/{SAMPLES}"}
    assert not list(results.runs.iterdir())
    assert runs_at(url, tmp_path) == {KEY: "2026-03-01"}
    assert run(results.claim(RUN_KEY), SECOND).name == f"{KEY}-2"


def test_a_living_claim_is_respected_here_and_elsewhere(one, tmp_path):
    results = results_at(new_url())
    with results.claim(RUN_KEY):
        assert results.claim(RUN_KEY) is None
        with machine(tmp_path / "two"):
            assert results.claim(RUN_KEY) is None
    assert objects_at(results.store.url) == {}
    with machine(tmp_path / "two"), results.claim(RUN_KEY) as claim:
        assert claim.claimed.name == KEY


def test_a_claim_of_a_killed_process_here_is_taken_over(one):
    results = results_at(new_url())
    results.store.put(f"{KEY}/claim-1", results._owner() + b" mark")
    with results.claim(RUN_KEY) as claim:
        assert (claim.claimed.name, claim.claimed.number) == (KEY, 2)
    assert objects_at(results.store.url) == {}


def test_the_stores_own_clock_tells_a_stale_claim(one, monkeypatch):
    results = results_at(new_url())
    results.store.put(f"{KEY}/claim-1", b"another-machine mark")
    assert results.claim(RUN_KEY) is None
    content = results.store.files.store[f"{results.store.root}/{KEY}/claim-1"]
    content.modified -= timedelta(seconds=folder.STALE_AFTER_S + 1)
    with results.claim(RUN_KEY) as claim:
        assert claim.claimed.number == 2


def test_a_claim_is_renewed_until_its_end(one, monkeypatch):
    monkeypatch.setattr(folder, "RENEW_EVERY_S", 0.01)
    results = results_at(new_url())
    with results.claim(RUN_KEY) as claim:
        begun = results.store.changed_at(claim.claimed.claim)
        looks = iter(range(500))
        while results.store.changed_at(claim.claimed.claim) == begun and next(looks, None) is not None:
            claim.renewal.join(0.01)
        assert results.store.changed_at(claim.claimed.claim) > begun
    assert not claim.renewal.is_alive()
    assert objects_at(results.store.url) == {}


def test_a_stopped_writer_and_its_successor_are_both_kept(one, tmp_path, monkeypatch):
    url = new_url()
    stopped = results_at(url).claim(RUN_KEY)
    with stopped:
        write_record(FIRST, stopped.folder)
        monkeypatch.setattr(folder, "STALE_AFTER_S", -1)
        with machine(tmp_path / "two"):
            assert run(results_at(url).claim(RUN_KEY), SECOND).name == KEY
        assert stopped.publish().name == f"{KEY}-2"
    assert runs_at(url, tmp_path) == {KEY: "2026-03-02", f"{KEY}-2": "2026-03-01"}


def test_what_a_writer_left_without_a_record_is_stepped_over(one):
    results = results_at(new_url())
    results.store.put(f"{KEY}/{SAMPLES}", b"half a file")
    assert run(results.claim(RUN_KEY), FIRST).name == f"{KEY}-2"
    assert objects_at(results.store.url)[f"{KEY}/{SAMPLES}"] == b"half a file"


def test_a_run_that_could_not_be_put_is_put_by_the_next_process(one, tmp_path):
    url = new_url()

    def broken():
        raise StoreError("no network")

    claim = StoreFolder(store=open_store(url)).claim(RUN_KEY)
    with claim:
        write_record(FIRST, claim.folder)
        whole = claim.runs
        object.__setattr__(claim, "runs", StoreFolder(store=Watched(url, broken)))
        with pytest.raises(StoreError, match="no network; the record is kept on this machine"):
            claim.publish()
        object.__setattr__(claim, "runs", whole)
        whole.look_again(RUN_KEY)  # another process would: its owner lives
        assert f"{KEY}/{RECORD}" not in objects_at(url)
    results_at(url).prepare([RUN_KEY])
    assert runs_at(url, tmp_path) == {KEY: "2026-03-01"}
    assert not list(whole.runs.iterdir())


def test_a_record_that_ended_between_two_looks_is_not_run_again(one, tmp_path):
    url = new_url()
    requests = iter(range(100))

    def before():
        if next(requests) == 1:  # the other's run ends between the list and the claim
            put(url, tmp_path / "there")

    assert StoreFolder(store=Watched(url, before)).claim(RUN_KEY) is None
    assert set(objects_at(url)) == {f"{KEY}/{RECORD}", f"{KEY}/{SAMPLES}"}


def at_request(number, act):
    """Return a function that acts ahead of the request of this number."""
    left = iter(range(number, -1, -1))
    return lambda: act() if next(left, None) == 0 else None


REQUESTS = 10
"""Of putting one run: more than it takes."""


def test_there_are_no_more_requests_than_are_tried(one, tmp_path):
    (run_folder,) = store(tmp_path / "one's", FIRST)
    asked = []
    StoreFolder(store=Watched(new_url(), lambda: asked.append(1))).put_run(run_folder, KEY)
    assert 5 < len(asked) < REQUESTS


@pytest.mark.parametrize("number", range(REQUESTS))
def test_no_order_of_two_writers_tears_a_run(number, one, tmp_path):
    url = new_url()
    (first,), (second,) = store(tmp_path / "one's", FIRST), store(tmp_path / "two's", SECOND)

    def put_second():
        results_at(url).put_run(second, KEY)

    StoreFolder(store=Watched(url, at_request(number, put_second))).put_run(first, KEY)
    put_second()
    runs = runs_at(url, tmp_path)
    assert sorted(runs.values()) == ["2026-03-01", "2026-03-02"]
    assert set(runs) == {KEY, f"{KEY}-2"}


class KilledError(BaseException):
    pass


def kill():
    raise KilledError


@pytest.mark.parametrize("number", range(REQUESTS))
def test_no_kill_tears_a_run_or_loses_it(number, one, tmp_path):
    url = new_url()
    (first,), (second,) = store(tmp_path / "one's", FIRST), store(tmp_path / "two's", SECOND)
    try:
        StoreFolder(store=Watched(url, at_request(number, kill))).put_run(first, KEY)
    except KilledError:
        results_at(url).put_run(second, KEY)
    results_at(url).put_run(first, KEY)
    results_at(url).put_run(second, KEY)
    runs = runs_at(url, tmp_path)
    assert sorted(runs.values()) == ["2026-03-01", "2026-03-02"]
    assert len(runs) == 2


def test_a_living_process_keeps_what_it_is_about_to_put(one):
    results = results_at(new_url())
    (left,) = store(results.runs, FIRST)
    with hold(left):
        results.prepare([RUN_KEY])
        assert results.claim(RUN_KEY) is None
    assert read_record(left).run_key == RUN_KEY
