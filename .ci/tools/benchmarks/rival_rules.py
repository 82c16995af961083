"""How often other tools' rules are wrong on times that gate_error_rates recorded: false alarms and slowdowns found.

    .ci/tool benchmarks.rival_rules FOLDER [--clock wall_s] [--clock thread_cpu_s]

FOLDER is what `.ci/tool benchmarks.gate_error_rates --out FOLDER` wrote, finished or not. A rule sees all times of one
side of one benchmark in one run; in a slowed run every benchmark is slowed. The rules are in rules.py beside this
file. The tools themselves read wall time; thread CPU time is shown beside it. The samples are those of interleaved
rounds: the tools, which take one side after the other, have it easier here than by themselves. The last row is what the
gate said in the same runs, by the clock that it chose.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suite.gate.rules.decision import AFTER, BEFORE
from suite.gate.verdict import Outcome
from suite.records.record import CorruptRecordError
from tools.benchmarks.gate_error_rates import read_runs, samples_of, tables_in
from tools.benchmarks.rates import share
from tools.benchmarks.rules import RULES

CLOCKS = ("wall_s", "thread_cpu_s")
OURS = "the gate (its verdicts of these runs)"
Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what was injected, what the gate called slower, and the times on each clock."""

    name: str
    slowed: float
    is_slower: Sequence[bool]
    pairs: Mapping[str, Sequence[Pair]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clock", action="append", choices=CLOCKS, help="both by default")
    options = parser.parse_args()
    try:
        runs, skipped = read(options.folder)
    except (ValueError, OSError, CorruptRecordError) as error:
        print(f"rival_rules: {error}", file=sys.stderr)
        return 4
    print("\n".join(report(runs, skipped, options.clock or CLOCKS)))
    return 0


def read(folder: Path) -> tuple[list[Run], int]:
    """The runs, and how many were left out for want of a table or a line.

    Raises ValueError where none is whole, or a benchmark's times are not two or more a side.
    """
    lines = {line["name"]: line for line in read_runs(folder)}
    tables = tables_in(folder)
    runs = [_run(line, tables[name]) for name, line in lines.items() if name in tables]
    if not runs:
        raise ValueError(f"{folder} holds no run of gate_error_rates")
    return runs, len(lines.keys() ^ tables.keys())


def _run(line: Mapping[str, object], table: Path) -> Run:
    """A run with its times by clock. Raises ValueError where a benchmark has fewer than two a side."""
    times: dict[tuple[str, str], dict[str, tuple[list[float], list[float]]]] = {}
    for sample in samples_of(table):
        clocks = times.setdefault((sample["case"], sample["span"]), {clock: ([], []) for clock in CLOCKS})
        for clock, sides in clocks.items():
            sides[sample["arm"]].append(sample[clock])
    # What the gate judged: a case that broke has samples too.
    judged = {(row["case"], row["span"]): row["outcome"] == Outcome.SLOWER for row in line["benchmarks"]}
    pairs: dict[str, list[Pair]] = {clock: [] for clock in CLOCKS}
    for key in judged:
        for clock, sides in times.get(key, {}).items():
            before, after = (np.array(sides[side], dtype=float) for side in (BEFORE, AFTER))
            if min(len(before), len(after)) < 2 or not (min(before.min(), after.min()) > 0):
                raise ValueError(
                    f"{clock} must be two times or more a side; got others in {line['name']}, {' '.join(key)}"
                )
            pairs[clock].append((before, after))
    return Run(name=line["name"], slowed=line["slowed"], is_slower=list(judged.values()), pairs=pairs)


def report(runs: Sequence[Run], skipped: int, clocks: Iterable[str]) -> Iterator[str]:
    """The lines to print."""
    kinds = sorted({run.slowed for run in runs})
    counts = [len(side) for run in runs for pair in run.pairs[CLOCKS[0]] for side in pair]
    by_kind = (f"{sum(run.slowed == slowed for run in runs)} {_name(slowed)}" for slowed in kinds)
    yield f"runs: {', '.join(by_kind)}; {skipped} left out, without a table or a line"
    yield f"times a benchmark, run and side: {min(counts)} to {max(counts)}, median {np.median(counts):.0f}"
    for clock in clocks:
        yield f"\n{clock}"
        for name, rule in RULES.items():
            yield f"  {name}"
            yield from _rows(kinds, [(run.slowed, [rule(*pair) for pair in run.pairs[clock]]) for run in runs])
        yield f"  {OURS}"
        yield from _rows(kinds, [(run.slowed, run.is_slower) for run in runs])


def _rows(kinds: Sequence[float], is_slower: Sequence[tuple[float, Sequence[bool]]]) -> Iterator[str]:
    """Yield a line for each kind of run: identical code, or a slowdown."""
    for kind in kinds:
        of_runs = [answers for slowed, answers in is_slower if slowed == kind]
        answers = list(chain.from_iterable(of_runs))
        benchmarks = share(sum(answers), len(answers))
        if kind == 0:
            runs = share(sum(map(any, of_runs)), len(of_runs))
            yield f"    {_name(kind)}: runs with any slower {runs}; benchmarks {benchmarks}"
        else:
            yield f"    {_name(kind)}: found {benchmarks}"


def _name(slowed: float) -> str:
    """`identical`, or the slowdown as `+5%`."""
    return f"+{slowed:.0%}" if slowed else "identical"


if __name__ == "__main__":
    sys.exit(main())
