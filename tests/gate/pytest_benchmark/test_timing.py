"""The clock of a benchmark, and its turns: both sides on one CPU where one thread is timed."""

import os
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from suite.gate.pytest_benchmark.timing import SuiteTiming, clock_of, is_unseen
from suite.gate.rules.decision import Benchmark
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side import rounds
from suite.gate.side_by_side.revisions import BenchmarkCase
from suite.gate.side_by_side.worker_client import Spent, WorkerClient

CPUS = set(range(8))


class FakeWorker(WorkerClient):
    """Both sides take the same time in `cpus`, which each sample is noted with."""

    def __init__(self, clock, samples):
        self.clock, self.samples, self.cpus = clock, samples, CPUS

    def ask(self, do, **arguments):
        assert do == "collect"

    def begin(self, do, **arguments):
        self.does = do

    def _received(self):
        opening = {"setup_s": 0.0, "first_s": 0.01, "call_s": 0.01, "is_set_up": False}
        return opening if self.does == "open" else {}

    def family_cpu_s(self):
        return self.clock.now_s

    def stay_on(self, cpus):
        self.cpus = set(cpus)

    def ask_timed(self, do, *, id, span):
        self.clock.now_s += 0.05
        self.samples.append(self.cpus)
        seconds = 0.01 + 0.0001 * (len(self.samples) % 7)
        clocks = dict.fromkeys(("wall_s", "thread_cpu_s", "process_cpu_s"), seconds)
        return {**clocks, "involuntary_switches": 0, "calls": 1}, Spent(wall_s=1e9, cpu_s=None)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are kept on a CPU on Linux alone")
@pytest.mark.parametrize("clock_name", ["thread_cpu", "process_cpu", "wall"])
def test_both_sides_of_one_thread_share_a_drawn_cpu(monkeypatch, clock_name):
    clock, samples, workers = SimpleNamespace(now_s=0.0), [], []
    clock.monotonic = lambda: clock.now_s
    monkeypatch.setattr(rounds, "time", clock)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: CPUS)

    @contextmanager
    def launched(first):
        workers[:] = FakeWorker(clock, samples), FakeWorker(clock, samples)
        yield workers
        assert [worker.cpus for worker in workers] == [CPUS, CPUS]  # for what the next benchmark's clock may be

    timing = SuiteTiming(
        revisions=SimpleNamespace(launched=launched),
        cases=[BenchmarkCase(id=case, settings=({}, {})) for case in "ab"],
        benchmarks=[Benchmark(case=case, span="", clock=clock_name) for case in "ab"],
        tolerances=Tolerances(),
        seconds=60.0,
    )
    timing.run()
    assert not timing.broken
    if clock_name != "thread_cpu":
        assert all(cpus == CPUS for cpus in samples)
        return
    assert all(len(cpus) == 1 and cpus < CPUS for cpus in samples)
    assert all(before == after for before, after in zip(samples[::2], samples[1::2], strict=True))
    assert len({min(cpus) for cpus in samples}) > 2


BUSY = {"wall_s": 1e-3, "thread_cpu_s": 1e-3, "process_cpu_s": 1e-3, "children_s": 0.0, "run_delay_s": 0.0, "calls": 1}


@pytest.mark.parametrize(
    ("call", "clock", "note"),
    [
        ({}, "thread_cpu", ""),
        ({"process_cpu_s": 2e-3}, "process_cpu", "several"),
        ({"wall_s": 3e-3}, "wall", "67% of a call is spent waiting"),
        ({"wall_s": 3e-3, "run_delay_s": 2e-3}, "thread_cpu", ""),
        (
            {"wall_s": 5e-3, "run_delay_s": 3e-3, "thread_cpu_s": 1e-4, "process_cpu_s": 1e-4},
            "wall",
            "judged by wall time, since 95% of a call is spent waiting",
        ),
        ({"wall_s": 1.25e-3}, "thread_cpu", "20% of a call is spent waiting, which it does not see"),
        ({"wall_s": 4e-3, "children_s": 3e-3}, "wall", "75% of a call is spent in child processes"),
        ({"children_s": 8e-3}, "wall", "100% of a call is spent in child processes"),
        ({"process_cpu_s": 1e-3 + 2e-6}, "thread_cpu", ""),
        ({"thread_cpu_s": 2e-6, "process_cpu_s": 3e-6, "wall_s": 3e-6}, "thread_cpu", ""),
        ({"thread_cpu_s": 0.0, "process_cpu_s": 0.0}, "wall", "waiting"),
    ],
)
def test_the_clock_follows_from_what_a_call_does(call, clock, note):
    for sides in (([BUSY | call], [BUSY]), ([BUSY], [BUSY | call])):
        found = clock_of(sides)
        assert (found.name, note in found.note, bool(note)) == (clock, True, bool(found.note))


def test_the_probe_that_waited_least_counts():
    assert clock_of(([BUSY | {"wall_s": 9.0}, BUSY], [BUSY])).name == "thread_cpu"


def test_work_that_moves_into_threads_is_seen():
    assert is_unseen("thread_cpu", thread_cpu_s=1e-3, process_cpu_s=1.2e-3)
    assert not is_unseen("thread_cpu", thread_cpu_s=1e-3, process_cpu_s=1.05e-3)
    assert not is_unseen("process_cpu", thread_cpu_s=1e-3, process_cpu_s=1.2e-3)
