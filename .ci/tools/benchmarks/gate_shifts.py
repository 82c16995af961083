"""How often the gate is wrong where launches of identical code shift, by simulation of its own procedure.

    .ci/tool benchmarks.gate_shifts FOLDER [--runs 2000] [--slowed-runs 200] [--seconds 30]

FOLDER is what `.ci/tool benchmarks.gate_error_rates --out FOLDER` wrote. Every simulated run is the shipped
TimingComparison with its launches and analyses; only the workers are not there. A launch's rounds are those of a
recorded launch of identical code, all benchmarks together as they stood, with its two sides swapped at random: so what
rounds of one launch and benchmarks of one round have in common stays. A launch of more rounds is put together from
several. Onto each launch comes a shift:

- of one timing, of half of them, of each timing its own, or one that all timings share;
- normal, Student's t with 3 degrees at the same standard deviation, or of two layouts of memory: at each start each
  side falls into the fast or the slow one, which lie so far apart;
- a drift: the ratio grows by as much with each launch; or one that is correlated by .8 with that of the launch before.

What the second process suffers, by being started second, moves with the order in which the gate starts its workers.

A false alarm is any timing called slower in a run of identical code; then every timing is slowed.
Time is counted as it was recorded: a round costs what its open benchmarks did, and a start 3 s.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_ROUNDS, Benchmark, Decisions
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.timing import TimingComparison, first_side
from suite.gate.verdict import Outcome
from suite.records.record import CorruptRecordError
from suite.statistics.launches import effects_together
from tools.benchmarks.gate_error_rates import ABOUT, read_runs, samples_of, tables_in
from tools.benchmarks.rates import aligned, share

START_S = 3.0
SLOWED = (0.03, 0.05, 0.10)
MOST_BLOCKS = 8
"""Recorded launches that a long one is put together from at most: rounds beyond these hardly move its median."""
ONE, HALF, EACH, SHARED, SECOND = "one timing", "half of them", "each its own", "all as one", "started second"
NORMAL, HEAVY, LAYOUTS = "normal, sd", "t3, sd", "two layouts,"
CONSTANT, DRIFT, LASTING = "constant,", "drift a launch,", "correlated .8, sd"
CORRELATION = 0.8
HEADS = (
    *("shift of a launch", "false alarms", "false gains", "same", "inconclusive", "launches", "s", "started"),
    *(f"+{share:.0%} found" for share in SLOWED),
    "+5% same",
)
WIDTHS = (38, 29, 29, 6, 12, 8, 3, 7, 22, 22, 22, 18)


@dataclass(frozen=True, kw_only=True)
class Shift:
    """What launches differ by beyond their rounds."""

    of: str = ""
    form: str = NORMAL
    size: float = 0.0

    @property
    def name(self) -> str:
        """Its row in the table, as `each its own: normal, sd 3%`."""
        return f"{self.of}: {self.form} {self.size:.0%}" if self.of else "none"

    def draw(
        self,
        generator: np.random.Generator,
        count: int,
        launch: int = 1,
        before_B: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """One launch's shift of each of `count` timings; ONE moves the first of them, HALF the first half. `launch`:
        its number in the run, from 1. `before_B`: the shifts of the launch before."""
        shift_B = np.ones(count)
        if self.form in (NORMAL, LASTING):
            shift_B = generator.normal(size=count)
        elif self.form == HEAVY:
            shift_B = generator.standard_t(3, size=count) / math.sqrt(3)
        elif self.form == LAYOUTS:
            shift_B = (generator.integers(2, size=count) - generator.integers(2, size=count)).astype(float)
        shift_B = self.size * shift_B * (launch if self.form == DRIFT else 1)
        if self.of == SECOND:
            shift_B = np.full(count, shift_B[0] * (-1 if first_side(launch - 1) == AFTER else 1))
        if self.form == LASTING and before_B is not None:
            turned = -1 if self.of == SECOND and first_side(launch - 2) != first_side(launch - 1) else 1
            shift_B = CORRELATION * turned * before_B + math.sqrt(1 - CORRELATION**2) * shift_B
        moved = {ONE: 1, HALF: count // 2, EACH: count, SHARED: count, SECOND: count, "": 0}[self.of]
        return np.where(np.arange(count) < moved, shift_B[0] if self.of == SHARED else shift_B, 0.0)


SHIFTS = (
    Shift(),
    *(
        Shift(of=of, form=form, size=size)
        for form in (NORMAL, HEAVY)
        for of in (ONE, EACH, SHARED)
        for size in (0.01, 0.02, 0.03)
    ),
    Shift(of=HALF, form=NORMAL, size=0.03),
    *(Shift(of=EACH, form=LAYOUTS, size=size) for size in (0.03, 0.05, 0.10)),
    Shift(of=SHARED, form=LAYOUTS, size=0.05),
    *(Shift(of=of, form=DRIFT, size=0.01) for of in (ONE, SHARED, SECOND)),
    Shift(of=SECOND, form=CONSTANT, size=0.03),
    *(Shift(of=of, form=LASTING, size=0.05) for of in (SHARED, SECOND)),
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Launches of identical code, and what a round costs."""

    log_ratios_LBR: NDArray[np.float64]
    """By launch, benchmark and round."""
    round_s_B: NDArray[np.float64]
    """What a round of each benchmark takes, both sides and the way to the workers included."""


@dataclass(kw_only=True)
class SimulatedRounds:
    """Rounds as TimingComparison asks for them: each benchmark gets the number that its launch comes to."""

    recorded: Recorded
    shift: Shift
    slowed: float
    generator: np.random.Generator
    places: Mapping[Benchmark, int]
    samples: dict[Benchmark, list[float]] = field(default_factory=dict)
    """The launches' medians: in place of samples."""
    measured_s: float = 0.0
    launches: int = 0
    shifts_B: NDArray[np.float64] | None = None
    """The shifts of the newest launch."""

    def begin_launch(self) -> None:
        self.launches += 1

    def take(self, workers: Sequence[Any], benchmarks: Sequence[Benchmark], *, seconds: float) -> None:
        """Add each benchmark's median over one launch, whose rounds fill `seconds` by the recorded cost of a round."""
        chosen = [self.places[benchmark] for benchmark in benchmarks]
        round_s = float(self.recorded.round_s_B[chosen].sum())
        count = max(LEAST_ROUNDS, math.ceil(seconds / round_s))
        self.measured_s += count * round_s
        shift = self.shift.draw(self.generator, len(self.places), self.launches, self.shifts_B)
        self.shifts_B = shift
        moved = shift + math.log1p(self.slowed)
        medians = np.median(self._rounds(chosen, count), axis=1) + moved[chosen]
        for benchmark, middle in zip(benchmarks, medians.tolist(), strict=True):
            self.samples.setdefault(benchmark, []).append(middle)

    def _rounds(self, chosen: Sequence[int], count: int) -> NDArray[np.float64]:
        """So many recorded rounds of these benchmarks, of random launches, each with its sides swapped at random."""
        launches, _, length = self.recorded.log_ratios_LBR.shape
        blocks = min(MOST_BLOCKS, -(-count // length))
        rounds_LBR = self.recorded.log_ratios_LBR[self.generator.integers(launches, size=blocks)][:, chosen]
        rounds_LBR = rounds_LBR * self.generator.choice((-1.0, 1.0), size=(blocks, 1, 1))  # either may have been newer
        return np.concatenate(list(rounds_LBR), axis=1)[:, :count]


class SimulatedDecisions(Decisions):
    """Decisions on the medians of launches."""

    def interim_analysis(self, samples: Any, measured_s: float) -> None:
        """Decide on benchmarks with three launches or more, by the medians of their launches."""
        enough = {benchmark: medians for benchmark, medians in samples.items() if len(medians) > 2}
        effects = effects_together(enough)
        self.analyse({name: (effect, 0, len(samples[name])) for name, effect in effects.items()}, measured_s)


@dataclass(frozen=True, kw_only=True)
class Run:
    """The end of one simulated run."""

    outcomes: Sequence[Outcome]
    measured_s: float
    launches: int


def simulate(
    recorded: Recorded,
    shift: Shift,
    *,
    runs: int,
    slowed: float = 0.0,
    seconds: float = 30.0,
    seed: int = 0,
) -> list[Run]:
    """So many runs of the shipped procedure, each on benchmarks in another order."""
    generator = np.random.default_rng(seed)
    count = recorded.log_ratios_LBR.shape[1]
    benchmarks = [Benchmark(case=str(index), span="", clock="thread_cpu") for index in range(count)]
    simulated = []
    for _ in range(runs):
        order = generator.permutation(count)
        shuffled = Recorded(log_ratios_LBR=recorded.log_ratios_LBR[:, order], round_s_B=recorded.round_s_B[order])
        simulated.append(_simulate_one(shuffled, shift, slowed, seconds, generator, benchmarks))
    return simulated


def _simulate_one(
    recorded: Recorded,
    shift: Shift,
    slowed: float,
    seconds: float,
    generator: np.random.Generator,
    benchmarks: Sequence[Benchmark],
) -> Run:
    """One run of the shipped comparison, with simulated rounds in place of workers."""
    workers: Any = nullcontext(())
    timing = TimingComparison(
        revisions=type("NoRevisions", (), {"launched": lambda self, first: workers})(),
        cases=[],
        benchmarks=benchmarks,
        tolerances=Tolerances(),
        seconds=seconds,
    )
    places = {benchmark: index for index, benchmark in enumerate(benchmarks)}
    rounds: Any = SimulatedRounds(recorded=recorded, shift=shift, slowed=slowed, generator=generator, places=places)
    timing.rounds = rounds
    timing.decisions = SimulatedDecisions(benchmarks=list(benchmarks), tolerances=Tolerances(), seconds=seconds)
    timing.run()
    decided = timing.decisions.decided
    return Run(
        outcomes=[decided[name].outcome if name in decided else Outcome.INCONCLUSIVE for name in benchmarks],
        measured_s=rounds.measured_s,
        launches=rounds.launches,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--slowed-runs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--only", default="", help="shifts whose name holds this text")
    options = parser.parse_args()
    try:
        recorded = read(options.folder)
    except (ValueError, OSError, CorruptRecordError) as error:
        print(f"gate_shifts: {error}", file=sys.stderr)
        return 4
    shifts = [shift for shift in SHIFTS if options.only in shift.name]
    for line in report(recorded, options.runs, options.slowed_runs, options.seconds, shifts):
        print(line, flush=True)
    return 0


def read(folder: Path) -> Recorded:
    """The launches in which every benchmark of identical code ran, cut to the fewest rounds of any.

    Raises ValueError where there is none.
    """
    about = folder / ABOUT
    if not about.exists():
        raise ValueError(f"{folder} must be a folder that gate_error_rates wrote; it has no {ABOUT}")
    benchmarks = [Benchmark(**fields) for fields in json.loads(about.read_text(encoding="utf-8"))["benchmarks"]]
    columns = {(benchmark.case, benchmark.span): benchmark.column for benchmark in benchmarks}
    tables, launches, waits, measured_s = tables_in(folder), [], [], 0.0
    for run in read_runs(folder):
        if run["slowed"] or run["name"] not in tables:
            continue
        times: dict[int, dict[tuple[str, str], dict[int, dict[int, float]]]] = {}
        for sample in samples_of(tables[run["name"]]):
            key = sample["case"], sample["span"]
            rounds = times.setdefault(sample["launch"], {}).setdefault(key, {})
            rounds.setdefault(sample["round"], {})[sample["arm"]] = sample[columns[key]]
            # A call is dropped before those of a sample.
            waits.append((list(columns).index(key), sample["wall_s"] * (sample["calls"] + 1)))
        measured_s += run["measured_s"]
        for of_launch in times.values():
            if len(of_launch) == len(columns) and min(map(len, of_launch.values())) >= LEAST_ROUNDS:
                launches.append([_log_ratios(of_launch[key]) for key in columns])
    if not launches:
        raise ValueError(f"{folder} holds no launch of identical code in which every benchmark ran")
    length = min(len(series) for of_launch in launches for series in of_launch)
    places, spent_s = np.array([place for place, _ in waits]), np.array([wait_s for _, wait_s in waits])
    own_s = np.array([spent_s[places == place].mean() for place in range(len(columns))])
    between_s = (measured_s - spent_s.sum()) / len(waits)
    return Recorded(
        log_ratios_LBR=np.array([[series[:length] for series in of_launch] for of_launch in launches]),
        round_s_B=2 * (own_s + between_s),
    )


def _log_ratios(rounds: Mapping[int, Mapping[int, float]]) -> list[float]:
    """The logarithm of after over before of each round, in order."""
    return [math.log(rounds[number][AFTER] / rounds[number][BEFORE]) for number in sorted(rounds)]


def report(
    recorded: Recorded, runs: int, slowed_runs: int, seconds: float, shifts: Sequence[Shift] = SHIFTS
) -> Iterator[str]:
    """The lines of the table, a row a shift, and what it was simulated from."""
    launches, benchmarks, length = recorded.log_ratios_LBR.shape
    yield (
        f"{benchmarks} timings, their rounds from {launches} recorded launches of {length}; {runs} runs of identical "
        f"code and {slowed_runs} of each slowdown, at most {seconds:g} s of measuring"
    )
    yield "shares with Wilson's 95% intervals; s: median measuring time of identical code; started: and of all starts"
    yield aligned(HEADS, WIDTHS)
    for shift in shifts:
        identical = simulate(recorded, shift, runs=runs, seconds=seconds)
        slowed = [_outcomes(simulate(recorded, shift, runs=slowed_runs, slowed=by, seconds=seconds)) for by in SLOWED]
        outcomes = _outcomes(identical)
        cells = [
            shift.name,
            *(
                share(sum(wrong in run.outcomes for run in identical), runs)
                for wrong in (Outcome.SLOWER, Outcome.FASTER)
            ),
            *(f"{outcomes.count(kind) / len(outcomes):.1%}" for kind in (Outcome.SAME, Outcome.INCONCLUSIVE)),
            f"{fmean(run.launches for run in identical):.1f}",
            f"{median(run.measured_s for run in identical):.0f}",
            f"{median(run.measured_s + START_S * run.launches for run in identical):.0f}",
            *(share(ends.count(Outcome.SLOWER), len(ends), has_counts=False) for ends in slowed),
            share(slowed[1].count(Outcome.SAME), len(slowed[1]), has_counts=False),
        ]
        yield aligned(cells, WIDTHS)


def _outcomes(runs: Sequence[Run]) -> list[Outcome]:
    return [outcome for run in runs for outcome in run.outcomes]


if __name__ == "__main__":
    sys.exit(main())
