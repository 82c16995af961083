"""The scripts of .ci/tools/benchmarks, each in a short form of some seconds, so that none breaks unseen."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUICK = {
    "compare_fail_on": "1",
    "evidence": "20",
    "launch_coverage": "--records results/reference/cpu/crossover",
}
"""Arguments of what `make test` runs: 5 s of CPU time in all."""
SLOW = {
    "curve_words": "2",
    "sampler_cost": "2",
    "cpp_decode": "256 1",
    "gate_error_rates": "--runs 1 --slowed-runs 0 --seconds 5 --out {folder}",
    "million_records": "20",
}
"""And of what .ci/run does."""
MINUTES = {
    "public_suites": "--python {python} --out {folder} pluggy",
    "stranger_power": "--python {python} --runs 1 --slow-runs 0 --seconds 5 --out {folder}",
}
"""And of what runs every night: these install packages."""
PARITY = {
    "rl_rivals": "--pairs 2 --policies tiny --only up",
}
"""Run by `make parity`, in whose environment its packages are."""


def run(name: str, arguments: str, folder: Path) -> str:
    """Run a script in the checkout's root as a person does, and return what it printed."""
    filled = arguments.format(folder=folder, python=sys.executable).split()
    ended = subprocess.run(
        [sys.executable, "-m", f"tools.benchmarks.{name}", *filled],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / ".ci")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return ended.stdout
