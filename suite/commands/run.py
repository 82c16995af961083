"""`suite run`: the settings of one case or of a sweep become jobs, and the jobs are executed."""

import sys
from collections.abc import Sequence
from pathlib import Path

from suite.compose.compose import REFUSALS, compose, sentence
from suite.compose.inapplicable import OF_THE_COMMAND, no_such_setting, unused_of
from suite.compose.point import IS_FIXED, NO_SUCH_SETTING, Composed, group_of, leaves
from suite.configuration.files import read_yaml
from suite.configuration.values import whole_number
from suite.process.streams import ReaderLeftError, ended, said_by_system
from suite.records.case import case_from, value_under, without_inapplicable
from suite.records.plain_text import complain, one_line, say
from suite.run.job import Job, job_for
from suite.run.scheduler import INTERRUPTED, execute
from suite.run.worker_slots import refuse_workers

__all__ = ["compose", "is_left_out", "job_of", "main", "sentence"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments say; returns the exit code."""
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except SystemExit as asked:  # Hydra's own --help, and its 1 for what it does not find
        return 2 if asked.code else 0
    except ReaderLeftError:  # the command line ends quietly
        raise
    except OSError as error:
        complain(f"suite run: cannot write the results: {said_by_system(error)}")
        return 4
    except KeyboardInterrupt:
        return 130


def _run(arguments: Sequence[str]) -> int:
    try:
        composed = compose(arguments)
        _refuse_of_a_sweep(composed)
        jobs = [job_of(one) for one in without_left_out(composed)]
        resume, wants_page = (all(_is_on(one, name) for one in composed) for name in ("resume", "report"))
        workers = _workers(composed)
        refuse_workers(jobs, workers)
    except REFUSALS as error:
        complain(f"suite run: {sentence(error)}")
        return 2
    if not composed:  # Hydra answered by itself, as with --cfg
        return 0
    if not jobs:
        complain("suite run: leave_out leaves no case to run")
        return 2
    folder, is_sweep = composed[0].folder, composed[0].is_sweep
    code = execute(jobs, folder=folder, is_sweep=is_sweep, resume=resume, workers=workers)
    if is_sweep and wants_page and code != INTERRUPTED:
        from suite.report.command import report  # a third of a second, which the gate's workers need not wait for

        written, reported = report([folder], [], out=Path("reports") / f"{folder.resolve().name}.html")
        say(one_line(f"page: {written}{', which names damaged folders' if reported else ''}"))
    return code


def _refuse_of_a_sweep(composed: Sequence[Composed]) -> None:
    for one in composed:
        for name, effectless in (("leave_out", []), ("report", False)):
            if not one.is_sweep and name in one.named and one.settings.get(name) != effectless:
                raise ValueError(f"{name} is of a sweep, which needs -m")


def without_left_out(composed: Sequence[Composed]) -> list[Composed]:
    """The points that `leave_out` lets be. Raises ValueError for a name in it that is a setting of none."""
    left = [one for one in composed if not is_left_out(one)]
    below_groups = {name for one in composed for point in one.settings["leave_out"] for name in point if "." in name}
    unknown = sorted(below_groups.difference(*((*one.named, *leaves(one.settings)) for one in composed)))
    if unknown and composed[0].is_sweep:
        raise ValueError(NO_SUCH_SETTING.format(unknown[0]))
    return left


def is_left_out(composed: Composed) -> bool:
    """Whether this is a point of a sweep that its `leave_out` names, by a few of its settings; one that its options do
    not have is null. Raises ValueError for a name that is none."""
    points = composed.settings["leave_out"]
    is_list = isinstance(points, list) and all(isinstance(point, dict) and point for point in points)
    if not is_list or not all(isinstance(name, str) for point in points for name in point):
        raise ValueError(f"leave_out must be a list of points, as [{{phase: prefill, seq_len: 16384}}]; got {points!r}")
    for point in points if composed.is_sweep else ():
        unknown = sorted(name for name in point if group_of(name) not in composed.settings | composed.chosen)
        if unknown:
            raise ValueError(NO_SUCH_SETTING.format(unknown[0]))
        if all(
            composed.chosen.get(name, value_under(composed.settings, name)) == value for name, value in point.items()
        ):
            return True
    return False


def job_of(composed: Composed) -> Job:
    """The case and its settings. Raises ValueError for what does not exist and for what is wrong in itself."""
    of_workload = {key.partition(".")[0] for key in composed.of_workload}
    named_in_file = set(read_yaml("run.yaml")) - {"defaults", "hydra"} | of_workload
    unknown = sorted(set(composed.settings) - named_in_file - set(composed.chosen))
    if unknown:
        raise ValueError(_unknown(unknown[0], composed))
    missing = sorted(named_in_file - set(composed.settings))
    if missing:
        raise ValueError(f"{missing[0]} must have a value; got none")
    for key in composed.fixed if not composed.is_sweep else ():
        raise ValueError(IS_FIXED.format(key=key, option=composed.chosen[group_of(key)]))
    for name in composed.settings["workload"]["axes"]:
        if name not in composed.chosen and isinstance(value := composed.settings.get(name), list | dict):
            raise ValueError(f"{name} must be one value; got {value!r}")
    _is_on(composed, "profile")
    of_case = {key: value for key, value in composed.settings.items() if key not in OF_THE_COMMAND}
    # First: an option is as the phase has it, and a workload may have none.
    settings = without_inapplicable({**of_case, **dict.fromkeys(unused_of(composed))})
    case = case_from(settings, chosen=composed.chosen, named=composed.named, strange=composed.strange)
    return job_for(case, settings, composed.summary)


def _unknown(key: str, composed: Composed) -> str:
    """Why a setting is none of a case's."""
    if key not in composed.of_task:
        return no_such_setting(key)
    task, workload = composed.chosen["task"], composed.chosen["workload"]
    return f"task={task} sets {key}, which is none of workload={workload}'s settings: it is another workload's task"


def _is_on(composed: Composed, name: str) -> bool:
    value = composed.settings.get(name)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false; got {value!r}")
    return value


def _workers(composed: Sequence[Composed]) -> int:
    numbers = dict.fromkeys(whole_number(one.settings, "workers", at_least=1) for one in composed)
    if len(numbers) > 1:
        raise ValueError(f"workers must be one number for the whole sweep; got {', '.join(map(str, numbers))}")
    return next(iter(numbers), 1)


if __name__ == "__main__":
    sys.exit(ended(main))
