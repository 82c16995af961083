"""The sequential decision on timings that were measured side by side.

A launch gives a benchmark one number, the median log-ratio of its rounds, and Student's t over launches judges them.
Slower is a mean beyond chance and above the minimum effect, with the error spent over analyses and benchmarks. The same
is an interval within the equivalence margin. Anything else is measured on. At the cap, however few the launches were,
what lies wholly beyond FAR by a cautious interval is slower or faster all the same, and the rest is inconclusive.

A benchmark's launches are its own: to borrow their spread from other benchmarks would let two launches decide, and
would also call a benchmark slower that alone shifts from launch to launch. Who starts first alternates, and launches
that drift count as one, so that no drift passes for a change. How often either is wrong under such shifts
is in results/reference/cpu/gate/shifts.txt, by .ci/tools/benchmarks/gate_shifts.py.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median, stdev

from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import LATENCY, Outcome
from suite.statistics.holm import holm
from suite.statistics.launches import Effect, effects_together

BEFORE, AFTER = 0, 1
# Chance of any false alarm in a run of identical code, over all benchmarks and analyses; as much for a false gain.
FAMILYWISE_ERROR = 0.01
# Confidence of the interval that is shown, and that must lie within the equivalence margin where nothing changed. It
# is asked in every analysis: so +5% was called the same 1 to 2 times in 100 in simulation, and up to 3 times at 0.98.
LEVEL = 0.99
# With two, Student's t has one degree of freedom, and an interval 64 errors wide to either side.
LEAST_LAUNCHES = 3
# Rounds of a launch, of which two may be disturbed without moving the median. Its error is not estimated from them.
LEAST_ROUNDS = 5
# Power of the share of the time by which the error is spent. A few launches reach no small p whatever they show, so
# most is kept for many: under launches that shift by 2% simulation found +5% in 86 of 100 cases, and in 71 with 1.
SPENDING = 2

# The ratio beyond which a change is called at the cap, also where too few launches ran for a smaller one.
FAR = 1.5
# Standard deviation of launches of identical code that a cautious interval assumes at least: 0.9 to 3.4% was
# measured. With t of two degrees one launch has to show 2.02 times to be FAR off, two 1.85 and three 1.78.
LAUNCH_SPREAD = 0.03


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One span of one case, which is judged by time."""

    case: str
    span: str
    clock: str

    @property
    def column(self) -> str:
        """The field of a sample that holds the judging clock."""
        return f"{self.clock}_s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The turn of one side in a round. Times are medians of `calls` calls."""

    launch: int
    round: int
    case: str
    span: str
    arm: int
    """BEFORE or AFTER."""
    position: int
    """0 for the side that was first in its round."""
    wall_s: float
    thread_cpu_s: float
    process_cpu_s: float
    device_s: float | None
    involuntary_switches: int
    calls: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The outcome of one benchmark, and the effect it rests on."""

    outcome: Outcome
    effect: Effect
    rounds: int
    launches: int


@dataclass(kw_only=True)
class Decisions:
    """The benchmarks of one comparison, and the decisions on them so far."""

    benchmarks: Sequence[Benchmark]
    tolerances: Tolerances
    seconds: float
    """The cap on measuring time."""
    decided: dict[Benchmark, Decision] = field(default_factory=dict)
    _spent: float = 0.0
    """The share of the error that earlier analyses have spent."""

    @property
    def open(self) -> list[Benchmark]:
        """The benchmarks that are not decided yet."""
        return [benchmark for benchmark in self.benchmarks if benchmark not in self.decided]

    @property
    def launches_for_change(self) -> int:
        """The least number of launches in which a benchmark must have run before it is called slower or faster."""
        return launches_for_change(len(self.benchmarks))

    def interim_analysis(self, samples: Sequence[Sample], measured_s: float) -> None:
        """Decide by all samples so far what can be decided now; decisions are kept in `decided`. `measured_s`:
        measuring time so far; its share of the cap says how much of the error may be spent."""
        self.analyse(effects_of(samples, self.benchmarks), measured_s)

    def analyse(self, effects: Mapping[Benchmark, tuple[Effect, int, int]], measured_s: float) -> None:
        """`interim_analysis` by effects as `effects_of` returns them: slower, faster and same are decided, for good."""
        alpha = 0.0
        # A decided benchmark keeps its place among the tests, and rejects nothing more.
        tested = [
            effects[benchmark][0]
            if benchmark in effects and effects[benchmark][2] >= self.launches_for_change
            else None
            for benchmark in self.benchmarks
        ]
        if any(tested):  # before that no change can be called, and so nothing is spent
            spent = max(self._spent, min(1.0, measured_s / self.seconds) ** SPENDING)
            alpha, self._spent = FAMILYWISE_ERROR * (spent - self._spent), spent
        slower = holm([effect.p_above_zero() if effect else 1.0 for effect in tested])
        faster = holm([effect.p_below_zero() if effect else 1.0 for effect in tested])
        for benchmark, p_slower, p_faster in zip(self.benchmarks, slower, faster, strict=True):
            if benchmark in effects and benchmark not in self.decided:
                effect, rounds, launches = effects[benchmark]
                outcome = self._outcome(benchmark, effect, is_change=min(p_slower, p_faster) < alpha)
                if outcome is not None:
                    self.decided[benchmark] = Decision(outcome=outcome, effect=effect, rounds=rounds, launches=launches)

    def close(self, samples: Sequence[Sample]) -> dict[Benchmark, Decision]:
        """All decisions at the end. What is still undecided is slower or faster only beyond FAR, else inconclusive. A
        benchmark without a complete launch has no decision."""
        closed, effects = dict(self.decided), effects_of(samples, self.benchmarks)
        for benchmark, launches in log_ratios(samples, self.benchmarks).items():
            if benchmark not in closed:
                tolerance = self.tolerances.tolerance(benchmark.case, benchmark.span, LATENCY)
                effect = cautious_effect(launches, math.log1p(tolerance.minimum_effect))
                if benchmark in effects:  # which also know of drifts
                    together = effects[benchmark][0]
                    effect = replace(together, error=max(effect.error, together.error))
                outcome, rounds = far_outcome(effect), sum(map(len, launches))
                closed[benchmark] = Decision(outcome=outcome, effect=effect, rounds=rounds, launches=len(launches))
        return closed

    def _outcome(self, benchmark: Benchmark, effect: Effect, *, is_change: bool) -> Outcome | None:
        """The outcome by now: slower or faster if significant (`is_change`) and above the minimum effect. Same if the
        interval lies within the equivalence margin; None to measure on."""
        tolerance = self.tolerances.tolerance(benchmark.case, benchmark.span, LATENCY)
        if is_change and abs(effect.estimate) > math.log1p(tolerance.minimum_effect):
            return Outcome.SLOWER if effect.estimate > 0 else Outcome.FASTER
        low, high = effect.bounds(LEVEL)
        margin = math.log1p(tolerance.equivalence_margin)
        return Outcome.SAME if -margin < low and high < margin else None


def launches_for_change(benchmarks: int) -> int:
    """The fewest launches k before a change is called: LEAST_LAUNCHES, and benchmarks / 4^k at most half of the error.
    A program may start in a slow or a fast layout of memory. Identical code then draws the slow one
    after and the fast one before in all of k launches with a chance of up to 1 in 4^k, which looks like a change."""
    return max(LEAST_LAUNCHES, math.ceil(math.log(2 * max(1, benchmarks) / FAMILYWISE_ERROR, 4)))


def effects_of(
    samples: Sequence[Sample], benchmarks: Sequence[Benchmark], column: str | None = None
) -> dict[Benchmark, tuple[Effect, int, int]]:
    """(effect, rounds, launches) of each benchmark that ran in at least LEAST_LAUNCHES complete launches. `column`: the
    field of a sample to use in place of the judging clock's."""
    series = log_ratios(samples, benchmarks, column)
    enough = {benchmark: launches for benchmark, launches in series.items() if len(launches) >= LEAST_LAUNCHES}
    medians = {benchmark: [median(rounds) for rounds in launches] for benchmark, launches in enough.items()}
    return {
        benchmark: (effect, sum(map(len, enough[benchmark])), len(enough[benchmark]))
        for benchmark, effect in effects_together(medians).items()
    }


def cautious_effect(launches: Sequence[Sequence[float]], spread: float = 0.0) -> Effect:
    """The effect of any number of launches, even one, with a wide error; each launch is the log-ratios of its rounds. A
    few launches may agree by chance. So the standard deviation between launches is taken as the largest of theirs, that
    of the median of one launch's rounds, `spread` and LAUNCH_SPREAD."""
    medians = [median(rounds) for rounds in launches]
    within = max(stdev(rounds) / math.sqrt(len(rounds)) for rounds in launches)
    between = stdev(medians) if len(medians) > 1 else 0.0
    error = max(between, within, spread, LAUNCH_SPREAD) / math.sqrt(len(medians))
    return Effect(estimate=fmean(medians), error=error, freedom=max(2, len(medians) - 1))


def far_outcome(effect: Effect) -> Outcome:
    """Slower or faster if the whole interval lies beyond FAR times as long or as fast, else inconclusive."""
    low, high = effect.bounds(LEVEL)
    far = math.log(FAR)
    return Outcome.SLOWER if low > far else Outcome.FASTER if high < -far else Outcome.INCONCLUSIVE


def log_ratios(
    samples: Sequence[Sample], benchmarks: Sequence[Benchmark], column: str | None = None
) -> dict[Benchmark, list[list[float]]]:
    """The log-ratios of after over before of each benchmark: a list for each launch, with a number for each round.
    Launches of fewer than LEAST_ROUNDS are dropped, and benchmarks without any left. `column`: as for `effects_of`."""
    pairs: dict[tuple[str, str], dict[int, dict[int, dict[int, Sample]]]] = {}
    for sample in samples:
        launches = pairs.setdefault((sample.case, sample.span), defaultdict(lambda: defaultdict(dict)))
        launches[sample.launch][sample.round][sample.arm] = sample
    series = {}
    for benchmark in benchmarks:
        clock, launches = column or benchmark.column, pairs.get((benchmark.case, benchmark.span), {})
        series[benchmark] = [
            [math.log(getattr(pair[AFTER], clock) / getattr(pair[BEFORE], clock)) for pair in rounds.values()]
            for rounds in launches.values()
            if len(rounds) >= LEAST_ROUNDS
        ]
    return {benchmark: launches for benchmark, launches in series.items() if launches}
