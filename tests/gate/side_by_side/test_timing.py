"""The whole timing of two sides, with workers that are a few lines long and a clock that they move on."""

import random
import re
from contextlib import contextmanager

import pytest

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_LAUNCHES, LEAST_ROUNDS, Benchmark
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.revisions import BenchmarkCase
from suite.gate.side_by_side.timing import GROWTH, LAUNCH_S, TimingComparison, most_launches
from suite.gate.side_by_side.worker_client import SIDES, FailedError, Spent
from suite.gate.verdict import Outcome

SECONDS = 30.0


class FakeWorker:
    """Takes as long as its side says, on every clock but those that `wall` or a noise changes."""

    def __init__(self, sides, name):
        self.sides, self.name = sides, name

    def ask_timed(self, do, *, id, span):
        assert do == "sample"
        case, name, sides = id, self.name, self.sides
        sides.clock.now_s += sides.sample_s
        sides.asked.append((len(sides.built), case))
        if (case, name, len(sides.built)) in sides.fails:
            raise FailedError("no such kernel")
        slower = (sides.slower.get(case, 0) + sides.shift(len(sides.built))) * (name == "after")
        seconds = (1 + slower) * sides.order.lognormvariate(0, sides.noise)
        waits = sides.waits.get(case, 0) * (name == "after")
        cpu = {"thread_cpu_s": seconds, "process_cpu_s": seconds}
        answer = {"wall_s": seconds + waits, **cpu, "involuntary_switches": 0, "calls": 1}
        return answer, Spent(wall_s=1e9, cpu_s=None)


class FakeRevisions:
    """Starts and builds at once. `fails`: case, side and launch in which a sample fails; in `refuses`, a build.
    `shift`: by how much the newer side is slower in a launch, in every case."""

    def __init__(
        self, clock, *, slower=(), waits=(), noise=0.01, fails=(), refuses=(), sample_s=0.02, shift=lambda launch: 0.0
    ):
        self.clock, self.slower, self.waits, self.noise = clock, dict(slower), dict(waits), noise
        self.fails, self.refuses, self.sample_s, self.shift = fails, refuses, sample_s, shift
        self.order, self.asked, self.built, self.ended, self.first = random.Random(0), [], [], 0, []

    @contextmanager
    def launched(self, first=BEFORE):
        self.first.append(first)
        self.clock.now_s += 7  # a start takes time, which is no measuring time
        self.built.append([])
        try:
            yield [FakeWorker(self, "before"), FakeWorker(self, "after")]
        finally:
            self.ended += 1

    def build(self, workers, one, side, *, examine):
        assert not examine
        self.built[-1].append((one.id, side, one.settings[side]))
        if (one.id, side) in self.refuses:
            raise FailedError("it does not build")


def timing_of(sides, cases="ab", clock_name="thread_cpu", tolerances=None, seconds=SECONDS):
    return TimingComparison(
        revisions=sides,
        cases=[BenchmarkCase(id=case, settings=({"of": f"old {case}"}, {"of": f"new {case}"})) for case in cases],
        benchmarks=[Benchmark(case=case, span="layer", clock=clock_name) for case in cases],
        tolerances=tolerances or Tolerances(),
        seconds=seconds,
    )


def judged(sides, cases="ab", **more):
    """The timing that was run, and its verdicts by case."""
    timing = timing_of(sides, cases, **more)
    timing.run()
    return timing, {one.case: one for one in timing.verdicts()}


@pytest.mark.parametrize(
    ("sides", "outcome", "launches", "sentence"),
    [
        ({}, Outcome.SAME, 3, "a change of 5.0% is ruled out"),
        ({"slower": {"a": 0.2}}, Outcome.SLOWER, 5, "slower by more than the 2.0% that is allowed"),
        ({"slower": {"a": -0.2}}, Outcome.FASTER, 5, "faster by more than 2.0%"),
        # At the cap it is still open.
        (
            {"noise": 1.0, "sample_s": 0.1},
            Outcome.INCONCLUSIVE,
            11,
            r"after 3\d s the noise could still hide a change of 5.0%: use more --seconds or a quieter machine",
        ),
        (
            {"shift": lambda launch: 0.02 * launch},
            Outcome.INCONCLUSIVE,
            12,
            r"after 3\d s the ratio drifts from launch to launch, which a change of the code does not explain",
        ),
        # Too few launches fit into the time.
        (
            {"sample_s": 6.0},
            Outcome.INCONCLUSIVE,
            1,
            r"after 120 s it has run in 1 of the 5 launches that a change below 1.5× needs: use more --seconds",
        ),
        (
            {"slower": {"a": 0.3}, "sample_s": 0.5},
            Outcome.INCONCLUSIVE,
            3,
            r"after 30 s it has run in 3 of the 5 launches that a change below 1.5× needs: use more --seconds",
        ),
        # Far slower, also by wall time, as where a call sleeps or lets another process work.
        ({"slower": {"a": 18.0}, "sample_s": 6.0}, Outcome.SLOWER, 1, "slower by more than the 2.0% that is allowed"),
        (
            {"waits": {"a": 1.0}},
            Outcome.SLOWER,
            3,
            r"takes (1\.99|2|2\.01) times as long by wall time, which the judging clock thread_cpu does not show",
        ),
        (
            {"waits": {"a": 18.0}, "sample_s": 6.0},
            Outcome.SLOWER,
            1,
            "takes .* times as long by wall time, which the judging clock .*",
        ),
    ],
)
def test_a_benchmark_is_timed_until_decided_or_out_of_time(clock, sides, outcome, launches, sentence):
    said = []
    timing = timing_of(FakeRevisions(clock, **{"noise": 0.003, **sides}))
    timing.run(said.append)
    one, other = timing.verdicts()
    assert (one.outcome, one.launches) == (outcome, launches)
    assert re.fullmatch(sentence, one.reason), one.reason
    assert one.low < one.ratio < one.high
    assert one.after == pytest.approx(one.before * one.ratio)  # as a reader of the table divides them
    assert one.ratio == pytest.approx(1 + dict(sides.get("slower", {})).get("a", 0), rel=0.5)
    assert timing.rounds.launches == timing.revisions.ended >= launches
    assert timing.rounds.measured_s < (SECONDS + LEAST_ROUNDS if "sample_s" not in sides else 5 * SECONDS)
    assert bool(timing.decisions.open) is (outcome is Outcome.INCONCLUSIVE or launches == 1)
    assert other.outcome in (Outcome.SAME, Outcome.INCONCLUSIVE)
    assert re.fullmatch(r"\d+ s measured in 1 launch: 0 of 2 timings decided", said[0])
    assert any(text.startswith("at this pace only 1 of the 5 launches") for text in said) is (
        sides.get("sample_s", 0) > 1
    )


@pytest.mark.parametrize(
    ("waits_s", "noise", "is_said"), [(0.0, 0.003, False), (0.3, 0.003, True), (0.015, 0.001, False)]
)
def test_wall_time_that_tells_another_story_is_said(clock, waits_s, noise, is_said):
    """A small disagreement, below the floor, is not."""
    _, verdicts = judged(FakeRevisions(clock, waits={"b": waits_s}, noise=noise))
    assert verdicts["b"].outcome is Outcome.SAME
    told = (
        r"wall time changed by \+(29|30)\.\d% \(\+29\.\d% to \+30\.\d%\); thread_cpu counts neither waiting nor lost "
        "parallelism"
    )
    assert [bool(re.fullmatch(told, note)) for note in verdicts["b"].notes] == [True] * is_said


@pytest.mark.parametrize(
    ("refuses", "outcomes"),
    [
        ({("a", AFTER)}, {"a": Outcome.BROKEN, "b": Outcome.SAME}),
        ({("a", BEFORE), ("b", BEFORE)}, {"a": Outcome.BROKEN, "b": Outcome.BROKEN}),
    ],
)
def test_a_case_that_does_not_build_is_left_out_untimed(clock, refuses, outcomes):
    timing, verdicts = judged(FakeRevisions(clock, refuses=refuses))
    assert {case: one.outcome for case, one in verdicts.items()} == outcomes
    assert verdicts["a"].reason == f"failed while it was timed: {SIDES[min(refuses)[1]]}: it does not build"
    assert "a" not in {case for _, case in timing.revisions.asked}
    assert timing.rounds.launches == (LEAST_LAUNCHES if Outcome.SAME in outcomes.values() else 0)


def test_only_what_is_open_is_built_and_measured_on(clock):
    timing, verdicts = judged(FakeRevisions(clock, slower={"b": 0.045}, noise=0.03, sample_s=0.1))
    sides = timing.revisions
    launches_of = {case: {launch for launch, of in sides.asked if of == case} for case in "ab"}
    first, later = sorted(launches_of.values(), key=len)
    assert len(first) < len(later)
    assert [len({case for case, *_ in built}) for built in sides.built] == [
        sum(launch in of for of in launches_of.values()) for launch in range(1, len(sides.built) + 1)
    ]
    assert len({one.launches for one in verdicts.values()}) == 2


def test_a_case_that_breaks_midway_is_left_out(clock):
    sides = FakeRevisions(clock, slower={"c": 0.2}, fails={("b", "after", 2)})
    timing, verdicts = judged(sides, "abc")
    assert sides.built[0][:2] == [("a", BEFORE, {"of": "old a"}), ("a", AFTER, {"of": "new a"})]
    assert (verdicts["b"].outcome, verdicts["b"].metric) == (Outcome.BROKEN, "")
    assert verdicts["b"].reason == "failed while it was timed: after: no such kernel"
    assert (verdicts["a"].outcome, verdicts["c"].outcome) == (Outcome.SAME, Outcome.SLOWER)
    assert timing.broken == {"b": "after: no such kernel"}
    assert {case for case, *_ in sides.built[2]} == {"a", "c"}
    # The broken launch was too short to count, so as many whole ones decided.
    assert verdicts["a"].launches == LEAST_LAUNCHES
    assert timing.rounds.launches == timing.revisions.ended == verdicts["c"].launches + 1


def test_launches_that_shift_all_timings_alike_are_a_warning(clock):
    all_slower = dict.fromkeys("abcdef", 0.5)
    both = FakeRevisions(clock, noise=0.003, slower=all_slower, shift=lambda launch: 0.03 * (-1) ** (launch // 2))
    _, verdicts = judged(both, "abcdef")
    assert {one.outcome for one in verdicts.values()} == {Outcome.SLOWER}
    assert all(any("launches shift all timings together" in note for note in one.notes) for one in verdicts.values())
    _, steady = judged(FakeRevisions(clock, noise=0.003, slower=all_slower), "abcdef")
    assert [note for one in steady.values() for note in one.notes] == []


@pytest.mark.parametrize(("seconds", "first_s"), [(6.0, 0.5), (SECONDS, LAUNCH_S), (120.0, LAUNCH_S)])
def test_launches_are_short_at_first_and_each_is_analysed(clock, monkeypatch, seconds, first_s):
    timing = timing_of(FakeRevisions(clock, noise=1.0, sample_s=seconds / 3000), seconds=seconds)
    round_s = 4 * seconds / 3000
    times_s = []
    analyse = timing.decisions.interim_analysis

    def noted(samples, at_s):
        assert at_s == timing.rounds.measured_s
        times_s.append(at_s)
        analyse(samples, at_s)

    monkeypatch.setattr(timing.decisions, "interim_analysis", noted)
    timing.run()
    assert len(times_s) == timing.rounds.launches
    assert seconds <= times_s[-1] < seconds + LEAST_ROUNDS * round_s + 1e-6
    assert most_launches(seconds) - 1 <= len(times_s) <= most_launches(seconds)
    before_s = 0.0
    for at_s in times_s[:-1]:
        assert at_s - before_s == pytest.approx(max(first_s, GROWTH * before_s), abs=1.01 * round_s)
        before_s = at_s


def test_sides_take_turns_in_starting_first(clock):
    timing_of(sides := FakeRevisions(clock, noise=1.0, sample_s=0.1)).run()
    assert sides.first[:8] == [BEFORE, AFTER, AFTER, BEFORE, AFTER, BEFORE, BEFORE, AFTER]
    for first, built in zip(sides.first, sides.built, strict=True):
        assert [side for case, side, _ in built if case == "a"] == [first, 1 - first]


def test_cases_are_looked_at_again_once_they_were_timed(clock):
    looked = []

    def recheck(workers, case, side):
        looked.append((timing.rounds.launches, case.id, side))
        if (case.id, side) == ("b", AFTER):
            raise FailedError("it ran mm before, and nothing now")

    timing = timing_of(FakeRevisions(clock, noise=0.2), "abc")
    timing.recheck = recheck
    timing.run()
    assert [one for one in looked if one[0] <= 2] == [(2, case, side) for case in "abc" for side in (BEFORE, AFTER)]
    later = {}
    for launch, case, _ in looked:
        later.setdefault(launch, set()).add(case)
    assert later.keys() == set(range(2, timing.rounds.launches + 1))
    assert all(len(cases) == 1 and cases < {"a", "c"} for launch, cases in later.items() if launch > 2)
    assert timing.broken == {"b": "after: checked again: it ran mm before, and nothing now"}


def test_where_wall_time_judges_it_cannot_disagree(clock):
    _, verdicts = judged(FakeRevisions(clock, waits={"b": 0.3}, noise=0.003), clock_name="wall")
    assert verdicts["b"].outcome is Outcome.SLOWER
    assert verdicts["b"].notes == []


def test_the_same_seed_samples_in_the_same_order(clock):
    first, second = (judged(FakeRevisions(clock))[0].rounds.samples for _ in range(2))
    assert [(sample.case, sample.arm) for sample in first] == [(sample.case, sample.arm) for sample in second]
