"""The gate's own error rates on this machine: identical code against itself, and against itself made slower.

Every run is the shipped gate's: fresh workers, the same looks, the same rule. What is injected is work on the same
clock, a share of what each call took. Runs of all kinds take turns in random order, so that a machine that changes
during the hours changes for all of them. Each is written as it ends, and the same command goes on where the last one
was cut off.
"""

import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suite.gate import revisions
from suite.gate.against import worker_of
from suite.gate.arm import FailedError
from suite.gate.busy import busy
from suite.gate.contest import Contender, Contest, Sides
from suite.gate.decision import METRIC
from suite.gate.pairing import check_can_be_timed, expanded_from
from suite.gate.rounds import BEFORE, SAMPLES, Benchmark
from suite.gate.selftest_table import table
from suite.gate.tolerances import Tolerances
from suite.records.environment import commit, environment, source_digest
from suite.records.store import write_whole
from suite.records.temporary import remove_abandoned, temporary_folder

ABOUT, RUNS = "selftest.json", "runs.jsonl"
SHARES = (0.03, 0.05, 0.10)
TWO_WORKERS, ONE_PROCESS = "two_workers", "one_process"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run how often."""

    sweep: str
    seconds: float
    identical_runs: int
    slowed_runs: int
    """Of each injected share."""
    one_process_runs: int
    """Of identical code in the one-process form; its slowed runs are as many as its share of these."""
    busy: int
    """Processes that do nothing but use a CPU meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A run to be made."""

    form: str
    slowed: float
    index: int

    @property
    def name(self) -> str:
        return f"{self.form}-{round(100 * self.slowed):02d}-{self.index:04d}"


def kinds(plan: Plan, seed: int = 0) -> list[Kind]:
    """All runs of the plan in random order."""
    slowed_in_one = round(plan.one_process_runs * plan.slowed_runs / max(1, plan.identical_runs))
    counts = {
        (TWO_WORKERS, 0.0): plan.identical_runs,
        (ONE_PROCESS, 0.0): plan.one_process_runs,
        **{(TWO_WORKERS, share): plan.slowed_runs for share in SHARES},
        **{(ONE_PROCESS, share): slowed_in_one for share in SHARES},
    }
    found = [
        Kind(form=form, slowed=slowed, index=index)
        for (form, slowed), count in counts.items()
        for index in range(count)
    ]
    random.Random(seed).shuffle(found)
    return found


def selftest(plan: Plan, folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Make what is missing of the plan's runs and return all of them. Raises ValueError for another plan's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if removed := remove_abandoned():
        say(removed)
    with temporary_folder("gate") as trees, ExitStack() as stack:
        sides = _sides(trees)
        contenders, benchmarks = _expanded(sides, plan.sweep)
        if plan.slowed_runs and any(one.clock == "device" for one in benchmarks):
            raise ValueError(f"sweep must have cases of a CPU, where a slowdown can be injected; got {plan.sweep!r}")
        _claim(folder, plan, benchmarks)
        _cut_off_torn_line(folder / RUNS)
        done = read_runs(folder)
        names = {one["name"] for one in done}
        stack.enter_context(busy(plan.busy))
        planned = kinds(plan)
        for kind in (kind for kind in planned if kind.name not in names):
            done.append(_run(kind, plan, sides, contenders, benchmarks, folder))
            _append(folder / RUNS, done[-1])
            say(_line(done[-1], len(done), len(planned)))
    write_whole(folder / "table.txt", ("\n".join(table(done)) + "\n").encode())
    return done


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Runs made so far. A line that a kill has torn is no run."""
    path = folder / RUNS
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line]


def _sides(folder: Path) -> Sides:
    tree = revisions.after(revisions.repository(Path.cwd()), folder).folder
    return Sides(trees=(tree, tree), worker=worker_of(tree), complaints=folder)


def _expanded(sides: Sides, sweep: str) -> tuple[list[Contender], list[Benchmark]]:
    """The sweep's cases and what is timed of each."""
    with sides.launched() as arms:
        try:
            cases = expanded_from(arms[BEFORE].ask("expand", arguments=["-m", f"sweep={sweep}"]))
        except FailedError as error:
            raise ValueError(f"sweep={sweep} cannot be composed: {error}") from error
        check_can_be_timed(cases, sweep)
        contenders = [Contender(id=one.id, settings=(one.settings, one.settings)) for one in cases]
        benchmarks = []
        for one in contenders:
            built = sides.build(arms, one, BEFORE, examine=False)
            benchmarks += [Benchmark(case=one.id, span=span, clock=built["clock"]) for span in built["spans"]]
    return contenders, benchmarks


def _claim(folder: Path, plan: Plan, benchmarks: Sequence[Benchmark]) -> None:
    about: dict[str, Any] = {
        "schema": 1,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": asdict(plan),
        "benchmarks": [asdict(one) for one in benchmarks],
        **commit(),
        "source_digest": source_digest(),
        "environment": environment(),
    }
    path = folder / ABOUT
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name in ("source_digest", "benchmarks") if before[name] != about[name]]
            changed += [name for name in ("seconds", "busy") if before["plan"][name] != about["plan"][name]]
            machines = [one["environment"]["machine_id"] for one in (before, about)]
            changed += ["machine_id"] if machines[0] != machines[1] else []
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"out must be a new folder, or one of the same self-test; {path} is of none") from error
        if changed:
            raise ValueError(
                f"out must be a new folder, or one of the same self-test; {changed[0]} differs in {folder}"
            )
        return
    write_whole(path, (json.dumps(about, indent=1) + "\n").encode())


def _run(
    kind: Kind,
    plan: Plan,
    sides: Sides,
    contenders: Sequence[Contender],
    benchmarks: Sequence[Benchmark],
    folder: Path,
) -> dict[str, Any]:
    begun, started_at = time.monotonic(), datetime.now(UTC)
    contest = Contest(
        sides=Sides(
            trees=sides.trees,
            worker=sides.worker,
            complaints=sides.complaints,
            slowed=(0.0, kind.slowed),
            in_one_process=kind.form == ONE_PROCESS,
        ),
        contenders=contenders,
        benchmarks=benchmarks,
        tolerances=Tolerances.load(),
        seconds=plan.seconds,
        seed=random.Random(kind.name).getrandbits(32),
    )
    contest.run()
    write_whole(folder / f"{kind.name}.parquet", SAMPLES.content(contest.rounds.samples))
    around = contest.rounds.surroundings
    pressures = [one.cpu_pressure for one in around if one.cpu_pressure is not None]
    closed = contest.decisions.close(contest.rounds.samples)
    return {
        "name": kind.name,
        **asdict(kind),
        "started_at": started_at.isoformat(timespec="seconds"),
        "took_s": time.monotonic() - begun,
        "measured_s": contest.rounds.measured_s,
        "launches": contest.rounds.launches,
        "load_1min": around[-1].load_1min if around else None,
        "cpu_pressure": sum(pressures) / len(pressures) if pressures else None,
        "broken": contest.broken,
        "benchmarks": [
            {
                "case": verdict.case,
                "span": verdict.span,
                "outcome": str(verdict.outcome),
                "ratio": verdict.ratio,
                "low": verdict.low,
                "high": verdict.high,
                "error": closed[one].effect.error if one in closed else None,
                "rounds": verdict.rounds,
                "launches": verdict.launches,
            }
            for one, verdict in zip(contest.decisions.benchmarks, contest.verdicts(), strict=False)
        ],
    }


def _cut_off_torn_line(path: Path) -> None:
    """The next run's line would else go on where a kill ended the last one, and neither could be read."""
    whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n") if path.exists() else ("", "", "")
    if torn:
        write_whole(path, f"{whole}\n".encode() if whole else b"")


def _append(path: Path, run: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _line(run: Mapping[str, Any], count: int, total: int) -> str:
    outcomes = [one["outcome"] for one in run["benchmarks"]]
    told = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    return f"[{count:>{len(str(total))}}/{total}] {run['name']}: {run['measured_s']:.1f} s measured, {told}"


def noise_of(runs: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], float]:
    """By benchmark, what 19 of 20 runs of identical code stayed below, in the two-worker form."""
    seen: dict[tuple[str, str, str], list[float]] = {}
    for run in runs:
        for one in run["benchmarks"] if (run["form"], run["slowed"]) == (TWO_WORKERS, 0.0) else ():
            if one["ratio"] is not None:
                seen.setdefault((one["case"], one["span"], METRIC), []).append(abs(one["ratio"] - 1))
    return {key: round(sorted(values)[int(0.95 * (len(values) - 1))], 4) for key, values in seen.items()}
