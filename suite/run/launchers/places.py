"""Room for workers on the nodes of a cluster: one a GPU, or a set of cores for as many threads as a case has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from suite.run.job import Job

CPU, CUDA = "cpu", "cuda"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Room for one worker."""

    node: str
    """The node's id."""
    host: str
    """The machine's name, which never leaves this process: two nodes may be on one machine."""
    device: str
    cpus: int
    """Cores, as many as the case with the most threads has."""

    def takes(self, job: Job) -> bool:
        """Tell whether a worker here can run a job."""
        return device_of(job) == self.device


def device_of(job: Job) -> str:
    """Return the device that a worker must have for a job."""
    return CUDA if job.stays else CPU


def places_in(nodes: Iterable[Mapping[str, Any]], jobs: Sequence[Job], *, shares_nodes: bool) -> list[Place]:
    """Return room for workers on the nodes, which take turns in the order.

    `nodes`: as `ray.nodes()` describes them. `shares_nodes`: cases whose time counts may run side by side on one
    node's CPU, each on cores of its own, where one alone has the memory's bandwidth for itself.
    """
    on_gpu, on_cpu = ([job for job in jobs if device_of(job) == device] for device in (CUDA, CPU))
    is_timed = any(not (job.is_course or job.is_projection) for job in on_cpu)
    most_on_cpu = 1 if is_timed and not shares_nodes else None
    of_nodes = []
    for node in nodes:
        if not node["Alive"]:
            continue
        cpus, gpus = (int(node["Resources"].get(name, 0)) for name in ("CPU", "GPU"))
        found: list[Place] = []
        for device, own, most in ((CUDA, on_gpu, gpus), (CPU, on_cpu, most_on_cpu)):
            each = max((job.plan.threads for job in own), default=0)
            room = cpus // each if each else 0
            count = room if most is None else min(room, most)
            place = Place(node=node["NodeID"], host=node["NodeManagerHostname"], device=device, cpus=each)
            found += [place] * count
            cpus -= each * count
        of_nodes.append(found)
    return [place for turn in zip_longest(*of_nodes) for place in turn if place is not None]


def lacking(places: Sequence[Place], jobs: Sequence[Job]) -> str | None:
    """Say what a cluster has no room for; None where each job has a place."""
    for job in jobs:
        if not any(place.takes(job) for place in places):
            gpu = " and a GPU" if device_of(job) == CUDA else ""
            cpus = "a CPU" if job.plan.threads == 1 else f"{job.plan.threads} CPUs"
            return f"{cpus}{gpu} on one node, for {job.case.id}"
    return None
