"""Nodes of Ray on this machine, as `ray start` makes them; each dies at once when it is told to."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT / "tests" / "foreign"
LONGEST_START_S = 90
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}
SMALL = (f"hydra.searchpath=[file://{FOREIGN / 'conf'}]", "measure=smoke", "telemetry=off")
WAITING = "workload=waiting"
"""Cases that take a known time and next to no processor."""


class Node:
    """A `ray start --block`, and all that it started."""

    def __init__(self, *arguments: str, log: Path) -> None:
        program = Path(sys.executable).with_name("ray")
        command = [str(program), "start", "--block", "--disable-usage-stats", *arguments]
        # When a command joins, a node would start a process for each of its CPUs, 2 s each, beside those asked for.
        calm = {**environment(), "RAY_prestart_worker_first_driver": "0"}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, env=calm, cwd=ROOT
            )

    def kill(self) -> None:
        """End it and everything below it by SIGKILL, as a machine does that loses power."""
        with suppress(psutil.NoSuchProcess):
            family = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(family, timeout=30)
        self.process.wait()


def environment() -> dict[str, str]:
    """Return the environment of nodes and commands: other packages' workloads are found, and others kept out."""
    path = os.pathsep.join([str(FOREIGN), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", **TOKEN}


def forks() -> set[int]:
    """Return the numbers of the processes that workers of these tests started, also where their parent is gone."""
    found = set()
    for process in psutil.process_iter(["cmdline", "environ"]):
        is_ours = (process.info["environ"] or {}).get("RAY_AUTH_TOKEN") == TOKEN["RAY_AUTH_TOKEN"]
        if is_ours and any("multiprocessing.forkserver" in part for part in process.info["cmdline"] or ()):
            found.add(process.pid)
    return found


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """A head, and a node that joined it."""

    address: str
    head: Node
    other: Node | None

    def workers(self, doing: str = "") -> set[int]:
        """Return the numbers of the actors' processes, those that run a method where it is named."""
        found = set()
        for node in filter(None, (self.head, self.other)):
            for process in psutil.Process(node.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if " ".join(process.cmdline()).startswith("ray::RemoteWorker" + (f".{doing}" if doing else "")):
                        found.add(process.pid)
        return found


@contextmanager
def ray_nodes(cpus: int = 1, *, joins: bool = True) -> Iterator[Nodes]:
    """Start a head and a node that joins it; the head alone unless one `joins`."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: the names of sockets have a limit
    address = f"127.0.0.1:{free_port()}"
    nodes: list[Node] = []
    try:
        port = address.rpartition(":")[2]
        head = ("--head", f"--port={port}", "--include-dashboard=false")
        nodes.append(Node(*head, f"--num-cpus={cpus}", f"--temp-dir={folder}", *_ports(), log=folder / "head.log"))
        if joins:
            _wait_for_answer(int(port), log=folder / "head.log")
            # An address of its own, so that a command joins through the head: it would end with the other node.
            other = (f"--address={address}", "--node-ip-address=127.0.0.2", f"--num-cpus={cpus}")
            nodes.append(Node(*other, *_ports(), log=folder / "other.log"))
        _wait_for(address, nodes=len(nodes), log=folder / "head.log")
        yield Nodes(address=address, head=nodes[0], other=nodes[1] if joins else None)
    finally:
        for node in reversed(nodes):
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_answer(port: int, *, log: Path) -> None:
    deadline = time.monotonic() + LONGEST_START_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"no head of a cluster: {log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ports() -> list[str]:
    """Return ports of its own for each server of a node, since two nodes share this machine."""
    names = ("node-manager", "object-manager", "runtime-env-agent", "metrics-export")
    agents = ("dashboard-agent-grpc", "dashboard-agent-listen")
    return [f"--{name}-port={free_port()}" for name in (*names, *agents)]


def _wait_for(address: str, *, nodes: int, log: Path) -> None:
    look = (
        "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR'); "
        "print(sum(node['Alive'] for node in ray.nodes()))"
    )
    deadline = time.monotonic() + LONGEST_START_S
    while time.monotonic() < deadline:
        asked = subprocess.run(
            [sys.executable, "-c", look, address],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=LONGEST_START_S,
        )
        if asked.stdout.strip() == str(nodes):
            return
        time.sleep(0.5)
    said = log.read_text(errors="replace")
    raise AssertionError(f"no cluster of {nodes} nodes: {asked.stderr[-2000:]} {said[-2000:]}")


def sweep(folder: Path, *arguments: str) -> list[str]:
    """Return the command of a sweep into a folder, of waiting cases unless the arguments name others."""
    workload = () if any(argument.startswith("workload=") for argument in arguments) else (WAITING,)
    return [sys.executable, "-m", "suite", "run", "-m", *SMALL, *workload, *arguments, f"hydra.sweep.dir={folder}"]


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        sweep(folder, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=_default_signals,
    )


def _default_signals() -> None:
    """Listen to signals, which whoever runs the tests behind nohup does not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
