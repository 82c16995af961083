"""Several cases at once: which may, in which order they start, and the threads of the parent that each follow a worker.

The threads only wait for what workers send, and write it: the parent holds no torch. A signal reaches the main thread
alone, so that one does nothing but wait for the others, and end them.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from suite.process.signals import Interruptions
from suite.records.limits import most_threads
from suite.run.job import Job

LOOK_EVERY_S = 0.1
"""How soon an interruption is seen. Not by a wait without end, which Windows does not interrupt."""


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
    """Hands each job out once, in order, to whichever thread asks next."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = deque(jobs)

    def take(self) -> Job | None:
        """The next job; None where none is left."""
        try:
            return self._waiting.popleft()  # which no other thread can come between
        except IndexError:
            return None

    def stop(self) -> None:
        """Nothing is handed out any more."""
        self._waiting.clear()


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
