"""Counts of instructions: judged by their spread over launches, and read from callgrind's own files.

`.ci/tool benchmarks.instructions` runs them under a real valgrind, which takes minutes.
"""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from suite import __main__ as command_line
from suite.gate.pytest_benchmark import callgrind
from suite.gate.pytest_benchmark.callgrind import CountedRevisions, InstructionCounting, check_valgrind
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.worker_client import FailedError, WorkerClient
from suite.gate.workers import counting_worker
from suite.gate.workers.counting_worker import Valgrind

SAME = [(1_000_000.0, 1_000_500.0), (1_003_000.0, 1_002_700.0), (999_000.0, 999_100.0)]
"""Launches of one code, each with its own seed of hashes."""
OPENING = {"setup_s": 0.0, "first_s": 0.01, "call_s": 0.01, "is_set_up": False}


def counting(folder, counts=None, cases=()):
    revisions = CountedRevisions(
        trees=(folder, folder), logs=folder, python=sys.executable, folder=".", checkout=folder, valgrind="valgrind"
    )
    return InstructionCounting(revisions=revisions, cases=cases, tolerances=Tolerances(), counts=dict(counts or {}))


def slower(share):
    return [(before, after * (1 + share)) for before, after in SAME]


def test_a_change_beyond_one_percent_is_called(tmp_path):
    wide = [(1e6, 1.06e6), (1e6, 0.99e6), (1e6, 1.03e6)]
    counts = {
        "same": SAME,
        "two": slower(0.02),
        "less": slower(-0.05),
        "half": slower(0.005),
        "equal": [(1e6, 1e6)] * 3,
    }
    verdicts = {verdict.case: verdict for verdict in counting(tmp_path, counts).verdicts()}
    assert [str(verdict.outcome) for verdict in verdicts.values()] == ["same", "slower", "faster", "same", "same"]
    assert verdicts["two"].clock == verdicts["two"].metric == "instructions"
    assert verdicts["two"].low < 1.02 < verdicts["two"].high
    assert verdicts["equal"].low < 1 < verdicts["equal"].high, "launches that agree to the last digit"
    assert "instruction counts show neither caches, waiting nor other processes" in verdicts["two"].notes[-1]
    (verdict,) = counting(tmp_path, {"wide": wide}).verdicts()
    assert str(verdict.outcome) == "inconclusive"
    assert "the launches spread too far to rule out a change of 2.0%" in verdict.reason


class FakeWorker(WorkerClient):
    """Answers what it is asked, and writes counts as callgrind does."""

    def __init__(self, path, few, many):
        self.path, self.totals, self.number = path, (few, many), 9

    def begin(self, do, *, id=None, **arguments):
        self.does, self.fails = do, id == "bad"
        for total in self.totals if do == "sample" else ():
            Path(f"{self.path}.{self.number}").write_text(f"# callgrind format\nevents: Ir\ntotals: {total}\n")
            self.number += 1

    def answer(self):
        if self.fails:
            raise FailedError("the test fails: no")
        return {"open": OPENING, "sample": {"more": 4}, "close": {}}[self.does]


def faked(made, folder, monkeypatch, *totals):
    """The starts of workers of which each tells these totals."""
    workers, starts = [FakeWorker(folder / f"counts-{side}", *totals) for side in ("before", "after")], []
    monkeypatch.setattr(CountedRevisions, "launched", lambda self: starts.append(1) or nullcontext(workers))
    made.run(lambda text: None)
    return starts


def test_what_breaks_once_is_broken_and_the_rest_goes_on(tmp_path, monkeypatch):
    made = counting(tmp_path, cases=["bad", "good"])
    starts = faked(made, tmp_path, monkeypatch, 1_000, 9_000)
    assert {verdict.case: str(verdict.outcome) for verdict in made.verdicts()} == {"bad": "broken", "good": "same"}
    assert len(starts) == 4  # one more in the first launch, where a side may be within the call
    assert made.rounds.launches == 3
    assert json.loads(made.tables()["counts.json"]) == {"good": [[2000.0, 2000.0]] * 3}
    assert not list(tmp_path.glob("counts-*"))


def test_counts_that_cannot_be_are_broken(tmp_path, monkeypatch):
    made = counting(tmp_path, cases=["good"])
    faked(made, tmp_path, monkeypatch, 9_000, 1_000)
    reason = "under valgrind: callgrind counted 9,000 instructions in one call, and 1,000 in several"
    assert made.broken == {"good": reason}
    monkeypatch.setattr(callgrind, "MOST_COUNT_BYTES", 3)
    made = counting(tmp_path, cases=["good"])
    faked(made, tmp_path, monkeypatch, 1_000, 9_000)
    assert made.broken == {"good": "under valgrind: a count of callgrind is larger than 3 bytes"}


def test_without_valgrind_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr(
        sys, "argv", ["suite", "gate", "pytest", "--against", "HEAD", "--clock", "instructions", str(tmp_path)]
    )
    assert command_line.main() == 2
    shown = capsys.readouterr().err
    assert "--clock instructions needs valgrind, which is not on PATH (apt-get install valgrind)" in shown
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match="needs Linux"):
        check_valgrind()


def test_the_counting_worker_refuses_to_run_elsewhere():
    with pytest.raises(RuntimeError, match=r"instructions (are counted under valgrind alone|can be counted on)"):
        Valgrind()


def test_valgrind_starts_the_real_interpreter(tmp_path):
    command = counting(tmp_path).revisions.command(1, "{}")
    assert command[:2] == ["valgrind", "--tool=callgrind"]
    assert f"--callgrind-out-file={tmp_path / 'counts-after'}" in command
    assert Path(command[-3]).samefile(sys.executable)
    assert command[-2].endswith("counting_worker.py")


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind")
def test_callgrind_counts_what_lies_between_requests(tmp_path):
    """Ten times the work is ten times the instructions, less what surrounds it."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(counting_worker.__file__).parent)!r})\n"
        "from counting_worker import DUMP, START, STOP, ZERO, Valgrind\n"
        "valgrind = Valgrind()\n"
        "def work(times):\n"
        "    for _ in range(times): sum(range(100))\n"
        "valgrind.ask(START)\n"
        "for times in (9, 9, 109, 209):\n"
        "    valgrind.ask(ZERO)\n"
        "    work(times)\n"
        "    valgrind.ask(DUMP)\n"
        "valgrind.ask(STOP)\n"
    )
    revisions = counting(tmp_path).revisions
    command = [*revisions.command(0, "{}")[:-2], "-I", "-S", "-c", code]
    subprocess.run(command, check=True, capture_output=True)
    _, few, many, most = revisions.take_counts(0)
    assert few > 0
    assert (most - many) / (many - few) == pytest.approx(1, abs=0.01)
