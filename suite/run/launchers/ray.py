"""Cases on a Ray cluster: an actor a device or set of cores, which stays warm between cases.

Ray starts the actors, on nodes that have what they need, and starts them again when they die. A record comes back as
bytes and is written here, so no file system need be shared. Ray repeats nothing by itself: a case whose actor or node
was lost goes back into the queue, so that another one runs it.
"""

import importlib
import importlib.util
import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

from suite.configuration.values import positive_number, whole_number
from suite.machine.code import code_digest
from suite.machine.environment import source_digest
from suite.machine.installation import install_command
from suite.machine.plain_text import one_line
from suite.machine.streams import CANNOT_JUDGE, CommandFailedError
from suite.measure.worker import TaskInterruptedError
from suite.records.record import OVERRIDES, Evidence, Record, Status
from suite.records.stores.claim import NAME_LENGTH
from suite.records.stores.store import StoredRecord
from suite.run.cached import Notice, find_on_any_machine, newest_with_key, runs_by_case
from suite.run.job import Job
from suite.run.launchers.cluster import AUTO, CUDA, HOST_PORT, WorkerPlace, joined, lacking, places_in
from suite.run.launchers.launcher import CaseSlot, SlotLostError, own_modules
from suite.run.launchers.remote import Description, Errand, RemoteAnswer, RemoteWorker, Terms
from suite.run.recorder import MeasuredCase, SharedState, base_provenance, overrides_file

NAME = "ray"
LOOK_EVERY_S = 0.2
LONGEST_START_S = 60.0
"""The time after which a worker that does not begin is tried on another node, if there is room on one."""
GRACE_S = 5.0
"""The time that a worker has to end by itself, after an interruption and at the end of the sweep."""
NO_TOKEN = (
    "ray: the cluster asks for no token, so whoever reaches its ports can run code on its nodes and on this machine: "
    "set RAY_AUTH_MODE=token"
)
CLAIMS = ".claims"
"""A folder beside the runs': whoever runs a case, on whatever machine, holds the lock of its name there."""


class _TimeOutError(Exception):
    """The case took longer than it may."""


class _OtherCodeError(Exception):
    """A worker would run other code than the one that its records are asked of."""


@dataclass(kw_only=True)
class Cluster:
    """State that the slots of one sweep share."""

    ray: Any
    state: SharedState
    jobs: Sequence[Job]
    terms: Mapping[WorkerPlace, bytes]
    workers: int
    retries: int
    timeout_s: float | None
    spare: deque[WorkerPlace]
    """Room that no worker has yet."""
    runs: Mapping[str, Sequence[StoredRecord]]
    """Those that lay there before, by case id."""
    losses: Counter[str] = field(default_factory=Counter)
    """Times that a case was lost, by its id."""
    described: list[Description] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def start(self, place: WorkerPlace) -> Any:
        """Start an actor on a place's node. Ray waits while the node has no room."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        worker = self.ray.remote(RemoteWorker).options(
            num_cpus=place.cpus,
            num_gpus=int(place.device == CUDA),
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=2,  # one measures, the other interrupts it
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(place.node, soft=False),
        )
        return worker.remote(self.terms[place])

    def take_spare(self, instead: WorkerPlace | None = None) -> WorkerPlace | None:
        """Take room on a node that is there; None where there is none. `instead`: room that is given back for it."""
        alive = {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}
        with self.lock:
            spare = next((place for place in self.spare if place.node in alive), None)
            if spare is not None:
                self.spare.remove(spare)
                self.spare.extend([] if instead is None else [instead])
        return spare


class RaySlot(CaseSlot):
    """An actor of the cluster, or the one that takes its place when it is lost."""

    def __init__(self, cluster: Cluster, place: WorkerPlace) -> None:
        self._cluster, self._ray, self._place = cluster, cluster.ray, place
        self._actor: Any = None
        self._described: Description | None = None
        self._is_up = False
        self._interrupted = Event()

    def __enter__(self) -> "RaySlot":
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_up:
            with suppress(self._ray.exceptions.RayError):
                self._ray.get(self._actor.close.remote(), timeout=GRACE_S)
        self._drop()

    def is_ready(self, is_over: Callable[[], bool]) -> bool:
        """Start the slot's actor, on spare room if its own place has none in time; False if no actor can begin."""
        has_noticed = False
        while not (self._is_up or self._interrupted.is_set()):
            try:
                if self._actor is None:
                    self._actor = self._cluster.start(self._place)
                errands = pickle.dumps([Errand.of(job) for job in self._cluster.jobs if self.takes(job)])
                # An actor that starts again is asked again: it answers the same.
                request = self._actor.describe.options(max_task_retries=-1).remote(errands)
                content = self._answer(
                    request,
                    give_up=lambda: is_over() or self._interrupted.is_set(),
                    timeout_s=LONGEST_START_S,
                )
                if content is None:
                    return False
                self._accept(pickle.loads(content))
            except _TimeOutError:  # somebody else has what it waits for
                place = self._cluster.take_spare(instead=self._place)
                if place is not None:
                    self._drop()
                    self._place = place
                elif not has_noticed:
                    self._cluster.state.notice("ray: a worker waits until the cluster has room for it")
                    has_noticed = True
            except (self._ray.exceptions.RayError, _OtherCodeError) as error:
                why = str(error) if isinstance(error, _OtherCodeError) else _why(self._ray, error)
                self._cluster.state.notice(one_line(f"ray: a worker cannot begin: {why}"))
                self._drop()
                place = self._cluster.take_spare()
                if place is None:
                    return False
                self._place = place
        return self._is_up and not self._interrupted.is_set()

    def takes(self, job: Job) -> bool:
        return self._place.takes(job)

    @property
    def machine(self) -> str:
        return self._here.machine_id

    def find_cached(self, job: Job, folder: Path, notice: Notice | None = None) -> StoredRecord | None:
        """The newest record of the case, from any machine, if it answers the job."""
        cluster, case = self._cluster, job.case.id
        with cluster.lock:
            described = [worker for worker in cluster.described if case in worker.code_digests]
        sources = {(worker.machine_id, worker.code_digests[case]) for worker in described}
        meanwhile = [newest_with_key(job.run_key_on(machine, code), folder, notice) for machine, code in sources]
        runs = [*cluster.runs.get(case, ()), *(run for run in meanwhile if run is not None)]
        codes = {code_digest(job.settings), *(code for _, code in sources)}
        return find_on_any_machine(job, runs, codes, is_refused=case in self._here.refusals)

    def run_key(self, job: Job) -> str:
        return job.run_key_on(self._here.machine_id, self._here.code_digests[job.case.id])

    def is_first(self, job: Job, parent: Path, locks: ExitStack) -> bool:
        """Hold the case's lock until `locks` is left; False where another process holds it."""
        return hold_case(job, parent, locks)

    def measure(self, job: Job, folder: Path) -> MeasuredCase:
        """Run the case on the actor. One that takes too long, or is lost too often, is a failed record; raises
        SlotLostError for a loss that `retries` allows."""
        started_at, start = datetime.now(UTC), time.perf_counter()
        request = self._actor.measure.remote(pickle.dumps(Errand.of(job)))
        try:
            content = self._answer(request, timeout_s=self._cluster.timeout_s)
        except _TimeOutError:
            self._is_up = False
            self._ray.kill(self._actor, no_restart=False)
            why = f"took longer than launcher.timeout_s={self._cluster.timeout_s:g}, and its worker was ended"
        except self._ray.exceptions.RayError as error:
            self._is_up = False
            if self._interrupted.is_set():
                raise TaskInterruptedError from error
            why = _why(self._ray, error)
            with self._cluster.lock:
                self._cluster.losses[job.case.id] += 1
                losses = self._cluster.losses[job.case.id]
            if losses <= self._cluster.retries:
                raise SlotLostError(f"ray: {why}") from error
            why = f"{why}, each of the {losses} times that it ran" if losses > 1 else why
        else:
            assert content is not None
            answer: RemoteAnswer = pickle.loads(content)
            for text in answer.notices:
                self._cluster.state.notice(text)
            return answer.measured
        return self._failed(job, why, started_at, duration_s=time.perf_counter() - start)

    def interrupt(self) -> None:
        self._interrupted.set()
        if self._is_up:
            with suppress(self._ray.exceptions.RayError):
                self._actor.interrupt.remote()

    @property
    def _here(self) -> Description:
        assert self._described is not None
        return self._described

    def _accept(self, described: Description) -> None:
        """Take what a worker says of itself. Raises _OtherCodeError where it would measure something else."""
        for text in described.notices:
            self._cluster.state.notice(text)
        if described.source_digest != source_digest():
            theirs, ours = (digest[:12] for digest in (described.source_digest, source_digest()))
            raise _OtherCodeError(
                f"a node has other code of the suite than this command, and takes no part (source digest {theirs} "
                f"there, {ours} here): install the same version on every node"
            )
        self._described, self._is_up = described, True
        with self._cluster.lock:
            self._cluster.described.append(described)

    def _answer(
        self, request: Any, *, give_up: Callable[[], bool] = lambda: False, timeout_s: float | None = None
    ) -> bytes | None:
        """Wait for an actor's answer; None where `give_up` says that nobody waits for it any more.

        Raises _TimeOutError, Ray's own errors, and TaskInterruptedError where an interrupted case does not end.
        """
        begun_s = time.monotonic()
        ends_s = None
        while True:
            ready, _ = self._ray.wait([request], timeout=LOOK_EVERY_S)
            if ready:
                content: bytes = self._ray.get(request)
                return content
            now_s = time.monotonic()
            if give_up():
                return None
            if self._interrupted.is_set():
                ends_s = ends_s or now_s + GRACE_S
                if now_s > ends_s:
                    raise TaskInterruptedError
            elif timeout_s is not None and now_s - begun_s > timeout_s:
                raise _TimeOutError

    def _drop(self) -> None:
        if self._actor is not None:
            self._ray.kill(self._actor)
        self._actor, self._is_up = None, False

    def _failed(self, job: Job, why: str, started_at: datetime, *, duration_s: float) -> MeasuredCase:
        """The record of a case of which nothing came back, on the machine where it ran last."""
        provenance = base_provenance(job, started_at, duration_s) | {
            "source_digest": self._here.source_digest,
            "code_digest": self._here.code_digests[job.case.id],
            "launcher": {"name": NAME, "workers": self._cluster.workers},
        }
        record = Record(
            case=job.case,
            run_key=self.run_key(job),
            status=Status.FAILED,
            reason=why,
            evidence=Evidence.PROJECTED if job.projects else Evidence.MEASURED,
            settings=job.settings,
            environment=self._here.environment,
            provenance=provenance,
        )
        return MeasuredCase(record=record, files={OVERRIDES: overrides_file(job.overrides)})


class RayLauncher:
    """Actors of a cluster, as many as it has room for or as were asked for."""

    is_here = False

    def __init__(self, settings: Mapping[str, Any], workers: int | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            needed = "launcher=ray needs the package ray, which is not installed here"
            raise ValueError(f"{needed}: {install_command('ray')}")
        self._address = settings.get("address")
        if self._address not in (None, AUTO) and not HOST_PORT.fullmatch(str(self._address)):
            raise ValueError(f"launcher.address must be null, auto or HOST:PORT; got {self._address!r}")
        self._retries = whole_number(settings, "retries", at_least=0, where="launcher.")
        is_limited = settings.get("timeout_s") is not None
        self._timeout_s = positive_number(settings, "timeout_s", where="launcher.") if is_limited else None
        self._gpu = settings.get("gpu")
        if self._gpu is not None and not (isinstance(self._gpu, str) and self._gpu):
            raise ValueError(f"launcher.gpu must be null or the name of a kind of GPU, such as h100; got {self._gpu!r}")
        self._most = workers
        self._runs: Mapping[str, Sequence[StoredRecord]] = {}
        self.workers = workers or 1

    def check(self, jobs: Sequence[Job]) -> None:
        """Raise ValueError for jobs with `spread`. Whether the cluster has room for the jobs shows when joined."""
        if any(job.spread for job in jobs):
            raise ValueError(
                "spread must be false for launcher=ray, which hands each case to one machine itself; got true"
            )

    def find_cached(self, jobs: Sequence[Job], folder: Path) -> Mapping[str, StoredRecord]:
        """The records in the folder, made on any machine, that answer jobs, by case id."""
        self._runs = runs_by_case(folder, notice=lambda text: None)
        answers: dict[str, StoredRecord] = {}
        for job in jobs:
            if runs := self._runs.get(job.case.id):
                # Whether a node would refuse it now, the node says.
                answer = find_on_any_machine(job, runs, {code_digest(job.settings)}, is_refused=False)
                answers |= {job.case.id: answer} if answer is not None else {}
        return answers

    @contextmanager
    def slots(self, jobs: Sequence[Job], state: SharedState) -> Iterator[Sequence[RaySlot]]:
        """Join or start the cluster; yield a slot for each place. Raises CommandFailedError for a job without one."""
        ray = joined(self._address)
        try:
            if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":  # where it has found a token, Ray has set this
                state.notice(NO_TOKEN)
            room = places_in(ray.nodes(), jobs, shares_nodes=self._most is not None, gpu=self._gpu)
            places = room[: self._most]
            if (want := lacking(places, jobs, self._gpu)) is not None:
                raise CommandFailedError(f"the Ray cluster has no room for {want}", CANNOT_JUDGE)
            self.workers = len(places)
            nodes = len({place.node for place in places})
            plurals = ["s" * (number != 1) for number in (len(places), nodes)]
            state.notice(f"ray: {len(places)} worker{plurals[0]} on {nodes} node{plurals[1]}")
            cluster = Cluster(
                ray=ray,
                state=state,
                jobs=jobs,
                terms={place: pickle.dumps(_terms(place, places, jobs, state)) for place in room},
                workers=len(places),
                retries=self._retries,
                timeout_s=self._timeout_s,
                spare=deque(room[len(places) :]),
                runs=self._runs,
            )
            yield [RaySlot(cluster, place) for place in places]
        finally:
            ray.shutdown()


def hold_case(job: Job, parent: Path, locks: ExitStack) -> bool:
    """Hold a case's lock, which names no machine, until `locks` is left; False where another process holds it."""
    from filelock import FileLock, Timeout

    path = parent / CLAIMS / f"{job.run_key_on('', source_digest())[:NAME_LENGTH]}.lock"
    lock = FileLock(path, thread_local=False)
    while not lock.is_locked:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # whoever was the last one there has just removed the folder
            try:
                lock.acquire(timeout=0)
            except Timeout:
                return False

    def give_up() -> None:
        path.unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # others run there
            path.parent.rmdir()

    locks.callback(give_up)
    return True


def _terms(place: WorkerPlace, places: Sequence[WorkerPlace], jobs: Sequence[Job], state: SharedState) -> Terms:
    """The terms of the worker in a place, given the places of all workers."""
    return Terms(
        launcher=NAME,
        device=place.device,
        threads=place.cpus,
        side_by_side=max(1, sum(other.host == place.host for other in places)),
        workers=len(places),
        resume=state.resume,
        preload=own_modules([job for job in jobs if place.takes(job)]),
    )


def _why(ray: Any, error: Exception) -> str:
    """Say why an actor gave no answer, without the names and addresses that Ray's own words hold."""
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = getattr(error, "cause", None) or error
        message = str(cause).strip().partition("\n")[0]
        return f"its worker raised {type(cause).__name__}: {message}"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its node ran out of memory"
    return "its worker or its node was lost"
