"""Several cases at once: which may, in which order they start, how they end together, and what is recorded of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from suite.machine.limits import most_threads
from suite.machine.signals import Interruptions
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.run.compose.composer import compose
from suite.run.job import job_of
from suite.run.launchers.launcher import LocalLauncher
from suite.run.scheduler import JobQueue, execute, run_all
from tests.commands.test_run import ELSEWHERE, FOREIGN, ROOT, SMALL, _nothing_is_left_of, needs_process_groups
from tests.conftest import heard
from tests.rl.cases import TINY_RL, seeded
from tests.run.listeners import Told

EXECUTE = """
import sys
from suite.run.scheduler import execute
from suite.run.compose.composer import compose
from suite.run.job import job_of
from tests.run.listeners import Told
composed = compose(sys.argv[1:])
jobs = [job_of(one) for one in composed]
outcome = execute(jobs, folder=composed[0].folder, resume=True, workers=2, listener=Told())
sys.exit(outcome.exit_code(is_sweep=True))
"""


def jobs_of(*arguments):
    return [job_of(one) for one in compose(["-m", *arguments])]


def recorded(folder, jobs, workers):
    """The exit code, and the records by their case's id."""
    outcome = execute(jobs, folder=folder, resume=True, workers=workers, listener=Told())
    contents = read_contents([folder])
    assert (contents.damaged, contents.unfinished) == ([], [])
    return outcome.exit_code(is_sweep=True), {stored.record.case.id: stored.record for stored in contents.stored}


def test_two_cases_run_at_once_and_a_third_case_after_them(tmp_path):
    jobs = jobs_of(*ELSEWHERE, "workload=meeting", f"workload.place={tmp_path}", "seq_len=1,2,3")
    code, records = recorded(tmp_path / "results", jobs, workers=2)
    assert (code, [record.status for record in records.values()]) == (0, [Status.OK] * 3)
    assert sorted(record.provenance["records_before"] for record in records.values())[:2] == [0, 0]
    assert {record.provenance["side_by_side"] for record in records.values()} == {2}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_death_leaves_the_others_going_and_names_its_signal(tmp_path):
    jobs = jobs_of(*ELSEWHERE, "workload=killed,segfaulting,behaving", "seq_len=1")
    code, records = recorded(tmp_path, jobs, workers=2)
    assert code == 1
    ends = {id.split()[0].partition("=")[2]: (record.status, record.reason) for id, record in records.items()}
    assert (len(records), ends["behaving"]) == (3, (Status.OK, None))
    assert ends["killed"] == (Status.FAILED, "the worker was killed by SIGKILL")
    assert ends["segfaulting"] == (Status.FAILED, "the worker was killed by SIGSEGV")


def test_two_workers_record_as_one_does_but_no_energy(tmp_path):
    jobs = jobs_of(*TINY_RL, "algorithm=grpo,ppo")
    (_, alone), (_, together) = recorded(tmp_path / "1", jobs[1:], 1), recorded(tmp_path / "2", jobs, 2)
    assert (len(alone), len(together)) == (1, 2)
    for id, record in alone.items():
        assert seeded(record) == seeded(together[id])
        assert {*record.provenance, "side_by_side"} == set(together[id].provenance)
    assert {record.provenance["energy"]["state"] for record in together.values()} == {"side_by_side"}


@needs_process_groups
def test_an_interruption_ends_all_that_run_and_records_each(tmp_path):
    wanted = [*ELSEWHERE, "workload=meeting", f"workload.place={tmp_path}", "workload.party=3", "seq_len=1,2,3"]
    with heard(signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, "-c", EXECUTE, "-m", *wanted, f"hydra.sweep.dir={tmp_path / 'results'}"],
            env={**os.environ, "PYTHONPATH": f"{FOREIGN}:{ROOT}"},
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: len(list(tmp_path.glob("here-*"))) == 2)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == 130
        contents = read_contents([tmp_path / "results"])
        assert (contents.damaged, contents.unfinished) == ([], [])
        assert [stored.record.status for stored in contents.stored] == [Status.INTERRUPTED] * 2
        assert _nothing_is_left_of(process.pid)
    finally:
        process.kill()
        process.wait()


def test_nothing_is_handed_out_after_a_stop():
    queue = JobQueue([SimpleNamespace(case=SimpleNamespace(id="1"), comparison="1")])
    queue.enter("slot", "", lambda job: True)
    queue.stop()
    assert queue.take("slot") is None


def test_an_error_in_one_thread_ends_the_others_and_is_raised():
    stopped = threading.Event()

    def breaks():
        raise OSError("no space left on device")

    with Interruptions() as interruptions, pytest.raises(OSError, match="no space left"):
        run_all([stopped.wait, breaks], stop=stopped.set, interruptions=interruptions)


def test_more_workers_than_one_need_stateful_cases_and_cpus():
    (attention,), (projection,) = jobs_of(*SMALL), jobs_of("workload=projection", "hardware=l4")
    (foreign,) = jobs_of(ELSEWHERE[0], "workload=behaving", "+workload.course=true")
    most = most_threads()
    LocalLauncher(workers=1).check([attention, projection, foreign])
    LocalLauncher(workers=most).check([foreign])
    gpu = replace(foreign, plan=SimpleNamespace(device="cuda", threads=1))
    for job, workers, words in (
        (attention, 2, "workers must be 1 for workload=attention, whose cases are timed alone; got 2"),
        (projection, 2, "workers must be 1 for workload=projection, which runs nothing; got 2"),
        (gpu, 2, "workers must be 1 for device=cuda, which they would share; got 2"),
        (foreign, most + 1, f"workers must be at most {most} for threads=1 on the {most} CPUs"),
    ):
        with pytest.raises(ValueError, match=words):
            LocalLauncher(workers=workers).check([job])


def wait_until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
