"""The whole contest of two sides, with workers that are a few lines long and a clock that they move on."""

import random
import re
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from suite.gate import rounds
from suite.gate.arm import ArmError, FailedError
from suite.gate.contest import LAUNCHES, LOOKS, Contender, Contest
from suite.gate.decision import LEVEL
from suite.gate.rounds import AFTER, BEFORE, LEAST_ROUNDS, Benchmark
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome

SECONDS = 30.0


class FakeArm:
    """Takes as long as its side says, on every clock but those that `wall` or a noise changes."""

    def __init__(self, sides):
        self.sides = sides

    def ask(self, do, *, id, span):
        assert do == "sample"
        name, case = id.split()
        sides = self.sides
        sides.clock.now_s += sides.sample_s
        sides.asked.append((len(sides.built), case))
        if (case, name, len(sides.built)) in sides.fails:
            raise FailedError("no such kernel")
        slower = sides.slower.get(case, 0) * (name == "after")
        seconds = (1 + slower) * sides.order.lognormvariate(0, sides.noise)
        waits = sides.waits.get(case, 0) * (name == "after")
        cpu = {"thread_cpu_s": seconds, "process_cpu_s": seconds}
        return {"wall_s": seconds + waits, **cpu, "involuntary_switches": 0, "calls": 1}


class FakeSides:
    """Starts and builds at once. `fails`: case, side and launch in which a sample fails; in `refuses`, a build."""

    def __init__(self, clock, *, slower=(), waits=(), noise=0.01, fails=(), refuses=(), sample_s=0.02):
        self.clock, self.slower, self.waits, self.noise = clock, dict(slower), dict(waits), noise
        self.fails, self.refuses, self.sample_s = fails, refuses, sample_s
        self.order, self.asked, self.built, self.ended = random.Random(0), [], [], 0

    @contextmanager
    def launched(self):
        self.clock.now_s += 7  # a start takes time, which is no measuring time
        self.built.append([])
        try:
            yield [FakeArm(self), FakeArm(self)]
        finally:
            self.ended += 1

    def build(self, arms, one, side, *, examine):
        assert not examine
        self.built[-1].append((one.id, side, one.settings[side]))
        if (one.id, side) in self.refuses:
            raise FailedError("it does not build")


@pytest.fixture
def clock(monkeypatch):
    made = SimpleNamespace(now_s=100.0)
    made.monotonic = lambda: made.now_s
    monkeypatch.setattr(rounds, "time", made)
    return made


def contest_of(sides, cases="ab", clock_name="thread_cpu", tolerances=None, seconds=SECONDS):
    return Contest(
        sides=sides,
        contenders=[Contender(id=case, settings=({"of": f"old {case}"}, {"of": f"new {case}"})) for case in cases],
        benchmarks=[Benchmark(case=case, span="layer", clock=clock_name) for case in cases],
        tolerances=tolerances or Tolerances(),
        seconds=seconds,
    )


def judged(sides, cases="ab", **more):
    """The contest that was run, and its verdicts by case."""
    contest = contest_of(sides, cases, **more)
    contest.run()
    return contest, {one.case: one for one in contest.verdicts()}


def test_what_is_plain_is_decided_after_two_launches_and_nothing_goes_on(clock):
    contest, verdicts = judged(FakeSides(clock, slower={"b": 0.2}))
    assert {case: one.outcome for case, one in verdicts.items()} == {"a": Outcome.SAME, "b": Outcome.SLOWER}
    assert contest.rounds.launches == contest.sides.ended == 2
    assert contest.rounds.measured_s < SECONDS / 5
    assert not contest.decisions.open


def test_only_what_is_open_is_built_and_measured_on(clock):
    contest, verdicts = judged(FakeSides(clock, slower={"b": 0.045}, noise=0.03, sample_s=0.1))
    sides = contest.sides
    launches_of = {case: {launch for launch, of in sides.asked if of == case} for case in "ab"}
    first, later = sorted(launches_of.values(), key=len)
    assert len(first) < len(later)
    assert [len({case for case, *_ in built}) for built in sides.built] == [
        sum(launch in of for of in launches_of.values()) for launch in range(1, len(sides.built) + 1)
    ]
    assert {len({one.launches for one in verdicts.values()}), contest.rounds.launches > 2} == {2, True}


def test_each_side_builds_with_the_settings_that_it_composed(clock):
    sides = FakeSides(clock)
    judged(sides, "a")
    assert sides.built[0] == [("a", BEFORE, {"of": "old a"}), ("a", AFTER, {"of": "new a"})]


def test_a_case_that_breaks_midway_is_left_out_and_the_others_go_on_in_a_new_launch(clock):
    sides = FakeSides(clock, slower={"c": 0.2}, fails={("b", "after", 2)})
    contest, verdicts = judged(sides, "abc")
    assert verdicts["b"].outcome is Outcome.BROKEN
    assert verdicts["b"].reason == "failed while it was timed: after: no such kernel"
    assert verdicts["b"].metric == ""
    assert (verdicts["a"].outcome, verdicts["c"].outcome) == (Outcome.SAME, Outcome.SLOWER)
    assert contest.broken == {"b": "after: no such kernel"}
    assert contest.rounds.launches == contest.sides.ended == 3
    assert {case for case, *_ in sides.built[2]} == {"a", "c"}
    # The broken launch was too short to count, so two whole ones decided.
    assert verdicts["a"].launches == 2


def test_a_case_that_does_not_build_is_left_out_before_anything_of_that_launch_is_timed(clock):
    sides = FakeSides(clock, refuses={("a", AFTER)})
    contest, verdicts = judged(sides)
    assert verdicts["a"].reason == "failed while it was timed: after: it does not build"
    assert verdicts["b"].outcome is Outcome.SAME
    assert {launch for launch, _ in sides.asked} == {2, 3}
    assert contest.rounds.launches == 2


def test_where_every_case_breaks_the_contest_ends(clock):
    contest, verdicts = judged(FakeSides(clock, refuses={("a", BEFORE), ("b", BEFORE)}))
    assert {one.outcome for one in verdicts.values()} == {Outcome.BROKEN}
    assert not contest.rounds.samples


def test_workers_that_do_not_start_are_an_error_of_the_whole(clock):
    class Dead(FakeSides):
        @contextmanager
        def launched(self):
            raise ArmError("before: the worker cannot start")
            yield

    with pytest.raises(ArmError, match="cannot start"):
        contest_of(Dead(clock)).run()


def test_at_the_cap_what_is_still_open_is_inconclusive(clock):
    contest, verdicts = judged(FakeSides(clock, noise=1.0, sample_s=0.1))
    assert {one.outcome for one in verdicts.values()} == {Outcome.INCONCLUSIVE}
    assert SECONDS <= contest.rounds.measured_s < SECONDS + LEAST_ROUNDS
    one = verdicts["a"]
    assert one.reason == (
        f"after {contest.rounds.measured_s:.0f} s noise still hides a change of 5.0%: "
        "more --seconds, or a calmer machine"
    )
    assert one.low < one.ratio < one.high
    assert one.launches == contest.rounds.launches == len(LAUNCHES)


def test_a_cap_that_two_launches_do_not_fit_into_says_so(clock):
    contest, verdicts = judged(FakeSides(clock, sample_s=2.0), seconds=10.0)
    assert contest.rounds.launches == 1
    one = verdicts["a"]
    assert (one.outcome, one.reason) == (Outcome.INCONCLUSIVE, "too few launches within the time to judge it")
    assert one.ratio is None
    assert one.before == pytest.approx(1, rel=0.05)


def test_launches_share_out_the_cap_and_looks_come_in_even_steps(clock, monkeypatch):
    contest = contest_of(FakeSides(clock, noise=1.0, sample_s=0.01))
    looks_s = []
    look = contest.decisions.look
    monkeypatch.setattr(contest.decisions, "look", lambda samples, at_s: looks_s.append(at_s) or look(samples, at_s))
    contest.run()
    # A round of 0.04 s may go beyond its share.
    assert looks_s == pytest.approx([SECONDS / LOOKS * number for number in range(1, LOOKS + 1)], abs=0.6)
    spent = {}
    for around in contest.rounds.surroundings:
        spent[around.launch] = around.measured_s
    shares = [sum(LAUNCHES[: count + 1]) / sum(LAUNCHES) for count in range(len(LAUNCHES))]
    assert list(spent.values()) == pytest.approx([SECONDS * share for share in shares], abs=0.6)


def test_it_says_how_far_it_is_after_each_launch(clock):
    said = []
    contest_of(FakeSides(clock)).run(said.append)
    assert said == ["2 s measured in 1 launches: 0 of 2 timings decided", said[1]]
    assert said[1].endswith("in 2 launches: 2 of 2 timings decided")


def test_wall_time_that_tells_another_story_is_said(clock):
    _, verdicts = judged(FakeSides(clock, waits={"b": 0.3}, noise=0.003))
    assert verdicts["a"].notes == []
    assert verdicts["b"].outcome is Outcome.SAME
    (note,) = verdicts["b"].notes
    assert re.fullmatch(
        r"wall time says \+(29|30)\.\d% \(\+29\.\d% to \+30\.\d%\): "
        "waiting and lost parallelism are not in thread_cpu",
        note,
    )


def test_wall_time_is_judged_by_the_launches_of_all_benchmarks_too(clock):
    """By two launches of its own alone a benchmark's interval would be 30 errors wide to either side."""
    _, verdicts = judged(FakeSides(clock, waits={"b": 0.04}), "abcdefgh")
    assert verdicts["b"].launches == 2
    assert {case for case, one in verdicts.items() if one.notes} == {"b"}


def test_a_small_disagreement_below_the_floor_is_not_said(clock):
    _, verdicts = judged(FakeSides(clock, waits={"b": 0.015}, noise=0.001))
    assert verdicts["b"].notes == []


def test_where_wall_time_judges_it_cannot_disagree(clock):
    """Nor with what it said when a benchmark was decided, which later rounds of others may put in another light."""
    contest, verdicts = judged(FakeSides(clock, waits={"b": 0.3}, noise=0.003), clock_name="wall")
    assert verdicts["b"].outcome is Outcome.SLOWER
    assert verdicts["b"].notes == []
    before = contest.decisions.decided[contest.benchmarks[1]]
    far = replace(before, effect=replace(before.effect, estimate=1.0))
    contest.decisions.decided[contest.benchmarks[1]] = far
    assert all(one.notes == [] for one in contest.verdicts())


@pytest.mark.parametrize(
    ("slower", "outcome", "sentence"),
    [
        (0.2, Outcome.SLOWER, "slower by more than the 2.0% that is allowed"),
        (-0.2, Outcome.FASTER, "faster by more than 2.0%"),
        (0.0, Outcome.SAME, "a change of 5.0% is ruled out"),
    ],
)
def test_a_verdict_is_one_sentence_beside_the_estimate_and_its_interval(clock, slower, outcome, sentence):
    _, verdicts = judged(FakeSides(clock, slower={"a": slower}, noise=0.003))
    one = verdicts["a"]
    assert (one.outcome, one.reason) == (outcome, sentence)
    assert one.low < one.ratio < one.high
    assert one.ratio == pytest.approx(1 + slower, rel=0.01)


def test_a_verdict_says_what_it_is_of(clock):
    tolerances = Tolerances(default_floor=0.03)
    _, verdicts = judged(FakeSides(clock, slower={"a": 0.1}), tolerances=tolerances, clock_name="process_cpu")
    one = verdicts["a"]
    assert (one.case, one.span, one.metric, one.clock) == ("a", "layer", "latency_s", "process_cpu")
    assert (one.level, one.allowed, one.launches) == (LEVEL, pytest.approx(1.03), 2)
    assert one.rounds >= 2 * LEAST_ROUNDS
    assert (one.before, one.after) == (pytest.approx(1, rel=0.02), pytest.approx(1.1, rel=0.02))


def test_the_same_seed_samples_in_the_same_order(clock):
    orders = []
    for _ in range(2):
        contest, _ = judged(FakeSides(clock))
        orders.append([(one.case, one.arm) for one in contest.rounds.samples[:100]])
    assert orders[0] == orders[1]
