"""Kills sweeps at random moments and looks at what is left.

    .ci/tool survival 10                  # one process, killed as often
    .ci/tool survival --together          # four processes of this machine that share a sweep
    .ci/tool survival --together --hosts  # four machines, as far as one machine can be four

One process: a sweep of 24 cases is started, killed with -9 and started again, as often as is said, and then let finish.
One kill in five hits anywhere in the start-up, the others while cases run. Where only the worker is killed, the sweep
must first write its case's record and go on; the parent is killed after that, so that work is left.

Together: four processes of the same command share a sweep of 96 cases. Each is killed once, at a random moment while
cases run, and started again. With `--hosts` each process has an identity and a network of its own (`unshare`, which
needs root or user namespaces), `spread=true` lets these machines share the cases, all processes of a machine die at
once, and a new machine takes its place.

No file may be torn, no record that lay there once may be gone or changed, and every case must end with exactly one
record that is ok; no lock of processes that ran together may be left.
"""

import argparse
import hashlib
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from suite.machine.environment import BOOT_ID, MACHINE_ID
from suite.records.record import FILES, OVERRIDES, Status
from suite.records.stores.store import LOCK, RECORD, SAMPLES, read_contents
from suite.records.stores.telemetry import TELEMETRY, read_series

ROOT = Path(__file__).resolve().parents[2]
VICTIMS = ("parent", "worker", "both")
START_UP_S, SOME_CASES_S = 4.0, 1.8
TOGETHER = 4
MOMENT_S = 0.4
"""A kill of one of several comes at most this long after a case of its victim was seen to run."""
LENGTHS, LENGTHS_TOGETHER = (64, 96), range(64, 321, 16)
LOOK_S = 0.02
"""Between two looks for a case that runs, which takes tenths of a second: each look goes through all processes."""
CASES_A_LENGTH = 12
TOO_SOON = "a process ended before it was killed: the sweep needs more cases"
NAMESPACES = (
    ["unshare", "--uts", "--net", "--mount"],
    ["unshare", "--user", "--map-root-user", "--uts", "--net", "--mount"],
)
OWN_IDENTITY = f"""
hostname "$0" && echo "$0" >"$1" && mount --bind "$1" {BOOT_ID}
[ ! -e {MACHINE_ID} ] || mount --bind "$1" {MACHINE_ID}
shift && exec "$@"
"""


class Sweep:
    """The sweep, whose processes run on machines of their own where there is a way to make them."""

    def __init__(self, results: Path, lengths: Sequence[int], namespaces: Sequence[str] = ()) -> None:
        self.results, self.cases, self._namespaces = results, CASES_A_LENGTH * len(lengths), namespaces
        self._overrides = [
            *("-m", "geometry=tiny", "measure=smoke", "attention=mha,gqa,mla", "dtype=float32,bfloat16"),
            *("phase=decode,prefill", f"seq_len={','.join(map(str, lengths))}", f"hydra.sweep.dir={results}"),
        ]
        self._names = (f"node{number}" for number in itertools.count(1))
        self._digests: dict[str, str] = {}

    def start(self) -> subprocess.Popen[bytes]:
        """Start the sweep once more, on a new machine where each has its own."""
        command = [sys.executable, "-m", "suite.commands.run", *self._overrides]
        if self._namespaces:
            name = next(self._names)
            renamed = ["sh", "-ec", OWN_IDENTITY, name, str(self.results.with_name(name))]
            command = [*self._namespaces, *renamed, *command, "spread=true"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True, stdout=quiet, stderr=quiet)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process, or all of its machine's, and wait until none is left."""
        if self._namespaces:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        raise AssertionError(f"processes of group {process.pid} outlive their sweep")

    def look(self, kill: str) -> None:
        """Raise AssertionError if anything recorded before is gone or changed, or anything torn. Prints the counts."""
        # Of whole runs alone: other processes may be writing others, and let locks go.
        folders = [path.parent for path in self.results.rglob(RECORD)]
        paths = [path for folder in folders for name in (RECORD, *FILES) if (path := folder / name).is_file()]
        digests = {str(path.relative_to(self.results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        lost = self._digests.items() - digests.items()
        assert not lost, f"recorded before, now gone or changed: {lost}"
        contents = read_contents([self.results])
        assert not contents.damaged, contents.damaged
        print(f"{kill}: {len(contents.stored)} records, {len(contents.unfinished)} unfinished", flush=True)
        self._digests = digests

    def judge(self) -> str:
        """Raise AssertionError unless every case has one record that is ok and nothing is left over; else a summary."""
        contents = read_contents([self.results])
        ok = Counter(stored.record.case.id for stored in contents.stored if stored.record.status is Status.OK)
        rest = Counter(str(stored.record.status) for stored in contents.stored if stored.record.status is not Status.OK)
        assert not contents.damaged, contents.damaged
        assert not contents.unfinished, contents.unfinished
        for stored in contents.stored:
            read_series(stored.record, stored.folder)  # raises where its file is torn
        names = {path.name for path in self.results.rglob("*") if path.is_file()}
        # A kill between a record's last byte and its lock's end leaves the lock's file, which nobody holds.
        assert names - {LOCK} == {RECORD, SAMPLES, TELEMETRY, Path(OVERRIDES).name}, names
        assert len(ok) == self.cases, len(ok)
        assert set(ok.values()) == {1}, ok
        return f"{self.cases} cases, each ok once; 0 torn, 0 lost, 0 unfinished; besides {dict(rest) or 'nothing'}"

    def failed_count(self) -> int:
        return sum(stored.record.status is Status.FAILED for stored in read_contents([self.results]).stored)


def running_worker(process: subprocess.Popen[bytes]) -> int | None:
    """Process number of the case that runs, a fork of the fork server; None where none does at this moment."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.ppid() != process.pid:
                    return child.pid
    return None


def wait_for_worker(process: subprocess.Popen[bytes]) -> int | None:
    """The process number of the first case seen to run; None where the sweep ends before."""
    while process.poll() is None:
        if (worker := running_worker(process)) is not None:
            return worker
        time.sleep(LOOK_S)
    return None


def survive_alone(sweep: Sweep, kills: int, chance: random.Random) -> None:
    """Kill and resume, then let it finish."""
    for number in range(kills):
        victim = VICTIMS[number % len(VICTIMS)]
        process = sweep.start()
        if number % 5 == 4:
            time.sleep(chance.uniform(0, START_UP_S))
        else:
            wait_for_worker(process)
            time.sleep(chance.uniform(0, SOME_CASES_S))
        worker = wait_for_worker(process) if victim != "parent" else None
        if worker is not None:
            failures = sweep.failed_count()
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
            # Between two cases there may be none to kill: then the sweep goes on to its end.
            while victim == "worker" and sweep.failed_count() == failures and process.poll() is None:
                time.sleep(3 * LOOK_S)  # each look reads all records
        sweep.kill(process)
        sweep.look(f"kill {number + 1} ({victim})")
    assert sweep.start().wait(timeout=300) == 0


def survive_together(sweep: Sweep, chance: random.Random) -> None:
    """Start all, kill each once and start it again, then let all finish."""
    processes = [sweep.start() for _ in range(TOGETHER)]
    try:
        unharmed = set(range(TOGETHER))
        for number in range(1, TOGETHER + 1):
            victim = busy_victim({place: processes[place] for place in unharmed}, chance)
            unharmed.remove(victim)
            time.sleep(chance.uniform(0, MOMENT_S))
            assert processes[victim].poll() is None, TOO_SOON
            sweep.kill(processes[victim])
            sweep.look(f"kill {number} of {TOGETHER}")
            processes[victim] = sweep.start()
        assert [process.wait(timeout=600) for process in processes] == [0] * TOGETHER
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    # Who is killed between writing a record and removing its lock leaves both, and nobody touches a record again.
    assert all((lock.parent / RECORD).is_file() for lock in sweep.results.rglob(LOCK))


def busy_victim(unharmed: Mapping[int, subprocess.Popen[bytes]], chance: random.Random) -> int:
    """The place of a random process that runs a case now; waiting for a given one would let the others end."""
    while not (busy := [place for place, process in unharmed.items() if running_worker(process) is not None]):
        assert all(process.poll() is None for process in unharmed.values()), TOO_SOON
        time.sleep(LOOK_S)
    return chance.choice(busy)


def own_host_names() -> list[str]:
    """The command that gives a process its own host name and network. Exits where none is allowed."""
    for command in NAMESPACES:
        with suppress(OSError):
            if subprocess.run([*command, "hostname", "node1"], capture_output=True, check=False).returncode == 0:
                return command
    sys.exit("no machines of their own: unshare --uts --net is not allowed here, nor with --user; try as root")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, nargs="?", default=10)
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--hosts", action="store_true")
    options = parser.parse_args()
    namespaces = own_host_names() if options.hosts else []
    with tempfile.TemporaryDirectory() as folder:
        lengths = LENGTHS_TOGETHER if options.together else LENGTHS
        sweep = Sweep(Path(folder) / "results", lengths, namespaces)
        if options.together:
            survive_together(sweep, random.Random(0))
        else:
            survive_alone(sweep, options.kills, random.Random(0))
        print(sweep.judge())
        machines = {stored.record.environment["machine_id"] for stored in read_contents([sweep.results]).stored}
        assert (len(machines) > 1) == bool(namespaces), machines
        print(f"recorded by {len(machines)} machine(s)")


if __name__ == "__main__":
    main()
