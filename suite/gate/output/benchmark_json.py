"""A judgement's samples as pytest-benchmark's JSON, which its `compare`, `--benchmark-compare` and histograms read.

One file is one side: `new.json` the candidate's samples, and `new.before.json` beside it the revision's that it was
compared with, under the same names. So `pytest-benchmark compare new.before.json new.json` shows both, and the
candidate's file is the next one's stored run. The verdict stands in `extra_info`: a table of two sides side by side
says nothing of the rounds that were paired. The names of fields are those of pytest-benchmark 5.3's Stats and Metadata.
"""

import json
import math
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suite.gate.output.files import without_secrets
from suite.gate.rules.decision import AFTER, BEFORE, Benchmark, Sample
from suite.gate.verdict import LATENCY, Judgement, Verdict
from suite.records.machine.environment import cpu_model, machine_id
from suite.records.stores.store import write_named

# The pytest-benchmark whose form this is.
VERSION = "5.3.1"
BEFORE_SUFFIX = ".before"
# Fields of a verdict in `extra_info`.
INFO = ("outcome", "reason", "ratio", "low", "high", "level", "allowed", "clock", "rounds", "launches", "code")
PYTHON = """
import json, platform
names = ("machine", "python_compiler", "python_implementation", "python_version", "release", "system")
print(json.dumps({name: getattr(platform, name)() for name in names}))
"""


def write_benchmark_json(path: Path, judgement: Judgement, samples: Sequence[Sample], python: str) -> list[Path]:
    """Write the newer side to `path` and the older one to NAME.before.json beside it, and return both paths. `python`:
    the interpreter that took the samples. Without samples the files list no benchmark."""
    contents = {
        path: benchmark_json(judgement, samples, AFTER, python),
        path.with_name(f"{path.stem}{BEFORE_SUFFIX}{path.suffix}"): benchmark_json(judgement, samples, BEFORE, python),
    }
    for file, content in contents.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_named(file, content)
    return list(contents)


def benchmark_json(judgement: Judgement, samples: Sequence[Sample], arm: int, python: str) -> bytes:
    """The samples of one side, `arm`, as JSON: each timed benchmark by its judging clock, with its verdict."""
    public = without_secrets(judgement)
    names = {
        verdict.name: public_verdict
        for verdict, public_verdict in zip(judgement.verdicts, public.verdicts, strict=True)
    }
    by_span: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if sample.arm == arm:
            by_span.setdefault((sample.case, sample.span), []).append(sample)
    benchmarks = []
    for verdict in judgement.verdicts:
        span_samples = by_span.get((verdict.case, verdict.span), [])
        if verdict.metric == LATENCY and verdict.clock and span_samples:
            column = Benchmark(case=verdict.case, span=verdict.span, clock=verdict.clock).column
            data_s = [getattr(sample, column) for sample in span_samples]
            benchmarks.append(_benchmark(names[verdict.name], data_s))
    side = (public.before, public.after)[arm]
    content = {
        "machine_info": _machine(python),
        "commit_info": {
            "id": side.commit or "unversioned",
            "time": None,
            "author_time": None,
            "dirty": side.dirty,
            "project": "",
            "branch": side.label,
        },
        "benchmarks": benchmarks,
        "datetime": datetime.now(UTC).isoformat(),
        "version": VERSION,
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _benchmark(verdict: Verdict, data_s: Sequence[float]) -> dict[str, Any]:
    """An entry of `benchmarks`, with the verdict as `extra_info` and all samples as data."""
    name = " · ".join(filter(None, (verdict.case, verdict.span)))
    info = {field: getattr(verdict, field) for field in INFO}
    return {
        "group": None,
        "name": name.rpartition("::")[2],
        "fullname": name,
        "params": None,
        "param": None,
        "extra_info": {field: value for field, value in info.items() if value not in (None, "")},
        "options": {"timer": verdict.clock},
        "stats": {**_stats(data_s), "data": list(data_s), "iterations": 1},
    }


def _stats(data_s: Sequence[float]) -> dict[str, Any]:
    """The statistics that pytest-benchmark writes, by its names and definitions."""
    ordered = sorted(data_s)
    half = (len(ordered) + 1) // 2
    mean, q1, q3 = statistics.fmean(ordered), statistics.median(ordered[:half]), statistics.median(ordered[-half:])
    stddev, fence = (statistics.stdev(ordered) if len(ordered) > 1 else 0.0), 1.5 * (q3 - q1)
    within = [value for value in ordered if q1 - fence <= value <= q3 + fence]
    beyond = sum(abs(value - mean) > stddev for value in ordered)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": stddev,
        "rounds": len(ordered),
        "median": statistics.median(ordered),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": len(ordered) - len(within),
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{len(ordered) - len(within)}",
        "ld15iqr": within[0],
        "hd15iqr": within[-1],
        "ops": 1 / mean,
        "total": math.fsum(ordered),
    }


def _machine(python: str) -> Mapping[str, Any]:
    """`machine_info`: facts of the machine and of that Python; a hash in place of the host's name."""
    facts = subprocess.run([python, "-I", "-c", PYTHON], capture_output=True, check=True).stdout
    return {
        "node": machine_id(),
        "processor": platform.processor(),
        **json.loads(facts),
        "cpu": {"brand_raw": cpu_model()},
    }
