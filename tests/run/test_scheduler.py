"""Which record answers a case, so that it is not run again, and the exit code of all records."""

from types import SimpleNamespace

import pytest

from suite.records.record import Status
from suite.records.stores.withdrawn import WITHDRAWN
from suite.run.cached import find_cached_record
from suite.run.scheduler import SweepOutcome
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


def test_a_withdrawn_record_answers_no_case(tmp_path):
    job = SimpleNamespace(run_key=build().run_key, refusal=None)
    store(tmp_path, build(), build())
    entry = f"- run: {build().run_key[:16]}\n  date: 2026-03-01\n  reason: It was noisy.\n"
    (tmp_path / WITHDRAWN).write_text(entry)
    assert find_cached_record(job, tmp_path) is None
    (later,) = store(tmp_path, build(provenance={"started_at": "2026-03-02T00:00:00+00:00"}))
    assert find_cached_record(job, tmp_path).folder == later
    (tmp_path / WITHDRAWN).write_text("[")
    told = []
    assert find_cached_record(job, tmp_path, notice=told.append) is None
    assert f"so the case is run again: {WITHDRAWN} is not YAML" in told[0]


@pytest.mark.parametrize(
    ("statuses", "alone", "of_a_sweep"),
    [
        ([Status.OK], 0, 0),
        ([], 3, 0),
        ([Status.UNSUPPORTED], 3, 0),
        ([Status.UNSUPPORTED, Status.OK], 0, 0),
        ([Status.OUT_OF_MEMORY, Status.OK], 3, 3),
        ([Status.OUT_OF_MEMORY, Status.INCORRECT], 1, 1),
        ([Status.OUT_OF_MEMORY, Status.FAILED], 1, 1),
        ([Status.FAILED, Status.INTERRUPTED], 130, 130),
    ],
)
def test_the_exit_code_is_that_of_the_worst_status(statuses, alone, of_a_sweep):
    outcome = SweepOutcome(records=[SimpleNamespace(status=status) for status in statuses], was_interrupted=False)
    assert (outcome.exit_code(is_sweep=False), outcome.exit_code(is_sweep=True)) == (alone, of_a_sweep)
    cut_off = SweepOutcome(records=outcome.records, was_interrupted=True)
    assert cut_off.exit_code(is_sweep=True) == 130
