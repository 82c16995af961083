"""What reading many records costs: the figures of results/README.md.

    .ci/tool benchmarks.million_records 20000 [--folders] [--verify] [--keep FOLDER]

Makes that many records of ten readings each, a hundred of a machine, 10,000 below a folder each, and turns them into
tables. Reads those, and with `--folders` the run folders before, in a process of its own with one thread, and prints
seconds by the wall's clock and of the CPU, peak memory, files and bytes. All share 500 tables of readings, which saves
making them and costs the same to read.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from suite.commands.results import pack
from suite.records.record import RECORD, SAMPLES
from suite.records.stores.store import READINGS
from tests.records.factory import build

IN_A_FOLDER, OF_A_MACHINE, READINGS_EACH, TABLES = 10_000, 100, 10, 500
FEW = 2
GPUS = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA H200", "NVIDIA L40S")
VARIANTS = ("mha", "gqa", "mqa", "mla")
MEASURED = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int)
    parser.add_argument("--folders", action="store_true", help="time the run folders, too")
    parser.add_argument("--verify", action="store_true", help="time verify of the first folder, too")
    parser.add_argument("--keep", type=Path, help="write into this folder, and keep it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = options.keep or Path(scratch)
        print(f"{options.records:,} records of {READINGS_EACH} readings, {OF_A_MACHINE} of a machine")
        as_folders(root / "runs", options.records)
        if options.folders:
            time_listing(root / "runs")
        with contextlib.redirect_stdout(io.StringIO()):
            pack([root / "runs"], remove=True)
        time_listing(root / "runs")
        if options.verify:
            first = min((root / "runs").iterdir())
            suite(first, "results", "verify", str(first))


def time_listing(folder: Path) -> None:
    """Time a list of failed runs, which reads every record, and of few folders one of all runs."""
    suite(folder, "results", "list", str(folder), "--status", "failed")
    if len(list(folder.iterdir())) <= FEW:
        suite(folder, "results", "list", str(folder), "--json")


def machine_hash(number: int) -> str:
    """The machine's id of this record."""
    return hashlib.sha256(f"machine {number // OF_A_MACHINE}".encode()).hexdigest()[:16]


def records(count: int) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield name and files of so many records, which differ in key, case and machine."""
    chance, tables = random.Random(0), []
    for _ in range(min(count, TABLES)):
        record = build(latencies_s=tuple(1e-3 * chance.uniform(0.9, 1.1) for _ in range(3)))
        few = sorted(record.readings, key=lambda reading: reading.metric != "latency_s")[:READINGS_EACH]
        samples = READINGS.content(few)
        tables.append((samples, hashlib.sha256(samples).hexdigest()))
    for number in range(count):
        samples, digest = tables[number % TABLES]
        gpu = GPUS[number // OF_A_MACHINE % len(GPUS)]
        environment = {"machine_id": machine_hash(number), "gpus": [gpu], "logical_cpus": 64}
        axes = {"attention": VARIANTS[number % len(VARIANTS)], "seq_len": 256 + number % OF_A_MACHINE}
        record = build(latencies_s=(), environment=environment, **axes)
        whole = replace(record, run_key=f"{number:016x}" * 4, files={SAMPLES: digest})
        yield whole.run_key[:16], {RECORD: json.dumps(whole.as_json(), indent=1).encode(), SAMPLES: samples}


def as_folders(root: Path, count: int) -> None:
    """Write so many records as run folders, IN_A_FOLDER in each folder."""
    for number, (name, files) in enumerate(records(count)):
        folder = root / str(number // IN_A_FOLDER) / name
        folder.mkdir(parents=True)
        for part, content in files.items():
            (folder / part).write_bytes(content)


def suite(folder: Path, *arguments: str) -> None:
    """Print what a command of the suite takes. A small process starts it: a child's peak is its parent's at least."""
    watched = [sys.executable, "-c", MEASURED, sys.executable, "-m", "suite", *arguments]
    printed = subprocess.check_output(watched, env=os.environ | {"OMP_NUM_THREADS": "1"})
    wall_s, cpu_s, peak_mib, code = json.loads(printed)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    files = f"{len(sizes):,} files, {sum(sizes) / 1e6:,.0f} MB"
    words_without_paths = " ".join(word for word in arguments if "/" not in word)
    taken = f"{wall_s:.1f} s, CPU {cpu_s:.1f} s, peak {peak_mib:,.0f} MiB, exit code {code}"
    print(f"suite {words_without_paths}, {folder.name}: {taken}; {files}", flush=True)


if __name__ == "__main__":
    main()
