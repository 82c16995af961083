import sys
import time

import pytest
import torch

from suite.measure.meter import Meter, cpu_clock, judging_clock
from suite.measure.profiling import AllocatorProbe


def probe_that_writes(log, name):
    def start(span):
        log.append(f"{name} starts")

        def stop():
            log.append(f"{name} stops")
            return [{"metric": name, "value": 1.0}]

        return stop

    return start


def test_probes_start_in_order_and_stop_in_reverse():
    log = []
    meter = Meter(probe_that_writes(log, "outer"), probe_that_writes(log, "clock"))
    with meter.span("work"):
        log.append("work")
    assert log == ["outer starts", "clock starts", "work", "clock stops", "outer stops"]
    assert [(reading.span, reading.metric) for reading in meter.readings] == [("work", "clock"), ("work", "outer")]


def test_work_that_fails_leaves_no_reading_and_stops_its_probes():
    log = []
    meter = Meter(probe_that_writes(log, "clock"))
    with pytest.raises(ZeroDivisionError), meter.span("work"):
        1 / 0  # noqa: B018
    assert meter.readings == []
    assert log[-1] == "clock stops"


def test_one_who_watches_for_a_while_stands_outside_the_probes():
    log = []
    meter = Meter(probe_that_writes(log, "clock"))
    with meter.watched(probe_that_writes(log, "watcher")), meter.span("work"):
        pass
    with meter.span("work"):
        pass
    clock = ["clock starts", "clock stops"]
    assert log == ["watcher starts", *clock, "watcher stops", *clock]


def test_a_note_is_a_reading_of_the_current_step():
    meter = Meter()
    meter.step = 4
    meter.note(reward=0.5)
    (reading,) = meter.readings
    assert (reading.step, reading.span, reading.metric, reading.value) == (4, "case", "reward", 0.5)


def test_waiting_counts_as_wall_time_and_not_as_cpu_time():
    meter = Meter(cpu_clock(threads=1))
    with meter.span("sleep"):
        time.sleep(0.02)
    (reading,) = meter.readings
    assert reading.wall_s >= 0.02
    assert reading.thread_cpu_s < 0.01


def test_one_thread_is_judged_by_cpu_time_several_by_wall_time():
    if sys.platform == "win32":
        pytest.skip("Windows counts a thread's CPU time too coarsely")
    assert (judging_clock(1), judging_clock(2)) == ("thread_cpu", "wall")
    for threads, clock in ((1, "thread_cpu_s"), (2, "wall_s")):
        meter = Meter(cpu_clock(threads))
        with meter.span("work"):
            sum(range(1000))
        assert meter.readings[0].value == getattr(meter.readings[0], clock)


def test_the_allocator_peak_is_exact_and_the_same_every_time():
    probe = AllocatorProbe()
    meter = Meter(probe)
    for _ in range(3):
        with meter.span("work"):
            first = torch.ones(1024, dtype=torch.float32)
            del first
            kept = [torch.ones(512), torch.ones(256)]
            kept.clear()
    assert [reading.value for reading in meter.readings] == [4096.0] * 3


def test_operators_are_named_without_views_and_wrappers():
    probe = AllocatorProbe()
    with Meter(probe).span("work"):
        torch.nn.functional.linear(torch.ones(3, 4), torch.ones(5, 4)).transpose(0, 1)
    assert "mm" in probe.operators[0]
    assert not {"linear", "transpose", "t", "as_strided"} & set(probe.operators[0])


def test_the_profiler_prints_nothing(capfd):
    with Meter(AllocatorProbe()).span("work"):
        torch.ones(3)
    assert capfd.readouterr() == ("", "")
