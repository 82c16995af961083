"""Rounds of both sides, with sides that are a few lines long."""

import csv
import gzip
import random
from collections import Counter
from dataclasses import asdict, replace

import pytest

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_ROUNDS, Benchmark, Sample
from suite.gate.side_by_side.rounds import BrokenSampleError, Rounds, csv_table
from suite.gate.side_by_side.worker_client import SIDES, FailedError, Spent, UnsupportedHereError, WorkerError

TWO = [Benchmark(case="a", span="layer", clock="thread_cpu"), Benchmark(case="b", span="kernel", clock="wall")]
CLOCKS = {"wall_s": 0.25, "thread_cpu_s": 0.5, "process_cpu_s": 0.75, "involuntary_switches": 3, "calls": 7}
LONG = Spent(wall_s=1e9, cpu_s=None)


class FakeWorker:
    """Answers after a quarter of a second; from the request number `dies_at` on it raises what it is given."""

    def __init__(self, side, clock, requests, dies_at=None, error=None):
        self.side, self.clock, self.requests, self.dies_at, self.error = SIDES[side], clock, requests, dies_at, error
        self.count = 0

    def ask_timed(self, do, **request):
        assert do == "sample"
        self.count += 1
        self.requests.append((f"{self.side} {request['id']}", request["span"]))
        self.clock.now_s += 0.25
        if self.error is not None and self.count >= self.dies_at:
            raise self.error
        return CLOCKS, LONG


@pytest.fixture
def take(clock):
    """Take rounds in some launches, for so many seconds each time, and return all that were taken."""

    def take(*seconds, launches=1, seed=0, dies=None, begins=lambda: None):
        """`dies`: a side, and what its worker raises in place of its fourth answer."""
        take.requests = []
        workers = [FakeWorker(side, clock, take.requests) for side in (BEFORE, AFTER)]
        if dies is not None:
            workers[dies[0]] = FakeWorker(dies[0], clock, take.requests, dies_at=4, error=dies[1])
        take.rounds = Rounds(order=random.Random(seed))
        for _ in range(launches):
            begins()
            take.rounds.begin_launch()
            for part_s in seconds or [0.0]:
                take.rounds.take(workers, TWO, seconds=part_s)
        return take.rounds

    return take


def test_both_sides_are_sampled_once_a_round_and_benchmark(take):
    taken = take(launches=2)
    places = [(sample.launch, sample.round, sample.case, sample.span, sample.arm) for sample in taken.samples]
    assert Counter(places) == Counter(
        (launch, number, benchmark.case, benchmark.span, arm)
        for launch in (1, 2)
        for number in range(LEAST_ROUNDS)
        for benchmark in TWO
        for arm in (BEFORE, AFTER)
    )
    assert take.requests == [(f"{SIDES[sample.arm]} {sample.case}", sample.span) for sample in taken.samples]
    assert [sample.position for sample in taken.samples] == [0, 1] * (len(places) // 2)
    assert all(
        {name: getattr(sample, name) for name in (*CLOCKS, "device_s")} == CLOCKS | {"device_s": None}
        for sample in taken.samples
    )


def test_the_order_within_a_round_is_random_and_balanced(take):
    first = [sample for sample in take(launches=80, seed=1).samples if sample.position == 0]
    assert len(first) == 80 * 2 * LEAST_ROUNDS
    assert 340 < sum(sample.arm == BEFORE for sample in first) < 460  # four standard deviations of a fair coin
    assert 160 < [sample.case for sample in first[::2]].count("a") < 240
    other_seed = [sample.arm for sample in take(launches=80, seed=2).samples if sample.position == 0]
    assert other_seed != [sample.arm for sample in first]


@pytest.mark.parametrize(
    "error", [WorkerError("the worker is gone"), FailedError("it broke"), UnsupportedHereError("no kernel")]
)
@pytest.mark.parametrize(("side", "name"), [(BEFORE, "before"), (AFTER, "after")])
def test_a_failed_sample_drops_the_other_one_of_its_round(take, error, side, name):
    with pytest.raises(BrokenSampleError, match=f"^{name}: {error}$") as broken:
        take(dies=(side, error))
    assert f"{name} {broken.value.case}" == take.requests[-1][0]
    assert broken.value.reason == f"{name}: {error}"
    # Three pairs were whole, and the fourth left nothing.
    assert list(Counter((sample.round, sample.case) for sample in take.rounds.samples).values()) == [2, 2, 2]


def test_what_fails_for_no_foreseen_reason_is_not_hidden(take):
    with pytest.raises(KeyError):
        take(dies=(AFTER, KeyError("a defect")))


def test_a_launch_has_its_least_rounds_and_uses_its_time(take):
    """A round of two benchmarks takes a second."""
    assert max(sample.round for sample in take(0).samples) == LEAST_ROUNDS - 1
    assert max(sample.round for sample in take(LEAST_ROUNDS + 2.5).samples) == LEAST_ROUNDS + 2


def test_rounds_are_numbered_through_each_launch_and_timed(take, clock):
    """The time that workers take to start is no measuring time."""
    taken = take(0, 1.5, launches=2, begins=lambda: setattr(clock, "now_s", clock.now_s + 50))
    expected = [(launch, number) for launch in (1, 2) for number in range(LEAST_ROUNDS + 2)]
    assert sorted({(sample.launch, sample.round) for sample in taken.samples}) == expected
    assert taken.measured_s == len(expected)


def test_a_rest_too_short_for_a_round_is_used_up():
    taken = Rounds(order=random.Random(0))
    taken.begin_launch()
    taken.take([], [], seconds=0.0)
    before_s = taken.measured_s
    taken.take([], [], seconds=1e-12)
    assert taken.measured_s > before_s


def test_tables_have_every_digit_and_a_null_is_an_empty_cell(take):
    samples = take().samples
    samples[0] = replace(samples[0], case='a "b", [1,2]', wall_s=0.1 + 0.2, calls=2**53)
    content = csv_table(Sample, samples)
    assert content == csv_table(Sample, samples)
    rows = list(csv.DictReader(gzip.decompress(content).decode().splitlines()))
    assert rows == [
        {name: "" if value is None else str(value) for name, value in asdict(sample).items()} for sample in samples
    ]
    assert float(rows[0]["wall_s"]) == 0.1 + 0.2
