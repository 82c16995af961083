"""What does a case cost on Ray beyond its own work, and do more workers run more of them?

    OMP_NUM_THREADS=1 PYTHON=.ray/bin/python .ci/tool benchmarks.ray_engine [cases] [seconds of waiting in each]

Cases that wait, on two nodes of Ray on this machine: with 1, 2 and 4 workers, and without Ray. Printed for each: the
time of the sweep from the end of each worker's first case on, cases a second, their ratio to one worker's, and what a
case takes beyond its passes (check, measure, profile and the like), which is the way there and back, the fork and the
writing. A worker's first case loads torch and measures the ceilings of its machine, and is none of it.
"""

import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

from suite.records.record import Record
from suite.records.stores.store import read_contents
from tests.ray.cluster import environment, ray_nodes, sweep

STEPS = 8
"""Of a case: one that warms up, six that are timed, one that is profiled."""


def main(cases: int, wait_s: float) -> None:
    settings = (f"seq_len=range(20,{20 + cases})", f"workload.wait_s={wait_s / STEPS}", "measure.max_seconds=60")
    print(f"{cases} cases, each of which waits {wait_s:g} s; two nodes of two CPUs in name, on this machine")
    print(f"{'workers':<10} {'sweep':>8} {'cases/s':>8} {'ratio':>6} {'beyond its passes, a case':>28}")
    base = None
    with ray_nodes(cpus=2) as nodes:
        for workers in (1, 2, 4):
            engine = ("engine=ray", f"engine.address={nodes.address}", f"workers={workers}")
            rate = print_rate(f"{workers}", run_sweep(*settings, *engine), workers, base)
            base = base or rate
    print_rate("no Ray", run_sweep(*settings), 1, base)


def run_sweep(*arguments: str) -> list[tuple[Record, float]]:
    """Run a sweep; return each record with the time at which it was written."""
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            sweep(Path(folder), *arguments), capture_output=True, text=True, check=False, env=environment()
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        stored = read_contents([Path(folder)]).stored
        return [(run.record, (run.folder / "record.json").stat().st_mtime) for run in stored]


def print_rate(name: str, stored: list[tuple[Record, float]], workers: int, base: float | None) -> float | None:
    """Print a line; the cases a second, or None where a worker began with the last case or had none."""
    in_order = sorted(stored, key=lambda pair: pair[1])
    # Each worker's first case is the one in which it had the ceilings measured.
    first = [at for record, at in in_order if "ceilings" in record.provenance["durations_s"]]
    begun, ended = max(first), in_order[-1][1]
    later = [(record, at) for record, at in in_order if at > begun]
    if len(first) != workers or not later:
        print(
            f"{name:<10} not timed: {len(first)} workers ran a case, {len(later)} cases came after; ask for more cases"
        )
        return None
    rate = len(later) / (ended - begun)
    beyond = sorted(workers * (ended - begun) / len(later) - passes_s(record) for record, _ in later)
    ratio = f"{rate / base:.2f}×" if base else "1.00×"
    overhead = f"{median(beyond):.3f} s at most {beyond[-1]:.3f} s"
    print(f"{name:<10} {ended - begun:>6.1f} s {rate:>8.2f} {ratio:>6} {overhead:>28}")
    return rate


def passes_s(record: Record) -> float:
    """The seconds of the case's own passes, in its worker."""
    phases = record.provenance["durations_s"]
    return sum(seconds for phase, seconds in phases.items() if phase not in ("overhead", "ceilings"))


if __name__ == "__main__":
    begun = time.monotonic()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40, float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
    print(f"{datetime.now():%Y-%m-%d}, in {time.monotonic() - begun:.0f} s")
