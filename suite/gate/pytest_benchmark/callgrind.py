"""Instructions in place of time, for suites of pure Python: both revisions under valgrind, counted by callgrind.

Other processes move no count, so a busy machine judges as well as a quiet one. A benchmark is called once and then
several times more, and the difference of the two counts is what the further calls took: whatever surrounds them is in
both. Counts of one code differ from launch to launch, as dictionaries are laid out by another seed of hashes; so there
are several launches, each with one seed for both sides, and the spread between them is the error.

Callgrind counts what Python and its extensions execute in this process. It sees no cache, no branch that was guessed
wrongly, no waiting and no other process; and valgrind has no AVX-512, so that a library which chooses its code by the
processor runs another path there.
"""

import json
import math
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import mean, median, stdev

from suite.gate.pytest_benchmark.project import ProjectRevisions
from suite.gate.rules.decision import AFTER, BEFORE
from suite.gate.rules.multiple_testing import TestedChange, judge_together
from suite.gate.rules.tolerances import Tolerance, Tolerances
from suite.gate.side_by_side.answers import BadAnswerError, checked_counting, checked_opening
from suite.gate.side_by_side.rounds import Rounds
from suite.gate.side_by_side.timing import Say
from suite.gate.side_by_side.worker_client import ANY_ERROR, SIDES, WorkerClient, ask_both
from suite.gate.verdict import Outcome, Verdict
from suite.gate.workers import counting_worker

COUNTS, COUNT_FILE = "counts.json", "counts"
"""The table of the results, and how callgrind's own files begin, which end with a number each."""
CLOCK = METRIC = "instructions"
LAUNCHES = 3
USUAL = Tolerance(minimum_effect=0.01, equivalence_margin=0.02)
"""One percent and two, where conf/gate.yaml says nothing of a case. Counts of one code in two folders differed by 0.3%
at most, and by the same sign in each launch, as their strings and dictionaries lie elsewhere."""
LEAST_SPREAD = 0.001
"""Three launches that agree to the last digit do not show that the fourth would."""
SHARED_FREEDOM = 8
"""Degrees of freedom that the spread of all benchmarks counts for, beside the two of three launches."""
UNSEEN = "instruction counts show neither caches, waiting nor other processes, and valgrind does not run AVX-512"
TOTALS = re.compile(rb"^totals: (\d+)$", re.MULTILINE)
MOST_COUNT_BYTES = 256 << 20


def check_valgrind() -> str:
    """The path of valgrind. Raises ValueError elsewhere than on Linux and where valgrind is not installed."""
    if sys.platform == "linux":
        if path := shutil.which("valgrind"):
            return path
        raise ValueError("--clock instructions needs valgrind, which is not on PATH (apt-get install valgrind)")
    raise ValueError("--clock instructions needs Linux, where valgrind runs")


@dataclass(frozen=True, kw_only=True)
class CountedRevisions(ProjectRevisions):
    """The two trees of a project, whose workers run under valgrind."""

    valgrind: str

    def command(self, side: int, argument: str) -> list[str]:
        """The command line of a side's worker under callgrind, which writes each count to a file."""
        ask = [self.python, "-c", "import sys; print(sys.executable)"]  # `python` may be a script that starts another
        python = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
        return [
            self.valgrind,
            "--tool=callgrind",
            "--instr-atstart=no",
            "--vex-iropt-register-updates=allregs-at-mem-access",
            f"--callgrind-out-file={self.logs / COUNT_FILE}-{SIDES[side]}",
            f"--log-file={self.logs / f'valgrind-{SIDES[side]}.log'}",
            *(python, counting_worker.__file__, argument),
        ]

    def take_counts(self, side: int) -> list[int]:
        """Read and delete callgrind's files of one side: the instructions of each count, in order. Raises
        BadAnswerError for a file larger than MOST_COUNT_BYTES."""
        counts = {}
        for path in self.logs.glob(f"{COUNT_FILE}-{SIDES[side]}.*"):
            number = path.name.rpartition(".")[2]
            if number.isdecimal():
                if path.stat().st_size > MOST_COUNT_BYTES:
                    raise BadAnswerError(f"a count of callgrind is larger than {MOST_COUNT_BYTES:,} bytes")
                total = TOTALS.search(path.read_bytes())
                counts[int(number)] = int(total[1]) if total else 0
                path.unlink()
        return [counts[number] for number in sorted(counts)]


@dataclass(kw_only=True)
class InstructionCounting:
    """Counts the instructions of a suite's benchmarks and has their verdicts. Used in place of a TimingComparison."""

    revisions: CountedRevisions
    cases: Sequence[str]
    tolerances: Tolerances
    rounds: Rounds = field(default_factory=lambda: Rounds(order=random.Random(0)))
    counts: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Instructions of a call before and after, launch by launch."""
    broken: dict[str, str] = field(default_factory=dict)
    """Cases that failed while they were counted, with the reason."""

    def run(self, say: Say) -> None:
        """Count each case once in each of LAUNCHES launches. A case that breaks is left out of later ones."""
        begun_s = time.monotonic()
        say(f"{LAUNCHES} launches under valgrind, in which everything takes 5 to 50 times as long")

        def count(workers: Sequence[WorkerClient], case: str) -> None:
            """Add the instructions of a case in this launch."""
            instructions = self._count(workers, case)
            self.counts.setdefault(case, []).append(instructions)

        def failed(case: str, error: Exception) -> None:
            """Keep the reason why a case broke."""
            self.broken[case] = f"under valgrind: {error}"

        for _ in range(LAUNCHES if self.cases else 0):
            self.rounds.launches += 1
            # Where a case breaks, a side may still be within its call, so the others go on in fresh workers.
            cases = [case for case in self.cases if case not in self.broken]
            self.revisions.for_each(cases, count, failed, errors=ANY_ERROR)
            self.rounds.measured_s = time.monotonic() - begun_s
            say(
                f"{self.rounds.measured_s:.0f} s: instructions counted in {self.rounds.launches} of {LAUNCHES} launches"
            )

    def verdicts(self) -> list[Verdict]:
        """The verdicts of all cases that were counted at least twice, judged together, and of those that broke."""
        counted = {case: counts for case, counts in self.counts.items() if len(counts) > 1 and case not in self.broken}
        shifts = {case: [math.log(after / before) for before, after in counts] for case, counts in counted.items()}
        spreads = {case: stdev(case_shifts) for case, case_shifts in shifts.items()}
        shared = max([LEAST_SPREAD, *([median(spreads.values())] if spreads else [])])
        changes = []
        for case, counts in counted.items():
            # Between the spread of one benchmark, of few launches, and that of all; never below its own.
            freedom = len(counts) - 1
            variance = (SHARED_FREEDOM * shared**2 + freedom * spreads[case] ** 2) / (SHARED_FREEDOM + freedom)
            changes.append(_change(case, counts, shifts[case], max(spreads[case], math.sqrt(variance))))
        judged = judge_together(changes, self.tolerances)
        return [
            *(
                Verdict(case=case, metric=METRIC, clock=CLOCK, outcome=Outcome.BROKEN, reason=reason)
                for case, reason in self.broken.items()
            ),
            *(replace(verdict, notes=[*verdict.notes, UNSEEN]) for verdict in judged),
        ]

    def tables(self) -> dict[str, bytes]:
        """The counts of each launch, before and after, as a file by name."""
        return {COUNTS: (json.dumps(self.counts, indent=1) + "\n").encode()} if self.counts else {}

    def _count(self, workers: Sequence[WorkerClient], case: str) -> tuple[float, float]:
        """Instructions of one call, before and after: the difference of two counts, divided by the further calls.
        Raises BadAnswerError if the second count is not larger than the first."""
        for side in (BEFORE, AFTER):
            self.revisions.take_counts(side)  # of a worker that has ended
        opening = partial(checked_opening, examined=False)
        ask_both(workers, "open", opening, id=case, following=None, examine=False)
        samples = ask_both(workers, "sample", partial(checked_counting, most=counting_worker.MOST_MORE))
        ask_both(workers, "close")
        instructions = []
        for side, sample in enumerate(samples):
            few, many = (0, 0, *self.revisions.take_counts(side))[-2:]
            if not 0 < few < many:
                raise BadAnswerError(f"callgrind counted {few:,} instructions in one call, and {many:,} in several")
            instructions.append((many - few) / sample["more"])
        return instructions[BEFORE], instructions[AFTER]


def _change(case: str, counts: Sequence[tuple[float, float]], shifts: Sequence[float], spread: float) -> TestedChange:
    """The change of a case, to be tested. Of each launch: `counts` before and after, `shifts` their log-ratios."""
    before, after = (mean(side) for side in zip(*counts, strict=True))
    return TestedChange(
        case=case,
        span="",
        metric=METRIC,
        before=before,
        after=after,
        shift=mean(shifts),
        error=spread / math.sqrt(len(shifts)),
        freedom=SHARED_FREEDOM + len(shifts) - 1,
        usual=USUAL,
        values=f"{before:,.0f} instructions a call before, {after:,.0f} now",
        runs="launches",
        signed_margin=False,
        launches=len(shifts),
        clock=CLOCK,
    )
