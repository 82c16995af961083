"""Hostile attempts on every command, from a catalogue and at random, and what each ends as.

    .ci/tool hostile --minutes 1
    .ci/tool hostile lines folders --attempts 2000 --seed 7

An attempt fails where it ends in a traceback, in a code that says a verdict, after 30 s, in a write outside of its
folder, in a line that commands a terminal or a CI system, or in code of the stranger's.
"""

import argparse
import importlib
import random
import sys
import time
from collections import Counter

from tools.hostile import folders, lines, streams, workloads
from tools.hostile.attempt import tried

KINDS = {
    "lines": lines.attempts,
    "streams": streams.attempts,
    "folders": folders.attempts,
    "records": folders.mutated,
    "workloads": workloads.attempts,
}
LOADED = (
    *(f"suite.commands.{name}" for name in ("run", "results", "explain", "doctor")),
    *("suite.report.command", "suite.gate.command", "pandas", "plotly.graph_objects", "typer"),
)
"""Imported before the first fork, so that no attempt takes a second for it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help="by default all")
    parser.add_argument("--minutes", type=float, default=1.0, help="for all kinds together")
    parser.add_argument("--attempts", type=int, help="of each kind, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds = options.kinds or list(KINDS)
    for module in LOADED:
        importlib.import_module(module)
    failures = [_try_kind(kind, options, 60 * options.minutes / len(kinds)) for kind in kinds]
    return int(any(failures))


def _try_kind(kind: str, options: argparse.Namespace, most_s: float) -> int:
    """Make the attempts of a kind, print those that failed and the counts, and return how many failed."""
    begun, codes, failures, longest_s = time.monotonic(), Counter(), 0, 0.0
    for number, attempt in enumerate(KINDS[kind](random.Random(options.seed))):
        if number == options.attempts or (options.attempts is None and time.monotonic() - begun > most_s):
            break
        ended = tried(attempt)
        codes[ended.code] += 1
        longest_s = max(longest_s, ended.seconds)
        if ended.faults:
            failures += 1
            print(f"{kind}: {attempt.what}: {'; '.join(ended.faults)}\n    {_last_line(ended.output)}", flush=True)
    ends = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items()))
    attempts = f"{sum(codes.values())} attempts, {failures} failed"
    print(f"{kind}: {attempts}; ended {ends}; at most {longest_s:.1f} s", flush=True)
    return failures


def _last_line(output: str) -> str:
    """The last line that was printed, cut to 300 characters."""
    return (output.strip().splitlines() or ["(nothing said)"])[-1][:300]


if __name__ == "__main__":
    sys.exit(main())
