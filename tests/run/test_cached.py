"""Which record answers a case, of this machine or of another, and the exit code of all records."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from suite.machine.code import code_digest
from suite.machine.environment import machine_id
from suite.records.record import REFUSED_UNRUN, Status
from suite.run.cached import find_cached_record, find_on_any_machine, runs_by_case
from suite.run.scheduler import SweepOutcome
from tests.records.factory import build, store
from tests.run.test_side_by_side import SMALL, jobs_of

ELSEWHERE = "feedfacefeedface"


def test_the_key_of_this_machine_is_the_run_key():
    (job,) = jobs_of(*SMALL)
    assert job.run_key_on(machine_id(), code_digest(job.settings)) == job.run_key
    assert job.run_key_on(ELSEWHERE, code_digest(job.settings)) != job.run_key


def lying_there(folder, job, *, machine=ELSEWHERE, at="2026-03-01", **facts):
    """Store a record of the job from another machine, and return all that lies there, by case."""
    code = code_digest(job.settings)
    record = build(environment={"machine_id": machine}, provenance={"started_at": f"{at}T10:00:00+00:00", **facts})
    store(folder, replace(record, case=job.case, settings=job.settings, run_key=job.run_key_on(machine, code)))
    told = []
    return runs_by_case(folder, told.append), told


def found(folder, job, *, is_refused=False):
    runs = runs_by_case(folder, lambda text: None).get(job.case.id, [])
    return find_on_any_machine(job, runs, {code_digest(job.settings)}, is_refused=is_refused)


def test_a_record_of_another_machine_is_found_with_its_readings(tmp_path):
    (job,) = jobs_of(*SMALL)
    runs, told = lying_there(tmp_path, job)
    assert ([*runs], told) == ([job.case.id], [])
    answer = found(tmp_path, job)
    assert answer.record.environment["machine_id"] == ELSEWHERE
    assert answer.record.readings


def test_other_code_or_settings_are_no_answer(tmp_path):
    job, other = jobs_of(*SMALL, "measure.min_steps=6,5")
    lying_there(tmp_path, job)
    assert job.case == other.case
    assert found(tmp_path, other) is None
    assert find_on_any_machine(job, runs_by_case(tmp_path, print)[job.case.id], {"0" * 64}, is_refused=False) is None


def test_the_newest_of_all_machines_decides(tmp_path):
    (job,) = jobs_of(*SMALL)
    lying_there(tmp_path, job)
    lying_there(tmp_path, job, machine="0123456789abcdef", at="2026-04-01")
    assert found(tmp_path, job).record.environment["machine_id"] == "0123456789abcdef"


def test_what_was_refused_for_want_of_room_is_asked_again(tmp_path):
    (job,) = jobs_of(*SMALL)
    lying_there(tmp_path, job, **{REFUSED_UNRUN: True})
    assert found(tmp_path, job) is None
    assert found(tmp_path, job, is_refused=True).record.status is Status.OK


def test_a_damaged_record_is_named_and_does_not_answer(tmp_path):
    (job,) = jobs_of(*SMALL)
    lying_there(tmp_path, job)
    (path,) = tmp_path.glob("*/record.json")
    path.write_text("{")
    told = []
    assert runs_by_case(tmp_path, told.append) == {}
    assert "damaged, so the case is run again" in told[0]
    assert runs_by_case(tmp_path / "nothing", told.append) == {}


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
