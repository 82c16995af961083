"""Cases of two trees, timed side by side: launch after launch, until each is decided or the time is over."""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from suite.gate.arm import Arm, ArmError, FailedError, UnsupportedHereError
from suite.gate.decision import LEVEL, METRIC, Decided, Decisions, effects_of
from suite.gate.rounds import AFTER, BEFORE, Benchmark, BrokenSampleError, Rounds, Sample
from suite.gate.tolerances import Tolerances
from suite.gate.verdict import Outcome, Verdict
from suite.statistics.launches import Effect

NAMES = ("before", "after")
Say = Callable[[str], None]
LAUNCHES = (2, 2, 4, 6, 8, 8)
"""How the cap is shared out over launches: two short ones, after which what is plain is decided, then longer ones:
each costs a start, and with a steady allocator launches of one code differ by little more than their rounds do."""
LOOKS = sum(LAUNCHES) // 2
"""How often it is looked whether something is decided, if the whole time is needed."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A case that both sides have, with the settings that each composed for it."""

    id: str
    settings: tuple[Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is compared and how it is started."""

    trees: tuple[Path, Path]
    worker: Path
    """The script, from the newer tree."""
    complaints: Path
    """A folder for what the workers print."""
    slowed: tuple[float, float] = (0.0, 0.0)
    """Shares by which each side's work is made to take longer; for the self-test."""
    in_one_process: bool = False
    """Both sides in one worker, which only identical trees allow; for the self-test."""

    @contextmanager
    def launched(self) -> Iterator[list[Arm]]:
        """Two fresh workers, before and after. Raises ArmError where one does not start."""
        with ExitStack() as stack:
            logs = [self.complaints / f"{name}.log" for name in NAMES]
            count = 1 if self.in_one_process else 2
            arms = [
                stack.enter_context(Arm(tree, self.worker, log))
                for tree, log in list(zip(self.trees, logs, strict=True))[:count]
            ]
            for name, arm in zip(NAMES, arms, strict=False):
                try:
                    arm.greet()
                except ArmError as error:
                    raise ArmError(f"{name}: {error}") from error
            yield arms * 2 if self.in_one_process else arms

    def build(self, arms: Sequence[Arm], one: Contender, side: int, *, examine: bool) -> Mapping[str, Any]:
        """Raises as Arm.ask."""
        return arms[side].ask(
            "build", id=key_of(one.id, side), settings=one.settings[side], examine=examine, slowed=self.slowed[side]
        )


def key_of(case: str, side: int) -> str:
    """What a case is called in a worker, which may hold both sides."""
    return f"{NAMES[side]} {case}"


@dataclass(kw_only=True)
class Contest:
    """The timing of some benchmarks and what came of it."""

    sides: Sides
    contenders: Sequence[Contender]
    benchmarks: Sequence[Benchmark]
    tolerances: Tolerances
    seconds: float
    """The cap on measuring time."""
    seed: int = 0
    rounds: Rounds = field(init=False)
    decisions: Decisions = field(init=False)
    broken: dict[str, str] = field(default_factory=dict)
    """Cases that failed while they were timed, with the reason."""

    def __post_init__(self) -> None:
        self.rounds = Rounds(order=random.Random(self.seed))
        self.decisions = Decisions(benchmarks=list(self.benchmarks), tolerances=self.tolerances, seconds=self.seconds)

    def run(self, say: Say = lambda text: None) -> None:
        """Launch after launch until nothing is open."""
        while self._goes_on:
            try:
                with self.sides.launched() as arms:
                    self._build(arms)
                    self.launch(arms, say)
            except BrokenSampleError as broken:
                self._leave_out(broken)

    def launch(self, arms: Sequence[Arm], say: Say = lambda text: None) -> None:
        """One launch's rounds and looks, with workers that have built everything that is open."""
        share = LAUNCHES[min(self.rounds.launches, len(LAUNCHES) - 1)] / sum(LAUNCHES)
        ends_s = self.rounds.measured_s + share * self.seconds
        self.rounds.begin_launch()
        while self._goes_on and self.rounds.measured_s < ends_s:
            try:
                chunk_s = min(self.seconds / LOOKS, ends_s - self.rounds.measured_s)
                self.rounds.take(arms, self.decisions.open, seconds=chunk_s, key_of=key_of)
            except BrokenSampleError as broken:
                self._leave_out(broken)
                return
            self.decisions.look(self.rounds.samples, self.rounds.measured_s)
        count = len(self.decisions.benchmarks)
        say(
            f"{self.rounds.measured_s:.0f} s measured in {self.rounds.launches} launches: "
            f"{count - len(self.decisions.open)} of {count} timings decided"
        )

    @property
    def _goes_on(self) -> bool:
        return bool(self.decisions.open) and self.rounds.measured_s < self.seconds

    def verdicts(self) -> list[Verdict]:
        closed = self.decisions.close(self.rounds.samples)
        # All at once, as at the looks: a benchmark by itself would know little of how launches differ.
        by_wall = effects_of(self.rounds.samples, self.decisions.benchmarks, "wall_s")
        found = [self._verdict(one, closed.get(one), by_wall) for one in self.decisions.benchmarks]
        return found + [
            Verdict(case=case, outcome=Outcome.BROKEN, reason=f"failed while it was timed: {reason}")
            for case, reason in self.broken.items()
        ]

    def _build(self, arms: Sequence[Arm]) -> None:
        wanted = {one.case for one in self.decisions.open}
        for one in self.contenders:
            for side in (BEFORE, AFTER) if one.id in wanted else ():
                try:
                    self.sides.build(arms, one, side, examine=False)
                except (ArmError, FailedError, UnsupportedHereError) as error:
                    raise BrokenSampleError(one.id, f"{NAMES[side]}: {error}") from error

    def _leave_out(self, broken: BrokenSampleError) -> None:
        self.broken[broken.case] = broken.reason
        self.decisions.benchmarks = [one for one in self.decisions.benchmarks if one.case != broken.case]

    def _verdict(
        self, one: Benchmark, decided: Decided | None, by_wall: Mapping[Benchmark, tuple[Effect, int, int]]
    ) -> Verdict:
        times = [median_s(self.rounds.samples, one, side) for side in (BEFORE, AFTER)]
        floor = self.tolerances.floor(one.case, one.span, METRIC)
        target = self.tolerances.target(one.case, one.span, METRIC)
        common: dict[str, Any] = {
            "case": one.case,
            "span": one.span,
            "metric": METRIC,
            "clock": one.clock,
            "before": times[BEFORE],
            "after": times[AFTER],
            "allowed": 1 + floor,
        }
        if decided is None:
            return Verdict(
                outcome=Outcome.INCONCLUSIVE, reason="too few launches within the time to judge it", **common
            )
        low, high = decided.effect.bounds(LEVEL)
        ratios: dict[str, Any] = {
            "ratio": math.exp(decided.effect.estimate),
            "low": math.exp(low),
            "high": math.exp(high),
        }
        return Verdict(
            outcome=decided.outcome,
            reason=_sentence(decided.outcome, floor, target, self.rounds.measured_s),
            level=LEVEL,
            rounds=decided.rounds,
            launches=decided.launches,
            notes=self._disagreement(one, decided, by_wall),
            **ratios,
            **common,
        )

    def _disagreement(
        self, one: Benchmark, decided: Decided, by_wall: Mapping[Benchmark, tuple[Effect, int, int]]
    ) -> list[str]:
        """Where wall time tells another story than the clock that judges: waiting and lost parallelism are such."""
        if one.clock == "wall" or one not in by_wall:
            return []
        effect = by_wall[one][0]
        low, high = effect.bounds(LEVEL)
        floor = math.log1p(self.tolerances.floor(one.case, one.span, METRIC))
        if low <= decided.effect.estimate <= high or abs(effect.estimate - decided.effect.estimate) <= floor:
            return []
        return [
            f"wall time says {math.exp(effect.estimate) - 1:+.1%} ({math.exp(low) - 1:+.1%} to "
            f"{math.exp(high) - 1:+.1%}): waiting and lost parallelism are not in {one.clock}"
        ]


def median_s(samples: Sequence[Sample], one: Benchmark, arm: int) -> float | None:
    values = [
        getattr(sample, one.column)
        for sample in samples
        if (sample.case, sample.span, sample.arm) == (one.case, one.span, arm)
    ]
    return median(values) if values else None


def _sentence(outcome: Outcome, floor: float, target: float, measured_s: float) -> str:
    """What stands beside the estimate and its interval."""
    if outcome is Outcome.SLOWER:
        return f"slower by more than the {floor:.1%} that is allowed"
    if outcome is Outcome.FASTER:
        return f"faster by more than {floor:.1%}"
    if outcome is Outcome.SAME:
        return f"a change of {target:.1%} is ruled out"
    return f"after {measured_s:.0f} s noise still hides a change of {target:.1%}: more --seconds, or a calmer machine"
