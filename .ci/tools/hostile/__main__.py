"""Strangers' data, damaged at random and on purpose, at every door of the suite that takes it, and what each ends as.

    .ci/tool hostile --minutes 1
    .ci/tool hostile archives traces --attempts 2000 --seed 7

An attempt fails where it ends in a traceback, in a code that says a verdict, after 30 s, in a write outside of its
folder, in a line that commands a terminal or a CI system, or in code of the stranger's.
"""

import argparse
import importlib
import random
import sys
import time
from collections import Counter

from tools.hostile.attempt import tried
from tools.hostile.doors import DOORS

LOADED = (
    *("suite.commands.results", "suite.commands.traces", "suite.report.command", "suite.gate.command"),
    *("pandas", "plotly.graph_objects", "typer"),
)
"""Imported before the first fork, so that no attempt takes a second for it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doors", nargs="*", choices=[*DOORS, []], help="by default all")
    parser.add_argument("--minutes", type=float, default=1.0, help="for all doors together")
    parser.add_argument("--attempts", type=int, help="at each door, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    doors = options.doors or list(DOORS)
    for module in LOADED:
        importlib.import_module(module)
    failures = [_try_door(door, options, 60 * options.minutes / len(doors)) for door in doors]
    return int(any(failures))


def _try_door(door: str, options: argparse.Namespace, most_s: float) -> int:
    """Make the attempts at a door, print those that failed and the counts, and return how many failed."""
    begun, codes, failures, longest_s = time.monotonic(), Counter(), 0, 0.0
    for number, attempt in enumerate(DOORS[door](random.Random(options.seed))):
        if number == options.attempts or (options.attempts is None and time.monotonic() - begun > most_s):
            break
        ended = tried(attempt)
        codes[ended.code] += 1
        longest_s = max(longest_s, ended.seconds)
        if ended.faults:
            failures += 1
            last_line = (ended.output.strip().splitlines() or ["(nothing was printed)"])[-1][:300]
            print(f"{door}: {attempt.what}: {'; '.join(ended.faults)}\n    {last_line}", flush=True)
    ends = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items()))
    attempts = f"{sum(codes.values())} attempts, {failures} failed"
    print(f"{door}: {attempts}; ended {ends}; at most {longest_s:.1f} s", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main())
