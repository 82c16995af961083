"""Files as pytest-benchmark saves them, with times that a test chooses."""

import json

MACHINE = {
    "node": "a-host",
    "machine": "x86_64",
    "system": "Linux",
    "release": "6.1",
    "python_implementation": "CPython",
    "python_version": "3.12.1",
    "python_compiler": "GCC 12",
    "cpu": {"brand_raw": "A CPU 3000", "hz_actual": [2_400_000_000, 0]},
}
COMMIT = {"id": "0123456789abcdef", "dirty": False, "branch": "main"}


def benchmark(name="t.py::test_a", data=(1e-3, 2e-3, 3e-3), timer="perf_counter", **more):
    return {
        "group": None,
        "name": name.rpartition("::")[2],
        "fullname": name,
        "options": {"timer": timer},
        "stats": {"data": list(data), "iterations": 1},
        **more,
    }


def content(*benchmarks, machine=MACHINE, commit=COMMIT, version="5.3.1", at="2026-01-01T00:00:00+00:00"):
    return {
        "machine_info": machine,
        "commit_info": commit,
        "benchmarks": list(benchmarks),
        "datetime": at,
        "version": version,
    }


def write(path, *benchmarks, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content(*benchmarks, **more)), encoding="utf-8")
    return path
