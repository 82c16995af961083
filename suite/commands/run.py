"""`suite run`: the settings of one case or of a sweep become jobs, and the jobs are executed.

Hydra's basic launcher and sweeper only compose: the suite runs the cases itself, and knows the sweep whole. With any
other launcher or sweeper, Hydra runs `run_case` on each point, wherever it likes.
"""

import multiprocessing
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.commands.ls import run_help
from suite.compose.compose import REFUSALS, compose, hand_over, sentence
from suite.compose.composed import point_of_job
from suite.compose.hydra_app import other_engines, register_resolvers
from suite.compose.inapplicable import note_unused
from suite.compose.point import SweepPoint
from suite.compose.sweeps import is_left_out, without_left_out
from suite.configuration.values import true_or_false
from suite.console.eta import SeveralSweeps
from suite.console.progress import Terminal
from suite.console.summary import summary_by
from suite.process.streams import ReaderLeftError, ended, said_by_system
from suite.records.plain_text import complain, json_text, one_line, say
from suite.records.stores.place import shown
from suite.run.job import Job, job_of
from suite.run.launchers.launcher import Launcher, launcher_of
from suite.run.launchers.local import LocalLauncher
from suite.run.objective import objective_of
from suite.run.scheduler import execute

DONE, USAGE, BROKEN, INTERRUPTED = 0, 2, 4, 130
JSON = "--json"
"""A flag of this command and none of Hydra's."""


def main(argv: Sequence[str] | None = None, *, several: SeveralSweeps | None = None) -> int:
    """Run the cases that the arguments name; return the exit code. `several`: where other sweeps follow."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if {"--help", "-h"} & set(arguments):
            run_help(arguments)
            return DONE
        return _run_in_json(arguments) if JSON in arguments else _run(arguments, several=several)
    except SystemExit as asked:  # Hydra's own help, and its 1 for what it does not find
        return USAGE if asked.code else DONE
    except ReaderLeftError:  # the command line ends quietly
        raise
    except OSError as error:
        complain(f"suite run: cannot write the results: {said_by_system(error)}")
        return BROKEN
    except KeyboardInterrupt:
        return INTERRUPTED


def _run_in_json(arguments: Sequence[str]) -> int:
    """Run the same with a JSON list of the records on standard output, and what people read on standard error."""
    terminals: list[Terminal] = []
    with redirect_stdout(sys.stderr):
        code = _run([argument for argument in arguments if argument != JSON], terminals)
    if code != USAGE:
        say(json_text([record for terminal in terminals for record in terminal.as_json()]))
    return code


def _run(
    arguments: Sequence[str], terminals: list[Terminal] | None = None, several: SeveralSweeps | None = None
) -> int:
    """`terminals`: takes the one that was told of the cases, for which the suite must run them itself."""
    try:
        if terminals is not None and (engines := other_engines(arguments)[0]):
            raise ValueError(f"{JSON} needs Hydra's basic launcher and sweeper; got {', '.join(engines)}")
        if (folder := hand_over(run_case, arguments)) is not None:
            say(one_line(f"records: {shown(folder)}"))
            return DONE
        points = compose(arguments)
        if not points:  # Hydra answered by itself, as with --cfg
            return DONE
        for point in points:
            for name, effectless in (("leave_out", []), ("report", False)):
                if not point.is_sweep and name in point.named and point.settings.get(name) != effectless:
                    raise ValueError(f"{name} is of a sweep, which needs -m")
        left = without_left_out(points)
        if not left:
            raise ValueError("leave_out leaves no case to run")
        jobs = [job_of(point) for point in left]
        resume, wants_page = (all(_switches(points, name)) for name in ("resume", "report"))
        launcher = launcher_of(points)
        launcher.check(jobs)
        terminal = _terminal(jobs, left, launcher, several)
    except REFUSALS as error:
        complain(f"suite run: {sentence(error)}")
        return USAGE
    is_sweep, folder = points[0].is_sweep, points[0].folder
    if terminals is not None:
        terminals.append(terminal)
    with terminal:
        outcome = execute(jobs, folder=folder, resume=resume, listener=terminal, launcher=launcher)
    terminal.summary(folder)
    if is_sweep and wants_page and not outcome.was_interrupted:
        from suite.report.command import report  # a third of a second, which the gate's workers need not wait for

        written, reported = report([folder], [], out=Path("reports") / f"{folder.resolve().name}.html")
        say(one_line(f"page: {written}{', which names damaged folders' if reported else ''}"))
    return outcome.exit_code(is_sweep=is_sweep)


def run_case(config: Any) -> float | None:
    """Run the case of one configuration, as Hydra's task function, and return the value of its `objective`, if any.

    Raises ValueError for settings that are wrong, and CommandFailedError where the case did not end well.
    """
    register_resolvers()
    if multiprocessing.get_start_method(allow_none=True) not in multiprocessing.get_all_start_methods():
        # joblib's own, which the workers' processes do not know.
        multiprocessing.set_start_method(None, force=True)
    (point,) = note_unused([point_of_job(config)])
    for key in point.inapplicable:
        say(one_line(f"{key} does not apply to this case"))
    if is_left_out(point):
        return None
    launcher = launcher_of([point])
    if not isinstance(launcher, LocalLauncher):
        raise ValueError("launcher must be local where Hydra's own launcher decides where cases run")
    if launcher.workers > 1:
        raise ValueError("workers must be 1 where Hydra's launcher decides what runs side by side")
    jobs, resume = [job_of(point)], true_or_false(point.settings, "resume")
    with _terminal(jobs, [replace(point, is_sweep=False)], launcher) as terminal:
        outcome = execute(jobs, folder=point.folder, resume=resume, listener=terminal, launcher=launcher)
    return objective_of(outcome.records, point.settings["objective"])


def _terminal(
    jobs: Sequence[Job], points: Sequence[SweepPoint], launcher: Launcher, several: SeveralSweeps | None = None
) -> Terminal:
    """Make a terminal for these jobs. Raises ValueError for a workload whose summary cannot be loaded."""
    summaries = {job.case.workload: summary_by(point.summary) for job, point in zip(jobs, points, strict=True)}
    cases = list({job.case.id: job.case for job in jobs}.values())
    return Terminal(
        cases,
        is_sweep=points[0].is_sweep,
        workers=lambda: launcher.workers,
        summaries=summaries,
        several=several,
    )


def _switches(points: Sequence[SweepPoint], name: str) -> list[bool]:
    return [true_or_false(point.settings, name) for point in points]


if __name__ == "__main__":
    sys.exit(ended(main))
