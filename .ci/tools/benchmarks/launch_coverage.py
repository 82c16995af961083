"""How often a timing's interval holds what fresh runs of the same case have in common.

    .ci/tool benchmarks.launch_coverage 12
    .ci/tool benchmarks.launch_coverage --records results/reference

The first takes every case that many times, each in a `suite run` of its own and the cases in turns, so that the runs of
one lie minutes apart, and counts in how many the interval holds the grand median: that over the record's launches, and
beside it that of its first launch alone. The second looks at records that lie there: of two of one case, machine and
backend, how far their medians are apart, and how often the intervals of single launches are disjoint.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from suite.records.derived import by_launch
from suite.records.record import Record, Status
from suite.records.stores.store import read_contents
from suite.statistics.intervals import QUARTILES_OF_NORMAL, launched_interval, median_interval

CASES = {
    "MLA decodes behind 4,096": ("attention=mla", "geometry=deepseek-v2-lite", "phase=decode", "seq_len=4096"),
    "small GQA decodes": ("attention=gqa", "geometry=tiny", "phase=decode", "seq_len=64"),
    "MHA decodes behind 4,096": ("attention=mha", "geometry=llama-3.2-1b", "phase=decode", "seq_len=4096"),
    "GQA reads 128 tokens": ("attention=gqa", "geometry=llama-3.2-1b", "phase=prefill", "seq_len=128"),
}
"""Unlike each other: from 15 µs, which the interpreter shares, to 35 ms of arithmetic, and two bound by memory."""
QUIET = ("telemetry=off", "resume=false", "measure.cold_steps=0")
ASIDE = ("measure", "telemetry", "profile", "resume", "price_per_device_hour", "backend")
"""Settings that say how a case is measured; what ran is asked of the record."""
ROOT = Path(__file__).resolve().parents[3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=12)
    parser.add_argument("--cases", type=int, default=len(CASES), help="the first so many of them")
    parser.add_argument("--measure", choices=["standard", "precise"], default="standard")
    parser.add_argument("--records", type=Path, help="look at these instead")
    asked = parser.parse_args()
    if asked.records:
        print(gaps(ok_records([asked.records])))
        return
    names = list(CASES)[: asked.cases]
    with tempfile.TemporaryDirectory() as folder:
        for run in range(asked.runs):
            for number, name in enumerate(names):
                take(CASES[name], asked.measure, Path(folder) / str(number) / str(run))
                print(".", end="", flush=True)
        print()
        for span in ("layer", "kernel"):
            held = []
            for number, name in enumerate(names):
                records = ok_records([Path(folder) / str(number)])
                held.append(coverage(f"{name}, {span}", [timings(record, span) for record in records]))
            over, within = map(sum, zip(*held, strict=True))
            count = asked.runs * len(names)
            print(f"{span}: held over launches {over} of {count}, within the first {within} of {count}")


def take(case: Sequence[str], measure: str, folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "suite.commands.run",
        *case,
        *QUIET,
        f"measure={measure}",
        f"hydra.run.dir={folder}",
    ]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def coverage(name: str, runs: Sequence[Sequence[Sequence[float]]]) -> tuple[int, int]:
    """In how many runs the interval over launches, and that of the first launch, hold the grand median."""
    over, within = ([of(run) for run in runs] for of in (launched_interval, lambda run: median_interval(run[0])))
    grand = float(np.median([one.median for one in over]))
    held = tuple(sum(one.low <= grand <= one.high for one in intervals) for intervals in (over, within))
    medians = [[float(np.log(np.median(launch))) for launch in run] for run in runs]
    of_launches = math.sqrt(np.mean([np.var(run, ddof=1) for run in medians]))
    quartiles = [np.subtract(*np.quantile(np.log(launch), [0.75, 0.25])) for run in runs for launch in run]
    first = np.median([run[0] - np.mean(run[1:]) for run in medians])
    print(
        f"{name}: grand median {grand * 1e3:.4g} ms; held {held[0]} of {len(runs)} over {over[0].launches} launches "
        f"(±{np.median([one.relative_half_width for one in over]):.1%}), {held[1]} within the first "
        f"(±{np.median([one.relative_half_width for one in within]):.1%}); standard deviation of runs "
        f"{np.std([np.mean(run) for run in medians], ddof=1):.1%}, of launches in a run {of_launches:.1%}, of samples "
        f"{np.median(quartiles) / QUARTILES_OF_NORMAL:.1%}; first launch over later ones {first:+.1%}"
    )
    return held[0], held[1]


def gaps(records: Iterable[Record]) -> str:
    found = defaultdict(list)
    for record in records:
        ran = [str(record.provenance.get(name)) for name in ("backend", "backend_form")]
        decide = {name: value for name, value in record.settings.items() if name not in ASIDE}
        for span in ("layer", "kernel"):
            if timed := timings(record, span):
                key = (json.dumps(decide, sort_keys=True), *ran, str(record.environment.get("machine_id")), span)
                found[key].append(median_interval([value for launch in timed for value in launch]))
    pairs = [both for intervals in found.values() for both in combinations(intervals, 2)]
    if not pairs:
        return "no two records are of one case, machine and backend"
    apart = [abs(math.log(one.median / other.median)) for one, other in pairs]
    disjoint = sum(one.low > other.high or other.low > one.high for one, other in pairs)
    middle, most = (math.expm1(float(np.quantile(apart, share))) for share in (0.5, 0.9))
    return f"{len(pairs)} pairs, {disjoint} disjoint; medians apart by {middle:.1%} in the middle, p90 {most:.1%}"


def timings(record: Record, span: str) -> list[list[float]]:
    return by_launch(one for one in record.readings if one.span == span and one.metric == "latency_s")


def ok_records(folders: Sequence[Path]) -> list[Record]:
    stored = [one.record for one in read_contents(folders).stored]
    return [one for one in stored if one.status is Status.OK and one.case.workload == "attention"]


if __name__ == "__main__":
    main()
