"""The gate's own error rates on this machine: identical code against itself, and against itself made slower.

Every run is the shipped gate's: fresh workers, the same analyses, the same rule. The injected slowdown is work on the
same clock, a share of what each call took. Runs of all kinds take turns in random order, so that a machine that changes
during the hours changes for all of them. Each is written as it ends, and the same command goes on where the last one
was cut off.
"""

import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.gate.output.sentences import aligned
from suite.gate.rules.decision import BEFORE, Benchmark, Sample
from suite.gate.rules.tolerances import Quantity, Tolerances
from suite.gate.side_by_side import revisions
from suite.gate.side_by_side.pairing import check_can_be_timed, expanded_from
from suite.gate.side_by_side.revisions import BenchmarkCase, Revisions
from suite.gate.side_by_side.rounds import csv_table
from suite.gate.side_by_side.timing import TimingComparison
from suite.gate.side_by_side.worker_client import FailedError
from suite.gate.verdict import LATENCY, Outcome
from suite.records.machine.environment import commit, environment, source_digest
from suite.records.machine.temporary import remove_abandoned, temporary_folder
from suite.records.stores.claim import alone_in
from suite.records.stores.store import write_whole
from suite.statistics.proportions import wilson

# Files of the folder, and what ends the name of each run's samples.
ABOUT, RUNS, TABLE = "selftest.json", "runs.jsonl", ".csv.gz"
SHARES = (0.03, 0.05, 0.10)
TWO_WORKERS, ONE_PROCESS = "two_workers", "one_process"
FORMS = {TWO_WORKERS: "two workers", ONE_PROCESS: "one process"}
HEAD = (
    *("measured in", "slowdown", "runs", "runs with a slower timing", "slower timings", "faster timings"),
    *("same", "inconclusive", "median s", "longest s"),
)
MOST_OFTEN = 0.9
# The upper end of the interval that is green, and the lower end that is red.
BADGE_LABEL, GREEN_TO, RED_FROM = "false alarms", 0.05, 0.05
BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
while True:
    pass
"""
# A run of the self-test, as a line of RUNS has it.
Run = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SelftestPlan:
    sweep: str
    seconds: float
    identical_runs: int
    slowed_runs: int
    """Runs of each injected share."""
    one_process_runs: int
    """Runs of identical code in the one-process form; its slowed runs are as many as its share of these."""
    busy: int
    """Processes that each keep a CPU busy during the runs."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    form: str
    slowed: float
    index: int

    @property
    def name(self) -> str:
        """Form, slowdown in percent and index, as `two_workers-05-0003`."""
        return f"{self.form}-{round(100 * self.slowed):02d}-{self.index:04d}"


def planned_runs(plan: SelftestPlan, seed: int = 0) -> list[PlannedRun]:
    """Every run of the plan, in a random order that is the same for the same seed."""
    slowed_in_one = round(plan.one_process_runs * plan.slowed_runs / max(1, plan.identical_runs))
    counts = {TWO_WORKERS: (plan.identical_runs, plan.slowed_runs), ONE_PROCESS: (plan.one_process_runs, slowed_in_one)}
    runs = [
        PlannedRun(form=form, slowed=share, index=index)
        for form, (identical, slowed) in counts.items()
        for share in (0.0, *SHARES)
        for index in range(slowed if share else identical)
    ]
    random.Random(seed).shuffle(runs)
    return runs


def selftest(plan: SelftestPlan, folder: Path, say: Callable[[str], None]) -> list[Run]:
    """Make the runs of the plan that `folder` lacks, and return all of its runs. Each is written as it ends. `say` gets
    a line after each run. Raises ValueError for a folder of another self-test or one that another process is filling,
    and for a sweep in which no slowdown can be injected."""
    if removed := remove_abandoned():
        say(removed)
    with alone_in(folder, waits=False), temporary_folder("gate") as trees:
        # The working tree is both revisions.
        tree = revisions.after(revisions.repository(Path.cwd()), trees).folder
        identical = Revisions(trees=(tree, tree), logs=trees)
        cases, benchmarks = _expand(identical, plan.sweep)
        if plan.slowed_runs and any(benchmark.clock == "device" for benchmark in benchmarks):
            raise ValueError(f"sweep must have only CPU cases, where a slowdown can be injected; got {plan.sweep!r}")
        _claim(folder, plan, benchmarks)
        runs = read_runs(folder)
        names = {run.get("name") for run in runs}
        planned = planned_runs(plan)
        with busy(plan.busy):
            for planned_run in planned:
                if planned_run.name not in names:
                    run = _run(planned_run, plan, identical, cases, benchmarks, folder)
                    runs.append(run)
                    write_runs(folder, runs)
                    outcomes = Counter(benchmark["outcome"] for benchmark in run["benchmarks"])
                    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
                    place = f"[{len(runs):>{len(str(len(planned)))}}/{len(planned)}]"
                    say(f"{place} {run['name']}: {run['measured_s']:.1f} s measured, {counts}")
        write_whole(folder / "table.txt", ("\n".join(table(runs)) + "\n").encode())
    return runs


def read_runs(folder: Path) -> list[Run]:
    """Read the runs made so far; a last line that was cut off is dropped. Raises ValueError for a foreign file."""
    path = folder / RUNS
    try:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        runs = [parse_json(line) for line in lines if line]
    except ValueError as error:
        raise ValueError(f"out must be a folder of suite gate selftest; its {RUNS} {error}") from error
    if not all(isinstance(run, dict) and run.keys() >= {"form", "slowed", "benchmarks"} for run in runs):
        raise ValueError(f"out must be a folder of suite gate selftest; a line of its {RUNS} is not a run")
    return runs


def write_runs(folder: Path, runs: Sequence[Run]) -> None:
    """Write all runs to the folder's RUNS, a line of JSON each, over what is there."""
    write_whole(folder / RUNS, "".join(f"{json.dumps(run)}\n" for run in runs).encode())


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run `count` processes that each keep a CPU busy, until the block or this process ends. Error rates of a quiet
    machine say nothing of a shared one."""
    command = [sys.executable, "-c", BUSY]
    # A Ctrl-C is for the parent alone, which then ends them.
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def _expand(identical: Revisions, sweep: str) -> tuple[list[BenchmarkCase], list[Benchmark]]:
    """The cases of a sweep, and the benchmarks that a worker finds in each by building it once. Raises ValueError if
    the sweep cannot be composed, or has cases that cannot be timed."""
    with identical.launched() as workers:
        try:
            expanded = expanded_from(workers[BEFORE].ask("expand", arguments=["-m", f"sweep={sweep}"]))
        except FailedError as error:
            raise ValueError(f"sweep={sweep} cannot be composed: {error}") from error
        check_can_be_timed(expanded, sweep)
        cases = [BenchmarkCase(id=case.id, settings=(case.settings, case.settings)) for case in expanded]
        benchmarks = []
        for case in cases:
            built = identical.build(workers, case, BEFORE, examine=False)
            benchmarks += [Benchmark(case=case.id, span=span, clock=built["clock"]) for span in built["spans"]]
    return cases, benchmarks


def _claim(folder: Path, plan: SelftestPlan, benchmarks: Sequence[Benchmark]) -> None:
    """Write what this self-test measures into a new folder, or check that the folder's is the same. Raises ValueError
    if it is another: other code, benchmarks, seconds, busy processes or machine."""
    about: dict[str, Any] = {
        "schema": 1,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": asdict(plan),
        "benchmarks": [asdict(benchmark) for benchmark in benchmarks],
        **commit(),
        "source_digest": source_digest(),
        "environment": environment(),
    }

    def identity(content: Any) -> dict[str, Any]:
        """The facts that must be equal for runs to count together."""
        return {
            **{name: content[name] for name in ("source_digest", "benchmarks")},
            **{name: content["plan"][name] for name in ("seconds", "busy")},
            "machine_id": content["environment"]["machine_id"],
        }

    path = folder / ABOUT
    if not path.exists():
        write_whole(path, (json.dumps(about, indent=1) + "\n").encode())
        return
    try:
        before = identity(parse_json(path.read_bytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"out must be a new folder or that of the same self-test; {path} belongs to no self-test"
        ) from error
    if changed := [name for name, value in identity(about).items() if before[name] != value]:
        raise ValueError(f"out must be a new folder or that of the same self-test; {changed[0]} differs in {folder}")


def _run(
    planned: PlannedRun,
    plan: SelftestPlan,
    identical: Revisions,
    cases: Sequence[BenchmarkCase],
    benchmarks: Sequence[Benchmark],
    folder: Path,
) -> Run:
    """Make one run of the gate's timing, write its samples as a table, and return its line for RUNS."""
    begun, started_at = time.monotonic(), datetime.now(UTC)
    timing = TimingComparison(
        revisions=replace(identical, slowed=(0.0, planned.slowed), in_one_process=planned.form == ONE_PROCESS),
        cases=cases,
        benchmarks=benchmarks,
        tolerances=Tolerances.load(),
        seconds=plan.seconds,
        seed=random.Random(planned.name).getrandbits(32),
    )
    timing.run()
    write_whole(folder / f"{planned.name}{TABLE}", csv_table(Sample, timing.rounds.samples))
    around = timing.rounds.surroundings
    pressures = [surroundings.cpu_pressure for surroundings in around if surroundings.cpu_pressure is not None]
    closed = timing.decisions.close(timing.rounds.samples)
    columns = ("case", "span", "outcome", "ratio", "low", "high", "rounds", "launches")
    return {
        "name": planned.name,
        **asdict(planned),
        "started_at": started_at.isoformat(timespec="seconds"),
        "took_s": time.monotonic() - begun,
        "measured_s": timing.rounds.measured_s,
        "launches": timing.rounds.launches,
        "load_1min": around[-1].load_1min if around else None,
        "cpu_pressure": sum(pressures) / len(pressures) if pressures else None,
        "broken": timing.broken,
        "benchmarks": [
            {
                **{name: getattr(verdict, name) for name in columns},
                "error": closed[benchmark].effect.error if benchmark in closed else None,
            }
            for benchmark, verdict in zip(timing.decisions.benchmarks, timing.verdicts(), strict=False)
        ],
    }


def _is_identical(run: Run) -> bool:
    """Whether a run compared identical code with two workers, as the gate does."""
    return (run["form"], run["slowed"]) == (TWO_WORKERS, 0.0)


def learn_noise(runs: Iterable[Run]) -> dict[Quantity, float]:
    """The noise of each benchmark: the relative difference that 19 of 20 runs of identical code stayed below."""
    differences: dict[Quantity, list[float]] = {}
    for run in filter(_is_identical, runs):
        for benchmark in run["benchmarks"]:
            if benchmark["ratio"] is not None:
                key = (benchmark["case"], benchmark["span"], LATENCY)
                differences.setdefault(key, []).append(abs(benchmark["ratio"] - 1))
    return {key: round(sorted(values)[int(0.95 * (len(values) - 1))], 4) for key, values in differences.items()}


def table(runs: Sequence[Run]) -> list[str]:
    """Lay out false alarms and power as lines of text: a row for each form and injected slowdown. Below stand what the
    brackets mean, the smallest slowdown found by most runs, and a line for each broken case."""
    groups: dict[tuple[str, float], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run["form"] != TWO_WORKERS, run["slowed"])):
        groups.setdefault((run["form"], run["slowed"]), []).append(run)
    rows = [HEAD, *(_row(form, slowed, group) for (form, slowed), group in groups.items())]
    broken = [f"broken: {run['name']}: {reason}" for run in runs for reason in run["broken"].values()]
    return [*aligned(rows), "", "in brackets: Wilson's 95% interval", *_smallest_slowdowns(runs), *broken]


def _row(form: str, slowed: float, runs: Sequence[Run]) -> tuple[str, ...]:
    """A row of the table: shares of runs with any slower timing, shares of timings by outcome, and measuring times."""
    outcomes = [[benchmark["outcome"] for benchmark in run["benchmarks"]] for run in runs]
    all_outcomes = list(chain.from_iterable(outcomes))
    measured_s = sorted(run["measured_s"] for run in runs)
    return (
        FORMS[form],
        f"+{slowed:.0%}" if slowed else "none",
        str(len(runs)),
        _share(sum("slower" in run_outcomes for run_outcomes in outcomes), len(runs)),
        *(_share(all_outcomes.count(word), len(all_outcomes)) for word in ("slower", "faster", "same", "inconclusive")),
        f"{median(measured_s):.0f}",
        f"{measured_s[-1]:.0f}",
    )


def _share(successes: int, trials: int) -> str:
    """Write `3 of 20 (5.2–36.0%)`, with Wilson's 95% interval; `-` without trials."""
    if trials == 0:
        return "-"
    interval = wilson(successes, trials)
    return f"{successes} of {trials} ({100 * interval.low:.1f}–{100 * interval.high:.1f}%)"


def _smallest_slowdowns(runs: Sequence[Run]) -> list[str]:
    """A line with the smallest slowdown that MOST_OFTEN of the runs found, by benchmarks; none without slowed runs."""
    hits_by_benchmark: dict[tuple[str, str], dict[float, list[bool]]] = {}
    for run in runs:
        for benchmark in run["benchmarks"] if run["form"] == TWO_WORKERS and run["slowed"] else ():
            shares = hits_by_benchmark.setdefault((benchmark["case"], benchmark["span"]), {})
            shares.setdefault(run["slowed"], []).append(benchmark["outcome"] == "slower")
    if not hits_by_benchmark:
        return []
    smallest = Counter(
        min((share for share, hits in shares.items() if sum(hits) >= MOST_OFTEN * len(hits)), default=math.inf)
        for shares in hits_by_benchmark.values()
    )
    counts = ", ".join(
        f"{f'+{share:.0%}' if math.isfinite(share) else 'none'} for {smallest[share]} of {smallest.total()} benchmarks"
        for share in sorted(smallest)
    )
    return [f"smallest injected slowdown that {MOST_OFTEN:.0%} of runs found: {counts}"]


def badge(folder: Path) -> dict[str, Any]:
    """The false-alarm rate of a self-test as the JSON of a shields.io endpoint badge.

    Green if the interval's upper end is at most GREEN_TO, red if its lower end is above RED_FROM, else yellow: so no
    false alarm in few runs is yellow. Raises ValueError for a folder without a run of identical code. The format is at
    https://shields.io/badges/endpoint-badge.
    """
    try:
        runs = list(filter(_is_identical, read_runs(folder)))
        alarms = sum(any(benchmark["outcome"] == Outcome.SLOWER for benchmark in run["benchmarks"]) for run in runs)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"out must be a folder of suite gate selftest; its {RUNS} cannot be read") from error
    if not runs:
        raise ValueError(f"out must be a folder of suite gate selftest; {str(folder)!r} has no run of identical code")
    interval = wilson(alarms, len(runs))
    colour = "red" if interval.low > RED_FROM else "brightgreen" if interval.high <= GREEN_TO else "yellow"
    message = f"{alarms} of {len(runs)} (≤ {100 * interval.high:.1f}%)"
    return {"schemaVersion": 1, "label": BADGE_LABEL, "message": message, "color": colour}
