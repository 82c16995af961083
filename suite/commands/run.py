"""`suite run`: the settings of one case or of a sweep become jobs, and the jobs are executed.

Hydra's basic launcher and sweeper only compose: the suite runs the cases itself, and knows the sweep whole. With any
other launcher or sweeper, Hydra runs `run_case` on each point, wherever it likes.
"""

import itertools
import multiprocessing
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from suite.commands.ls import run_help
from suite.configuration.values import true_or_false
from suite.console.progress import Terminal
from suite.console.summary import summary_by
from suite.machine.plain_text import complain, json_text, one_line, say
from suite.machine.streams import CommandFailedError, ReaderLeftError, run_guarded, system_message
from suite.records.derived import by_launch
from suite.records.record import TIMINGS, Record, Status
from suite.run.compose.composer import REFUSALS, Composition, hydra_job_point, sentence
from suite.run.compose.point import SweepPoint, is_left_out, without_left_out
from suite.run.compose.resolvers import TYPED, auto_device
from suite.run.job import Job, job_of
from suite.run.launchers.launcher import Launcher, LocalLauncher, chosen_launcher
from suite.run.scheduler import execute
from suite.statistics.intervals import launched_interval

DONE, USAGE, BROKEN, INTERRUPTED = 0, 2, 4, 130
# A flag of this command and none of Hydra's.
JSON = "--json"
Argv = Sequence[str]


def main(argv: Argv | None = None, *, beside: Sequence[Argv] = ()) -> int:
    """Run the cases that the arguments name, by default the process's own, and return the exit code. `beside`: the
    arguments of other sweeps, whose cases take turns with these."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if {"--help", "-h"} & set(arguments):
            run_help(arguments)
            return DONE
        # With --json what people read goes to standard error.
        with redirect_stdout(sys.stderr) if JSON in arguments else nullcontext():
            code, terminal = _run(arguments, beside)
        if JSON in arguments and code != USAGE:
            say(json_text(terminal.as_json() if terminal is not None else []))
        return code
    except SystemExit as asked:  # Hydra's own help, and its 1 for what it does not find
        return USAGE if asked.code else DONE
    except ReaderLeftError:  # the command line ends quietly
        raise
    except OSError as error:
        complain(f"suite run: cannot write the results: {system_message(error)}")
        return BROKEN
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: Argv, beside: Sequence[Argv]) -> tuple[int, Terminal | None]:
    """Run the cases; return the exit code, and the Terminal that showed them. No Terminal where Hydra ran them or
    answered by itself, or where the arguments were refused, which is printed."""
    try:
        composition = Composition([argument for argument in arguments if argument != JSON])
        if composition.engines:
            if JSON in arguments:
                raise ValueError(
                    f"{JSON} needs Hydra's basic launcher and sweeper; got {', '.join(composition.engines)}"
                )
            say(one_line(f"records: {composition.hand_over(run_case)}"))
            return DONE, None
        turns = itertools.zip_longest(composition.points(), *(Composition(line).points() for line in beside))
        points = [point for turn in turns for point in turn if point is not None]
        if not points:  # Hydra answered by itself, as with --cfg
            return DONE, None
        is_sweep, folder = points[0].is_sweep, points[0].folder
        for name, effectless in (("leave_out", []), ("report", False), ("spread", False), ("objective", None)):
            if not is_sweep and name in points[0].named and points[0].settings.get(name) != effectless:
                raise ValueError(f"{name} applies only to a sweep, which needs -m")
        left = without_left_out(points)
        if not left:
            raise ValueError("leave_out leaves out every case; there must be one to run")
        if any(TYPED in point.overrides for point in points):
            say(one_line("{}: {} ({})".format(TYPED, *auto_device())))
        jobs = [job_of(point) for point in left]
        resume, wants_page = ([true_or_false(point.settings, key) for point in points] for key in ("resume", "report"))
        launcher = chosen_launcher(points)
        launcher.check(jobs)
        terminal = _terminal(jobs, left, launcher)
    except REFUSALS as error:
        complain(f"suite run: {sentence(error)}")
        return USAGE, None
    with terminal:
        outcome = execute(jobs, folder=folder, resume=all(resume), listener=terminal, launcher=launcher)
    terminal.summary(folder)
    if is_sweep and all(wants_page) and not outcome.was_interrupted:
        from suite.report.command import report  # a third of a second, which the gate's workers need not wait for

        page, code = report([folder], [], out=Path("reports") / f"{folder.resolve().name}.html")
        say(one_line(f"page: {page}{' (it names the damaged folders)' if code else ''}"))
    return outcome.exit_code(is_sweep=is_sweep), terminal


def run_case(config: Any) -> float | None:
    """Run the case of one configuration, as Hydra's task function, and return the value of its `objective`, or None.

    Raises ValueError for settings that are wrong, and CommandFailedError where the case did not end well.
    """
    if multiprocessing.get_start_method(allow_none=True) not in multiprocessing.get_all_start_methods():
        # joblib's own, which the workers' processes do not know.
        multiprocessing.set_start_method(None, force=True)
    point = hydra_job_point(config)
    for key in point.inapplicable:
        say(one_line(f"{key} does not apply to this case"))
    if is_left_out(point):
        return None
    launcher = chosen_launcher([point])
    if not isinstance(launcher, LocalLauncher):
        raise ValueError("launcher must be local where Hydra's own launcher decides where cases run")
    if launcher.workers > 1:
        raise ValueError("workers must be 1 where Hydra's launcher decides what runs side by side")
    jobs, resume = [job_of(point)], true_or_false(point.settings, "resume")
    with _terminal(jobs, [replace(point, is_sweep=False)], launcher) as terminal:
        outcome = execute(jobs, folder=point.folder, resume=resume, listener=terminal, launcher=launcher)
    return objective_value(outcome.records, point.settings["objective"])


def objective_value(records: Sequence[Record], name: Any) -> float | None:
    """The number of the one record that a sweeper optimises, named as `layer.latency_s`: the median of a time, else the
    value of the last step; None without a name.

    Raises CommandFailedError for a case that failed, or that has no such value, and ValueError for a name that is none.
    """
    span, _, metric = str(name).rpartition(".")
    if name is not None and not span:
        raise ValueError(f"objective must be a span and a metric, as layer.latency_s; got {name!r}")
    if not records:
        raise CommandFailedError("another process is running this case", 3)
    (record,) = records
    if record.status is not Status.OK and (name is not None or record.status is not Status.UNSUPPORTED):
        code = 1 if record.status in (Status.FAILED, Status.INCORRECT) else 3
        raise CommandFailedError(f"{record.case.id}: {record.status}: {record.reason}", code)
    if name is None:
        return None
    readings = record.series(metric, span)
    if not readings:
        there = ", ".join(sorted({f"{reading.span}.{reading.metric}" for reading in record.readings}))
        raise CommandFailedError(f"objective={name} is no reading of {record.case.id}, which has {there}", 2)
    if metric in TIMINGS:
        return launched_interval(by_launch(readings)).median
    return max(readings, key=lambda reading: reading.step).value


def _terminal(jobs: Sequence[Job], points: Sequence[SweepPoint], launcher: Launcher) -> Terminal:
    """A terminal for these jobs. Raises ValueError for a workload whose summary cannot be loaded."""
    return Terminal(
        list({job.case.id: job.case for job in jobs}.values()),
        is_sweep=points[0].is_sweep,
        workers=lambda: launcher.workers,
        summaries={job.case.workload: summary_by(point.summary) for job, point in zip(jobs, points, strict=True)},
    )


if __name__ == "__main__":
    sys.exit(run_guarded(main))
