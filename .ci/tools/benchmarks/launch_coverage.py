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
    options = parser.parse_args()
    if options.records:
        print(gaps(ok_attention_records([options.records])))
        return
    names = list(CASES)[: options.cases]
    with tempfile.TemporaryDirectory() as folder:
        for run in range(options.runs):
            for number, name in enumerate(names):
                run_once(CASES[name], options.measure, Path(folder) / str(number) / str(run))
                print(".", end="", flush=True)
        print()
        for span in ("layer", "kernel"):
            counts = []
            for number, name in enumerate(names):
                records = ok_attention_records([Path(folder) / str(number)])
                counts.append(coverage(f"{name}, {span}", [timings(record, span) for record in records]))
            over, within = map(sum, zip(*counts, strict=True))
            count = options.runs * len(names)
            print(f"{span}: held over launches {over} of {count}, within the first {within} of {count}")


def run_once(case: Sequence[str], measure: str, folder: Path) -> None:
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
    """In how many runs the interval over launches, and the first launch's, hold the grand median. Prints both, too."""
    over, within = [launched_interval(run) for run in runs], [median_interval(run[0]) for run in runs]
    grand = float(np.median([interval.median for interval in over]))
    num_held = [sum(interval.low <= grand <= interval.high for interval in side) for side in (over, within)]
    medians = [[float(np.log(np.median(launch))) for launch in run] for run in runs]
    of_launches = math.sqrt(np.mean([np.var(run, ddof=1) for run in medians]))
    quartiles = [np.subtract(*np.quantile(np.log(launch), [0.75, 0.25])) for run in runs for launch in run]
    first = np.median([run[0] - np.mean(run[1:]) for run in medians])
    print(
        f"{name}: grand median {grand * 1e3:.4g} ms; held {num_held[0]} of {len(runs)} over "
        f"{over[0].launches} launches "
        f"(±{np.median([interval.relative_half_width for interval in over]):.1%}), {num_held[1]} within the first "
        f"(±{np.median([interval.relative_half_width for interval in within]):.1%}); standard deviation of runs "
        f"{np.std([np.mean(run) for run in medians], ddof=1):.1%}, of launches in a run {of_launches:.1%}, of samples "
        f"{np.median(quartiles) / QUARTILES_OF_NORMAL:.1%}; first launch over later ones {first:+.1%}"
    )
    return num_held[0], num_held[1]


def gaps(records: Iterable[Record]) -> str:
    """How far records of one case, machine and backend are apart, in a sentence."""
    intervals_by_case = defaultdict(list)
    for record in records:
        ran = [str(record.provenance.get(name)) for name in ("backend", "backend_form")]
        decide = {name: value for name, value in record.settings.items() if name not in ASIDE}
        for span in ("layer", "kernel"):
            if timed := timings(record, span):
                key = (json.dumps(decide, sort_keys=True), *ran, str(record.environment.get("machine_id")), span)
                intervals_by_case[key].append(median_interval([value for launch in timed for value in launch]))
    pairs = [both for intervals in intervals_by_case.values() for both in combinations(intervals, 2)]
    if not pairs:
        return "no two records are of one case, machine and backend"
    apart = [abs(math.log(first.median / other.median)) for first, other in pairs]
    disjoint = sum(first.low > other.high or other.low > first.high for first, other in pairs)
    middle, most = (math.expm1(float(np.quantile(apart, share))) for share in (0.5, 0.95))
    return f"{len(pairs)} pairs, {disjoint} disjoint; medians apart by {middle:.1%} in the middle, p95 {most:.1%}"


def timings(record: Record, span: str) -> list[list[float]]:
    """The latencies of a span, by launch."""
    return by_launch(reading for reading in record.readings if reading.span == span and reading.metric == "latency_s")


def ok_attention_records(folders: Sequence[Path]) -> list[Record]:
    stored = [run.record for run in read_contents(folders).stored]
    return [record for record in stored if record.status is Status.OK and record.case.workload == "attention"]


if __name__ == "__main__":
    main()
