"""Kills sweeps at random moments, the parent, the worker or both, and looks at what is left.

    .ci/tool survival 10

A sweep of 24 cases is started, killed with -9 and started again, as often as is said, and then let finish. No file may
be torn, no record that lay there once may be gone or changed, and every case must end with exactly one record that is
ok. One kill in five hits anywhere in the start-up, the others while cases run. Where only the worker is killed, the
sweep must first write its case's record and go on; the parent is killed after that, so that work is left.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from suite.records.record import FILES, OVERRIDES, Status
from suite.records.stores.store import LOCK, RECORD, SAMPLES, read_contents
from suite.records.stores.telemetry import TELEMETRY, read_series

ROOT = Path(__file__).resolve().parents[2]
VICTIMS = ("parent", "worker", "both")
CASES = 24
START_UP_S, SOME_CASES_S = 4.0, 1.8
SWEEP = (
    *("-m", "geometry=tiny", "measure=smoke", "attention=mha,gqa,mla"),
    *("seq_len=64,96", "dtype=float32,bfloat16", "phase=decode,prefill"),
)


def main(kills: int, seed: int = 0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        survive(results, kills, random.Random(seed))
        print(judged(results))


def survive(results: Path, kills: int, chance: random.Random) -> None:
    """Kill and resume, then let it finish."""
    seen: dict[str, str] = {}
    for number in range(kills):
        victim = VICTIMS[number % len(VICTIMS)]
        process = start(results)
        if number % 5 == 4:
            time.sleep(chance.uniform(0, START_UP_S))
        else:
            worker_of(process)
            time.sleep(chance.uniform(0, SOME_CASES_S))
        strike(process, victim, results)
        process.wait()
        wait_until_gone(process.pid)
        seen = looked_at(results, seen, f"kill {number + 1} ({victim})")
    assert start(results).wait(timeout=300) == 0


def looked_at(results: Path, seen: dict[str, str], kill: str) -> dict[str, str]:
    """Return the digests of what is recorded after a kill. All that was seen before must be there, and nothing torn."""
    now = digests(results)
    assert seen.items() <= now.items(), f"recorded before, now gone or changed: {seen.items() - now.items()}"
    contents = read_contents([results])
    assert not contents.damaged, contents.damaged
    print(f"{kill}: {len(contents.stored)} records, {len(contents.unfinished)} unfinished", flush=True)
    return now


def start(results: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "suite.commands.run", *SWEEP, f"hydra.sweep.dir={results}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True, stdout=quiet, stderr=quiet)


def worker_of(process: subprocess.Popen[bytes]) -> int | None:
    """Process number of the case that runs, a fork of the fork server; None where the sweep ends before one does."""
    while process.poll() is None:
        if (worker := worker_now(process)) is not None:
            return worker
        time.sleep(0.002)
    return None


def worker_now(process: subprocess.Popen[bytes]) -> int | None:
    """Process number of the case that runs; None where none does at this moment."""
    with suppress(psutil.NoSuchProcess):
        for one in psutil.Process(process.pid).children(recursive=True):
            if parent_of(one) not in (process.pid, None):
                return one.pid
    return None


def strike(process: subprocess.Popen[bytes], victim: str, results: Path) -> None:
    worker = worker_of(process) if victim != "parent" else None
    if worker is not None:
        failed = failures(results)
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        # Between two cases there may be none to kill: then the sweep goes on to its end.
        while victim == "worker" and failures(results) == failed and process.poll() is None:
            time.sleep(0.005)
    process.kill()


def failures(results: Path) -> int:
    return sum(stored.record.status is Status.FAILED for stored in read_contents([results]).stored)


def parent_of(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return None


def wait_until_gone(group: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"processes of group {group} outlive their sweep")


def digests(results: Path) -> dict[str, str]:
    """Return the digest of each file of each whole run: other processes may be writing others, and let locks go."""
    folders = [path.parent for path in results.rglob(RECORD)]
    paths = [path for folder in folders for name in (RECORD, *FILES) if (path := folder / name).is_file()]
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def judged(results: Path, cases: int = CASES) -> str:
    contents = read_contents([results])
    ok = Counter(stored.record.case.id for stored in contents.stored if stored.record.status is Status.OK)
    others = Counter(str(stored.record.status) for stored in contents.stored if stored.record.status is not Status.OK)
    assert not contents.damaged, contents.damaged
    assert not contents.unfinished, contents.unfinished
    for stored in contents.stored:
        read_series(stored.record, stored.folder)  # raises where its file is torn
    names = {path.name for path in results.rglob("*") if path.is_file()}
    # A kill between a record's last byte and its lock's end leaves the lock's file, which nobody holds.
    assert names - {LOCK} == {RECORD, SAMPLES, TELEMETRY, Path(OVERRIDES).name}, names
    assert len(ok) == cases, len(ok)
    assert set(ok.values()) == {1}, ok
    return f"{cases} cases, each ok once; 0 torn, 0 lost, 0 unfinished; besides {dict(others) or 'nothing'}"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
