"""`suite gate`: judge, show the answer in every place where people look for it, and return the exit code."""

import datetime
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite.gate.output.files import JUDGEMENT, RESULTS, without_secrets, write_judgement
from suite.gate.output.github import annotations, markdown
from suite.gate.output.terminal import lines as terminal_lines
from suite.gate.pytest_benchmark import project
from suite.gate.pytest_benchmark.comparison import SuiteComparison
from suite.gate.rules.acceptances import ACCEPTED, CorruptAcceptancesError, accept, apply_file
from suite.gate.rules.decision import LEAST_LAUNCHES
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side import revisions
from suite.gate.side_by_side.against import GateComparison, RevisionComparison
from suite.gate.side_by_side.settings import settings_of
from suite.gate.side_by_side.timing import most_launches
from suite.gate.side_by_side.worker_client import FailedError, UnsupportedHereError, WorkerError, interpreter
from suite.gate.verdict import BROKEN, PASSED, Judgement, Outcome, Verdict
from suite.machine.environment import cpu_model, gpu_names, machine_id
from suite.machine.plain_text import complain, one_line, say
from suite.machine.signals import Interruptions
from suite.machine.streams import ReaderLeftError, system_error_code, system_message
from suite.machine.temporary import remove_abandoned, temporary_folder
from suite.records.stores.claim import alone_in


def reported(judge: Callable[[], int]) -> int:
    """Call `judge` and return its exit code; BROKEN after one sentence for a damaged file, a dead worker or failed git.
    Without this a traceback would end with 1, which means slower."""
    try:
        return judge()
    except (CorruptAcceptancesError, WorkerError, FailedError, UnsupportedHereError) as error:
        complain(f"suite gate: {error}")
    except subprocess.CalledProcessError as error:
        lines = os.fsdecode(error.stderr or b"").strip().splitlines()
        complain(f"suite gate: git failed: {lines[-1] if lines else error}")
    except ReaderLeftError:  # the command line ends quietly
        raise
    except OSError as error:
        complain(f"suite gate: {system_message(error)}")
        return system_error_code(error)
    return BROKEN


# Makes a comparison of the checkout, a temporary folder and the fields that both forms have.
Maker = Callable[[Path, Path, dict[str, Any]], GateComparison]


@dataclass(frozen=True, kw_only=True)
class RevisionRequest:
    """The options that both comparisons of the working tree with a revision share."""

    against: str
    python: Path | None
    seconds: float | None
    trust_settings: bool
    """True if the working tree's tolerances, acceptances and benchmarks judge, though the change alters them."""
    inconclusive_fails: bool
    out: Path | None

    def judge(self, sweep: str | None, announce: Callable[[str], str], make: Maker) -> int:
        """Copy both trees, run the comparison that `make` makes, print and write its judgement; returns the exit code.
        `sweep`: its name, since its YAML judges too. `announce`: writes the first line for the revision's name. Raises
        ValueError for options that cannot be used."""
        if self.seconds is not None:
            check_seconds(self.seconds)
        top = revisions.repository(Path.cwd())
        with Interruptions() as interruptions, temporary_folder("gate") as folder:
            if removed := remove_abandoned():
                _say(removed)
            before, after = revisions.before(top, self.against, folder), revisions.after(top, folder)
            settings = settings_of(before.folder, after.folder, top, sweep, is_trusted=self.trust_settings)
            fields = {
                "before": before,
                "after": after,
                "tolerances": Tolerances.load(settings.tolerances),
                "verdicts": settings.verdicts(),
                "warnings": [*settings.warnings(top)],
            }
            comparison = make(top, folder, fields)
            for line in settings.differing:
                _say(f"this change alters a file that judges it: {line}")
            _say(announce(f"{self.against} ({(before.side.commit or '')[:9]})"))
            interrupted = _run(comparison)
            with interruptions.deferred():
                judgement = comparison.judgement(inconclusive_fails=self.inconclusive_fails, interrupted=interrupted)
                verdicts, warnings = apply_file(judgement.verdicts, settings.accepted, datetime.date.today())
                # A case that was not reached yet says nothing of an acceptance.
                more = () if interrupted else warnings
                judgement = replace(judgement, verdicts=verdicts, warnings=[*judgement.warnings, *more])
                return _finish(judgement, self.out, comparison.tables())


def gate_against(*, sweep: str, chosen: Sequence[str], seconds: float, **options: Any) -> int:
    """Judge the working tree by a revision of its repository. `options`: a RevisionRequest's other fields."""
    request = RevisionRequest(seconds=seconds, **options)

    def make(top: Path, folder: Path, fields: dict[str, Any]) -> RevisionComparison:
        return RevisionComparison(
            **fields,
            sweep=sweep,
            chosen=chosen,
            seconds=seconds,
            folder=folder,
            interpreter=interpreter(request.python or Path(sys.executable)),
        )

    def announce(revision: str) -> str:
        return (
            f"comparing the working tree with {revision}, sweep={sweep}: at most {seconds:g} s of measuring in "
            f"{LEAST_LAUNCHES} to {most_launches(seconds)} launches, which take about 3 s each to start"
        )

    return request.judge(sweep, announce, make)


def gate_pytest(*, paths: Sequence[str], prepare: str, **options: Any) -> int:
    """Judge the benchmarks of a project's tests by a revision of it. `options`: a RevisionRequest's fields. `paths`:
    files, folders and node ids; what pytest's settings name where there is none. `prepare`: a command of the shell that
    builds what git does not hold, in each tree."""
    request = RevisionRequest(**options)
    start = Path.cwd()
    top = revisions.repository(start)
    chosen, python = project.paths_in(start, paths), project.find_python(request.python, top, start)

    def make(top: Path, folder: Path, fields: dict[str, Any]) -> SuiteComparison:
        trees = project.ProjectRevisions(
            trees=(fields["before"].folder, fields["after"].folder),
            logs=folder,
            python=python.path,
            folder=start.resolve().relative_to(top.resolve()).as_posix(),
            checkout=top,
            paths=chosen,
        )
        return SuiteComparison(
            **fields,
            revisions=trees,
            python=python,
            interpreter=python.path,
            seconds=request.seconds,
            trusts_candidate=request.trust_settings,
            prepared=prepare,
        )

    return request.judge(None, "comparing the working tree's benchmarks with {}".format, make)


def gate_accept(case: str, **entry_fields: Any) -> int:
    """Add an entry to the file of acceptances and say so. `entry_fields`: as `accept` takes them."""
    entry = accept(ACCEPTED, case, **entry_fields, today=datetime.date.today())
    _say(f"accepted until {entry.expires}, up to {entry.ceiling:g} times the value before: {entry.name}")
    _say(f"Written: {ACCEPTED}. Review and commit it like code.")
    return PASSED


def _run(comparison: GateComparison) -> bool:
    """Run a comparison; True if Ctrl-C interrupted it. A worker that does not start becomes a broken verdict."""
    try:
        comparison.run(_say)
    except KeyboardInterrupt:
        return True
    except WorkerError as error:
        comparison.verdicts.append(Verdict(case="every case", outcome=Outcome.BROKEN, reason=str(error)))
    return False


def _finish(judgement: Judgement, out: Path | None, tables: Mapping[str, bytes]) -> int:
    """Write a judgement into its folder, print it, and hand it to GitHub if this runs there; returns the exit code."""
    # Times of two machines are no series, for whoever collects judgements over commits.
    machine = {"machine": ", ".join([cpu_model(), *gpu_names()]), "machine_id": machine_id()}
    judgement = replace(judgement, facts={**machine, **judgement.facts})
    folder = out or _new_folder(datetime.datetime.now(datetime.UTC))
    with alone_in(out) if out else nullcontext():  # a folder by the time is this process's own
        write_judgement(judgement, folder, tables)
    is_terminal = sys.stdout.isatty()
    colour = is_terminal and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size().columns if is_terminal else 120
    say("", *terminal_lines(judgement, width=width, colour=colour))
    _say(f"Written: {folder / JUDGEMENT}, with summary.md and junit.xml beside it")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("\n".join(annotations(without_secrets(judgement))), flush=True)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(markdown(without_secrets(judgement)) + "\n")
    return judgement.exit_code


def _new_folder(now: datetime.datetime) -> Path:
    """Make a folder below results/gate named by the time, with a number if another judgement has that second."""
    name = now.strftime("%Y%m%dT%H%M%SZ")
    for number in itertools.count(1):
        folder = RESULTS / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def check_seconds(seconds: float) -> None:
    """Raise ValueError unless the seconds are at least 1 and less than a day."""
    if not 1 <= seconds < 86_400:
        raise ValueError(f"seconds must be at least 1 and below 86400 (a day); got {seconds:g}")


def _say(text: str) -> None:
    say(one_line(text))
