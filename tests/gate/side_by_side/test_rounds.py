"""Rounds of both sides, with sides that are a few lines long."""

import csv
import gzip
import random
from collections import Counter
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_ROUNDS, Benchmark, Sample
from suite.gate.side_by_side import rounds
from suite.gate.side_by_side.rounds import BrokenSampleError, Rounds, csv_table
from suite.gate.side_by_side.worker_client import SIDES, FailedError, Spent, UnsupportedHereError, WorkerError
from suite.records.machine.nvml import FoundGpus, State
from tests.fake_nvml.driver import FIRST, SECOND, device, needs_gcc

TWO = [Benchmark(case="a", span="layer", clock="thread_cpu"), Benchmark(case="b", span="kernel", clock="wall")]
CLOCKS = {"wall_s": 0.25, "thread_cpu_s": 0.5, "process_cpu_s": 0.75, "involuntary_switches": 3, "calls": 7}
LONG = Spent(wall_s=1e9, cpu_s=None)


class Clock:
    """Stands still unless somebody moves it on."""

    now_s = 100.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(rounds, "time", made)
    return made


class FakeWorker:
    """Answers at once, or after a while on a clock; from the call number `dies_at` on it raises what it is given."""

    def __init__(self, dies_at=None, error=None, clock=None):
        self.asked, self.dies_at, self.error, self.clock = [], dies_at, error, clock or SimpleNamespace(now_s=0)

    def ask_timed(self, do, **said):
        assert do == "sample"
        self.asked.append((said["id"], said["span"]))
        self.clock.now_s += 0.25
        if self.error is not None and len(self.asked) >= self.dies_at:
            raise self.error
        return CLOCKS, LONG


def taken(workers, seconds=0.0, benchmarks=TWO, launches=1, seed=0):
    made = Rounds(order=random.Random(seed))
    for _ in range(launches):
        made.begin_launch()
        made.take(workers, benchmarks, seconds=seconds)
    return made


def test_both_sides_are_sampled_once_a_round_and_benchmark():
    asked = []

    class Noting(FakeWorker):
        def ask_timed(self, do, **said):
            asked.append((said["id"], said["span"]))
            return super().ask_timed(do, **said)

    made = taken([Noting(), Noting()], launches=2)
    counts = Counter((one.launch, one.round, one.case, one.span, one.arm) for one in made.samples)
    assert set(counts.values()) == {1}
    assert counts.keys() == {
        (launch, number, one.case, one.span, arm)
        for launch in (1, 2)
        for number in range(LEAST_ROUNDS)
        for one in TWO
        for arm in (BEFORE, AFTER)
    }
    assert asked == [(f"{SIDES[one.arm]} {one.case}", one.span) for one in made.samples]
    assert [one.position for one in made.samples] == [0, 1] * (len(asked) // 2)
    assert all({name: getattr(one, name) for name in CLOCKS} == CLOCKS for one in made.samples)
    assert {one.device_s for one in made.samples} == {None}


def test_the_order_within_a_round_is_random_and_balanced():
    made = taken([FakeWorker(), FakeWorker()], launches=80, seed=1)
    first = [one for one in made.samples if one.position == 0]
    assert len(first) == len(made.samples) / 2 == 80 * 2 * LEAST_ROUNDS
    assert 340 < sum(one.arm == BEFORE for one in first) < 460  # four standard deviations of a fair coin
    opening = [one.case for one in first[::2]]
    assert 160 < opening.count("a") < 240
    assert [one.arm for one in taken([FakeWorker(), FakeWorker()], launches=80, seed=2).samples] != [
        one.arm for one in made.samples
    ]


@pytest.mark.parametrize(
    "error", [WorkerError("the worker is gone"), FailedError("it broke"), UnsupportedHereError("no kernel")]
)
@pytest.mark.parametrize(("side", "name"), [(BEFORE, "before"), (AFTER, "after")])
def test_a_failed_sample_drops_the_other_one_of_its_round(error, side, name):
    workers = [FakeWorker(), FakeWorker()]
    workers[side] = FakeWorker(dies_at=4, error=error)
    made = Rounds(order=random.Random(0))
    made.begin_launch()
    with pytest.raises(BrokenSampleError, match=f"^{name}: {error}$") as broken:
        made.take(workers, TWO, seconds=0)
    assert f"{name} {broken.value.case}" == workers[side].asked[-1][0]
    assert broken.value.reason == f"{name}: {error}"
    # Three pairs were whole, and the fourth left nothing.
    counts = Counter((one.round, one.case) for one in made.samples)
    assert list(counts.values()) == [2, 2, 2]


def test_what_fails_for_no_foreseen_reason_is_not_hidden():
    with pytest.raises(KeyError):
        taken([FakeWorker(), FakeWorker(dies_at=1, error=KeyError("a defect"))])


def test_a_launch_has_its_least_rounds_and_uses_its_time(clock):
    workers = [FakeWorker(clock=clock), FakeWorker(clock=clock)]  # a round of two benchmarks takes a second
    assert max(one.round for one in taken(workers, seconds=0).samples) == LEAST_ROUNDS - 1
    assert max(one.round for one in taken(workers, seconds=LEAST_ROUNDS + 2.5).samples) == LEAST_ROUNDS + 2


def test_rounds_are_numbered_through_each_launch(clock):
    workers, made = [FakeWorker(clock=clock), FakeWorker(clock=clock)], Rounds(order=random.Random(0))
    for _ in range(2):
        made.begin_launch()
        made.take(workers, TWO, seconds=0)
        made.take(workers, TWO, seconds=1.5)
    expected = [(launch, number) for launch in (1, 2) for number in range(LEAST_ROUNDS + 2)]
    assert sorted({(one.launch, one.round) for one in made.samples}) == expected
    assert [(one.launch, one.round) for one in made.surroundings] == expected


def test_measuring_time_leaves_out_the_time_between_launches(clock):
    workers, made = [FakeWorker(clock=clock), FakeWorker(clock=clock)], Rounds(order=random.Random(0))
    for launch in (1, 2):
        clock.now_s += 50  # as a start of workers takes
        made.begin_launch()
        made.take(workers, TWO, seconds=0)
        assert made.measured_s == launch * LEAST_ROUNDS
    assert [one.measured_s for one in made.surroundings] == [*range(1, 2 * LEAST_ROUNDS + 1)]


def test_tables_have_every_digit_and_a_null_is_an_empty_cell():
    made = taken([FakeWorker(), FakeWorker()])
    made.samples[0] = replace(made.samples[0], case='a "b", [1,2]', wall_s=0.1 + 0.2, calls=2**53)
    rows = [
        {name: repr(value) for name, value in asdict(sample).items() if value is not None} for sample in made.samples
    ]
    content = csv_table(Sample, made.samples)
    assert content == csv_table(Sample, made.samples)
    head, *lines = csv.reader(gzip.decompress(content).decode().splitlines())
    found = [{name: cell for name, cell in zip(head, line, strict=True) if cell} for line in lines]
    assert [{**row, "case": repr(row["case"]), "span": repr(row["span"])} for row in found] == rows


def test_pressure_is_the_share_of_the_last_ten_seconds(tmp_path):
    file = tmp_path / "cpu"
    file.write_text("some avg10=12.34 avg60=5.00 avg300=1.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
    assert rounds._pressure(file) == pytest.approx(0.1234)


@pytest.mark.parametrize("content", [None, "", "some avg60=1.00\n", "some avg10=\n", "some avg10=much avg60=1\n"])
def test_a_kernel_that_tells_no_pressure_leaves_it_open(content, tmp_path):
    file = tmp_path / "cpu"
    if content is not None:
        file.write_text(content)
    assert rounds._pressure(file) is None


def test_no_gpu_is_asked_where_a_cpu_is_timed(monkeypatch):
    asked = []
    nothing = FoundGpus(state=State.NO_DRIVER, why="no driver")
    monkeypatch.setattr(rounds, "find_gpus", lambda: asked.append(1) or nothing)
    around = rounds.look_around(1, 2, 3.0, reads_gpu=False)
    assert not asked
    assert (around.launch, around.round, around.measured_s) == (1, 2, 3.0)
    around = rounds.look_around(1, 2, 3.0, reads_gpu=True)
    assert asked
    assert (around.gpu_clock_hz, around.gpu_temperature_c, around.gpu_event_reasons) == (None, None, None)


@needs_gcc
def test_what_a_gpu_does_not_say_costs_the_rest_nothing(play):
    play(device(FIRST), device(SECOND), "lost 0 0", "error nvmlDeviceGetTemperature 3", "reasons 1 0:4")
    around = rounds.look_around(1, 2, 3.0, reads_gpu=True)
    assert (around.gpu_clock_hz, around.gpu_temperature_c, around.gpu_event_reasons) == (1.755e9, None, 4)


def test_a_rest_too_short_for_a_round_is_used_up():
    taken = Rounds(order=random.Random(0))
    taken.begin_launch()
    taken.take([], [], seconds=0.0)
    before_s = taken.measured_s
    taken.take([], [], seconds=1e-12)
    assert taken.measured_s > before_s
