"""How often pytest-benchmark's own gate is wrong: identical code that it fails, and slowdowns that it does not see.

    .ci/tool benchmarks.rival_gates --runs 30 --slow-runs 10 --busy 1 --out FOLDER [--settings FILE]

A run is what its users do: one process saves the times, a second one compares with --benchmark-compare-fail=median:5%.
The benchmarks are every span of the cases in FILE, a JSON object of case ids and resolved settings; without it those of
`sweep=gate`. Either way FOLDER/settings.json holds them. In slow runs the second process spins for a share of each
call's own CPU time. `--busy` keeps so many processes spinning beside it all. Each run is a line of
FOLDER/rival_runs.jsonl as soon as it ends, the table is FOLDER/rival_gates.txt; started again, it does what is missing.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from suite.gate.selftest import busy
from suite.statistics.proportions import wilson

ROOT = Path(__file__).resolve().parents[3]
GATE = "median:5%"
SLOWDOWNS = (0.05, 0.10)
STATISTICS = ("median", "mean", "min")
REGRESSED = "Performance has regressed"
SHARE = "RIVAL_GATES_SLOWER_BY"

BENCHMARKS = f'''
import functools, json, os, time
from pathlib import Path

import pytest, torch

from suite.configuration.files import locate

CASES = json.loads(Path(__file__).with_name("settings.json").read_text())
SLOWER_BY = float(os.environ["{SHARE}"])
torch.set_num_threads(1)


@functools.lru_cache(maxsize=1)
def parts(case):
    settings = CASES[case]
    workload = locate(settings["workload"]["_target_"])(settings)
    workload.prepare()
    return workload.parts()


@pytest.mark.parametrize("span", ["layer", "kernel"])
@pytest.mark.parametrize("case", CASES)
def test_span(benchmark, case, span):
    work = parts(case)[span]

    def slowed():
        begun = time.thread_time()
        work()
        ended = time.thread_time()
        until = ended + SLOWER_BY * (ended - begun)
        while time.thread_time() < until:
            pass

    slowed()
    benchmark(slowed)
'''


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What must be equal for runs to be counted together."""

    busy: int
    max_time: float
    timer: str
    settings: str
    pytest_benchmark: str = version("pytest-benchmark")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="of identical code")
    parser.add_argument("--slow-runs", type=int, default=10, help="of each slowdown")
    parser.add_argument("--busy", type=int, default=0, help="processes that spin meanwhile")
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--max-time", type=float, default=0.7, help="pytest-benchmark's, seconds a benchmark")
    parser.add_argument("--timer", default="time.perf_counter", help="pytest-benchmark's, by default its own default")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    cases = json.loads(asked.settings.read_text()) if asked.settings else settings_of_the_sweep()
    (asked.out / "settings.json").write_text(json.dumps(cases, indent=1))
    digest = sha256(json.dumps(cases, sort_keys=True).encode()).hexdigest()[:16]
    conditions = Conditions(busy=asked.busy, max_time=asked.max_time, timer=asked.timer, settings=digest)
    journal, table = asked.out / "rival_runs.jsonl", asked.out / "rival_gates.txt"
    done = read(journal)
    if any(one["conditions"] != vars(conditions) for one in done):
        print(f"rival_gates: {journal} holds runs under other conditions: choose another folder", file=sys.stderr)
        return 2
    wanted = {0.0: asked.runs, **dict.fromkeys(SLOWDOWNS, asked.slow_runs)}
    missing = [by for by, count in wanted.items() for _ in range(count - sum(one["slower_by"] == by for one in done))]
    random.Random(len(done)).shuffle(missing)  # so that a drift of the machine falls on all kinds alike
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what runs is ended in any case
    try:
        with tempfile.TemporaryDirectory() as folder, busy(asked.busy):
            for number, slower_by in enumerate(missing, 1):
                one = {**run(Path(folder), cases, slower_by, conditions), "conditions": vars(conditions)}
                append(journal, one)
                print(f"{number} of {len(missing)}: {told(one)}", flush=True)
    except KeyboardInterrupt:
        return 130
    finally:
        if lines := summary(read(journal), conditions):
            table.write_text("\n".join(lines) + "\n")
            print("\n" + "\n".join(lines))
    return 4 if any(one["broken"] for one in read(journal)) else 0


def settings_of_the_sweep() -> dict[str, Any]:
    from suite.compose.compose import compose
    from suite.compose.point import is_left_out
    from suite.run.job import job_of

    with tempfile.TemporaryDirectory() as folder:
        composed = compose(["-m", "sweep=gate", f"hydra.sweep.dir={folder}"])
    jobs = [job_of(one) for one in composed if not is_left_out(one)]
    return {job.case.id: job.settings for job in jobs}


def named_by_what_differs(cases: Mapping[str, Any]) -> dict[str, Any]:
    """Shorter names for the same cases: of an id only what is not equal in all."""
    words = [case.split() for case in cases]
    common = set(words[0]).intersection(*words[1:]) if len(words) > 1 else set()
    names = [" ".join(word for word in one if word not in common) for one in words]
    return dict(zip(names, cases.values(), strict=True))


def run(parent: Path, cases: Mapping[str, Any], slower_by: float, conditions: Conditions) -> dict[str, Any]:
    """Two processes on one code, the second slowed, and what the gate said."""
    with tempfile.TemporaryDirectory(dir=parent) as made:
        folder = Path(made)
        (folder / "test_rival.py").write_text(BENCHMARKS)
        (folder / "settings.json").write_text(json.dumps(named_by_what_differs(cases)))
        (folder / "pytest.ini").write_text("[pytest]\n")  # so that no settings further up count
        begun, load_before = time.perf_counter(), os.getloadavg()[0]
        first = passed(folder, 0.0, conditions, "--benchmark-save=before")
        middle = time.perf_counter()
        gate = ["--benchmark-compare=0001", f"--benchmark-compare-fail={GATE}", "--benchmark-save=after"]
        second = passed(folder, slower_by, conditions, *gate)
        ended, load_after = time.perf_counter(), os.getloadavg()[0]
        times = {when: statistics_of(folder, when) for when in ("before", "after")}
    ratios = {
        name: {one: stats[one] / times["before"][name][one] for one in STATISTICS}
        for name, stats in times["after"].items()
        if name in times["before"]
    }
    failed = sorted(name for name, ratio in ratios.items() if is_called(ratio["median"]))
    says_so = REGRESSED in second.stdout + second.stderr
    # The gate's answer is its exit code; it must be the one that the saved times give.
    is_broken = first.returncode != 0 or says_so != bool(failed) or (second.returncode != 0) != says_so
    return {
        "slower_by": slower_by,
        "exit_code": second.returncode,
        "broken": (second.stdout + second.stderr + first.stdout)[-2000:] if is_broken else None,
        "failed": failed,
        "ratios": ratios,
        "times_s": times,
        "seconds": [middle - begun, ended - middle],
        "load": [load_before, load_after],
    }


def passed(folder: Path, slower_by: float, conditions: Conditions, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_rival.py"]
    command += [f"--benchmark-storage={folder / 'saved'}", f"--benchmark-max-time={conditions.max_time}"]
    command += [f"--benchmark-timer={conditions.timer}", *options]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", SHARE: str(slower_by)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def statistics_of(folder: Path, name: str) -> dict[str, dict[str, float]]:
    """Seconds a call by benchmark, as saved; nothing where the process saved nothing."""
    for file in folder.glob(f"saved/*/*_{name}.json"):
        saved = json.loads(file.read_text())["benchmarks"]
        return {
            one["name"].partition("[")[2].removesuffix("]"): {key: one["stats"][key] for key in (*STATISTICS, "rounds")}
            for one in saved
        }
    return {}


def append(journal: Path, one: Mapping[str, Any]) -> None:
    with journal.open("a") as file:
        file.write(json.dumps(one) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(journal: Path) -> list[dict[str, Any]]:
    """The runs so far. A last line that a kill cut short is no run."""
    if not journal.exists():
        return []
    lines = journal.read_text().split("\n")
    if lines[-1]:
        journal.write_text("\n".join([*lines[:-1], ""]))
    return [json.loads(line) for line in lines[:-1]]


def told(one: Mapping[str, Any]) -> str:
    said = "BROKEN" if one["broken"] else f"exit code {one['exit_code']}"
    count, seconds = len(one["ratios"]), sum(one["seconds"])
    return f"+{one['slower_by']:.0%}, {said}, {len(one['failed'])} of {count} benchmarks called slower, {seconds:.0f} s"


def summary(runs: Sequence[Mapping[str, Any]], conditions: Conditions) -> list[str]:
    """The table; empty where there is no run that counts."""
    counted = [one for one in runs if not one["broken"]]
    if not counted:
        return []
    count, seconds = len(counted[0]["ratios"]), [sum(one["seconds"]) for one in counted]
    loads = [median(one["load"][when] for one in counted) for when in (0, 1)]
    lines = [
        f"pytest-benchmark {conditions.pytest_benchmark}, --benchmark-compare-fail={GATE}, timer {conditions.timer}, "
        f"max_time {conditions.max_time} s, {count} benchmarks, {conditions.busy} busy processes",
        f"{len(counted)} runs of two processes, {median(seconds):.1f} s each (median; {min(seconds):.1f} to "
        f"{max(seconds):.1f}); load average {loads[0]:.1f} before a run, {loads[1]:.1f} after it (medians)",
        f"{len(runs) - len(counted)} runs broke and are not counted; intervals are Wilson's, 95 %",
        "",
    ]
    for statistic in STATISTICS:
        note = "" if statistic == "median" else ", by the same saved times"
        lines.append(f"{statistic}:5%{note}")
        lines += [f"  {what:<42}{said}" for what, said in rows(counted, called_by(statistic))]
    return lines


def is_called(ratio: float) -> bool:
    return ratio * 100 - 100 > 5  # as pytest-benchmark rounds it


def called_by(statistic: str) -> Callable[[Mapping[str, Any]], list[bool]]:
    return lambda one: [is_called(ratio[statistic]) for ratio in one["ratios"].values()]


def rows(
    runs: Sequence[Mapping[str, Any]], called: Callable[[Mapping[str, Any]], list[bool]]
) -> Iterator[tuple[str, str]]:
    for slower_by in (0.0, *SLOWDOWNS):
        answers = [called(one) for one in runs if one["slower_by"] == slower_by]
        if not answers:
            continue
        what = f"+{slower_by:.0%}" if slower_by else "identical code"
        yield f"{what}: runs that fail", share([any(one) for one in answers])
        verb = "found" if slower_by else "called slower"
        yield f"{what}: benchmarks {verb}", share([answer for one in answers for answer in one])


def share(answers: Sequence[bool]) -> str:
    found = wilson(sum(answers), len(answers))
    return f"{found.successes} of {found.trials}, {found.share:.1%} [{found.low:.1%}, {found.high:.1%}]"


if __name__ == "__main__":
    sys.exit(main())
