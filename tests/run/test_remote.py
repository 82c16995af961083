"""A case measured as on another machine: what goes there and comes back is bytes, and its facts are of that place."""

import os
import pickle
import sys
import threading
import time

import pytest

from suite.machine.code import code_digest
from suite.machine.environment import environment, source_digest
from suite.records.record import OVERRIDES, Status
from suite.run.compose.composer import compose
from suite.run.job import job_of
from suite.run.launchers.remote import Errand, RemoteAnswer, RemoteWorker, Terms, fork_server
from tests.commands.test_run import ELSEWHERE
from tests.forked import needs_forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a worker on a cluster is a fork, which needs Linux")
TERMS = Terms(launcher="ray", device="cpu", threads=1, side_by_side=1, workers=3, resume=True, preload=[])


def job(*arguments):
    (point,) = compose([*ELSEWHERE, *arguments])
    return job_of(point)


@pytest.fixture
def worker():
    allowed = os.sched_getaffinity(0)
    found = RemoteWorker(pickle.dumps(TERMS))
    yield found
    found.close()
    if (server := fork_server()) is not None:  # it is the other tests' too
        os.sched_setaffinity(server, allowed)


def measured(worker, of) -> RemoteAnswer:
    return pickle.loads(worker.measure(pickle.dumps(Errand.of(of))))


def test_a_worker_says_what_it_would_measure_and_where(worker):
    behaving = job("workload=behaving", "seq_len=1")
    refused = job("workload=attention", "geometry=tiny", f"threads={4096}")
    found = pickle.loads(worker.describe(pickle.dumps([Errand.of(behaving), Errand.of(refused)])))
    assert (found.source_digest, found.environment) == (source_digest(), environment())
    assert found.code_digests[behaving.case.id] == code_digest(behaving.settings)
    assert behaving.run_key == behaving.run_key_on(found.machine_id, found.code_digests[behaving.case.id])
    assert list(found.refusals) == [refused.case.id]


def test_a_record_comes_back_as_bytes_with_its_files(worker):
    behaving = job("workload=behaving", "seq_len=1", "telemetry.period_s=0.05")
    answer = measured(worker, behaving)
    record = answer.measured.record
    assert (record.status, record.run_key, record.case) == (Status.OK, behaving.run_key, behaving.case)
    assert {OVERRIDES, "telemetry.parquet"} == set(answer.measured.files)
    assert record.provenance["launcher"] == {"name": "ray", "workers": 3, "on_this_machine": 1}
    assert answer.notices == []


@needs_forks
def test_a_worker_stays_warm_and_its_forks_keep_to_its_cores(worker):
    shared = [measured(worker, job("workload=behaving", f"seq_len={n}")).measured.record for n in (1, 2)]
    for record in shared:
        facts = record.provenance["cores"]
        assert len(facts["own"]) == 1 or facts["why_none"]
        assert not facts["own"] or os.sched_getaffinity(fork_server()) == {*facts["own"]}
    assert "ceilings" in shared[0].provenance["durations_s"]
    assert "ceilings" not in shared[1].provenance["durations_s"]


def test_what_a_program_said_leaves_its_machine_without_names(worker, monkeypatch):
    monkeypatch.setenv("PLANTED_TOKEN", "hush-hush-0123456789")
    record = measured(worker, job("workload=raising", "seq_len=1")).measured.record
    assert record.status is Status.FAILED
    assert "alice" not in str(record.as_json())
    assert "hush-hush" not in str(record.as_json())


def test_an_interrupted_case_comes_back_as_interrupted(worker):
    measured(worker, job("workload=behaving", "seq_len=1"))
    threading.Timer(1.0, worker.interrupt).start()
    begun_s = time.monotonic()
    assert measured(worker, job("workload=slow", "seq_len=1")).measured.record.status is Status.INTERRUPTED
    assert time.monotonic() - begun_s < 30


def test_a_worker_that_ends_removes_its_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    worker = RemoteWorker(pickle.dumps(TERMS))
    assert list(tmp_path.glob("suite-worker*"))
    worker.close()
    assert not list(tmp_path.glob("suite-worker*"))
