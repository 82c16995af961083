import pytest

from suite.gate.pytest_benchmark.timing import clock_of, is_unseen

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
