"""Which record answers a case, so that it is not run again."""

from types import SimpleNamespace

from suite.records.record import Status
from suite.run.scheduler import find_cached_record
from tests.records.factory import build, store


def test_the_newest_whole_record_answers_unless_it_failed(tmp_path):
    job = SimpleNamespace(run_key=build().run_key, refusal=None)
    first, second = store(tmp_path, build(), build())
    assert find_cached_record(job, tmp_path).folder == second
    (second / "record.json").write_text("{")
    told = []
    assert find_cached_record(job, tmp_path, notice=told.append).folder == first
    (line,) = told
    assert f"{second.name}: damaged, so the case is run again: record.json cannot be read" in line
    store(tmp_path, build(status=Status.FAILED, reason="broke"))
    assert find_cached_record(job, tmp_path) is None
