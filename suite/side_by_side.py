"""Several cases at once: which may, in which order they start, and the threads of the parent that each follow a worker.

The threads only wait for what workers send, and write it: the parent holds no torch. A signal reaches the main thread
alone, so that one does nothing but wait for the others, and end them.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Condition

from suite.interruptions import Interruptions
from suite.job import Job
from suite.records.limits import most_threads

LOOK_EVERY_S = 0.1
"""How soon an interruption is seen. Not by a wait without end, which Windows does not interrupt."""
ASK_AGAIN_AFTER_S = 1.0
"""Whether another process still holds a case that is waited for."""


def refuse_workers(jobs: Sequence[Job], workers: int) -> None:
    """Raises ValueError, in one sentence, for cases that would disturb each other's figures."""
    for job in jobs if workers > 1 else ():
        name = job.settings["workload"]["name"]
        if not job.is_course:
            why = "which runs nothing" if job.is_projection else "whose cases are timed alone"
            raise ValueError(f"workers must be 1 for workload={name}, {why}; got {workers}")
        if job.plan.device != "cpu":
            raise ValueError(f"workers must be 1 for device={job.plan.device}, which they would share; got {workers}")
        most = max(1, most_threads() // job.plan.threads)
        if workers > most:
            raise ValueError(
                f"workers must be at most {most} for threads={job.plan.threads} on the {most_threads()} CPUs that this "
                f"process may use at once; got {workers}"
            )


class JobQueue:
    """Hands each job out once, in order, to whichever thread asks next.

    One that waits for the earlier ones is handed out when all before it that do not wait themselves have ended. Those
    of them that another process holds are handed out again, now and then, until they are recorded or free.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = deque(jobs)
        self._running: set[str] = set()
        """Ids of those that may be waited for."""
        self._elsewhere: deque[Job] = deque()
        self._changed = Condition()

    def take(self) -> Job | None:
        """The next job, as soon as it may start; None where none is left."""
        with self._changed:
            while self._waiting:
                if not self._waiting[0].waits_for_earlier or not (self._running or self._elsewhere):
                    return self._handed_out(self._waiting.popleft())
                is_news = self._changed.wait(ASK_AGAIN_AFTER_S)
                if self._elsewhere and not is_news:
                    return self._handed_out(self._elsewhere.popleft())
            return None

    def ended(self, job: Job, *, elsewhere: bool = False) -> None:
        """`elsewhere`: it did not run, since another process holds it."""
        with self._changed:
            self._running.discard(job.case.id)
            if elsewhere and not job.waits_for_earlier:
                self._elsewhere.append(job)
            self._changed.notify_all()

    def stop(self) -> None:
        """Nothing is handed out any more."""
        with self._changed:
            self._waiting.clear()
            self._changed.notify_all()

    def _handed_out(self, job: Job) -> Job:
        if not job.waits_for_earlier:
            self._running.add(job.case.id)
        return job


def run_all(parts: Sequence[Callable[[], None]], *, stop: Callable[[], None], interruptions: Interruptions) -> None:
    """Each part in a thread of its own, until all have ended.

    An interruption, or an error in one of them, calls `stop`, which must end the others; it is raised when they have.
    """

    def until_it_fails(part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException:
            stop()
            raise

    with interruptions.held(), ThreadPoolExecutor(len(parts)) as threads:
        running = [threads.submit(until_it_fails, part) for part in parts]
        while wait(running, timeout=LOOK_EVERY_S).not_done:
            if interruptions.came:
                stop()
    for one in running:
        one.result()
