"""How often other tools' rules are wrong on times that the gate recorded: false alarms and slowdowns found.

    python tests/benchmarks/rival_rules.py FILE_OR_FOLDER... [--clock wall_s] [--clock thread_cpu_s]

Reads every parquet file named or below a folder: rounds with the columns run, kind (identical, slow3, slow5, slow10),
launch, round, arm (0 before, 1 after), case, span, thread_cpu_s and wall_s. A rule sees all times of one arm of one
benchmark, which is a span of a case, in one run; in a slow run every benchmark is slowed. The rules are in rules.py
beside this file. The tools themselves read wall time; thread CPU time is shown beside it. The samples are those of
interleaved rounds: the tools, which take one arm after the other, have it easier here than by themselves.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suite.statistics.proportions import wilson
from tests.benchmarks.rules import RULES, Rule

CLOCKS = ("wall_s", "thread_cpu_s")
SAMPLE = ["kind", "run", "launch", "round", "arm", "case", "span"]
IDENTICAL = "identical"
Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--clock", action="append", choices=CLOCKS, help="both by default")
    asked = parser.parse_args()
    try:
        rounds = read(asked.paths)
    except (ValueError, OSError) as error:
        print(f"rival_rules: {error}", file=sys.stderr)
        return 4
    counts = rounds.groupby([*SAMPLE[:2], "case", "span", "arm"]).size()
    runs = rounds[["kind", "run"]].drop_duplicates()["kind"].value_counts().sort_index()
    print("runs: " + ", ".join(f"{count} {kind}" for kind, count in runs.items()))
    print(f"times a benchmark, run and arm: {counts.min()} to {counts.max()}, median {counts.median():.0f}")
    for clock in asked.clock or CLOCKS:
        print(f"\n{clock}")
        try:
            pairs = paired(rounds, clock)
        except ValueError as error:
            print(f"rival_rules: {error}", file=sys.stderr)
            return 4
        for name, rule in RULES.items():
            print(f"  {name}")
            for line in judged(pairs, rule):
                print(f"    {line}")
    return 0


def read(paths: Iterable[Path]) -> pd.DataFrame:
    """Raises ValueError where there is nothing to read, or what is there is not what this judges."""
    files = [file for path in paths for file in (sorted(path.rglob("*.parquet")) if path.is_dir() else [path])]
    if not files:
        raise ValueError("no parquet file found")
    parts = []
    for file in files:
        part = pd.read_parquet(file)
        missing = sorted({*SAMPLE, *CLOCKS} - set(part.columns))
        if missing:
            raise ValueError(f"{file.name} lacks the columns {', '.join(missing)}")
        parts.append(part[[*SAMPLE, *CLOCKS]])
    rounds = pd.concat(parts, ignore_index=True)
    if rounds.duplicated(SAMPLE).any():
        raise ValueError("the same run, round and arm is recorded twice: run numbers must differ between files")
    if not rounds["arm"].isin([0, 1]).all():
        raise ValueError(f"arm must be 0 or 1; got {sorted(rounds['arm'].unique())}")
    return rounds


def paired(rounds: pd.DataFrame, clock: str) -> dict[tuple[str, int], list[Pair]]:
    """The times before and after of each benchmark, by kind and run. Raises ValueError for an arm without enough."""
    pairs = defaultdict(list)
    for (kind, run, case, span), samples in rounds.groupby(["kind", "run", "case", "span"], sort=False):
        times, arms = samples[clock].to_numpy(float), samples["arm"].to_numpy()
        before, after = times[arms == 0], times[arms == 1]
        if min(len(before), len(after)) < 2 or not (times > 0).all():
            raise ValueError(f"{clock} must be two times or more in each arm; got others in run {run}, {case} {span}")
        pairs[kind, run].append((before, after))
    return pairs


def judged(pairs: Mapping[tuple[str, int], Sequence[Pair]], rule: Rule) -> Iterable[str]:
    """A line for each kind of run."""
    called = {key: [rule(before, after) for before, after in pairs[key]] for key in pairs}
    for kind in sorted({kind for kind, _ in called}, key=lambda kind: (kind != IDENTICAL, len(kind), kind)):
        of_runs = [answers for (one, _), answers in called.items() if one == kind]
        every = [answer for answers in of_runs for answer in answers]
        if kind == IDENTICAL:
            yield f"{kind}: runs with a false alarm {share(map(any, of_runs))}; benchmarks {share(every)}"
        else:
            yield f"{kind}: benchmarks found {share(every)}"


def share(answers: Iterable[bool]) -> str:
    answers = list(answers)
    found = wilson(sum(answers), len(answers))
    return f"{found.successes} of {found.trials}, {found.share:.1%} [{found.low:.1%}, {found.high:.1%}]"


if __name__ == "__main__":
    sys.exit(main())
