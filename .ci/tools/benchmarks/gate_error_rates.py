"""The gate's own error rates on this machine: identical code against itself, and against itself made slower.

    .ci/tool benchmarks.gate_error_rates [--runs 20] [--slowed-runs 5] [--seconds 30] [--busy 0] [--out FOLDER]

Every run is the shipped gate's: fresh workers, the same analyses, the same rule. The injected slowdown is work on the
same clock, a share of what each call took. Runs of all kinds take turns in random order, so that a machine that changes
during the hours changes for all of them. Each is written as it ends, and the same command goes on where the last one
was cut off.
"""

import argparse
import csv
import gzip
import json
import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from suite.configuration.untrusted import parse_json
from suite.gate.command import check_seconds
from suite.gate.rules.decision import BEFORE, Benchmark, Sample
from suite.gate.rules.tolerances import (
    Tolerances,
)
from suite.gate.side_by_side import revisions
from suite.gate.side_by_side.pairing import check_can_be_timed, expanded_from
from suite.gate.side_by_side.revisions import BenchmarkCase, Revisions
from suite.gate.side_by_side.rounds import csv_table
from suite.gate.side_by_side.timing import TimingComparison
from suite.gate.side_by_side.worker_client import FailedError
from suite.machine.environment import commit, environment, source_digest
from suite.machine.signals import Interruptions
from suite.machine.temporary import remove_abandoned, temporary_folder
from suite.records.stores.claim import alone_in
from suite.records.stores.files import write_whole
from tools.benchmarks.proportions import wilson
from tools.benchmarks.rates import aligned

# Files of the folder, and what ends the name of each run's samples.
ABOUT, RUNS, TABLE = "error_rates.json", "runs.jsonl", ".csv.gz"
SHARES = (0.03, 0.05, 0.10)
HEAD = (
    *("slowdown", "runs", "runs with a slower timing", "slower timings", "faster timings"),
    *("same", "inconclusive", "median s", "longest s"),
)
MOST_OFTEN = 0.9
BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
while True:
    pass
"""
_READERS = {int: int, float: float, float | None: float, str: str}
# A run of the measurement, as a line of RUNS has it.
Run = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ErrorRatePlan:
    sweep: str
    seconds: float
    identical_runs: int
    slowed_runs: int
    """Runs of each injected share."""
    busy: int
    """Processes that each keep a CPU busy during the runs."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    slowed: float
    index: int

    @property
    def name(self) -> str:
        """Slowdown in percent and index, as `05-0003`."""
        return f"{round(100 * self.slowed):02d}-{self.index:04d}"


def planned_runs(plan: ErrorRatePlan, seed: int = 0) -> list[PlannedRun]:
    """Every run of the plan, in a random order that is the same for the same seed."""
    runs = [
        PlannedRun(slowed=share, index=index)
        for share in (0.0, *SHARES)
        for index in range(plan.slowed_runs if share else plan.identical_runs)
    ]
    random.Random(seed).shuffle(runs)
    return runs


def measure(plan: ErrorRatePlan, folder: Path, say: Callable[[str], None]) -> list[Run]:
    """Make the runs of the plan that `folder` lacks, and return all of its runs. Each is written as it ends. `say` gets
    a line after each run. Raises ValueError for a folder of another measurement or one that another process is filling,
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
        raise ValueError(f"out must be a folder of this tool; its {RUNS} {error}") from error
    if not all(isinstance(run, dict) and run.keys() >= {"slowed", "benchmarks"} for run in runs):
        raise ValueError(f"out must be a folder of this tool; a line of its {RUNS} is not a run")
    return runs


def write_runs(folder: Path, runs: Sequence[Run]) -> None:
    """Write all runs to the folder's RUNS, a line of JSON each, over what is there."""
    write_whole(folder / RUNS, "".join(f"{json.dumps(run)}\n" for run in runs).encode())


def tables_in(folder: Path) -> dict[str, Path]:
    """The tables of samples in a folder, by the name of their run."""
    return {table.name.removesuffix(TABLE): table for table in folder.glob(f"*{TABLE}")}


def samples_of(table: Path) -> Iterator[dict[str, Any]]:
    """Yield a table's rows with typed values, None for an empty cell."""
    for row in csv.DictReader(gzip.decompress(table.read_bytes()).decode().splitlines()):
        yield {name: _READERS[Sample.__annotations__[name]](cell) if cell else None for name, cell in row.items()}


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


def _claim(folder: Path, plan: ErrorRatePlan, benchmarks: Sequence[Benchmark]) -> None:
    """Write what is measured into a new folder, or check that the folder's is the same. Raises ValueError
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
            f"out must be a new folder or that of the same measurement; {path} belongs to no measurement"
        ) from error
    if changed := [name for name, value in identity(about).items() if before[name] != value]:
        raise ValueError(f"out must be a new folder or that of the same measurement; {changed[0]} differs in {folder}")


def _run(
    planned: PlannedRun,
    plan: ErrorRatePlan,
    identical: Revisions,
    cases: Sequence[BenchmarkCase],
    benchmarks: Sequence[Benchmark],
    folder: Path,
) -> Run:
    """Make one run of the gate's timing, write its samples as a table, and return its line for RUNS."""
    begun, started_at = time.monotonic(), datetime.now(UTC)
    timing = TimingComparison(
        revisions=replace(identical, slowed=(0.0, planned.slowed)),
        cases=cases,
        benchmarks=benchmarks,
        tolerances=Tolerances.load(),
        seconds=plan.seconds,
        seed=random.Random(planned.name).getrandbits(32),
    )
    timing.run()
    write_whole(folder / f"{planned.name}{TABLE}", csv_table(Sample, timing.rounds.samples))
    closed = timing.decisions.close(timing.rounds.samples)
    columns = ("case", "span", "outcome", "ratio", "low", "high", "rounds", "launches")
    return {
        "name": planned.name,
        **asdict(planned),
        "started_at": started_at.isoformat(timespec="seconds"),
        "took_s": time.monotonic() - begun,
        "measured_s": timing.rounds.measured_s,
        "launches": timing.rounds.launches,
        "load_1min": os.getloadavg()[0],
        "broken": timing.broken,
        "benchmarks": [
            {
                **{name: getattr(verdict, name) for name in columns},
                "error": closed[benchmark].effect.error if benchmark in closed else None,
            }
            for benchmark, verdict in zip(timing.decisions.benchmarks, timing.verdicts(), strict=False)
        ],
    }


def table(runs: Sequence[Run]) -> list[str]:
    """Lay out false alarms and power as lines of text: a row for each injected slowdown. Below stand what the
    brackets mean, the smallest slowdown found by most runs, and a line for each broken case."""
    groups: dict[float, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run["slowed"]):
        groups.setdefault(run["slowed"], []).append(run)
    rows = [HEAD, *(_row(slowed, group) for slowed, group in groups.items())]
    broken = [f"broken: {run['name']}: {reason}" for run in runs for reason in run["broken"].values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        *(aligned(row, widths) for row in rows),
        "",
        "in brackets: Wilson's 95% interval",
        *_smallest_slowdowns(runs),
        *broken,
    ]


def _row(slowed: float, runs: Sequence[Run]) -> tuple[str, ...]:
    """A row of the table: shares of runs with any slower timing, shares of timings by outcome, and measuring times."""
    outcomes = [[benchmark["outcome"] for benchmark in run["benchmarks"]] for run in runs]
    all_outcomes = list(chain.from_iterable(outcomes))
    measured_s = sorted(run["measured_s"] for run in runs)
    return (
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
        for benchmark in run["benchmarks"] if run["slowed"] else ():
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="of identical code")
    parser.add_argument("--slowed-runs", type=int, default=5, help="of each injected slowdown")
    parser.add_argument("--seconds", type=float, default=30.0, help="the most measuring time of each")
    parser.add_argument("--sweep", default="gate")
    parser.add_argument("--busy", type=int, default=0, help="processes that each keep a CPU busy meanwhile")
    parser.add_argument("--out", type=Path, default=Path("results/gate/error_rates"))
    options = parser.parse_args()
    plan = ErrorRatePlan(
        sweep=options.sweep,
        seconds=options.seconds,
        identical_runs=options.runs,
        slowed_runs=options.slowed_runs,
        busy=options.busy,
    )
    try:
        check_seconds(plan.seconds)
        with Interruptions():
            runs = measure(plan, options.out, partial(print, flush=True))
    except ValueError as error:
        print(f"gate_error_rates: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print("", *table(runs), f"All runs and samples: {options.out}", sep="\n")
    return 4 if any(run["broken"] for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
