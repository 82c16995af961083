"""Kills processes that run one sweep into one folder, each once, and looks at what is left.

    .ci/tool survival_together            # four processes of this machine
    .ci/tool survival_together --hosts    # four machines, as far as one machine can be four

Four processes of the same command share a sweep of 72 cases. Each is killed with -9 once, at a random moment while
cases run, and started again. With `--hosts` each process has an identity and a network of its own (`unshare`, which
needs root or user namespaces), `spread=true` lets these machines share the cases, all processes of a machine die at
once, and a new machine takes its place. No record that lay there once may be gone or changed; at the end every case
must have exactly one record, which is ok, and no lock may be left.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from suite.records.machine.environment import BOOT_ID, MACHINE_ID
from suite.records.stores.store import LOCK, read_contents
from tools.survival import ROOT, judged, looked_at, wait_until_gone, worker_now

TOGETHER = 4
CASES = 96
MOMENT_S = 0.4
"""A kill comes at most this long after a case of its victim was seen to run."""
SWEEP = (
    *("-m", "geometry=tiny", "measure=smoke", "attention=mha,gqa,mla"),
    *("seq_len=64,80,96,112,128,144,160,176", "dtype=float32,bfloat16", "phase=decode,prefill"),
)
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


class Machines:
    """The processes of the sweep; on machines of their own where there is a way to make them."""

    def __init__(self, results: Path, *, namespaces: Sequence[str]) -> None:
        self._results, self._namespaces = results, namespaces
        self._names: Iterator[str] = (f"node{number}" for number in itertools.count(1))
        self.spread = bool(namespaces)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the sweep once more, on a new machine where each has its own."""
        command = [sys.executable, "-m", "suite.commands.run", *SWEEP, f"hydra.sweep.dir={self._results}"]
        if self.spread:
            name = next(self._names)
            renamed = ["sh", "-ec", OWN_IDENTITY, name, str(self._results.with_name(name))]
            command = [*self._namespaces, *renamed, *command, "spread=true"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True, stdout=quiet, stderr=quiet)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process, or all of its machine's, and wait until none is left."""
        assert process.poll() is None, TOO_SOON
        if self.spread:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        wait_until_gone(process.pid)


def main(arguments: Sequence[str], seed: int = 0) -> None:
    namespaces = own_host_names() if "--hosts" in arguments else []
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        survive(results, Machines(results, namespaces=namespaces), random.Random(seed))
        print(judged(results, CASES))
        machines = {stored.record.environment["machine_id"] for stored in read_contents([results]).stored}
        assert (len(machines) > 1) == bool(namespaces), machines
        print(f"recorded by {len(machines)} machines" if namespaces else "recorded by one machine")


def own_host_names() -> list[str]:
    """Return the command that gives a process a host name and a network of its own. Ends where none is allowed."""
    for command in NAMESPACES:
        with suppress(OSError):
            if subprocess.run([*command, "hostname", "node1"], capture_output=True, check=False).returncode == 0:
                return command
    sys.exit("no machines of their own: unshare --uts --net is not allowed here, nor with --user; try as root")


def survive(results: Path, machines: Machines, chance: random.Random) -> None:
    """Start all, kill each once and start it again, then let all finish."""
    running = [machines.start() for _ in range(TOGETHER)]
    seen: dict[str, str] = {}
    try:
        unharmed = set(range(TOGETHER))
        for number in range(1, TOGETHER + 1):
            victim = next_victim({place: running[place] for place in unharmed}, chance)
            unharmed.remove(victim)
            time.sleep(chance.uniform(0, MOMENT_S))
            machines.kill(running[victim])
            seen = looked_at(results, seen, f"kill {number} of {TOGETHER}")
            running[victim] = machines.start()
        assert [process.wait(timeout=600) for process in running] == [0] * TOGETHER
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert not list(results.rglob(LOCK))


def next_victim(unharmed: Mapping[int, subprocess.Popen[bytes]], chance: random.Random) -> int:
    """Return one of those that run a case now: to wait for a certain one, which may begin late, lets the others end."""
    while not (busy := [place for place, process in unharmed.items() if worker_now(process) is not None]):
        assert all(process.poll() is None for process in unharmed.values()), TOO_SOON
        time.sleep(0.002)
    return chance.choice(busy)


if __name__ == "__main__":
    main(sys.argv[1:])
