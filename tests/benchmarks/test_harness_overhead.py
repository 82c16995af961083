"""What measuring costs by itself: an empty span, and a task that a worker has nothing to do for."""

import time

import pytest

from suite.measure.meter import Meter, cpu_clock
from suite.measure.worker import CaseWorker
from suite.records.record import Status

UNKNOWN = ("no such task", {"device": "cpu"})
"""Refused as soon as it is read: what is left is the way there and back."""


@pytest.mark.benchmark(group="harness: an empty span", timer=time.thread_time)
def test_an_empty_span_under_the_cpu_clock(benchmark):
    meter = Meter(cpu_clock(threads=1))

    def span():
        meter.readings.clear()
        with meter.span("kernel"):
            pass

    benchmark(span)
    (reading,) = meter.readings
    assert 0 <= reading.thread_cpu_s < 0.1


@pytest.mark.benchmark(group="harness: a task's way to the worker and back")
@pytest.mark.parametrize("persistent", [True, False], ids=["to a process that stayed", "to a fork of its own"])
def test_a_task_that_is_refused_at_once(benchmark, tmp_path, persistent):
    task, arguments = UNKNOWN
    with CaseWorker() as worker:

        def trip():
            return list(
                worker.run(task, arguments, threads=1, stderr_log=tmp_path / "worker.log", persistent=persistent)
            )

        trip()  # starts the fork server, which loads torch
        status, reason = benchmark(trip)[-1]["outcome"]
    assert status is Status.FAILED
    assert task in reason
