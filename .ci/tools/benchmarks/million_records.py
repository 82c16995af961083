"""What reading many records costs, as packs and as columns: the figures of the plan in results/README.md.

    pip install duckdb
    .ci/tool benchmarks.million_records 20000 [--folders] [--push] [--keep FOLDER]

Makes that many records of ten readings each, a hundred of a machine: as packs of 10,000 in a folder each, with
`--folders` as run folders too; as columns in a file for each machine, as `suite results push` leaves them when each
machine sends its own; and as the same columns in a few large files. Then reads each in a process of its own with one
thread, and prints seconds by the wall's clock and of the CPU, peak memory, files and bytes. Run folders and packs share
500 tables of readings, which saves making them and costs the same to read. At 200,000 records one command reads no
further than its limits, and says so with exit code 4.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from suite.records.record import RECORD, SAMPLES
from suite.records.stores.board import INDEX, READING_ROWS, arrow_schema
from suite.records.stores.pack import PACK, pack_bytes
from suite.records.stores.store import READINGS
from tests.records.factory import build

IN_A_PACK, OF_A_MACHINE, READINGS_EACH, TABLES, ROWS_IN_A_FILE = 10_000, 100, 10, 500, 2_000_000
FEW = 2
GPUS = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA H200", "NVIDIA L40S")
VARIANTS = ("mha", "gqa", "mqa", "mla")
IN_DUCKDB = """
import duckdb, sys
duckdb.sql("SET threads = 1")
index, readings = sys.argv[1:]
found = duckdb.sql(f\"\"\"
    SELECT i.gpu, r.span, i.axes->>'attention' AS variant, count(*) AS n, median(r.value) AS latency_s
    FROM read_parquet('{readings}') r JOIN read_parquet('{index}') i USING (record_sha256)
    WHERE r.metric = 'latency_s' AND i.status = 'ok' GROUP BY ALL ORDER BY ALL\"\"\").fetchall()
assert len(found) == 32, found
"""
ONE_MACHINE = """
import pyarrow, pyarrow.compute as pc, pyarrow.dataset as ds, sys
pyarrow.set_cpu_count(1)
found = ds.dataset(sys.argv[1], partitioning="hive").to_table(
    columns=["value"], filter=(pc.field("machine_id") == sys.argv[2]) & (pc.field("metric") == "latency_s"))
assert found.num_rows == 600, found.num_rows
"""
LISTED = """
import pyarrow, pyarrow.dataset as ds, sys
pyarrow.set_cpu_count(1)
assert ds.dataset(sys.argv[1]).to_table(columns=["case_id", "status", "started_at", "gpu"]).num_rows
"""
MEASURED = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
took_s, used = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([took_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int)
    parser.add_argument("--folders", action="store_true", help="as run folders, too")
    parser.add_argument("--push", action="store_true", help="time verify and push of the first pack, too")
    parser.add_argument("--keep", type=Path, help="write into this folder, and keep it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = asked.keep or Path(scratch)
        print(f"{asked.records:,} records of {READINGS_EACH} readings, {OF_A_MACHINE} of a machine")
        as_packs(root / "packs", asked.records)
        listed(root / "packs")
        if asked.folders:
            as_folders(root / "folders", asked.records)
            listed(root / "folders")
        if asked.push:
            first = min((root / "packs").iterdir())
            suite(first, "results", "verify", str(first))
            suite(first, "results", "push", str(first), "--to", str(root / "pushed"))
        as_columns(root / "a file a machine", asked.records, OF_A_MACHINE)
        compact(root / "a file a machine", root / "large files")
        for folder in (root / "a file a machine", root / "large files"):
            index, readings, name = folder / "index", folder / "readings", folder.name
            files = f"{index}/*.parquet", f"{readings}/**/*.parquet"
            timed(f"medians by GPU, variant and span, DuckDB, {name}", folder, ["-c", IN_DUCKDB, *files])
            timed(f"one machine's timings, pyarrow, {name}", folder, ["-c", ONE_MACHINE, str(readings), machine(0)])
            timed(f"a line a run, pyarrow, {name}", folder, ["-c", LISTED, str(index)])


def listed(folder: Path) -> None:
    """Time a list of what failed, which reads every record; of few packs one of all, which reads readings too."""
    suite(folder, "results", "list", str(folder), "--status", "failed")
    if len(list(folder.iterdir())) <= FEW:
        suite(folder, "results", "list", str(folder), "--json")


def machine(number: int) -> str:
    return hashlib.sha256(f"machine {number // OF_A_MACHINE}".encode()).hexdigest()[:16]


def records(count: int) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """The name and the files of records that differ in key, case and machine."""
    chance, tables = random.Random(0), []
    for _ in range(min(count, TABLES)):
        record = build(latencies_s=tuple(1e-3 * chance.uniform(0.9, 1.1) for _ in range(3)))
        few = sorted(record.readings, key=lambda reading: reading.metric != "latency_s")[:READINGS_EACH]
        samples = READINGS.content(few)
        tables.append((samples, hashlib.sha256(samples).hexdigest()))
    for number in range(count):
        samples, digest = tables[number % TABLES]
        gpu = GPUS[number // OF_A_MACHINE % len(GPUS)]
        environment = {"machine_id": machine(number), "gpus": [gpu], "logical_cpus": 64}
        axes = {"attention": VARIANTS[number % len(VARIANTS)], "seq_len": 256 + number % OF_A_MACHINE}
        record = build(latencies_s=(), environment=environment, **axes)
        whole = replace(record, run_key=f"{number:016x}" * 4, files={SAMPLES: digest})
        yield whole.run_key[:16], {RECORD: json.dumps(whole.as_json(), indent=1).encode(), SAMPLES: samples}


def as_folders(root: Path, count: int) -> None:
    for number, (name, files) in enumerate(records(count)):
        folder = root / str(number // IN_A_PACK) / name
        folder.mkdir(parents=True)
        for part, content in files.items():
            (folder / part).write_bytes(content)


def as_packs(root: Path, count: int) -> None:
    waiting: dict[str, Mapping[str, bytes]] = {}
    for number, (name, files) in enumerate(records(count), 1):
        waiting[name] = files
        if len(waiting) == IN_A_PACK or number == count:
            folder = root / f"{number:07d}"
            folder.mkdir(parents=True)
            (folder / PACK).write_bytes(pack_bytes(waiting))
            waiting = {}


def as_columns(root: Path, count: int, in_a_file: int) -> None:
    """Write the columns of `suite results push`, with a file for so many records of one machine."""
    chance = np.random.default_rng(0)
    for first in range(0, count, in_a_file):
        numbers = range(first, min(count, first + in_a_file))
        digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]
        index = {name: [_cell(name, kind, number) for number in numbers] for name, (kind, _) in INDEX.items()}
        index["record_sha256"] = digests
        folder = root / "readings" / "workload=attention" / f"machine_id={machine(first)}"
        folder.mkdir(parents=True)
        (root / "index").mkdir(exist_ok=True)
        pq.write_table(pa.table(index, schema=arrow_schema(INDEX)), root / "index" / f"{first:08d}.parquet")
        rows = len(digests) * READINGS_EACH
        timed = [("layer", "latency_s"), ("kernel", "latency_s")] * 3 + [("case", "cache_bytes")] * 4
        seconds = 1e-3 * chance.uniform(0.9, 1.1, rows)
        readings: dict[str, object] = {
            "record_sha256": np.repeat(digests, READINGS_EACH),
            "case_id": np.repeat(index["case_id"], READINGS_EACH),
            "row": np.tile(np.arange(READINGS_EACH), len(digests)),
            "step": np.tile(np.arange(READINGS_EACH) // 2, len(digests)),
            "span": [span for span, _ in timed] * len(digests),
            "metric": [metric for _, metric in timed] * len(digests),
            **dict.fromkeys(("value", "wall_s", "thread_cpu_s", "process_cpu_s"), seconds),
            **dict.fromkeys(("involuntary_switches", "launch"), np.zeros(rows, dtype="int64")),
        }
        pq.write_table(pa.table(readings, schema=arrow_schema(READING_ROWS)), folder / "readings.parquet")


def _cell(name: str, kind: str, number: int) -> object:
    variant = VARIANTS[number % len(VARIANTS)]
    known = {
        "case_id": f"workload=attention attention={variant} geometry=deepseek-v2-lite seq_len={number % OF_A_MACHINE}",
        "axes": json.dumps({"attention": variant, "seq_len": 256 + number % OF_A_MACHINE}),
        "status": "ok",
        "machine_id": machine(number),
        "gpu": GPUS[number // OF_A_MACHINE % len(GPUS)],
        "run_key": f"{number:064x}",
    }
    return known.get(name, {"string": "0123456789abcdef", "bool": False}.get(kind, READINGS_EACH))


def compact(board: Path, into: Path) -> None:
    """Write the same columns once more, in few files, in the order in which they came."""
    begun = time.perf_counter()
    for name in ("index", "readings"):
        found = ds.dataset(board / name, partitioning="hive")
        most = {"max_rows_per_file": ROWS_IN_A_FILE, "max_rows_per_group": ROWS_IN_A_FILE // 8}
        ds.write_dataset(found, into / name, format="parquet", use_threads=False, **most)
    print(f"large files made of them in {time.perf_counter() - begun:.1f} s")


def suite(folder: Path, *arguments: str) -> None:
    shown = [word for word in arguments if "/" not in word]
    timed(f"suite {' '.join(shown)}, {folder.name}", folder, ["-m", "suite", *arguments])


def timed(name: str, folder: Path, arguments: list[str]) -> None:
    """Run a program in a process of its own, by one that is small: the peak of a child is at least its parent's."""
    command = [sys.executable, "-c", MEASURED, sys.executable, *arguments]
    took_s, cpu_s, peak_mib, code = json.loads(subprocess.check_output(command, text=True))
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    size = f"{len(sizes):,} files, {sum(sizes) / 1e6:,.0f} MB"
    print(f"{name}: {took_s:.1f} s, CPU {cpu_s:.1f} s, peak {peak_mib:,.0f} MiB, exit code {code}; {size}", flush=True)


if __name__ == "__main__":
    main()
