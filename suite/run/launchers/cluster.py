"""A Ray cluster: joined, or started here, and the room that it has for workers."""

import importlib
import logging
import os
import re
import secrets
import signal
import socket
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from suite.machine.limits import most_threads
from suite.machine.plain_text import one_line
from suite.machine.signals import POLITE
from suite.machine.streams import CANNOT_JUDGE, CommandFailedError
from suite.run.job import Job

AUTO, HOST_PORT = "auto", re.compile(r"(?P<host>[\w.-]+|\[[\da-fA-F:]+\]):(?P<port>\d{1,5})")
LONGEST_ANSWER_S = 10.0
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a cluster that is started here tells nobody of it
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's own default to be; else it warns
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # its servers' words, with addresses, would stand in standard output
    "RAY_NUM_REDIS_GET_RETRIES": "2",  # of joining a cluster, each of which takes up to 40 s
}
"""Environment variables of Ray, where the user has not set them."""
CPU, CUDA = "cpu", "cuda"
KIND = "accelerator_type:"
"""With it begins the name of the resource by which Ray says what kind of GPU a node has."""


@dataclass(frozen=True, kw_only=True)
class WorkerPlace:
    """Room for one worker."""

    node: str
    host: str
    """The machine's name, which never leaves this process: two nodes may be on one machine."""
    device: str
    cpus: int
    """Cores, as many as the case with the most threads has."""

    def takes(self, job: Job) -> bool:
        """Whether a worker here can run a job."""
        return needed_device(job) == self.device


def needed_device(job: Job) -> str:
    """The device that a worker must have for a job."""
    return CUDA if job.stays else CPU


def places_in(
    nodes: Iterable[Mapping[str, Any]], jobs: Sequence[Job], *, shares_nodes: bool, gpu: str | None = None
) -> list[WorkerPlace]:
    """Room for workers on the nodes, which take turns in the order.

    `nodes`: as `ray.nodes()` describes them. `shares_nodes`: cases whose time counts may run side by side on one
    node's CPU, each on cores of its own, where one alone has the memory's bandwidth for itself. `gpu`: the kind of GPU
    that counts, by Ray's name in any case, such as `h100`; None for any.
    """
    jobs_by_device = {device: [job for job in jobs if needed_device(job) == device] for device in (CUDA, CPU)}
    is_timed = any(not (job.is_course or job.is_projection) for job in jobs_by_device[CPU])
    places_by_node = []
    for node in nodes:
        if not node["Alive"]:
            continue
        cpus, gpus = (int(node["Resources"].get(name, 0)) for name in ("CPU", "GPU"))
        if gpu is not None and gpu.lower() not in _gpu_kinds(node):
            gpus = 0
        most = {CUDA: gpus, CPU: 1 if is_timed and not shares_nodes else cpus}
        places: list[WorkerPlace] = []
        for device, device_jobs in jobs_by_device.items():
            threads = max((job.plan.threads for job in device_jobs), default=0)
            count = min(cpus // threads, most[device]) if threads else 0
            place = WorkerPlace(node=node["NodeID"], host=node["NodeManagerHostname"], device=device, cpus=threads)
            places += [place] * count
            cpus -= threads * count
        places_by_node.append(places)
    return [place for turn in zip_longest(*places_by_node) for place in turn if place is not None]


def _gpu_kinds(node: Mapping[str, Any]) -> list[str]:
    return [name.removeprefix(KIND).lower() for name in node["Resources"] if name.startswith(KIND)]


def lacking(places: Sequence[WorkerPlace], jobs: Sequence[Job], gpu: str | None = None) -> str | None:
    """Say what the first job without a place needs, as `4 CPUs on one node, for CASE`; None where each job has one."""
    for job in jobs:
        if not any(place.takes(job) for place in places):
            device = f" and a GPU{'' if gpu is None else f' {gpu}'}" if needed_device(job) == CUDA else ""
            cpus = "a CPU" if job.plan.threads == 1 else f"{job.plan.threads} CPUs"
            return f"{cpus}{device} on one node, for {job.case.id}"
    return None


def joined(address: str | None) -> Any:
    """Import Ray, join the cluster at the address, or start one on this machine for None; return the module.

    Raises CommandFailedError where the cluster cannot be joined, and ImportError without Ray.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if address is None:  # with a token of its own, since Ray would leave one in the user's home
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}
    before = {number: signal.getsignal(number) for number in POLITE}
    ray: Any = importlib.import_module("ray")
    local: dict[str, Any] = {"num_cpus": most_threads(), "include_dashboard": False} if address is None else {}
    try:
        server = HOST_PORT.fullmatch((os.environ.get("RAY_ADDRESS") if address == AUTO else address) or "")
        if server is not None:  # where nobody listens, Ray itself tries for minutes
            socket.create_connection((server["host"].strip("[]"), int(server["port"])), LONGEST_ANSWER_S).close()
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise CommandFailedError(
            f"the Ray cluster launcher.address={address or 'null'} cannot be joined: {_reason(error)}", CANNOT_JUDGE
        ) from error
    finally:
        for number, handler in before.items():  # Ray sets its own, which would end this process without its records
            if handler is not None:
                signal.signal(number, handler)
    return ray


def _reason(error: Exception) -> str:
    if "InvalidAuthToken" in "".join(traceback.format_exception(error)):
        return "its token differs from this one: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
    return one_line(" ".join(str(error).partition("\n\n")[0].split()))
