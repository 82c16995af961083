"""The clock of a benchmark, and its turns: both sides on one CPU where one thread is timed."""

import os
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from suite.gate.pytest_benchmark.timing import SuiteTiming, choose_clock
from suite.gate.rules.decision import Benchmark
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.revisions import BenchmarkCase
from suite.gate.side_by_side.worker_client import Spent, WorkerClient

CPUS = set(range(8))


class FakeWorker(WorkerClient):
    """Both sides take the same time in `cpus`, which each sample is noted with. `threads`: the share of other ones."""

    def __init__(self, clock, samples, threads=0.0):
        self.clock, self.samples, self.cpus, self.threads = clock, samples, CPUS, threads

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
        clocks = {"wall_s": seconds, "thread_cpu_s": seconds, "process_cpu_s": seconds * (1 + self.threads)}
        return {**clocks, "involuntary_switches": 0, "calls": 1}, Spent(wall_s=1e9, cpu_s=None)


def broken(clock, clock_name, samples, threads=0.0):
    """Time two benchmarks, whose newer side uses so much more in other threads, and return what broke."""

    @contextmanager
    def launched(first):
        workers = FakeWorker(clock, samples), FakeWorker(clock, samples, threads)
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
    return timing.broken


@pytest.mark.skipif(sys.platform != "linux", reason="threads are kept on a CPU on Linux alone")
@pytest.mark.parametrize("clock_name", ["thread_cpu", "process_cpu", "wall"])
def test_both_sides_of_one_thread_share_a_drawn_cpu(clock, monkeypatch, clock_name):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: CPUS)
    samples = []
    assert not broken(clock, clock_name, samples)
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
            "judged by wall time, because 95% of a call is spent waiting",
        ),
        ({"wall_s": 1.25e-3}, "thread_cpu", "20% of a call is spent waiting, unseen by CPU time"),
        ({"wall_s": 4e-3, "children_s": 3e-3}, "wall", "75% of a call is spent in child processes"),
        ({"children_s": 8e-3}, "wall", "100% of a call is spent in child processes"),
        ({"process_cpu_s": 1e-3 + 2e-6}, "thread_cpu", ""),
        ({"thread_cpu_s": 2e-6, "process_cpu_s": 3e-6, "wall_s": 3e-6}, "thread_cpu", ""),
        ({"thread_cpu_s": 0.0, "process_cpu_s": 0.0}, "wall", "waiting"),
    ],
)
def test_the_clock_follows_from_what_a_call_does(call, clock, note):
    for sides in (([BUSY | call], [BUSY]), ([BUSY], [BUSY | call])):
        name, sentence = choose_clock(sides)
        assert (name, note in sentence, bool(note)) == (clock, True, bool(sentence))


def test_the_probe_that_waited_least_counts():
    assert choose_clock(([BUSY | {"wall_s": 9.0}, BUSY], [BUSY])) == ("thread_cpu", "")


@pytest.mark.parametrize(
    ("clock_name", "threads", "is_seen"),
    [("thread_cpu", 0.2, True), ("thread_cpu", 0.05, False), ("process_cpu", 0.2, False)],
)
def test_work_that_moves_into_threads_is_seen(clock, monkeypatch, clock_name, threads, is_seen):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: CPUS)
    reason = "after: it uses other threads now, but did not when it was examined"
    assert broken(clock, clock_name, [], threads) == (dict.fromkeys("ab", reason) if is_seen else {})
