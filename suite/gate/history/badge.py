"""The gate's error rate on one machine as a badge: JSON that shields.io reads from an address ("endpoint badge").

The fields are those of https://shields.io/badges/endpoint-badge. Green needs evidence: no false alarm in so few runs
that one in twenty would not have been seen either is yellow.
"""

import json
from pathlib import Path
from typing import Any

from suite.gate.selftest import RUNS, TWO_WORKERS, read_runs
from suite.gate.verdict import Outcome
from suite.records.stores.store import write_named
from suite.statistics.proportions import wilson

LABEL = "false alarms"
GREEN_TO, RED_FROM = 0.05, 0.05
"""The upper end of the interval that is green, and the lower end that is red."""


def badge(folder: Path) -> dict[str, Any]:
    """Return the badge of a self-test's folder. Raises ValueError for one without a run of identical code."""
    try:
        runs = [run for run in read_runs(folder) if (run["form"], run["slowed"]) == (TWO_WORKERS, 0.0)]
        alarms = sum(any(one["outcome"] == Outcome.SLOWER for one in run["benchmarks"]) for run in runs)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"out must be a folder of suite gate selftest; its {RUNS} cannot be read") from error
    if not runs:
        raise ValueError(f"out must be a folder of suite gate selftest; {str(folder)!r} has no run of identical code")
    found = wilson(alarms, len(runs))
    colour = "red" if found.low > RED_FROM else "brightgreen" if found.high <= GREEN_TO else "yellow"
    return {
        "schemaVersion": 1,
        "label": LABEL,
        "message": f"{alarms} of {len(runs)} (≤ {100 * found.high:.1f} %)",
        "color": colour,
    }


def write_badge(folder: Path, path: Path) -> str:
    """Write the badge of a folder, and return its message."""
    made = badge(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_named(path, (json.dumps(made, ensure_ascii=False) + "\n").encode())
    return f"{made['label']}: {made['message']}"
