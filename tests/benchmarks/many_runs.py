"""How long listing and reporting take where there are thousands of runs, and how much memory.

    python tests/benchmarks/many_runs.py [2000] [10]

Writes that many run folders with that many readings each, then times `suite results list`, `suite results verify` and
`suite report` as commands of their own. Prints seconds, peak memory and the page's size; --keep FOLDER keeps the runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice, product
from pathlib import Path

from suite.records.record import Reading
from suite.theory.layers.geometry import geometry_names
from tests.records.factory import build, store

VARIANTS = ("mha", "gqa", "mqa", "mla", "mla_latent", "mla_expanded")
LENGTHS = tuple(2**power for power in range(8, 18))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=2000)
    parser.add_argument("readings", nargs="?", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="write into this folder, and keep it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.keep or Path(scratch)
        begun = time.perf_counter()
        write(root / "results", asked.runs, asked.readings)
        print(f"{asked.runs} runs of {asked.readings} readings, written in {time.perf_counter() - begun:.1f} s")
        timed("results", "list", str(root / "results"))
        timed("results", "verify", str(root / "results"))
        page = root / "page.html"
        timed("report", "--results", str(root / "results"), "--out", str(page))
        print(f"the page has {page.stat().st_size / 1e6:.2f} MB")


def write(root: Path, runs: int, readings: int) -> None:
    points = product(geometry_names(), ("float32", "bfloat16"), ("decode", "prefill"), LENGTHS, VARIANTS)
    for number, (geometry, dtype, phase, seq_len, variant) in enumerate(islice(points, runs)):
        axes = {"geometry": geometry, "dtype": dtype, "phase": phase, "seq_len": seq_len, "attention": variant}
        whole = build(latencies_s=(1e-6 * seq_len, 1.01e-6 * seq_len, 0.99e-6 * seq_len), **axes)
        object.__setattr__(whole, "run_key", f"{number:064x}"[::-1])
        object.__setattr__(whole, "readings", filled(whole.readings, readings))
        store(root, whole)


def filled(readings: list[Reading], count: int) -> list[Reading]:
    """The timings first, then as many of the constants as fit."""
    return sorted(readings, key=lambda reading: reading.metric != "latency_s")[:count]


def timed(*arguments: str) -> None:
    begun = time.perf_counter()
    command = [sys.executable, "-m", "suite", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    peak_mib = usage.ru_maxrss / 1024
    print(f"{' '.join(arguments[:2])}: {time.perf_counter() - begun:.2f} s, peak {peak_mib:,.0f} MiB, exit code {code}")


if __name__ == "__main__":
    main()
